package fraud

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// What was learned can be read, and the thresholds that are proposed would have
// told what they say.
func TestBaseline(t *testing.T) {
	d := newDesk()
	for day := range 12 {
		for i := range 4 {
			d.talks(phone{user: "1001", country: "GB"}, fmt.Sprintf(freetown, i%2), 9*time.Second, 3*time.Minute)
			d.talks(phone{user: "1002", country: "GB"}, fmt.Sprintf(paris, i), 9*time.Second, time.Minute)
			d.talks(phone{user: "1003", country: "GB"}, fmt.Sprintf(london, i), 9*time.Second, time.Minute)
			d.pass(time.Hour, time.Hour)
		}
		if day == 10 { // the day of the thief
			for i := range 6 {
				d.talks(phone{user: "1002"}, fmt.Sprintf("+2207%06d", i), time.Second, 5*time.Minute)
			}
		}
		d.pass(20*time.Hour, time.Hour)
	}
	b := d.Baseline("")
	if len(b.Accounts) != 1 || b.WarmUp != "" || !b.Accounts[0].WeekKnown {
		t.Fatalf("%+v", b)
	}
	a := b.Accounts[0]
	if a.Users[0].User != "1001" || a.Users[0].UsualUSD < 1 || a.Users[0].Destinations[0].Code != "SL" || a.Users[0].Countries[0] != "GB" {
		t.Errorf("%+v", a.Users)
	}
	if h := a.Week[2]; h[9] < 1 || h[3] != 0 {
		t.Errorf("Wednesday: %v", h)
	}
	for _, th := range a.Thresholds {
		n := 0
		for _, p := range th.Highest {
			if p.Value >= th.Propose {
				n++
			}
		}
		if n != th.Proposed || th.Proposed > 1 || th.Propose < th.Value/2 || th.Propose > 4*th.Value {
			t.Errorf("%+v", th)
		}
		if th.Key == peakHour && (th.Alarms == 0 || th.Highest[0].Who != "1002" || len(th.Other) == 0 || th.Other[0].Alarms < th.Alarms) {
			t.Errorf("%+v", th)
		}
	}
	if text, err := json.Marshal(d.Baseline("another")); err != nil || !strings.Contains(string(text), `"accounts":[]`) {
		t.Errorf("%s %v", text, err)
	}
}

// Few days say nothing, and no proposal leaves what can be answered for.
func TestProposals(t *testing.T) {
	peaks := func(v ...float64) (out []DayPeak) {
		for _, x := range v {
			out = append(out, DayPeak{Value: x})
		}
		return out
	}
	for _, c := range []struct {
		all    []DayPeak
		days   int
		want   float64
		alarms int
	}{
		{peaks(90, 80), 3, 10, 2},
		{peaks(90, 8, 7), 40, 10, 1},
		{peaks(90, 4, 3), 40, 5, 1},
		{peaks(900, 800, 700), 40, 40, 3},
		{nil, 40, 5, 0},
	} {
		if p, n := propose(c.all, 10, c.days); p != c.want || n != c.alarms {
			t.Errorf("%v in %d days: %v with %d alarms", c.all, c.days, p, n)
		}
	}
}
