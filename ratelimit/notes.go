package ratelimit

import (
	"math"

	"github.com/rampart-sbc/rampart/call"
)

// maxCounts of one request are kept for explanations.
const maxCounts = 16

// notes collects what limits compared. A nil *notes takes nothing, so that
// judging without it costs nothing.
type notes struct{ list []call.Count }

// add notes one comparison. A limit that is asked twice, the second time with
// the lock held, counts as it was told last. When there is no room, one that
// was passed gives way to one that was exceeded.
func (n *notes) add(l *limit, value int64, over bool) {
	if n == nil {
		return
	}
	c := call.Count{Limit: l.ID, Value: value, Over: over, Shadow: l.Shadow}
	switch {
	case l.Unanswered:
		c.Unit, c.Most = "unanswered "+l.Of, int64(l.Distinct)
	case l.Failures > 0:
		c.Unit, c.Most = "failures", int64(l.Failures)
	case l.Rate > 0:
		c.Unit, c.Most = "requests", int64(l.Burst)
	case l.Distinct > 0:
		c.Unit, c.Most = "different "+l.Of, int64(l.Distinct)
	default:
		c.Unit, c.Most = "calls", int64(l.Concurrent)
	}
	at := -1
	for i := range n.list {
		switch {
		case n.list[i].Limit == l.ID && n.list[i].Unit == c.Unit:
			n.list[i] = c
			return
		case !n.list[i].Over:
			at = i
		}
	}
	switch {
	case len(n.list) < maxCounts:
		n.list = append(n.list, c)
	case over && at >= 0:
		n.list[at] = c
	}
}

// used is how much of its burst a key has used up, this request included.
func (e *Engine) used(l *limit, key uint64, a *call.Attempt, now int64) int64 {
	if l.shared() {
		k := sharedKey{salt: l.salt}
		if len(l.parts) > 0 {
			k.peer = a.Peer
		}
		if lim := e.shared.limiter(l, k, e.caps.Peers, a.At); lim != nil {
			return int64(math.Ceil(float64(l.Burst) - lim.TokensAt(a.At)))
		}
	}
	return min(e.rates.debt(key, now, l.every), int64(l.Burst))
}

// debt is how many units of a budget are used, rounded up.
func (t *table) debt(key uint64, now, every int64) int64 {
	s, b := t.bucket(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := find(b, key, now); e != nil {
		return (e.until - now + every - 1) / every
	}
	return 0
}
