package fraud

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

var t0 = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// teller is an engine to tell findings to.
func teller() *Engine {
	e := New(Defaults("office"), DefaultRates("GB", number.Builtin()))
	e.now, e.begin = t0.UnixNano(), t0.UnixNano()
	return e
}

func (e *Engine) at(d time.Duration) { e.now = t0.Add(d).UnixNano() }

// given takes what was told.
func (e *Engine) given() []Finding {
	out := e.out
	e.out = nil
	return out
}

func userFinding(user string) Finding {
	return Finding{Detector: IDToll, Action: call.TollFraud, Account: "main", User: user, Subject: call.Subject{Kind: "user", Value: user}}
}

// One incident has one id; its updates become rarer; silence ends it.
func TestIncident(t *testing.T) {
	e := teller()
	var got []string
	for s := 0; s < 3*3600; s += 10 {
		e.at(time.Duration(s) * time.Second)
		e.tell(userFinding("1001"), &running{id: fmt.Sprint("c", s), account: "main", user: "1001", to: fmt.Sprint("+3712000", s), outbound: true})
		for _, f := range e.given() {
			got = append(got, fmt.Sprint(f.At.Sub(t0), " ", f.Count))
			if f.Incident != e.open.peek(topic{IDToll, "main", f.Subject}, e.now).ID || !f.First.Equal(t0) {
				t.Errorf("%+v", f)
			}
			if len(f.Numbers) > maxNamed || len(f.Calls) > maxNamed || f.Calls[len(f.Calls)-1] != fmt.Sprint("c", s) {
				t.Errorf("numbers %q calls %q", f.Numbers, f.Calls)
			}
		}
	}
	if want := []string{"0s 1", "1m0s 7", "5m0s 31", "21m0s 127", "1h21m0s 487", "2h21m0s 847"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	last := e.open.peek(topic{IDToll, "main", call.Subject{Kind: "user", Value: "1001"}}, e.now).ID
	e.at(3*time.Hour + time.Hour)
	e.tell(userFinding("1001"), nil)
	f := e.given()
	if len(f) != 1 || f[0].Incident == last || f[0].Count != 1 || !slices.Contains(f[0].Related, last) {
		t.Errorf("after silence: %+v", f)
	}
}

// The same user of another account is another subject.
func TestIncidentsOfAccounts(t *testing.T) {
	e := teller()
	a, b := userFinding("1001"), userFinding("1001")
	b.Account = "other"
	if e.tell(a, nil) == e.tell(b, nil) {
		t.Error("one incident of two people")
	}
	for _, f := range e.given() {
		if len(f.Related) > 0 {
			t.Errorf("%+v", f)
		}
	}
}

// What a detector wants done is asked for at every finding, told or not.
func TestActsAreNotThinnedOut(t *testing.T) {
	e := teller()
	e.cfg.Rules[IDToll] = Rule{Then: Then{Act: call.ActHangup}, Mode: Enforce}
	for i := range 5 {
		e.at(time.Duration(i) * time.Second)
		id := fmt.Sprint("c", i)
		e.tell(userFinding("1001"), &running{id: id, account: "main", user: "1001", outbound: true, paid: true})
		f := e.given()
		if len(f) != 1 || f[0].Quiet != (i > 0) || len(f[0].Do) != 1 || f[0].Do[0].Calls[0] != id {
			t.Errorf("%d: %+v", i, f)
		}
	}
}

func register(code int, user, source string) *call.Event {
	return &call.Event{Kind: call.EventRegister, Code: code, Account: "main", User: user, Source: source}
}

func guessing(user, source string) *call.Event {
	return &call.Event{Kind: call.EventFinding, Action: call.RegistrationBruteforce, Rule: "base/register-failures", User: user, Source: source,
		Subject: &call.Subject{Kind: "source", Value: source}, Count: 11}
}

// A password is guessed, the user registers from there, then costly calls
// begin, another user calls the same block: one story.
func TestStory(t *testing.T) {
	e := teller()
	e.limitFound(guessing("1001", "203.0.113.66"))
	brute := e.given()
	if len(brute) != 1 || brute[0].Count != 11 || brute[0].Action != call.RegistrationBruteforce {
		t.Fatalf("%+v", brute)
	}
	e.at(time.Minute)
	e.registered(register(200, "1001", "203.0.113.66"))
	guess := e.given()
	if len(guess) != 1 || guess[0].Detector != IDGuessed || !slices.Equal(guess[0].Related, []string{brute[0].Incident}) {
		t.Fatalf("%+v", guess)
	}
	e.at(2 * time.Hour)
	far := Rate{Class: HighRisk}
	e.tell(userFinding("1001"), &running{account: "main", user: "1001", to: "+37120000001", outbound: true, far: far})
	toll := e.given()
	if len(toll) != 1 || !slices.Equal(toll[0].Related, []string{guess[0].Incident, brute[0].Incident}) {
		t.Fatalf("%+v", toll)
	}
	e.tell(userFinding("1002"), &running{account: "main", user: "1002", to: "+37120000999", outbound: true, far: far})
	if other := e.given(); len(other) != 1 || !slices.Contains(other[0].Related, toll[0].Incident) {
		t.Errorf("the same block: %+v", other)
	}
	e.at(98 * time.Hour)
	e.tell(userFinding("1001"), nil)
	if later := e.given(); len(later[0].Related) != 0 {
		t.Errorf("days later: %+v", later)
	}
}

// An office behind one address, where a phone has an old password, is not an
// attacker whose guess succeeded.
func TestAnOfficeIsNoAttacker(t *testing.T) {
	e := teller()
	e.registered(register(200, "1002", "203.0.113.7"))
	e.limitFound(guessing("1001", "203.0.113.7"))
	e.given()
	e.registered(register(200, "1001", "203.0.113.7"))
	e.registered(register(200, "1003", "203.0.113.7"))
	if f := e.given(); len(f) != 0 {
		t.Errorf("%+v", f)
	}
	e.tell(Finding{Detector: IDToll, Action: call.TollFraud, Account: "main", User: "1003", Source: "203.0.113.7", Subject: call.Subject{Kind: "user", Value: "1003"}}, nil)
	if f := e.given(); len(f[0].Related) != 0 {
		t.Errorf("another user of the office: %+v", f[0].Related)
	}
}

// Attackers cannot push out what detectors found, nor grow the tables.
func TestStoryHasACap(t *testing.T) {
	e := teller()
	e.tell(userFinding("1001"), nil)
	first := e.given()[0].Incident
	for i := range 3 * maxOfLimits {
		e.at(time.Duration(i) * time.Millisecond)
		e.limitFound(guessing(fmt.Sprint("u", i), fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)))
	}
	e.given()
	s := e.story
	if s.attackers.len() > maxOfLimits || s.limits.len() > maxOfLimits {
		t.Errorf("%d %d", s.attackers.len(), s.limits.len())
	}
	for i := range 50 {
		e.at(time.Minute + time.Duration(i)*time.Second)
		f := userFinding("1001")
		f.Detector = fmt.Sprint("fraud/x", i)
		e.tell(f, nil)
	}
	out := e.given()
	if !slices.Contains(out[0].Related, first) {
		t.Error("the flood pushed an incident out of its story")
	}
	for _, f := range out {
		if len(f.Related) > maxRelated {
			t.Errorf("%d related", len(f.Related))
		}
	}
}

// However often an incident was told, it is not told without a pause.
func TestUpdatesStayRare(t *testing.T) {
	e := teller()
	n := 0
	for m := range 40 * 24 * 60 {
		e.at(time.Duration(m) * time.Minute)
		e.tell(userFinding("1001"), nil)
		n += len(e.given())
	}
	if n < 40*24 || n > 40*24+5 {
		t.Errorf("told %d times in 40 days", n)
	}
}
