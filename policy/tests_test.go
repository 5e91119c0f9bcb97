package policy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/policy"
)

func TestTestsAreReadStrictly(t *testing.T) {
	const rule = "version: 1\nrules: [{id: site/flag, on: any, then: flag}]\ntests:\n"
	many := func(n int, line string) string { return strings.Repeat(line+"\n", n) }
	for _, c := range []struct{ tests, want string }{
		{`  - {invite: {from: "1", to: "2"}, expect: allow}`, `p.yaml:4:6: tests[0].name is missing`},
		{`  - {name: x, expect: allow}`, "p.yaml:4:6: a test has a request or events\n    hint: add for example invite:"},
		{`  - {name: x, invite: {from: "1", to: "2"}}`, "p.yaml:4:6: the test expects nothing\n    hint: add expect: allow"},
		{`  - {name: x, invite: {from: 1001, to: "2"}, expect: allow}`, "tests[0].invite.from: 1001 without quotes is a number"},
		{`  - {name: x, invite: {form: "1001", to: "2"}, expect: allow}`, "unknown key \"form\" in tests[0].invite\n    hint: did you mean from?"},
		{`  - {name: x, invit: {from: "1001", to: "2"}, expect: allow}`, "unknown key \"invit\" in tests[0]\n    hint: did you mean invite?"},
		{`  - {name: x, invite: {from: "1", to: "2"}, expect: {verdict: reject, rul: site/flag}}`, "unknown key \"rul\" in tests[0].expect\n    hint: did you mean rule?"},
		{`  - {name: x, invite: {from: "1", to: "2"}, expect: alow}`, "unknown verdict \"alow\"\n    hint: did you mean allow?"},
		{`  - {name: x, invite: {from: "1", to: "2"}, expect: {rule: site/flag, verdict: alow}}`, "p.yaml:4:80: unknown verdict \"alow\""},
		{`  - {name: x, invite: {from: "1", to: "2"}, expect: reject now}`, `"now" is not a SIP code`},
		{`  - {name: x, invite: {from: "1", to: "2"}, expect: reject 200}`, `a refusal has a status of 400 to 699, not 200`},
		{`  - {name: x, invite: {from: "1", to: "2"}, expect: {}}`, `nothing is expected`},
		{`  - {name: x, invite: {from: "1", to: "2"}, expect: {verdict: allow, flags: [site/flga]}}`, "p.yaml:4:54: the test expects a rule site/flga, which is nowhere\n    hint: did you mean site/flag?"},
		{`  - {name: x, invite: {from: "1", to: "2"}, expect: {not_rule: other/rule}}`, "a rule other/rule, which is nowhere\n    hint: rules of a pack are known where the pack is in use"},
		{`  - {name: x, invite: {from: "1", to: "2"}, events: [{invite: {from: "1", to: "2"}}], expect: allow}`, `a test has one request or events, not both`},
		{`  - {name: x, invite: {from: "1", to: "2"}, message: {from: "1", to: "2"}, expect: allow}`, `two requests in one test`},
		{`  - {name: x, events: [{invite: {from: "1", to: "2"}, message: {from: "1", to: "2"}}], expect: allow}`, `an event is one request, not 2`},
		{`  - {name: x, events: [{times: 3, invite: {from: "1", to: "2"}}], expect: [allow, reject]}`, "p.yaml:4:75: 3 requests and 2 expectations\n    hint: one for each request"},
		{`  - {name: x, events: [{invite: {from: "1", to: "2"}, expect: allow}], expect: allow}`, `expect: stands at the test and at its events`},
		{`  - {name: x, events: [{at: soon, invite: {from: "1", to: "2"}}], expect: allow}`, `"soon" is neither a time after the begin of the test`},
		{`  - {name: x, events: [{at: 2020-01-01T00:00:00Z, invite: {from: "1", to: "2"}}], expect: allow}`, `the event is before the test, which begins at 2026-01-05T12:00:00Z`},
		{`  - {name: x, events: [{every: 365d, times: 10000, invite: {from: "1", to: "2"}}], expect: allow}`, `a test lasts at most ten years`},
		{`  - {name: x, events: [{times: 10001, invite: {from: "1", to: "2"}}], expect: allow}`, `a test has at most 10000 requests`},
		{`  - {name: x, events: [{times: 0, invite: {from: "1", to: "2"}}], expect: allow}`, `a test has at most 10000 requests`},
		{`  - {name: x, events: [{code: 100, invite: {from: "1", to: "2"}}], expect: allow}`, `100 is not a final SIP code`},
		{`  - {name: x, events: [{hangup: 1s, message: {from: "1", to: "2"}}], expect: allow}`, `only calls are hung up`},
		{`  - {name: x, events: [], expect: allow}`, `a test has 1 to 1000 events, not 0`},
		{`  - {name: x, invite: {peer: a, stranger: true, to: "2"}, expect: allow}`, `a request comes from a peer, a pbx or a stranger`},
		{`  - {name: x, invite: {to: "2"}, expect: allow}`, "which phone is it?\n    hint: add from:"},
		{`  - {name: x, invite: {from: "1"}, expect: allow}`, `the request goes to nobody`},
		{`  - {name: x, invite: {from: "1", to: "2", registered: false}, expect: allow}`, `a phone that is not registered is a stranger`},
		{`  - {name: x, invite: {from: "1", to: "2", transport: sctp}, expect: allow}`, `unknown transport "sctp"`},
		{`  - {name: x, invite: {from: "1", to: "2", source: here}, expect: allow}`, `"here" is not an IP address`},
		{"  - {name: x, invite: {from: \"1\", to: \"2\"}, expect: allow}\n  - {name: x, invite: {from: \"1\", to: \"2\"}, expect: allow}", `test "x" is already in line 4`},
		{`  - {name: x, invite: {from: "1", to: "2"}, expect: {not_alert: call-rejcted}}`, "unknown alert \"call-rejcted\"\n    hint: did you mean call-rejected?"},
		{`  - {name: x, invite: {from: "1", to: "2"}, expect: {effects: [bann]}}`, "unknown effect \"bann\"\n    hint: did you mean ban?"},
		{`  - {name: x, events: [{progress: {}}], expect: allow}`, "which call is it?"},
		{`  - {name: x, invite: {from: "1", to: "2", source: {ip: 192.0.2.1, net: 192.0.2.0/24}}, expect: allow}`, "the source is one address, or one of a network"},
		{`  - {name: x, own_numbers: [FR], invite: {from: "1", to: "2"}, expect: allow}`, `FR is not a prefix`},
		{"  - name: x\n    expect: allow\n    events:\n" + many(1001, `      - invite: {from: "1", to: "2"}`), `a test has 1 to 1000 events, not 1001`},
		{many(21, `  - {name: x, events: [{times: 10000, invite: {from: "1", to: "2"}}], expect: allow}`), `more than 200000 requests in all tests together`},
	} {
		tests := c.tests
		if strings.Count(tests, "{name: x, events: [{times: 10000") == 21 {
			for i := range 21 {
				tests = strings.Replace(tests, "name: x,", fmt.Sprintf("name: n%d,", i), 1)
			}
		}
		_, ps := policy.Compile([]policy.Source{file("p.yaml", rule+tests)}, policy.Options{})
		if !strings.Contains(ps.String(), c.want) {
			t.Errorf("%.200s:\nwant %s\n got %s", c.tests, c.want, ps)
		}
	}
}

