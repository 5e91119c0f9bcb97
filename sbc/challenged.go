package sbc

import (
	"cmp"
	"net/netip"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// maxChallenged bounds the attempts that are remembered because their answer to a
// challenge is expected; beyond it such an answer is judged like any request.
const maxChallenged = 4096

// challenged are attempts and until when their answer is taken. One address,
// with a whole /64 of IPv6 as one, has a share of the table, so that nobody
// alone keeps the others from being remembered.
type challenged struct {
	most  int // 0: maxChallenged
	share int // of one address; 0: a quarter
	mu    sync.Mutex
	until map[string]answered
	of    map[netip.Prefix]int // entries of each address
}

// answered is the entry of one attempt.
type answered struct {
	until time.Time
	from  netip.Prefix
}

func (h *challenged) hold(key string, from netip.Addr, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until == nil {
		h.until, h.of = map[string]answered{}, map[netip.Prefix]int{}
	}
	if old, again := h.until[key]; again {
		old.until = until
		h.until[key] = old
		return
	}
	most, who := cmp.Or(h.most, maxChallenged), call.SourcePrefix(from, false)
	if len(h.until) >= most || h.of[who] >= cmp.Or(h.share, max(1, most/4)) {
		return
	}
	h.until[key] = answered{until, who}
	h.of[who]++
}

// drop is called with the lock held.
func (h *challenged) drop(key string) {
	e, ok := h.until[key]
	if !ok {
		return
	}
	delete(h.until, key)
	if h.of[e.from]--; h.of[e.from] <= 0 {
		delete(h.of, e.from)
	}
}

// take is has for the one request that comes of it.
func (h *challenged) take(key string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	e, ok := h.until[key]
	h.drop(key)
	return ok && now.Before(e.until)
}

// has reports an attempt whose answer is taken.
func (h *challenged) has(key string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	e, ok := h.until[key]
	return ok && now.Before(e.until)
}

func (h *challenged) any() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.until) > 0
}

func (h *challenged) expire(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, e := range h.until {
		if now.After(e.until) {
			h.drop(k)
		}
	}
}
