package sbc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// TestDelayedOffer: an INVITE without an offer gets one in the 2xx, and the ACK
// brings the answer (RFC 3261 §13.2.1).
func TestDelayedOffer(t *testing.T) {
	t.Run("carrier to PBX", func(t *testing.T) {
		w := newRawWorld(t, pbxSRTP)
		inv := w.a.invite("+33123456789", bare)
		in := w.b.request("INVITE")
		if len(in.Body) != 0 || in.Get("Content-Type") != "" {
			t.Fatalf("INVITE: %s", in.Bytes())
		}
		w.b.reply(in, 180, "one", nil)
		w.a.code(180)
		w.b.reply(in, 200, "one", w.b.secure(40000, "k", "a=sendrecv"))
		ok := w.a.code(200)
		if !strings.Contains(string(ok.Body), "RTP/AVP") || strings.Contains(string(ok.Body), "crypto") {
			t.Fatalf("200 with\n%s", ok.Body)
		}
		w.b.never("an ACK before A's answer", is("ACK"))
		w.b.reply(in, 200, "one", w.b.secure(40000, "k", "a=sendrecv")) // repeated: there is no ACK yet
		ack := withSDP(w.a.within("ACK", 1, inv, ok), w.a.sdp())
		w.a.send(ack)
		got := w.b.request("ACK")
		if !strings.Contains(string(got.Body), "RTP/SAVP") || !strings.Contains(string(got.Body), "a=crypto:1 AES_CM_128_HMAC_SHA1_80") {
			t.Fatalf("ACK with\n%s", got.Body)
		}
		w.a.send(ack)                                     // again
		w.b.reply(in, 200, "one", w.b.secure(40000, "k")) // and the 2xx, as if our ACK was lost
		if again := w.b.again("ACK"); string(again.Body) != string(got.Body) {
			t.Errorf("repeated ACK with\n%s", again.Body)
		}
		w.bye(rawCall{inv: inv, ok: ok}, 2)
		w.hidden()
		w.rep.lastRecord(t, 1)
	})
	t.Run("PBX to carrier", func(t *testing.T) {
		w := newRawWorld(t, pbxSRTP)
		inv := w.b.invite("+33123456789", bare)
		in := w.a.request("INVITE")
		w.a.reply(in, 200, "one", w.a.sdp())
		ok := w.b.code(200)
		if !strings.Contains(string(ok.Body), "RTP/SAVP") {
			t.Fatalf("200 with\n%s", ok.Body)
		}
		w.b.send(withSDP(w.b.within("ACK", 1, inv, ok), w.b.answered(ok, 40000, "k")))
		if ack := w.a.request("ACK"); !strings.Contains(string(ack.Body), "RTP/AVP") || strings.Contains(string(ack.Body), "crypto") {
			t.Errorf("ACK with\n%s", ack.Body)
		}
		w.b.send(w.b.within("BYE", 2, inv, ok))
		w.b.answer("BYE", 200)
		w.a.reply(w.a.request("BYE"), 200, "", nil)
		w.quiet()
		w.hidden()
	})
	t.Run("media", func(t *testing.T) {
		w := newRawWorld(t)
		a, b := w.a.ear(), w.b.ear()
		inv := w.a.invite("+33123456789", bare)
		in := w.b.request("INVITE")
		w.b.reply(in, 200, "one", w.b.sdpAt(b.port()))
		ok := w.a.code(200)
		w.a.send(withSDP(w.a.within("ACK", 1, inv, ok), w.a.sdpAt(a.port())))
		talk(t, a, ok, 'a', b)
		talk(t, b, w.b.request("ACK"), 'b', a)
		w.bye(rawCall{inv: inv, ok: ok}, 2)
	})
}

