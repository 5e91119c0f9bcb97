package sbc_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// audio is a description with that m-line and those attributes.
func (r *raw) audio(conn string, port int, formats string, attrs ...string) []byte {
	if conn == "" {
		conn = r.addr().Addr().String()
	}
	return []byte(fmt.Sprintf("v=0\r\no=- 1 2 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP %s\r\n", r.addr().Addr(), conn, port, formats) +
		strings.Join(append(attrs, ""), "\r\n"))
}

// TestCrossingReInvites: both ends ask at once; both are told 491 (RFC 3261
// §14.1), and each retry works.
func TestCrossingReInvites(t *testing.T) {
	w := newRawWorld(t)
	c := w.up()
	mine := withSDP(w.a.within("INVITE", 2, c.inv, c.ok), w.a.sdp("a=sendonly"))
	w.a.send(mine)
	got := w.b.request("INVITE")
	theirs := withSDP(w.b.back("INVITE", 1, c.in, c.tag), w.b.sdp("a=inactive"))
	w.b.send(theirs)
	w.b.ackFailure(theirs, w.b.code(491))
	w.b.reply(got, 491, "", nil) // B has its own INVITE open
	w.b.request("ACK")
	w.a.ackFailure(mine, w.a.code(491))

	// The one that does not own the Call-ID waits less.
	w.b.send(withSDP(w.b.back("INVITE", 2, c.in, c.tag), w.b.sdp("a=inactive")))
	got = w.a.request("INVITE")
	w.a.reply(got, 200, "", w.a.sdp("a=inactive"))
	w.b.code(200)
	w.b.send(w.b.back("ACK", 2, c.in, c.tag))
	w.a.request("ACK")
	w.a.send(withSDP(w.a.within("INVITE", 3, c.inv, c.ok), w.a.sdp("a=sendonly")))
	got = w.b.request("INVITE")
	w.b.reply(got, 200, "", w.b.sdp("a=recvonly"))
	ok := w.a.code(200)
	w.a.send(w.a.within("ACK", 3, c.inv, ok))
	w.b.request("ACK")
	w.bye(c, 4)
}

// TestOneOfferAtATime: whatever carries it.
func TestOneOfferAtATime(t *testing.T) {
	w := newRawWorld(t)
	c := w.up()
	seqA, seqB := 1, 0
	a := func(method string, body []byte) *siptest.Message {
		seqA++
		m := w.a.within(method, seqA, c.inv, c.ok)
		if body != nil {
			withSDP(m, body)
		}
		w.a.send(m)
		return m
	}
	b := func(method string, body []byte) *siptest.Message {
		seqB++
		m := w.b.back(method, seqB, c.in, c.tag)
		if body != nil {
			withSDP(m, body)
		}
		w.b.send(m)
		return m
	}
	retry := func(m *siptest.Message) {
		t.Helper()
		if m.Get("Retry-After") == "" {
			t.Errorf("500 without Retry-After: %s", m.Bytes())
		}
	}
	// An UPDATE with an offer is open.
	a("UPDATE", w.a.sdp("a=sendonly"))
	open := w.b.request("UPDATE")
	m := b("INVITE", w.b.sdp())
	w.b.ackFailure(m, w.b.code(491))
	m = a("INVITE", w.a.sdp())
	no := w.a.code(500)
	retry(no)
	w.a.ackFailure(m, no)
	w.b.reply(open, 200, "", w.b.sdp("a=recvonly"))
	w.a.answer("UPDATE", 200)
	// A re-INVITE is open.
	re := a("INVITE", w.a.sdp())
	open = w.b.request("INVITE")
	b("UPDATE", w.b.sdp())
	w.b.answer("UPDATE", 491)
	a("UPDATE", w.a.sdp())
	retry(w.a.answer("UPDATE", 500))
	m = a("INVITE", w.a.sdp())
	no = w.a.code(500)
	retry(no)
	w.a.ackFailure(m, no)
	// A refresh is no offer.
	b("UPDATE", nil)
	w.a.reply(w.a.request("UPDATE"), 200, "", nil)
	w.b.answer("UPDATE", 200)
	w.b.reply(open, 200, "", w.b.sdp())
	ok := w.a.code(200)
	n, _ := re.CSeq()
	w.a.send(w.a.within("ACK", n, c.inv, ok))
	w.b.request("ACK")
	// And now everything goes again.
	b("UPDATE", w.b.sdp())
	w.a.reply(w.a.request("UPDATE"), 200, "", w.a.sdp())
	w.b.answer("UPDATE", 200)
	w.bye(c, seqA+1)
	w.hidden()
}

