package call

import "testing"

func TestMOS(t *testing.T) {
	for _, c := range []struct{ loss, jitter, low, high float64 }{
		{0, 0, 4.35, 4.45},   // G.107's R of 93.2 is 4.41
		{0, 20, 4.3, 4.42},   //
		{1, 5, 4.2, 4.35},    // hardly heard, with concealment
		{5, 20, 3.4, 3.9},    //
		{20, 40, 1.7, 2.7},   // bad
		{100, 0, 1, 1.6},     //
		{0, 2000, 1, 1.1},    // no conversation
		{-3, -1, 4.35, 4.45}, // nonsense in is no nonsense out
	} {
		if m := MOS(c.loss, c.jitter); m < c.low || m > c.high {
			t.Errorf("MOS(%g %%, %g ms) = %g, want %g to %g", c.loss, c.jitter, m, c.low, c.high)
		}
	}
	for l := 0.0; l < 100; l++ {
		if MOS(l+1, 10) > MOS(l, 10) || MOS(l, 11) > MOS(l, 10) {
			t.Fatalf("more loss or jitter is better at %g %%", l)
		}
	}
}
