package ratelimit

import (
	"slices"
	"sync"
)

// gauges count calls in progress. Each call holds a list of slots, so that
// giving back is by call and can be done any number of times.
type gauges struct {
	mu    sync.Mutex
	most  int
	used  map[uint64]int      // calls by key; no entry when none
	calls map[string][]uint64 // the keys a call is counted under
}

// slotOf is a place that a call wants under a limit.
type slotOf struct {
	limit *limit
	key   uint64
}

func (g *gauges) init(most int) {
	g.most, g.used, g.calls = most, map[uint64]int{}, map[string][]uint64{}
}

// fits reports whether one more call has room, or this one is counted already.
// n is how many there are, this one included where it fits.
func (g *gauges) fits(l *limit, key uint64, id string) (n int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n = g.used[key]
	switch {
	case slices.Contains(g.calls[id], key):
		return n, true
	case n < l.Concurrent:
		return n + 1, true
	}
	return n, false
}

// acquire counts a call under all slots, or under none: then it returns the
// limit without room, or full when no more calls can be counted at all.
// A shadow limit counts beyond its room.
func (g *gauges) acquire(id string, want []slotOf) (without *limit, n int, full bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	held, known := g.calls[id]
	for _, w := range want {
		if !w.limit.Shadow && !slices.Contains(held, w.key) && g.used[w.key] >= w.limit.Concurrent {
			return w.limit, g.used[w.key], false
		}
	}
	if !known && len(g.calls) >= g.most {
		return nil, len(g.calls), true
	}
	for _, w := range want {
		if !slices.Contains(held, w.key) {
			held = append(held, w.key)
			g.used[w.key]++
		}
	}
	g.calls[id] = held
	return nil, 0, false
}

// release gives back the slots of a call: those of keys, or all when keys is
// nil.
func (g *gauges) release(id string, keys []uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var left []uint64
	for _, key := range g.calls[id] {
		if keys != nil && !slices.Contains(keys, key) {
			left = append(left, key)
			continue
		}
		if g.used[key]--; g.used[key] <= 0 {
			delete(g.used, key)
		}
	}
	if left == nil {
		delete(g.calls, id)
	} else {
		g.calls[id] = left
	}
}

func (g *gauges) count() (calls, places int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.used {
		places += n
	}
	return len(g.calls), places
}
