package sbc_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
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