// TestDelayedOfferRefused: what policy forbids in an offer, it forbids in a
// late one, and in the answer to it.
func TestDelayedOfferRefused(t *testing.T) {
	t.Run("offer without SRTP", func(t *testing.T) {
		w := newRawWorld(t, pbxSRTP)
		inv := w.a.invite("+33123456789", bare)
		in := w.b.request("INVITE")
		w.b.reply(in, 200, "one", w.b.sdp())
		w.a.ackFailure(inv, w.a.code(488))
		w.b.request("ACK")
		w.b.reply(w.b.request("BYE"), 200, "", nil)
		w.quiet()
		if r := w.rep.lastRecord(t, 1); r.Code != 488 || r.Answer != nil || !has(w.rep.rules(), "base/srtp-required") {
			t.Errorf("record %+v, rules %v", r, w.rep.rules())
		}
	})
	t.Run("no offer", func(t *testing.T) {
		w := newRawWorld(t)
		inv := w.a.invite("+33123456789", bare)
		w.b.reply(w.b.request("INVITE"), 200, "one", nil)
		w.a.ackFailure(inv, w.a.code(488))
		w.b.request("ACK")
		w.b.reply(w.b.request("BYE"), 200, "", nil)
		w.quiet()
	})
	for name, body := range map[string]func(w *rawWorld) []byte{
		"answer without SRTP": func(w *rawWorld) []byte { return w.b.sdp() },
		"no answer":           func(*rawWorld) []byte { return nil },
		"nonsense":            func(*rawWorld) []byte { return []byte("v=0\r\nnonsense\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newRawWorld(t, pbxSRTP)
			inv := w.b.invite("+33123456789", bare)
			in := w.a.request("INVITE")
			w.a.reply(in, 200, "one", w.a.sdp())
			ok := w.b.code(200)
			ack := w.b.within("ACK", 1, inv, ok)
			if b := body(w); b != nil {
				withSDP(ack, b)
			}
			w.b.send(ack)
			if got := w.a.request("ACK"); !strings.Contains(string(got.Body), "m=audio 0 ") {
				t.Errorf("ACK with\n%s", got.Body)
			}
			w.a.reply(w.a.request("BYE"), 200, "", nil)
			w.b.reply(w.b.request("BYE"), 200, "", nil)
			w.quiet()
			w.hidden()
			w.rep.lastRecord(t, 1)
		})
	}
	t.Run("no ACK", func(t *testing.T) {
		w := newRawWorld(t)
		w.a.invite("+33123456789", bare)
		w.b.reply(w.b.request("INVITE"), 200, "one", w.b.sdp())
		w.a.code(200)
		if got := w.b.request("ACK"); !strings.Contains(string(got.Body), "m=audio 0 ") {
			t.Errorf("ACK with\n%s", got.Body)
		}
		w.b.reply(w.b.request("BYE"), 200, "", nil)
		w.a.reply(w.a.request("BYE"), 200, "", nil)
		w.quiet()
	})
}

// TestDelayedReInvite: a re-INVITE without an offer, from either end, as
// Asterisk and Cisco send it to resume or transfer.
func TestDelayedReInvite(t *testing.T) {
	w := newRawWorld(t)
	c := w.up()
	re := w.a.within("INVITE", 2, c.inv, c.ok)
	w.a.send(re)
	got := w.b.request("INVITE")
	if len(got.Body) != 0 {
		t.Fatalf("re-INVITE with\n%s", got.Body)
	}
	// While the offer is on its way back, nobody may make another.
	w.b.reply(got, 200, "", w.b.sdpAt(40010, "a=sendonly"))
	ok := w.a.code(200)
	if !strings.Contains(string(ok.Body), "a=sendonly") {
		t.Errorf("200 with\n%s", ok.Body)
	}
	w.b.send(withSDP(w.b.back("INVITE", 1, c.in, c.tag), w.b.sdp()))
	w.b.code(491)
	w.b.never("an ACK before the answer", func(m *siptest.Message) bool { return m.Method == "ACK" })
	w.a.send(withSDP(w.a.within("ACK", 2, c.inv, ok), w.a.sdp("a=recvonly")))
	if ack := w.b.request("ACK"); !strings.Contains(string(ack.Body), "a=recvonly") {
		t.Errorf("ACK with\n%s", ack.Body)
	}
	// From the PBX.
	w.b.send(w.b.back("INVITE", 2, c.in, c.tag))
	got = w.a.request("INVITE")
	w.a.reply(got, 200, "", w.a.sdpAt(40020))
	ok = w.b.code(200)
	w.b.send(withSDP(w.b.back("ACK", 2, c.in, c.tag), w.b.sdp()))
	if ack := w.a.request("ACK"); len(ack.Body) == 0 {
		t.Error("ACK without the answer")
	}
	w.bye(c, 3)
	w.hidden()
}

