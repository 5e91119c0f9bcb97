package alert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

type sample struct {
	name string
	e    Event
}

// samples holds at least one alert of every action that call declares.
func samples() []sample {
	with := func(a *call.Attempt, f func(*call.Attempt)) *call.Attempt { f(a); return a }
	plain := with(attempt(), func(a *call.Attempt) {
		a.Source.Transport, a.Source.TLSVersion, a.Source.TLSCipher, a.Source.Registered = "udp", "", "", false
		a.Source.Addr = netip.MustParseAddrPort("198.51.100.30:5060")
		a.PeerKind, a.User = call.Stranger, ""
	})
	rtp := with(attempt(), func(a *call.Attempt) { a.Media = call.Media{Offered: true, Profile: "RTP/AVP"} })
	sos := with(attempt(), func(a *call.Attempt) {
		a.To = call.Party{User: "112", Host: "sip.example.com", Number: "112", Kind: call.Emergency}
		a.RequestURI = "sip:112@sip.example.com"
	})
	carrier := with(attempt(), func(a *call.Attempt) {
		a.PeerKind, a.Peer, a.User, a.Direction = call.Carrier, "carrier-a", "", call.Inbound
		a.Source.Registered, a.Source.TLSSubject = false, "sip.carrier.example"
		a.From = call.Party{User: "+442079460000", Host: "sip.carrier.example", Number: "+442079460000", Kind: call.International, Country: "GB", Class: "fixed"}
		a.To = call.Party{User: "+33123450001", Host: "sip.example.com", Number: "+33123450001", Kind: call.National, Country: "FR", Class: "fixed"}
	})
	options := with(stranger(), func(a *call.Attempt) { a.Method, a.RequestURI = "OPTIONS", "sip:192.0.2.10" })

	denied := call.Decision{Verdict: call.Reject, Status: 403, Rule: "countries/denied", Severity: call.Medium,
		Reason: "JM is not an allowed country", Action: call.CallRejected,
		Evidence: []call.Evidence{{Name: "to.country", Value: "JM", Threshold: "allow: BE DE FR GB US"}},
		Trace:    []string{"base/known-peer", "countries/denied"}}
	shadow := denied
	shadow.Shadow, shadow.Rule, shadow.Reason = true, "toll/night-international", "international call at 04:06"

	from := func(name string, a *call.Attempt, d call.Decision) sample {
		return sample{name, FromDecision(a, d, meta)}
	}
	sys := func(name string, act call.Action, sev call.Severity, reason string, ev ...call.Evidence) sample {
		return sample{name, System(t0, meta, act, sev, reason, ev...)}
	}
	limit := func(act call.Action, a *call.Attempt, rule, reason, subject, value string, ev ...call.Evidence) sample {
		return from(string(act), a, call.Decision{Verdict: call.Reject, Status: 403, Rule: rule, Severity: call.High, Reason: reason, Action: act,
			Subject: call.Subject{Kind: subject, Value: value}, Evidence: ev})
	}
	return []sample{
		limit(call.TollFraud, attempt(), "toll-fraud/countries-per-user", "more than 5 to.country in 1h0m0s per user", "user", "1001",
			call.Evidence{Name: "distinct", Value: 6, Threshold: "5 to.country in 1h0m0s"}),
		limit(call.CallForwardFraud, with(attempt(), func(a *call.Attempt) { a.Diversion = "1002" }), "toll-fraud/diverted-abroad", "1002 forwards to JM", "user", "1001"),
		limit(call.PingCall, carrier, "ping-call/one-caller-many-numbers", "more than 20 to in 10m0s per from", "from", "+442079460000",
			call.Evidence{Name: "distinct", Value: 21, Threshold: "20 to in 10m0s"}),
		limit(call.PingCallCallback, attempt(), "ping-call/callback", "a call to a range of ping calls", "to", "+18765550100"),
		limit(call.NumberProbing, attempt(), "site/probing", "more than 20 failures in 10m0s per user", "user", "1001"),
		limit(call.RegistrationBruteforce, register(), "base/register-failures", "more than 10 failures in 5m0s", "user", "1001"),
		limit(call.Enumeration, register(), "base/register-users-per-stranger", "more than 30 register.user in 10m0s per source.ip", "source", "198.51.100.9"),
		limit(call.Robocall, carrier, "site/robocalls", "more than 100 to in 1h0m0s per from", "from", "+442079460000"),
		limit(call.TrafficPumping, attempt(), "fraud/traffic-pumping", "12 calls within a day to +448711234567, 12.0 of each user", "to", "+448711234567",
			call.Evidence{Name: "calls", Value: 12, Threshold: 12}),
		limit(call.TollfreePumping, carrier, "fraud/tollfree-pumping", "6 calls of 300 s, all alike", "from", "+442079460000"),
		limit(call.FalseAnswer, attempt(), "fraud/false-answer", "8 of 10 calls to JM were answered without ringing and given up within 25 s", "peer", "carrier-a",
			call.Evidence{Name: "share", Value: 0.8, Threshold: 0.4}),
		limit(call.ImpossibleTravel, register(), "fraud/impossible-travel", "registered from CN 20 minutes after FR, 8200 km away", "user", "1001"),
		limit(call.NewCountry, register(), "fraud/new-country", "registered from CN for the first time", "user", "1001"),
		limit(call.CostlyCallsCap, attempt(), "fraud/costly-calls-cap", "3 calls above USD 0.10 a minute at a time", "account", "main",
			call.Evidence{Name: "calls", Value: 3, Threshold: 2}),
		limit(call.SpendCap, attempt(), "fraud/spend-cap", "USD 50.00 within 24h0m0s are used up", "user", "1001",
			call.Evidence{Name: "usd", Value: 50, Threshold: 50}),
		from("call-rejected", attempt(), denied),
		from("call-would-reject", attempt(), shadow),
		from("request-rejected", options, call.Decision{Verdict: call.Drop, Rule: "base/strangers", Severity: call.Low,
			Reason: "OPTIONS from a stranger", Action: call.RequestRejected}),
		from("rule-flagged", attempt(), call.Decision{Rule: "policy/new-supplier", Severity: call.Low,
			Reason: "a call to +18765550100", Action: call.RuleFlagged}),
		from("plaintext-refused", plain, call.Decision{Verdict: call.Reject, Status: 403, Rule: "base/plaintext", Severity: call.Medium,
			Reason: "signalling over udp without TLS, and no peer is allowed it from 198.51.100.30", Action: call.PlaintextRefused}),
		from("srtp-refused", rtp, call.Decision{Verdict: call.Reject, Status: 488, Rule: "base/srtp", Severity: call.Medium,
			Reason: "RTP/AVP offered where SRTP is required", Action: call.SRTPRefused,
			Evidence: []call.Evidence{{Name: "media.profile", Value: "RTP/AVP", Threshold: "RTP/SAVP"}}}),
		from("scanner", stranger(), call.Decision{Verdict: call.Drop, Rule: "scanners/user-agents", Severity: call.High,
			Reason: "scanner friendly-scanner\x1b[2J", Action: call.ScannerDetected}),
		from("flood", register(), call.Decision{Verdict: call.Drop, Rule: "limits/strangers", Severity: call.High,
			Reason: "REGISTER above the rate of its source", Action: call.Flood,
			Subject:  call.Subject{Kind: "source", Value: "198.51.100.9"},
			Evidence: []call.Evidence{{Name: "rate", Value: 41.5, Threshold: 5}, {Name: "over", Value: time.Second}}}),
		from("peer-identity-mismatch", with(register(), func(a *call.Attempt) { a.Method, a.RegisterUser = "INVITE", "" }),
			call.Decision{Verdict: call.Reject, Status: 403, Rule: "base/peer-identity", Severity: call.High,
				Reason: "certificate of sip.carrier.example from an address that is not carrier-a's", Action: call.PeerIdentity,
				Subject: call.Subject{Kind: "peer", Value: "carrier-a"}}),
		from("identity-forged", with(attempt(), func(a *call.Attempt) { a.From.User = "1000" }),
			call.Decision{Verdict: call.Reject, Status: 403, Rule: "base/identity", Severity: call.High,
				Reason: "From 1000 on a connection that registered 1001", Action: call.IdentityForged}),
		from("emergency-call", sos, call.Decision{Verdict: call.Allow, Rule: "base/emergency", Severity: call.High,
			Reason: "emergency call to 112", Action: call.EmergencyCall}),
		from("malformed-message", options, call.Decision{Verdict: call.Drop, Rule: "base/malformed", Severity: call.Low,
			Reason: "two Content-Length headers", Action: call.MalformedMessage}),
		from("call-rejected-inbound", carrier, call.Decision{Verdict: call.Reject, Status: 480, Rule: "limits/peer-calls", Severity: call.Low,
			Reason: "carrier-a has all its calls in use", Action: call.CallRejected,
			Evidence: []call.Evidence{{Name: "calls", Value: 30, Threshold: 30}}}),
		{"media-injection", FromSystem(call.SystemEvent{At: t0, Action: call.MediaInjection, Severity: call.High, Rule: "media/injection",
			Reason: "RTP from an address that is not the other side's", Source: netip.MustParseAddrPort("198.51.100.66:4000"),
			CallID: "01JGT7", Evidence: []call.Evidence{{Name: "packets", Value: 250}}}, meta)},
		{"call-failed", System(t0, meta, call.CallFailed, call.High, "a panic ended this call: index out of range").With(attempt())},
		sys("policy-reloaded", call.PolicyReloaded, call.Info, "policy loaded: 41 rules"),
		{"policy-reload-failed", System(t0, meta, call.PolicyReloaded, call.High, "policy/night.yaml:7:5: unknown key whenn").Failed()},
		sys("admin-change", call.AdminChange, call.Medium, "policy rolled back to 4f1c33d2a0b1 through the API"),
		{"source-banned", FromSystem(call.SystemEvent{At: t0, Action: call.SourceBanned, Severity: call.High, Rule: "limits/register-failures",
			Reason:  "source.ip=203.0.113.66 register.user=1001 is banned for 10m0s: more than 10 failures in 5m0s per source.ip and register.user",
			Subject: call.Subject{Kind: "source", Value: "203.0.113.66"}, Source: netip.MustParseAddrPort("203.0.113.66:40000"),
			Evidence: []call.Evidence{{Name: "failures", Value: 10, Threshold: "10 failures in 5m0s"}, {Name: "ban.seconds", Value: 600}, {Name: "ban.times", Value: 2}}}, meta)},
		{"account-held", FromSystem(call.SystemEvent{At: t0, Action: call.AccountHeld, Severity: call.High, Rule: "toll/burst",
			Reason: "costly calls of user=1001 are held for 2h0m0s: five premium numbers in a minute", Subject: call.Subject{Kind: "user", Value: "1001"},
			Evidence: []call.Evidence{{Name: "hold.seconds", Value: 7200}, {Name: "hold.times", Value: 1}}}, meta)},
		{"call-ended", FromDecision(plain, call.Decision{Verdict: call.Reject, Rule: "toll/long-calls", Reason: "an hour to Jamaica", Severity: call.High, Action: call.CallEnded,
			Evidence: []call.Evidence{{Name: "call.seconds", Value: 3600}}, Trace: []string{"toll/long-calls"}}, meta)},
		sys("certificate-reloaded", call.CertificateLoaded, call.Info, "certificate of sip.example.com loaded, valid until 2027-01-01"),
		sys("certificate-expiring", call.CertificateExpiry, call.Medium, "certificate of sip.example.com expires in 14 days",
			call.Evidence{Name: "days_left", Value: 14, Threshold: 21}),
		sys("sink-degraded", call.SinkDegraded, call.High, "the sink cannot be written: no space left on device",
			call.Evidence{Name: "sink", Value: "/var/log/rampart/cdr.jsonl"}, call.Evidence{Name: "lost_lines", Value: 0}),
		sys("overload", call.Overload, call.Medium, "too much to do: refused are those and new calls", call.Evidence{Name: "overload.level", Value: 3},
			call.Evidence{Name: "overload.delay_ms", Value: 31.5, Threshold: 20}, call.Evidence{Name: "overload.refused_new", Value: 1200}),
		sys("peer-down", call.PeerDown, call.High, "peer carrier-a does not answer", call.Evidence{Name: "targets.answering", Value: 0, Threshold: 2}),
		sys("peer-up", call.PeerUp, call.Info, "peer carrier-a answers", call.Evidence{Name: "targets.answering", Value: 2, Threshold: 2}),
		sys("trunk-registered", call.TrunkRegistered, call.Info, "registered with carrier-a", call.Evidence{Name: "expires_seconds", Value: 600}),
		sys("trunk-registration-lost", call.TrunkLost, call.High, "carrier-a refuses our registration: 403", call.Evidence{Name: "sip.code", Value: 403}),
		{"finding-toll-fraud", FromFinding(tollFinding(), meta)},
		{"finding-ping-call", FromFinding(pingFinding(), meta)},
		sys("heartbeat", call.Heartbeat, call.Info, "alive", call.Evidence{Name: "calls", Value: 12}),
	}
}

