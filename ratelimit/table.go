package ratelimit

import (
	"math"
	"math/bits"
	"sync"
)

// A table remembers one number and one time per key, for as many keys as it
// has room for and no more: its memory is taken at the start and never grows,
// whoever sends. Keys are 64-bit hashes with a secret seed, so nobody can aim
// at another's entry.
//
// It is set-associative: a key may stand in the few slots of one bucket. When
// they are full the cheapest entry to forget makes room: first one whose time
// has passed (forgetting it changes nothing), then the stranger's with the
// least debt; those of known senders only give way to other known senders. A
// stranger that finds nothing but known entries gets no slot and is refused.
type table struct {
	shards [shardCount]shard
	mask   uint64 // buckets per shard - 1
}

const (
	shardCount = 16
	ways       = 8
)

type shard struct {
	mu    sync.Mutex
	slots []slot
	_     [64 - 32]byte // shards do not share a cache line
}

// slot is one key's entry. until is when it may be forgotten without loss: the
// theoretical arrival time of a rate (GCRA), the end of a window of failures.
type slot struct {
	key   uint64 // 0: empty
	until int64  // ns
	count int32
	known bool
}

// newTable makes a table for about n keys: rounded up to a power of two, at
// least one bucket in each shard.
func newTable(n int) *table {
	perShard := max(1, (n+shardCount*ways-1)/(shardCount*ways))
	buckets := uint64(1) << bits.Len64(uint64(perShard-1))
	t := &table{mask: buckets - 1}
	for i := range t.shards {
		t.shards[i].slots = make([]slot, buckets*ways)
	}
	return t
}

// cap is how many keys have room.
func (t *table) cap() int { return shardCount * ways * int(t.mask+1) }

func (t *table) bucket(key uint64) (*shard, []slot) {
	s := &t.shards[key%shardCount]
	at := (key / shardCount & t.mask) * ways
	return s, s.slots[at : at+ways]
}

// find returns the live slot of key, or nil. The shard is locked.
func find(b []slot, key uint64, now int64) *slot {
	for i := range b {
		if b[i].key == key && b[i].until > now {
			return &b[i]
		}
	}
	return nil
}

// claim returns a slot for a new key, or nil when there is none to be had.
func claim(b []slot, key uint64, now int64, known bool) *slot {
	var best *slot
	rank := math.MaxInt
	for i := range b {
		s := &b[i]
		r := 3
		switch {
		case s.key == key: // its own, expired
			r = 0
		case s.key == 0 || s.until <= now:
			r = 1
		case !s.known:
			r = 2
		case !known:
			continue
		}
		if r < rank || r == rank && s.until < best.until {
			best, rank = s, r
		}
	}
	if best != nil {
		*best = slot{key: key, known: known}
	}
	return best
}

// take asks for n units from the budget of key: every tokens one unit comes
// back, and at most burst units may be saved up. It is the generic cell rate
// algorithm: one time per key instead of a counter and a time. When the answer
// is no, nothing is taken and wait is the time until it would be yes.
func (t *table) take(key uint64, now, every, burst, n int64, known bool) (ok bool, wait int64) {
	s, b := t.bucket(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := find(b, key, now)
	if e == nil {
		if n > burst {
			return false, every * n
		}
		if e = claim(b, key, now, known); e == nil {
			return false, every
		}
		e.until = now + n*every
		return true, 0
	}
	if e.until-now > burst*every {
		// More debt than a budget can have: the clock went back. Full debt,
		// counted from now.
		e.until = now + burst*every
	}
	if over := e.until + n*every - now - burst*every; over > 0 {
		return false, over
	}
	e.until += n * every
	e.known = e.known || known
	return true, 0
}

// count returns the count of key within its window, 0 when there is none, and
// the time until the window ends.
func (t *table) count(key uint64, now int64) (n int32, left int64) {
	s, b := t.bucket(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := find(b, key, now); e != nil {
		return e.count, e.until - now
	}
	return 0, 0
}

// add counts one more in the window of key; the first one opens it.
func (t *table) add(key uint64, now, window int64, known bool) {
	s, b := t.bucket(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := find(b, key, now)
	if e == nil {
		if e = claim(b, key, now, known); e == nil {
			return
		}
		e.until = now + window
	}
	if e.until-now > window { // the clock went back
		e.until = now + window
	}
	if e.count < math.MaxInt32 {
		e.count++
	}
}

// forget removes key and reports whether it was there.
func (t *table) forget(key uint64, now int64) bool {
	s, b := t.bucket(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := find(b, key, now); e != nil {
		*e = slot{}
		return true
	}
	return false
}

// live counts the keys whose time has not passed: for tests and metrics.
func (t *table) live(now int64) (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for j := range s.slots {
			if s.slots[j].key != 0 && s.slots[j].until > now {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}
