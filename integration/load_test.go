package integration_test

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// Some thousand calls leave nothing behind: no call, port, descriptor,
// transaction, thread or memory. A first wave shows what a warm gateway holds.
func TestCallsLeaveNothing(t *testing.T) {
	t.Parallel()
	w := newTrunks(t, 1, "")
	w.pbxAnswers(peers.Scenario{Name: "uas_answer"})
	wave := func(calls int) {
		t.Helper()
		st := w.in(peers.Scenario{Name: "uac_call", Calls: calls, Rate: 100, Hold: 300 * time.Millisecond, Limit: 90 * time.Second}).Success()
		if st.Successful != calls || st.Failed != 0 {
			t.Fatalf("%+v of %d calls", st, calls)
		}
	}
	gone := func() peers.Usage {
		t.Helper()
		w.idle()
		return w.gw.Usage(w.net)
	}
	const heap = "go_memstats_heap_alloc_bytes"
	wave(400)
	before, goroutines, memory := gone(), w.metric("go_goroutines"), w.metric(heap)
	wave(1500)
	after := gone()
	t.Logf("before %+v, after %+v: %v of CPU for 1500 calls, heap of %.1f and %.1f MB", before, after, after.CPU-before.CPU, memory/1e6, w.metric(heap)/1e6)
	peers.Eventually(t, 45*time.Second, "the goroutines of before", func() bool { return w.metric("go_goroutines") <= goroutines+4 })
	// Finished transactions are kept for 32 s (RFC 3261 §17), and the garbage of
	// these questions then makes the collector run.
	start := time.Now()
	peers.Eventually(t, 120*time.Second, "the memory of before", func() bool {
		return time.Since(start) > 33*time.Second && w.metric(heap) < memory+4e6
	})
	t.Logf("heap back after %v", time.Since(start))
	if after.Descriptors > before.Descriptors+2 || after.UDPSockets > w.sockets || after.Threads > before.Threads+4 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	for _, m := range []string{"rampart_media_ports_active", "rampart_sbc_calls_active", "rampart_media_sessions_active", "rampart_media_streams_active"} {
		if n := w.metric(m); n != 0 {
			t.Errorf("%s is %v", m, n)
		}
	}
	peers.Eventually(t, soon, "a CDR of each call", func() bool { return len(w.lines("cdr.jsonl", "code", "200")) == 1900 })
}
