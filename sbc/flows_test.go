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

func TestCancelCrossesAnswer(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 180, "t1", nil)
	w.a.code(180)
	w.a.cancel(inv)
	w.a.answer("CANCEL", 200)
	w.a.ackFailure(inv, w.a.code(487))
	w.b.request("CANCEL")
	// B had answered before the CANCEL came.
	w.b.reply(in, 200, "t1", w.b.sdp())
	w.b.request("ACK")
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.Code != 487 || r.EndedBy != call.ByCaller || r.Answer != nil {
		t.Errorf("record %+v", r)
	}
}

func TestCancelWaitsForProvisional(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.a.code(100)
	elsewhere := hop("CANCEL", inv, inv.Get("To"))
	elsewhere.Add("Reason", `SIP;cause=200;text="Call completed elsewhere"`)
	w.a.send(elsewhere)
	w.a.ackFailure(inv, w.a.code(487))
	w.b.never("a CANCEL before any response", is("CANCEL")) // RFC 3261 §9.1
	w.b.reply(in, 100, "", nil)
	c := w.b.request("CANCEL")
	if v := c.Get("Reason"); !strings.HasPrefix(v, "SIP;cause=200") { // no missed call then
		t.Errorf("CANCEL with Reason %q", v)
	}
	w.b.reply(c, 200, "", nil)
	w.b.reply(in, 487, "t1", nil)
	w.quiet()
}

func TestEarlyMedia(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 183, "t1", w.b.sdp())
	early := w.a.code(183)
	if len(early.Body) == 0 {
		t.Fatal("183 without its description")
	}
	w.b.reply(in, 180, "t1", nil)
	if m := w.a.code(180); len(m.Body) > 0 {
		t.Error("180 with a description that B did not send")
	}
	w.b.reply(in, 200, "t1", nil) // the answer went with the 183
	ok := w.a.code(200)
	if !bytes.Equal(ok.Body, early.Body) {
		t.Errorf("200 with\n%s\nafter early\n%s", ok.Body, early.Body)
	}
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	w.bye(rawCall{inv: inv, ok: ok, in: in, tag: "t1"}, 2)
}

func TestAnswerWithoutDescription(t *testing.T) {
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 200, "t1", nil)
	w.a.ackFailure(inv, w.a.code(488))
	w.b.request("ACK")
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.Code != 488 || r.Answer != nil {
		t.Errorf("record %+v", r)
	}
}

func TestByeBeforeAck(t *testing.T) {
	t.Run("of the caller", func(t *testing.T) {
		w := newRawWorld(t)
		inv := w.a.invite("+33123456789")
		w.b.reply(w.b.request("INVITE"), 200, "t1", w.b.sdp())
		w.bye(rawCall{inv: inv, ok: w.a.code(200)}, 2)
		w.a.never("a repeated 200", func(m *siptest.Message) bool { _, to := m.CSeq(); return m.Code == 200 && to == "INVITE" })
	})
	t.Run("of the callee", func(t *testing.T) {
		w := newRawWorld(t)
		inv := w.a.invite("+33123456789")
		in := w.b.request("INVITE")
		w.b.reply(in, 200, "t1", w.b.sdp())
		ok := w.a.code(200)
		w.b.send(w.b.back("BYE", 1, in, "t1"))
		w.b.answer("BYE", 200)
		w.a.never("a BYE before A's ACK", is("BYE")) // RFC 3261 §15
		w.a.send(w.a.within("ACK", 1, inv, ok))
		w.a.reply(w.a.request("BYE"), 200, "", nil)
		w.quiet()
		if r := w.rep.lastRecord(t, 1); r.EndedBy != call.ByCallee || r.Code != 200 {
			t.Errorf("record %+v", r)
		}
	})
}

func TestByeCrossesBye(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	c := w.up()
	w.a.send(w.a.within("BYE", 2, c.inv, c.ok))
	w.a.answer("BYE", 200)
	bye := w.b.request("BYE")
	w.b.send(w.b.back("BYE", 1, c.in, c.tag))
	w.b.answer("BYE", 200)
	w.b.reply(bye, 200, "", nil)
	w.quiet()
	w.a.never("a BYE to who hung up", is("BYE"))
}

func TestReinviteGlareAndRefusal(t *testing.T) {
	w := newRawWorld(t)
	c := w.up()
	re := withSDP(w.a.within("INVITE", 2, c.inv, c.ok), w.a.sdp("a=sendonly"))
	w.a.send(re)
	in := w.b.request("INVITE")
	w.b.send(withSDP(w.b.back("INVITE", 1, c.in, c.tag), w.b.sdp()))
	w.b.send(hop("ACK", w.b.back("INVITE", 1, c.in, c.tag), w.b.code(491).Get("To")))
	before := mediaLine(c.in.Body)
	if got := mediaLine(in.Body); got != before {
		t.Errorf("offer moved from %q to %q", before, got)
	}
	w.b.reply(in, 488, "", nil)
	w.a.ackFailure(re, w.a.code(488))
	w.b.request("ACK")
	// The session is as it was: another offer passes.
	re = withSDP(w.a.within("INVITE", 3, c.inv, c.ok), w.a.sdp())
	w.a.send(re)
	in = w.b.request("INVITE")
	if got := mediaLine(in.Body); got != before {
		t.Errorf("offer moved from %q to %q", before, got)
	}
	w.b.reply(in, 200, "", w.b.sdp())
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 3, c.inv, ok))
	w.bye(c, 4)
}

