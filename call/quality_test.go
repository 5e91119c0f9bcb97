package call

import "testing"

func TestMOS(t *testing.T) {
	for _, c := range []struct{ loss, jitter, rtt, low, high float64 }{
		{0, 0, 0, 4.35, 4.45},    // G.107's R of 93.2 is 4.41
		{0, 20, 0, 4.3, 4.42},    //
		{1, 5, 0, 4.2, 4.35},     // hardly heard, with concealment
		{5, 20, 0, 3.4, 3.9},     //
		{20, 40, 0, 1.7, 2.7},    // bad
		{100, 0, 0, 1, 1.6},      //
		{0, 2000, 0, 1, 1.1},     // no conversation
		{0, 0, 200, 4.25, 4.35},  // half of it counts
		{0, 0, 800, 2.8, 3.1},    // two talk at a time
		{-3, -1, -7, 4.35, 4.45}, // nonsense in is no nonsense out
	} {
		if m := MOS(c.loss, c.jitter, c.rtt); m < c.low || m > c.high {
			t.Errorf("MOS(%g %%, %g ms, %g ms) = %g, want %g to %g", c.loss, c.jitter, c.rtt, m, c.low, c.high)
		}
	}
	for l := 0.0; l < 100; l++ {
		if MOS(l+1, 10, 0) > MOS(l, 10, 0) || MOS(l, 11, 0) > MOS(l, 10, 0) || MOS(l, 10, 4*l+4) > MOS(l, 10, 4*l) {
			t.Fatalf("more loss, jitter or delay is better at %g %%", l)
		}
	}
}
