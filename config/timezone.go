package config

import (
	"fmt"
	"time"
)

// zones are the time zones of countries that keep one time, or one on their
// mainland (IANA time zone database, zone1970.tab).
var zones = map[string]string{
	"AE": "Asia/Dubai", "AR": "America/Argentina/Buenos_Aires", "AT": "Europe/Vienna", "BE": "Europe/Brussels", "BG": "Europe/Sofia",
	"CH": "Europe/Zurich", "CN": "Asia/Shanghai", "CY": "Asia/Nicosia", "CZ": "Europe/Prague", "DE": "Europe/Berlin",
	"DK": "Europe/Copenhagen", "EE": "Europe/Tallinn", "ES": "Europe/Madrid", "FI": "Europe/Helsinki", "FR": "Europe/Paris",
	"GB": "Europe/London", "GR": "Europe/Athens", "HK": "Asia/Hong_Kong", "HR": "Europe/Zagreb", "HU": "Europe/Budapest",
	"IE": "Europe/Dublin", "IL": "Asia/Jerusalem", "IN": "Asia/Kolkata", "IS": "Atlantic/Reykjavik", "IT": "Europe/Rome",
	"JP": "Asia/Tokyo", "KR": "Asia/Seoul", "LT": "Europe/Vilnius", "LU": "Europe/Luxembourg", "LV": "Europe/Riga",
	"MT": "Europe/Malta", "NL": "Europe/Amsterdam", "NO": "Europe/Oslo", "NZ": "Pacific/Auckland", "PL": "Europe/Warsaw",
	"PT": "Europe/Lisbon", "RO": "Europe/Bucharest", "SE": "Europe/Stockholm", "SG": "Asia/Singapore", "SI": "Europe/Ljubljana",
	"SK": "Europe/Bratislava", "TR": "Europe/Istanbul", "UA": "Europe/Kyiv", "ZA": "Africa/Johannesburg",
}

// Zone is the time that people around the gateway keep: that of the file, else
// the country's where it keeps one, else the host's.
func (h Home) Zone() (*time.Location, error) {
	name := h.Timezone
	if name == "" {
		name = zones[h.Country]
	}
	if name == "" {
		return time.Local, nil
	}
	at, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return time.Local, fmt.Errorf("%q is not the name of a time zone such as Europe/Paris", clip(name))
	}
	return at, nil
}
