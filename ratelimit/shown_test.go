package ratelimit_test

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// Who guesses a user's password from the user's own address uses up what
// guessers have: the user's connection goes on, and his device when it comes
// back over another, until somebody has guessed in the device's name as well.
func TestNobodyIsLockedOutByGuesses(t *testing.T) {
	e, err := ratelimit.New([]ratelimit.Limit{
		{ID: "l/fast", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Failures: 10, Over: 5 * time.Minute, Verdict: call.Reject, Status: 403},
		{ID: "l/slow", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Failures: 10, Leak: 1. / 600, Verdict: call.Reject, Status: 403},
		{ID: "l/rate", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Rate: 1, Burst: 20, Verdict: call.Reject, Status: 480},
	}, ratelimit.Caps{})
	if err != nil {
		t.Fatal(err)
	}
	try := func(code int, as func(*call.Attempt)) string {
		a := request("REGISTER", "192.0.2.7", 0)
		a.RegisterUser, a.AuthUser = "1001", "1001"
		as(a)
		d := e.Judge(a)
		if d.Verdict == call.Abstain {
			e.Outcome(a, code)
		}
		return d.Rule
	}
	nobody := func(*call.Attempt) {}
	device := func(a *call.Attempt) { a.Returning = true }
	connection := func(a *call.Attempt) { a.Returning, a.User = true, "1001" }
	other := func(a *call.Attempt) { a.User = "1002" } // registered, as somebody else
	for range 30 {
		try(401, nobody)
	}
	for name, x := range map[string]struct {
		as      func(*call.Attempt)
		refused bool
	}{"the guesser": {nobody, true}, "a colleague's connection": {other, true}, "the device": {device, false}, "the connection": {connection, false}} {
		if rule := try(200, x.as); (rule != "") != x.refused {
			t.Errorf("after guesses %s gets %q", name, rule)
		}
	}
	colleague := func(a *call.Attempt) { a.RegisterUser, a.User = "1002", "1002" } // and 1001 in his credentials
	for range 30 {
		try(401, colleague)
	}
	if rule := try(200, colleague); rule == "" {
		t.Error("on a colleague's connection there is no end to guessing")
	}
	if rule := try(200, connection); rule != "" {
		t.Errorf("after guesses on a colleague's connection it gets %q", rule)
	}
	for range 30 {
		try(401, device)
	}
	if rule := try(200, device); rule == "" {
		t.Error("in the device's name there is no end to guessing")
	}
	if rule := try(200, connection); rule != "" {
		t.Errorf("after guesses in the device's name the connection gets %q", rule)
	}
	if rule := try(200, nobody); rule == "" {
		t.Error("the user's success lets the guesser begin anew")
	}
}

// Who is registered as a user of one domain is not the user of that name in
// another, whose connection goes on however often he names him in To.
func TestNamesakeOfAnotherDomainLocksNobodyOut(t *testing.T) {
	per := ratelimit.Limit{ID: "l/user", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Failures: 10, Over: time.Hour, Verdict: call.Reject, Status: 403}
	e := engine(t, ratelimit.Caps{}, per)
	from := func(domain string) *call.Attempt {
		a := request("REGISTER", "192.0.2.1", 0)
		a.User, a.From.User, a.From.Host = "alice", "alice", domain
		a.RegisterUser, a.RegisterDomain = "alice", "b.test"
		return a
	}
	for range 30 {
		e.Outcome(from("a.test"), 403)
	}
	if d := e.Judge(from("B.test.")); d.Rule != "" {
		t.Errorf("the user of To: %s", d.Reason)
	}
	if d := e.Judge(from("a.test")); d.Rule == "" {
		t.Error("his namesake may go on")
	}
}

// The first success of a phone clears what it failed before, though by then it
// has registered its user.
func TestFirstSuccessClearsTheScore(t *testing.T) {
	per := ratelimit.Limit{ID: "l/user", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Failures: 10, Over: time.Hour, Verdict: call.Reject, Status: 403}
	e := engine(t, ratelimit.Caps{}, per)
	for i := range 40 {
		a := request("REGISTER", "192.0.2.1", time.Duration(i)*time.Second)
		a.RegisterUser, a.AuthUser, a.SIPCallID = "1001", "1001", "x"
		if d := e.Judge(a); d.Rule != "" {
			t.Fatalf("try %d: %s", i, d.Reason)
		}
		if i%10 < 9 {
			e.Outcome(a, 403)
			continue
		}
		a.User, a.First = "1001", true
		e.Outcome(a, 200)
	}
}
