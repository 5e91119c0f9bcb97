package admission_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
)

// fixed is a guard that always says the same.
type fixed struct {
	name  string
	d     call.Decision
	asked *[]string
}

func (f fixed) Name() string { return f.name }
func (f fixed) Judge(*call.Attempt) call.Decision {
	*f.asked = append(*f.asked, f.name)
	if f.name == "broken" {
		panic("out of order")
	}
	return f.d
}

func TestDecide(t *testing.T) {
	reject := call.Decision{Verdict: call.Reject, Status: 403, Rule: "a/reject", Trace: []string{"a/reject"}}
	drop := call.Decision{Verdict: call.Drop, Rule: "a/drop", Trace: []string{"a/drop"}}
	allow := call.Decision{Verdict: call.Allow, Rule: "a/allow", Trace: []string{"a/allow"}}
	shadow := call.Decision{Verdict: call.Reject, Status: 403, Rule: "a/shadow", Shadow: true, Trace: []string{"a/shadow"}}
	flag := call.Decision{Also: []call.Decision{{Rule: "a/flag", Action: call.RuleFlagged}}, Trace: []string{"a/flag"}}
	phone := call.Attempt{Method: "INVITE", PeerKind: call.Phone}
	stranger := call.Attempt{Method: "INVITE", Source: call.Source{Addr: netip.MustParseAddrPort("192.0.2.1:5061")}}
	urgent := func(a call.Attempt) call.Attempt { a.To.Kind = call.Emergency; return a }
	for name, c := range map[string]struct {
		a      call.Attempt
		guards []call.Decision
		broken bool
		want   call.Verdict
		rule   string
		asked  int
		trace  []string
		also   []string
	}{
		"nobody, phone":           {a: phone, want: call.Allow},
		"nobody, stranger":        {a: stranger, want: call.Reject, rule: admission.RuleStranger},
		"stranger registers":      {a: call.Attempt{Method: "REGISTER"}, want: call.Allow},
		"stranger that is let in": {a: stranger, guards: []call.Decision{allow}, want: call.Allow, rule: "a/allow", asked: 1, trace: []string{"a/allow"}},
		"strictest wins":          {a: phone, guards: []call.Decision{allow, reject, allow}, want: call.Reject, rule: "a/reject", asked: 3, trace: []string{"a/allow", "a/reject", "a/allow"}},
		"nothing after a drop":    {a: phone, guards: []call.Decision{drop, reject}, want: call.Drop, rule: "a/drop", asked: 1, trace: []string{"a/drop"}},
		"shadow is only told":     {a: phone, guards: []call.Decision{shadow}, want: call.Allow, asked: 1, trace: []string{"a/shadow"}, also: []string{"a/shadow"}},
		"flags are only told":     {a: phone, guards: []call.Decision{flag, reject}, want: call.Reject, rule: "a/reject", asked: 2, trace: []string{"a/flag", "a/reject"}, also: []string{"a/flag"}},
		"emergency":               {a: urgent(phone), guards: []call.Decision{drop}, broken: true, want: call.Allow, rule: admission.RuleEmergency, trace: []string{admission.RuleEmergency}},
		"emergency of a stranger": {a: urgent(stranger), want: call.Reject, rule: admission.RuleStranger},
		"broken lock":             {a: phone, guards: []call.Decision{allow}, broken: true, want: call.Reject, rule: "broken/panic", asked: 2, trace: []string{"a/allow"}},
	} {
		var asked []string
		var guards []admission.Guard
		for _, d := range c.guards {
			guards = append(guards, fixed{"guard", d, &asked})
		}
		if c.broken {
			guards = append(guards, fixed{"broken", call.Decision{}, &asked})
		}
		d := admission.Decide(guards, &c.a)
		var also []string
		for _, x := range d.Also {
			also = append(also, x.Rule)
		}
		if d.Verdict != c.want || d.Rule != c.rule || len(asked) != c.asked || !slices.Equal(d.Trace, c.trace) || !slices.Equal(also, c.also) {
			t.Errorf("%s: %s %q, asked %v, trace %v, also %v", name, d.Verdict, d.Rule, asked, d.Trace, also)
		}
	}
}

func TestOneAlertForAnEmergencyCall(t *testing.T) {
	a := call.Attempt{Method: "INVITE", PeerKind: call.PBX, Pass: 1}
	a.To.Kind = call.Emergency
	if d := admission.Decide(nil, &a); d.Action != call.EmergencyCall {
		t.Errorf("first pass: alert %q", d.Action)
	}
	a.Pass = 2
	if d := admission.Decide(nil, &a); d.Action != "" || !d.Permits() {
		t.Errorf("second pass: %s, alert %q", d.Verdict, d.Action)
	}
}