// TestDelayedReInviteUnanswered: the ACK has no answer, or never comes.
func TestDelayedReInviteUnanswered(t *testing.T) {
	for _, acked := range []bool{true, false} {
		t.Run(fmt.Sprint(acked), func(t *testing.T) {
			w := newRawWorld(t)
			c := w.up()
			w.a.send(w.a.within("INVITE", 2, c.inv, c.ok))
			w.b.reply(w.b.request("INVITE"), 200, "", w.b.sdp())
			ok := w.a.code(200)
			if acked {
				w.a.send(w.a.within("ACK", 2, c.inv, ok))
			}
			if ack := w.b.request("ACK"); !strings.Contains(string(ack.Body), "m=audio 0 ") {
				t.Errorf("ACK with\n%s", ack.Body)
			}
			w.b.reply(w.b.request("BYE"), 200, "", nil)
			w.a.reply(w.a.request("BYE"), 200, "", nil)
			w.quiet()
		})
	}
}

func TestUpdate(t *testing.T) {
	w := newRawWorld(t, pbxSRTP)
	inv := w.a.invite("+33123456789", rel)
	in := w.b.request("INVITE")
	if !strings.Contains(in.Get("Allow"), "UPDATE") {
		t.Errorf("Allow: %s", in.Get("Allow"))
	}
	w.b.reliably(in, 183, 1, "one", w.b.answered(in, 40000, "k"))
	early := w.a.code(183)
	if !strings.Contains(early.Get("Allow"), "UPDATE") {
		t.Errorf("Allow: %s", early.Get("Allow"))
	}
	w.a.prack(2, inv, early, nil)
	w.a.answer("PRACK", 200)
	w.b.reply(w.b.request("PRACK"), 200, "", nil)
	// A, in the early dialog, with an offer.
	w.a.send(withSDP(w.a.within("UPDATE", 3, inv, early), w.a.sdp("a=sendonly")))
	got := w.b.request("UPDATE")
	if tagOf(got) != "one" || !strings.Contains(string(got.Body), "RTP/SAVP") || !strings.Contains(string(got.Body), "a=sendonly") {
		t.Errorf("UPDATE to %s with\n%s", got.Get("To"), got.Body)
	}
	// While it is open: A may not ask again, B's own offer crosses it.
	w.a.send(withSDP(w.a.within("UPDATE", 4, inv, early), w.a.sdp()))
	if m := w.a.answer("UPDATE", 500); m.Get("Retry-After") == "" {
		t.Error("500 without Retry-After")
	}
	w.b.send(withSDP(w.b.back("UPDATE", 1, in, "one"), w.b.secure(40000, "k")))
	w.b.answer("UPDATE", 491)
	w.b.reply(got, 200, "", w.b.answered(got, 40000, "k", "a=recvonly"))
	if ok := w.a.answer("UPDATE", 200); !strings.Contains(string(ok.Body), "a=recvonly") || strings.Contains(string(ok.Body), "SAVP") {
		t.Errorf("200 with\n%s", ok.Body)
	}
	// B tries again.
	w.b.send(withSDP(w.b.back("UPDATE", 2, in, "one"), w.b.secure(40000, "k")))
	got = w.a.request("UPDATE")
	if tag := siptest.Param(got.Get("From"), "tag"); tag != tagOf(early) {
		t.Errorf("UPDATE from %s, want the dialog %s", tag, tagOf(early))
	}
	w.a.reply(got, 200, "", w.a.sdp())
	if ok := w.b.answer("UPDATE", 200); !strings.Contains(string(ok.Body), "RTP/SAVP") {
		t.Errorf("200 with\n%s", ok.Body)
	}
	w.b.reply(in, 200, "one", nil)
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	// Confirmed: a refresh without a description, of either end.
	w.a.send(w.a.within("UPDATE", 5, inv, ok))
	got = w.b.request("UPDATE")
	if len(got.Body) != 0 {
		t.Errorf("UPDATE with\n%s", got.Body)
	}
	w.b.reply(got, 200, "", nil)
	w.a.answer("UPDATE", 200)
	w.b.send(w.b.back("UPDATE", 3, in, "one"))
	w.a.reply(w.a.request("UPDATE"), 200, "", nil)
	w.b.answer("UPDATE", 200)
	// What the other end refuses changes nothing.
	w.b.send(withSDP(w.b.back("UPDATE", 4, in, "one"), w.b.secure(40000, "k")))
	w.a.reply(w.a.request("UPDATE"), 488, "", nil)
	w.b.answer("UPDATE", 488)
	// Nor does what the gateway refuses.
	w.b.send(withSDP(w.b.back("UPDATE", 5, in, "one"), w.b.sdp()))
	w.b.answer("UPDATE", 488)
	w.bye(rawCall{inv: inv, ok: ok}, 6)
	w.hidden()
}

