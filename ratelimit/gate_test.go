package ratelimit_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/ratelimit"
)

func TestGate(t *testing.T) {
	g := ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: 10, SourceBurst: 20, StrangerPackets: 100, StrangerBurst: 50, Sources: 128})
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	passed := 0
	for range 1000 {
		if g.Allow(one, start, 500, false) {
			passed++
		}
	}
	if passed != 20 {
		t.Errorf("%d datagrams of one address passed, want its burst of 20", passed)
	}
	if !g.Allow(two, start, 500, false) {
		t.Error("a loud stranger used up what others share")
	}
	// Size counts: 16 KiB are 16 units.
	if !g.Allow(netip.MustParseAddr("192.0.2.7"), start, 16*1024, false) || g.Allow(netip.MustParseAddr("192.0.2.7"), start, 16*1024, false) {
		t.Error("large datagrams cost no more than small ones")
	}
	if g.Allow(netip.MustParseAddr("192.0.2.8"), start, 64*1024, false) {
		t.Error("a datagram beyond the burst passed")
	}
	// All strangers together: 20 + 1 + 16 of 50 are used.
	passed = 0
	for i := range 1000 {
		if g.Allow(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), start, 100, false) {
			passed++
		}
	}
	if passed != 13 {
		t.Errorf("%d strangers passed, want the 13 that were left", passed)
	}
	for range 1000 {
		if !g.Allow(one, start, 1<<16, true) {
			t.Fatal("a known sender was stopped at the gate")
		}
	}
	if !g.Allow(one, start.Add(time.Second), 100, false) {
		t.Error("nothing came back after a second")
	}
	if s := g.Stats(); s.Passed != 20+1+1+13+1000+1 || s.OverTotal != 1000-13 {
		t.Errorf("%+v", s)
	} else if source, strangers := g.Dropped(); source != s.OverSource || strangers != s.OverTotal {
		t.Errorf("dropped %d and %d of %+v", source, strangers, s)
	}
}

func TestGateDefaultsSuitAnOffice(t *testing.T) {
	g := ratelimit.NewGate(ratelimit.GateConfig{})
	office := netip.MustParseAddr("203.0.113.7")
	// 200 phones behind one address connect within ten seconds after a power
	// cut; none is known yet.
	for i := range 200 {
		if !g.Allow(office, start.Add(time.Duration(i)*50*time.Millisecond), 0, false) {
			t.Fatalf("phone %d was stopped", i)
		}
	}
}

func TestGateDoesNotAllocate(t *testing.T) {
	g := ratelimit.NewGate(ratelimit.GateConfig{Sources: 1024})
	addr := netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(1000, func() { g.Allow(addr, start, 500, false) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkGateFlood(b *testing.B) {
	g := ratelimit.NewGate(ratelimit.GateConfig{})
	b.ReportAllocs()
	i := uint32(0)
	for b.Loop() {
		i += 2654435761
		g.Allow(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), start.Add(time.Duration(i)), 400, false)
	}
}
