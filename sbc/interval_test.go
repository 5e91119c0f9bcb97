package sbc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// timed asks for a session interval.
func timed(expires string, extra ...siptest.Field) func(*siptest.Message) {
	return func(m *siptest.Message) {
		m.Add("Supported", "timer")
		m.Add("Session-Expires", expires)
		m.Headers = append(m.Headers, extra...)
	}
}

func minSession(d time.Duration) option { return func(c *worldConfig) { c.sbc.MinSession = d } }

// upTimed is a call whose 200 carries what B agrees to.
func (w *rawWorld) upTimed(expires string, change ...func(*siptest.Message)) rawCall {
	w.t.Helper()
	c := rawCall{tag: unique("t")}
	c.inv = w.a.invite("+33123456789", change...)
	c.in = w.b.request("INVITE")
	w.b.reply(c.in, 200, c.tag, w.b.sdp(), siptest.Field{Name: "Require", Value: "timer"}, siptest.Field{Name: "Session-Expires", Value: expires})
	c.ok = w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, c.inv, c.ok))
	return c
}

// confirmed waits until A's ACK has been taken: B knows nothing of it.
func (w *rawWorld) confirmed() {
	w.t.Helper()
	eventually(w.t, "the call is up", func() bool {
		cs := w.gw.Calls()
		return len(cs) == 1 && cs[0].State == "up"
	})
}

func TestSessionTimerCrosses(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	c := w.upTimed("1800 ; refresher=UAC;x="+insideNet+"9", timed("3600;refresher=uac;by="+publicNet+"8", siptest.Field{Name: "Min-SE", Value: "120"}))
	if v := c.in.Get("Session-Expires"); v != "3600;refresher=uac" {
		t.Errorf("B was asked for %q", v)
	}
	if v := c.in.Get("Min-SE"); v != "120" {
		t.Errorf("B got Min-SE %q", v)
	}
	if v := c.ok.Get("Session-Expires"); v != "1800;refresher=uac" || c.ok.Get("Require") != "timer" {
		t.Errorf("A was told %q, Require %q", v, c.ok.Get("Require"))
	}
	w.confirmed()
	// B takes over the refreshing: in its transaction it is the uac.
	re := withSDP(w.b.back("INVITE", 1, c.in, c.tag), w.b.sdp())
	timed("1800;refresher=uac")(re)
	w.b.send(re)
	got := w.a.request("INVITE")
	if v := got.Get("Session-Expires"); v != "1800;refresher=uac" {
		t.Errorf("the refresh asks A for %q", v)
	}
	w.a.reply(got, 200, "", w.a.sdp(), siptest.Field{Name: "Session-Expires", Value: "1800;refresher=uac"})
	ok := w.b.code(200)
	if v := ok.Get("Session-Expires"); v != "1800;refresher=uac" {
		t.Errorf("B was told %q", v)
	}
	w.a.request("ACK")
	w.b.send(w.b.back("ACK", 1, c.in, c.tag))
	w.bye(c, 2)
	w.hidden()
}

// TestIntervalTooShort: 422 with our minimum, and the same INVITE again with
// a longer interval is a call like any other.
func TestIntervalTooShort(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789", timed("60"))
	no := w.a.code(422)
	if v := no.Get("Min-SE"); v != "90" {
		t.Errorf("Min-SE %q", v)
	}
	w.a.ackFailure(inv, no)
	w.b.never("an INVITE with a short interval", is("INVITE"))
	again := w.a.invite("+33123456789", func(m *siptest.Message) {
		m.Set("Call-ID", inv.Get("Call-ID"))
		m.Set("From", inv.Get("From"))
		m.Set("CSeq", "2 INVITE")
		timed("90", siptest.Field{Name: "Min-SE", Value: "90"})(m)
	})
	in := w.b.request("INVITE")
	w.b.reply(in, 200, "t1", w.b.sdp(), siptest.Field{Name: "Session-Expires", Value: "90;refresher=uac"})
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 2, again, ok))
	w.bye(rawCall{inv: again, ok: ok, in: in, tag: "t1"}, 3)
	if r := w.rep.lastRecord(t, 2); r.Code != 200 {
		t.Errorf("record %+v", r)
	}
	if !has(w.rep.rules(), "base/session-interval") {
		t.Errorf("rules %v", w.rep.rules())
	}
}

