package config

import (
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// A national and an emergency number of each kind of country, spelt as people
// there do.
func TestHabits(t *testing.T) {
	for _, country := range HomeCountries() {
		h, ok := HomeOf(country)
		plan, err := number.Compile(h.Number(), nil)
		if err != nil || !ok {
			t.Errorf("%s: %v", country, err)
			continue
		}
		for _, prefix := range h.International {
			const foreign = "442079460000"
			if got := plan.Explain(prefix+foreign, number.Dialled); got.Canonical != "+"+foreign {
				t.Errorf("%s: %s%s is %+v", country, prefix, foreign, got)
			}
		}
		for _, e := range h.Emergency {
			if got := plan.Normalise(e, number.Dialled); got.Kind != call.Emergency || got.Canonical != e {
				t.Errorf("%s: %s is %+v", country, e, got)
			}
		}
	}
	for _, c := range []struct{ country, dialled, want string }{
		{"FR", "0142685300", "+33142685300"}, {"DE", "030123456", "+4930123456"}, {"GB", "02079460000", "+442079460000"},
		{"US", "12025550123", "+12025550123"}, {"US", "2025550123", "+12025550123"}, {"ES", "911234567", "+34911234567"},
		{"IT", "0612345678", "+390612345678"}, {"HU", "0611234567", "+3611234567"}, {"DK", "33123456", "+4533123456"},
		{"CH", "0443123456", "+41443123456"}, {"AU", "0291234567", "+61291234567"}, {"SG", "61234567", "+6561234567"},
	} {
		h, _ := HomeOf(c.country)
		plan, err := number.Compile(h.Number(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := plan.Explain(c.dialled, number.Dialled); got.Canonical != c.want {
			t.Errorf("%s: %s is %+v", c.country, c.dialled, got)
		}
	}
}

func TestUnknownHabits(t *testing.T) {
	if h, reviewed := HomeOf("FO"); reviewed || h.Country != "FO" || h.International != nil {
		t.Errorf("%+v", h)
	}
	_, problems := parse(t, "domain: a.example\npbx: \"sip:10.0.0.5\"\nhome: {country: FO}\n", nil)
	if problems != "3:17: warning: home.emergency is not set; the emergency numbers of FO come from the numbering data and were not reviewed\n    hint: check them and write home.emergency" {
		t.Error(problems)
	}
	// The values of the file win over the table.
	c, problems := parse(t, "domain: a.example\npbx: \"sip:10.0.0.5\"\nhome: {country: DE, national: \"\", emergency: \"110\", international: [\"000\"]}\n", nil)
	if problems != "" || *c.Home.National != "" || len(c.Home.Emergency) != 1 || c.Home.International[0] != "000" {
		t.Errorf("%s %+v", problems, c.Home)
	}
}
