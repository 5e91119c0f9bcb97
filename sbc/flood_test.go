package sbc_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

var _ sbc.Dropper = (*ratelimit.Gate)(nil)

// TestFloodAtTheGate: what the gate drops is told, once a second however much
// it is; what it lets through, and known senders, are not.
func TestFloodAtTheGate(t *testing.T) {
	t.Parallel()
	gate := ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: 0.001, SourceBurst: 5, StrangerPackets: 0.001, StrangerBurst: 50})
	w := newRawWorld(t, func(c *worldConfig) { c.deps.Gate = gate })
	alerts := func() (out []call.SystemEvent) {
		w.rep.mu.Lock()
		defer w.rep.mu.Unlock()
		for _, e := range w.rep.systems {
			if e.Action == call.Flood {
				out = append(out, e)
			}
		}
		return out
	}
	dropped := func(es []call.SystemEvent) (n uint64) {
		for _, e := range es {
			n += e.Evidence[0].Value.(uint64)
		}
		return n
	}
	for range 1000 {
		w.gw.AdmitStream(call.Public, w.a.addr().Addr(), 500) // a peer's
		w.gw.AdmitStream(call.Inside, w.b.addr().Addr(), 500)
	}
	one := netip.MustParseAddr("192.0.2.1")
	began := time.Now()
	for range 105 {
		w.gw.AdmitStream(call.Public, one, 500)
	}
	eventually(t, "an alert about the source", func() bool { return dropped(alerts()) == 100 })
	es := alerts()
	if most := int(time.Since(began)/time.Second) + 1; len(es) > most {
		t.Errorf("%d alerts, want %d at most", len(es), most)
	}
	if e := es[0]; e.Rule != "base/flood" || e.Source.Addr() != one || e.Subject != (call.Subject{Kind: "source", Value: "192.0.2.1"}) ||
		e.Evidence[1].Value.(uint64) == 0 || e.Evidence[2].Value.(uint64) != 0 {
		t.Errorf("%+v", e)
	}
	for i := range 145 { // 45 of the shared budget are left
		w.gw.AdmitConn(call.Public, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
	}
	eventually(t, "an alert about all strangers", func() bool { return dropped(alerts()) == 200 })
	es = alerts()
	if e := es[len(es)-1]; e.Subject != (call.Subject{Kind: "node", Value: "test"}) || e.Severity != call.High || !netip.MustParsePrefix("198.51.100.0/24").Contains(e.Source.Addr()) {
		t.Errorf("%+v", e)
	}
}

// TestDropAllocatesNothing but one address a second.
func TestDropAllocatesNothing(t *testing.T) {
	gate := ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: 0.001, SourceBurst: 1})
	w := newRawWorld(t, func(c *worldConfig) { c.deps.Gate = gate })
	src := netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(10000, func() { w.gw.AdmitStream(call.Public, src, 500) }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
