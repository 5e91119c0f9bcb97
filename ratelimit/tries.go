package ratelimit

import (
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Guessing. A failed attempt says little; many of them over many users, or
// challenges that nobody ever answers, say that somebody tries out users or
// passwords. Failures are told after the fact ([Engine.Outcome]), so they are
// kept as sightings with their time, in sets of their own: a request is judged
// by what came of those before it.

// answerTime is what a phone has to answer a challenge, unless its connection is
// quiet (see quietAfter). Phones answer at once; tools that only look which
// users there are never do.
const answerTime = int64(5 * time.Second)

// maxTries of one key are kept; older ones give way.
const maxTries = 1000

// keep is how many failures of a key are remembered for a limit: enough to see
// the values that it wants, however evenly the tries are spread.
func (l *limit) keep() int { return min(max(l.Failures, 1)*l.Distinct, maxTries) }

// note remembers a value as seen at a time that may yet come. Once keeps the
// first time of each value, else every sighting counts.
func (s *sets) note(key, value uint64, at, now, over int64, most int, once, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[key]
	if k == nil {
		k = &set{key: key}
		s.keys[key] = k
	} else {
		s.leave(k)
	}
	defer s.back(k) // in no ring until then, so that nothing forgets it
	k.known = k.known || known
	s.past(k, now, over)
	if once && slices.ContainsFunc(k.seen, func(x sighting) bool { return x.value == value }) {
		return
	}
	switch {
	case len(k.seen) >= most && once: // the first ones are enough
		return
	case len(k.seen) >= most:
		copy(k.seen, k.seen[1:])
		k.seen[len(k.seen)-1] = sighting{value, at}
	case s.values < s.most || s.room(k, now):
		k.seen = append(k.seen, sighting{value, at})
		s.values++
	default:
		return
	}
	k.until = max(k.until, at+over)
}

// back puts a set that was changed into its ring, an empty one nowhere.
func (s *sets) back(k *set) {
	if len(k.seen) == 0 {
		delete(s.keys, k.key)
		return
	}
	s.enter(k)
}

// past takes out what was seen before the window.
func (s *sets) past(k *set, now, over int64) {
	was := len(k.seen)
	k.seen = slices.DeleteFunc(k.seen, func(x sighting) bool { return x.at <= now-over || x.at > now+over+answerTime })
	s.values -= was - len(k.seen)
}

// tally counts what was seen within the window and by now, and how many values
// of it are different, up to most.
func (s *sets) tally(key uint64, now, over int64, most int) (n, different int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[key]
	if k == nil {
		return 0, 0
	}
	for i, x := range k.seen {
		if x.at <= now-over || x.at > now {
			continue
		}
		n++
		if different < most && !slices.ContainsFunc(k.seen[:i], func(y sighting) bool { return y.value == x.value && y.at > now-over && y.at <= now }) {
			different++
		}
	}
	return n, different
}

// take takes a value out.
func (s *sets) take(key, value uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[key]
	if k == nil {
		return
	}
	s.leave(k)
	defer s.back(k)
	was := len(k.seen)
	k.seen = slices.DeleteFunc(k.seen, func(x sighting) bool { return x.value == value })
	s.values -= was - len(k.seen)
}

// drop forgets a key.
func (s *sets) drop(key uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[key]; k != nil {
		s.forget(k)
	}
}

// guessed compares a request with what came of those before it.
func (e *Engine) guessed(l *limit, key uint64, a *call.Attempt, now int64, known bool) (n int64, over bool, wait time.Duration) {
	if l.Unanswered {
		e.heard(l, key, a, now, known)
	}
	return e.peek(l, key, now)
}

// guessedAs is guessed for the user whose password the request shows, where it is
// for another; n is 0 unless that is too much.
func (e *Engine) guessedAs(l *limit, a *call.Attempt, now int64, told *notes) (n int64, wait time.Duration) {
	as := a.Guessed()
	if as == "" || !slices.Contains(l.parts, registerUser) {
		return 0, 0
	}
	key, ok := l.key(e.seed, a, as)
	if !ok {
		return 0, 0
	}
	n, over, wait := e.peek(l, key, now)
	if !over {
		return 0, 0
	}
	told.add(l, n, true)
	return n, wait
}

// peek tells how far such a limit is used for a key: failures, or different
// values where nothing else counts.
func (e *Engine) peek(l *limit, key uint64, now int64) (n int64, over bool, wait time.Duration) {
	switch {
	case l.Unanswered:
		_, d := e.tries.tally(key, now, int64(l.Over), l.Distinct)
		return int64(d), d >= l.Distinct, l.Over
	case l.Distinct > 0:
		f, d := e.tries.tally(key, now, int64(l.Over), l.Distinct)
		return int64(f), f >= l.Failures && d >= l.Distinct, l.Over
	case l.Leak > 0:
		n := e.failures.debt(key, now, l.every)
		return n, n >= int64(l.Failures), time.Duration(l.every)
	}
	f, left := e.failures.count(key, now)
	return int64(f), int(f) >= l.Failures, time.Duration(left)
}

// Outcome tells the final answer to an attempt, for limits on failures: a
// refused credential, or a number or user that does not exist. A challenge
// that answers a request without credentials is none; that nobody answers it is
// another kind. A success forgets the failures of keys that name the user, and
// only of those: an attacker with one good account must not wash his address
// clean. Of other keys it takes back what the same attempt had added: a phone
// whose credentials were for an old nonce is refused once and then taken.
func (e *Engine) Outcome(a *call.Attempt, code int) {
	challenged := (code == 401 || code == 407) && a.AuthUser == ""
	failed := !challenged && (code == 401 || code == 407 || code == 403 || code == 404 || code == 604 || code == 484 && a.Method == "INVITE")
	took := code >= 200 && code <= 299
	if !challenged && !failed && !took {
		return
	}
	if failed {
		e.outcomes.Add(1)
	}
	now, known := a.At.UnixNano(), a.PeerKind != call.Stranger || a.Source.Registered
	before := false
	if took {
		before = e.retries.forget(e.failedBefore(a), now)
	}
	added := false
	for _, l := range e.limits {
		if l.Failures == 0 && !l.Unanswered || !l.Match(a) {
			continue
		}
		added = e.ended(l, a, "", now, end{challenged, failed, before, known}) || added
		if as := a.Guessed(); as != "" && slices.Contains(l.parts, registerUser) {
			e.ended(l, a, as, now, end{challenged, failed, before, known})
		}
	}
	if added {
		e.retries.add(e.failedBefore(a), now, retryTime, known)
	}
}

// end is what came of an attempt.
type end struct{ challenged, failed, before, known bool }

// ended notes it for one limit and the user that the attempt was for, or as.
// added: a failure was counted that is not of a user.
func (e *Engine) ended(l *limit, a *call.Attempt, as string, now int64, x end) (added bool) {
	key, ok := l.key(e.seed, a, as)
	switch {
	case !ok:
	case l.Unanswered || l.Distinct > 0:
		e.tried(l, key, a, now, x.challenged, x.failed, x.known)
	case x.challenged:
	case x.failed && l.Leak > 0:
		e.failures.take(key, now, l.every, int64(l.Failures), 1, x.known)
	case x.failed:
		e.failures.add(key, now, int64(l.Over), x.known)
		return !l.namesUser()
	case l.namesUser():
		if e.failures.forget(key, now) {
			e.outcomes.Add(1)
		}
	case x.before && l.Leak == 0:
		e.failures.less(key, now)
	}
	return false
}

// tried notes what came of an attempt for limits that want different values.
func (e *Engine) tried(l *limit, key uint64, a *call.Attempt, now int64, challenged, failed, known bool) {
	v, ok := l.value(e.seed, a)
	switch {
	case !ok:
	case l.Unanswered && challenged:
		e.tries.note(key, v, now+answerTime, now, int64(l.Over), l.keep(), true, known)
		e.tries.note(e.line(key, a), v, now+patience, now, int64(l.Over), l.lineKeep(), true, known)
	case l.Unanswered || !failed && !challenged:
		e.tries.take(key, v) // it was answered, or the user is himself
		if l.Unanswered {
			e.tries.take(e.line(key, a), v)
		}
	case failed:
		e.tries.note(key, v, now, now, int64(l.Over), l.keep(), false, known)
	}
}

// namesUser: a success of the user says something about the key.
func (l *limit) namesUser() bool {
	return slices.Contains(l.parts, registerUser) || slices.Contains(l.parts, user)
}

// less takes one from the count of a key.
func (t *table) less(key uint64, now int64) {
	s, b := t.bucket(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := find(b, key, now); e != nil && e.count > 0 {
		e.count--
	}
}
