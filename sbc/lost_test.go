package sbc_test

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// TestPBXDiesInMidCall: a call whose PBX answers no OPTIONS any more and sends
// nothing is released although its phone goes on sending. One to which the PBX
// still sends goes on, and one on hold; so do all while OPTIONS are answered.
func TestPBXDiesInMidCall(t *testing.T) {
	t.Parallel()
	const inactivity = 2 * time.Second
	w := newRawWorld(t, func(c *worldConfig) {
		c.sbc.Stack.T1, c.sbc.Inactivity = 20*time.Millisecond, inactivity
		c.sbc.PBXs[0].Health = 20 * time.Millisecond
	})
	var code atomic.Int32 // of the answer to OPTIONS
	code.Store(200)
	w.b.auto.Store(func(m *siptest.Message) bool {
		if n := int(code.Load()); m.Method == "OPTIONS" && n != 0 {
			w.b.reply(m, n, "t", nil)
		}
		return m.Method == "OPTIONS"
	})

	stop := make(chan struct{})
	var senders sync.WaitGroup
	defer func() { close(stop); senders.Wait() }()
	talk := func(e *udpEnd, to netip.AddrPort, on *atomic.Bool) {
		senders.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for seq := byte(0); ; seq++ {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				if on.Load() {
					e.conn.WriteToUDPAddrPort(rtpOf(0, seq, "sound"), to)
				}
			}
		})
	}
	type live struct {
		rawCall
		a, b *udpEnd
		pbx  atomic.Bool // the PBX sends
	}
	audio := func(r *raw, e *udpEnd, more ...string) []byte {
		return r.lines(append([]string{fmt.Sprintf("m=audio %d RTP/AVP 0", e.port())}, more...)...)
	}
	yes := &atomic.Bool{}
	yes.Store(true)
	start := func(number string) *live {
		c := &live{a: w.a.udpEnd(), b: w.b.udpEnd()}
		c.tag = unique("t")
		c.inv = w.a.invite(number, func(m *siptest.Message) { m.Body = audio(w.a, c.a) })
		c.in = w.b.request("INVITE")
		w.b.reply(c.in, 200, c.tag, audio(w.b, c.b))
		c.ok = w.a.code(200)
		w.b.request("ACK")
		w.a.send(w.a.within("ACK", 1, c.inv, c.ok))
		talk(c.a, mediaAt(t, c.ok, 0), yes)
		talk(c.b, mediaAt(t, c.in, 0), &c.pbx)
		return c
	}
	modify := func(c *live, seq int, mine, theirs string) {
		w.a.send(withSDP(w.a.within("INVITE", seq, c.inv, c.ok), audio(w.a, c.a, mine)))
		w.b.reply(w.b.request("INVITE"), 200, "", audio(w.b, c.b, theirs))
		w.a.send(w.a.within("ACK", seq, c.inv, w.a.code(200)))
		w.b.request("ACK")
	}
	ended := func(n int, c *live) {
		t.Helper()
		w.a.reply(w.a.expect("BYE", func(m *siptest.Message) bool {
			return m.Method == "BYE" && m.Get("Call-ID") == c.inv.Get("Call-ID")
		}), 200, "", nil)
		if r := w.rep.lastRecord(t, n); r.EndedBy != call.ByGateway || r.Passes[0].HangupCause != "peer-down" {
			t.Errorf("record %d: %+v", n, r)
		}
	}
	remain := func(n int) {
		t.Helper()
		end := time.Now().Add(inactivity + inactivity/2)
		eventually(t, "the time is over", func() bool { return time.Now().After(end) })
		if got := w.gw.Live(); got != n {
			t.Fatalf("%d calls, want %d", got, n)
		}
	}

	silent, talks, held := start("+33123456781"), start("+33123456782"), start("+33123456783")
	talks.pbx.Store(true)
	modify(held, 2, "a=sendonly", "a=recvonly")
	remain(3) // OPTIONS are answered
	code.Store(503)
	eventually(t, "alert peer-down", func() bool { return w.rep.told(call.PeerDown, "main") })
	remain(3) // it wants no calls, and lives
	code.Store(0)
	ended(1, silent)
	remain(2)
	talks.pbx.Store(false)
	ended(2, talks)
	remain(1)
	modify(held, 3, "a=sendrecv", "a=sendrecv")
	ended(3, held)
	w.quiet()
	w.hidden()
}
