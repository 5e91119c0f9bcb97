package main

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
)

// TestPeerBudgets: what a peer's network may send follows from what the peer
// may do, and where networks of several peers meet they have it together.
func TestPeerBudgets(t *testing.T) {
	peer := func(cps float64, nets ...string) config.Peer {
		p := config.Peer{Limits: config.PeerLimits{CPS: cps}}
		for _, n := range nets {
			p.Identify.IP = append(p.Identify.IP, netip.MustParsePrefix(n))
		}
		return p
	}
	c := config.Defaults(config.Office)
	c.Peers = []config.Peer{
		peer(5, "198.51.100.7/32"), // few calls
		peer(500, "203.0.113.9/24", "2001:db8::/48"),
		peer(100, "203.0.113.128/25"), // inside the one before
		peer(0, "192.0.2.1/32"),       // as many as it likes
		{Name: "by name"},
	}
	addr := netip.MustParseAddr
	want := map[netip.Addr]float64{addr("198.51.100.7"): 1000, addr("203.0.113.0"): 12_000, addr("203.0.113.128"): 12_000,
		addr("2001:db8::"): 10_000, addr("192.0.2.1"): 8000}
	if got := peerBudgets(&c, 2); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}

	g, now := newGate(&c), time.Unix(1000, 0)
	passed := func(a string) (n int) {
		for range 100_000 {
			if g.Allow(addr(a), now, 500, call.Carrier) {
				n++
			}
		}
		return n
	}
	if n := passed("198.51.100.7"); n != 2000 {
		t.Errorf("%d datagrams of a peer with 5 calls a second passed at once", n)
	}
	c.Limits.PeerPackets = 300
	g = newGate(&c)
	for _, a := range []string{"198.51.100.7", "203.0.113.0", "192.0.2.1"} {
		if n := passed(a); n != 600 {
			t.Errorf("%s: limits.peer_packets is not kept: %d", a, n)
		}
	}
}
