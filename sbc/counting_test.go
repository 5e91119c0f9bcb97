package sbc_test

import (
	"sync"

	"github.com/rampart-sbc/rampart/call"
)

// counting is a guard that has no opinion and counts.
type counting struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counting) Name() string { return "counting" }

func (c *counting) Judge(a *call.Attempt) call.Decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[a.Method]++
	return call.Decision{}
}

func (c *counting) of(method string) int { c.mu.Lock(); defer c.mu.Unlock(); return c.n[method] }
