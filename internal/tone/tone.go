// Package tone answers: is there sound in this piece of audio, and which tone
// is it?
//
// It decodes G.711 (ITU-T G.711) and simple WAV files into samples and looks for
// sine tones with the Goertzel algorithm. It deliberately does not resample,
// denoise or judge speech quality: a test (or the demo) sends a known tone on
// one side and wants to know whether that tone, and not silence or another
// tone, arrives on the other.
//
// It owns no state, reads no clock and starts nothing. Broken input gives an
// error or a report of silence, never a panic.
//
// Start reading at Analyse.
package tone

import (
	"fmt"
	"math"
)

// Report says what is in a piece of audio.
type Report struct {
	Seconds float64 // length
	RMS     float64 // root mean square, 0 (silence) to 1 (full scale)
	Hz      float64 // the strongest tone, 0 when there is none
	Amp     float64 // its amplitude, 0 to 1
}

// String gives the report in one line for test failures.
func (r Report) String() string {
	return fmt.Sprintf("%.2f s, rms %.4f, %.0f Hz at %.3f", r.Seconds, r.RMS, r.Hz, r.Amp)
}

// Silent says that nothing audible is there. The threshold is far above the
// idle noise of both G.711 laws (one step is about 0.0002).
func (r Report) Silent() bool { return r.RMS < 0.002 }

// Is says that the strongest tone is hz, within 15 Hz, and that it carries most
// of the energy. A tone cut by a few lost packets still passes.
func (r Report) Is(hz float64) bool {
	return !r.Silent() && math.Abs(r.Hz-hz) <= 15 && r.Amp > r.RMS*0.7
}

const (
	lowest  = 100.0 // Hz; below is hum
	highest = 3500.0
	coarse  = 10.0   // step of the first search
	window  = 0.4    // seconds that are looked at
	floor   = 0.0005 // rms below which no tone is looked for
)

// Analyse reports on mono samples at rate samples per second. The level is that
// of the whole piece; the tone is taken from the 0.4 s in its middle.
func Analyse(x []int16, rate int) Report {
	if rate <= 0 || len(x) == 0 {
		return Report{}
	}
	r := Report{Seconds: float64(len(x)) / float64(rate), RMS: RMS(x)}
	if r.RMS < floor || len(x) < rate/20 {
		return r
	}
	m := min(len(x), int(float64(rate)*window))
	o := (len(x) - m) / 2
	y := hann(x[o : o+m])
	top := math.Min(highest, float64(rate)/2-coarse)
	for f := lowest; f <= top; f += coarse {
		if a := goertzel(y, rate, f); a > r.Amp {
			r.Hz, r.Amp = f, a
		}
	}
	// The window's main lobe is 10 Hz wide at 0.4 s, so the coarse grid cannot
	// miss a tone; a finer one around the best point names it.
	for best, f := r.Hz, r.Hz-coarse; f <= best+coarse; f++ {
		if a := goertzel(y, rate, f); a > r.Amp {
			r.Hz, r.Amp = f, a
		}
	}
	return r
}

// RMS is the root mean square of the samples, 0 to 1.
func RMS(x []int16) float64 {
	if len(x) == 0 {
		return 0
	}
	var s float64
	for _, v := range x {
		f := float64(v) / 32768
		s += f * f
	}
	return math.Sqrt(s / float64(len(x)))
}

// Amplitude is the amplitude (0 to 1) of the tone hz in the samples.
func Amplitude(x []int16, rate int, hz float64) float64 {
	if len(x) == 0 || rate <= 0 {
		return 0
	}
	return goertzel(hann(x), rate, hz)
}

// Sine makes n samples of a tone that starts at sample number at, so that
// consecutive packets join without a click.
func Sine(hz, amp float64, rate, at, n int) []int16 {
	x := make([]int16, n)
	for i := range x {
		x[i] = int16(amp * 32767 * math.Sin(2*math.Pi*hz*float64(at+i)/float64(rate)))
	}
	return x
}

// hann windows the samples and keeps the amplitude of a tone as it was.
func hann(x []int16) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		w := 1 - math.Cos(2*math.Pi*float64(i)/float64(len(x)))
		y[i] = float64(v) / 32768 * w
	}
	return y
}

func goertzel(x []float64, rate int, hz float64) float64 {
	c := 2 * math.Cos(2*math.Pi*hz/float64(rate))
	var a, b float64
	for _, v := range x {
		a, b = v+c*a-b, a
	}
	return 2 * math.Sqrt(math.Max(0, a*a+b*b-c*a*b)) / float64(len(x))
}