// Effects of all that were asked come along, shadow ones do not; a challenge
// that was answered lets through.
func TestEffectsAndChallenges(t *testing.T) {
	ban := call.Effect{Act: call.ActBan, Rule: "x/ban"}
	guards := []admission.Guard{
		opinion{call.Decision{Verdict: call.Reject, Status: 403, Rule: "x/ban", Effects: []call.Effect{ban}}},
		opinion{call.Decision{Verdict: call.Reject, Status: 486, Rule: "x/shadow", Shadow: true, Effects: []call.Effect{{Act: call.ActHold}}}},
		opinion{call.Decision{Verdict: call.Drop, Rule: "x/drop"}},
	}
	d := admission.Decide(guards, &call.Attempt{Method: "REGISTER"})
	if d.Rule != "x/drop" || len(d.Effects) != 1 || d.Effects[0].Rule != "x/ban" {
		t.Errorf("%+v", d)
	}
	ask := []admission.Guard{opinion{call.Decision{Verdict: call.Challenge, Rule: "x/ask"}}}
	if d := admission.Decide(ask, &call.Attempt{Method: "INVITE"}); d.Verdict != call.Challenge || d.Status != 407 {
		t.Errorf("%+v", d)
	}
	if d := admission.Decide(ask, &call.Attempt{Method: "REGISTER"}); d.Verdict != call.Challenge || d.Status != 401 {
		t.Errorf("%+v", d)
	}
	if d := admission.Decide(ask, &call.Attempt{Method: "INVITE", Source: call.Source{Answered: true}}); !d.Permits() || d.Rule != "x/ask" {
		t.Errorf("%+v", d)
	}
}

type opinion struct{ d call.Decision }

func (o opinion) Name() string                      { return "opinion" }
func (o opinion) Judge(*call.Attempt) call.Decision { return o.d }

// A connection is dropped only where a rule says so, or fails, and never when
// whoever makes it is known.
func TestConnect(t *testing.T) {
	drop := []admission.Guard{opinion{call.Decision{Verdict: call.Drop, Rule: "x/drop"}}}
	quiet := []admission.Guard{opinion{call.Decision{}}}
	fails := []admission.Guard{opinion{call.Decision{Verdict: call.Reject, Status: 500, Rule: "x/panic"}}}
	for name, c := range map[string]struct {
		guards []admission.Guard
		a      call.Attempt
		want   bool
	}{
		"a stranger":               {drop, call.Attempt{}, false},
		"nobody minds":             {quiet, call.Attempt{}, true},
		"a guard fails":            {fails, call.Attempt{}, false},
		"a peer":                   {drop, call.Attempt{PeerKind: call.Carrier}, true},
		"where a phone registered": {drop, call.Attempt{Source: call.Source{Registered: true}}, true},
		"an address of a peer":     {drop, call.Attempt{Source: call.Source{Configured: true}}, true},
	} {
		c.a.On = call.Connection
		if d := admission.Connect(c.guards, &c.a); d.Permits() != c.want {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// What a guard without an opinion compared (an exception that let the attempt
// past a rule) is part of whatever is decided.
func TestDecideKeepsWhatWasExcepted(t *testing.T) {
	opened := call.Decision{Evidence: []call.Evidence{{Name: "exception", Value: "countries/denied"}}, Trace: []string{"except:countries/denied"}}
	reject := call.Decision{Verdict: call.Reject, Status: 403, Rule: "a/reject", Evidence: []call.Evidence{{Name: "calls", Value: 3}}}
	a := call.Attempt{Method: "INVITE", PeerKind: call.Phone}
	for _, c := range []struct {
		guards []call.Decision
		names  string
	}{{[]call.Decision{opened}, "exception"}, {[]call.Decision{opened, reject}, "calls exception"}, {[]call.Decision{reject, opened}, "calls exception"}} {
		var asked []string
		var guards []admission.Guard
		for _, d := range c.guards {
			guards = append(guards, fixed{"g", d, &asked})
		}
		var names []string
		for _, e := range admission.Decide(guards, &a).Evidence {
			names = append(names, e.Name)
		}
		if got := strings.Join(names, " "); got != c.names {
			t.Errorf("%q, want %q", got, c.names)
		}
	}
	if len(reject.Evidence) != 1 {
		t.Error("a guard's own evidence was changed")
	}
}
