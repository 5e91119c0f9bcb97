package media

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// coolDown is how long a released pair rests, so that what a former call's
// peer still sends does not arrive in a new one.
const coolDown = 10 * time.Second

// pool is the port pairs of one local address, each named by its even RTP
// port. Every pair is free, cooling or in use. The plane's mutex guards it.
type pool struct {
	addr    netip.Addr
	total   int
	free    []uint16
	cooling []cooled // oldest first
}

type cooled struct {
	port  uint16
	since time.Time
}

// newPool holds the pairs that lie wholly within min and max.
func newPool(addr netip.Addr, min, max uint16) *pool {
	p := &pool{addr: addr}
	for port := (int(min) + 1) &^ 1; port+1 <= int(max); port += 2 {
		p.free = append(p.free, uint16(port))
	}
	p.total = len(p.free)
	return p
}

// take returns a random free pair: who knows one call's port must not be able
// to guess the next one's. When nothing else is left it is the pair that has
// rested longest.
func (p *pool) take(at time.Time) (uint16, bool) {
	for len(p.cooling) > 0 && at.Sub(p.cooling[0].since) >= coolDown {
		p.free = append(p.free, p.cooling[0].port)
		p.cooling = p.cooling[1:]
	}
	if n := len(p.free); n > 0 {
		i := random(n)
		port := p.free[i]
		p.free[i] = p.free[n-1]
		p.free = p.free[:n-1]
		return port, true
	}
	if len(p.cooling) > 0 {
		port := p.cooling[0].port
		p.cooling = p.cooling[1:]
		return port, true
	}
	return 0, false
}

// claim takes one named pair, resting or not.
func (p *pool) claim(port uint16) bool {
	if i := slices.Index(p.free, port); i >= 0 {
		p.free = slices.Delete(p.free, i, i+1)
		return true
	}
	i := slices.IndexFunc(p.cooling, func(c cooled) bool { return c.port == port })
	if i < 0 {
		return false
	}
	p.cooling = slices.Delete(p.cooling, i, i+1)
	return true
}

func (p *pool) release(port uint16, at time.Time) {
	p.cooling = append(p.cooling, cooled{port, at})
}

func (p *pool) inUse() int { return p.total - len(p.free) - len(p.cooling) }

// random is uniform in [0, n) and cannot be predicted from its past.
func random(n int) int {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n))
}
