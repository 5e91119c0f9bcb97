package ratelimit

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/rampart-sbc/rampart/call"
)

// GateConfig is the budgets of a Gate. What is called packets is units, so
// that a budget of packets is one of octets, too: a datagram or connection is
// one, and one more for every further KiB. Zero fields take the defaults.
type GateConfig struct {
	SourcePackets   float64 // a second from one address: 200
	SourceBurst     int     // at once from one address: four seconds' worth
	NetworkPackets  float64 // a second from one IPv6 /48: four times SourcePackets
	StrangerPackets float64 // a second from all strangers together: 5000
	StrangerBurst   int     // at once from all strangers together: two seconds' worth

	PhonePackets float64 // a second from one address that phones registered from: 5000
	PeerPackets  float64 // a second from the network of one peer: 4000

	SourceConnects     float64 // connections a second from one address: 20
	ConnectBurst       int     // at once from one address: 300, an office after a power cut
	StrangerHandshakes float64 // TLS handshakes a second for all strangers together: 250

	Sources int // unknown addresses that are remembered, of datagrams and of connections each: 65536
}

func (c *GateConfig) defaults() {
	set := func(v *float64, d float64) {
		if !(*v > 0) {
			*v = d
		}
	}
	seti := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&c.SourcePackets, 200)
	seti(&c.SourceBurst, max(100, int(4*c.SourcePackets))) // room for the largest datagram
	set(&c.NetworkPackets, 4*c.SourcePackets)
	set(&c.StrangerPackets, 5000)
	seti(&c.StrangerBurst, max(100, int(2*c.StrangerPackets)))
	set(&c.PhonePackets, 5000)
	set(&c.PeerPackets, 4000)
	set(&c.SourceConnects, 20)
	seti(&c.ConnectBurst, 300)
	set(&c.StrangerHandshakes, 250)
	seti(&c.Sources, 65_536)
}

// Gate is asked for every datagram and every new connection before it is read.
// It is the only defence that still helps in a flood, so it costs nanoseconds
// and allocates nothing.
//
// Nobody pays for another: strangers have a budget each and one together,
// which no known sender uses; each address that phones registered from and
// each peer has one of its own, large enough never to be met in earnest. It is
// there all the same because on UDP anybody can write a peer's address into
// his datagrams: such a flood then stops at the gate, and the other peers do
// not feel it. What is known stands in tables that strangers have no part in,
// so no number of sources makes the gate forget it.
//
// Datagrams and streams have the same budgets, each their own: the address of a
// stream is proven, that of a datagram may be anybody's. However many are
// forged, whoever comes over TCP or TLS finds his budget as it was.
type Gate struct {
	seed maphash.Seed

	datagrams, streams budgets
	peers              atomic.Pointer[map[netip.Addr]allowance] // never changed, only replaced
	connect            budget
	handshakes         *rate.Limiter

	counts [gateCauses]atomic.Uint64
}

// budgets are those of one kind of transport.
type budgets struct {
	source, network, phone, peer budget
	total                        *rate.Limiter
}

func newBudgets(c GateConfig) budgets {
	return budgets{
		source:  newBudget(c.Sources, c.SourcePackets, c.SourceBurst),
		network: newBudget(c.Sources/4, c.NetworkPackets, max(c.SourceBurst, int(4*c.NetworkPackets))),
		peer:    budget{newTable(knownKeys), peerAllowance(c.PeerPackets)},
		total:   rate.NewLimiter(rate.Limit(c.StrangerPackets), c.StrangerBurst),
	}
}

// budget is the same budget for each of many keys.
type budget struct {
	of *table
	allowance
}

// allowance is what one key has: a unit each so many ns, and so many at once.
type allowance struct{ every, burst int64 }

func newBudget(keys int, perSecond float64, burst int) budget {
	return budget{newTable(keys), newAllowance(perSecond, burst)}
}

func newAllowance(perSecond float64, burst int) allowance {
	return allowance{max(1, int64(float64(time.Second)/perSecond)), int64(burst)}
}

func peerAllowance(perSecond float64) allowance {
	return newAllowance(perSecond, max(100, int(2*perSecond)))
}

// knownKeys is how many peers' networks, and how many addresses of registered
// phones, have room. One that finds none passes.
const knownKeys = 32_768

// NewGate makes a gate.
func NewGate(c GateConfig) *Gate {
	c.defaults()
	g := &Gate{seed: maphash.MakeSeed(),
		datagrams:  newBudgets(c),
		streams:    newBudgets(c),
		connect:    newBudget(c.Sources, c.SourceConnects, c.ConnectBurst),
		handshakes: rate.NewLimiter(rate.Limit(c.StrangerHandshakes), max(10, int(c.StrangerHandshakes))),
	}
	g.streams.phone = newBudget(knownKeys, c.PhonePackets, max(100, int(4*c.PhonePackets)))
	g.SetPeers(nil)
	return g
}

