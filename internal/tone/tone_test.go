package tone

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func TestAnalyseNamesTheTone(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		for _, hz := range []float64{110, 425, 550, 1000, 1234, 3300} {
			for _, amp := range []float64{0.02, 0.3, 0.9} {
				t.Run(fmt.Sprint(rate, hz, amp), func(t *testing.T) {
					r := Analyse(Sine(hz, amp, rate, 7, rate/2), rate)
					if !r.Is(hz) {
						t.Errorf("got %v, want %.0f Hz", r, hz)
					}
					if math.Abs(r.Amp-amp) > amp*0.1 {
						t.Errorf("amplitude %.3f, want %.3f", r.Amp, amp)
					}
					if r.Is(hz + 40) {
						t.Errorf("%v taken for %.0f Hz", r, hz+40)
					}
				})
			}
		}
	}
}

func TestAnalyseIsNotFooled(t *testing.T) {
	noise := make([]int16, 8000)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = int16(rnd.IntN(20000) - 10000)
	}
	idle := make([]int16, 8000)
	for i := range idle {
		idle[i] = ALaw(0xD5) // the A-law code of silence is not zero
	}
	for name, x := range map[string][]int16{"empty": nil, "zeros": make([]int16, 8000), "noise": noise, "idle": idle} {
		r := Analyse(x, 8000)
		for hz := 100.0; hz < 3500; hz += 50 {
			if r.Is(hz) {
				t.Errorf("%s taken for a tone of %.0f Hz: %v", name, hz, r)
			}
		}
		if name != "noise" && !r.Silent() {
			t.Errorf("%s is not silent: %v", name, r)
		}
	}
}

// A tone with holes, as lost packets make them, is still that tone.
func TestAnalyseWithLoss(t *testing.T) {
	x := Sine(600, 0.5, 8000, 0, 8000)
	for i := 0; i+160 <= len(x); i += 160 * 10 {
		clear(x[i : i+160])
	}
	if r := Analyse(x, 8000); !r.Is(600) {
		t.Errorf("a tenth lost: %v", r)
	}
}

// The decoders are written by formula; the tables of G.711 are checked by their
// fixed points, and the encoders by an exhaustive search for the nearest code.
func TestG711(t *testing.T) {
	laws := []struct {
		name  string
		dec   func(byte) int16
		enc   func(int16) byte
		known map[byte]int16
	}{
		{"mu", MuLaw, ToMuLaw, map[byte]int16{0xFF: 0, 0x7F: 0, 0x80: 32124, 0x00: -32124, 0xFE: 8, 0xEF: 132}},
		{"a", ALaw, ToALaw, map[byte]int16{0xD5: 8, 0x55: -8, 0xAA: 32256, 0x2A: -32256}},
	}
	for _, law := range laws {
		t.Run(law.name, func(t *testing.T) {
			for b, want := range law.known {
				if got := law.dec(b); got != want {
					t.Errorf("decode %#x = %d, want %d", b, got, want)
				}
			}
			for c := range 256 {
				v := law.dec(byte(c))
				if got := law.dec(law.enc(v)); got != v {
					t.Errorf("code %#x: %d becomes %d", c, v, got)
				}
			}
			for s := -32768; s <= 32767; s += 37 {
				best := 1 << 20
				for c := range 256 {
					best = min(best, abs(int(law.dec(byte(c)))-s))
				}
				// Where two segments meet, the cell of the coarser one reaches
				// further than half way: half its step, a 32nd of the value.
				if got := abs(int(law.dec(law.enc(int16(s)))) - s); got > max(best, abs(s)/31+8) {
					t.Fatalf("sample %d: error %d, the nearest code has %d", s, got, best)
				}
			}
		})
	}
}

func abs(v int) int {
	if v < 0 {
		return -v
	}
	return v
}

func TestTonesSurviveG711(t *testing.T) {
	for _, pt := range []uint8{0, 8} {
		x := Sine(777, 0.4, 8000, 0, 4000)
		if r := Analyse(DecodeG711(pt, EncodeG711(pt, x)), 8000); !r.Is(777) {
			t.Errorf("payload type %d: %v", pt, r)
		}
	}
	if DecodeG711(9, []byte{1}) != nil || EncodeG711(9, []int16{1}) != nil {
		t.Error("payload type 9 is not G.711")
	}
}

func TestWAV(t *testing.T) {
	a := Audio{8000, Sine(440, 0.5, 8000, 0, 8000)}
	path := filepath.Join(t.TempDir(), "a.wav")
	if err := os.WriteFile(path, a.WAV(), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := ReadFile(path)
	if err != nil || len(b.Samples) != 8000 || !b.Report().Is(440) {
		t.Fatalf("read back %d samples, %v, %v", len(b.Samples), b.Report(), err)
	}
	if got := b.Last(0.25); len(got.Samples) != 2000 {
		t.Errorf("last quarter second has %d samples", len(got.Samples))
	}
	// A writer that has not finished leaves zero or a wrong length.
	w := a.WAV()
	for _, n := range []byte{0, 0xFF} {
		w[40], w[41], w[42], w[43] = n, n, n, n
		if c, err := ParseWAV(w[:5000]); err != nil || len(c.Samples) != (5000-44)/2 {
			t.Errorf("unfinished file: %d samples, %v", len(c.Samples), err)
		}
	}
	if _, err := ParseWAV([]byte("OggS")); err == nil {
		t.Error("an Ogg file passed for WAV")
	}
	if _, err := ReadFile(path + ".none"); err == nil {
		t.Error("a missing file gave no error")
	}
}

func FuzzParseWAV(f *testing.F) {
	f.Add(Audio{8000, Sine(440, 0.5, 8000, 0, 100)}.WAV())
	f.Add([]byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseWAV(b)
		if err == nil && len(a.Samples) > len(b) {
			t.Errorf("%d samples out of %d octets", len(a.Samples), len(b))
		}
	})
}
