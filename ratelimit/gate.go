package ratelimit

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// GateConfig is the budgets of a Gate. What is called packets is units: a
// datagram or connection is one, and one more for every further KiB. Zero
// fields take the defaults.
type GateConfig struct {
	SourcePackets   float64 // a second from one address: 200
	SourceBurst     int     // at once from one address: four seconds' worth
	StrangerPackets float64 // a second from all strangers together: 5000
	StrangerBurst   int     // at once from all strangers together: two seconds' worth
	Sources         int     // addresses that are remembered: 65536
}

// Gate is asked for every datagram and every new connection before it is read.
// It is the only defence that still helps in a flood, so it costs nanoseconds
// and allocates nothing. Known senders always pass.
type Gate struct {
	seed    maphash.Seed
	sources *table
	every   int64
	burst   int64
	total   *rate.Limiter

	passed, overSource, overTotal atomic.Uint64
}

// NewGate makes a gate.
func NewGate(c GateConfig) *Gate {
	if !(c.SourcePackets > 0) {
		c.SourcePackets = 200
	}
	if c.SourceBurst <= 0 {
		c.SourceBurst = max(100, int(4*c.SourcePackets)) // room for the largest datagram
	}
	if !(c.StrangerPackets > 0) {
		c.StrangerPackets = 5000
	}
	if c.StrangerBurst <= 0 {
		c.StrangerBurst = max(100, int(2*c.StrangerPackets))
	}
	if c.Sources <= 0 {
		c.Sources = 65_536
	}
	return &Gate{seed: maphash.MakeSeed(), sources: newTable(c.Sources), every: max(1, int64(float64(time.Second)/c.SourcePackets)),
		burst: int64(c.SourceBurst), total: rate.NewLimiter(rate.Limit(c.StrangerPackets), c.StrangerBurst)}
}

// Allow reports whether to read on. bytes is the size of a datagram, 0 for a
// connection. known says that the sender registered or is a peer: such flows
// pass whatever their rate (their requests are counted later, by name). The
// budget of the one address is asked first, so a single loud stranger does not
// use up what the others share.
func (g *Gate) Allow(addr netip.Addr, now time.Time, bytes int, known bool) bool {
	if known {
		g.passed.Add(1)
		return true
	}
	units := int64(1 + max(0, bytes-1)/1024)
	from := network(addr, sourceIP).As16()
	key := max(maphash.Bytes(g.seed, from[:]), 1)
	if ok, _ := g.sources.take(key, now.UnixNano(), g.every, g.burst, units, false); !ok {
		g.overSource.Add(1)
		return false
	}
	if !g.total.AllowN(now, int(units)) {
		g.overTotal.Add(1)
		return false
	}
	g.passed.Add(1)
	return true
}

// GateStats counts what a Gate did since it was made.
type GateStats struct{ Passed, OverSource, OverTotal uint64 }

// Stats may be asked at any time.
func (g *Gate) Stats() GateStats {
	return GateStats{g.passed.Load(), g.overSource.Load(), g.overTotal.Load()}
}

// Dropped counts what was over the budget of its source, and what was over the
// budget that all strangers share.
func (g *Gate) Dropped() (source, strangers uint64) {
	return g.overSource.Load(), g.overTotal.Load()
}
