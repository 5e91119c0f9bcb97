package ratelimit

import (
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Quiet connections. One user that does not answer its challenge may yet do so,
// and an office of two hundred phones looks like a scanner until the phones
// have answered. But each of them has a connection of its own. Who asks for one
// user after the other on the same connection, and has let many challenges on
// it go by, will not answer the others either: what it asked for counts at
// once, and so a scanner is found out by what it sends, not by the clock.

const (
	// quietAfter is how many challenges make a connection quiet: more than a
	// telephone has lines.
	quietAfter = 10
	// patience is how long they have been out by then. A PBX that registers
	// many users in one go sends all of them before it can have an answer.
	patience = int64(50 * time.Millisecond)
)

// line is the key of the connection of a request, beside one of a limit.
func (e *Engine) line(key uint64, a *call.Attempt) uint64 {
	h := newHasher(e.seed)
	h.word(key)
	h.word(uint64(a.Source.Addr.Port()))
	h.octets(a.Source.Addr.Addr().As16())
	return h.sum()
}

// heard takes out a user that answers; of one that only asks it sees whether its
// connection is quiet.
func (e *Engine) heard(l *limit, key uint64, a *call.Attempt, now int64, known bool) {
	v, ok := l.value(e.seed, a)
	if !ok {
		return
	}
	line := e.line(key, a)
	if a.AuthUser != "" || a.Source.Answered {
		e.tries.take(key, v)
		e.tries.take(line, v)
		return
	}
	if _, n := e.tries.tally(line, now, int64(l.Over), quietAfter); n < quietAfter {
		return
	}
	e.tries.ripen(key, line, now)
	e.tries.note(key, v, now, now, int64(l.Over), l.keep(), true, known)
}

// lineKeep is how many users of one connection are remembered.
func (l *limit) lineKeep() int { return min(max(l.Distinct, quietAfter), maxTries) }

// ripen counts the values of a key that another has too from now on, where they
// would be counted later.
func (s *sets) ripen(key, other uint64, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, o := s.keys[key], s.keys[other]
	if k == nil || o == nil {
		return
	}
	for i := range k.seen {
		x := &k.seen[i]
		if x.at > now && slices.ContainsFunc(o.seen, func(y sighting) bool { return y.value == x.value }) {
			x.at = now
		}
	}
}
