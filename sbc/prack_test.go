package sbc_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// rel says that a message supports reliable provisional responses.
func rel(m *siptest.Message) {
	m.Add("Supported", "100rel")
	m.Add("Allow", "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE")
}

// bare takes the description out.
func bare(m *siptest.Message) { m.Del("Content-Type"); m.Body = nil }

var knowsUpdate = siptest.Field{Name: "Allow", Value: "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"}

// reliably is a provisional response with that number.
func (r *raw) reliably(req *siptest.Message, code, rseq int, tag string, body []byte, extra ...siptest.Field) {
	r.t.Helper()
	r.reply(req, code, tag, body, append(extra, siptest.Field{Name: "Require", Value: "100rel"}, siptest.Field{Name: "RSeq", Value: fmt.Sprint(rseq)}, knowsUpdate)...)
}

// otherCode waits for a response of another dialog: a reliable one may have
// come again meanwhile.
func (r *raw) otherCode(code int, than *siptest.Message) *siptest.Message {
	r.t.Helper()
	return r.expect(fmt.Sprint("another ", code), func(m *siptest.Message) bool {
		_, to := m.CSeq()
		return m.Code == code && to == "INVITE" && (than == nil || tagOf(m) != tagOf(than))
	})
}

// prack acknowledges a reliable response of the gateway's.
func (r *raw) prack(seq int, inv, res *siptest.Message, body []byte) *siptest.Message {
	r.t.Helper()
	n, _ := inv.CSeq()
	m := r.within("PRACK", seq, inv, res)
	m.Add("RAck", fmt.Sprintf("%s %d INVITE", res.Get("RSeq"), n))
	if body != nil {
		withSDP(m, body)
	}
	r.send(m)
	return m
}

func TestPrack(t *testing.T) {
	w := newRawWorld(t, pbxSRTP)
	inv := w.a.invite("+33123456789", rel)
	in := w.b.request("INVITE")
	if !strings.Contains(in.Get("Supported"), "100rel") {
		t.Fatalf("Supported: %q", in.Get("Supported"))
	}
	w.b.reliably(in, 183, 7001, "one", w.b.answered(in, 40000, "k"))
	early := w.a.code(183)
	if early.Get("Require") != "100rel" || early.Get("RSeq") == "" || early.Get("RSeq") == "7001" || len(early.Body) == 0 {
		t.Fatalf("183: %s", early.Bytes())
	}
	// It is repeated until it is acknowledged, and B's repetition adds nothing.
	again := w.a.code(183)
	if again.Get("RSeq") != early.Get("RSeq") || !bytes.Equal(again.Body, early.Body) {
		t.Errorf("repeated 183: %s", again.Bytes())
	}
	w.b.reliably(in, 183, 7001, "one", w.b.answered(in, 40000, "k"))
	w.b.reliably(in, 180, 7003, "one", nil) // 7002 is missing
	pr := w.a.prack(2, inv, early, nil)
	w.a.answer("PRACK", 200)
	got := w.b.request("PRACK")
	n, _ := in.CSeq()
	if want := fmt.Sprintf("7001 %d INVITE", n); got.Get("RAck") != want || tagOf(got) != "one" {
		t.Errorf("RAck %q, want %q; To %s", got.Get("RAck"), want, got.Get("To"))
	}
	w.b.reply(got, 200, "", nil)
	w.a.never("a provisional response that is acknowledged or out of order", func(m *siptest.Message) bool {
		return m.Code > 100 && m.Code < 200 && m.Get("RSeq") != early.Get("RSeq")
	})
	// The same PRACK again is its transaction's; a new one for it is for nothing.
	eventually(t, "the answer to a PRACK that comes again", func() bool {
		w.a.send(pr)
		return w.a.take(func(m *siptest.Message) bool { _, to := m.CSeq(); return m.Code == 200 && to == "PRACK" }) != nil
	})
	w.a.prack(3, inv, early, nil)
	w.a.answer("PRACK", 481)
	w.b.never("a second PRACK", w.b.another("PRACK"))
	w.b.reliably(in, 180, 7002, "one", nil)
	ring := w.a.code(180)
	var first, second int
	fmt.Sscan(early.Get("RSeq"), &first)
	if fmt.Sscan(ring.Get("RSeq"), &second); second != first+1 || len(ring.Body) != 0 {
		t.Errorf("RSeq %d after %d, body %q", second, first, ring.Body)
	}
	w.a.prack(4, inv, ring, nil)
	w.a.answer("PRACK", 200)
	w.b.reply(w.b.request("PRACK"), 200, "", nil)
	w.b.reply(in, 200, "one", nil)
	ok := w.a.code(200)
	if len(ok.Body) != 0 { // RFC 3261 §13.2.1: the exchange is over
		t.Errorf("200 with\n%s", ok.Body)
	}
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	w.bye(rawCall{inv: inv, ok: ok}, 5)
	w.hidden()
	if s := w.b.saw(); strings.Contains(s, early.Get("RSeq")) {
		t.Error("B saw the number of A's side")
	}
}

