package sipx

import (
	"container/list"
	"net/netip"
	"time"
)

// guest is one accepted connection, from before its handshake to its end.
//
//	reserve ─▶ (shake ─▶ shaken) ─▶ settle: it is known ─▶ left
//
// Strangers' stand in a list in the order in which they came, so that the one
// that has had its time longest makes room.
type guest struct {
	host  netip.Addr
	known bool   // its address is: a peer's, or one that phones registered from
	end   func() // closes it, whatever it is doing; under the lock, so it must not wait
	keep  func() bool
	came  time.Time

	counted bool          // against its host
	at      *list.Element // among guests.strangers
	shaking *list.Element // among guests.handshakes
	leaving bool          // told to end
}

// guests counts accepted connections. The Stack's lock guards it.
type guests struct {
	accepted   int
	leaving    int // of them, those that were told to end
	hosts      map[netip.Addr]*host
	strangers  list.List // of *guest: connections of unknown addresses that are nobody's yet
	handshakes list.List // of *guest: those in a TLS handshake
}

// host is what one address, or IPv6 /64, has: no longer than it has something.
type host struct{ conns, shaking int }

const (
	knownHostShare = 10  // times as many for an address that phones registered from
	maxLeaving     = 256 // connections that were told to end and have not yet
	lookAt         = 64  // guests that are looked at for one that may go

	spareAfter = time.Second
)

// reserve counts a connection against the caps, from before its handshake; false
// means that it is refused. At the cap on all connections a known address
// takes the place of a stranger, never the other way round.
func (s *Stack) reserve(g *guest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	share := s.cfg.MaxConnsPerSource
	if g.known {
		share *= knownHostShare
	}
	h := s.guests.hosts[g.host]
	if s.closing.Load() || h != nil && h.conns >= share {
		return false
	}
	if s.guests.accepted-s.guests.leaving >= s.cfg.MaxConns && !(g.known && s.makeRoom(time.Now())) {
		return false
	}
	if h == nil {
		h = &host{}
		s.guests.hosts[g.host] = h
	}
	s.guests.accepted++
	h.conns++
	g.counted = true
	if !g.known {
		g.at = s.guests.strangers.PushBack(g)
	}
	return true
}

// makeRoom ends the stranger's connection that has been there longest and that
// no call needs, if it came before that time. Called with mu held.
func (s *Stack) makeRoom(before time.Time) bool {
	if s.guests.leaving >= maxLeaving {
		return false
	}
	e := s.guests.strangers.Front()
	for range lookAt {
		if e == nil || e.Value.(*guest).came.After(before) {
			return false
		}
		g := e.Value.(*guest)
		e = e.Next()
		if g.keep == nil || !g.keep() {
			s.evict(g)
			return true
		}
	}
	return false
}

// spare gives a stranger's file descriptor back when there is none for whoever
// comes, who may be somebody known. A stranger has had some time before.
func (s *Stack) spare(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom(now.Add(-spareAfter))
}

// evict tells a guest to end. Called with mu held.
func (s *Stack) evict(g *guest) {
	s.guests.take(g)
	g.leaving = true
	s.guests.leaving++
	s.Stats.Evicted.Add(1)
	g.end()
}

// take takes a guest off the lists.
func (gs *guests) take(g *guest) {
	if g.at != nil {
		gs.strangers.Remove(g.at)
		g.at = nil
	}
	gs.rest(g)
}

// rest: its handshake is over.
func (gs *guests) rest(g *guest) {
	if g.shaking == nil {
		return
	}
	gs.handshakes.Remove(g.shaking)
	g.shaking = nil
	if h := gs.hosts[g.host]; h != nil {
		h.shaking--
	}
}

// shake begins a TLS handshake, or the wait for its turn: a host may be in so
// many. When strangers are in too many altogether, the one that has been at it
// longest ends: an honest handshake takes a round trip or two, a stalled one
// all the time that it is given.
func (s *Stack) shake(g *guest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.guests.hosts[g.host]
	if h == nil || g.leaving {
		return false
	}
	share := s.cfg.MaxHandshakesPerSource
	if g.known {
		share *= knownHostShare
	}
	if h.shaking >= share {
		return false
	}
	if !g.known && s.guests.handshakes.Len() >= s.cfg.MaxHandshakes {
		if s.guests.leaving >= maxLeaving {
			return false
		}
		s.evict(s.guests.handshakes.Front().Value.(*guest))
	}
	h.shaking++
	if g.known {
		g.shaking = &list.Element{} // of no list: the known do not count among strangers
	} else {
		g.shaking = s.guests.handshakes.PushBack(g)
	}
	return true
}

// shaken ends what shake began.
func (s *Stack) shaken(g *guest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guests.rest(g)
}

// settle: it is no stranger's any more, so it counts against no host.
func (s *Stack) settle(g *guest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled(g)
}

func (s *Stack) settled(g *guest) {
	s.guests.take(g)
	if !g.counted {
		return
	}
	g.counted = false
	if h := s.guests.hosts[g.host]; h != nil {
		if h.conns--; h.conns <= 0 {
			delete(s.guests.hosts, g.host)
		}
	}
}

// left takes a connection off all counts.
func (s *Stack) left(g *guest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled(g)
	s.guests.accepted--
	if g.leaving {
		s.guests.leaving--
	}
}

// becomes makes a flow of a guest; false when it was told to end meanwhile.
func (s *Stack) becomes(g *guest, f *Flow) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.end, g.keep = f.Close, f.lasting
	return !g.leaving
}

// turn waits until a handshake may begin; false means not at all.
func (s *Stack) turn(wait time.Duration) bool {
	if wait <= 0 {
		return true
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.life.Done():
		return false
	}
}

// hostOf is what a stranger's connections are counted by: an IPv6 host has a
// whole /64 of addresses.
func hostOf(a netip.Addr) netip.Addr {
	a = a.WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}

// Counted is how much is counted of accepted connections, in all tables: 0
// where there is none.
func (s *Stack) Counted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &s.guests
	return g.accepted + g.leaving + len(g.hosts) + g.strangers.Len() + g.handshakes.Len() + len(s.conns)
}
