package sbc_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
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

// TestChallengedAfterRinging: a carrier rings, and then wants to know who we
// are. The dialog that answers counts on from the INVITE that made it, and is
// none of those before.
func TestChallengedAfterRinging(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"x", "y"} {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			w := newRawWorld(t, account())
			w.grant("600")
			inv := w.b.invite("+442079460000", rel)
			in := w.a.request("INVITE")
			w.a.reliably(in, 183, 40, "x", w.a.sdp())
			early := w.b.code(183)
			w.a.reply(in, 407, "x", nil, field("Proxy-Authenticate", sha256Challenge))
			in2 := w.a.expect("the answer", func(m *siptest.Message) bool { return m.Method == "INVITE" && m.Get("Proxy-Authorization") != "" })
			w.b.prack(2, inv, early, nil)
			w.b.answer("PRACK", 200)
			w.a.reliably(in2, 183, 7, tag, w.a.sdpAt(40010))
			next := w.b.expect("183 of the second INVITE", func(m *siptest.Message) bool { return m.Code == 183 && tagOf(m) != tagOf(early) })
			w.b.prack(2, inv, next, nil)
			w.b.answer("PRACK", 200)
			first, _ := in2.CSeq()
			ack := w.a.expect("the PRACK", func(m *siptest.Message) bool { return strings.HasPrefix(m.Get("RAck"), fmt.Sprintf("7 %d ", first)) })
			if n, _ := ack.CSeq(); n <= first {
				t.Errorf("PRACK %d after INVITE %d", n, first)
			}
			w.a.reply(ack, 200, "", nil)
			w.a.reply(in2, 200, tag, nil)
			ok := w.b.code(200)
			w.b.send(w.b.within("ACK", 1, inv, ok))
			w.b.send(w.b.within("BYE", 3, inv, ok))
			w.b.answer("BYE", 200)
			bye := w.a.request("BYE")
			if n, _ := bye.CSeq(); n <= first+1 || tagOf(bye) != tag {
				t.Errorf("%s", bye.Bytes())
			}
			w.a.reply(bye, 200, "", nil)
			w.quiet()
		})
	}
}

// TestBareCallRedirected: the media of a call without an offer is where the
// target is, not where the one who redirected was.
func TestBareCallRedirected(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.FollowRedirects, sbc.RefuseRedirects, sbc.RefuseRedirects))
	p := w.desk("1001")
	inv := w.a.invite("+33123456789", rel, bare)
	in := w.b.request("INVITE")
	w.b.reliably(in, 183, 1, "one", w.b.sdp())
	early := w.a.code(183)
	w.a.prack(2, inv, early, w.a.sdp())
	w.a.answer("PRACK", 200)
	w.b.reply(w.b.request("PRACK"), 200, "", nil)
	w.b.reply(in, 302, "one", nil, contacts("<sip:1001@"+domain+">")...)
	w.b.request("ACK")
	out := p.request("INVITE")
	p.reply(out, 200, "two", p.srtp())
	ok := w.a.code(200)
	w.a.send(withSDP(w.a.within("ACK", 1, inv, ok), w.a.sdp()))
	if ack := p.request("ACK"); !strings.Contains(string(ack.Body), "c=IN IP4 "+publicNet) {
		t.Errorf("ACK with\n%s", ack.Body)
	}
	w.a.send(w.a.within("BYE", 3, inv, ok))
	w.a.answer("BYE", 200)
	p.reply(p.request("BYE"), 200, "", nil)
	w.quiet()
}

