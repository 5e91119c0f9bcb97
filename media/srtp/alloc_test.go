//go:build !race

package srtp

import (
	"math/rand/v2"
	"testing"
)

// TestNoAllocation: no packet of either kind costs memory, also one that does
// not authenticate.
func TestNoAllocation(t *testing.T) {
	for _, s := range suites {
		c, _ := pair(t, s, rand.NewChaCha8([32]byte{2}), []byte{1, 2, 3})
		buf := make([]byte, 172, 400)
		i := uint64(0)
		if n := testing.AllocsPerRun(200, func() {
			i++
			b, ok := c.OpenRTP(c.SealRTP(buf, 12, 1, i), 12, 1, i)
			if !ok {
				t.Fatal("does not open")
			}
			if b, ok = c.OpenRTCP(c.SealRTCP(b, 1, uint32(i)), 1); !ok {
				t.Fatal("does not open")
			}
			c.OpenRTP(b, 12, 1, i)
			c.OpenRTCP(b, 1)
		}); n != 0 {
			t.Errorf("%s: %.1f allocations", s.name, n)
		}
	}
}
