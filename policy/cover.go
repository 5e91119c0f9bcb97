package policy

import (
	"slices"

	"github.com/rampart-sbc/rampart/call"
)

// Names of the sections of `countries:` in a coverage.
const (
	PlaceDefault = "countries.default"
	PlaceAllow   = "countries.allow"
	PlaceDeny    = "countries.deny"
	PlaceClasses = "countries.classes"
	PlaceShort   = "countries.short"
)

// Place is the section of `countries:` that decided about an attempt, or "".
// It asks the same questions in the same order as places.judge.
func (s *Set) Place(a *call.Attempt) string {
	p := &s.places
	if !p.set || a.Direction != call.Outbound || methodOf(a.Method)&onReach == 0 || a.To.Kind == call.Emergency {
		return ""
	}
	allowed := func(denied bool) string {
		if denied {
			return PlaceDeny
		}
		return PlaceAllow
	}
	number := a.To.E164()
	switch {
	case number == "" && (p.short[a.To.Number] || p.short[a.To.User]):
		return PlaceShort
	case number == "":
		return ""
	case slices.Contains(p.classes, a.To.Class):
		return PlaceClasses
	}
	if length, denied := p.prefix.longest(number); length > 0 {
		return allowed(denied)
	}
	if denied, listed := p.country[a.To.Country]; listed {
		return allowed(denied)
	}
	if p.deny && a.To.Country != "" && a.To.Country == p.home {
		return ""
	}
	return PlaceDefault
}

// Reachable lists what a test can reach: rules, limits and the sections of
// `countries:`, in the order of the files.
func (s *Set) Reachable() (out []RuleInfo) {
	for _, r := range s.rules {
		if r.Mode != "off" && !r.Overridden {
			out = append(out, r)
		}
	}
	return append(out, s.sections...)
}

// Excepted is the exception to a rule that an attempt falls under.
func (s *Set) Excepted(a *call.Attempt, rule string) (ExceptionInfo, bool) {
	for _, e := range s.excepted {
		if e.Rule == rule && e.match.holds(a, s.lists) && e.inForce(a) {
			return e.ExceptionInfo, true
		}
	}
	return ExceptionInfo{}, false
}

// sections notes which sections of `countries:` there are to reach.
func (c *compiler) sections() {
	seen := map[string]bool{}
	for _, s := range c.files {
		y := s.y.Countries
		if y == nil {
			continue
		}
		for _, part := range []struct {
			id   string
			path string
			set  bool
		}{
			{PlaceDefault, "countries.default", y.Default != nil},
			{PlaceAllow, "countries.allow", len(y.Allow) > 0},
			{PlaceDeny, "countries.deny", len(y.Deny) > 0},
			{PlaceClasses, "countries.classes", len(c.set.places.classes) > 0 && len(y.Classes) > 0},
			{PlaceShort, "countries.short", len(y.Short) > 0},
		} {
			if part.set && !seen[part.id] {
				seen[part.id] = true
				c.set.sections = append(c.set.sections, RuleInfo{ID: part.id, File: s.Name, Line: s.pos.At(part.path).Line, Mode: "enforce"})
			}
		}
	}
}