func TestTooManyTests(t *testing.T) {
	var files []policy.Source
	for f := range 5 { // a file has room for some six thousand
		var b strings.Builder
		b.WriteString("version: 1\ntests:\n")
		for i := range 4001 {
			fmt.Fprintf(&b, "- {name: t%d, options: {}, expect: allow}\n", i)
		}
		files = append(files, file(fmt.Sprint("p", f, ".yaml"), b.String()))
	}
	if _, ps := policy.Compile(files, policy.Options{}); !strings.Contains(ps.String(), "more than 20000 tests") {
		t.Errorf("%.300s", ps)
	}
}

func TestTestsAreLaidOutInTime(t *testing.T) {
	s := compile(t, file("p.yaml", `version: 1
tests:
  - name: sequence
    events:
      - {at: "+2s", every: 2s, times: 3, invite: {from: "1001", to: "1002"}}
      - {at: "2026-01-05T12:00:03Z", code: 486, message: {peer: carrier-a, to: "1001", source: {ip: "::ffff:198.51.100.7", port: 5070, country: DE, asn: 64500}, headers: {X-B: "2", X-A: "1"}}}
      - {hangup: 10s, invite: {from: "1001", to: "1002"}}
    expect: [{times: 4, verdict: allow}, {alerts: [], rule: none}]
`))
	all := s.Tests()
	if len(all) != 1 || !all[0].At.Equal(time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)) || all[0].Pack || all[0].File != "p.yaml" || all[0].Pos.Line != 3 {
		t.Fatalf("%+v", all)
	}
	var got []string
	for _, r := range all[0].Requests {
		got = append(got, fmt.Sprintf("%s %s %d %v %s", r.After, r.Request.Method, r.Code, r.Ends, r.Expect.Verdict))
	}
	want := "0s INVITE 0 true allow, 2s INVITE 0 false allow, 3s MESSAGE 486 false allow, 4s INVITE 0 false allow, 6s INVITE 0 false abstain"
	if strings.Join(got, ", ") != want {
		t.Errorf("\n got %s\nwant %s", strings.Join(got, ", "), want)
	}
	m := all[0].Requests[2].Request
	if m.Source.String() != "198.51.100.7" || m.Port != 5070 || m.Country != "DE" || m.ASN != 64500 || len(m.Headers) != 2 || m.Headers[0].Name != "X-A" {
		t.Errorf("%+v", m)
	}
	if e := all[0].Requests[4].Expect; e.Alerts == nil || e.Rule != policy.RuleNone {
		t.Errorf("an empty list of alerts expects none: %+v", e)
	}
}

