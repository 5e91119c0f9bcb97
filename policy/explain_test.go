package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
)

// chance draws parts of policies and requests.
type chance struct{ *rand.Rand }

func (r chance) one(of ...string) string { return of[r.IntN(len(of))] }

func (r chance) match() string {
	var keys []string
	add := func(format string, args ...any) {
		if r.IntN(4) == 0 {
			keys = append(keys, fmt.Sprintf(format, args...))
		}
	}
	add("direction: %s", r.one("inbound", "outbound", "internal"))
	add("stranger: %s", r.one("true", "false"))
	add("registered: %s", r.one("true", "false"))
	add("diverted: %s", r.one("true", "false"))
	add("peer: [%s]", r.one("carrier-a", "main, carrier-a"))
	add("user: %s", r.one(`"1001"`, `["1002"]`, "{list: night}"))
	add("transferred: %s", r.one("true", "false"))
	add("size: %q", r.one(">4KiB", "<=1024"))
	add("content_type: [%q]", r.one("application/*", "text/plain"))
	add("hours: %q", r.one("22:00-06:00 Europe/Paris", "Mon-Fri 08:00-18:00 UTC"))
	add("transport: %s", r.one("udp", "tls", "[tcp, tls]"))
	add("user_agent: [%q, 'ph?one']", r.one("scan", "^friendly"))
	add("source: {%s}", r.one(`cidr: ["192.0.2.0/24"]`, "country: [FR, DE]", `cidr: ["198.51.100.0/24"], country: [FR]`, "asn: [64500]", "list: nets"))
	add("to: {%s}", r.one("country: [JM, GB]", "class: [mobile, fixed]", `prefix: ["+4420"]`, "international: true", "valid: false", "region: [caribbean]", "list: far"))
	add("from: {%s}", r.one("country: [FR]", "class: [mobile]", `prefix: ["+33"]`, "own: true"))
	if text := strings.Join(keys, ", "); strings.Contains(text, "stranger: true") &&
		(strings.Contains(text, "registered: true") || strings.Contains(text, "peer:") || strings.Contains(text, "user:")) {
		return r.match() // it could never hold
	}
	return "{" + strings.Join(keys, ", ") + "}"
}

