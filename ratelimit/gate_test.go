package ratelimit_test

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
)

func TestGate(t *testing.T) {
	g := ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: 10, SourceBurst: 20, StrangerPackets: 100, StrangerBurst: 50, Sources: 128})
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	passed := 0
	for range 1000 {
		if g.Allow(one, start, 500, call.Stranger) {
			passed++
		}
	}
	if passed != 20 {
		t.Errorf("%d datagrams of one address passed, want its burst of 20", passed)
	}
	if !g.Allow(two, start, 500, call.Stranger) {
		t.Error("a loud stranger used up what others share")
	}
	// Size counts: 16 KiB are 16 units.
	if !g.Allow(netip.MustParseAddr("192.0.2.7"), start, 16*1024, call.Stranger) || g.Allow(netip.MustParseAddr("192.0.2.7"), start, 16*1024, call.Stranger) {
		t.Error("large datagrams cost no more than small ones")
	}
	if g.Allow(netip.MustParseAddr("192.0.2.8"), start, 64*1024, call.Stranger) {
		t.Error("a datagram beyond the burst passed")
	}
	// All strangers together: 20 + 1 + 16 of 50 are used.
	passed = 0
	for i := range 1000 {
		if g.Allow(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), start, 100, call.Stranger) {
			passed++
		}
	}
	if passed != 13 {
		t.Errorf("%d strangers passed, want the 13 that were left", passed)
	}
	for range 100 {
		if !g.Allow(one, start, 1<<16, call.Carrier) {
			t.Fatal("a peer was stopped at the gate")
		}
	}
	if !g.Allow(one, start.Add(time.Second), 100, call.Stranger) {
		t.Error("nothing came back after a second")
	}
	if p, s := g.Count(ratelimit.Passed), g.Count(ratelimit.OverStrangers); p != 20+1+1+13+100+1 || s != 1000-13 {
		t.Errorf("%d passed, %d were over the shared budget", p, s)
	} else if source, strangers := g.Dropped(); source != g.Count(ratelimit.OverSource) || strangers != s {
		t.Errorf("dropped %d and %d", source, strangers)
	}
}

func TestGateDefaultsSuitAnOffice(t *testing.T) {
	g := ratelimit.NewGate(ratelimit.GateConfig{})
	office := netip.MustParseAddr("203.0.113.7")
	// 200 phones behind one address connect within ten seconds after a power
	// cut; none is known yet.
	for i := range 200 {
		if !g.Allow(office, start.Add(time.Duration(i)*50*time.Millisecond), 0, call.Stranger) {
			t.Fatalf("phone %d was stopped", i)
		}
	}
}

func TestGateAlloc(t *testing.T) {
	own := netip.MustParseAddr("198.51.100.1")
	g := ratelimit.NewGate(ratelimit.GateConfig{Sources: 1024})
	g.SetPeers(map[netip.Addr]float64{own: 100})
	for _, addr := range []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")} {
		for _, who := range []call.Kind{call.Stranger, call.Phone, call.Carrier} {
			if n := testing.AllocsPerRun(1000, func() { g.Allow(addr, start, 500, who); g.Connect(addr, start, who); g.Allow(own, start, 500, who) }); n != 0 {
				t.Errorf("%s: %v allocations", who, n)
			}
		}
	}
}

// TestGateKnownBudgets: a forged peer stops at its own budget, and neither
// another peer, nor a phone, nor a stranger feels it.
func TestGateKnownBudgets(t *testing.T) {
	g := ratelimit.NewGate(ratelimit.GateConfig{PeerPackets: 100, PhonePackets: 50})
	a, b, phone := netip.MustParseAddr("2001:db8::10"), netip.MustParseAddr("2001:db8::20"), netip.MustParseAddr("192.0.2.9")
	passed := func(from netip.Addr, who call.Kind) (n int) {
		for range 5000 {
			if g.AllowStream(from, start, 500, who) {
				n++
			}
		}
		return n
	}
	if n := passed(a, call.Carrier); n != 200 {
		t.Errorf("%d of a forged peer passed, want its burst of 200", n)
	}
	if n := passed(phone, call.Phone); n != 200 {
		t.Errorf("%d of a phone's address passed, want its burst of 200", n)
	}
	if !g.AllowStream(b, start, 500, call.Carrier) {
		t.Error("a peer of the same /64 pays for the forged one")
	}
	if !g.AllowStream(a, start, 500, call.Stranger) || !g.AllowStream(netip.MustParseAddr("192.0.2.10"), start, 500, call.Phone) {
		t.Error("others pay for the forged peer")
	}
	if g.Count(ratelimit.OverPeer) != 4800 || g.Count(ratelimit.OverPhone) != 4800 {
		t.Errorf("%d and %d counted", g.Count(ratelimit.OverPeer), g.Count(ratelimit.OverPhone))
	}
	if !g.AllowStream(a, start.Add(time.Second), 500, call.Carrier) {
		t.Error("nothing came back after a second")
	}
}

