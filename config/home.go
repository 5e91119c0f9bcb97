package config

import (
	"maps"
	"slices"
)

// habit is how people in a country dial.
type habit struct {
	international []string // prefixes before a country code, those that choose a carrier included; nil: see the numbering data
	national      string   // trunk prefix before a national number
	emergency     []string // everything that reaches an emergency service
}

// habits is a reviewed table of dialling habits. International and national
// prefixes follow ITU-T's list "Dialling procedures (international prefix,
// national (trunk) prefix and national (significant) number)", annex to the
// Operational Bulletin. Emergency numbers: 112 throughout the European Union by
// Directive (EU) 2018/1972, article 109; beside it the numbers that the national
// regulator's numbering plan reserves for police, fire, ambulance and sea rescue.
// Where 112 works from mobile phones only it is left out, for in an office it is
// an extension. Countries that are not here take the habits of the numbering data.
var habits = map[string]habit{
	"AE": {[]string{"00"}, "0", []string{"112", "996", "997", "998", "999"}},
	"AR": {[]string{"00"}, "0", []string{"100", "101", "106", "107", "911"}},
	"AT": {[]string{"00"}, "0", []string{"112", "122", "133", "140", "144"}},
	"AU": {[]string{"0011", "0014", "0015", "0016", "0018", "0019"}, "0", []string{"000", "106"}},
	"BE": {[]string{"00"}, "0", []string{"100", "101", "112"}},
	"BG": {[]string{"00"}, "0", []string{"112", "150", "160", "166"}},
	"BR": {[]string{"0012", "0014", "0015", "0021", "0022", "0023", "0025", "0031", "0041", "0043", "0055", "0065", "0099"}, "0", []string{"190", "192", "193"}},
	"CA": {[]string{"011"}, "1", []string{"911"}},
	"CH": {[]string{"00"}, "0", []string{"112", "117", "118", "144", "1414"}},
	"CN": {[]string{"00"}, "0", []string{"110", "119", "120", "122"}},
	"CY": {[]string{"00"}, "", []string{"112", "199"}},
	"CZ": {[]string{"00"}, "", []string{"112", "150", "155", "156", "158"}},
	"DE": {[]string{"00"}, "0", []string{"110", "112"}},
	"DK": {[]string{"00"}, "", []string{"112"}},
	"EE": {[]string{"00"}, "", []string{"110", "112"}},
	"ES": {[]string{"00"}, "", []string{"061", "062", "080", "085", "091", "092", "112"}},
	"FI": {[]string{"00", "990", "994", "999"}, "0", []string{"112"}},
	"FR": {[]string{"00"}, "0", []string{"112", "114", "115", "119", "15", "17", "18", "191", "196"}},
	"GB": {[]string{"00"}, "0", []string{"112", "999"}},
	"GR": {[]string{"00"}, "", []string{"100", "108", "112", "166", "199"}},
	"HK": {nil, "", []string{"999"}},
	"HR": {[]string{"00"}, "0", []string{"112", "192", "193", "194", "195"}},
	"HU": {[]string{"00"}, "06", []string{"104", "105", "107", "112"}},
	"IE": {[]string{"00"}, "0", []string{"112", "999"}},
	"IL": {[]string{"00", "012", "013", "014", "015", "016", "017", "018", "019"}, "0", []string{"100", "101", "102", "112"}},
	"IN": {[]string{"00"}, "0", []string{"100", "101", "102", "108", "112"}},
	"IS": {[]string{"00"}, "", []string{"112"}},
	"IT": {[]string{"00"}, "", []string{"112", "113", "115", "118", "1530"}},
	"JP": {[]string{"010"}, "0", []string{"110", "118", "119"}},
	"KR": {[]string{"001", "002", "005", "006", "008"}, "0", []string{"112", "119"}},
	"LT": {[]string{"00"}, "0", []string{"112"}},
	"LU": {[]string{"00"}, "", []string{"112", "113"}},
	"LV": {[]string{"00"}, "", []string{"110", "112", "113"}},
	"MT": {[]string{"00"}, "", []string{"112"}},
	"MX": {[]string{"00"}, "", []string{"911"}},
	"NL": {[]string{"00"}, "0", []string{"112"}},
	"NO": {[]string{"00"}, "", []string{"110", "112", "113"}},
	"NZ": {[]string{"00"}, "0", []string{"111"}},
	"PL": {[]string{"00"}, "", []string{"112", "997", "998", "999"}},
	"PT": {[]string{"00"}, "", []string{"112", "115", "117"}},
	"RO": {[]string{"00"}, "0", []string{"112"}},
	"SE": {[]string{"00"}, "0", []string{"112"}},
	"SG": {nil, "", []string{"995", "999"}},
	"SI": {[]string{"00"}, "0", []string{"112", "113"}},
	"SK": {[]string{"00"}, "0", []string{"112", "150", "155", "158", "159"}},
	"TR": {[]string{"00"}, "0", []string{"110", "112", "155", "156"}},
	"UA": {[]string{"00"}, "0", []string{"101", "102", "103", "112"}},
	"US": {[]string{"011"}, "1", []string{"911"}},
	"ZA": {[]string{"00"}, "0", []string{"10111", "10177", "107", "112"}},
}

// HomeOf returns the habits of a country by its ISO 3166-1 alpha-2 code, and
// whether they are of the reviewed table. If not, all but the country is left
// to the numbering data, and emergency numbers should be looked at by a person.
func HomeOf(country string) (h Home, reviewed bool) {
	h = Home{Country: country}
	t, ok := habits[country]
	if !ok {
		return h, false
	}
	h.International = slices.Clone(t.international)
	national := t.national
	h.National = &national
	h.Emergency = slices.Clone(t.emergency)
	return h, true
}

// HomeCountries lists the countries of the reviewed table.
func HomeCountries() []string { return slices.Sorted(maps.Keys(habits)) }

// fill takes what the file left out from the country's habits.
func (h *Home) fill() (reviewed bool) {
	d, reviewed := HomeOf(h.Country)
	if len(h.International) == 0 {
		h.International = d.International
	}
	if h.National == nil {
		h.National = d.National
	}
	if len(h.Emergency) == 0 {
		h.Emergency = d.Emergency
	}
	return reviewed
}
