package trial_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/trial"
)

const site = `version: 1
home: {country: FR}
countries: {default: deny, allow: [DE, BE, GB, US], deny: ["+4470"]}
limits:
  - {id: site/calls, on: invite, match: {direction: outbound}, key: [user], concurrent: 4, then: reject 486}
  - {id: site/rate, on: message, key: [user], rate: 1/s, burst: 2, then: reject 480}
  - {id: site/guesses, on: register, key: [source.ip, register.user], failures: 3, over: 5m, then: drop}
rules:
  - {id: site/scanner, on: any, match: {user_agent: sipvicious}, then: drop, action: scanner}
  - {id: site/watch, on: invite, match: {to: {country: [DE]}}, then: flag}
  - {id: site/soon, on: invite, match: {to: {country: [BE]}}, then: reject 403, mode: shadow}
  - {id: site/own, on: invite, match: {from: {own: true}}, then: reject 403}
  - {id: site/off, on: invite, then: drop, mode: off}
  - {id: site/night, on: invite, match: {to: {country: [US]}, hours: "22:00-06:00 Europe/Paris"}, then: reject 403}
  - {id: site/header, on: message, when: "request.headers['x-spam'] == 'yes' && source.country == 'RU' && source.asn == 64500 || request.size > 5000", then: reject 403}
tests:
`

// run runs tests written into a policy; it returns what was wrong with each.
func run(t *testing.T, tests string) map[string]string {
	t.Helper()
	s := set(t, site+tests)
	out := map[string]string{}
	for _, r := range trial.RunAll(trial.Options{Set: s}, s.Tests(), nil).Results {
		var wrong []string
		for _, f := range r.Failures {
			wrong = append(wrong, fmt.Sprint(f.Index, ": ", strings.Join(f.Wrong, "; ")))
		}
		out[r.Test.Name] = strings.Join(wrong, "\n")
	}
	return out
}

