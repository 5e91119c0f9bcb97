package sbc_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// TestThinnable: how many calls are read is told from those alone of which the
// kernel drops a part. Calls to extensions pass in any case: a flood of them
// must not shut out who dials longer numbers.
func TestThinnable(t *testing.T) {
	t.Parallel()
	var load strained
	w := newRawWorld(t, load.option, func(c *worldConfig) {
		c.deps.Load, c.deps.Datagrams = ratelimit.NewLoad(ratelimit.LoadConfig{Delay: 1000 * time.Hour}), ratelimit.NewLoad(ratelimit.LoadConfig{Delay: time.Hour})
	})
	load.begin(w.world)
	eventually(t, "calls that count", func() bool { w.drain(); return w.gw.Thinnable() > 0 })
	was := w.gw.Thinnable()
	for range 3 {
		inv := w.a.invite("1001")
		eventually(t, "a refusal or a call", func() bool {
			return w.a.take(func(m *siptest.Message) bool { return m.Code >= 300 && m.Get("Call-ID") == inv.Get("Call-ID") }) != nil ||
				w.b.take(w.b.another("INVITE")) != nil
		})
	}
	if n := w.gw.Thinnable(); n != was {
		t.Errorf("%d calls to an extension count", n-was)
	}
	w.drain()
	if w.gw.Thinnable() == was {
		t.Error("a call that is refused does not count any more")
	}
}

// TestBlindHelp: while nobody measures, new calls are refused and calls for help
// are not.
func TestBlindHelp(t *testing.T) {
	t.Parallel()
	load := ratelimit.NewLoad(ratelimit.LoadConfig{})
	var measured atomic.Int32
	var stall atomic.Bool
	hold := make(chan struct{})
	w := newRawWorld(t, func(c *worldConfig) {
		c.deps.Load = load
		c.deps.Pressure = func(time.Time) ratelimit.LoadSignals {
			if measured.Add(1); stall.Load() {
				<-hold
			}
			return ratelimit.LoadSignals{}
		}
	})
	t.Cleanup(func() { close(hold) })
	eventually(t, "a measurement", func() bool { return measured.Load() > 1 })
	stall.Store(true)
	eventually(t, "nobody who measures", func() bool { return !load.Admit(ratelimit.LoadNew, 10*ratelimit.CostCall, 0, time.Now()) })
	if res := w.drain(); res.Get("Retry-After") == "" || load.Busy() {
		t.Errorf("refused for another reason: %v", res.Headers)
	}
	w.a.invite("112")
	w.b.expect("a call for help", func(m *siptest.Message) bool { return m.Method == "INVITE" && siptest.UserOf(m.URI) == "112" })
}

// TestThin: of many times more calls than are let in the kernel drops most, which
// nobody takes for strangers, and none any more when it is over. Calls to
// extensions are not among them.
func TestThin(t *testing.T) {
	t.Parallel()
	var load strained
	var gw atomic.Pointer[sbc.Gateway]
	var flood atomic.Bool
	w := newRawWorld(t, load.option, func(c *worldConfig) {
		c.deps.Load, c.deps.Datagrams = ratelimit.NewLoad(ratelimit.LoadConfig{Delay: 1000 * time.Hour}), ratelimit.NewLoad(ratelimit.LoadConfig{Delay: time.Hour})
		measured := c.deps.Pressure
		c.deps.Pressure = func(now time.Time) ratelimit.LoadSignals {
			// How many are read in a tenth of a second depends on the machine; that so
			// many were does not.
			if g := gw.Load(); g != nil && flood.Load() {
				g.SeemThinnable(100_000)
			}
			return measured(now)
		}
	})
	gw.Store(w.gw)
	load.begin(w.world)
	flood.Store(true)
	eventually(t, "thinning", w.gw.Thinning)
	strangers := w.gw.StrangersDropped()
	eventually(t, "dropped calls", func() bool {
		for range 20 {
			w.a.invite("+33123456789")
		}
		return w.gw.KernelDrops(call.Public) > 100
	})
	if n := w.gw.StrangersDropped(); n != strangers {
		t.Errorf("%d of the dropped calls count as strangers'", n-strangers)
	}
	for range 20 {
		inv := w.a.invite("1001")
		eventually(t, "an extension that is read", func() bool {
			return w.a.take(func(m *siptest.Message) bool { return m.Code == 503 && m.Get("Call-ID") == inv.Get("Call-ID") }) != nil ||
				w.b.take(func(m *siptest.Message) bool {
					return m.Method == "INVITE" && siptest.UserOf(m.URI) == "1001"
				}) != nil
		})
	}
	flood.Store(false)
	load.delay.Store(0)
	eventually(t, "the end", func() bool { return !w.busy() && !w.gw.Thinning() })
	dropped := w.gw.KernelDrops(call.Public)
	for range 20 {
		w.a.invite("+33199887766")
		w.b.expect("a call", func(m *siptest.Message) bool {
			return m.Method == "INVITE" && siptest.UserOf(m.URI) == "+33199887766"
		})
	}
	if n := w.gw.KernelDrops(call.Public) - dropped; n > 0 {
		t.Errorf("%d are dropped when it is over", n)
	}
}
