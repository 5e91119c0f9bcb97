package fraud

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

func calls(user, to string, class call.NumberKind) *call.Attempt {
	return &call.Attempt{At: t0, Method: "INVITE", Account: "main", User: user, Direction: call.Outbound, To: call.Party{Kind: class, Number: to}}
}

// refuses is a detector that refuses, for tests.
func (e *Engine) refuses(id string, m Mode) {
	e.cfg.Rules[id] = Rule{Then: Then{Verdict: call.Reject, Status: 603}, Mode: m}
}

const far, near, premium = "+37120000001", "+442071234567", "+449098790001"

// What was found of a user stands against its costly calls, and against nobody
// else's, no call at home, none inside the house and none for help.
func TestStandsAgainstUser(t *testing.T) {
	e := teller()
	e.refuses(IDToll, Enforce)
	id := e.tell(userFinding("1001"), nil)
	for _, x := range []struct {
		a    *call.Attempt
		want bool
	}{
		{calls("1001", far, call.International), true},
		{calls("1001", premium, call.National), true},
		{calls("1001", near, call.National), false},
		{calls("1002", far, call.International), false},
		{&call.Attempt{At: t0, Method: "INVITE", Account: "other", User: "1001", Direction: call.Outbound, To: call.Party{Kind: call.International, Number: far}}, false},
		{&call.Attempt{At: t0, Method: "INVITE", Account: "main", User: "1001", Direction: call.Internal, To: call.Party{Kind: call.International, Number: far}}, false},
		{calls("1001", "112", call.Emergency), false},
		{&call.Attempt{At: t0, Method: "INVITE", Account: "main", User: "1001", Help: true, Direction: call.Outbound, To: call.Party{Kind: call.International, Number: far}}, false},
		{&call.Attempt{At: t0, Method: "MESSAGE", Account: "main", User: "1001", Direction: call.Outbound, To: call.Party{Kind: call.International, Number: far}}, false},
		{&call.Attempt{At: t0, Method: "INVITE", On: call.Progress, Account: "main", User: "1001", Direction: call.Outbound, To: call.Party{Kind: call.International, Number: far}}, false},
	} {
		d := e.Judge(x.a)
		if (d.Verdict == call.Reject) != x.want {
			t.Errorf("%s %s: %v", x.a.User, x.a.To.Number, d)
		}
		if x.want && (d.Rule != IDToll || d.Status != 603 || d.Action != call.TollFraud || d.Subject.Value != "1001" || !slices.Equal(d.Trace, []string{IDToll}) || d.Evidence[0].Value != id) {
			t.Errorf("%+v", d)
		}
	}
	e.at(e.cfg.Incident)
	if d := e.Judge(calls("1001", far, call.International)); d.Verdict != call.Abstain {
		t.Errorf("after the incident: %v", d)
	}
}

// Findings always alert, and in shadow nothing more happens; switched on, what
// was found before counts, switched off nothing does.
func TestShadowWithholds(t *testing.T) {
	e := teller()
	e.tell(userFinding("1001"), nil)
	a := calls("1001", far, call.International)
	if d := e.Judge(a); d.Verdict != call.Abstain || d.Also != nil {
		t.Errorf("flag: %v", d)
	}
	e.refuses(IDToll, FirstShadow)
	d := e.Judge(a)
	if d.Verdict != call.Abstain || len(d.Also) != 1 || !d.Also[0].Shadow || d.Also[0].Verdict != call.Reject {
		t.Errorf("first week: %+v", d)
	}
	e.begin -= int64(e.cfg.Shadow)
	if d := e.Judge(a); d.Verdict != call.Reject || d.Shadow {
		t.Errorf("after it: %+v", d)
	}
	e.cfg.Rules[IDToll] = Rule{Off: true, Then: Then{Verdict: call.Reject}}
	if d := e.Judge(a); d.Verdict != call.Abstain || d.Also != nil {
		t.Errorf("off: %+v", d)
	}
}

// The strictest that is carried out wins; what is in shadow is told beside it.
func TestStrictestStands(t *testing.T) {
	e := teller()
	e.refuses(IDToll, Shadow)
	e.refuses(IDTravel, Enforce)
	e.tell(userFinding("1001"), nil)
	f := userFinding("1001")
	f.Detector, f.Action = IDTravel, call.ImpossibleTravel
	e.tell(f, nil)
	d := e.Judge(calls("1001", far, call.International))
	if d.Verdict != call.Reject || d.Rule != IDTravel || len(d.Also) != 1 || d.Also[0].Rule != IDToll {
		t.Errorf("%+v", d)
	}
}

// Calls from and to numbers and blocks that a finding names.
func TestStandsAgainstNumbers(t *testing.T) {
	e := teller()
	e.refuses(IDRobo, Enforce)
	e.refuses(IDPump, Enforce)
	e.tell(Finding{Detector: IDRobo, Action: call.Robocall, Subject: call.Subject{Kind: "from_prefix", Value: block(near, 4)}}, nil)
	e.tell(Finding{Detector: IDPump, Action: call.TrafficPumping, Subject: call.Subject{Kind: "to", Value: premium}}, nil)
	in := func(from string) *call.Attempt {
		return &call.Attempt{At: t0, Method: "INVITE", Account: "main", Direction: call.Inbound, From: call.Party{Kind: call.National, Number: from}}
	}
	for a, want := range map[*call.Attempt]bool{in(near): true, in("+442071239999"): true, in("+442071330000"): false, in(""): false,
		calls("7", premium, call.National): true, calls("7", "+449098790002", call.National): false, calls("7", near, call.National): false} {
		if d := e.Judge(a); (d.Verdict == call.Reject) != want {
			t.Errorf("%s > %s: %v", a.From.Number, a.To.Number, d)
		}
	}
}