func TestRuns(t *testing.T) {
	for name, wrong := range run(t, `
  - name: jamaica is not the US
    at: 2026-11-23T10:00:00+01:00
    invite: {from: "1001", to: "0018765550100"}
    expect: {verdict: reject, rule: countries/denied, status: 403, alerts: [call-rejected], not_alert: scanner}
  - name: a fifth call at the same time is refused
    events:
      - {at: "+0s", every: 1s, times: 5, invite: {from: "1001", to: "+442079460000"}}
    expect: [allow, allow, allow, allow, {verdict: reject, rule: site/calls, status: 486}]
  - name: a call that ended makes room
    events:
      - {times: 4, hangup: 10s, invite: {from: "1001", to: "+442079460000"}}
      - {at: "+9999ms", invite: {from: "1001", to: "+442079460000"}}
      - {at: "+10s", every: 1s, times: 5, invite: {from: "1001", to: "+442079460000"}}
    expect: [{times: 4, verdict: allow}, reject 486, {times: 4, verdict: allow}, reject 486]
  - name: a call that nobody takes is over at once
    events:
      - {times: 9, code: 486, invite: {from: "1001", to: "+442079460000"}}
    expect: allow
  - name: refused calls are not counted
    events:
      - {times: 9, invite: {from: "1001", to: "+18765550100"}, expect: reject 403}
      - {times: 4, invite: {from: "1001", to: "+442079460000"}, expect: allow}
  - name: others have their own calls
    events:
      - {times: 4, invite: {from: "1001", to: "+442079460000"}}
      - {times: 4, invite: {from: "1002", to: "+442079460000"}}
    expect: allow
  - name: an emergency call when all places are taken
    events:
      - {times: 4, invite: {from: "1001", to: "+442079460000"}, expect: allow}
      - {invite: {from: "1001", to: "112", user_agent: sipvicious}, expect: {verdict: allow, rule: base/emergency, alerts: emergency-call, not_rule: [site/calls, site/scanner]}}
  - name: passes of a call are one call
    events:
      - {times: 4, invite: {from: "1001", to: "+442079460000"}}
      - {invite: {from: "1002", to: "+442079460000", call: a}}
      - {invite: {pbx: main, from: "1002", to: "+442079460000", call: a}}
    expect: allow
  - name: messages at a rate
    events:
      - {times: 3, message: {from: "1001", to: "1002"}, expect: [allow, allow, {status: 480, asked: site/rate}]}
      - {at: "+2s", message: {from: "1001", to: "1002"}, expect: allow}
  - name: who guesses is shut out
    events:
      - {every: 1s, times: 3, code: 403, register: {to: "1001"}, expect: allow}
      - {at: "+5s", register: {to: "1001"}, expect: {verdict: drop, alerts: [flood]}}
      - {at: "+5s", register: {to: "1001", source: 198.51.100.7}, expect: allow}
      - {at: "+10m", register: {to: "1001"}, expect: {verdict: allow, alerts: [], rule: none}}
  - name: a good registration forgets the bad ones
    events:
      - {times: 2, code: 403, register: {to: "1001"}}
      - {register: {to: "1001"}}
      - {times: 3, code: 403, register: {to: "1001"}}
    expect: allow
  - name: flags
    invite: {from: "1001", to: "+4930123456"}
    expect: {verdict: allow, flags: [site/watch], shadow: [], alerts: [rule-flagged], not_rule: site/soon, asked: site/watch}
  - name: shadow
    invite: {from: "1001", to: "+3225123456"}
    expect: {verdict: allow, flags: [], shadow: [site/soon], alerts: [call-would-reject]}
  - {name: at night, at: 2026-11-23T23:00:00+01:00, invite: {from: "1001", to: "+16175550100"}, expect: {rule: site/night}}
  - {name: by day, at: 2026-11-23T12:00:00+01:00, invite: {from: "1001", to: "+16175550100"}, expect: allow}
  - {name: a header field, message: {from: "1001", to: "1002", headers: {X-Spam: "yes"}, source: {ip: 198.51.100.7, country: RU, asn: 64500}}, expect: {rule: site/header}}
  - {name: another, message: {from: "1001", to: "1002", headers: {X-Spam: "no"}, source: {ip: 198.51.100.7, country: RU, asn: 64500}}, expect: allow}
  - {name: a long message, message: {from: "1001", to: "1002", size: 5001}, expect: {rule: site/header}}
  - name: repetitions have a number
    events:
      - {times: 5, invite: {from: "100{n}", to: "+44207946000{n}"}, expect: allow}
      - {times: 4, invite: {from: "1001", to: "+442079460000"}, expect: [allow, allow, allow, {rule: site/calls}]}
      - {times: 4, code: 404, register: {to: "1001", source: {net: "2001:db8::/32"}}}
      - {times: 4, code: 404, register: {to: "1001", source: {net: 198.51.100.0/30}}}
      - {register: {to: "1001", source: 198.51.100.3}, expect: allow}
  - name: strangers
    events:
      - {invite: {stranger: true, from: "1001", to: "+442079460000"}, expect: {verdict: reject, rule: base/stranger}}
      - {options: {stranger: true, user_agent: sipvicious}, expect: {verdict: drop, rule: site/scanner}}
  - name: our own number from outside
    own_numbers: ["+33199"]
    events:
      - {invite: {peer: carrier-a, from: "+33199001122", to: "+33123456789"}, expect: {verdict: reject, rule: site/own}}
      - {invite: {peer: carrier-a, from: "+33188001122", to: "+33123456789"}, expect: allow}
`) {
		if wrong != "" {
			t.Errorf("%s:\n%s", name, wrong)
		}
	}
}

