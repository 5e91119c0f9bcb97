package sbc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
)

// TestRedirectWhilePrackIsDue: B rang reliably and then passed the call on.
// The PRACK for what rang is taken, and the lack of it ends no call.
func TestRedirectWhilePrackIsDue(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{true, false} {
		t.Run(fmt.Sprint("late PRACK ", late), func(t *testing.T) {
			t.Parallel()
			w := newRawWorld(t, redirects(sbc.RefuseRedirects, sbc.FollowRedirects, sbc.RefuseRedirects), func(c *worldConfig) { c.sbc.Stack.T1 = 20 * time.Millisecond })
			inv := w.b.invite("+33199007777", rel)
			first := w.a.request("INVITE")
			w.a.reliably(first, 180, 7, "t1", nil)
			early := w.b.code(180)
			w.a.reply(first, 302, "t1", nil, contacts("<sip:+33199002222@"+w.a.host()+">")...)
			w.a.request("ACK")
			second := w.a.request("INVITE")
			if late {
				w.b.prack(2, inv, early, nil)
				w.b.answer("PRACK", 200)
				w.b.prack(3, inv, early, nil)
				w.b.answer("PRACK", 481)
			}
			w.a.reliably(second, 183, 1, "t2", w.a.sdp())
			next := w.b.code(183)
			if tagOf(next) == tagOf(early) {
				t.Error("the target shares a dialog with who redirected")
			}
			w.b.prack(4, inv, next, nil)
			w.b.answer("PRACK", 200)
			w.a.reply(w.a.request("PRACK"), 200, "", nil)
			// 64·T1 pass, and nobody misses a PRACK.
			deadline := time.After(1600 * time.Millisecond)
			<-deadline
			if m := w.b.take(func(m *siptest.Message) bool { return m.Code >= 300 && strings.Contains(m.Get("CSeq"), "INVITE") }); m != nil {
				t.Fatalf("%s", m.Bytes())
			}
			w.a.reply(second, 200, "t2", nil)
			ok := w.b.code(200)
			w.a.request("ACK")
			w.b.send(w.b.within("ACK", 1, inv, ok))
			w.b.send(w.b.within("BYE", 9, inv, ok))
			w.b.answer("BYE", 200)
			w.a.reply(w.a.request("BYE"), 200, "", nil)
			w.quiet()
		})
	}
}

// TestEarlyGlare: a re-INVITE that overtakes the 200 is told to come again; a
// 481 would end the call (RFC 3261 §12.2.1.2, §14.2).
func TestEarlyGlare(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 180, "one", nil)
	ring := w.a.code(180)
	w.b.send(withSDP(w.b.back("INVITE", 5, in, "one"), w.b.sdp()))
	w.b.code(491)
	w.a.send(withSDP(w.a.within("INVITE", 2, inv, ring), w.a.sdp()))
	if m := w.a.code(500); m.Get("Retry-After") == "" {
		t.Errorf("%s", m.Bytes())
	}
	w.b.reply(in, 200, "one", w.b.sdp())
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	w.bye(rawCall{inv: inv, ok: ok}, 3)
}

// TestEarlyInfo: digits that are dialled while an announcement plays.
func TestEarlyInfo(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 183, "one", w.b.sdp())
	one := w.a.code(183)
	w.b.reply(in, 183, "two", w.b.sdpAt(40010))
	w.a.code(183)
	info := w.a.within("INFO", 2, inv, one)
	info.Add("Content-Type", "application/dtmf-relay")
	info.Body = []byte("Signal=5\r\nDuration=160\r\n")
	w.a.send(info)
	got := w.b.request("INFO")
	if tagOf(got) != "one" || !strings.Contains(string(got.Body), "Signal=5") {
		t.Errorf("%s", got.Bytes())
	}
	w.b.reply(got, 200, "", nil)
	w.a.answer("INFO", 200)
	w.b.reply(in, 486, "one", nil)
	w.a.ackFailure(inv, w.a.code(486))
	w.quiet()
}
