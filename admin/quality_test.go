package admin

import (
	"math"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
)

// TestQualityMetrics: each leg of a finished call is in the buckets of its
// side; what is not known is in none.
func TestQualityMetrics(t *testing.T) {
	q := new(Quality)
	q.Record(call.Record{Passes: []call.Pass{{MediaLegs: []call.Leg{
		{Side: "public", PacketsIn: 10, LossPercent: 1.5, JitterMs: 3, RTTMs: 60, MOS: 4.25},
		{Side: "inside", PacketsIn: 10, LossPercent: 0, JitterMs: 0.5, MOS: 4.4},
		{Side: "inside"}, // nothing came
		{Side: "public", PacketsIn: 1, LossPercent: 100, JitterMs: math.NaN(), RTTMs: math.Inf(1), MOS: 1},
	}}, {}}})
	q.Record(call.Record{}) // refused
	text, names := scrape(t, start(t, Options{Source: Source{Quality: q}}))
	for _, want := range []string{
		`rampart_media_loss_ratio_bucket{side="public",le="0.01"} 0`,
		`rampart_media_loss_ratio_bucket{side="public",le="0.02"} 1`,
		`rampart_media_loss_ratio_bucket{side="public",le="0.2"} 1`,
		`rampart_media_loss_ratio_bucket{side="public",le="+Inf"} 2`,
		`rampart_media_loss_ratio_sum{side="public"} 1.015`,
		`rampart_media_loss_ratio_bucket{side="inside",le="0"} 1`,
		`rampart_media_loss_ratio_count{side="inside"} 1`,
		`rampart_media_jitter_seconds_bucket{side="public",le="0.005"} 1`,
		`rampart_media_jitter_seconds_count{side="public"} 1`,
		`rampart_media_rtt_seconds_sum{side="public"} 0.06`,
		`rampart_media_rtt_seconds_count{side="inside"} 0`,
		`rampart_media_quality_mos_bucket{side="public",le="4.2"} 1`,
		`rampart_media_quality_mos_bucket{side="public",le="4.3"} 2`,
		`rampart_media_quality_mos_bucket{side="inside",le="+Inf"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
	if names["rampart_media_quality_mos"] != "histogram" || strings.Contains(text, "NaN") {
		t.Errorf("%v", names)
	}
	for i, q := range qualities {
		if len(q.bounds) > len(distribution{}.counts) {
			t.Errorf("%d: %d bounds", i, len(q.bounds))
		}
	}
}