// A carrier that answers falsely is passed over for that destination.
func TestStandsAgainstPeer(t *testing.T) {
	e := teller()
	e.refuses(IDAnswer, Enforce)
	rate, _ := e.rates.Look(far)
	e.tell(Finding{Detector: IDAnswer, Action: call.FalseAnswer, Subject: call.Subject{Kind: "peer", Value: "cheap"}}, &running{far: rate, outbound: true, paid: true})
	a := calls("1", far, call.International)
	if d := e.JudgeRoute(a, "cheap"); d.Verdict != call.Reject {
		t.Error(d)
	}
	if d := e.JudgeRoute(a, "other"); d.Verdict != call.Abstain {
		t.Error(d)
	}
	if d := e.JudgeRoute(calls("1", near, call.National), "cheap"); d.Verdict != call.Abstain {
		t.Error(d)
	}
	if d := e.Judge(a); d.Verdict != call.Abstain {
		t.Error(d)
	}
}

// Whoever is refused and tries again does not prolong it.
func TestRefusedProlongsNothing(t *testing.T) {
	e := teller()
	e.refuses(IDToll, Enforce)
	e.tell(userFinding("1001"), nil)
	e.at(e.cfg.Incident / 2)
	e.tell(userFinding("1001"), &running{id: "r", account: "main", user: "1001", to: far, outbound: true, paid: true, refused: true})
	e.at(e.cfg.Incident + time.Second)
	if d := e.Judge(calls("1001", far, call.International)); d.Verdict != call.Abstain {
		t.Error(d)
	}
}

// A release takes back what stands.
func TestReleaseOfStand(t *testing.T) {
	e := teller()
	e.refuses(IDToll, Enforce)
	id := e.tell(userFinding("1001"), nil)
	e.tell(userFinding("1002"), nil)
	e.Release(id)
	for user, want := range map[string]call.Verdict{"1001": call.Abstain, "1002": call.Reject} {
		if d := e.Judge(calls(user, far, call.International)); d.Verdict != want {
			t.Errorf("%s: %v", user, d)
		}
	}
}

// Acts are about whom the finding is about: all costly calls of a user that are
// up are ended, those of others are not, nor those at home.
func TestActs(t *testing.T) {
	e := teller()
	start := func(id, user, to string) {
		e.Observe(call.Event{At: call.Time{Time: t0}, Kind: call.EventInvite, ID: id, Direction: "outbound", Account: "main", User: user, To: to, Verdict: "allow"})
	}
	start("a", "1001", far)
	start("b", "1001", far)
	start("c", "1001", near)
	start("d", "1002", far)
	start("e", "1001", premium)
	e.Flush()
	e.Observe(call.Event{At: call.Time{Time: t0}, Kind: call.EventEnd, ID: "b"})
	e.Flush()
	e.cfg.Rules[IDToll] = Rule{Then: Then{Act: call.ActHangup}, Mode: Enforce}
	e.tell(userFinding("1001"), nil)
	if f := e.given(); len(f) != 1 || len(f[0].Do) != 1 || !slices.Equal(f[0].Do[0].Calls, []string{"a", "e"}) || f[0].Do[0].Shadow {
		t.Errorf("%+v", f)
	}
	acct := userFinding("")
	acct.Subject = call.Subject{Kind: "account", Value: "main"}
	e.tell(acct, nil)
	if f := e.given(); len(f) != 1 || !slices.Equal(f[0].Do[0].Calls, []string{"a", "d", "e"}) {
		t.Errorf("%+v", f)
	}
	e.cfg.Rules[IDTravel] = Rule{Then: Then{Act: call.ActHold, For: time.Hour}, Mode: Shadow}
	f := userFinding("1001")
	f.Detector = IDTravel
	e.tell(f, nil)
	if f := e.given(); len(f) != 1 || f[0].Do[0].Key != (call.Key{User: "1001", Account: "main"}) || f[0].Do[0].For != time.Hour || !f[0].Do[0].Shadow {
		t.Errorf("%+v", f)
	}
}

// A question that nothing stands against costs no memory.
func TestJudgeAlloc(t *testing.T) {
	e := office()
	watch(e, newWorld(3).events(300))
	out, in := calls("5000", "+4930123456", call.International), &call.Attempt{At: t0, Method: "INVITE", Account: "main", Direction: call.Inbound, From: call.Party{Kind: call.National, Number: "+442071234567"}}
	prem := calls("5000", premium, call.National)
	out.Account, prem.Account = "other", "other" // whole accounts are refused by then
	for _, a := range []*call.Attempt{out, in, prem} {
		if n := testing.AllocsPerRun(200, func() { e.Judge(a); e.JudgeRoute(a, "carrier-a") }); n > 0 {
			t.Errorf("%s: %.0f allocations", a.To.Number, n)
		}
	}
}

// Callers outside can be anybody's invention, in any number: what was found of
// users outlasts all of them.
func TestForgedCallersPushNoUserOut(t *testing.T) {
	e := teller()
	e.refuses(IDToll, Enforce)
	e.tell(userFinding("1001"), nil)
	for i := range 2 * e.cfg.MaxKeys {
		f := Finding{Detector: IDRobo, Action: call.Robocall, Subject: call.Subject{Kind: "from", Value: "+4420" + strconv.Itoa(10_000_000+i)}}
		e.stand(&f, nil, "x")
	}
	if n := e.callers.len(); n > e.cfg.MaxKeys {
		t.Errorf("%d callers are kept", n)
	}
	if d := e.Judge(calls("1001", far, call.International)); d.Verdict != call.Reject {
		t.Errorf("forgotten: %v", d)
	}
}
