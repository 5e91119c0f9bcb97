package config

import (
	"maps"
	"slices"
)

// habit is how people in a country dial.
type habit struct {
	international string   // prefix before a country code
	national      string   // trunk prefix before a national number
	emergency     []string // everything that reaches an emergency service
}

// habits is a reviewed table of dialling habits. International and national
// prefixes follow ITU-T's list "Dialling procedures (international prefix,
// national (trunk) prefix and national (significant) number)", annex to the
// Operational Bulletin. Emergency numbers: 112 throughout the European Union by
// Directive (EU) 2018/1972, article 109; beside it the numbers that the national
// regulator's numbering plan reserves for police, fire, ambulance and sea rescue.
// Countries that are not here take the habits of the numbering data.
var habits = map[string]habit{
	"AE": {"00", "0", []string{"112", "996", "997", "998", "999"}},
	"AR": {"00", "0", []string{"100", "101", "106", "107", "911"}},
	"AT": {"00", "0", []string{"112", "122", "133", "140", "144"}},
	"AU": {"0011", "0", []string{"000", "106", "112"}},
	"BE": {"00", "0", []string{"100", "101", "112"}},
	"BG": {"00", "0", []string{"112", "150", "160", "166"}},
	"BR": {"00", "0", []string{"112", "190", "192", "193", "911"}},
	"CA": {"011", "1", []string{"112", "911"}},
	"CH": {"00", "0", []string{"112", "117", "118", "144", "1414"}},
	"CN": {"00", "0", []string{"110", "119", "120", "122"}},
	"CY": {"00", "", []string{"112", "199"}},
	"CZ": {"00", "", []string{"112", "150", "155", "156", "158"}},
	"DE": {"00", "0", []string{"110", "112"}},
	"DK": {"00", "", []string{"112"}},
	"EE": {"00", "", []string{"110", "112"}},
	"ES": {"00", "", []string{"061", "062", "080", "085", "091", "092", "112"}},
	"FI": {"00", "0", []string{"112"}},
	"FR": {"00", "0", []string{"112", "114", "115", "119", "15", "17", "18", "191", "196"}},
	"GB": {"00", "0", []string{"112", "999"}},
	"GR": {"00", "", []string{"100", "108", "112", "166", "199"}},
	"HK": {"001", "", []string{"112", "999"}},
	"HR": {"00", "0", []string{"112", "192", "193", "194", "195"}},
	"HU": {"00", "06", []string{"104", "105", "107", "112"}},
	"IE": {"00", "0", []string{"112", "999"}},
	"IL": {"00", "0", []string{"100", "101", "102", "112"}},
	"IN": {"00", "0", []string{"100", "101", "102", "108", "112"}},
	"IS": {"00", "", []string{"112"}},
	"IT": {"00", "", []string{"112", "113", "115", "118", "1530"}},
	"JP": {"010", "0", []string{"110", "118", "119"}},
	"KR": {"00", "0", []string{"112", "119"}},
	"LT": {"00", "0", []string{"112"}},
	"LU": {"00", "", []string{"112", "113"}},
	"LV": {"00", "", []string{"110", "112", "113"}},
	"MT": {"00", "", []string{"112"}},
	"MX": {"00", "", []string{"911"}},
	"NL": {"00", "0", []string{"112"}},
	"NO": {"00", "", []string{"110", "112", "113"}},
	"NZ": {"00", "0", []string{"111", "112"}},
	"PL": {"00", "", []string{"112", "997", "998", "999"}},
	"PT": {"00", "", []string{"112", "115", "117"}},
	"RO": {"00", "0", []string{"112"}},
	"SE": {"00", "0", []string{"112"}},
	"SG": {"001", "", []string{"112", "995", "999"}},
	"SI": {"00", "0", []string{"112", "113"}},
	"SK": {"00", "0", []string{"112", "150", "155", "158", "159"}},
	"TR": {"00", "0", []string{"110", "112", "155", "156"}},
	"UA": {"00", "0", []string{"101", "102", "103", "112"}},
	"US": {"011", "1", []string{"112", "911"}},
	"ZA": {"00", "0", []string{"10111", "10177", "107", "112"}},
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
	h.International = []string{t.international}
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
