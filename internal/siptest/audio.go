package siptest

import "math"

// G.711 and tones at 8 kHz. A frame is 20 ms: 160 samples, one octet each.
const (
	sampleRate = 8000
	frameSize  = 160
)

// muLaw encodes one 16-bit sample (ITU-T G.711).
func muLaw(s int16) byte {
	x, sign := int(s), byte(0)
	if x < 0 {
		x, sign = -x, 0x80
	}
	x = min(x, 32635) + 132
	exp := 7
	for bit := 0x4000; exp > 0 && x&bit == 0; bit >>= 1 {
		exp--
	}
	return ^(sign | byte(exp)<<4 | byte(x>>(exp+3))&0x0f)
}

func muLawDecode(b byte) int16 {
	b = ^b
	x := (int(b&0x0f)<<3+132)<<(b>>4&7) - 132
	if b&0x80 != 0 {
		return int16(-x)
	}
	return int16(x)
}

// aLaw encodes one 16-bit sample (ITU-T G.711).
func aLaw(s int16) byte {
	x, sign := int(s), byte(0x80)
	if x < 0 {
		x, sign = -x-1, 0
	}
	x >>= 3 // 13 bits
	exp := 0
	for v := x >> 5; v > 0 && exp < 7; v >>= 1 {
		exp++
	}
	var m int
	if exp == 0 {
		m = x >> 1
	} else {
		m = x >> exp
	}
	return (sign | byte(exp)<<4 | byte(m)&0x0f) ^ 0x55
}

func aLawDecode(b byte) int16 {
	b ^= 0x55
	exp := int(b >> 4 & 7)
	x := int(b&0x0f)<<4 + 8
	if exp > 0 {
		x = (x + 256) << (exp - 1)
	}
	if b&0x80 == 0 {
		return int16(-x)
	}
	return int16(x)
}

// tone is a sine wave that goes on from frame to frame.
type tone struct {
	freq  float64
	phase float64
}

// amplitude is about -12 dBm0.
const amplitude = 8000

func (t *tone) frame(payload int) []byte {
	out := make([]byte, frameSize)
	for i := range out {
		var s int16
		if t.freq > 0 {
			s = int16(amplitude * math.Sin(t.phase))
			t.phase = math.Mod(t.phase+2*math.Pi*t.freq/sampleRate, 2*math.Pi)
		}
		if payload == 8 {
			out[i] = aLaw(s)
		} else {
			out[i] = muLaw(s)
		}
	}
	return out
}

func decodeFrame(payload int, b []byte) []int16 {
	out := make([]int16, len(b))
	for i, c := range b {
		if payload == 8 {
			out[i] = aLawDecode(c)
		} else {
			out[i] = muLawDecode(c)
		}
	}
	return out
}

// share is the part of the energy of the samples that is at freq, 0 to 1
// (Goertzel); 0 for silence.
func share(samples []int16, freq float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	k := 2 * math.Cos(2*math.Pi*freq/sampleRate)
	var s1, s2, energy float64
	for _, s := range samples {
		x := float64(s)
		s1, s2 = x+k*s1-s2, s1
		energy += x * x
	}
	n := float64(len(samples))
	if energy/n < 100*100 { // silence and line noise
		return 0
	}
	return (s1*s1 + s2*s2 - k*s1*s2) / (energy * n / 2)
}