// Every kind of expectation can fail.
func TestFailures(t *testing.T) {
	got := run(t, `
  - {name: verdict, invite: {from: "1001", to: "1002"}, expect: reject}
  - {name: status, invite: {from: "1001", to: "+18765550100"}, expect: reject 404}
  - {name: rule, invite: {from: "1001", to: "+18765550100"}, expect: {rule: site/own}}
  - {name: no rule, invite: {from: "1001", to: "+18765550100"}, expect: {rule: none}}
  - {name: asked, invite: {from: "1001", to: "1002"}, expect: {asked: site/watch}}
  - {name: not asked, invite: {from: "1001", to: "+4930123456"}, expect: {not_rule: site/watch}}
  - {name: alert, invite: {from: "1001", to: "1002"}, expect: {alerts: [call-rejected]}}
  - {name: no alert, invite: {from: "1001", to: "+4930123456"}, expect: {alerts: []}}
  - {name: one alert, invite: {from: "1001", to: "+4930123456"}, expect: {alerts: [rule-flagged, rule-flagged]}}
  - {name: not that alert, invite: {from: "1001", to: "+4930123456"}, expect: {not_alert: rule-flagged}}
  - {name: flags, invite: {from: "1001", to: "+4930123456"}, expect: {flags: []}}
  - {name: shadow, invite: {from: "1001", to: "+3225123456"}, expect: {shadow: []}}
  - {name: sequence, events: [{times: 9, invite: {from: "1001", to: "+442079460000"}}], expect: allow}
`)
	for name, want := range map[string]string{
		"verdict":        "1: verdict reject, but got allow",
		"status":         "1: status 404, but got reject 403 by countries/denied",
		"rule":           "1: rule site/own, but got countries/denied",
		"no rule":        "1: rule none, but got countries/denied",
		"asked":          "1: a match of site/watch, but got none",
		"not asked":      "1: no match of site/watch, but got one",
		"alert":          "1: alerts call-rejected, but got none",
		"no alert":       "1: alerts none, but got rule-flagged",
		"one alert":      "1: alerts rule-flagged, rule-flagged, but got rule-flagged",
		"not that alert": "1: no alert rule-flagged, but got one",
		"flags":          "1: flags none, but got site/watch",
		"shadow":         "1: shadow refusals none, but got site/soon",
		"sequence": "5: verdict allow, but got reject 486 by site/calls\n6: verdict allow, but got reject 486 by site/calls\n" +
			"7: verdict allow, but got reject 486 by site/calls\n8: verdict allow, but got reject 486 by site/calls\n9: verdict allow, but got reject 486 by site/calls",
	} {
		if got[name] != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got[name], want)
		}
	}
}

