package sbc_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// userOf is the user part of the URI in a header field or request line.
func userOf(text string) string {
	_, rest, _ := strings.Cut(text, "sip:")
	user, _, _ := strings.Cut(rest, "@")
	return user
}

// TestForward: the PBX gets the canonical number or exactly what was dialled,
// in the Request-URI, To and Refer-To of whatever comes; never a third form.
func TestForward(t *testing.T) {
	t.Parallel()
	for _, canonical := range []bool{false, true} {
		w := newRawWorld(t, func(c *worldConfig) { c.sbc.InsideCanonical = canonical })
		p := w.desk("1001")
		for _, x := range []struct{ dialled, canonical string }{
			{"+44(0)20-7946.0000", "+442079460000"},
			{"00442%30%37946-0000;isub=12", "+442079460000"},
			{"%2B442079460000;ext=9", "+442079460000"},
			{"2079460000;phone-context=%2B4.4", "+442079460000"},
			{"1002", "1002"},
			{"*67%2B442079460000", "*67%2B442079460000"}, // the PBX has to see the code
			{"*97", "*97"},
			{"alice.b", "alice.b"},
		} {
			want := x.dialled
			if canonical {
				want = x.canonical
			}
			check := func(what, text string) {
				t.Helper()
				if got := userOf(text); got != want {
					t.Errorf("canonical %v, %s: %s of %q is %q, want %q", canonical, x.dialled, what, text, got, want)
				}
			}
			c := w.dial(p, x.dialled)
			check("INVITE", c.in.URI)
			check("To", c.in.Get("To"))
			r := p.within("REFER", 2, c.inv, c.ok)
			r.Add("Refer-To", "<sip:"+x.dialled+"@"+domain+">")
			p.send(r)
			in := w.b.request("REFER")
			check("Refer-To", in.Get("Refer-To"))
			w.b.reply(in, 603, "", nil)
			p.answer("REFER", 603)
			p.send(p.within("BYE", 3, c.inv, c.ok))
			p.answer("BYE", 200)
			w.b.reply(w.b.request("BYE"), 200, "", nil)
			p.send(p.outside("MESSAGE", "sip:"+x.dialled+"@"+domain, text("hello")))
			in = w.b.request("MESSAGE")
			check("MESSAGE", in.URI)
			check("To of MESSAGE", in.Get("To"))
			w.b.reply(in, 200, "t", nil)
			p.answer("MESSAGE", 200)
		}
		w.quiet()
	}
}

// TestForwardToCarrier: the same towards a carrier, from the PBX.
func TestForwardToCarrier(t *testing.T) {
	t.Parallel()
	for _, canonical := range []bool{false, true} {
		w := newRawWorld(t, func(c *worldConfig) { c.sbc.ForwardCanonical = canonical })
		const dialled = "0044(0)20-7946%30000"
		want := dialled
		if canonical {
			want = "+442079460000"
		}
		inv := w.b.invite(dialled)
		in := w.a.request("INVITE")
		if userOf(in.URI) != want || userOf(in.Get("To")) != want {
			t.Errorf("canonical %v: INVITE %s, To %s, want %s", canonical, in.URI, in.Get("To"), want)
		}
		w.a.reply(in, 486, "t", nil)
		w.a.request("ACK")
		w.b.ackFailure(inv, w.b.code(486))
		w.quiet()
		// More digits than any number has never reach a carrier.
		inv = w.b.invite("+4420794600001234567")
		w.b.ackFailure(inv, w.b.code(404))
	}
}

// TestToIsWhatWasJudged: the Request-URI is dialled and judged. A To with
// another number does not reach a PBX that reads To.
func TestToIsWhatWasJudged(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, denied(t))
	p := w.desk("1001")
	jamaica := func(m *siptest.Message) { m.Set("To", "<sip:0018765550100@"+domain+">") }
	c := w.dial(p, "0123456789", jamaica)
	p.send(p.within("BYE", 2, c.inv, c.ok))
	p.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	p.send(p.outside("MESSAGE", "sip:0123456789@"+domain, text("hello"), jamaica))
	in := w.b.request("MESSAGE")
	w.b.reply(in, 200, "t", nil)
	p.answer("MESSAGE", 200)
	for _, m := range []*siptest.Message{c.in, in} {
		if userOf(m.Get("To")) != "0123456789" {
			t.Errorf("%s: To %q", m.Method, m.Get("To"))
		}
	}
	if s := w.b.saw(); strings.Contains(s, "876555") {
		t.Errorf("the PBX saw the number that was not judged:\n%s", around(s, "876555"))
	}
	// The other way round it is refused.
	inv := withSDP(p.outside("INVITE", "sip:0018765550100@"+domain, func(m *siptest.Message) { m.Set("To", "<sip:0123456789@"+domain+">") }), p.srtp())
	p.send(inv)
	p.ackFailure(inv, p.code(403))
	// Neither does a context that stands behind the host.
	inv = withSDP(p.outside("INVITE", "sip:8765550100@"+domain+";phone-context=+1;user=phone"), p.srtp())
	p.send(inv)
	in = w.b.request("INVITE")
	if in.URI != "sip:8765550100@"+domain+";user=phone" {
		t.Errorf("INVITE %s", in.URI)
	}
	w.b.reply(in, 404, "t", nil)
	w.b.request("ACK")
	p.ackFailure(inv, p.code(404))
	w.quiet()
}

// TestTechPrefixOfAPeer: what a peer puts before numbers is no part of them.
func TestTechPrefixOfAPeer(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) {
		c.sbc.InsideCanonical = true
		c.sbc.Peers[0].TechPrefixes = []string{"7777"}
	})
	inv := w.a.invite("777733123456789")
	in := w.b.request("INVITE")
	if userOf(in.URI) != "+33123456789" {
		t.Errorf("INVITE %s", in.URI)
	}
	w.b.reply(in, 486, "t", nil)
	w.b.request("ACK")
	w.a.ackFailure(inv, w.a.code(486))
	// It is the peer's alone.
	inv = w.b.invite("777733123456789")
	w.b.ackFailure(inv, w.b.code(404))
	w.quiet()
}

// TestBothReadingsOnTheWire: a PBX that ignores a context would dial another
// number: a transfer, a message and a call to it are judged as that too.
func TestBothReadingsOnTheWire(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, ruled(t, "version: 1\ncountries: {default: allow, classes: {premium_rate: deny}}\n"))
	p := w.desk("1001")
	const text2 = "0899123456;phone-context=+49"
	inv := withSDP(p.outside("INVITE", "sip:"+text2+"@"+domain), p.srtp())
	p.send(inv)
	p.ackFailure(inv, p.code(403))
	p.send(p.outside("MESSAGE", "sip:"+text2+"@"+domain, text("x")))
	p.answer("MESSAGE", 403)
	c := w.dial(p, "1002")
	r := p.within("REFER", 2, c.inv, c.ok)
	r.Add("Refer-To", "<sip:"+text2+"@"+domain+">")
	p.send(r)
	p.answer("REFER", 403)
	p.send(p.within("BYE", 3, c.inv, c.ok))
	p.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	n := 0
	for _, d := range w.rep.decisions {
		if d.d.Rule == "countries/class-denied" && d.d.Verdict == call.Reject {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d refusals by class, want 3", n)
	}
}