func TestRepetitions(t *testing.T) {
	d := policy.Described{From: "10{n}", To: "+44{n}{n}", Net: netip.MustParsePrefix("198.51.100.6/31")}
	for n, want := range map[int]string{1: "101 +4411 198.51.100.6", 2: "102 +4422 198.51.100.7", 3: "103 +4433 198.51.100.6", 10: "1010 +441010 198.51.100.7"} {
		if r := d.Nth(n); fmt.Sprint(r.From, " ", r.To, " ", r.Source) != want {
			t.Errorf("%d: %s %s %s, want %s", n, r.From, r.To, r.Source, want)
		}
	}
	for net, want := range map[string]string{"2001:db8::/32": "2001:db8::270f", "2001:db8::/126": "2001:db8::3", "0.0.0.0/0": "0.0.39.15", "192.0.2.9/32": "192.0.2.9"} {
		d.Net = netip.MustParsePrefix(net)
		if got := d.Nth(10_000).Source.String(); got != want {
			t.Errorf("%s: %s, want %s", net, got, want)
		}
	}
}

// What coverage calls the place of a decision is where Judge made it.
func TestPlaceAgreesWithJudge(t *testing.T) {
	s := compile(t, file("p.yaml", `version: 1
home: {country: FR}
countries: {default: deny, allow: [DE, "+4420"], deny: ["+4930", BE], classes: {premium_rate: deny}, short: ["3900"]}
`))
	for to, want := range map[string]string{
		"+4989123456": "countries.allow", "+442079460000": "countries.allow", "+4930123456": "countries.deny", "+3225123456": "countries.deny",
		"0899123456": "countries.classes", "+34912345678": "countries.default", "0123456789": "", "3900": "countries.short", "112": "", "*97": "",
	} {
		a := invite(s, to)
		d := s.Judge(a)
		if got := s.Place(a); got != want {
			t.Errorf("%s: %q, want %q", to, got, want)
		} else if denied := got == "countries.deny" || got == "countries.classes" || got == "countries.default"; denied != (d.Verdict == 3) && to != "*97" {
			t.Errorf("%s: %q, but %s", to, got, show(d))
		}
	}
	var ids []string
	for _, r := range s.Reachable() {
		ids = append(ids, fmt.Sprint(r.ID, ":", r.Line))
	}
	if got := strings.Join(ids, " "); got != "countries.default:3 countries.allow:3 countries.deny:3 countries.classes:3 countries.short:3" {
		t.Error(got)
	}
}
