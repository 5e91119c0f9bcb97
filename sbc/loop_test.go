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

// TestLoopThroughACarrier: a PBX forwards to a number of a carrier, which sends
// the call back, each time as a new one with all its hops. It comes round so
// often and not once more; what only looks like it is served.
func TestLoopThroughACarrier(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	const did, mobile = "+33123456789", "+33699887766"
	var came, went []*siptest.Message // as their senders have them
	var atPBX, atCarrier []*siptest.Message
	in := func(from string) *siptest.Message {
		return w.a.invite(did, func(m *siptest.Message) { m.Set("From", "<sip:"+from+"@"+w.a.host()+">;tag="+unique("f")) })
	}
	turn := func(from string) {
		t.Helper()
		came = append(came, in(from))
		atPBX = append(atPBX, w.b.request("INVITE"))
		went = append(went, w.b.invite(mobile, func(m *siptest.Message) { m.Set("From", "<sip:"+did+"@"+w.b.host()+">;tag="+unique("f")) }))
		atCarrier = append(atCarrier, w.a.request("INVITE"))
	}
	for range 8 {
		turn("+33199001234")
	}
	out := in("+33199001234")
	w.a.ackFailure(out, w.a.code(482))
	w.b.never("a ninth turn", w.b.another("INVITE"))
	if found := w.judged("base/loop", func(a *call.Attempt) bool { return a.PeerKind == call.Carrier }); found.d.Status != 482 || found.a.To.E164() != did {
		t.Errorf("%+v", found)
	}
	turn("+33199005555") // another caller is not of the loop
	end := func(i int) {
		t.Helper()
		w.a.reply(atCarrier[i], 486, unique("t"), nil)
		id := went[i].Get("Call-ID")
		w.b.ackFailure(went[i], w.b.expect("486", func(m *siptest.Message) bool { return m.Code == 486 && m.Get("Call-ID") == id }))
		w.b.reply(atPBX[i], 486, unique("t"), nil)
		id = came[i].Get("Call-ID")
		w.a.ackFailure(came[i], w.a.expect("486", func(m *siptest.Message) bool { return m.Code == 486 && m.Get("Call-ID") == id }))
	}
	for i := range came {
		end(i)
	}
	w.quiet()

	// As many who ring at one number, and none of whom is forwarded: no loop.
	came, went, atPBX, atCarrier = nil, nil, nil, nil
	for range 12 {
		came = append(came, in("+33199001234"))
		atPBX = append(atPBX, w.b.request("INVITE"))
	}
	// Nor as many that are forwarded and answered.
	for i := range came {
		w.b.reply(atPBX[i], 486, unique("t"), nil)
		id := came[i].Get("Call-ID")
		w.a.ackFailure(came[i], w.a.expect("486", func(m *siptest.Message) bool { return m.Code == 486 && m.Get("Call-ID") == id }))
	}
	came, atPBX = nil, nil
	for i := range 10 {
		turn("+33199001234")
		id := went[i].Get("Call-ID")
		w.a.reply(atCarrier[i], 200, unique("t"), w.a.sdp())
		ok := w.b.expect("200", func(m *siptest.Message) bool { return m.Code == 200 && m.Get("Call-ID") == id })
		w.a.request("ACK")
		w.b.send(w.b.within("ACK", 1, went[i], ok))
		w.b.send(w.b.within("BYE", 2, went[i], ok))
		w.b.answer("BYE", 200)
		w.a.reply(w.a.request("BYE"), 200, "", nil)
		w.b.reply(atPBX[i], 486, unique("t"), nil)
		id = came[i].Get("Call-ID")
		w.a.ackFailure(came[i], w.a.expect("486", func(m *siptest.Message) bool { return m.Code == 486 && m.Get("Call-ID") == id }))
	}
	w.quiet()
	if in, out, full := w.gw.Circles(); in+out+full != 0 {
		t.Errorf("%d, %d and %d are still counted", in, out, full)
	}
}

// TestNoLoop: calls of one number to a queue that nobody answers are served while
// as many of an office to one number outside wait: they do not take turns.
func TestNoLoop(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	var came, went, atPBX, atCarrier []*siptest.Message
	in := func() {
		t.Helper()
		came = append(came, w.a.invite("+33123456789", func(m *siptest.Message) { m.Set("From", "<sip:+33199001234@"+w.a.host()+">;tag="+unique("f")) }))
		atPBX = append(atPBX, w.b.request("INVITE"))
	}
	out := func() {
		t.Helper()
		went = append(went, w.b.invite("+33699887766", func(m *siptest.Message) { m.Set("From", "<sip:+33123456789@"+w.b.host()+">;tag="+unique("f")) }))
		atCarrier = append(atCarrier, w.a.request("INVITE"))
	}
	for i := range 5 { // in and out come singly, but for one time
		in()
		if i != 3 {
			out()
		}
	}
	for range 3 {
		in()
	}
	for range 4 {
		out()
	}
	in() // the ninth: fails with 482 if counts alone make a loop
	for i := range came {
		w.b.reply(atPBX[i], 486, unique("t"), nil)
		id := came[i].Get("Call-ID")
		w.a.ackFailure(came[i], w.a.expect("486", func(m *siptest.Message) bool { return m.Code == 486 && m.Get("Call-ID") == id }))
	}
	for i := range went {
		w.a.reply(atCarrier[i], 486, unique("t"), nil)
		id := went[i].Get("Call-ID")
		w.b.ackFailure(went[i], w.b.expect("486", func(m *siptest.Message) bool { return m.Code == 486 && m.Get("Call-ID") == id }))
	}
	w.quiet()
	if in, out, full := w.gw.Circles(); in+out+full != 0 {
		t.Errorf("%d, %d and %d are still counted", in, out, full)
	}
}
