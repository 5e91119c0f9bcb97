package policy_test

import (
	"testing"

	"github.com/rampart-sbc/rampart/call"
)

// A text that is one number for us and another for a PBX is judged as both.
func TestBothReadingsAreJudged(t *testing.T) {
	s := compile(t, file("p.yaml", `
version: 1
home: {country: FR}
countries: {default: deny, allow: [DE], classes: {premium_rate: deny}}
rules:
  - {id: site/watch, on: invite, match: {to: {country: [FR, DE]}}, then: flag}
`))
	for text, want := range map[string]string{
		"089123456;phone-context=+49":   "abstain + site/watch",
		"0899123456;phone-context=+49":  "reject 403 countries/class-denied + site/watch",
		"089123456;phone-context=+1876": "reject 403 countries/denied",
	} {
		a := invite(s, text)
		d := s.Judge(a)
		if show(d) != want {
			t.Errorf("%s (%s, other %v): %s, want %s", text, a.To.Number, a.To.Other, show(d), want)
		}
		if a.To.Other != nil && d.Verdict == call.Reject && d.Evidence[len(d.Evidence)-1].Name != "call.to.read_as" {
			t.Errorf("%s: nothing says which reading was refused: %v", text, d.Evidence)
		}
	}
	// An extension for us, Jamaica for a PBX that does not know pauses.
	s = compile(t, file("p.yaml", "version: 1\nhome: {country: US}\ncountries: {default: deny}\n"))
	a := invite(s, "187p65550100")
	a.Direction = call.Internal
	if d := s.Judge(a); a.To.Kind != call.Extension || show(d) != "reject 403 countries/denied" {
		t.Errorf("%s: %s", a.To.Number, show(d))
	}
}
