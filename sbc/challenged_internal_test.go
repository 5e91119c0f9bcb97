package sbc

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// One address has a share of the table of answered challenges, and a /64 of
// IPv6 is one; the table has its size; what is over makes room again.
func TestChallengedShares(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := challenged{most: 64, share: 2}
	held := func(from string, n int) (got int) {
		for i := range n {
			key := fmt.Sprint(from, " ", i)
			h.hold(key, netip.MustParseAddr(from), at.Add(time.Minute))
			if h.has(key, at) {
				got++
			}
		}
		return got
	}
	if n := held("192.0.2.1", 1000); n != 2 {
		t.Errorf("one address has %d entries, want 2 of 64", n)
	}
	if n := held("2001:db8::1", 2) + held("2001:db8::2", 2); n != 2 {
		t.Errorf("one /64 has %d entries", n)
	}
	if n := held("192.0.2.2", 2); n != 2 {
		t.Error("the neighbour has no room")
	}
	for i := range 200 {
		held(fmt.Sprintf("198.51.100.%d", i), 2)
	}
	if len(h.until) != 64 || len(h.of) != 32 {
		t.Errorf("%d entries of %d addresses", len(h.until), len(h.of))
	}
	if !h.take("192.0.2.1 0", at) || h.has("192.0.2.1 0", at) || h.of[netip.MustParsePrefix("192.0.2.1/32")] != 1 {
		t.Error("what was taken is there")
	}
	h.expire(at.Add(time.Hour))
	if len(h.until) != 0 || len(h.of) != 0 {
		t.Errorf("%d entries of %d addresses are left", len(h.until), len(h.of))
	}
}
