package main

import (
	"runtime"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// newGate makes the gate of the configured budgets.
func newGate(l config.Limits) *ratelimit.Gate {
	return ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: float64(l.SourcePackets), StrangerPackets: float64(l.StrangerPackets),
		PeerPackets: float64(l.PeerPackets), PhonePackets: float64(l.PhonePackets), SourceConnects: float64(l.SourceConnects),
		StrangerHandshakes: float64(l.StrangerShakes)})
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
