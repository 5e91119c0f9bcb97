package policy_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// What an action can be said about, each wrong one with what to write instead.
func TestActionsFitTheirOccasion(t *testing.T) {
	got := problems(file("a.yaml", `version: 1
rules:
  - {id: a/connect-reject, on: connect, then: reject 403}
  - {id: a/connect-challenge, on: connect, then: challenge}
  - {id: a/connect-facts, on: connect, match: {to: {country: [JM]}, user_agent: x}, then: drop}
  - {id: a/connect-key, on: connect, key: [user], then: ban}
  - {id: a/progress-reject, on: progress, then: reject 403}
  - {id: a/hangup, on: invite, then: hangup}
  - {id: a/hold-register, on: register, then: hold 1h}
  - {id: a/hold-how-long, on: invite, then: hold}
  - {id: a/too-long, on: any, then: ban 99d}
  - {id: a/no-time, on: any, then: ban soon}
  - {id: a/typo, on: any, then: chalenge}
  - {id: a/typo-value, on: any, then: rejct 403}
  - {id: a/key-alone, on: any, key: [source.ip], then: drop}
  - {id: a/key-unknown, on: any, key: [sorce.ip], then: ban}
  - {id: a/peer, on: any, key: [peer], then: ban}
  - {id: a/anybody, on: register, key: [register.user], then: ban}
limits:
  - {id: a/limit-progress, on: progress, key: [user], rate: 1/s, then: drop}
  - {id: a/limit-hangup, on: invite, key: [user], rate: 1/s, then: hangup}
  - {id: a/limit-no-key, on: register, failures: 3, over: 1m, then: ban}
`))
	for _, want := range []string{
		`a.yaml:3:47: then: reject does not fit on: connect`,
		`a.yaml:4:50: then: challenge does not fit on: connect`,
		`match: to is not known on: connect`, `match: user_agent is not known on: connect`,
		`on: connect only the source is known`,
		`then: reject does not fit on: progress` + `, where the call is up already` + "\n    hint: write then: hangup",
		`a.yaml:8:38: then: hangup ends calls that are up`,
		`then: hold locks an account`,
		`hold needs a time, such as hold 1h`,
		`ban 99d: 1s to 30d`, `ban soon: write a time such as 10m, 1h or 1d`,
		`"chalenge" is no action: did you mean challenge?`,
		`"rejct 403" is no action: did you mean reject?`,
		`key: says whom a rule bans, and this one bans nobody`,
		`unknown key "sorce.ip"` + "\n    hint: did you mean source.ip?",
		`peers and PBXs are never banned`,
		`warning: anybody can have a user banned`,
		`limits count requests, not connections`,
		`a ban needs somebody to be about`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// A ban is of the source, unless key: says otherwise; a hold is of the account
// and refuses what is costly; both are asked for beside the strictest verdict,
// also by a rule that is not it.
func TestEffects(t *testing.T) {
	set := compile(t, file("a.yaml", `version: 1
home: {country: FR}
rules:
  - {id: a/ban, on: register, match: {user_agent: sipcli}, then: ban 1h, why: "scanner {request.user_agent}"}
  - {id: a/shadow, on: register, then: ban, mode: shadow}
  - {id: a/hold, on: invite, match: {user: ["1001"]}, then: hold 2h}
  - {id: a/long, on: progress, match: {to: {international: true}}, then: hangup}
`), file("b.yaml", `version: 1
rules:
  - {id: b/drop, on: register, then: drop}
`))
	scan := attempt(func(a *call.Attempt) {
		a.Method, a.PeerKind, a.UserAgent, a.User = "REGISTER", call.Stranger, "sipcli/1", ""
	})
	d := set.Judge(scan)
	if d.Verdict != call.Drop || len(d.Effects) != 1 {
		t.Fatalf("%+v", d)
	}
	e := d.Effects[0]
	if e.Act != call.ActBan || e.For != time.Hour || e.Rule != "a/ban" || e.Reason != "scanner sipcli/1" ||
		e.Key != (call.Key{Source: call.SourcePrefix(scan.Source.Addr.Addr(), false)}) {
		t.Errorf("%+v", e)
	}
	plain := attempt(func(a *call.Attempt) { a.Method, a.PeerKind, a.User = "REGISTER", call.Stranger, "" })
	if d := set.Judge(plain); len(d.Effects) != 0 || len(d.Also) != 1 || !d.Also[0].Shadow || len(d.Also[0].Effects) != 1 {
		t.Errorf("a shadow ban: %+v", d)
	}
	home := attempt(func(a *call.Attempt) { a.User, a.To.Kind, a.To.Class = "1001", call.National, "mobile" })
	if d := set.Judge(home); d.Verdict != call.Abstain || len(d.Effects) != 1 || d.Effects[0].Key != (call.Key{User: "1001"}) || d.Effects[0].Act != call.ActHold {
		t.Errorf("a plain call of who is to be held: %+v", d)
	}
	for _, costly := range []call.Party{{Kind: call.International, Country: "JM"}, {Kind: call.National, Class: "premium_rate"}} {
		a := attempt(func(a *call.Attempt) { a.User, a.To = "1001", costly })
		if d := set.Judge(a); d.Verdict != call.Reject || d.Status != 403 || d.Rule != "a/hold" || len(d.Effects) != 1 {
			t.Errorf("a costly call of who is to be held: %+v", d)
		}
	}
	if !set.Watches(call.Progress) || set.Watches(call.Connection) {
		t.Error("what is watched")
	}
	up := attempt(func(a *call.Attempt) {
		a.On, a.Elapsed, a.User, a.To = call.Progress, time.Minute, "1002", call.Party{Kind: call.International}
	})
	if d := set.Judge(up); d.Rule != "a/long" || d.Action != call.CallEnded || len(d.Effects) != 1 || d.Effects[0].Act != call.ActHangup {
		t.Errorf("a call that is up: %+v", d)
	}
	// Somebody's SIP method cannot make a request an occasion.
	if d := set.Judge(attempt(func(a *call.Attempt) { a.Method, a.To = "PROGRESS", call.Party{Kind: call.International} })); len(d.Effects) != 0 {
		t.Errorf("a method named PROGRESS: %+v", d)
	}
}

func attempt(change func(*call.Attempt)) *call.Attempt {
	a := &call.Attempt{At: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Method: "INVITE", PeerKind: call.Phone, User: "1003",
		Source: call.Source{Addr: netip.MustParseAddrPort("192.0.2.7:5061"), Transport: "tls"}}
	change(a)
	return a
}
