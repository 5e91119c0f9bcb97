package number

import (
	"slices"
	"strings"
)

// regions are the sub-regions of the United Nations' standard M.49 and the
// countries in each. Where M.49 divides a sub-region further (Africa south of
// the Sahara, Latin America), the smaller part counts. M.49 has no entries for
// Kosovo, Taiwan, Ascension and Tristan da Cunha: they stand with their neighbours.
var regions = [...]struct{ name, countries string }{
	{"", ""},
	{"northern-africa", "DZ EG EH LY MA SD TN"},
	{"eastern-africa", "BI DJ ER ET IO KE KM MG MU MW MZ RE RW SC SO SS TF TZ UG YT ZM ZW"},
	{"middle-africa", "AO CD CF CG CM GA GQ ST TD"},
	{"southern-africa", "BW LS NA SZ ZA"},
	{"western-africa", "AC BF BJ CI CV GH GM GN GW LR ML MR NE NG SH SL SN TA TG"},
	{"northern-america", "BM CA GL PM US"},
	{"caribbean", "AG AI AW BB BL BQ BS CU CW DM DO GD GP HT JM KN KY LC MF MQ MS PR SX TC TT VC VG VI"},
	{"central-america", "BZ CR GT HN MX NI PA SV"},
	{"south-america", "AR BO BR BV CL CO EC FK GF GS GY PE PY SR UY VE"},
	{"central-asia", "KG KZ TJ TM UZ"},
	{"eastern-asia", "CN HK JP KP KR MN MO TW"},
	{"south-eastern-asia", "BN ID KH LA MM MY PH SG TH TL VN"},
	{"southern-asia", "AF BD BT IN IR LK MV NP PK"},
	{"western-asia", "AE AM AZ BH CY GE IL IQ JO KW LB OM PS QA SA SY TR YE"},
	{"eastern-europe", "BG BY CZ HU MD PL RO RU SK UA"},
	{"northern-europe", "AX DK EE FI FO GB GG IE IM IS JE LT LV NO SE SJ"},
	{"southern-europe", "AD AL BA ES GI GR HR IT ME MK MT PT RS SI SM VA XK"},
	{"western-europe", "AT BE CH DE FR LI LU MC NL"},
	{"australia-and-new-zealand", "AU CC CX HM NF NZ"},
	{"melanesia", "FJ NC PG SB VU"},
	{"micronesia", "FM GU KI MH MP NR PW UM"},
	{"polynesia", "AS CK NU PF PN TK TO TV WF WS"},
}

// regionOf holds the index of each country's region, by its two letters.
var regionOf = func() (t [26 * 26]uint8) {
	for i, r := range regions {
		for c := range strings.FieldsSeq(r.countries) {
			t[letters(c)] = uint8(i)
		}
	}
	return t
}()

func letters(country string) int { return int(country[0]-'A')*26 + int(country[1]-'A') }

// Region is the sub-region of a country (ISO 3166-1 alpha-2) in words such as
// "caribbean" or "western-europe"; "" for what is no country.
func Region(country string) string {
	if len(country) != 2 || country[0]-'A' >= 26 || country[1]-'A' >= 26 {
		return ""
	}
	return regions[regionOf[letters(country)]].name
}

// Regions lists the names of the regions, sorted.
func Regions() (out []string) {
	for _, r := range regions[1:] {
		out = append(out, r.name)
	}
	slices.Sort(out)
	return out
}

// RegionCountries lists the countries of a region.
func RegionCountries(region string) []string {
	for _, r := range regions[1:] {
		if r.name == region {
			return strings.Fields(r.countries)
		}
	}
	return nil
}
