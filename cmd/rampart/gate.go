package main

import (
	"net/netip"
	"runtime"
	"slices"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// newGate makes the gate of the configured budgets.
func newGate(c *config.Config) *ratelimit.Gate {
	l, processors := c.Limits, runtime.GOMAXPROCS(0)
	g := ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: float64(l.SourcePackets), StrangerPackets: float64(l.StrangerPackets),
		PeerPackets: l.PeerBudget(0, processors), PhonePackets: float64(l.PhonePackets), SourceConnects: float64(l.SourceConnects),
		StrangerHandshakes: float64(l.StrangerShakes)})
	g.SetPeers(peerBudgets(c, processors))
	return g
}

// peerBudgets are those of the networks that peers list, by the address that
// the gateway gives the gate for them. A network in which several peers are has
// what they have together, as the gate cannot tell whose a datagram is.
func peerBudgets(c *config.Config, processors int) map[netip.Addr]float64 {
	if c.Limits.PeerPackets > 0 {
		return nil // each network has the same
	}
	out := map[netip.Addr]float64{}
	for _, p := range c.Peers {
		for _, n := range p.Identify.IP {
			sum := 0.0
			for _, q := range c.Peers {
				if slices.ContainsFunc(q.Identify.IP, n.Overlaps) {
					sum += c.Limits.PeerBudget(q.Limits.CPS, processors)
				}
			}
			key := n.Masked().Addr()
			out[key] = max(out[key], sum)
		}
	}
	return out
}

// newSiege makes what shuts strangers out while they flood.
func newSiege(l config.Limits) sbc.Siege {
	if !l.SocketFilter {
		return nil
	}
	return ratelimit.NewSiege(float64(l.StrangerPackets))
}

// udpSockets is how many share each UDP address: the kernel spreads senders
// over them, and each has a loop of its own.
func udpSockets(l config.Limits) int {
	if l.UDPSockets > 0 {
		return l.UDPSockets
	}
	return min(runtime.GOMAXPROCS(0), 8)
}

// gateView is what the gate and the sockets before it did, for metrics.
func (g *gateway) gateView() admin.Gate {
	s := g.sbc.Signalling()
	v := admin.Gate{Passed: g.gate.Count(ratelimit.Passed), Junk: s.Junk.Load(), Evicted: s.Evicted.Load(),
		KernelPublic: g.sbc.KernelDrops(call.Public), KernelInside: g.sbc.KernelDrops(call.Inside)}
	for c, n := range g.gate.Causes {
		v.Dropped = append(v.Dropped, admin.CauseCount{Cause: c.String(), Count: n})
	}
	return v
}
