package sbc

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func nth(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 10<<24+uint32(n))
	return netip.AddrFrom4(b)
}

// Addresses of before a restart are known for an hour, those of long ago are
// not, and there is an end to how many.
func TestAddressesOfBefore(t *testing.T) {
	now := time.Now()
	var b bindings
	b.init(100)
	old, late, future, here := nth(1), nth(2), nth(3), nth(4)
	got := b.remember([]SeenSource{{old, now.Add(-25 * time.Hour)}, {late, now.Add(-23 * time.Hour)}, {future, now.Add(time.Hour)}, {here, now}, {}}, now)
	if got != 3 || b.from(old) || !b.from(late) || !b.from(future) || !b.within(netip.PrefixFrom(late, 24).Masked()) || !b.within(netip.PrefixFrom(late, 32)) {
		t.Fatalf("%d: %v %v %v", got, b.from(old), b.from(late), b.from(future))
	}
	var known []netip.Addr
	b.eachSource(func(a netip.Addr) { known = append(known, a) })
	if len(known) != 3 {
		t.Errorf("the kernel hears of %v", known)
	}
	// One that registers is seen again; the others were seen when they were.
	b.put(binding{token: "t", aor: aor{user: "u"}, source: here, expires: now.Add(3 * time.Hour)})
	seen := map[netip.Addr]time.Time{}
	for _, x := range b.seenSources(now.Add(time.Minute)) {
		if !seen[x.Addr].IsZero() {
			t.Errorf("%v is there twice", x.Addr)
		}
		seen[x.Addr] = x.At
	}
	if len(seen) != 3 || !seen[here].Equal(now.Add(time.Minute)) || !seen[late].Equal(now.Add(-23*time.Hour)) || !seen[future].Equal(now) {
		t.Errorf("%v", seen)
	}
	b.expire(now.Add(knownBefore))
	if !b.from(late) {
		t.Error("forgotten too soon")
	}
	changes := b.before.changes
	b.expire(now.Add(knownBefore + time.Second))
	if b.from(late) || !b.from(here) || len(b.before.seen) != 0 || b.before.changes == changes {
		t.Error("after the hour: ", b.from(late), b.from(here), b.before.changes)
	}

	many := make([]SeenSource, maxBefore+10)
	for i := range many {
		many[i] = SeenSource{nth(i), now}
	}
	b.init(10)
	if n := b.remember(many, now); n != 10 {
		t.Errorf("%d are remembered where ten may register", n)
	}
	b.init(2 * maxBefore)
	if n := b.remember(many, now); n != maxBefore {
		t.Errorf("%d are remembered", n)
	}
	b.put(binding{token: "t", aor: aor{user: "u"}, source: netip.MustParseAddr("192.0.2.1"), expires: now})
	if n := len(b.seenSources(now)); n != maxBefore {
		t.Errorf("%d are written", n)
	}
}