// TestUpdateForks: an UPDATE goes to the fork whose dialog it is in, and one
// that is open when another fork answers gets its answer too.
func TestUpdateForks(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789", rel)
	in := w.b.request("INVITE")
	early := map[string]*siptest.Message{}
	for i, tag := range []string{"one", "two"} {
		w.b.reliably(in, 183, 1, tag, w.b.sdpAt(40000+10*i))
		early[tag] = w.a.otherCode(183, early["one"])
		w.a.prack(2, inv, early[tag], nil)
		w.a.answer("PRACK", 200)
		w.b.reply(w.b.request("PRACK"), 200, "", nil)
	}
	w.a.send(withSDP(w.a.within("UPDATE", 3, inv, early["one"]), w.a.sdp("a=inactive")))
	one := w.b.request("UPDATE")
	w.a.send(withSDP(w.a.within("UPDATE", 3, inv, early["two"]), w.a.sdp("a=sendonly")))
	two := w.b.request("UPDATE")
	if tagOf(one) != "one" || tagOf(two) != "two" {
		t.Errorf("UPDATE to %s and %s", tagOf(one), tagOf(two))
	}
	w.b.reply(two, 200, "", w.b.sdpAt(40010, "a=recvonly"))
	if ok := w.a.answer("UPDATE", 200); tagOf(ok) != tagOf(early["two"]) || !strings.Contains(string(ok.Body), "a=recvonly") {
		t.Errorf("200: %s", ok.Bytes())
	}
	w.b.reply(in, 200, "two", nil)
	ok := w.a.code(200)
	if m := w.a.answer("UPDATE", 487); tagOf(m) != tagOf(early["one"]) {
		t.Errorf("487 of %s", tagOf(m))
	}
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	w.b.reply(one, 200, "", w.b.sdpAt(40000, "a=inactive")) // too late
	w.bye(rawCall{inv: inv, ok: ok}, 4)
}

// TestUpdateUnknown: UPDATE is promised where both ends know it.
func TestUpdateUnknown(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	if v := in.Get("Allow"); strings.Contains(v, "UPDATE") || v == "" {
		t.Errorf("Allow: %q", v)
	}
	w.b.reply(in, 180, "one", nil, knowsUpdate)
	ring := w.a.code(180)
	if v := ring.Get("Allow"); !strings.Contains(v, "UPDATE") {
		t.Errorf("Allow: %q", v)
	}
	// The INVITE's own offer has no answer yet.
	w.a.send(withSDP(w.a.within("UPDATE", 2, inv, ring), w.a.sdp()))
	w.a.answer("UPDATE", 500)
	w.b.send(withSDP(w.b.back("UPDATE", 1, in, "one"), w.b.sdp()))
	w.b.answer("UPDATE", 491)
	// The call is given up while an UPDATE is open.
	w.a.send(w.a.within("UPDATE", 3, inv, ring))
	w.b.request("UPDATE")
	w.a.cancel(inv)
	w.a.answer("UPDATE", 487)
	w.a.ackFailure(inv, w.a.code(487))
	w.b.reply(w.b.request("CANCEL"), 200, "", nil)
	w.b.reply(in, 487, "one", nil)
	w.quiet()
	w.rep.lastRecord(t, 1)
}