// TestPrackOffers: an offer in PRACK, and the offer of an INVITE without one in
// the provisional response.
func TestPrackOffers(t *testing.T) {
	t.Run("in PRACK", func(t *testing.T) {
		w := newRawWorld(t, pbxSRTP)
		inv := w.a.invite("+33123456789", rel)
		in := w.b.request("INVITE")
		w.b.reliably(in, 183, 1, "one", w.b.answered(in, 40000, "k"))
		early := w.a.code(183)
		w.a.prack(2, inv, early, w.a.sdp("a=sendonly"))
		got := w.b.request("PRACK")
		if !strings.Contains(string(got.Body), "a=sendonly") || !strings.Contains(string(got.Body), "RTP/SAVP") {
			t.Errorf("PRACK with\n%s", got.Body)
		}
		w.a.never("an answer before B's", func(m *siptest.Message) bool { _, to := m.CSeq(); return to == "PRACK" })
		w.b.reply(got, 200, "", w.b.answered(got, 40000, "k", "a=recvonly"))
		if ok := w.a.answer("PRACK", 200); !strings.Contains(string(ok.Body), "a=recvonly") || strings.Contains(string(ok.Body), "SAVP") {
			t.Errorf("200 with\n%s", ok.Body)
		}
		w.b.reply(in, 200, "one", nil)
		ok := w.a.code(200)
		w.b.request("ACK")
		w.a.send(w.a.within("ACK", 1, inv, ok))
		w.bye(rawCall{inv: inv, ok: ok}, 3)
		w.hidden()
	})
	t.Run("in the response", func(t *testing.T) {
		w := newRawWorld(t, pbxSRTP)
		inv := w.a.invite("+33123456789", rel, bare)
		in := w.b.request("INVITE")
		if len(in.Body) != 0 {
			t.Fatalf("INVITE with\n%s", in.Body)
		}
		w.b.reliably(in, 183, 1, "one", w.b.secure(40000, "k"))
		early := w.a.code(183)
		if !strings.Contains(string(early.Body), "RTP/AVP") {
			t.Fatalf("183 with\n%s", early.Body)
		}
		w.a.prack(2, inv, early, w.a.sdp())
		w.a.answer("PRACK", 200)
		got := w.b.request("PRACK")
		if !strings.Contains(string(got.Body), "a=crypto:1 AES_CM_128_HMAC_SHA1_80") || cryptoOf(got.Body) == cryptoOf(w.b.secure(1, "k")) {
			t.Errorf("PRACK with\n%s", got.Body)
		}
		w.b.reply(got, 200, "", nil)
		w.b.reply(in, 200, "one", nil)
		ok := w.a.code(200)
		if ack := w.b.request("ACK"); len(ack.Body) != 0 {
			t.Errorf("ACK with\n%s", ack.Body)
		}
		w.a.send(w.a.within("ACK", 1, inv, ok))
		w.bye(rawCall{inv: inv, ok: ok}, 3)
		w.hidden()
	})
	t.Run("without SRTP in the response", func(t *testing.T) {
		w := newRawWorld(t, pbxSRTP)
		inv := w.a.invite("+33123456789", rel, bare)
		in := w.b.request("INVITE")
		w.b.reliably(in, 183, 1, "one", w.b.sdp())
		w.a.ackFailure(inv, w.a.code(488))
		w.b.reply(w.b.request("CANCEL"), 200, "", nil)
		w.b.reply(in, 487, "one", nil)
		w.quiet()
		if rules := w.rep.rules(); !has(rules, "base/srtp-required") {
			t.Errorf("rules %v", rules)
		}
	})
	t.Run("a bad answer in PRACK", func(t *testing.T) {
		w := newRawWorld(t)
		inv := w.a.invite("+33123456789", rel, bare)
		in := w.b.request("INVITE")
		w.b.reliably(in, 183, 1, "one", w.b.sdp())
		early := w.a.code(183)
		w.a.prack(2, inv, early, w.a.secure(40000, "k"))
		w.a.answer("PRACK", 488)
		w.a.ackFailure(inv, w.a.code(488))
		w.b.reply(w.b.request("PRACK"), 200, "", nil)
		w.b.reply(w.b.request("CANCEL"), 200, "", nil)
		w.b.reply(in, 487, "one", nil)
		w.quiet()
		w.rep.lastRecord(t, 1)
	})
}

