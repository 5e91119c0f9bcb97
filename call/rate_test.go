package call

import "testing"

func TestRateText(t *testing.T) {
	for rate, want := range map[float64]string{5: "5/s", 1: "1/s", 2.5: "2.5/s", 1000: "1000/s", 20. / 60: "20/m", 1. / 60: "1/m", 30. / 3600: "30/h", 1. / 3600: "1/h", 1e-5: "0.036/h"} {
		if got := RateText(rate); got != want {
			t.Errorf("%v: %s, want %s", rate, got, want)
		}
	}
}