// TestOfferInPrackCrossed: UPDATE while the offer of a PRACK is open.
func TestOfferInPrackCrossed(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789", rel)
	in := w.b.request("INVITE")
	w.b.reliably(in, 183, 1, "one", w.b.sdp())
	early := w.a.code(183)
	w.a.prack(2, inv, early, w.a.sdp("a=sendonly"))
	open := w.b.request("PRACK")
	w.b.send(withSDP(w.b.back("UPDATE", 1, in, "one"), w.b.sdp()))
	w.b.answer("UPDATE", 491)
	w.a.send(withSDP(w.a.within("UPDATE", 3, inv, early), w.a.sdp()))
	w.a.answer("UPDATE", 500)
	w.b.reply(open, 200, "", w.b.sdp("a=recvonly"))
	w.a.answer("PRACK", 200)
	w.a.send(withSDP(w.a.within("UPDATE", 4, inv, early), w.a.sdp()))
	w.b.reply(w.b.request("UPDATE"), 200, "", w.b.sdp())
	w.a.answer("UPDATE", 200)
	w.b.reply(in, 200, "one", nil)
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	w.bye(rawCall{inv: inv, ok: ok}, 5)
}

// TestHoldDirections: every way to hold, by either end, and back.
func TestHoldDirections(t *testing.T) {
	w := newRawWorld(t, pbxSRTP)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 200, "one", w.b.answered(in, 40000, "k"))
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	_, key, _ := strings.Cut(string(in.Body), "AES_CM_128_HMAC_SHA1_80 ")
	key = cryptoOf([]byte(key))
	seq := 1
	for _, h := range []struct{ conn, offer, crosses, answer string }{
		{"", "sendonly", "sendonly", "recvonly"},
		{"", "sendrecv", "sendrecv", "sendrecv"},
		{"", "inactive", "inactive", "inactive"},
		{"", "sendrecv", "sendrecv", "sendrecv"},
		{"", "recvonly", "recvonly", "sendonly"},
		{"0.0.0.0", "sendonly", "sendonly", "recvonly"},
		{"0.0.0.0", "inactive", "inactive", "inactive"},
		{"", "sendrecv", "sendrecv", "sendrecv"},
	} {
		seq++
		w.a.send(withSDP(w.a.within("INVITE", seq, inv, ok), w.a.audio(h.conn, 40000, "0", "a="+h.offer)))
		got := w.b.request("INVITE")
		if s := string(got.Body); !strings.Contains(s, "a="+h.crosses+"\r\n") || cryptoOf(got.Body) != key || strings.Contains(s, "c=IN IP4 0.0.0.0") {
			t.Errorf("%+v: re-INVITE with\n%s", h, s)
		}
		w.b.reply(got, 200, "", w.b.answered(got, 40000, "k", "a="+h.answer))
		res := w.a.code(200)
		if !strings.Contains(string(res.Body), "a="+h.answer+"\r\n") {
			t.Errorf("%+v: 200 with\n%s", h, res.Body)
		}
		w.a.send(w.a.within("ACK", seq, inv, res))
		w.b.request("ACK")
	}
	// And by B, with UPDATE.
	for i, d := range []string{"sendonly", "inactive", "sendrecv"} {
		w.b.send(withSDP(w.b.back("UPDATE", i+1, in, "one"), w.b.secure(40000, "k", "a="+d)))
		got := w.a.request("UPDATE")
		if !strings.Contains(string(got.Body), "a="+d+"\r\n") {
			t.Errorf("%s: UPDATE with\n%s", d, got.Body)
		}
		w.a.reply(got, 200, "", w.a.sdp("a="+map[string]string{"sendonly": "recvonly", "inactive": "inactive", "sendrecv": "sendrecv"}[d]))
		w.b.answer("UPDATE", 200)
	}
	w.bye(rawCall{inv: inv, ok: ok}, seq+1)
	w.hidden()
}