// TestNoPrack: a caller that never acknowledges gets 504 after 64·T1 (RFC 3262
// §3), and B is cancelled.
func TestNoPrack(t *testing.T) {
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.Stack.T1 = 10 * time.Millisecond })
	inv := w.a.invite("+33123456789", rel)
	in := w.b.request("INVITE")
	w.b.reliably(in, 180, 1, "one", nil)
	w.a.code(180)
	w.a.ackFailure(inv, w.a.code(504))
	w.b.reply(w.b.request("CANCEL"), 200, "", nil)
	w.b.reply(in, 487, "one", nil)
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.Code != 504 || r.EndedBy != call.ByGateway {
		t.Errorf("record %+v", r)
	}
}

// TestPrackUnknown: the tag crosses only where A knows it.
func TestPrackUnknown(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	if v := in.Get("Supported"); strings.Contains(v, "100rel") {
		t.Errorf("Supported: %s", v)
	}
	// B must not now; if it does, A is not asked for what it does not know.
	w.b.reliably(in, 180, 1, "one", nil)
	if m := w.a.code(180); m.Get("Require") != "" || m.Get("RSeq") != "" {
		t.Errorf("180: %s", m.Bytes())
	}
	w.b.reply(in, 200, "one", w.b.sdp())
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	pr := w.a.within("PRACK", 2, inv, ok)
	pr.Add("RAck", "1 1 INVITE")
	w.a.send(pr)
	w.a.answer("PRACK", 481)
	pr = w.a.within("PRACK", 3, inv, ok)
	w.a.send(pr)
	w.a.answer("PRACK", 400)
	w.bye(rawCall{inv: inv, ok: ok}, 4)
}

// TestPrackForks: every fork has its own numbers.
func TestPrackForks(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789", rel)
	in := w.b.request("INVITE")
	w.b.reliably(in, 183, 100, "one", w.b.sdpAt(40000))
	one := w.a.code(183)
	w.b.reliably(in, 180, 100, "two", nil)
	two := w.a.code(180)
	w.a.prack(2, inv, two, nil)
	w.a.answer("PRACK", 200)
	if got := w.b.request("PRACK"); tagOf(got) != "two" {
		t.Errorf("PRACK to %s", got.Get("To"))
	}
	w.a.prack(2, inv, one, nil) // another dialog: CSeq begins anew
	w.a.answer("PRACK", 200)
	if got := w.b.request("PRACK"); tagOf(got) != "one" {
		t.Errorf("PRACK to %s", got.Get("To"))
	}
	w.b.reply(in, 200, "two", w.b.sdpAt(40010))
	ok := w.a.code(200)
	if tagOf(ok) != tagOf(two) || len(ok.Body) == 0 {
		t.Errorf("200: %s", ok.Bytes())
	}
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	w.bye(rawCall{inv: inv, ok: ok}, 3)
}

// TestPrackCap: B must wait for the first PRACK (RFC 3262 §3); one that does
// not is not heard without end, and loses nothing by it.
func TestPrackCap(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789", rel)
	in := w.b.request("INVITE")
	seen := map[string]bool{}
	for i := range 20 {
		w.b.reliably(in, 180, 100+i, "one", nil)
	}
	eventually(t, "eight responses", func() bool {
		for m := w.a.take(func(m *siptest.Message) bool { return m.Code == 180 }); m != nil; m = w.a.take(func(m *siptest.Message) bool { return m.Code == 180 }) {
			seen[m.Get("RSeq")] = true
		}
		return len(seen) >= 8
	})
	w.a.never("a ninth", func(m *siptest.Message) bool { return m.Code == 180 && !seen[m.Get("RSeq")] })
	w.b.reply(in, 200, "one", w.b.sdp())
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	// A PRACK that comes after the 2xx still counts (§3).
	for rseq := range seen {
		late := w.a.within("PRACK", 2, inv, ok)
		late.Add("RAck", rseq+" 1 INVITE")
		w.a.send(late)
		break
	}
	w.a.answer("PRACK", 200)
	w.b.reply(w.b.request("PRACK"), 200, "", nil)
	w.bye(rawCall{inv: inv, ok: ok}, 3)
}

// TestExtensionRequired: a callee who will not speak without an extension says
// which (RFC 3261 §21.4.15).
func TestExtensionRequired(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	w.b.reply(w.b.request("INVITE"), 421, "t", nil, siptest.Field{Name: "Require", Value: "100rel"})
	res := w.a.code(421)
	if res.Get("Require") != "100rel" {
		t.Errorf("421 that requires %q", res.Get("Require"))
	}
	w.a.ackFailure(inv, res)
	w.quiet()
}