func TestFailureText(t *testing.T) {
	s := set(t, site+`
  - name: too many
    events:
      - {every: 1s, times: 5, invite: {from: "1001", to: "00442079460000"}}
    expect: allow
`)
	r := trial.Run(trial.Options{Set: s}, &s.Tests()[0], nil)
	got := r.Failures[0].Text()
	for _, want := range []string{
		"request 5 of 5, at +4s\n",
		`request:  INVITE from phone 192.0.2.1, "1001" to "00442079460000" = +442079460000 (GB, fixed), outbound` + "\n",
		"expected: allow\n", "actual:   reject 486 by site/calls, alerts call-rejected\n",
		"international prefix 00", "> site/calls: 4 of 4 calls: no more", "countries: country GB is allowed, site.yaml:3",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	s2 := set(t, site+"  - {name: x, invite: {from: \"1001\", to: \"1002\"}, expect: {rule: site/scanner}}\n")
	if got := trial.Run(trial.Options{Set: s2}, &s2.Tests()[0], nil).Failures[0].Text(); !strings.Contains(got, "- site/scanner: user_agent is nothing, not sipvicious [site.yaml:9]") || strings.Contains(got, "site/watch") {
		t.Errorf("it is not told why the expected rule did not match, or why others did not:\n%s", got)
	}
	s3 := set(t, site+"  - {name: any refusal, invite: {from: \"1001\", to: \"1002\"}, expect: reject}\n")
	if got := trial.Run(trial.Options{Set: s3}, &s3.Tests()[0], nil).Failures[0].Text(); !strings.Contains(got, "- site/scanner: user_agent is nothing, not sipvicious [site.yaml:9]") {
		t.Errorf("a refusal was wanted, and it is not told why no rule of the file refuses:\n%s", got)
	}
	if p := r.Problem(); p.String() != "site.yaml:21:13: test \"too many\" failed, request 5 of 5 at +4s: expected verdict allow, but got reject 486 by site/calls\n    hint: rampart policy test shows the whole trace" {
		t.Error(p)
	}
}

func TestCoverage(t *testing.T) {
	s := set(t, site+`
  - {name: a, invite: {from: "1001", to: "+4930123456"}, expect: allow}
  - {name: b, invite: {from: "1001", to: "+34912345678"}, expect: reject}
  - {name: c, invite: {from: "1001", to: "+3225123456"}, expect: allow}
`)
	r := trial.RunAll(trial.Options{Set: s}, s.Tests(), nil)
	var missed, hit []string
	for _, e := range r.Coverage.Entries() {
		if e.Hits == 0 {
			missed = append(missed, e.String())
		} else {
			hit = append(hit, e.ID)
		}
	}
	slices.Sort(missed)
	if got := strings.Join(missed, " "); got != "site.yaml:12: site/own site.yaml:14: site/night site.yaml:15: site/header site.yaml:3: countries.deny site.yaml:5: site/calls site.yaml:6: site/rate site.yaml:7: site/guesses site.yaml:9: site/scanner" {
		t.Error(got)
	}
	if got := strings.Join(hit, " "); got != "site/watch site/soon countries.default countries.allow" {
		t.Error(got)
	}
	only := trial.RunAll(trial.Options{Set: s}, s.Tests(), func(t *policy.Test) bool { return t.Name == "b" })
	if len(only.Results) != 1 || only.Results[0].Test.Name != "b" {
		t.Error(only.Results)
	}
}

// What decisions ask for beside their verdict counts for the requests after
// them, as in the gateway.
func TestEffects(t *testing.T) {
	s := set(t, `version: 1
home: {country: FR}
rules:
  - {id: site/scanner, on: any, match: {user_agent: sipvicious}, then: ban 1h}
  - {id: site/costly, on: invite, match: {to: {country: [CU]}}, then: hold 30m}
  - {id: site/net, on: connect, match: {source: {cidr: 203.0.113.0/24}}, then: drop}
  - {id: site/country, on: connect, match: {source: {country: [RU]}}, then: flag}
  - {id: site/long, on: progress, match: {to: {international: true}}, when: "call.seconds > 600", then: hangup}
  - {id: site/told, on: progress, match: {to: {international: true}}, then: flag}
limits:
  - {id: site/calls, on: invite, match: {direction: outbound}, key: [user], concurrent: 1, then: reject 486}
tests:
  - name: a banned address
    events:
      - {options: {stranger: true, user_agent: sipvicious}, expect: {verdict: drop, rule: site/scanner, effects: ban, alerts: [source-banned, request-rejected]}}
      - {at: "+1s", register: {to: "1001"}, expect: {verdict: drop, rule: bans/banned, effects: []}}
      - {at: "+1s", register: {to: "1001", source: 198.51.100.7}, expect: allow}
      - {at: "+1h", register: {to: "1001"}, expect: allow}
  - name: an address where somebody is known is not banned
    events:
      - {register: {to: "1001", registered: true}, expect: allow}
      - {options: {stranger: true, user_agent: sipvicious}, expect: {verdict: drop, effects: []}}
      - {at: "+1s", register: {to: "1001"}, expect: allow}
  - name: nor one that may be forged
    events:
      - {options: {stranger: true, user_agent: sipvicious, transport: udp}, expect: {verdict: drop, effects: []}}
      - {at: "+1s", register: {to: "1001"}, expect: allow}
  - name: a held user
    events:
      - {invite: {from: "1001", to: "+5371234567"}, expect: {verdict: reject, effects: hold}}
      - {at: "+1m", invite: {from: "1001", to: "+442079460000"}, expect: {verdict: reject, rule: holds/costly-calls}}
      - {at: "+1m", hangup: 1s, invite: {from: "1001", to: "+33123456789"}, expect: allow}
      - {at: "+2m", invite: {from: "1001", to: "112"}, expect: {verdict: allow, rule: base/emergency}}
      - {at: "+31m", invite: {from: "1001", to: "+442079460000"}, expect: allow}
  - name: connections
    events:
      - {connect: {source: 203.0.113.9}, expect: {verdict: drop, rule: site/net}}
      - {connect: {source: {ip: 198.51.100.7, country: RU}}, expect: {verdict: allow, flags: site/country}}
      - {connect: {source: 198.51.100.7}, expect: {verdict: allow, alerts: []}}
  - name: calls that are up
    events:
      - {invite: {from: "1001", to: "+442079460000", call: a}, expect: allow}
      - {at: "+1m", progress: {call: a}, expect: {verdict: allow, flags: site/told, effects: []}}
      - {at: "+2m", progress: {call: a}, expect: {verdict: allow, alerts: []}}
      - {at: "+3m", invite: {from: "1001", to: "+442079460000"}, expect: reject 486}
      - {at: "+601s", progress: {call: a}, expect: {rule: site/long, effects: hangup}}
      - {at: "+602s", invite: {from: "1001", to: "+442079460000"}, expect: allow}
  - name: no such call
    events:
      - {at: "+1m", progress: {call: b}, expect: allow}
`)
	r := trial.RunAll(trial.Options{Set: s}, s.Tests(), nil)
	for i := range r.Results {
		res := &r.Results[i]
		if res.Test.Name == "no such call" {
			if res.Passed() || !strings.Contains(res.Failures[0].Text(), `no call "b" is up`) {
				t.Error("a call that is not there is looked at")
			}
			continue
		}
		for _, f := range res.Failures {
			t.Errorf("%s:\n%s%s", res.Test.Name, f.Text(), f.Wrong)
		}
	}
}

func TestExceptions(t *testing.T) {
	s := set(t, `version: 1
home: {country: FR}
countries: {default: deny}
limits: [{id: site/calls, on: invite, key: [user], concurrent: 1, then: reject 486}]
exceptions:
  - {rule: countries/denied, match: {user: ["1042"], to: {country: [JM]}}, owner: alice, expires: 2026-02-01}
  - {rule: countries/denied, match: {user: ["1043"]}, owner: alice, expires: 2026-02-01}
  - {rule: site/calls, match: {user: ["1042"]}, owner: alice, expires: 2026-02-01}
tests:
  - name: opened for one
    events:
      - {times: 2, invite: {from: "1042", to: "+18765550100"}, expect: {verdict: allow, excepted: [countries/denied, site/calls]}}
      - {invite: {from: "1001", to: "+18765550100"}, expect: {verdict: reject, rule: countries/denied}}
  - {name: too late, at: 2026-02-01T00:00:00Z, invite: {from: "1042", to: "+18765550100"}, expect: reject}
  - {name: wrong, invite: {from: "1001", to: "1002"}, expect: {excepted: countries/denied}}
`)
	r := trial.RunAll(trial.Options{Set: s}, s.Tests(), nil)
	for i := range r.Results {
		var wrong []string
		for _, f := range r.Results[i].Failures {
			wrong = append(wrong, f.Wrong...)
		}
		want := ""
		if r.Results[i].Test.Name == "wrong" {
			want = "an exception to countries/denied, but got none"
		}
		if strings.Join(wrong, "; ") != want {
			t.Errorf("%s: %s", r.Results[i].Test.Name, wrong)
		}
	}
	var missed []string
	for _, e := range r.Coverage.Entries() {
		if e.Hits == 0 {
			missed = append(missed, e.String())
		}
	}
	if got := strings.Join(missed, " "); got != "site.yaml:4: site/calls site.yaml:7: exception to countries/denied" {
		t.Error(got)
	}
}

func FuzzTests(f *testing.F) {
	f.Add(site + "  - {name: x, events: [{at: \"+1s\", every: 1s, times: 3, hangup: 2s, code: 486, invite: {from: \"1{n}\", to: \"+4420\", source: {net: 10.0.0.0/8}}}], expect: [{times: 2, verdict: allow}, reject 403]}\n")
	f.Add(site + "  - {name: x, register: {to: \"a@b\", registered: true, expires: 0}, expect: {alerts: [], flags: [], rule: none}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, _ := policy.Compile([]policy.Source{{Name: "f.yaml", Data: []byte(text)}}, policy.Options{})
		if s == nil {
			return
		}
		n := 0
		for _, x := range s.Tests() {
			n += len(x.Requests)
		}
		if n > 2000 {
			return // allowed, and slow
		}
		r := trial.RunAll(trial.Options{Set: s}, s.Tests(), nil)
		if len(r.Results) != len(s.Tests()) {
			t.Error("tests were left out")
		}
		for i := range r.Results {
			for j := range r.Results[i].Failures {
				f := &r.Results[i].Failures[j]
				if len(f.Wrong) == 0 || !strings.Contains(f.Text(), "actual:") && f.Attempt != nil {
					t.Errorf("a failure says nothing: %+v", f)
				}
			}
		}
	})
}