// TestCodecChange: other codecs, payload types, port and source carry, by
// re-INVITE and UPDATE, and media goes on.
func TestCodecChange(t *testing.T) {
	w := newRawWorld(t)
	a1, a2, b1, b2 := w.a.ear(), w.a.ear(), w.b.ear(), w.b.ear()
	inv := w.a.invite("+33123456789", func(m *siptest.Message) { m.Body = w.a.sdpAt(a1.port()) })
	in := w.b.request("INVITE")
	w.b.reply(in, 200, "one", w.b.sdpAt(b1.port()))
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	talk(t, a1, ok, '1', b1)
	talk(t, b1, in, '1', a1)
	// A moves to another port, codec and payload types.
	w.a.send(withSDP(w.a.within("INVITE", 2, inv, ok), w.a.audio("", a2.port(), "8 96 101", "a=rtpmap:96 opus/48000/2", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15")))
	got := w.b.request("INVITE")
	if s := string(got.Body); !strings.Contains(s, "RTP/AVP 8 96 101\r\n") || !strings.Contains(s, "a=rtpmap:96 opus/48000/2\r\n") {
		t.Errorf("re-INVITE with\n%s", s)
	}
	w.b.reply(got, 200, "", w.b.audio("", b1.port(), "8 101", "a=rtpmap:101 telephone-event/8000"))
	res := w.a.code(200)
	if !strings.Contains(string(res.Body), "RTP/AVP 8 101\r\n") {
		t.Errorf("200 with\n%s", res.Body)
	}
	w.a.send(w.a.within("ACK", 2, inv, res))
	w.b.request("ACK")
	talk(t, a2, res, '2', b1)
	talk(t, b1, got, '2', a2)
	// B moves, by UPDATE, and back to the first codec.
	w.b.send(withSDP(w.b.back("UPDATE", 1, in, "one"), w.b.audio("", b2.port(), "0")))
	got = w.a.request("UPDATE")
	if !strings.Contains(string(got.Body), "RTP/AVP 0\r\n") {
		t.Errorf("UPDATE with\n%s", got.Body)
	}
	w.a.reply(got, 200, "", w.a.audio("", a2.port(), "0"))
	upd := w.b.answer("UPDATE", 200)
	talk(t, b2, upd, '3', a2)
	talk(t, a2, got, '3', b2)
	w.bye(rawCall{inv: inv, ok: ok}, 3)
	w.hidden()
}

// TestNewKeys: an end that comes with a new key gets one of ours that is new;
// one that keeps its key keeps ours. The other side sees neither.
func TestNewKeys(t *testing.T) {
	w := newRawWorld(t, pbxSRTP)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 200, "one", w.b.answered(in, 40000, "k"))
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	ours := cryptoOf(w.b.answered(in, 1, "k")) // B's
	var last string
	for i, key := range []string{"k", "m", "m", "p"} {
		w.b.send(withSDP(w.b.back("UPDATE", i+1, in, "one"), w.b.secure(40000, key)))
		w.a.reply(w.a.request("UPDATE"), 200, "", w.a.sdp())
		got := cryptoOf(w.b.answer("UPDATE", 200).Body)
		if got == "" || got == ours {
			t.Fatalf("key %q", got)
		}
		if same := i == 2; i > 0 && (got == last) != same {
			t.Errorf("answer %d: our key is the one before: %t, want %t", i, got == last, same)
		}
		last = got
	}
	w.bye(rawCall{inv: inv, ok: ok}, 2)
	if bytes.Contains([]byte(w.a.saw()), []byte("inline:")) {
		t.Error("A saw a key")
	}
	w.hidden()
}

// TestOutOfOrder: what UDP does to messages, UDP may do to these.
func TestOutOfOrder(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789", rel)
	in := w.b.request("INVITE")
	w.b.reliably(in, 180, 8, "one", nil) // the second one first, as far as anybody knows
	ring := w.a.code(180)
	w.b.reliably(in, 183, 7, "one", w.b.sdp()) // older: not processed (RFC 3262 §4)
	w.b.reliably(in, 180, 8, "one", nil)       // repeated
	pr := w.a.prack(2, inv, ring, nil)
	w.a.answer("PRACK", 200)
	eventually(t, "the answer to a PRACK that comes again", func() bool {
		w.a.send(pr)
		return w.a.take(func(m *siptest.Message) bool { _, to := m.CSeq(); return m.Code == 200 && to == "PRACK" }) != nil
	})
	got := w.b.request("PRACK")
	w.b.reply(got, 200, "", nil)
	w.b.reply(got, 200, "", nil)
	w.b.never("a second PRACK", w.b.another("PRACK"))
	// 200, then what was before it.
	w.b.reply(in, 200, "one", w.b.sdp())
	ok := w.a.code(200)
	w.b.reply(in, 180, "one", nil)
	w.b.reply(in, 183, "two", w.b.sdpAt(40010))
	w.b.reliably(in, 183, 9, "one", w.b.sdp())
	w.b.reply(in, 200, "one", w.b.sdp())
	w.b.request("ACK")
	w.b.again("ACK")
	w.a.never("a provisional response after the 200", func(m *siptest.Message) bool {
		return m.Code >= 180 && m.Code < 200 && m.Get("RSeq") != ring.Get("RSeq")
	})
	ack := w.a.within("ACK", 1, inv, ok)
	w.a.send(ack)
	w.a.send(ack)
	// UPDATE with a CSeq that is behind.
	w.a.send(w.a.within("UPDATE", 4, inv, ok))
	w.b.reply(w.b.request("UPDATE"), 200, "", nil)
	w.a.answer("UPDATE", 200)
	w.a.send(w.a.within("UPDATE", 3, inv, ok))
	w.a.answer("UPDATE", 500)
	w.bye(rawCall{inv: inv, ok: ok}, 5)
	w.hidden()
	w.rep.lastRecord(t, 1)
}
