package siptest

import (
	"math"
	"testing"
)

func TestG711(t *testing.T) {
	for _, c := range []struct {
		name   string
		encode func(int16) byte
		decode func(byte) int16
	}{{"mu-law", muLaw, muLawDecode}, {"A-law", aLaw, aLawDecode}} {
		for s := -32768; s <= 32767; s += 7 {
			got := int(c.decode(c.encode(int16(s))))
			// A segment's step is 1/16 of its size.
			if diff := math.Abs(float64(got - s)); diff > math.Abs(float64(s))/16+40 && s > -32600 && s < 32600 {
				t.Fatalf("%s: %d comes back as %d", c.name, s, got)
			}
		}
		for b := range 256 {
			if back := c.encode(c.decode(byte(b))); back != byte(b) && !(c.name == "mu-law" && b == 0x7f) {
				t.Errorf("%s: octet %#x comes back as %#x", c.name, b, back)
			}
		}
	}
}

func TestToneDetection(t *testing.T) {
	for _, payload := range []int{0, 8} {
		for _, freq := range []float64{440, 1000, 1209} {
			gen := tone{freq: freq}
			var samples []int16
			for range 10 {
				samples = append(samples, decodeFrame(payload, gen.frame(payload))...)
			}
			for _, at := range []float64{440, 1000, 1209} {
				if s := share(samples, at); (s > 0.9) != (at == freq) {
					t.Errorf("payload %d: a tone of %v Hz has %.2f at %v Hz", payload, freq, s, at)
				}
			}
		}
		silent := tone{}
		if s := share(decodeFrame(payload, silent.frame(payload)), 1000); s != 0 {
			t.Errorf("silence has %.2f", s)
		}
	}
}
