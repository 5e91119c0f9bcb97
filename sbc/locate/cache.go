package locate

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Bounds of what the DNS may say about time (RFC 8767 for the last two).
const (
	minTTL      = 5 * time.Second
	maxTTL      = time.Hour
	maxNegative = 5 * time.Minute
	staleTTL    = 30 * time.Second // between tries while the DNS is gone
	maxStale    = 24 * time.Hour
	maxEntries  = 4096
)

// entry is what the DNS said of one name and type.
type entry struct {
	addrs    []netip.Addr
	srv      []srvRecord
	naptr    []naptrRecord
	negative bool
	stale    bool
	expires  time.Time
	learnt   time.Time // stays when it gets stale
}

func (e entry) empty() bool { return len(e.addrs)+len(e.srv)+len(e.naptr) == 0 }

func (e entry) answer() (entry, error) {
	if e.negative {
		return entry{expires: e.expires}, ErrNotFound
	}
	return e, nil
}

// add takes one record; false when there are enough.
func (e *entry) add(rr dns.RR) bool {
	name := func(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }
	ip := func(b net.IP) bool {
		a, ok := netip.AddrFromSlice(b)
		if ok && len(e.addrs) < maxRecords {
			e.addrs = append(e.addrs, a.Unmap())
		}
		return ok
	}
	switch v := rr.(type) {
	case *dns.A:
		return ip(v.A)
	case *dns.AAAA:
		return ip(v.AAAA)
	case *dns.SRV:
		if len(e.srv) >= maxHosts {
			return false
		}
		e.srv = append(e.srv, srvRecord{v.Priority, v.Weight, v.Port, name(v.Target)})
		return true
	case *dns.NAPTR:
		e.naptr = append(e.naptr, naptrRecord{v.Order, v.Preference, v.Flags, v.Service, name(v.Replacement)})
		return true
	}
	return false
}

type cacheKey struct {
	name string
	t    uint16
}

// cache is bounded; the oldest-looking of a few entries makes room.
type cache struct {
	mu      sync.Mutex
	entries map[cacheKey]entry
	asking  map[cacheKey]chan struct{}
}

func (c *cache) init() {
	c.entries = map[cacheKey]entry{}
	c.asking = map[cacheKey]chan struct{}{}
}

// get gives what is still good.
func (c *cache) get(k cacheKey, now time.Time) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	return e, ok && now.Before(e.expires)
}

// last gives what was good once, up to a day ago; never that there was nothing.
func (c *cache) last(k cacheKey, now time.Time) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	return e, ok && !e.negative && now.Sub(e.learnt) < maxStale
}

func (c *cache) put(k cacheKey, e entry, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !e.stale {
		e.learnt = now
	}
	if _, ok := c.entries[k]; !ok && len(c.entries) >= maxEntries {
		c.evict(now)
	}
	c.entries[k] = e
}

// evict drops what expired first among some; a map begins anywhere.
func (c *cache) evict(now time.Time) {
	var worst cacheKey
	var when time.Time
	n := 0
	for k, e := range c.entries {
		if n == 0 || e.expires.Before(when) {
			worst, when = k, e.expires
		}
		if n++; n == 16 {
			break
		}
	}
	delete(c.entries, worst)
}

// turn waits until nobody else asks for the same and returns how to say that
// it is done.
func (c *cache) turn(ctx context.Context, k cacheKey) (done func()) {
	for {
		c.mu.Lock()
		before := c.asking[k]
		if before == nil {
			mine := make(chan struct{})
			c.asking[k] = mine
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				delete(c.asking, k)
				c.mu.Unlock()
				close(mine)
			}
		}
		c.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return func() {} // whose turn it is does not matter any more
		}
	}
}
