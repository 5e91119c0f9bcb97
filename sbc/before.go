package sbc

import (
	"net/netip"
	"time"
)

// After a start nobody is registered, and an office whose phones have not come
// back yet would be judged as one stranger: a guesser in it could have all of it
// shut out. So the addresses that good registrations came from are known over a
// restart, until the phones have had time to come back.

const (
	// knownBefore is that time: phones register every hour at least, as a rule.
	knownBefore = time.Hour
	// heldBefore is how long ago the address was seen at most. Later it may be
	// somebody else's.
	heldBefore = 24 * time.Hour
	// maxBefore of them are written. No more are taken back than there may be
	// registrations, so that the kernel has room for both.
	maxBefore = 65_536
)

// before are those addresses. The lock of sources guards it.
type before struct {
	seen    map[netip.Addr]time.Time // when a registration stood last; as it was remembered
	until   time.Time
	changes uint64 // addresses that came or went
}

func (b *before) has(a netip.Addr) bool {
	_, ok := b.seen[a]
	return ok
}

// SeenSource is an address that a good registration came from, and when one
// stood last.
type SeenSource struct {
	Addr netip.Addr `json:"address"`
	At   time.Time  `json:"at"`
}

// Sources are such addresses, at most 65,536, for [Gateway.Remember] after a
// restart.
func (g *Gateway) Sources(now time.Time) []SeenSource { return g.bindings.seenSources(now) }

// SourceChanges counts addresses that came and went, so that a keeper knows when
// to write.
func (g *Gateway) SourceChanges() uint64 {
	g.bindings.sourceMu.RLock()
	defer g.bindings.sourceMu.RUnlock()
	return g.bindings.before.changes
}

// Remember takes back what Sources gave, before Start, and says how many there
// were. What is too old is left out.
func (g *Gateway) Remember(all []SeenSource, now time.Time) int {
	return g.bindings.remember(all, now)
}

func (b *bindings) seenSources(now time.Time) (out []SeenSource) {
	b.sourceMu.RLock()
	defer b.sourceMu.RUnlock()
	for a := range b.sources {
		if len(out) == maxBefore {
			return out
		}
		out = append(out, SeenSource{a, now})
	}
	for a, at := range b.before.seen {
		if len(out) == maxBefore {
			return out
		}
		if b.sources[a] <= 0 {
			out = append(out, SeenSource{a, at})
		}
	}
	return out
}

func (b *bindings) remember(all []SeenSource, now time.Time) int {
	b.sourceMu.Lock()
	defer b.sourceMu.Unlock()
	b.before.seen, b.before.until = map[netip.Addr]time.Time{}, now.Add(knownBefore)
	most := min(maxBefore, b.max)
	for _, x := range all {
		if !x.Addr.IsValid() || now.Sub(x.At) > heldBefore || len(b.before.seen) == most {
			continue
		}
		if x.At.After(now) { // a clock that was wrong
			x.At = now
		}
		b.before.seen[x.Addr] = x.At
	}
	return len(b.before.seen)
}

func (b *bindings) expireBefore(now time.Time) {
	b.sourceMu.Lock()
	defer b.sourceMu.Unlock()
	if len(b.before.seen) > 0 && now.After(b.before.until) {
		b.before.seen = nil
		b.before.changes++
	}
}
