package ratelimit

import (
	"math"
	"slices"
	"time"
)

// Kept is what an engine remembers of failed attempts, for a file: a guesser
// must not be let off by a restart. Keys are hashes, so it tells nobody who
// failed; with its seed it is of use to engines of the same limits. It is at
// most as long as the tables are.
type Kept struct {
	Seed     Seed        `json:"seed"`
	Failures []KeptCount `json:"failures"`
	Tries    []KeptSet   `json:"tries"`
}

// KeptCount is how often something failed in a time, or how much of it has not
// been forgotten yet.
type KeptCount struct {
	Key   uint64 `json:"key"`
	Until int64  `json:"until"` // ns
	Count int32  `json:"count,omitempty"`
	Known bool   `json:"known,omitempty"`
}

// KeptSet are different values that failed, or did not answer.
type KeptSet struct {
	Key   uint64      `json:"key"`
	Until int64       `json:"until"`
	Known bool        `json:"known,omitempty"`
	Seen  []KeptValue `json:"seen"`
}

// KeptValue is one, and when it was seen.
type KeptValue struct {
	Value uint64 `json:"value"`
	At    int64  `json:"at"`
}

// keptFor is how far ahead an entry can be worth keeping: limits reach no
// further, and a clock that was wrong is not believed for ever.
const keptFor = int64(30 * 24 * time.Hour)

// Kept copies what is worth keeping.
func (e *Engine) Kept(now time.Time) Kept {
	at := now.UnixNano()
	return Kept{Seed: e.seed, Failures: e.failures.kept(at), Tries: e.tries.kept(at)}
}

// Restore takes back what Kept gave, into an engine with its seed, and says how
// many keys there were. What has passed is left out, and what has no room.
func (e *Engine) Restore(k Kept, now time.Time) (n int) {
	if k.Seed != e.seed {
		return 0
	}
	at := now.UnixNano()
	return e.failures.restore(k.Failures, at) + e.tries.restore(k.Tries, at)
}

// Changes counts failures, and successes that made some forgotten, so that a
// keeper knows when to write.
func (e *Engine) Changes() uint64 { return e.outcomes.Load() }

func (t *table) kept(now int64) (out []KeptCount) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, x := range s.slots {
			if x.key != 0 && x.until > now {
				out = append(out, KeptCount{x.key, x.until, x.count, x.known})
			}
		}
		s.mu.Unlock()
	}
	return out
}

func (t *table) restore(all []KeptCount, now int64) (n int) {
	for _, x := range all {
		if x.Key == 0 || x.Until <= now || x.Until > now+keptFor || x.Count < 0 {
			continue
		}
		s, b := t.bucket(x.Key)
		s.mu.Lock()
		if find(b, x.Key, now) == nil {
			if e := claim(b, x.Key, now, x.Known); e != nil {
				e.until, e.count = x.Until, x.Count
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}

func (s *sets) kept(now int64) (out []KeptSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k.until <= now {
			continue
		}
		x := KeptSet{Key: k.key, Until: k.until, Known: k.known, Seen: make([]KeptValue, len(k.seen))}
		for i, v := range k.seen {
			x.Seen[i] = KeptValue{v.value, v.at}
		}
		out = append(out, x)
	}
	return out
}

func (s *sets) restore(all []KeptSet, now int64) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range all {
		size := len(x.Seen)
		if x.Key == 0 || s.keys[x.Key] != nil || size == 0 || size > maxTries || size > s.most-s.values || x.Until <= now || x.Until > now+keptFor {
			continue
		}
		k := &set{key: x.Key, known: x.Known, until: x.Until, seen: make([]sighting, 0, size)}
		for _, v := range x.Seen {
			k.seen = append(k.seen, sighting{v.Value, min(max(v.At, math.MinInt64/2), x.Until)})
		}
		slices.SortStableFunc(k.seen, func(a, b sighting) int { return int(min(max(a.at-b.at, -1), 1)) })
		s.keys[x.Key] = k
		s.values += size
		s.enter(k)
		n++
	}
	return n
}
