package sbc

import (
	"cmp"
	"sync"
	"time"
)

// maxChallenged bounds the attempts that are remembered because their answer to a
// challenge is expected; beyond it such an answer is judged like any request.
const maxChallenged = 4096

// challenged are attempts and until when their answer is taken.
type challenged struct {
	most  int // 0: maxChallenged
	mu    sync.Mutex
	until map[string]time.Time
}

func (h *challenged) hold(key string, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until == nil {
		h.until = map[string]time.Time{}
	}
	if _, again := h.until[key]; again || len(h.until) < cmp.Or(h.most, maxChallenged) {
		h.until[key] = until
	}
}

func (h *challenged) take(key string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.until[key]
	delete(h.until, key)
	return ok && now.Before(t)
}

// has is take that leaves it there.
func (h *challenged) has(key string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.until[key]
	return ok && now.Before(t)
}

func (h *challenged) any() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.until) > 0
}

func (h *challenged) expire(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, t := range h.until {
		if now.After(t) {
			delete(h.until, k)
		}
	}
}