// TestPanicAnswersWhatIsOpen: a call that fails leaves no request without an
// answer, and no transaction that waits for one for ever.
func TestPanicAnswersWhatIsOpen(t *testing.T) {
	var armed atomic.Bool
	w := newRawWorld(t, hook(func(e call.Event) {
		if e.Kind == call.EventAnswer && armed.Load() {
			panic("injected")
		}
	}))
	armed.Store(true)
	inv := w.a.invite("+33123456789", rel)
	in := w.b.request("INVITE")
	w.b.reliably(in, 183, 1, "one", w.b.sdp())
	early := w.a.code(183)
	w.a.prack(2, inv, early, w.a.sdp("a=sendonly"))
	w.b.request("PRACK")
	w.a.send(w.a.within("UPDATE", 3, inv, early))
	w.b.request("UPDATE")
	w.b.send(w.b.back("UPDATE", 4, in, "one"))
	w.a.request("UPDATE")
	w.b.reply(in, 200, "one", nil)
	w.a.ackFailure(inv, w.a.code(500))
	w.a.answer("PRACK", 500)
	w.a.answer("UPDATE", 500)
	w.b.answer("UPDATE", 500)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
}

// TestHangupWhileChallenged: the record has the code that the caller got.
func TestHangupWhileChallenged(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) { c.sbc.RetryTimeout = time.Minute })
	p := w.desk("1001")
	inv := withSDP(p.outside("INVITE", "sip:+33123456789@"+domain), p.srtp())
	p.send(inv)
	w.b.reply(w.b.request("INVITE"), 407, "t", nil, field("Proxy-Authenticate", `Digest realm="r", nonce="n"`))
	p.ackFailure(inv, p.code(407))
	eventually(t, "the challenge", func() bool { cs := w.gw.Calls(); return len(cs) == 1 && cs[0].State == "challenged" })
	w.gw.Hangup(w.gw.Calls()[0].ID, "operator")
	if r := w.rep.lastRecord(t, 1); r.Code != 407 || r.EndedBy != call.ByGateway {
		t.Errorf("record %+v", r)
	}
}

// TestModifyTimeout: who does not answer a re-INVITE is hung up on, too: it
// may hear us while we do not hear it (RFC 3261 §14.1).
func TestModifyTimeout(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"INVITE", "UPDATE"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newRawWorld(t, func(c *worldConfig) { c.sbc.Stack.T1 = 20 * time.Millisecond })
			c := w.up(rel)
			w.a.send(withSDP(w.a.within(method, 2, c.inv, c.ok), w.a.sdp()))
			w.a.answer(method, 408)
			w.a.reply(w.a.request("BYE"), 200, "", nil)
			w.b.reply(w.b.request("BYE"), 200, "", nil)
			w.quiet()
		})
	}
}

// TestChallengeAfterTheCall: a carrier that challenges a request when the call
// is over leaves nobody without an answer.
func TestChallengeAfterTheCall(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, account(), func(c *worldConfig) { c.sbc.Stack.T1 = time.Second })
	w.grant("600")
	inv := w.ring("sip:+442079460000@x")
	in := w.a.request("INVITE")
	w.a.reply(in, 200, "t", w.a.sdp())
	ok := w.b.code(200)
	w.a.request("ACK")
	w.b.send(w.b.within("ACK", 1, inv, ok))
	w.b.send(w.b.within("INFO", 2, inv, ok))
	info := w.a.request("INFO")
	w.b.send(w.b.within("BYE", 3, inv, ok))
	w.b.answer("BYE", 200)
	w.a.reply(w.a.request("BYE"), 200, "", nil)
	w.quiet()
	w.a.reply(info, 407, "", nil, field("Proxy-Authenticate", sha256Challenge))
	w.b.answer("INFO", 403)
}