func TestGoldenAlerts(t *testing.T) {
	schema := compile(t, "alert")
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			line, err := s.e.Line()
			if err != nil {
				t.Fatal(err)
			}
			if n := valid(t, schema, line); n != 1 {
				t.Fatalf("%d lines", n)
			}
			golden(t, "alerts/"+s.name+".json", indent(t, line))
		})
	}
}

func indent(t *testing.T, line []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, line, "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// declared reads the actions from the source of package call.
func declared(t *testing.T) (out []call.Action) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../call/decision.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); ok && id.Name == "Action" {
			for _, x := range v.Values {
				s, err := strconv.Unquote(x.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, call.Action(s))
			}
		}
		return true
	})
	if len(out) < 10 {
		t.Fatalf("only %d actions found in package call", len(out))
	}
	return out
}

func TestActionsAreOneSet(t *testing.T) {
	var known []call.Action
	for _, a := range Actions() {
		known = append(known, a.Action)
		if a.Meaning == "" || a.Kind == "" || len(a.Category) == 0 || (a.Technique == "") != (a.TechniqueName == "") {
			t.Errorf("%s is described badly: %+v", a.Action, a)
		}
	}
	if !slices.IsSorted(known) || len(slices.Compact(slices.Clone(known))) != len(known) {
		t.Errorf("the list is not sorted or holds one twice")
	}
	sent := declared(t)
	for _, a := range sent {
		if !slices.Contains(known, a) {
			t.Errorf("call declares %s, the list of actions does not hold it", a)
		}
		if !slices.ContainsFunc(samples(), func(s sample) bool { return s.e.Event.Action == a }) {
			t.Errorf("%s has no golden file", a)
		}
	}
	for _, a := range Actions() {
		if a.Reserved == slices.Contains(sent, a.Action) {
			t.Errorf("%s: reserved is %v", a.Action, a.Reserved)
		}
	}
	var doc struct {
		Properties struct {
			Event struct {
				Properties struct {
					Action struct{ Enum []call.Action }
				}
			}
		}
	}
	if err := json.Unmarshal(Schema("alert"), &doc); err != nil {
		t.Fatal(err)
	}
	if got := doc.Properties.Event.Properties.Action.Enum; !slices.Equal(got, known) {
		t.Errorf("the schema has %v, the list %v", got, known)
	}
}

