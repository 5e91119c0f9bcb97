package sbc

import (
	"sync"
	"time"
)

// maxChallenged bounds the attempts that are remembered because their answer to a
// challenge is expected; beyond it such an answer is judged like any request.
const maxChallenged = 4096

// challenged are attempts and until when their answer is taken.
type challenged struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (h *challenged) hold(key string, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until == nil {
		h.until = map[string]time.Time{}
	}
	if len(h.until) < maxChallenged {
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

func (h *challenged) expire(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, t := range h.until {
		if now.After(t) {
			delete(h.until, k)
		}
	}
}
