package sbc_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// hooked lets a test break or delay the owner of a call where it tells of an
// event.
type hooked struct {
	*reports
	event func(call.Event)
}

func (h hooked) Event(e call.Event) { h.event(e); h.reports.Event(e) }

func hook(f func(call.Event)) option {
	return func(c *worldConfig) { c.deps.Reporter = hooked{c.deps.Reporter.(*reports), f} }
}

func TestPanicEndsOneCall(t *testing.T) {
	for _, at := range []call.EventKind{call.EventRinging, call.EventAnswer} {
		t.Run(string(at), func(t *testing.T) {
			var armed atomic.Bool
			w := newRawWorld(t, hook(func(e call.Event) {
				if e.Kind == at && armed.CompareAndSwap(true, false) {
					panic("injected")
				}
			}))
			other := w.up()
			armed.Store(true)
			inv := w.a.invite("+33123456789")
			in := w.b.request("INVITE")
			if at == call.EventRinging {
				w.b.reply(in, 180, "t9", nil)
				w.a.ackFailure(inv, w.a.code(500))
				w.b.reply(w.b.request("CANCEL"), 200, "", nil)
				w.b.reply(in, 487, "t9", nil)
			} else {
				w.b.reply(in, 200, "t9", w.b.sdp())
				w.a.ackFailure(inv, w.a.code(500))
				w.b.request("ACK")
				w.b.reply(w.b.request("BYE"), 200, "", nil)
			}
			r := w.rep.lastRecord(t, 1)
			if r.Code != 500 || r.EndedBy != call.ByGateway {
				t.Errorf("record %+v", r)
			}
			eventually(t, "the call is gone", func() bool { return w.gw.Live() == 1 && w.plane.Stats().Sessions == 1 })
			w.rep.mu.Lock()
			if len(w.rep.systems) != 1 || w.rep.systems[0].Action != call.CallFailed || w.rep.systems[0].CallID != r.CallID {
				t.Errorf("alerts %+v", w.rep.systems)
			}
			w.rep.mu.Unlock()
			// The other call goes on.
			w.a.send(withSDP(w.a.within("INVITE", 2, other.inv, other.ok), w.a.sdp()))
			w.b.reply(w.b.request("INVITE"), 200, "", w.b.sdp())
			w.a.send(w.a.within("ACK", 2, other.inv, w.a.code(200)))
			w.bye(other, 3)
		})
	}
}

// TestMailboxFull: an owner that is stuck makes its own call's requests fail,
// and nobody else's.
func TestMailboxFull(t *testing.T) {
	release := make(chan struct{})
	stuck := make(chan struct{})
	var first atomic.Bool
	w := newRawWorld(t, hook(func(e call.Event) {
		if e.Kind == call.EventRinging && first.CompareAndSwap(false, true) {
			close(stuck)
			<-release
		}
	}))
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 180, "t1", nil)
	<-stuck
	for n := range 100 {
		w.b.send(w.b.back("INFO", 100+n, in, "t1"))
	}
	w.b.answer("INFO", 503)
	other := w.up()
	close(release)
	w.a.cancel(inv)
	w.a.ackFailure(inv, w.a.code(487))
	w.b.reply(w.b.request("CANCEL"), 200, "", nil)
	w.b.reply(in, 487, "t1", nil)
	w.bye(other, 2)
}

// TestWhoMayEndACall: the right tags are not enough; a request must come the
// way the call's own do.
func TestWhoMayEndACall(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, udpCarrier("other", carrierIP, 16099))
	c := w.up()
	other := newRaw(t, carrierIP+":16099")
	other.gw = w.a.gw
	for _, method := range []string{"BYE", "INFO", "INVITE"} {
		m := w.a.within(method, 50, c.inv, c.ok)
		m.Set("Via", other.via())
		if method == "INVITE" {
			withSDP(m, other.sdp())
		}
		other.send(m)
		other.expect("481", func(m *siptest.Message) bool { return m.Code == 481 })
	}
	// Nor from the other side.
	m := w.a.within("BYE", 51, c.inv, c.ok)
	m.Set("Via", w.b.via())
	w.b.send(m)
	w.b.answer("BYE", 481)
	// CANCEL of somebody else's INVITE, with its branch.
	inv := w.a.invite("+33123456789")
	in := w.b.request("INVITE")
	w.b.reply(in, 180, "t5", nil)
	w.a.code(180)
	other.send(hop("CANCEL", inv, inv.Get("To")))
	other.answer("CANCEL", 481)
	// An answer to somebody else's challenge.
	w.b.reply(in, 407, "t5", nil, siptest.Field{Name: "Proxy-Authenticate", Value: `Digest realm="r", nonce="n"`})
	w.a.ackFailure(inv, w.a.code(407))
	theft := inv.Clone()
	theft.Set("Via", other.via())
	theft.Set("CSeq", "2 INVITE")
	other.send(theft)
	other.answer("INVITE", 403)
	w.b.never("the thief's INVITE", is("INVITE"))
	if w.gw.Live() != 2 {
		t.Errorf("%d calls, want 2", w.gw.Live())
	}
	w.gw.Hangup(w.gw.Calls()[1].ID, "operator")
	w.a.send(w.a.within("BYE", 2, c.inv, c.ok))
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
}

func TestHops(t *testing.T) {
	w := newRawWorld(t)
	for hops, code := range map[string]int{"0": 483, "1": 483} {
		inv := w.a.invite("+33123456789", set("Max-Forwards", hops))
		w.a.ackFailure(inv, w.a.code(code))
	}
	w.b.never("an INVITE", is("INVITE"))
	inv := w.a.invite("+33123456789", set("Max-Forwards", "2"))
	in := w.b.request("INVITE")
	if in.Get("Max-Forwards") != "1" {
		t.Errorf("Max-Forwards %s", in.Get("Max-Forwards"))
	}
	w.b.reply(in, 486, "t", nil)
	w.a.ackFailure(inv, w.a.code(486))
	w.quiet()
}

// TestLateNoAck: a challenge that nobody acknowledged must not end the call
// that its answer became.
func TestLateNoAck(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	inv := w.a.invite("+33123456789")
	w.b.reply(w.b.request("INVITE"), 407, "t1", nil, siptest.Field{Name: "Proxy-Authenticate", Value: `Digest realm="r", nonce="n"`})
	w.a.code(407) // its ACK is lost, all the time
	again := inv.Clone()
	again.Set("Via", w.a.via())
	again.Set("CSeq", "2 INVITE")
	w.a.send(again)
	in := w.b.request("INVITE")
	w.b.reply(in, 180, "t2", nil)
	w.a.code(180)
	// The call is answered so that its own ACK is outstanding when the
	// challenge gives up, 64·T1 after it was sent.
	tick := time.NewTimer(2900 * time.Millisecond)
	defer tick.Stop()
	<-tick.C
	w.b.reply(in, 200, "t2", w.b.sdp())
	ok := w.a.code(200)
	w.a.never("a BYE", is("BYE"))
	w.a.never("a BYE", is("BYE"))
	w.a.send(w.a.within("ACK", 2, inv, ok))
	w.bye(rawCall{inv: inv, ok: ok}, 3)
}
