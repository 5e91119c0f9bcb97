package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/rules"
)

func profile(name, text string) policy.Source {
	return policy.Source{Name: name, Data: []byte(text), Pack: true, Profile: true}
}

// A profile's entry takes the place of a pack's, a file's takes the place of
// both, and what belongs to no pack in use is not there.
func TestProfileStandsBetweenPacksAndFiles(t *testing.T) {
	const limit = "  - {id: p/calls, on: invite, key: [user], concurrent: %, then: reject 486}\n"
	of := func(n string) string { return "version: 1\nlimits:\n" + strings.ReplaceAll(limit, "%", n) }
	calls := func(want int, sources ...policy.Source) {
		t.Helper()
		s, ps := policy.Compile(sources, policy.Options{})
		if s == nil || len(ps) > 0 {
			t.Fatal(ps)
		}
		got := 0
		for _, l := range s.Limits() {
			got += l.Concurrent
		}
		if got != want {
			t.Errorf("the limit is %d, want %d", got, want)
		}
		live := slices.DeleteFunc(slices.Clone(s.Rules()), func(r policy.RuleInfo) bool { return r.Overridden })
		if len(live) != len(s.Limits()) {
			t.Errorf("%d entries for %d limits", len(live), len(s.Limits()))
		}
	}
	a, b, c := pack("p", of("4")), profile("call-centre", of("40")), file("local.yaml", of("7"))
	calls(4, a)
	calls(40, b, a)
	calls(7, c, b, a)
	calls(7, a, c)
	calls(0, b)
	calls(7, b, c)
	if _, ps := policy.Compile([]policy.Source{a, b, profile("other", of("1"))}, policy.Options{}); ps.Err() == nil {
		t.Error("two profiles with one id")
	}
}

// The shipped profiles fit the shipped packs: nothing in them is without a
// place, and a profile is never stricter than what it replaces.
func TestShippedProfiles(t *testing.T) {
	before := map[string]policy.Limit{}
	for _, l := range shipped(t, "FR").Limits() {
		before[l.ID] = l
	}
	for _, name := range []string{"office", "call-centre"} {
		data, _ := rules.Profile(name)
		s := shipped(t, "FR", profile(name, string(data)))
		if len(s.Limits()) != len(before) {
			t.Errorf("%s: %d limits, %d without it", name, len(s.Limits()), len(before))
		}
		for _, l := range s.Limits() {
			old, ok := before[l.ID]
			switch {
			case !ok:
				t.Errorf("%s: %s is in no pack", name, l.ID)
			case l.Rate < old.Rate || l.Burst < old.Burst || l.Concurrent < old.Concurrent || l.Failures < old.Failures:
				t.Errorf("%s: %s is stricter than in its pack", name, l.ID)
			case !slices.Equal(l.Key, old.Key) || l.Verdict != old.Verdict || l.Status != old.Status:
				t.Errorf("%s: %s does something else than in its pack", name, l.ID)
			}
		}
		only, ps := policy.Compile([]policy.Source{profile(name, string(data))}, policy.Options{})
		if only == nil || len(only.Limits()) > 0 {
			t.Errorf("%s alone: %v", name, ps)
		}
	}
}

// A misspelt action is told as one, whatever stands behind it.
func TestMisspeltAction(t *testing.T) {
	_, ps := policy.Compile([]policy.Source{file("a.yaml", "version: 1\nrules: [{id: a/b, on: invite, then: rejct 403}]\n")}, policy.Options{})
	if len(ps) != 1 || !strings.Contains(ps[0].String(), "did you mean reject?") {
		t.Error(ps)
	}
}
