package policy_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
)

// A policy that tries to refuse emergency calls is a problem; one that only
// watches them, or is about something else, is none.
func TestRefusingEmergencyCallsIsAProblem(t *testing.T) {
	plan, err := number.Compile(number.Home{Country: "FR", Emergency: []string{"112", "15", "17", "18"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"kind", `rules: [{id: a/b, on: invite, match: {to: {kind: emergency}}, then: reject 403}]`, "emergency calls cannot be refused"},
		{"shadow", `rules: [{id: a/b, on: invite, match: {to: {kind: emergency}}, then: drop, mode: shadow}]`, "emergency calls cannot be refused"},
		{"any", `rules: [{id: a/b, on: any, match: {to: {kind: emergency}}, then: drop}]`, "emergency calls cannot be refused"},
		{"ban", `rules: [{id: a/b, on: invite, match: {to: {kind: emergency}}, then: ban 1h}]`, "emergency calls cannot be refused"},
		{"limit", `limits: [{id: a/b, on: invite, match: {to: {kind: emergency}}, key: [user], rate: 1/h, then: reject 403}]`, "emergency calls cannot be refused"},
		{"list", "lists: {hot: {kind: text, values: [\"17\", \"hello\"]}}\nrules: [{id: a/b, on: invite, match: {to: {list: hot}}, then: reject 403}]", "list hot holds the emergency number 17"},
		{"short", `countries: {short: ["112"]}`, "112 is an emergency number"},
		{"condition", `rules: [{id: a/b, on: invite, when: 'call.to.number == "15"', then: reject 403}]`, "15 is an emergency number"},
		{"condition on the kind", `rules: [{id: a/b, on: invite, when: 'call.from.user == "1" && call.to.kind == "emergency"', then: reject 403}]`, "emergency calls cannot be refused"},
		{"limit on the kind", `limits: [{id: a/b, on: invite, when: '"emergency" == call.to.kind', key: [user], rate: 1/h, then: reject 403}]`, "emergency calls cannot be refused"},
		{"another kind", `rules: [{id: a/b, on: invite, when: 'call.to.kind != "emergency" && call.from.kind == "emergency"', then: reject 403}]`, ""},
		{"turned", `rules: [{id: a/b, on: invite, when: '"15" == call.to.number', then: reject 403}]`, "15 is an emergency number"},
		{"among", `rules: [{id: a/b, on: invite, when: 'call.to.number in ["1234", "18"]', then: reject 403}]`, "18 is an emergency number"},

		{"flag", `rules: [{id: a/b, on: invite, match: {to: {kind: emergency}}, then: flag}]`, ""},
		{"off", `rules: [{id: a/b, on: invite, match: {to: {kind: emergency}}, then: drop, mode: off}]`, ""},
		{"message", `rules: [{id: a/b, on: message, match: {to: {kind: emergency}}, then: reject 403}]`, ""},
		{"not", `rules: [{id: a/b, on: invite, when: 'call.to.number != "112"', then: reject 403}]`, ""},
		{"not among", `rules: [{id: a/b, on: invite, when: '!(call.to.number in ["112", "18"])', then: reject 403}]`, ""},
		{"caller", `rules: [{id: a/b, on: invite, when: 'call.from.user == "15" && call.to.international', then: reject 403}]`, ""},
		{"other list", "lists: {hot: {kind: text, values: [\"171\"]}}\nrules: [{id: a/b, on: invite, match: {to: {list: hot}}, then: reject 403}]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, ps := policy.Compile([]policy.Source{{Name: "f.yaml", Data: []byte("version: 1\n" + c.text)}}, policy.Options{Plan: plan})
			switch got := ps.String(); {
			case c.want == "" && ps.Err() != nil:
				t.Error(got)
			case c.want != "" && (ps.Err() == nil || !strings.Contains(got, c.want) || !strings.Contains(got, "always permitted")):
				t.Errorf("want %q: %s", c.want, got)
			}
		})
	}
}