func TestFromDecision(t *testing.T) {
	if e := FromDecision(attempt(), call.Decision{Verdict: call.Allow, Rule: "x/y"}, meta); !e.IsZero() {
		t.Errorf("a decision without action made %+v", e)
	}
	d := call.Decision{Verdict: call.Reject, Status: 403, Rule: "a/b", Action: call.CallRejected, Shadow: true}
	e := FromDecision(attempt(), d, meta)
	if e.Event.Action != call.CallWouldReject || e.Rampart.Verdict != "reject" || e.Rampart.Mode != "shadow" || e.Event.Outcome != "success" {
		t.Errorf("shadow: %+v %+v", e.Event, e.Rampart)
	}
	d.Action = "ping-call" // a detector keeps its action
	if e := FromDecision(attempt(), d, meta); e.Event.Action != "ping-call" || e.Rampart.Verdict != "reject" {
		t.Errorf("detector: %+v", e.Event)
	}
	mapped := attempt()
	mapped.Source.Addr = netip.MustParseAddrPort("[::ffff:203.0.113.77]:40112")
	mapped.User = ""
	d = call.Decision{Verdict: call.Drop, Action: call.Flood}
	e = FromDecision(mapped, d, meta)
	if e.Source.IP != "203.0.113.77" || e.Network.Type != "ipv4" || e.Rampart.Subject.Value != "203.0.113.77" || e.Related.IP[0] != "203.0.113.77" {
		t.Errorf("mapped address: %+v %+v", e.Source, e.Rampart.Subject)
	}
	if e := FromDecision(&call.Attempt{At: t0}, d, meta); e.Source != nil || e.Rampart.Subject != nil {
		t.Errorf("nothing known: %+v", e)
	}
}

