package sbc

import (
	"github.com/rampart-sbc/rampart/call"
)

// A call that we forward to a carrier, and that the carrier sends back to us as
// a new one with all its hops and a Call-ID of its own, shows no loop by itself
// (RFC 7332 needs everybody to carry Max-Forwards, RFC 7989 everybody to carry
// Session-ID). It shows in what waits: each turn is one more call of the same
// caller to the same number that nobody answers, and one more call out to one
// number that nobody answers. Either alone is honest work: colleagues who ring at
// one number, a whole office that rings at its provider's. [maxPasses] of both at
// once are a loop, and the next turn is refused.

// circles counts the passes that wait for an answer. The lock of calls guards
// it; it holds no more entries than there are passes.
type circles struct {
	in  map[lap]int    // from a carrier
	out map[string]int // to a number outside, by that
	// full is how many numbers have maxPasses calls out that wait.
	full int
}

type lap struct{ peer, from, to string }

func lapOf(a *call.Attempt) (t lap, ok bool) {
	t = lap{peer: a.Peer, from: a.From.Number, to: numberOf(a)}
	// Of callers without a number any of them may be another.
	return t, t.from != "" && t.to != "" && !a.Emergency()
}

// waits counts a pass until it is answered or ends.
func (c *calls) waits(s *session) {
	a := s.a
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.waiting || a.Emergency() {
		return
	}
	switch {
	case a.PeerKind == call.Carrier:
		t, ok := lapOf(a)
		if !ok {
			return
		}
		c.circles.in[t]++
		s.lap = t
	case a.PeerKind == call.PBX && a.Direction == call.Outbound && numberOf(a) != "":
		n := numberOf(a)
		if c.circles.out[n]++; c.circles.out[n] == maxPasses {
			c.circles.full++
		}
		s.lap = lap{to: n}
	default:
		return
	}
	s.waiting = true
}

// served is the end of waits.
func (c *calls) served(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rests(s)
}

// rests is served with the lock held.
func (c *calls) rests(s *session) {
	if !s.waiting {
		return
	}
	s.waiting = false
	if s.lap.from != "" {
		if c.circles.in[s.lap]--; c.circles.in[s.lap] == 0 {
			delete(c.circles.in, s.lap)
		}
		return
	}
	n := s.lap.to
	if c.circles.out[n]--; c.circles.out[n] == maxPasses-1 {
		c.circles.full--
	}
	if c.circles.out[n] == 0 {
		delete(c.circles.out, n)
	}
}

// circling: one more call of this caller to this number would be a turn of a
// loop through a carrier.
func (c *calls) circling(a *call.Attempt) bool {
	if a.PeerKind != call.Carrier {
		return false
	}
	t, ok := lapOf(a)
	if !ok {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.circles.full > 0 && c.circles.in[t] >= maxPasses
}