func TestJUnit(t *testing.T) {
	s := set(t, site+`
  - {name: good, invite: {from: "1001", to: "1002"}, expect: allow}
  - {name: "bad <&\"", invite: {from: "1001", to: "]]>\u0001\uFFFE"}, expect: reject}
`)
	r := trial.RunAll(trial.Options{Set: s}, s.Tests(), nil)
	var b bytes.Buffer
	if err := r.JUnit(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Cases    []struct {
				Name    string `xml:"name,attr"`
				Line    int    `xml:"line,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	if got.Tests != 2 || got.Failures != 1 || len(got.Suites) != 1 || got.Suites[0].Name != "site.yaml" || len(got.Suites[0].Cases) != 2 {
		t.Fatalf("%+v", got)
	}
	bad := got.Suites[0].Cases[1]
	if got.Suites[0].Cases[0].Failure != nil || bad.Failure == nil || bad.Name != `bad <&"` || bad.Line != 19 || !strings.Contains(bad.Failure.Text, "expected: reject") {
		t.Errorf("%+v", bad)
	}
}

// Tables are made small for a test; its counts are those of the gateway's all
// the same.
func TestSmallTablesForgetNobody(t *testing.T) {
	s := set(t, `version: 1
limits: [{id: site/rate, on: options, match: {stranger: true}, key: [source.ip], rate: 1/h, burst: 1, then: drop}]
`)
	test := policy.Test{At: noon}
	r := &policy.Described{Method: "OPTIONS", Stranger: true, Net: netip.MustParsePrefix("198.18.0.0/15")}
	for i := range 500 {
		test.Requests = append(test.Requests, policy.TestRequest{Request: r, N: i%250 + 1, Expect: &policy.Expect{}})
	}
	for i := range test.Requests {
		test.Requests[i].Expect.Rule = "base/stranger"
		if i >= 250 {
			test.Requests[i].Expect.Rule = "site/rate"
		}
	}
	if r := trial.Run(trial.Options{Set: s}, &test, nil); !r.Passed() {
		t.Error(r.Failures[0].Index, r.Failures[0].Wrong)
	}
	if r := trial.Run(trial.Options{Set: s, Limits: []ratelimit.Limit{{ID: "x"}}}, &test, nil); r.Passed() {
		t.Error("a limit that cannot be counted is no failure")
	}
}

func BenchmarkThousandTests(b *testing.B) {
	var text strings.Builder
	text.WriteString(site)
	for i := range 1000 {
		fmt.Fprintf(&text, "  - {name: t%d, events: [{every: 1s, times: 5, invite: {from: \"1001\", to: \"+442079460000\"}}], expect: [{times: 4, verdict: allow}, reject 486]}\n", i)
	}
	s := set(b, text.String())
	b.ReportAllocs()
	for b.Loop() {
		if trial.RunAll(trial.Options{Set: s}, s.Tests(), nil).Failed() > 0 {
			b.Fatal("failed")
		}
	}
}
