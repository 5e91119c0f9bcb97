package sbc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
)

func looking(every time.Duration) option {
	return func(c *worldConfig) { c.sbc.Progress = every }
}

// A rule ends a call that is up: both ends get a BYE that says why, the record
// has the cause and the rule, and it is told once.
func TestHangup(t *testing.T) {
	w := withBans(t, ratelimit.NewBans(ratelimit.BanCaps{}), `rules:
  - {id: x/watch, on: progress, match: {user: ["1001"]}, then: flag}
  - {id: x/shadow, on: progress, match: {user: ["1001"]}, then: hangup, mode: shadow}
  - {id: x/long, on: progress, match: {user: ["1001"]}, then: hangup, why: "long enough"}
`, looking(100*time.Millisecond))
	a := w.registered("1001")
	w.registered("1002", tone(880))
	c := w.call(a, "1002")
	eventually(t, "the call is ended", func() bool {
		select {
		case <-c.Done():
			return true
		default:
			return false
		}
	})
	w.quiet()
	r := w.rep.lastRecord(t, 1)
	if r.EndedBy != call.ByGateway || r.Rule != "x/long" || r.Code != 200 {
		t.Errorf("%+v", r)
	}
	cause := ""
	for _, p := range r.Passes {
		cause += p.HangupCause
	}
	if !strings.Contains(cause, "policy") {
		t.Errorf("no cause: %+v", r.Passes)
	}
	if got := w.pub.String(); !strings.Contains(got, `Reason: SIP;cause=403;text="x/long"`) {
		t.Error("the phones are not told why")
	}
	n := map[string]int{}
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	for _, d := range w.rep.decisions {
		if d.d.Action == call.CallEnded {
			n["ended "+d.d.Rule]++
		}
		for _, x := range d.d.Also {
			n[x.Rule]++
		}
	}
	if n["ended x/long"] < 1 || n["ended x/long"] > 2 || n["x/watch"] < 1 || n["x/watch"] > 2 || n["x/shadow"] < 1 || n["x/shadow"] > 2 { // one for each pass at most
		t.Errorf("told: %v", n)
	}
}

// A hold from a call that is up leaves the call, and refuses the next that
// costs; a flag is told once however long the call lasts.
func TestHoldAndFlagInProgress(t *testing.T) {
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := withBans(t, bans, `rules:
  - {id: x/flag, on: progress, then: flag}
  - {id: x/hold, on: progress, then: hold 1h}
`, looking(50*time.Millisecond))
	a := w.registered("1001")
	w.registered("1002", tone(880))
	c := w.call(a, "1002")
	eventually(t, "held", func() bool { return len(w.rep.systemsOf(call.AccountHeld)) > 0 })
	w.refused(a, "00442079460000", 403)
	since := time.Now()
	eventually(t, "looked at many times", func() bool { return time.Since(since) > 600*time.Millisecond })
	select {
	case <-c.Done():
		t.Error("the call was ended")
	default:
	}
	c.Bye(w.ctx)
	w.quiet()
	flags := 0
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	for _, d := range w.rep.decisions {
		for _, x := range d.d.Also {
			if x.Rule == "x/flag" {
				flags++
			}
		}
	}
	if flags < 1 || flags > 2 { // one for each pass
		t.Errorf("flagged %d times", flags)
	}
}

// A rule about connections closes one before anything was sent, and can ban
// whoever makes it.
func TestConnect(t *testing.T) {
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := withBans(t, bans, `rules:
  - {id: x/nowhere, on: connect, match: {source: {cidr: [`+publicNet+`80/32]}}, then: drop, why: "not from {source.ip}"}
  - {id: x/worse, on: connect, match: {source: {cidr: [`+publicNet+`81/32]}}, then: ban 1h}
  - {id: x/seen, on: connect, match: {source: {cidr: [`+publicNet+`82/32]}}, then: flag}
`)
	for range 2 {
		if err := w.tries("1001", at("80")); err == nil {
			t.Error("dropped, and yet served")
		}
	}
	for range 3 {
		if err := w.tries("1001", at("81")); err == nil {
			t.Error("banned, and yet served")
		}
	}
	if err := w.tries("1001", at("82")); err != nil {
		t.Error(err)
	}
	if err := w.tries("1002", at("83")); err != nil {
		t.Error(err)
	}
	if told := w.rep.systemsOf(call.SourceBanned); len(told) != 1 || told[0].Rule != "x/worse" {
		t.Errorf("%+v", told)
	}
	n := map[string]int{}
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	for _, d := range w.rep.decisions {
		if d.a.On == call.Connection {
			n[d.d.Rule]++
			for _, x := range d.d.Also {
				n[x.Rule]++
			}
		}
	}
	if n["x/nowhere"] != 2 || n["x/worse"] != 1 || n["x/seen"] != 1 || n["base/stranger"] != 0 {
		t.Errorf("%v", n)
	}
}

// A rule that would end every call ends none that is for help.
func TestHangupSparesEmergencies(t *testing.T) {
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := newRawWorld(t, func(c *worldConfig) { rule(t, c, bans, "rules:\n  - {id: x/all, on: progress, then: hangup}\n") }, looking(50*time.Millisecond))
	up := func(to string) (inv, ok *siptest.Message) {
		inv = w.a.invite(to)
		in := w.b.request("INVITE")
		w.b.reply(in, 200, "t", w.b.sdp())
		ok = w.a.code(200)
		w.b.request("ACK")
		w.a.send(w.a.within("ACK", 1, inv, ok))
		return inv, ok
	}
	inv, ok := up("112")
	since := time.Now()
	eventually(t, "looked at many times", func() bool { return time.Since(since) > 500*time.Millisecond })
	if w.gw.Live() != 1 {
		t.Fatal("a call for help was ended")
	}
	w.a.send(w.a.within("BYE", 2, inv, ok))
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
}
