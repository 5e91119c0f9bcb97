package trial_test

import (
	"slices"
	"testing"

	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/rules"
	"github.com/rampart-sbc/rampart/trial"
)

// Every shipped pack carries tests that pass, with it alone and beside the
// others, and that reach each of its entries. The others are tested with all
// countries open: where those are shut, nothing else is of interest.
func TestPacks(t *testing.T) {
	plan, err := number.Compile(number.Home{Country: "FR"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	try := func(profile string, names ...string) *trial.Report {
		t.Helper()
		var sources []policy.Source
		if data, ok := rules.Profile(profile); ok {
			sources = append(sources, policy.Source{Name: profile, Data: data, Pack: true, Profile: true})
		}
		for _, name := range names {
			data, _ := rules.Pack(name)
			sources = append(sources, policy.Source{Name: name, Data: data, Pack: true})
		}
		s, ps := policy.Compile(sources, policy.Options{Plan: plan, Now: noon})
		if s == nil || len(ps) > 0 {
			t.Fatalf("%v: %s", names, ps)
		}
		tests := s.Tests()
		if profile != "" { // what it changes on purpose is tested in the packs without it
			tests = slices.DeleteFunc(slices.Clone(tests), func(x policy.Test) bool { return x.File != profile })
		}
		r := trial.RunAll(trial.Options{Set: s, Profile: profile}, tests, nil)
		for i := range r.Results {
			if res := &r.Results[i]; !res.Passed() {
				t.Errorf("%v: %s:%d: %s\n%s", names, res.Test.File, res.Test.Pos.Line, res.Test.Name, res.Failures[0].Text())
			}
		}
		return r
	}
	for _, name := range rules.Names() {
		r := try("", name)
		if len(r.Results) == 0 {
			t.Errorf("pack %s has no tests", name)
		}
		for _, e := range r.Coverage.Entries() {
			if e.Hits == 0 {
				t.Errorf("no test of the pack reaches %s", e)
			}
		}
	}
	open := slices.DeleteFunc(rules.Names(), func(name string) bool { return name == "countries" })
	try("", open...)
	for _, profile := range []string{"office", "call-centre"} {
		if r := try(profile, open...); len(r.Results) < 2 {
			t.Errorf("profile %s has %d tests", profile, len(r.Results))
		}
	}
}
