package fraud

import (
	"fmt"
	"testing"
	"time"
)

// What another threshold is said to have found is what an engine that has it
// finds in the same calls: those of thieves of all sizes, among ordinary ones.
func TestOtherThresholdsFindWhatIsSaid(t *testing.T) {
	days := func(change func(*Config)) *desk {
		d := newDesk(change)
		for day := range 20 {
			for u := range 8 {
				// Gambia is new to all; how much is called grows with the user.
				if day%8 == u {
					for i := range 1 + 3*u {
						d.talks(phone{user: fmt.Sprint(1000 + u)}, fmt.Sprintf("+2207%02d%04d", u, i), time.Second, 4*time.Minute)
						d.pass(time.Minute, time.Minute)
					}
				}
				d.talks(phone{user: fmt.Sprint(1000 + u)}, fmt.Sprintf(paris, u), 9*time.Second, 2*time.Minute)
			}
			for range 20 { // somebody calls at every hour: that a night is quiet is learned only where nothing is told
				d.talks(phone{user: "1000"}, fmt.Sprintf(london, 1), 9*time.Second, time.Minute)
				d.pass(time.Hour-70001*time.Millisecond, time.Hour)
			}
		}
		return d
	}
	for _, key := range []string{peakHour, peakSpent} {
		var said ThresholdBaseline
		only := func(f float64) func(*Config) {
			return func(c *Config) {
				c.Toll.Hour, c.Toll.Day, c.Toll.Account, c.Toll.Spent, c.Toll.AccountSpent = 1e6, 1e6, 1e6, 1e6, 1e6
				if key == peakHour {
					c.Toll.Hour = f * 6
				} else {
					c.Toll.Spent = f * 8
				}
			}
		}
		for _, th := range days(only(1)).Baseline("").Accounts[0].Thresholds {
			if th.Key == key {
				said = th
			}
		}
		want := map[float64]int{said.Value: said.Alarms}
		for _, o := range said.Other {
			want[o.Value] = o.Alarms
		}
		counts := map[int]bool{}
		for _, f := range rungs {
			d := days(only(f))
			told := map[string]bool{}
			for _, x := range found(d.out) {
				if x.Detector == IDToll && x.Subject.Kind == "user" {
					told[x.At.Format(time.DateOnly)+x.Subject.Value] = true
				}
			}
			if n := want[cents(f*said.Value)]; n != len(told) {
				t.Errorf("%s of %v: %d alarms are said, %d are found", key, f*said.Value, n, len(told))
			}
			counts[len(told)] = true
		}
		if len(counts) < 3 {
			t.Errorf("%s: the thresholds are not told apart: %v", key, counts)
		}
	}
}
