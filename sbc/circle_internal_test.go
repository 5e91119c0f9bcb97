package sbc

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTakeTurns(t *testing.T) {
	for _, c := range []struct {
		name    string
		in, out []int64
		want    bool
	}{
		{"a loop", []int64{10, 20, 30}, []int64{11, 21, 31}, true},
		{"at once", []int64{10, 20, 30}, []int64{10, 20, 30}, true},
		{"others out before it", []int64{10, 20, 30}, []int64{1, 2, 11, 21, 31}, true},
		{"the last is not forwarded", []int64{10, 20, 30}, []int64{11, 21}, false},
		{"one is not", []int64{10, 20, 30}, []int64{11, 31, 32}, false},
		{"more go out", []int64{10, 20, 30}, []int64{11, 21, 22, 31}, false},
		{"out first", []int64{10, 20, 30}, []int64{9, 19, 29}, false},
		{"none", []int64{10, 20, 30}, nil, false},
	} {
		if got := takeTurns(c.in, c.out); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestTurnsByChance: calls that have nothing to do with each other are hardly
// ever taken for a loop.
func TestTurnsByChance(t *testing.T) {
	r, found := rand.New(rand.NewPCG(1, 2)), 0
	const tries = 100_000
	for range tries {
		var in, out []int64
		for at := int64(0); len(in) < maxPasses; at++ {
			if r.IntN(2) == 0 {
				in = append(in, at)
			} else {
				out = append(out, at)
			}
		}
		if takeTurns(in, slices.Concat(out, []int64{1000})) {
			found++
		}
	}
	if found > tries/5000 {
		t.Errorf("%d of %d", found, tries)
	}
}

func TestStamps(t *testing.T) {
	var all []int64
	for _, at := range []int64{5, 1, 3, 3} {
		all = with(all, at)
	}
	if all = without(without(all, 3), 4); !slices.Equal(all, []int64{1, 3, 5}) {
		t.Error(all)
	}
}