// TestGatePeersOwn: each peer has the budget that was given for it, of
// datagrams and of streams; one without has that of all others.
func TestGatePeersOwn(t *testing.T) {
	small, large, other := netip.MustParseAddr("198.51.100.0"), netip.MustParseAddr("2001:db8::"), netip.MustParseAddr("192.0.2.1")
	g := ratelimit.NewGate(ratelimit.GateConfig{PeerPackets: 200})
	g.SetPeers(map[netip.Addr]float64{small: 50, large: 1000, other: 0})
	for _, allow := range []func(netip.Addr, time.Time, int, call.Kind) bool{g.Allow, g.AllowStream} {
		for a, want := range map[netip.Addr]int{small: 100, large: 2000, other: 400} {
			n := 0
			for range 5000 {
				if allow(a, start, 500, call.Carrier) {
					n++
				}
			}
			if n != want {
				t.Errorf("%s: %d passed, want %d", a, n, want)
			}
		}
	}
	g.SetPeers(map[netip.Addr]float64{small: 250})
	for a, want := range map[netip.Addr]int{small: 250, large: 200} {
		n := 0
		for g.Allow(a, start.Add(time.Second), 500, call.Carrier) {
			n++
		}
		if n != want {
			t.Errorf("%s: %d passed in the next second, want %d by the new budgets", a, n, want)
		}
	}
	n := 0
	for range 1000 { // a stranger at that address is one
		if g.Allow(large, start, 500, call.Stranger) {
			n++
		}
	}
	if n != 800 {
		t.Errorf("%d of a stranger at a peer's address passed, want 800", n)
	}
}

// TestGatePhoneDatagrams: anybody can write a phone's address into his
// datagrams, so there it is a stranger's.
func TestGatePhoneDatagrams(t *testing.T) {
	g := ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: 5, SourceBurst: 20, PhonePackets: 50})
	phone := netip.MustParseAddr("192.0.2.9")
	n := 0
	for range 1000 {
		if g.Allow(phone, start, 500, call.Phone) {
			n++
		}
	}
	if n != 20 || g.Count(ratelimit.OverSource) != 980 || !g.AllowStream(phone, start, 500, call.Phone) {
		t.Errorf("%d passed, want 20 (%d over)", n, g.Count(ratelimit.OverSource))
	}
}

// TestGateNetworks: whoever has a whole /48 gets four addresses' worth, not
// 65,536; another network is not touched.
func TestGateNetworks(t *testing.T) {
	g := ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: 10, SourceBurst: 40, StrangerPackets: 1e6})
	passed := 0
	for i := range 20_000 {
		a := netip.MustParseAddr("2001:db8:7::1").As16()
		a[6], a[7] = byte(i>>8), byte(i)
		if g.Allow(netip.AddrFrom16(a), start, 100, call.Stranger) {
			passed++
		}
	}
	if passed != 160 {
		t.Errorf("%d of one /48 passed, want 160", passed)
	}
	if !g.Allow(netip.MustParseAddr("2001:db8:8::1"), start, 100, call.Stranger) {
		t.Error("the neighbour pays")
	}
	// v4-mapped addresses are IPv4: they share no /48, and are the same as
	// their plain form.
	four, mapped := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.1")
	for i := range 40 {
		if !g.Allow([]netip.Addr{four, mapped}[i%2], start, 100, call.Stranger) {
			t.Fatalf("datagram %d was stopped", i)
		}
	}
	if g.Allow(four, start, 100, call.Stranger) || g.Allow(mapped, start, 100, call.Stranger) {
		t.Error("an address has two budgets by two spellings")
	}
}

// TestGateConnects: connections have a rate of their own, for strangers.
func TestGateConnects(t *testing.T) {
	g := ratelimit.NewGate(ratelimit.GateConfig{SourceConnects: 2, ConnectBurst: 30})
	a := netip.MustParseAddr("192.0.2.1")
	passed := 0
	for range 100 {
		if g.Connect(a, start, call.Stranger) {
			passed++
		}
	}
	if passed != 30 || g.Count(ratelimit.OverConnects) != 70 {
		t.Errorf("%d connections passed, %d counted", passed, g.Count(ratelimit.OverConnects))
	}
	if !g.Allow(a, start, 500, call.Stranger) {
		t.Error("connections used up the budget of datagrams")
	}
	for range 1000 {
		if !g.Connect(a, start, call.Phone) || !g.Connect(a, start, call.Carrier) {
			t.Fatal("a known address may not come back")
		}
	}
	if !g.Connect(a, start.Add(time.Second), call.Stranger) {
		t.Error("nothing came back after a second")
	}
}