func mediaLine(body []byte) string {
	i := bytes.Index(body, []byte("m="))
	if i < 0 {
		return ""
	}
	line, _, _ := strings.Cut(string(body[i:]), "\r\n")
	return line
}

func TestStreamAddedAndRemoved(t *testing.T) {
	w := newRawWorld(t)
	c := w.up()
	exchange := func(seq int, offer, answer []byte) (at, back *siptest.Message) {
		t.Helper()
		w.a.send(withSDP(w.a.within("INVITE", seq, c.inv, c.ok), offer))
		in := w.b.request("INVITE")
		w.b.reply(in, 200, "", answer)
		ok := w.a.code(200)
		w.b.request("ACK")
		w.a.send(w.a.within("ACK", seq, c.inv, ok))
		return in, ok
	}
	one := w.plane.Stats().Streams
	video := "m=video 40020 RTP/AVP 96\r\na=rtpmap:96 H264/90000"
	in, ok := exchange(2, w.a.sdp(video), w.b.sdp(video))
	for side, body := range map[string][]byte{"offer": in.Body, "answer": ok.Body} {
		if !strings.Contains(string(body), "m=video ") || strings.Contains(string(body), "m=video 0") {
			t.Errorf("%s without video:\n%s", side, body)
		}
	}
	if n := w.plane.Stats().Streams; n != one+1 {
		t.Errorf("%d streams, want %d", n, one+1)
	}
	gone := "m=video 0 RTP/AVP 96"
	in, ok = exchange(3, w.a.sdp(gone), w.b.sdp(gone))
	for side, body := range map[string][]byte{"offer": in.Body, "answer": ok.Body} {
		if !strings.Contains(string(body), "m=video 0") {
			t.Errorf("%s with video:\n%s", side, body)
		}
	}
	// The hold of old phones.
	held := bytes.ReplaceAll(w.a.sdp(gone), []byte("c=IN IP4 "+w.a.host()), []byte("c=IN IP4 0.0.0.0"))
	in, _ = exchange(4, held, w.b.sdp(gone))
	if !strings.Contains(string(in.Body), "c=IN IP4 "+insideNet) && !strings.Contains(string(in.Body), "c=IN IP4 0.0.0.0") {
		t.Errorf("hold as\n%s", in.Body)
	}
	exchange(5, w.a.sdp(gone), w.b.sdp(gone))
	w.bye(c, 6)
	w.hidden()
	if n := w.plane.Stats().Streams; n != 0 {
		t.Errorf("%d streams left", n)
	}
}

func TestReinviteChallenged(t *testing.T) {
	w := newRawWorld(t)
	c := w.up()
	re := withSDP(w.a.within("INVITE", 2, c.inv, c.ok), w.a.sdp())
	w.a.send(re)
	in := w.b.request("INVITE")
	w.b.reply(in, 407, "", nil, siptest.Field{Name: "Proxy-Authenticate", Value: `Digest realm="r", nonce="n", qop="auth,auth-int"`})
	res := w.a.code(407)
	if v := res.Get("Proxy-Authenticate"); !strings.Contains(v, `realm="r"`) || strings.Contains(v, "auth-int") {
		t.Errorf("challenge %q", v)
	}
	w.a.ackFailure(re, res)
	w.b.request("ACK")
	again := withSDP(w.a.within("INVITE", 3, c.inv, c.ok), w.a.sdp())
	again.Add("Proxy-Authorization", `Digest username="x", realm="r", nonce="n", uri="sip:x", response="00"`)
	w.a.send(again)
	in = w.b.request("INVITE")
	if in.Get("Proxy-Authorization") == "" {
		t.Error("the credentials did not pass")
	}
	w.b.reply(in, 200, "", w.b.sdp())
	ok := w.a.code(200)
	w.a.send(w.a.within("ACK", 3, c.inv, ok))
	w.bye(c, 4)
}

func TestReinviteCancelled(t *testing.T) {
	w := newRawWorld(t)
	c := w.up()
	re := withSDP(w.a.within("INVITE", 2, c.inv, c.ok), w.a.sdp())
	w.a.send(re)
	in := w.b.request("INVITE")
	w.b.reply(in, 100, "", nil)
	w.a.cancel(re)
	w.a.answer("CANCEL", 200)
	cancel := w.b.request("CANCEL")
	w.b.reply(cancel, 200, "", nil)
	w.b.reply(in, 487, "", nil)
	w.a.ackFailure(re, w.a.code(487))
	w.bye(c, 3)
}

