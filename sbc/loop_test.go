package sbc_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// TestHopsAreCarried: a back-to-back user agent that began anew with 70 hops
// would hide every loop it is part of (RFC 7332 §4).
func TestHopsAreCarried(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	end := func(in *siptest.Message, inv *siptest.Message) {
		w.b.reply(in, 486, "busy", nil)
		w.a.ackFailure(inv, w.a.code(486))
	}
	for hops, want := range map[string]string{"70": "69", "9": "8", "2": "1", "255": "254"} {
		inv := w.a.invite("+33123456789", func(m *siptest.Message) { m.Set("Max-Forwards", hops) })
		in := w.b.request("INVITE")
		if got := in.Get("Max-Forwards"); got != want {
			t.Errorf("Max-Forwards %s became %s", hops, got)
		}
		end(in, inv)
	}
	for _, hops := range []string{"0", "1"} {
		inv := w.a.invite("+33123456789", func(m *siptest.Message) { m.Set("Max-Forwards", hops) })
		w.a.ackFailure(inv, w.a.code(483))
	}
	// RFC 5393: nor may a request be forked more widely behind us.
	for breadth, want := range map[string]string{"5": "5", "60": "60", "1000000": "60"} {
		inv := w.a.invite("+33123456789", func(m *siptest.Message) { m.Add("Max-Breadth", breadth) })
		in := w.b.request("INVITE")
		if got := in.Get("Max-Breadth"); got != want {
			t.Errorf("Max-Breadth %s became %q", breadth, got)
		}
		end(in, inv)
	}
	inv := w.a.invite("+33123456789", func(m *siptest.Message) { m.Add("Max-Breadth", "0") })
	w.a.ackFailure(inv, w.a.code(440))
	w.quiet()
}

// TestLoopThroughThePBX: a PBX that sends a call back to us, each time as a new
// one with all its hops, is found by what it says of the call.
func TestLoopThroughThePBX(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	inv := withSDP(p.outside("INVITE", "sip:+33123456789@"+domain), p.srtp())
	p.send(inv)
	first := w.b.request("INVITE")
	id := first.Get("Session-ID")
	if id == "" {
		t.Fatal("the PBX gets no Session-ID")
	}
	type pass struct{ out, in *siptest.Message }
	var passes []pass
	again := func() *siptest.Message {
		return w.b.invite("+33199887766", func(m *siptest.Message) { m.Add("Session-ID", id) })
	}
	for len(passes) < 7 {
		out := again()
		passes = append(passes, pass{out, w.a.request("INVITE")})
	}
	out := again()
	w.b.ackFailure(out, w.b.code(482))
	w.a.never("a ninth pass", w.a.another("INVITE"))
	found := w.judged("base/loop", func(a *call.Attempt) bool { return strings.Contains(a.RequestURI, "+33199887766") })
	if found.d.Status != 482 {
		t.Errorf("%+v", found.d)
	}
	for _, p := range passes {
		w.a.reply(p.in, 486, unique("t"), nil)
		id := p.out.Get("Call-ID")
		w.b.ackFailure(p.out, w.b.expect("486", func(m *siptest.Message) bool { return m.Code == 486 && m.Get("Call-ID") == id }))
	}
	w.b.reply(first, 486, "t", nil)
	p.ackFailure(inv, p.code(486))
	w.quiet()
}