func TestAll(t *testing.T) {
	d := call.Decision{Verdict: call.Allow, Rule: "a/allow", Also: []call.Decision{
		{Rule: "a/flag", Action: call.RuleFlagged},
		{Rule: "a/quiet"},
		{Rule: "a/shadow", Verdict: call.Reject, Action: call.CallRejected, Shadow: true},
	}}
	var got []string
	for _, e := range All(attempt(), d, meta) {
		got = append(got, fmt.Sprint(e.Rule.ID, " ", e.Event.Action, " ", e.Rampart.Mode, " ", e.Event.Outcome))
	}
	want := []string{"a/flag rule-flagged enforce unknown", "a/shadow call-would-reject shadow success"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	d.Action = call.EmergencyCall
	d.Also = make([]call.Decision, 1000)
	for i := range d.Also {
		d.Also[i].Action = call.RuleFlagged
	}
	if n := len(All(attempt(), d, meta)); n != 1+maxAlso {
		t.Errorf("%d alerts of one request", n)
	}
}

func TestFingerprint(t *testing.T) {
	d := call.Decision{Verdict: call.Reject, Status: 403, Rule: "a/b", Action: call.CallRejected}
	id := func(f func(*call.Attempt)) string {
		a := attempt()
		f(a)
		return FromDecision(a, d, meta).ID()
	}
	same := id(func(*call.Attempt) {})
	if again := id(func(*call.Attempt) {}); again != same {
		t.Errorf("the same finding has two ids")
	}
	for name, f := range map[string]func(*call.Attempt){
		"time":    func(a *call.Attempt) { a.At = a.At.Add(time.Millisecond) },
		"call":    func(a *call.Attempt) { a.ID = "other" },
		"call-id": func(a *call.Attempt) { a.SIPCallID = "other" },
		"port":    func(a *call.Attempt) { a.Source.Addr = netip.AddrPortFrom(a.Source.Addr.Addr(), 1) },
		"user":    func(a *call.Attempt) { a.User = "1003" },
	} {
		if id(f) == same {
			t.Errorf("another %s has the same id", name)
		}
	}
}

// The methods that add to an event leave the one they were called on alone.
func TestEventsAreValues(t *testing.T) {
	e := System(t0, meta, call.CallFailed, call.High, "x").With(attempt())
	before, _ := e.Line()
	e.About(call.Subject{Kind: "user", Value: "other"})
	e.From(call.Source{Addr: netip.MustParseAddrPort("192.0.2.99:1")})
	e.With(stranger())
	e.InCall("y").Failed()
	if after, _ := e.Line(); !bytes.Equal(before, after) {
		t.Errorf("changed:\n%s%s", before, after)
	}
}

func TestLineHasACap(t *testing.T) {
	long := strings.Repeat("\x00", 100_000)
	a := attempt()
	a.SIPCallID, a.RequestURI, a.UserAgent, a.User, a.Diversion, a.Method, a.ID = long, long, long, long, long, long, long
	a.From = call.Party{User: long, Host: long, Display: long, Number: long, Kind: call.National, Country: long}
	a.To = a.From
	a.RegisterUser, a.AuthUser, a.Peer, a.Account, a.Media.Profile = long, long, long, long, long
	d := call.Decision{Verdict: call.Reject, Status: 403, Rule: long, Reason: long, Action: call.CallRejected, Subject: call.Subject{Kind: "user", Value: long}}
	for range 1000 {
		d.Evidence = append(d.Evidence, call.Evidence{Name: long, Value: long, Threshold: long})
		d.Trace = append(d.Trace, long)
	}
	line, err := FromDecision(a, d, meta).Line()
	if err != nil {
		t.Fatal(err)
	}
	valid(t, compile(t, "alert"), line)
	if len(line) > maxLine {
		t.Errorf("%d bytes", len(line))
	}
	t.Logf("the longest line has %d bytes", len(line))
}

func FuzzAlertLine(f *testing.F) {
	f.Add("1001", "sip.example.com", "baresip", "reason", "a/b", "JM", uint8(3), uint8(2), false, 403, uint16(5060))
	f.Add("\x1b[2J\xff", "\u202e", "", "\n", "/", "xx", uint8(4), uint8(9), true, 99999, uint16(0))
	schema := compile(f, "alert")
	f.Fuzz(func(t *testing.T, user, host, agent, reason, rule, country string, verdict, sev uint8, shadow bool, status int, port uint16) {
		for _, m := range []string{"INVITE", "REGISTER", user} {
			a := attempt()
			a.Method, a.UserAgent, a.RequestURI, a.SIPCallID, a.ID, a.Diversion = m, agent, host, user, host, agent
			a.From, a.To = call.Party{User: user, Host: host, Display: agent}, call.Party{User: host, Number: user, Kind: call.National, Country: country}
			a.User, a.RegisterUser, a.AuthUser = user, host, agent
			a.Source.Country, a.Source.TLSSubject, a.Hops, a.Pass = country, host, status, status
			a.Source.Addr = netip.AddrPortFrom(a.Source.Addr.Addr(), port)
			d := call.Decision{Verdict: call.Verdict(verdict % 5), Status: status, Rule: rule, Reason: reason, Severity: call.Severity(sev % 8),
				Action: call.CallRejected, Shadow: shadow, Trace: []string{rule, reason},
				Evidence: []call.Evidence{{Name: user, Value: reason, Threshold: fmt.Errorf("%s", host)}}}
			line, err := FromDecision(a, d, meta).Line()
			if err != nil {
				t.Fatal(err)
			}
			if n := valid(t, schema, line); n != 1 {
				t.Fatalf("%d lines: %q", n, line)
			}
		}
	})
}

// TestOverloadEnds: the end of an overload is told with the same action.
func TestOverloadEnds(t *testing.T) {
	for sev, want := range map[call.Severity]string{call.Medium: "failure", call.Info: "success"} {
		e := FromSystem(call.SystemEvent{At: time.Unix(1, 0), Action: call.Overload, Severity: sev, Rule: "base/overload"}, meta)
		if e.Event.Outcome != want {
			t.Errorf("severity %v: outcome %q, want %q", sev, e.Event.Outcome, want)
		}
	}
}
