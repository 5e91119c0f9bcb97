package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
)

// TestKind: rules on what kind of number calls.
func TestKind(t *testing.T) {
	s := compile(t, file("local.yaml", `
version: 1
rules:
  - {id: local/inside-caller, on: invite, match: {direction: inbound, from: {kind: [extension, emergency]}}, then: reject 404}
`))
	for kind, want := range map[call.NumberKind]string{call.Extension: "reject 404 local/inside-caller", call.Emergency: "reject 404 local/inside-caller",
		call.Invalid: "abstain", call.National: "abstain", call.International: "abstain"} {
		a := invite(s, "00442079460000")
		a.Direction, a.From.Kind = call.Inbound, kind
		if d := s.Judge(a); show(d) != want {
			t.Errorf("%s: %s, want %s", kind, show(d), want)
		}
	}
}

func TestDistinctProblems(t *testing.T) {
	_, ps := policy.Compile([]policy.Source{file("a.yaml", `version: 1
rules:
  - {id: a/d, on: invite, match: {from: {kind: [extention]}}, then: reject}
  - {id: a/e, on: invite, match: {from: {kind: []}}, then: reject}
limits:
  - {id: a/f, on: invite, key: [user], distinct: 20, over: 1m, then: reject}
  - {id: a/g, on: invite, key: [user], distinct: 20, of: too, over: 1m, then: reject}
  - {id: a/h, on: invite, key: [user], distinct: 0, of: to, over: 1m, then: reject}
  - {id: a/i, on: invite, key: [user], distinct: 20, of: to, then: reject}
  - {id: a/j, on: invite, key: [user], distinct: 20, of: register.user, over: 1m, then: reject}
  - {id: a/k, on: invite, key: [user], distinct: 20, of: user, over: 1m, then: reject}
  - {id: a/l, on: invite, key: [user], rate: 1/s, of: to, then: reject}
  - {id: a/m, on: invite, key: [user], rate: 1/s, distinct: 20, of: to, over: 1m, then: reject}
`)}, policy.Options{})
	got := ps.String()
	for _, want := range []string{
		`a.yaml:3:49: unknown kind of number "extention"`, `did you mean extension?`,
		`a.yaml:4:48: the list is empty`, `distinct does not say of what`, `unknown value to count "too"`, `did you mean to?`, `distinct must be 1 to 10000`,
		`a.yaml:9:6: this is counted over: a time from 1s to 7d`, `register.user exists in REGISTER only`, `there is one user per user`, `of without distinct`,
		`limit a/m must say one of rate, concurrent, failures, distinct`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestDistinctLimit(t *testing.T) {
	s := compile(t, file("a.yaml", "version: 1\nlimits:\n  - {id: a/b, on: message, key: [user], distinct: 20, of: to, over: 10m, then: reject 480}\n"))
	if l := s.Limits()[0]; l.Distinct != 20 || l.Of != "to" || l.Over != 10*time.Minute || l.Failures != 0 || l.Status != 480 {
		t.Errorf("%+v", l)
	}
}