// TestChallengedForks: a carrier challenges what is sent in one of several
// early dialogs; the answer stays there.
func TestChallengedForks(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, account())
	w.grant("600")
	inv := w.b.invite("+442079460000", rel)
	in := w.a.request("INVITE")
	w.a.reliably(in, 183, 1, "one", w.a.sdp())
	one := w.b.code(183)
	w.b.prack(2, inv, one, nil)
	w.b.answer("PRACK", 200)
	w.a.reply(w.a.request("PRACK"), 200, "", nil)
	w.b.send(w.b.within("UPDATE", 3, inv, one))
	up := w.a.request("UPDATE")
	w.a.reply(in, 180, "two", nil)
	w.b.code(180)
	w.a.reply(up, 407, "", nil, field("Proxy-Authenticate", sha256Challenge))
	again := w.a.expect("the answer", func(m *siptest.Message) bool { return m.Method == "UPDATE" && m.Get("Proxy-Authorization") != "" })
	before, _ := up.CSeq()
	if n, _ := again.CSeq(); n <= before || tagOf(again) != "one" {
		t.Errorf("after %d: %s", before, again.Bytes())
	}
	w.a.reply(again, 200, "", nil)
	w.b.answer("UPDATE", 200)
	w.a.reply(in, 200, "one", nil)
	ok := w.b.code(200)
	w.a.request("ACK")
	w.b.send(w.b.within("ACK", 1, inv, ok))
	// The second fork answers, too, and challenges the BYE.
	w.a.reply(in, 200, "two", w.a.sdp())
	bye := w.a.request("BYE")
	w.a.reply(bye, 407, "", nil, field("Proxy-Authenticate", sha256Challenge))
	again = w.a.expect("the answer", func(m *siptest.Message) bool { return m.Method == "BYE" && m.Get("Proxy-Authorization") != "" })
	before, _ = bye.CSeq()
	if n, _ := again.CSeq(); n <= before || tagOf(again) != "two" {
		t.Errorf("after %d: %s", before, again.Bytes())
	}
	w.a.reply(again, 200, "", nil)
	w.b.send(w.b.within("BYE", 9, inv, ok))
	w.b.answer("BYE", 200)
	last := w.a.expect("BYE of the call", func(m *siptest.Message) bool { return m.Method == "BYE" && tagOf(m) == "one" })
	w.a.reply(last, 200, "", nil)
	w.quiet()
}

// TestReplacesStays: the dialog that an INVITE replaces is with one carrier.
// Another one hears nothing of it, neither when the first fails nor when it
// passes the call on.
func TestReplacesStays(t *testing.T) {
	for _, code := range []int{503, 302} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			const port = 16095
			w := newRawWorld(t, udpCarrier("second", carrierIP, port), redirects(sbc.RefuseRedirects, sbc.FollowRedirects, sbc.RefuseRedirects))
			second := newRaw(t, fmt.Sprint(carrierIP, ":", port))
			second.gw = w.a.gw
			inv := w.ring("sip:+442079460000@x")
			in := w.a.request("INVITE")
			w.a.reply(in, 200, "t", w.a.sdp())
			ok := w.b.code(200)
			w.a.request("ACK")
			w.b.send(w.b.within("ACK", 1, inv, ok))
			rep := w.ring("sip:+442079460000@x", func(m *siptest.Message) {
				m.Add("Replaces", replacing(inv.Get("Call-ID"), tagOf(ok), fromTag(inv)))
			})
			in2 := w.a.request("INVITE")
			if in2.Get("Replaces") == "" {
				t.Fatalf("%s", in2.Bytes())
			}
			w.a.reply(in2, code, "t2", nil, contacts("<sip:+442079460001@"+w.a.host()+">")...)
			res := w.b.expect("a refusal", func(m *siptest.Message) bool { return m.Code >= 300 && m.Get("Call-ID") == rep.Get("Call-ID") })
			w.b.ackFailure(rep, res)
			second.never("INVITE", is("INVITE"))
			w.a.never("INVITE", w.a.another("INVITE"))
			w.b.send(w.b.within("BYE", 2, inv, ok))
			w.b.answer("BYE", 200)
			w.a.reply(w.a.request("BYE"), 200, "", nil)
			w.quiet()
		})
	}
}

