package ratelimit

import (
	"math/bits"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Counting different values: how many numbers a user called, how many users an
// address registered, within a time. The window slides: a value counts from
// when it was last let through, so the count is exact at every moment. What is
// refused is not remembered.

// maxDistinct is how many values one key can have: each request looks through
// those of its key.
const maxDistinct = 10_000

// rangeDigits are left off a number for the range that it is in.
const rangeDigits = 4

// distinctNames are what of a request can be counted by being different.
var distinctNames = []string{"to", "to.prefix", "to.country", "from", "from.prefix", "from.country", "user", "register.user", "source.ip"}

// value hashes what of a request has to be different. ok is false when the
// request has no such value: then it is not counted.
func (l *limit) value(seed Seed, a *call.Attempt) (value uint64, ok bool) {
	h := newHasher(seed)
	switch l.Of {
	case "to":
		ok = writeParty(&h, &a.To)
	case "to.prefix":
		ok = writeSome(&h, rangeOf(a.To.E164()))
	case "to.country":
		ok = writeSome(&h, a.To.Country)
	case "from":
		ok = writeParty(&h, &a.From)
	case "from.prefix":
		ok = writeSome(&h, rangeOf(a.From.E164()))
	case "from.country":
		ok = writeSome(&h, a.From.Country)
	case "user":
		ok = writeSome(&h, a.User)
	case "register.user":
		ok = writeSome(&h, a.RegisterUser)
		if a.RegisterDomain != "" {
			h.text(a.RegisterDomain)
		}
	case "source.ip":
		h.octets(network(a.Source.Addr.Addr(), sourceIP).As16())
		ok = true
	}
	return h.sum(), ok
}

func writeSome(h *hasher, s string) bool {
	h.text(s)
	return s != ""
}

// writeParty writes whom a request names: the canonical number, however it was
// spelt; without one the user and the domain.
func writeParty(h *hasher, p *call.Party) bool {
	if n := p.E164(); n != "" {
		h.text(n)
		return true
	}
	name := p.Number
	if name == "" {
		name = p.User
	}
	h.text(name)
	h.text(strings.ToLower(p.Host))
	return name != ""
}

// rangeOf is a public number without its last digits.
func rangeOf(number string) string {
	if len(number) > 2*rangeDigits {
		return number[:len(number)-rangeDigits]
	}
	return number
}

// sets are the values of each key, at most so many of all keys together. When
// there is no room, that is forgotten which says least: what is out of its
// window, then the stranger with the fewest values (of those the one who was
// silent longest), for a known sender then the known one. So whoever has many
// addresses to come from forgets those that did little, never the one that he
// counts on being forgotten. A stranger is never remembered in place of
// somebody known, and is refused instead.
type sets struct {
	mu     sync.Mutex
	most   int
	values int
	keys   map[uint64]*set
	// Rings of the sets of strangers and of the known, by the length of the
	// number of their values: next is the oldest.
	rings [2][sizes]set
}

// sizes is how many lengths in bits there are of 0 to maxDistinct.
const sizes = 15

// set is the values of one key, and its place in a ring.
type set struct {
	key        uint64
	known      bool
	until      int64 // the last value is out of its window
	seen       []sighting
	prev, next *set
}

// sighting is a value and when it was let through last.
type sighting struct {
	value uint64
	at    int64
}

func (s *sets) init(most int) {
	s.most, s.keys = most, map[uint64]*set{}
	for c := range s.rings {
		for i := range s.rings[c] {
			r := &s.rings[c][i]
			r.prev, r.next = r, r
		}
	}
}

// add notes a value of a key, unless it would be the one too many: then ok is
// false, and wait is the time until it would not be.
func (s *sets) add(key, value uint64, now, over int64, most int, known bool) (n int, ok bool, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[key]
	if k == nil {
		k = &set{key: key, known: known}
		s.keys[key] = k
	} else {
		k.known = k.known || known
		s.leave(k)
	}
	defer func() { // in no ring until then, so that nothing forgets it
		if len(k.seen) == 0 {
			delete(s.keys, key)
			return
		}
		s.enter(k)
	}()
	s.expire(k, now, over)
	first := now
	for i := range k.seen {
		if k.seen[i].value == value {
			k.seen[i].at, k.until = now, now+over
			return len(k.seen), true, 0
		}
		first = min(first, k.seen[i].at)
	}
	if len(k.seen) >= most {
		return len(k.seen), false, time.Duration(first + over - now)
	}
	if s.values >= s.most && !s.room(k, now) {
		return len(k.seen), false, time.Duration(over)
	}
	k.seen, k.until = append(k.seen, sighting{value, now}), now+over
	s.values++
	return len(k.seen), true, 0
}

// expire takes out what was seen last before the window.
func (s *sets) expire(k *set, now, over int64) {
	left := k.seen[:0]
	for _, x := range k.seen {
		if x.at > now { // the clock went back
			x.at = now
		}
		if x.at > now-over {
			left = append(left, x)
		}
	}
	s.values -= len(k.seen) - len(left)
	k.seen = left
}

// room forgets somebody for the sake of k.
func (s *sets) room(k *set, now int64) bool {
	for c := range s.rings {
		var least *set
		for i := range s.rings[c] {
			x := s.rings[c][i].next
			if x == &s.rings[c][i] {
				continue
			}
			if x.until <= now {
				s.forget(x)
				return true
			}
			if least == nil {
				least = x
			}
		}
		if least != nil && (c == 0 || k.known) {
			s.forget(least)
			return true
		}
	}
	return false
}

func (s *sets) forget(k *set) {
	s.leave(k)
	s.values -= len(k.seen)
	delete(s.keys, k.key)
}

func (s *sets) leave(k *set) { k.prev.next, k.next.prev = k.next, k.prev }

// enter puts a set at the young end of its ring.
func (s *sets) enter(k *set) {
	c := 0
	if k.known {
		c = 1
	}
	ring := &s.rings[c][bits.Len(uint(len(k.seen)))]
	k.prev, k.next = ring.prev, ring
	ring.prev.next, ring.prev = k, k
}

// count is how many values are remembered: for tests and metrics. Some may be
// out of their window: they go when their key is asked for, or for want of room.
func (s *sets) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values
}
