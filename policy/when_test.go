package policy_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
)

// A user part that is escaped is the same user, also to conditions; a number
// in any spelling is not looked for where numbers stand in their one form.
func TestSpellingsOfUsers(t *testing.T) {
	s := compile(t, file("a.yaml", `
version: 1
home: {country: FR}
lists: {banned: ["1020"], names: [alice]}
rules:
  - {id: a/from, on: invite, when: call.from.user in lists.banned, then: reject 403}
  - {id: a/to, on: invite, when: call.to.user == "*97" || call.to.user in lists.names, then: reject 480}
`))
	for to, want := range map[string]string{"%2A9%37": "reject 480 a/to", "%61lice": "reject 480 a/to", "*98": "abstain", "%2": "abstain", "%zz": "abstain"} {
		if d := s.Judge(invite(s, to)); show(d) != want {
			t.Errorf("%s: %s, want %s", to, show(d), want)
		}
	}
	a := invite(s, "*98")
	if a.From.User = "10%320"; show(s.Judge(a)) != "reject 403 a/from" {
		t.Error(show(s.Judge(a)))
	}
	for list, wrong := range map[string]bool{`["+1876"]`: true, `{kind: numbers, values: ["0123456789"]}`: true, `["1020"]`: false, `[alice]`: false} {
		for _, ask := range []string{"user", "number"} {
			got := problems(file("a.yaml", "version: 1\nhome: {country: FR}\nlists: {l: "+list+"}\nrules:\n  - {id: a/b, on: any, when: call.to."+ask+" in lists.l, then: flag}\n"))
			if (got != "") != (wrong && ask == "user") || got != "" && !strings.Contains(got, "hint: write call.to.number in lists.l") {
				t.Errorf("%s in %s: %s", ask, list, got)
			}
		}
	}
}

// What a variable never is, is a mistake: a condition that compares it with
// that would never hold, and nobody would notice.
func TestComparedWithWhatNeverIs(t *testing.T) {
	for cond, want := range map[string]string{
		`call.direction == "outgoing"`:                      "a.yaml:3:49: when: call.direction is never \"outgoing\"",
		`"outgoing" != call.direction`:                      "a.yaml:3:31: when: call.direction is never \"outgoing\"",
		`call.to.country in ["DE", "fr"]`:                   "a.yaml:3:57: when: call.to.country is never \"fr\"",
		`call.to.class == "premium"`:                        "call.to.class is never \"premium\"",
		`call.from.kind == "extention"`:                     "did you mean extension?",
		`peer.kind == "phones"`:                             "did you mean phone?",
		`source.transport == "TLS"`:                         "source.transport is never \"TLS\"",
		`request.method == "invite"`:                        "hint: write INVITE",
		`call.to.region == "carribean"`:                     "did you mean caribbean?",
		`clock.zone("Asia/Tokyo").weekday in ["sunday"]`:    "is never \"sunday\"",
		`clock.weekday == "sun" && call.to.country != "fr"`: "call.to.country is never \"fr\"",
	} {
		got := problems(file("a.yaml", "version: 1\nrules:\n  - {id: a/b, on: any, when: '"+cond+"', then: flag}\n"))
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s", cond, got)
		}
	}
	for _, cond := range []string{`call.to.country == ""`, `call.direction != "internal"`, `call.to.class in ["premium_rate", ""]`, `call.account == "main"`} {
		if got := problems(file("a.yaml", "version: 1\nrules:\n  - {id: a/b, on: any, when: '"+cond+"', then: flag}\n")); got != "" {
			t.Errorf("%s: %s", cond, got)
		}
	}
}