// TestGateHandshakes: strangers wait for their turn and are refused when it is
// too far off; known addresses have no part in it.
func TestGateHandshakes(t *testing.T) {
	g := ratelimit.NewGate(ratelimit.GateConfig{StrangerHandshakes: 20})
	var waits []time.Duration
	refused := 0
	for range 200 {
		if wait, ok := g.Handshake(start, call.Stranger, time.Second); ok {
			waits = append(waits, wait)
		} else {
			refused++
		}
	}
	if len(waits) != 40 || waits[19] != 0 || waits[20] != 50*time.Millisecond || waits[39] != time.Second || g.Count(ratelimit.OverHandshakes) != uint64(refused) {
		t.Errorf("%d begin, after %v", len(waits), waits)
	}
	for range 1000 {
		if wait, ok := g.Handshake(start, call.Phone, time.Second); wait != 0 || !ok {
			t.Fatal("a known address waits behind strangers")
		}
	}
	if wait, ok := g.Handshake(start.Add(2*time.Second), call.Stranger, time.Second); wait != 0 || !ok {
		t.Error("what was refused is still paid for")
	}
}

// TestGateMillionsOfSources: forged addresses without end cost the memory of
// the start, and make the gate forget nobody whom it knows.
func TestGateMillionsOfSources(t *testing.T) {
	sources := 10_000_000
	if raceEnabled || testing.Short() {
		sources = 200_000
	}
	g := ratelimit.NewGate(ratelimit.GateConfig{PhonePackets: 1, PeerPackets: 1})
	peer, phone := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	spend := func(a netip.Addr, who call.Kind) (n int) {
		for g.AllowStream(a, start, 100, who) {
			n++
		}
		for g.Allow(a, start, 100, who) && who == call.Carrier {
			n++
		}
		return n
	}
	spend(peer, call.Carrier)
	spend(phone, call.Phone)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range uint64(sources) {
		x := i*0x9e3779b97f4a7c15 + 1
		if i%2 == 0 {
			g.Allow(netip.AddrFrom4([4]byte{byte(x >> 56), byte(x >> 48), byte(x >> 40), byte(x >> 32)}), start.Add(time.Duration(i)), 400, call.Stranger)
			continue
		}
		var a [16]byte
		binary.BigEndian.PutUint64(a[:], x)
		a[0] = 0x20
		g.Allow(netip.AddrFrom16(a), start.Add(time.Duration(i)), 400, call.Stranger)
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("grown by %d octets", grown)
	}
	if n := g.Sources(start.Add(time.Duration(sources))); n == 0 || n > 65_536 {
		t.Errorf("%d sources are remembered", n)
	}
	if a, b := spend(peer, call.Carrier), spend(phone, call.Phone); a > 0 || b > 0 {
		t.Errorf("the budgets of the known were forgotten: %d and %d passed", a, b)
	}
}

// TestGateCauses: what is dropped is counted once, by one of the causes that the
// docs list, and there are no others.
func TestGateCauses(t *testing.T) {
	g := ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: 1, SourceBurst: 2, NetworkPackets: 1, StrangerPackets: 1, StrangerBurst: 8,
		PhonePackets: 1, PeerPackets: 1, SourceConnects: 1, ConnectBurst: 1, StrangerHandshakes: 1})
	a := netip.MustParseAddr
	for i := range 8 { // of one /48, each /64 once
		b := a("2001:db8:1::1").As16()
		b[7] = byte(i)
		g.Allow(netip.AddrFrom16(b), start, 100, call.Stranger)
	}
	for range 4 {
		g.Allow(a("192.0.2.1"), start, 100, call.Stranger)
	}
	for i := range 4 {
		g.Allow(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), start, 100, call.Stranger)
	}
	for range 3 {
		g.Connect(a("192.0.2.3"), start, call.Stranger)
	}
	for range 103 {
		g.AllowStream(a("192.0.2.4"), start, 100, call.Phone)
		g.Allow(a("192.0.2.5"), start, 100, call.Carrier)
	}
	for range 12 {
		g.Handshake(start, call.Stranger, 0)
	}
	got := map[string]uint64{}
	for c, n := range g.Causes {
		got[c.String()] += n
	}
	want := map[string]uint64{"source": 2, "network": 4, "strangers": 2, "connects": 2, "phone": 3, "peer": 3, "handshakes": 2}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	source, strangers := g.Dropped()
	if strangers != 2+2 || source != 2+4+2+3+3 {
		t.Errorf("%d over a budget of their own, %d over a shared one", source, strangers)
	}
}

func BenchmarkGateFlood(b *testing.B) {
	g := ratelimit.NewGate(ratelimit.GateConfig{})
	b.ReportAllocs()
	i := uint32(0)
	for b.Loop() {
		i += 2654435761
		g.Allow(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), start.Add(time.Duration(i)), 400, call.Stranger)
	}
}
