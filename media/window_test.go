package media

import (
	"math/rand/v2"
	"testing"
)

// naive is a window that remembers everything.
type naive struct {
	seen map[uint64]bool
	top  uint64
}

func (n *naive) fresh(i uint64) bool {
	return !n.seen[i] && (len(n.seen) == 0 || i > n.top || n.top-i < windowSize)
}

func (n *naive) mark(i uint64) {
	n.seen[i] = true
	n.top = max(n.top, i)
}

func TestWindowAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		w, n := window{}, naive{seen: map[uint64]bool{}}
		at := rng.Uint64N(1 << 20)
		for step := range 2000 {
			i := at
			switch rng.IntN(10) {
			case 0:
				i += rng.Uint64N(3 * windowSize)
			case 1, 2:
				i -= min(i, rng.Uint64N(2*windowSize))
			default:
				i += rng.Uint64N(4)
			}
			if w.fresh(i) != n.fresh(i) {
				t.Fatalf("round %d step %d: fresh(%d) = %t, top %d", round, step, i, w.fresh(i), w.top)
			}
			if w.fresh(i) {
				newest := !w.any || i > w.top
				if w.mark(i) != newest {
					t.Fatalf("mark(%d) is not newest=%t", i, newest)
				}
				n.mark(i)
			}
			at = w.top
		}
	}
}

// TestEstimate compares with the definition: of the candidates the one
// nearest to the newest index (RFC 3711 §3.3.1).
func TestEstimate(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200000 {
		w := window{any: true, top: rng.Uint64N(5 << 16)}
		seq := uint16(rng.Uint32())
		roc, best, dist := int64(w.top>>16), int64(-1), int64(1<<62)
		for r := roc - 1; r <= roc+1; r++ {
			c := r<<16 | int64(seq)
			d := c - int64(w.top)
			if d < 0 {
				d = -d
			}
			if r >= 0 && d < dist {
				best, dist = c, d
			}
		}
		if got := int64(w.estimate(seq)); got != best && dist != 1<<15 && w.top > 1<<15 {
			t.Fatalf("top %x seq %x: %x, want %x", w.top, seq, got, best)
		}
	}
	if (&window{}).estimate(65535) != 65535 {
		t.Error("the first packet has ROC 0")
	}
}
