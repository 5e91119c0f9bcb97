package ratelimit

import (
	"slices"

	"github.com/rampart-sbc/rampart/call"
)

// Counter tells how far a limit is used for the key of a request, without the
// request itself: calls in progress, failures or different values within the
// time (of failures over different values those values, as far as the limit
// wants), or how much of the burst is used up. It counts nothing. A request that
// the limit has no key for has 0. ok is false when there is no such limit.
func (e *Engine) Counter(id string, a *call.Attempt) (n int64, ok bool) {
	for _, l := range e.limits {
		if l.ID != id || !l.about(a) {
			continue
		}
		key, has := l.key(e.seed, a, "")
		if !has {
			return 0, true
		}
		now := a.At.UnixNano()
		switch {
		case l.Failures > 0 || l.Unanswered:
			if l.Distinct > 0 {
				_, different := e.tries.tally(key, now, int64(l.Over), l.Distinct)
				return int64(different), true
			}
			n, _, _ := e.peek(l, key, now)
			return n, true
		case l.Rate > 0:
			return e.used(l, key, a, now), true
		case l.Distinct > 0:
			return int64(e.values.size(key, now, int64(l.Over))), true
		}
		return int64(e.calls.others(key, a.ID)), true
	}
	return 0, false
}

// about reports a limit that may be asked for the key of a request, whether or
// not it counts such requests. Those of peers in the configuration have one id,
// and each counts its own peer.
func (l *limit) about(a *call.Attempt) bool { return l.Peer == "" || l.Peer == a.Peer }

// size is how many values of a key are within the window.
func (s *sets) size(key uint64, now, over int64) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[key]; k != nil {
		for _, x := range k.seen {
			if x.at > now-over {
				n++
			}
		}
	}
	return n
}

// others is how many calls but this one are counted under a key.
func (g *gauges) others(key uint64, id string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.used[key]
	if slices.Contains(g.calls[id], key) {
		n--
	}
	return n
}
