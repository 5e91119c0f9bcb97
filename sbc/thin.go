package sbc

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// thin has the kernel drop new calls on public UDP sockets while they are so
// many that to refuse them would take the processors from those that are let in.
func (g *Gateway) thin(now time.Time) {
	l, o := g.deps.Datagrams, &g.overload
	if l == nil || now.Before(o.thinNot) || !g.stack.PublicUDP() {
		return
	}
	s := l.State()
	rate := s.Rate
	if rate <= 0 {
		o.short.Store(0)
	} else {
		rate = max(rate, s.Proven)
		if o.short.Load() == 0 {
			o.short.Store(int32(g.shortUser()))
		}
	}
	share := o.reading.Look(now, o.calls.Load(), g.flood.peers.Load(), rate)
	again := share < 1 && now.Sub(o.seedAt) > seedHolds
	if share == o.read && !again {
		return
	}
	if again || o.read == 1 || o.read == 0 {
		o.seed32, o.seedAt = rand.Uint32(), now
	}
	if err := g.stack.Thin(share, g.shortUser(), o.seed32); err != nil {
		// What the sockets do now is not known: it is set anew in any case.
		o.thinNot, o.read, o.reading = now.Add(thinAgain), 0, ratelimit.NewReading()
		o.unread.thins(g.KernelDrops(call.Public), false)
		g.log.Warn("no socket filter against too many calls: all of them are read to be refused", "error", err)
		return
	}
	o.read = share
	o.unread.thins(g.KernelDrops(call.Public), share < 1)
}

// unread counts what the kernel drops on public UDP sockets without what it drops
// while calls of the known are among that: nobody can tell those from the rest,
// and they are no reason to shut strangers out.
type unread struct {
	mu      sync.Mutex
	thinned bool
	last, n uint64
}

// of is the count when the kernel has dropped so many in all.
func (u *unread) of(all uint64) uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.add(all)
	return u.n
}

// thins says whether the kernel drops calls from now on.
func (u *unread) thins(all uint64, on bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.add(all)
	u.thinned = on
}

func (u *unread) add(all uint64) {
	if all <= u.last { // somebody else looked later
		return
	}
	if !u.thinned {
		u.n += all - u.last
	}
	u.last = all
}

// StrangersDropped counts what the kernel has dropped on public UDP sockets, but
// not while it drops calls of the known there, too.
func (g *Gateway) StrangersDropped() uint64 { return g.overload.unread.of(g.KernelDrops(call.Public)) }

// thinAgain is when it is tried again after it failed.
const thinAgain = time.Minute

// seedHolds is how long the same calls are dropped: longer than a caller repeats
// himself (RFC 3261 timer B), so that who dials again may have more luck.
const seedHolds = 40 * time.Second

// shortest is from how many octets on a user is not taken for an emergency
// number or an extension, where these are no longer.
const shortest = 8

// shortUser is how long a user may be that is always let in.
func (g *Gateway) shortUser() int {
	n := max(shortest, g.plan("").EmergencyLength())
	for i := range g.cfg.Peers {
		n = max(n, g.plan(g.cfg.Peers[i].Name).EmergencyLength())
	}
	return n
}

// countThinned counts what the kernel may drop a part of. Nothing else may have a
// say in how large that part is: of whatever passes in any case no smaller part
// of the rest would make less.
func (g *Gateway) countThinned(q *request, class ratelimit.LoadClass) {
	o := &g.overload
	if short := int(o.short.Load()); short > 0 && class == ratelimit.LoadNew && q.method == "INVITE" && q.flow.Transport == "udp" &&
		q.flow.Side == call.Public && sipx.Thinned(q.uri, q.size, short) {
		o.calls.Add(1)
	}
}