func TestWhen(t *testing.T) {
	s := compile(t, file("a.yaml", `version: 1
countries: {default: allow, deny: [JM, "+4470"]}
lists: {premium_like: {values: ["+4487"], kind: prefixes}, day: ["1003"]}
rules:
  - {id: a/flag, on: invite, when: 'call.hops / (call.pass - 1) > 3', then: flag}
  - {id: a/night, on: invite, match: {direction: outbound}, when: 'clock.zone("Europe/Paris").hour >= 22 && !(call.user in ["1002"])', then: reject 480, why: "{call.user} at {clock.time}: {request.headers[\"X-Tenant\"]}"}
  - {id: a/tenant, on: invite, when: 'request.headers["x-tenant"] == "red"', then: reject 403}
  - {id: a/denied, on: invite, when: 'call.to.country in countries.deny || call.to.e164 in countries.deny', then: flag}
  - {id: a/broken, on: options, when: '100 / request.size > 5', then: reject 488}
  - {id: a/list, on: invite, when: 'call.to.e164 in lists.premium_like || call.user in lists["day"]', then: reject 486}
limits:
  - {id: a/calls, on: invite, when: 'call.to.class != "mobile"', key: user, concurrent: 2, then: reject 486}
  - {id: a/more, on: invite, when: 'counters["a/calls"] > 1', rate: 1/s, then: reject 486}
`))
	if got := strings.Join(s.Headers(), " "); got != "x-tenant" {
		t.Error(got)
	}
	a := invite(s, "+4930123456")
	a.Pass = 2
	if d := s.Judge(a); show(d) != "abstain" {
		t.Error(show(d))
	}
	a.Headers = []call.Header{{Name: "X-Tenant", Value: "red"}}
	d := s.Judge(a)
	if show(d) != "reject 403 a/tenant" || len(d.Evidence) != 1 || d.Evidence[0].Name != `request.headers["x-tenant"]` || d.Evidence[0].Value != "red" {
		t.Errorf("%s %+v", show(d), d.Evidence)
	}
	a.At = noon.Add(9*60*60*1e9 + 5*60*1e9) // 22:05 in Paris
	if d := s.Judge(a); show(d) != "reject 480 a/night" || d.Reason != "1001 at 21:05: red" {
		t.Errorf("%s %q", show(d), d.Reason)
	}
	a.User, a.Headers = "1002", nil
	if d := s.Judge(a); show(d) != "abstain" {
		t.Error(show(d))
	}
	a.Pass = 1 // a flag whose condition fails does not match, and says so
	if d := s.Judge(a); show(d) != "abstain + policy/condition-failed" || !strings.Contains(d.Also[0].Reason, "division by zero") {
		t.Errorf("%s %+v", show(d), d.Also)
	}
	a.Pass = 2
	b := invite(s, "+447012345678")
	b.Pass = 1
	if d := s.Judge(b); show(d) != "reject 403 countries/denied + policy/condition-failed + a/denied" {
		t.Errorf("%s", show(d))
	}
	// A refusal whose condition fails refuses.
	a = invite(s, "1")
	a.Method = "OPTIONS"
	if d := s.Judge(a); show(d) != "reject 488 a/broken" || d.Reason != "rule a/broken (condition: division by zero)" {
		t.Errorf("%s %q", show(d), d.Reason)
	}
	if s.Failed() == 0 {
		t.Error("failures are not counted")
	}

	a = invite(s, "+448712345678")
	a.Pass = 2
	if d := s.Judge(a); show(d) != "reject 486 a/list" {
		t.Error(show(d))
	}

	l := s.Limits()
	a = invite(s, "+4930123456")
	if !l[0].Match(a) {
		t.Error("not counted")
	}
	if a.To.Class = "mobile"; l[0].Match(a) {
		t.Error("counted although its condition does not hold")
	}
	if !l[1].Match(a) {
		t.Error("a limit whose condition fails is counted")
	}
	if s.Fresh().Count(counter(2)); !l[1].Match(a) {
		t.Error("somebody else's counts are not ours")
	}
	s.Count(counter(1))
	if l[1].Match(a) {
		t.Error("1 > 1")
	}
	s.Count(counter(2))
	if !l[1].Match(a) {
		t.Error("2 > 1")
	}
}

type counter int64

func (c counter) Counter(limit string, _ *call.Attempt) (int64, bool) {
	return int64(c), limit == "a/calls" || limit == "limits/calls-per-user"
}

// An exception opens for whom its condition holds, and for nobody when it
// cannot be evaluated.
func TestExceptionsWithConditions(t *testing.T) {
	s := compile(t, file("a.yaml", `version: 1
rules:
  - {id: a/no, on: invite, match: {to: {country: JM}}, then: reject 403}
exceptions:
  - {rule: a/no, when: 'call.user == "1042" && 70 / call.hops == 1', owner: alice, expires: 2027-01-31}
`))
	for _, c := range []struct {
		user string
		hops int
		want string
	}{
		{"1042", 70, "abstain"}, {"1042", 10, "reject 403 a/no"}, {"1042", 0, "reject 403 a/no"}, {"1001", 70, "reject 403 a/no"},
	} {
		a := invite(s, "+18765550100")
		a.User, a.Hops = c.user, c.hops
		if d := s.Judge(a); show(d) != c.want {
			t.Errorf("%s, %d: %s, want %s", c.user, c.hops, show(d), c.want)
		}
	}
}

// explain names the part of a condition that was false, and its values.
func TestConditionsAreExplained(t *testing.T) {
	s := compile(t, file("a.yaml", `version: 1
rules:
  - {id: a/no, on: invite, when: 'call.hops > 3 && (call.to.country == "JM" || call.user == "1042")', then: reject 403}
  - {id: a/broken, on: invite, when: '1 / call.pass > 3', then: flag}
limits:
  - {id: a/limit, on: invite, when: 'call.to.class == "satellite"', rate: 1/s, then: reject 480}
`))
	a := invite(s, "+4930123456")
	a.Hops = 70
	var got strings.Builder
	for _, st := range s.Explain(a, policy.Explaining{}) {
		if st.Rule != "" {
			got.WriteString(st.Rule + ": " + st.Text + "\n")
		}
	}
	for _, want := range []string{
		`when: call.to.country == "JM" is false (call.to.country = "DE"); call.user == "1042" is false (call.user = "1001")`,
		`when: call.to.class == "satellite" is false (call.to.class = "fixed")`,
		`when: 1 / call.pass > 3 is an error: division by zero (call.pass = 0)`,
	} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("missing: %s\n%s", want, got.String())
		}
	}
}
