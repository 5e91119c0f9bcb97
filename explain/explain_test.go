package explain_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/explain"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/ratelimit"
)

var update = flag.Bool("update", false, "rewrite golden files")

const site = `version: 1
home: {country: FR}
countries:
  default: deny
  allow: [DE, "+4420"]
  deny: [JM]
  classes: {premium_rate: deny}
lists:
  night_shift: ["1020", "1021"]
rules:
  - id: site/agents
    on: any
    match: {user_agent: [friendly-scanner]}
    then: drop
  - id: site/night
    on: invite
    match: {direction: outbound, hours: "22:00-06:00 Europe/Paris"}
    when: "!(call.from.user in lists.night_shift)"
    then: reject 403
    mode: shadow
    why: "at night to {call.to.country}"
  - id: site/guests
    on: invite
    match: {source: {cidr: ["203.0.113.0/24"]}}
    then: reject 403
    severity: high
    why: "guest network"
  - id: site/never-reached
    on: invite
    match: {user: "1003"}
    then: reject 480
exceptions:
  - {rule: countries/denied, match: {user: "1042", to: {country: [JM]}}, owner: alice, ticket: "T-17", expires: 2027-01-01}
limits:
  - {id: site/calls-per-user, on: invite, match: {direction: outbound}, key: [user], concurrent: 2, then: reject 486}
`

func compile(t *testing.T, text string) *policy.Set {
	t.Helper()
	set, ps := policy.Compile([]policy.Source{{Name: "site.yaml", Data: []byte(text)}}, policy.Options{})
	if set == nil {
		t.Fatal(ps)
	}
	return set
}

// phone is a call of a phone.
func phone(set *policy.Set, user, to string) *call.Attempt {
	a := &call.Attempt{At: time.Date(2026, 11, 23, 10, 0, 0, 0, time.FixedZone("", 3600)), Method: "INVITE", PeerKind: call.Phone, User: user, Direction: call.Outbound,
		Source: call.Source{Addr: netip.MustParseAddrPort("192.0.2.7:40112"), Transport: "tls", TLSVersion: "1.3", Registered: true, Country: "FR", ASN: 64500},
		From:   call.Party{User: user}, To: call.Party{User: to}, ID: "0af1", Pass: 1, SIPCallID: "a84b@192.0.2.7", UserAgent: "Phone 2.1", Policy: set.Revision()}
	set.Plan().Normalise(user, number.Dialled).Fill(&a.From)
	set.Plan().Normalise(to, number.Dialled).Fill(&a.To)
	return a
}

// Some decisions as a person reads them.
func TestText(t *testing.T) {
	set := compile(t, site)
	limits := make([]ratelimit.Limit, 0)
	for _, l := range set.Limits() {
		limits = append(limits, ratelimit.Limit(l))
	}
	for name, c := range map[string]struct {
		a      *call.Attempt
		before int // calls of the same user that are up
	}{
		"allowed":   {a: phone(set, "1001", "+44 20 7946 0000")},
		"country":   {a: phone(set, "1001", "00%31%2D876-555-0100")},
		"exception": {a: phone(set, "1042", "0018765550100")},
		"limit":     {a: phone(set, "1001", "004930123456"), before: 2},
		"emergency": {a: phone(set, "1001", "112")},
		"shadow": {a: func() *call.Attempt {
			a := phone(set, "1001", "004930123456")
			a.At = a.At.Add(13 * time.Hour)
			return a
		}()},
		"two-rules": {a: func() *call.Attempt {
			a := phone(set, "1003", "1001")
			a.Direction, a.Source.Addr = call.Internal, netip.MustParseAddrPort("203.0.113.9:5061")
			return a
		}()},
		"stranger": {a: func() *call.Attempt {
			a := phone(set, "1001", "0018765550100")
			a.PeerKind, a.User, a.Source.Registered, a.Direction, a.UserAgent = call.Stranger, "", false, call.Internal, "x\x1b[2J"
			return a
		}()},
	} {
		t.Run(name, func(t *testing.T) {
			engine, err := ratelimit.New(limits, ratelimit.Caps{})
			if err != nil {
				t.Fatal(err)
			}
			guards := []admission.Guard{engine, set}
			for i := range c.before {
				b := *c.a
				b.ID = string(rune('a' + i))
				if d := admission.Decide(guards, &b); !d.Permits() {
					t.Fatalf("call %d: %+v", i, d)
				}
			}
			d := admission.Decide(guards, c.a)
			trace := explain.Of(explain.Input{Fact: explain.Fact{Attempt: *c.a, Decision: d}, Set: set, Then: true})
			if trace.Verdict != d.Verdict || trace.Rule != d.Rule {
				t.Errorf("explained %s by %s, decided %s by %s", trace.Verdict, trace.Rule, d.Verdict, d.Rule)
			}
			if len(trace.Notes) > 0 {
				t.Errorf("notes on a decision that has all its facts: %q", trace.Notes)
			}
			var b bytes.Buffer
			if err := trace.Text(&b); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(want) {
				t.Errorf("go test ./explain -update rewrites it if that is meant; got\n%s\nwant\n%s", b.String(), want)
			}
		})
	}
}