func (r chance) policy(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nlists: {night: [\"1001\"], nets: [\"203.0.113.0/24\"], far: [\"+1876\"]}\n")
	if r.IntN(2) == 0 {
		fmt.Fprintf(&b, "countries: {default: %s, allow: [%s], deny: [%s], classes: {%s: deny}}\n", r.one("allow", "deny"),
			r.one("FR", `GB, "+1876"`, `"+4420"`), r.one("DE", `"+447"`), r.one("premium_rate", "mobile", "unallocated"))
	}
	b.WriteString("rules:\n")
	for i := range 1 + r.IntN(12) {
		on, match := r.one("invite", "any", "[message, invite]", "register"), r.match()
		if strings.Contains(match, "to: {") || strings.Contains(match, "from: {") {
			on = strings.Replace(on, "register", "any", 1) // it is about no number
		}
		then := r.one("reject 403", "drop", "allow", "flag", "reject 486", "ban 1h", "challenge")
		if i == 0 {
			then = "reject 480" // there may be an exception to it
		}
		fmt.Fprintf(&b, "  - id: %s/rule-%d\n    on: %s\n    match: %s\n    then: %s\n    mode: %s\n", name, i,
			on, match, then, r.one("enforce", "enforce", "shadow"))
		if r.IntN(3) == 0 {
			fmt.Fprintf(&b, "    when: %q\n", r.one(`call.to.country == "JM" || call.hops < 3`, `!(call.from.user in lists.night) && source.registered`, `call.to.user.startsWith("00")`))
		}
		if r.IntN(8) == 0 {
			fmt.Fprintf(&b, "    expires: %s\n", r.one("2026-01-01", "2027-01-01"))
		}
	}
	if r.IntN(2) == 0 {
		fmt.Fprintf(&b, "exceptions:\n  - {rule: %s/rule-0, match: {peer: carrier-a}, owner: a, expires: 2027-01-01}\n", name)
		fmt.Fprintf(&b, "  - {rule: %s, match: {user: \"1001\"}, owner: a, expires: 2027-01-01}\n", r.one("countries/denied", "countries/class-denied", "countries/invalid-number"))
	}
	fmt.Fprintf(&b, "limits:\n  - {id: %s/limit, on: invite, match: %s, key: [user], rate: 5/s, burst: 10, then: drop}\n", name, r.match())
	return b.String()
}

func (r chance) attempt(plan *number.Plan) *call.Attempt {
	a := &call.Attempt{At: time.Date(2026, 6, 1, r.IntN(24), 0, 0, 0, time.UTC), Method: r.one("INVITE", "INVITE", "MESSAGE", "REGISTER"),
		Direction: call.Direction(r.IntN(3)), PeerKind: call.Kind(r.IntN(4)), Peer: r.one("", "carrier-a", "main"), User: r.one("", "1001", "1002"),
		UserAgent: r.one("", "friendly-scanner", "Phone 2"), Diversion: r.one("", "", "1003"), ID: "id"}
	a.From.User, a.To.User = r.one("1001", "+33123456789", "0612345678"), r.one("0018765550100", "+442079460000", "1002", "*21", "00447400123456", "+4915112345678", "112")
	plan.Normalise(a.From.User, number.Dialled).Fill(&a.From)
	plan.Normalise(a.To.User, number.Dialled).Fill(&a.To)
	a.From.Own, a.Transferred, a.Forwarded, a.Size = r.IntN(4) == 0, r.IntN(3) == 0, r.IntN(4) == 0, r.IntN(8000)
	if r.IntN(2) == 0 {
		a.ContentTypes = []string{r.one("application/sdp", "text/plain")}
	}
	if r.IntN(5) == 0 {
		a.To.Other = &call.Party{User: a.To.User}
		plan.Normalise("+18765550100", number.Dialled).Fill(a.To.Other)
	}
	a.Source = call.Source{Addr: netip.MustParseAddrPort(r.one("192.0.2.7:5061", "198.51.100.1:5060", "203.0.113.9:1")), Transport: r.one("udp", "tcp", "tls"), ASN: uint(64500 + r.IntN(2)),
		Country: r.one("", "FR", "US"), Registered: r.IntN(2) == 0}
	return a
}

// What is explained is what is decided: the steps that matched are the ones of
// the decision, in their order, and whoever did not match is told with a key.
func TestExplainAgreesWithJudge(t *testing.T) {
	r := chance{rand.New(rand.NewPCG(7, 11))}
	matched := 0
	for range 60 {
		a, b := r.policy("one"), r.policy("two")
		set, ps := policy.Compile([]policy.Source{{Name: "one.yaml", Data: []byte(a)}, {Name: "two.yaml", Data: []byte("home: {country: FR}\n" + strings.Replace(b, "lists:", "#", 1))}}, policy.Options{})
		if set == nil {
			t.Fatalf("%v\n%s\n%s", ps, a, b)
		}
		for range 50 {
			at := r.attempt(set.Plan())
			d := set.Judge(at)
			steps := set.Explain(at, policy.Explaining{})
			var trace []string
			for _, st := range steps {
				switch {
				case st.Stage != call.StageRule && st.Stage != call.StageCountries:
				case st.Outcome == call.Opened:
					if slices.Contains(trace, policy.TraceException+st.Rule) && at.To.Other != nil {
						continue
					}
					trace = append(trace, policy.TraceException+st.Rule)
				case st.Outcome == call.Matched, st.Outcome == call.Flagged, st.Outcome == call.Shadowed:
					if slices.Contains(trace, st.Rule) && at.To.Other != nil {
						continue // of both readings
					}
					trace = append(trace, st.Rule)
				case st.Outcome == call.Missed && (len(st.Values) == 0 || st.Values[0].Name == "match"):
					t.Errorf("%s did not match and no key is told: %q", st.Rule, st.Text)
				}
				if st.Text == "" || strings.Contains(st.Text, "%!") {
					t.Errorf("a step without a sentence: %+v", st)
				}
			}
			matched += len(trace)
			if !slices.Equal(trace, d.Trace) {
				t.Fatalf("explained %v, decided %v for %+v\n%s\n%s", trace, d.Trace, at, a, b)
			}
			if d.Verdict != call.Abstain && !slices.Contains(trace, d.Rule) {
				t.Errorf("%s decided and is not explained", d.Rule)
			}
		}
	}
	if matched < 500 {
		t.Errorf("only %d matches: the draw is too narrow to prove anything", matched)
	}
}

// Of thousands of rules only some are told, and how many were left out.
func TestExplainIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\nrules:\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "  - {id: many/rule-%d, on: invite, match: {user: [\"%d\"]}, then: reject 403}\n", i, 10000+i)
	}
	set, ps := policy.Compile([]policy.Source{{Name: "many.yaml", Data: []byte(b.String())}}, policy.Options{})
	if set == nil {
		t.Fatal(ps)
	}
	a := &call.Attempt{Method: "INVITE", PeerKind: call.Phone, User: "12999"}
	steps := set.Explain(a, policy.Explaining{Most: 20})
	told := map[string]call.Outcome{}
	left := ""
	for _, st := range steps {
		told[st.Rule] = st.Outcome
		if st.Rule == "" && st.Stage == call.StageRule {
			left = st.Text
		}
	}
	if len(steps) > 30 || told["many/rule-2999"] != call.Matched || left != "2979 more rules of many.yaml did not match or were not asked" {
		t.Errorf("%d steps, the last rule: %q, left out: %q", len(steps), told["many/rule-2999"], left)
	}
}
