package ratelimit_test

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/ratelimit"
)

// TestReading: of so many calls that to refuse them would take too much only a
// part is read, about four times of what is let in; of fewer all of them are,
// and once it is over.
func TestReading(t *testing.T) {
	t.Parallel()
	r, now, seen := ratelimit.NewReading(), start, 0.0
	run := func(d time.Duration, come, rate float64) (share float64) {
		for end := now.Add(d); now.Before(end); now = now.Add(100 * time.Millisecond) {
			seen += come * share01(share) * 0.1
			share = r.Look(now, uint64(seen), 0, rate)
		}
		return share
	}
	for _, c := range []struct {
		come, rate float64
		most       float64
		least      float64
	}{
		{1000, 0, 1, 1},           // nobody is refused
		{1000, 500, 1, 1},         // twice
		{2000, 600, 1, 1},         // not worth it
		{10_000, 500, 0.25, 0.13}, // twenty times
		{1_000_000, 500, 1. / 64, 1. / 64},
		{10_000, 500, 0.25, 0.13},
		{150, 2, 1, 1}, // to read so few costs nothing
		{10_000, 500, 0.25, 0.13},
		{10_000, 0, 1, 1}, // it is over
	} {
		if got := run(20*time.Second, c.come, c.rate); got > c.most || got < c.least {
			t.Errorf("of %v calls a second of which %v are let in the share %v is read, want %v to %v", c.come, c.rate, got, c.least, c.most)
		}
	}
}

func share01(s float64) float64 {
	if s == 0 {
		return 1
	}
	return s
}

// TestReadingClock: a clock that jumps, or nobody who looked for long, opens.
func TestReadingClock(t *testing.T) {
	t.Parallel()
	r, now, seen := ratelimit.NewReading(), start, uint64(0)
	for range 20 {
		now, seen = now.Add(time.Second/2), seen+5000
		r.Look(now, seen, 0, 100)
	}
	if got := r.Look(now.Add(time.Second/2), seen+100, 0, 100); got >= 1 {
		t.Fatalf("all are read: %v", got)
	}
	for _, d := range []time.Duration{-time.Hour, time.Hour} {
		if got := r.Look(now.Add(d), seen+5000, 0, 100); got != 1 {
			t.Errorf("after %s: %v", d, got)
		}
	}
}

// TestReadingGate: a flood in a peer's name that the gate cuts to a budget does
// not make the share ever smaller, as that brings no less through the gate; the
// calls of others would pay for it.
func TestReadingGate(t *testing.T) {
	t.Parallel()
	const come, budget, rate = 100_000, 4000, 700
	r, now, share := ratelimit.NewReading(), start, 1.0
	var seen, cut float64
	for range 600 {
		now = now.Add(100 * time.Millisecond)
		arrives := come * share * 0.1
		passes := min(arrives, budget*0.1)
		seen, cut = seen+passes, cut+arrives-passes
		if share = r.Look(now, uint64(seen), uint64(cut), rate); share < 0.5 {
			t.Fatalf("a share of %v is read, of which the gate takes more than enough", share)
		}
	}
}