// TestReplacesOneFork: of several early dialogs the one that is named is
// replaced, not the one that was heard of last.
func TestReplacesOneFork(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 180, "one", nil)
	one := w.a.code(180)
	w.b.reply(in, 180, "two", nil)
	w.a.code(180)
	pick := w.ring("sip:+33199001234@x", func(m *siptest.Message) { m.Add("Replaces", replacing(in.Get("Call-ID"), fromTag(in), "one")) })
	out := w.a.request("INVITE")
	if got, want := out.Get("Replaces"), replacing(inv.Get("Call-ID"), fromTag(inv), tagOf(one)); got != want {
		t.Errorf("Replaces %q, want %q", got, want)
	}
	w.a.reply(out, 486, "t", nil)
	w.b.ackFailure(pick, w.b.code(486))
	w.b.reply(in, 486, "one", nil)
	w.a.ackFailure(inv, w.a.code(486))
	w.quiet()
}

// TestRedirectedAndNotThere: the first target rings in vain, the next one is
// asked. One that was not named by a redirect is not, once it has rung.
func TestRedirectedAndNotThere(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.RefuseRedirects, sbc.FollowRedirects, sbc.RefuseRedirects))
	inv := w.b.invite("+33199007777", rel)
	w.a.reply(w.a.request("INVITE"), 302, "t1", nil, contacts("<sip:+33199001111@"+w.a.host()+">;q=0.3", "<sip:+33199002222@"+w.a.host()+">")...)
	first := w.a.request("INVITE")
	w.a.reliably(first, 180, 1, "t2", nil)
	ring := w.b.code(180)
	w.a.reply(first, 480, "t2", nil)
	second := w.a.request("INVITE")
	if siptest.UserOf(second.URI) != "+33199001111" {
		t.Errorf("the second target is %s", second.URI)
	}
	w.b.prack(2, inv, ring, nil)
	w.b.answer("PRACK", 200)
	w.a.reply(second, 180, "t3", nil)
	w.b.code(180)
	w.a.reply(second, 503, "t3", nil)
	w.b.ackFailure(inv, w.b.code(503))
	w.quiet()
}

// TestSilentAndThenChallenged: a PBX that was silent is not waited for again by
// the answer to the challenge of the next one.
func TestSilentAndThenChallenged(t *testing.T) {
	w := newRawWorld(t, func(c *worldConfig) {
		silent := c.sbc.PBXs[0]
		silent.Name, silent.Host, silent.Port = "silent", insideNet+"67", 16094
		c.sbc.PBXs = append([]sbc.PBX{silent}, c.sbc.PBXs...)
		c.sbc.FailoverAfter = 300 * time.Millisecond
	})
	dead := newRaw(t, insideNet+"67:16094")
	inv := w.a.invite("+33123456789")
	dead.request("INVITE")
	w.b.reply(w.b.request("INVITE"), 401, "t", nil, field("WWW-Authenticate", `Digest realm="r", nonce="n"`))
	w.a.ackFailure(inv, w.a.code(401))
	again := w.a.invite("+33123456789", set("Call-ID", inv.Get("Call-ID")), set("From", inv.Get("From")), set("CSeq", "2 INVITE"))
	w.b.reply(w.b.request("INVITE"), 486, "t", nil)
	w.a.ackFailure(again, w.a.code(486))
	w.quiet()
	if m := dead.take(dead.another("INVITE")); m != nil {
		t.Errorf("the silent one is asked again: %s", m.Bytes())
	}
}

// TestRedirectIsNoFailover: who passes a call on has not failed.
func TestRedirectIsNoFailover(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.FollowRedirects, sbc.RefuseRedirects, sbc.RefuseRedirects))
	p := w.desk("1001")
	inv := w.a.invite("+33123456789")
	w.b.reply(w.b.request("INVITE"), 302, "t1", nil, contacts("<sip:1001@"+domain+">")...)
	p.reply(p.request("INVITE"), 486, "t2", nil)
	w.a.ackFailure(inv, w.a.code(486))
	w.quiet()
	if r := w.rep.lastRecord(t, 1); len(r.Passes[0].FailedOver) > 0 || len(r.Passes[0].ForwardedTo) != 1 {
		t.Errorf("record %+v", r.Passes[0])
	}
}