// What is decided by somebody beside the rules is told too, and what was
// decided before anybody was asked is not explained by rules.
func TestOthersAreTold(t *testing.T) {
	set := compile(t, site)
	a := phone(set, "1001", "004930123456")
	of := func(d call.Decision) explain.Trace {
		return explain.Of(explain.Input{Fact: explain.Fact{Attempt: *a, Decision: d}, Set: set, Then: true})
	}
	has := func(tr explain.Trace, stage call.Stage, out call.Outcome, rule string) bool {
		for _, st := range tr.Steps {
			if st.Stage == stage && st.Outcome == out && st.Rule == rule {
				return true
			}
		}
		return false
	}
	tr := of(call.Decision{Verdict: call.Reject, Status: 488, Rule: "base/srtp-required", Reason: "media is not secure", Counts: []call.Count{},
		Also: []call.Decision{{Rule: "fraud/ping-call", Reason: "rang and hung up"}}})
	if !has(tr, call.StageGuard, call.Matched, "base/srtp-required") || !has(tr, call.StageGuard, call.Flagged, "fraud/ping-call") || !has(tr, call.StageRule, call.Missed, "site/guests") {
		t.Errorf("%+v", tr.Steps)
	}
	tr = of(call.Decision{Verdict: call.Reject, Status: 403, Rule: "base/identity", Reason: "From is another"})
	if !has(tr, call.StageGuard, call.Matched, "base/identity") || has(tr, call.StageRule, call.Missed, "site/guests") {
		t.Errorf("refused before the rules: %+v", tr.Steps)
	}
}

// With another policy than that of then it is said so, and what it would do.
func TestAnotherPolicyIsMarked(t *testing.T) {
	set := compile(t, site)
	a := phone(set, "1001", "0018765550100")
	a.Policy = "000000000000"
	tr := explain.Of(explain.Input{Fact: explain.Fact{Attempt: *a, Decision: call.Decision{Verdict: call.Allow, Counts: []call.Count{}}}, Set: set})
	notes := strings.Join(tr.Notes, "\n")
	if tr.Asked != set.Revision() || tr.Policy != "000000000000" || !strings.Contains(notes, "no longer at hand") || !strings.Contains(notes, "it would be reject by countries/denied") {
		t.Errorf("%+v", tr)
	}
}

// What a record keeps explains a call as its facts in memory do.
func TestRecordKeepsWhatExplains(t *testing.T) {
	set := compile(t, site)
	for _, to := range []string{"00%31%2D876-555-0100", "+44 20 7946 0000", "112"} {
		a := phone(set, "1001", to)
		a.RequestURI, a.Media, a.Hops, a.Size = "sip:x@sip.example.com", call.Media{Offered: true, Profile: "RTP/SAVP", SRTP: true}, 70, 900
		a.Headers = []call.Header{{Name: "X-Tenant", Value: "blue: green"}}
		a.To.Other = &call.Party{User: to, Number: "+1876", Kind: call.International, Country: "JM"}
		d := admission.Decide([]admission.Guard{set}, a)
		d.Counts = []call.Count{{Limit: "site/calls-per-user", Unit: "calls", Value: 1, Most: 2}}
		rec := call.Record{ID: "r", CallID: a.ID, Passes: []call.Pass{{SIPCallID: a.SIPCallID, From: a.Side.String(), Rule: d.Rule, Trace: d.Trace, Policy: a.Policy,
			Source: a.Source.Addr.String(), Transport: a.Source.Transport, TLSVersion: a.Source.TLSVersion, Facts: explain.ToRecord(a, &d)}}}
		line, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		var back call.Record
		if err := json.Unmarshal(line, &back); err != nil {
			t.Fatal(err)
		}
		facts := explain.FromRecord(back)
		if len(facts) != 1 {
			t.Fatalf("%d facts", len(facts))
		}
		got := facts[0].Attempt
		if !got.At.Equal(a.At) {
			t.Errorf("at %s, want %s", got.At, a.At)
		}
		got.At = a.At
		if !reflect.DeepEqual(got, *a) {
			t.Errorf("from the record:\n got %+v\nwant %+v", got, *a)
		}
		facts[0].Attempt.At = a.At
		text := func(f explain.Fact) string {
			var b bytes.Buffer
			explain.Of(explain.Input{Fact: f, Set: set, Then: true}).Text(&b)
			return b.String()
		}
		if got, want := text(facts[0]), text(explain.Fact{Attempt: *a, Decision: d}); got != want {
			t.Errorf("from the record:\n%s\nfrom memory:\n%s", got, want)
		}
	}
}

// Credentials are neither kept in records nor shown.
func TestSecretsAreNotShown(t *testing.T) {
	set := compile(t, site)
	a := phone(set, "1001", "bob:s3cret")
	a.From.User = "al%69ce:s3cret" // an escape opens nothing
	a.RequestURI = "sip:bob:s3cret@example.com"
	a.Headers = []call.Header{{Name: "Authorization", Value: "Digest response=s3cret"}, {Name: "Cookie", Value: "s3cret"}}
	d := call.Decision{Verdict: call.Allow, Counts: []call.Count{}}
	var b bytes.Buffer
	tr := explain.Of(explain.Input{Fact: explain.Fact{Attempt: *a, Decision: d}, Set: set, Then: true})
	if err := tr.Text(&b); err != nil {
		t.Fatal(err)
	}
	j, _ := json.Marshal(tr)
	f, _ := json.Marshal(explain.ToRecord(a, &d))
	for _, s := range []string{b.String(), string(j), string(f)} {
		if strings.Contains(s, "s3cret") {
			t.Errorf("a credential is shown: %s", s)
		}
	}
}