func TestCallerLostWhileRinging(t *testing.T) {
	w := newWorld(t)
	p := w.registered("1001")
	ringing := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Invite(w.ctx, siptest.ExtRing, siptest.Progress(func(m *siptest.Message) {
			if m.Code == 180 {
				close(ringing)
			}
		}))
	}()
	<-ringing
	p.Close()
	eventually(t, "the call is given up", func() bool { return w.gw.Live() == 0 })
	if r := w.rep.lastRecord(t, 1); r.Code != 487 {
		t.Errorf("record %+v", r)
	}
	w.quiet()
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.SetupTimeout = 400 * time.Millisecond })
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 180, "t1", nil)
	w.a.code(180)
	w.a.ackFailure(inv, w.a.code(408))
	w.b.reply(w.b.request("CANCEL"), 200, "", nil)
	w.b.reply(in, 487, "t1", nil)
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.Code != 408 || r.EndedBy != call.ByGateway {
		t.Errorf("record %+v", r)
	}
}

func TestNoAck(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 200, "t1", w.b.sdp())
	w.a.code(200)
	w.a.code(200) // it is repeated
	w.a.reply(w.a.request("BYE"), 200, "", nil)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.EndedBy != call.ByGateway || r.Passes[0].HangupCause != "no-ack" {
		t.Errorf("record %+v", r)
	}
}

func TestRetransmissions(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 180, "t1", nil)
	w.a.code(180)
	w.a.send(inv)
	w.a.code(180) // the newest answer again
	w.b.never("a second INVITE", is("INVITE"))
	w.b.reply(in, 200, "t1", w.b.sdp())
	ok := w.a.code(200)
	w.b.request("ACK")
	w.b.reply(in, 200, "t1", w.b.sdp()) // as if the ACK was lost
	w.b.again("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	w.a.send(w.a.within("ACK", 1, inv, ok))
	w.bye(rawCall{inv: inv, ok: ok}, 2)
	// The same request by another way is a loop (RFC 3261 §8.2.2.2).
	inv = w.a.invite("+33123456789")
	w.b.request("INVITE")
	twin := inv.Clone()
	twin.Set("Via", w.a.via())
	w.a.send(twin)
	w.a.ackFailure(twin, w.a.code(482))
}

// TestChallengeAnsweredForAnotherNumber: what answers a challenge and dials
// something else is another attempt, and judged.
func TestChallengeAnsweredForAnotherNumber(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) {
		c.sbc.RetryTimeout = 500 * time.Millisecond
		c.deps.Guards = append(c.deps.Guards, onlyDID{})
	})
	challenge := siptest.Field{Name: "Proxy-Authenticate", Value: `Digest realm="r", nonce="n"`}
	inv := w.a.invite("+33123456789")
	w.b.reply(w.b.request("INVITE"), 407, "t1", nil, challenge)
	w.a.ackFailure(inv, w.a.code(407))
	next := inv.Clone()
	next.URI = strings.Replace(inv.URI, "+33123456789", "+18765550100", 1)
	next.Set("Via", w.a.via())
	next.Set("CSeq", "2 INVITE")
	next.Add("Proxy-Authorization", `Digest username="x"`)
	w.a.send(next)
	w.a.ackFailure(next, w.a.code(403))
	// Nobody answers the challenge of the first: one record all the same.
	w.quiet()
	eventually(t, "two records", func() bool { w.rep.mu.Lock(); defer w.rep.mu.Unlock(); return len(w.rep.records) == 2 })
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	codes := map[string]int{}
	for _, r := range w.rep.records {
		codes[r.To] = r.Code
	}
	if codes["+33123456789"] != 407 || codes["+18765550100"] != 403 {
		t.Errorf("codes %v", codes)
	}
}

type onlyDID struct{}

func (onlyDID) Name() string { return "only-did" }
func (onlyDID) Judge(a *call.Attempt) call.Decision {
	if a.Method == "INVITE" && a.To.Number != "+33123456789" {
		return call.Decision{Verdict: call.Reject, Status: 403, Rule: "test/only-did", Trace: []string{"test/only-did"}}
	}
	return call.Decision{}
}

func TestChallengeGuessedForEver(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.RetryTimeout = time.Second })
	challenge := siptest.Field{Name: "Proxy-Authenticate", Value: `Digest realm="r", nonce="n"`}
	inv := w.a.invite("+33123456789")
	for n := 2; ; n++ {
		w.b.reply(w.b.request("INVITE"), 407, unique("t"), nil, challenge)
		w.a.ackFailure(inv, w.a.code(407))
		inv = inv.Clone()
		inv.Set("Via", w.a.via())
		inv.Set("CSeq", fmt.Sprint(n, " INVITE"))
		inv.Set("Proxy-Authorization", `Digest username="x"`)
		w.a.send(inv)
		if n == 7 {
			w.a.ackFailure(inv, w.a.code(403))
			break
		}
	}
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.Code != 407 {
		t.Errorf("record %+v", r)
	}
}
