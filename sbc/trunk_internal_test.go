package sbc

import (
	"testing"
	"time"
)

func TestPause(t *testing.T) {
	low, high := func(int64) int64 { return 0 }, func(n int64) int64 { return n - 1 }
	for _, c := range []struct {
		first    time.Duration
		failures int
		refused  bool
		lo, hi   time.Duration
	}{
		{0, 1, false, 15 * time.Second, 30 * time.Second},
		{0, 2, false, 30 * time.Second, time.Minute},
		{0, 100, false, 15 * time.Minute, 30 * time.Minute},
		{0, 1, true, 150 * time.Second, 5 * time.Minute},
		{time.Hour, 1, false, 30 * time.Minute, time.Hour},
	} {
		if lo, hi := pause(c.first, c.failures, c.refused, low), pause(c.first, c.failures, c.refused, high); lo != c.lo || hi != c.hi {
			t.Errorf("%+v: %v to %v", c, lo, hi)
		}
	}
	for granted, want := range map[time.Duration][2]time.Duration{time.Hour: {48*time.Minute - 288*time.Second, 48 * time.Minute}, 6 * time.Second: {3 * time.Second, 4800 * time.Millisecond}} {
		if lo, hi := refreshIn(granted, high), refreshIn(granted, low); lo < want[0] || hi > want[1] || lo > hi || hi >= granted {
			t.Errorf("%v: %v to %v", granted, lo, hi)
		}
	}
}

func TestNoncesAreBounded(t *testing.T) {
	var n nonces
	for i := range 3 * maxNonces {
		if c := n.next(string(rune(i + 1000))); c != 1 {
			t.Fatalf("%d uses", c)
		}
	}
	if len(n.used) > maxNonces || n.next("x") != 1 || n.next("x") != 2 {
		t.Errorf("%d nonces", len(n.used))
	}
}