// TestIntervalOfSimpleCaller: who does not know the extension is not refused.
func TestIntervalOfSimpleCaller(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789", func(m *siptest.Message) { m.Add("Session-Expires", "30") })
	in := w.b.request("INVITE")
	if in.Get("Session-Expires") != "90" || in.Get("Min-SE") != "90" {
		t.Errorf("B got Session-Expires %q, Min-SE %q", in.Get("Session-Expires"), in.Get("Min-SE"))
	}
	// B makes a refresher of somebody who does not know how.
	w.b.reply(in, 200, "t1", w.b.sdp(), siptest.Field{Name: "Session-Expires", Value: "90;refresher=uac"})
	ok := w.a.code(200)
	if v := ok.Get("Session-Expires"); v != "" {
		t.Errorf("A was told %q", v)
	}
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	w.bye(rawCall{inv: inv, ok: ok, in: in, tag: "t1"}, 2)
}

// TestIntervalRefusedByCallee: the callee's 422 crosses, and the caller's next
// try is the same attempt: judged once, one call, one record.
func TestIntervalRefusedByCallee(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789", timed("100"))
	in := w.b.request("INVITE")
	w.b.reply(in, 422, "t1", nil, siptest.Field{Name: "Min-SE", Value: "600;x=" + insideNet + "9"})
	w.b.request("ACK")
	no := w.a.code(422)
	if v := no.Get("Min-SE"); v != "600" {
		t.Errorf("Min-SE %q", v)
	}
	w.a.ackFailure(inv, no)
	again := w.a.invite("+33123456789", func(m *siptest.Message) {
		m.Set("Call-ID", inv.Get("Call-ID"))
		m.Set("From", inv.Get("From"))
		m.Set("CSeq", "2 INVITE")
		timed("600", siptest.Field{Name: "Min-SE", Value: "600"})(m)
	})
	second := w.b.request("INVITE")
	if second.Get("Call-ID") != in.Get("Call-ID") || second.Get("Session-Expires") != "600" {
		t.Errorf("B got %s", second.Bytes())
	}
	w.b.reply(second, 200, "t2", w.b.sdp(), siptest.Field{Name: "Session-Expires", Value: "600;refresher=uac"})
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 2, again, ok))
	w.bye(rawCall{inv: again, ok: ok, in: second, tag: "t2"}, 3)
	if r := w.rep.lastRecord(t, 1); r.Code != 200 || len(r.Passes) != 1 {
		t.Errorf("record %+v", r)
	}
	w.hidden()
}

// TestSessionExpires: no refresh crosses, so both legs are released.
func TestSessionExpires(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, minSession(time.Second))
	w.upTimed("2;refresher=uac", timed("2"))
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	bye := w.a.request("BYE")
	w.a.reply(bye, 200, "", nil)
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.EndedBy != call.ByGateway || r.Passes[0].HangupCause != "session-expired" || r.Code != 200 {
		t.Errorf("record %+v", r)
	}
	if !strings.Contains(bye.Get("Reason"), "session-expired") {
		t.Errorf("BYE with Reason %q", bye.Get("Reason"))
	}
}

// TestRefreshKeepsSession: a refresh begins the interval anew, and one without
// an interval ends the watch.
func TestRefreshKeepsSession(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, minSession(time.Second))
	c := w.upTimed("6;refresher=uac", timed("6")) // stands for 4 s
	began := time.Now()
	re := withSDP(w.a.within("INVITE", 2, c.inv, c.ok), w.a.sdp())
	timed("3600;refresher=uac")(re)
	w.a.send(re)
	got := w.b.request("INVITE")
	w.b.reply(got, 200, "", w.b.sdp(), siptest.Field{Name: "Session-Expires", Value: "3600;refresher=uac"})
	w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 2, c.inv, c.ok))
	eventually(t, "the first interval to be over", func() bool { return time.Since(began) > 5*time.Second })
	if w.gw.Live() != 1 {
		t.Fatal("the refreshed session was ended")
	}
	// A hold without Session-Expires: nobody refreshes any more.
	w.a.send(withSDP(w.a.within("INVITE", 3, c.inv, c.ok), w.a.sdp("a=sendonly")))
	w.b.reply(w.b.request("INVITE"), 200, "", w.b.sdp("a=recvonly"))
	w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 3, c.inv, c.ok))
	// And a short interval in the dialog is refused as well.
	short := withSDP(w.a.within("INVITE", 4, c.inv, c.ok), w.a.sdp())
	timed("0")(short)
	w.a.send(short)
	no := w.a.code(422)
	if no.Get("Min-SE") != "1" {
		t.Errorf("Min-SE %q", no.Get("Min-SE"))
	}
	w.a.ackFailure(short, no)
	w.bye(c, 5)
}
