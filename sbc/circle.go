package sbc

import (
	"slices"

	"github.com/rampart-sbc/rampart/call"
)

// A call that we forward to a carrier, and that the carrier sends back to us as
// a new one with all its hops and a Call-ID of its own, shows no loop by itself
// (RFC 7332 needs everybody to carry Max-Forwards, RFC 7989 everybody to carry
// Session-ID). It shows in what waits: each turn is one more call of the same
// caller to the same number that nobody answers, and after it one more call out
// to one number that nobody answers. Either alone is honest work: colleagues who
// ring at one number, a whole office that rings at its provider's; and so are both
// at once, when each goes its own way. A loop takes turns: one in, one out,
// strictly. [maxPasses] of them in a row, and the next is refused.
//
// Chance has it about once in 2^14 that as many calls of both kinds which have
// nothing to do with each other come in that order. Calls of the loop's own caller
// that are not forwarded only put off that it is seen, until as many turns have
// followed.

// circles holds when the passes came that wait for an answer, in order. The lock
// of calls guards it; it holds no more than there are passes.
type circles struct {
	in  map[lap][]int64    // from a carrier
	out map[string][]int64 // to a number outside, by that
	// full are the numbers that have maxPasses calls out that wait.
	full map[string]struct{}
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
		c.circles.in[t] = with(c.circles.in[t], a.At.UnixNano())
		s.lap = t
	case a.PeerKind == call.PBX && a.Direction == call.Outbound && numberOf(a) != "":
		n := numberOf(a)
		if c.circles.out[n] = with(c.circles.out[n], a.At.UnixNano()); len(c.circles.out[n]) >= maxPasses {
			c.circles.full[n] = struct{}{}
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
	at := s.a.At.UnixNano()
	if s.lap.from != "" {
		if c.circles.in[s.lap] = without(c.circles.in[s.lap], at); len(c.circles.in[s.lap]) == 0 {
			delete(c.circles.in, s.lap)
		}
		return
	}
	n := s.lap.to
	c.circles.out[n] = without(c.circles.out[n], at)
	if len(c.circles.out[n]) < maxPasses {
		delete(c.circles.full, n)
	}
	if len(c.circles.out[n]) == 0 {
		delete(c.circles.out, n)
	}
}

func with(all []int64, at int64) []int64 {
	i, _ := slices.BinarySearch(all, at)
	return slices.Insert(all, i, at)
}

func without(all []int64, at int64) []int64 {
	if i, ok := slices.BinarySearch(all, at); ok {
		return slices.Delete(all, i, i+1)
	}
	return all
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
	in := c.circles.in[t]
	if len(in) < maxPasses {
		return false
	}
	for n := range c.circles.full {
		if takeTurns(in[len(in)-maxPasses:], c.circles.out[n]) {
			return true
		}
	}
	return false
}

// takeTurns: one of out follows each of in before the next, and one only.
func takeTurns(in, out []int64) bool {
	i, _ := slices.BinarySearch(out, in[0])
	if out = out[i:]; len(out) != len(in) {
		return false
	}
	for k, at := range out {
		if at < in[k] || k+1 < len(in) && at >= in[k+1] {
			return false
		}
	}
	return true
}
