package ratelimit_test

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/ratelimit"
)

func TestSiege(t *testing.T) {
	s := ratelimit.NewSiege(1000)
	now, refused, before := start, uint64(0), uint64(0)
	look := func(r, b uint64) (bool, uint32) {
		now, refused, before = now.Add(time.Second), refused+r, before+b
		return s.Look(now, refused, before)
	}
	look(1_000_000, 0) // what was before the first look says nothing
	for _, c := range []struct {
		what   string
		r, b   uint64
		times  int
		up     bool
		oneIn  uint32
		sooner bool // the state may be reached before the last time
	}{
		{"quiet", 10, 0, 5, false, 1, true},
		{"within the budget", 1000, 0, 5, false, 1, true},
		{"junk that the kernel drops", 10, 500_000, 20, false, 1, true},
		{"a burst of two seconds", 50_000, 0, 2, false, 1, true},
		{"quiet again", 0, 0, 1, false, 1, true},
		{"a flood", 50_000, 0, 3, true, 64, false},
		{"the kernel takes most of it", 400, 49_000, 30, true, 64, true},
		{"twice as much", 800, 99_000, 5, true, 64, true},
		{"ten times as much", 800, 500_000, 5, true, 512, true},
		{"a pause of nine seconds", 0, 100, 9, true, 512, true},
		{"it goes on", 500, 500_000, 1, true, 512, true},
		{"a trickle that is no flood, not long enough", 10, 400, 9, true, 512, true},
		{"long enough", 10, 400, 1, false, 1, false},
		{"peace", 10, 0, 20, false, 1, true},
	} {
		for i := range c.times {
			up, oneIn := look(c.r, c.b)
			last := i == c.times-1
			if (last || c.sooner) && (up != c.up || oneIn != c.oneIn) {
				t.Fatalf("%s, look %d: %v, one in %d; want %v, %d", c.what, i, up, oneIn, c.up, c.oneIn)
			}
			if !last && !c.sooner && up == c.up {
				t.Fatalf("%s: %v after %d looks", c.what, up, i+1)
			}
		}
	}
	if up, _ := s.Look(now.Add(-time.Hour), refused+1e9, before); up {
		t.Error("a clock that goes back begins a siege")
	}
}
