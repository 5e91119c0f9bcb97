package call

import "math"

// MOS estimates the listening quality of a stream, 1 (bad) to 4.4 (as good as
// G.711 gets), from the loss in percent and the interarrival jitter in
// milliseconds. It is the E-model of ITU-T G.107 with the defaults of G.711
// (G.113 Appendix I: Ie 0, Bpl 25.1, loss concealed and not in bursts). Its
// delay is one 20 ms packet, a jitter buffer of twice the jitter, and half the
// round trip where that is known (0: it is not). It is a figure to compare
// calls by; other codecs than G.711 differ.
func MOS(lossPercent, jitterMs, rttMs float64) float64 {
	loss := min(max(lossPercent, 0), 100)
	delay := 20 + 2*max(jitterMs, 0) + max(rttMs, 0)/2
	id := 0.024 * delay
	if delay > 177.3 {
		id += 0.11 * (delay - 177.3)
	}
	r := 93.2 - id - 95*loss/(loss+25.1)
	switch {
	case r <= 0:
		return 1
	case r > 100:
		r = 100
	}
	return math.Round((1+0.035*r+r*(r-60)*(100-r)*7e-6)*100) / 100
}
