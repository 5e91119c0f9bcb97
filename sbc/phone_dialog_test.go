package sbc_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// A phone over TLS, which must speak SRTP, and a PBX that speaks RTP.

func clear(t *testing.T, m *siptest.Message) {
	t.Helper()
	if s := string(m.Body); !strings.Contains(s, "RTP/AVP") || strings.Contains(s, "crypto") {
		t.Errorf("towards the PBX:\n%s", m.Bytes())
	}
}

func protected(t *testing.T, m *siptest.Message) {
	t.Helper()
	if s := string(m.Body); !strings.Contains(s, "RTP/SAVP") || !strings.Contains(s, "a=crypto:") {
		t.Errorf("towards the phone:\n%s", m.Bytes())
	}
}

// TestPhoneDials: forks, PRACK and UPDATE of a call from a phone.
func TestPhoneDials(t *testing.T) {
	w := newRawWorld(t)
	p := w.desk("1001")
	inv := withSDP(p.outside("INVITE", "sip:1002@"+domain, rel), p.srtp())
	p.send(inv)
	in := w.b.request("INVITE")
	clear(t, in)
	w.b.reliably(in, 183, 5, "one", w.b.sdp())
	one := p.code(183)
	protected(t, one)
	w.b.reliably(in, 183, 9, "two", w.b.sdpAt(40010))
	two := p.otherCode(183, one)
	protected(t, two)
	if tagOf(one) == tagOf(two) || cryptoOf(one.Body) != cryptoOf(two.Body) {
		t.Error("the forks must have tags of their own, and one key: they share a port")
	}
	p.prack(2, inv, one, nil)
	p.answer("PRACK", 200)
	w.b.reply(w.b.request("PRACK"), 200, "", nil)
	p.prack(2, inv, two, p.srtp()) // with an offer
	got := w.b.request("PRACK")
	clear(t, got)
	w.b.reply(got, 200, "", w.b.sdpAt(40010))
	protected(t, p.answer("PRACK", 200))
	w.b.send(withSDP(w.b.back("UPDATE", 1, in, "two"), w.b.sdpAt(40010, "a=sendonly")))
	got = p.request("UPDATE")
	protected(t, got)
	p.reply(got, 200, "", p.accept(got.Body))
	clear(t, w.b.answer("UPDATE", 200))
	w.b.reply(in, 200, "two", nil)
	ok := p.code(200)
	w.b.request("ACK")
	p.send(p.within("ACK", 1, inv, ok))
	p.send(withSDP(p.within("UPDATE", 3, inv, ok), p.srtp()))
	got = w.b.request("UPDATE")
	clear(t, got)
	w.b.reply(got, 200, "", w.b.sdpAt(40010))
	protected(t, p.answer("UPDATE", 200))
	// The phone may not leave SRTP.
	p.send(withSDP(p.within("UPDATE", 4, inv, ok), p.sdp()))
	p.answer("UPDATE", 488)
	p.send(p.within("BYE", 5, inv, ok))
	p.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
	w.secret(p)
}

// TestPhoneIsAskedToOffer: the PBX calls a phone without an offer, and asks it
// again for one in the call.
func TestPhoneIsAskedToOffer(t *testing.T) {
	w := newRawWorld(t)
	p := w.desk("1001")
	to := func(m *siptest.Message) {
		m.URI = p.contact
		m.Set("From", "<sip:1009@"+w.b.host()+">;tag="+unique("f"))
	}
	inv := w.b.invite("x", to, bare, rel)
	in := p.request("INVITE")
	p.reply(in, 200, "one", p.srtp())
	ok := w.b.code(200)
	clear(t, ok)
	w.b.send(withSDP(w.b.within("ACK", 1, inv, ok), w.b.sdp()))
	protected(t, p.request("ACK"))
	w.b.send(w.b.within("INVITE", 2, inv, ok))
	in2 := p.request("INVITE")
	if len(in2.Body) != 0 || strings.Contains(in2.Get("Supported"), "100rel") {
		t.Errorf("re-INVITE: %s", in2.Bytes())
	}
	p.reply(in2, 200, "", p.srtp())
	ok2 := w.b.code(200)
	clear(t, ok2)
	w.b.send(withSDP(w.b.within("ACK", 2, inv, ok2), w.b.sdp("a=sendonly")))
	ack := p.request("ACK")
	protected(t, ack)
	if !strings.Contains(string(ack.Body), "a=sendonly") {
		t.Errorf("ACK with\n%s", ack.Body)
	}
	// The phone offers RTP: the call is ended, and told of.
	w.b.send(w.b.within("INVITE", 3, inv, ok))
	p.reply(p.request("INVITE"), 200, "", p.sdp())
	w.b.code(488)
	p.request("ACK")
	p.reply(p.request("BYE"), 200, "", nil)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
	if !has(w.rep.rules(), "base/srtp-required") {
		t.Errorf("rules %v", w.rep.rules())
	}
	w.secret(p)
}

// TestPhoneAsksForOffer: a phone calls without an offer; the PBX's is RTP, the
// phone gets SRTP.
func TestPhoneAsksForOffer(t *testing.T) {
	w := newRawWorld(t)
	p := w.desk("1001")
	for _, early := range []bool{false, true} {
		inv := p.outside("INVITE", "sip:1002@"+domain, rel)
		p.send(inv)
		in := w.b.request("INVITE")
		if len(in.Body) != 0 {
			t.Fatalf("INVITE with\n%s", in.Body)
		}
		seq := 2
		if early {
			w.b.reliably(in, 183, 1, "one", w.b.sdp())
			offer := p.code(183)
			protected(t, offer)
			p.prack(2, inv, offer, p.accept(offer.Body))
			p.answer("PRACK", 200)
			got := w.b.request("PRACK")
			clear(t, got)
			w.b.reply(got, 200, "", nil)
			w.b.reply(in, 200, "one", nil)
			seq++
		} else {
			w.b.reply(in, 200, "one", w.b.sdp())
		}
		ok := p.code(200)
		ack := p.within("ACK", 1, inv, ok)
		if !early {
			protected(t, ok)
			withSDP(ack, p.accept(ok.Body))
		}
		p.send(ack)
		if got := w.b.request("ACK"); !early {
			clear(t, got)
		}
		p.send(p.within("BYE", seq, inv, ok))
		p.answer("BYE", 200)
		w.b.reply(w.b.request("BYE"), 200, "", nil)
		w.quiet()
	}
	w.secret(p)
}
