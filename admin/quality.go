package admin

import (
	"math"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rampart-sbc/rampart/call"
)

// Quality distributes the media of finished calls over buckets, leg by leg.
// Its only label is the side, so nothing from the network can make it grow.
// The zero value is ready.
type Quality struct {
	mu    sync.Mutex
	sides [2][len(qualities)]distribution // public, inside
}

// quality is one figure of a leg. Units are Prometheus's: seconds and ratios.
type quality struct {
	desc   *prometheus.Desc
	bounds []float64
	read   func(call.Leg) (v float64, known bool)
}

var qualities = [...]quality{
	{histogram("rampart_media_loss_ratio", "Packets lost on the way to us, of a leg of a finished call."),
		[]float64{0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2},
		func(l call.Leg) (float64, bool) { return l.LossPercent / 100, l.PacketsIn > 0 }},
	{histogram("rampart_media_jitter_seconds", "Interarrival jitter of a leg of a finished call, at its end."),
		[]float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2},
		func(l call.Leg) (float64, bool) { return l.JitterMs / 1000, l.PacketsIn > 0 }},
	{histogram("rampart_media_rtt_seconds", "Mean round trip between us and a leg of a finished call, by RTCP."),
		[]float64{0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8},
		func(l call.Leg) (float64, bool) { return l.RTTMs / 1000, l.RTTMs > 0 }},
	{histogram("rampart_media_quality_mos", "Estimated listening quality (MOS) of what came from a leg of a finished call."),
		[]float64{1.5, 2, 2.5, 3, 3.5, 3.8, 4, 4.2, 4.3},
		func(l call.Leg) (float64, bool) { return l.MOS, l.MOS > 0 }},
}

func histogram(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"side"}, nil)
}

// distribution is a histogram; counts are per bucket, not cumulative, and what
// is above all bounds is in count only.
type distribution struct {
	counts [10]uint64
	count  uint64
	sum    float64
}

// Record takes the legs of a finished call.
func (q *Quality) Record(r call.Record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range r.Passes {
		for _, l := range p.MediaLegs {
			side := 0
			if l.Side == call.Inside.String() {
				side = 1
			}
			for i := range qualities {
				if v, known := qualities[i].read(l); known && !math.IsNaN(v) && !math.IsInf(v, 0) {
					q.sides[side][i].add(qualities[i].bounds, v)
				}
			}
		}
	}
}

func (d *distribution) add(bounds []float64, v float64) {
	d.count++
	d.sum += v
	for i, b := range bounds {
		if v <= b {
			d.counts[i]++
			return
		}
	}
}

// collect writes what there is; the shape of a histogram is the library's.
func (q *Quality) collect(ch chan<- prometheus.Metric) {
	if q == nil {
		return
	}
	q.mu.Lock()
	sides := q.sides
	q.mu.Unlock()
	for side, all := range sides {
		for i, d := range all {
			buckets, sum := map[float64]uint64{}, uint64(0)
			for j, b := range qualities[i].bounds {
				sum += d.counts[j]
				buckets[b] = sum
			}
			ch <- prometheus.MustNewConstHistogram(qualities[i].desc, d.count, d.sum, buckets, call.Side(side).String())
		}
	}
}