// SetPeers says which peers have another budget than PeerPackets, a second, by
// the address that Allow is given for them, in place of what it said before.
func (g *Gate) SetPeers(perSecond map[netip.Addr]float64) {
	peers := make(map[netip.Addr]allowance, len(perSecond))
	for a, n := range perSecond {
		if n > 0 {
			peers[a] = peerAllowance(n)
		}
	}
	g.peers.Store(&peers)
}

// Allow reports whether to read a datagram of that size. who is what is known
// of the address: a Stranger or a Carrier, whose addr is that of its network in
// the configuration. A Phone's address is a stranger's here. The budget of the
// one address is asked before the shared ones, so a single loud stranger does
// not use up what others share.
func (g *Gate) Allow(addr netip.Addr, now time.Time, bytes int, who call.Kind) bool {
	return g.count(g.allow(&g.datagrams, addr, now, units(bytes), who))
}

// AllowStream is Allow for a message of that size that came over a connection,
// and with 0 for the connection itself. A Phone is an address that a
// registration came from.
func (g *Gate) AllowStream(addr netip.Addr, now time.Time, bytes int, who call.Kind) bool {
	return g.count(g.allow(&g.streams, addr, now, units(bytes), who))
}

func units(bytes int) int64 { return int64(1 + max(0, bytes-1)/1024) }

func (g *Gate) allow(b *budgets, addr netip.Addr, now time.Time, units int64, who call.Kind) GateCause {
	at := now.UnixNano()
	switch {
	case who == call.Stranger, who == call.Phone && b.phone.of == nil:
	case who == call.Phone:
		return g.take(&b.phone, addr, at, units, OverPhone)
	default:
		peer := b.peer
		if own, ok := (*g.peers.Load())[addr]; ok {
			peer.allowance = own
		}
		return g.take(&peer, addr, at, units, OverPeer)
	}
	if c := g.take(&b.source, network(addr, sourceIP), at, units, OverSource); c != Passed {
		return c
	}
	if addr = addr.Unmap(); addr.Is6() {
		// Whoever has a /48 has 65,536 networks of a host each.
		if c := g.take(&b.network, network(addr, sourceNet), at, units, OverNetwork); c != Passed {
			return c
		}
	}
	if !b.total.AllowN(now, int(units)) {
		return OverStrangers
	}
	return Passed
}

func (g *Gate) take(b *budget, addr netip.Addr, at, units int64, over GateCause) GateCause {
	from := addr.As16()
	key := max(maphash.Bytes(g.seed, from[:]), 1)
	if ok, _ := b.of.take(key, at, b.every, b.burst, units, false); !ok {
		return over
	}
	return Passed
}

// Connect reports whether a new connection is taken. Its completed handshake
// of TCP proves the address; known ones are not counted here, as phones behind
// one address return all at once.
func (g *Gate) Connect(addr netip.Addr, now time.Time, who call.Kind) bool {
	if who == call.Stranger {
		if c := g.take(&g.connect, network(addr, sourceIP), now.UnixNano(), 1, OverConnects); c != Passed {
			return g.count(c)
		}
	}
	return g.AllowStream(addr, now, 0, who)
}

// Handshake reports how long the TLS handshake of a new connection has to wait
// for its turn, at most patience. Strangers share a budget of handshakes, the
// dearest thing that they can ask for; known addresses have no part in it and
// never wait.
func (g *Gate) Handshake(now time.Time, who call.Kind, patience time.Duration) (wait time.Duration, ok bool) {
	if who != call.Stranger {
		return 0, true
	}
	r := g.handshakes.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > patience {
		r.CancelAt(now)
		return 0, g.count(OverHandshakes)
	}
	return wait, true
}

// GateCause says which budget of a Gate was used up.
type GateCause uint8

const (
	Passed GateCause = iota
	OverSource
	OverNetwork
	OverStrangers
	OverPhone
	OverPeer
	OverConnects
	OverHandshakes
	gateCauses
)

func (c GateCause) String() string {
	return [...]string{"passed", "source", "network", "strangers", "phone", "peer", "connects", "handshakes"}[c]
}

// count counts and reports whether it passed.
func (g *Gate) count(c GateCause) bool {
	g.counts[c].Add(1)
	return c == Passed
}

// Count is how often the gate came to that answer since it was made.
func (g *Gate) Count(c GateCause) uint64 { return g.counts[c].Load() }

// Causes lists every answer but Passed.
func (g *Gate) Causes(yield func(GateCause, uint64) bool) {
	for c := OverSource; c < gateCauses; c++ {
		if !yield(c, g.Count(c)) {
			return
		}
	}
}

// Sources is how many unknown addresses have used something of their budget.
func (g *Gate) Sources(now time.Time) int {
	return g.datagrams.source.of.live(now.UnixNano()) + g.streams.source.of.live(now.UnixNano())
}

// Dropped counts what was over the budget of its source, and what was over a
// budget that all strangers share.
func (g *Gate) Dropped() (source, strangers uint64) {
	for c, n := range g.Causes {
		if c == OverStrangers || c == OverHandshakes {
			strangers += n
		} else {
			source += n
		}
	}
	return source, strangers
}
