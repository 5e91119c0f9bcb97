package ratelimit_test

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/ratelimit"
)

// late is a gateway as ours is: four tenths of the work of a call are done when
// it begins, the rest when it is answered and ends, which no queue tells of
// before. A refusal costs 3 % of a call. What is more than a few times what is let
// in is dropped unread. It returns how much of what could be done was let in, in
// each of four seconds from the fifth on.
func late(times float64, stall func(ms int) bool) (share [4]float64) {
	const capacity, refuse, first, after = 2800.0, 0.03, 0.4, 110
	load, reading := ratelimit.NewLoad(ratelimit.LoadConfig{}), ratelimit.NewReading()
	var later [after + 1]float64
	var due, queue, used float64
	var seen uint64
	read, least := 1.0, time.Hour
	for ms := range 9000 {
		now := start.Add(time.Duration(ms) * time.Millisecond)
		queue += later[ms%len(later)]
		later[ms%len(later)] = 0
		for due += times * capacity * read / 1000; due >= 1; due-- {
			if seen++; !load.Admit(ratelimit.LoadNew, ratelimit.CostCall, uint64(1+seen%97), now) {
				queue += refuse
				continue
			}
			queue += first
			later[(ms+after)%len(later)] += 1 - first
			if ms >= 5000 {
				share[(ms-5000)/1000] += 1 / capacity
			}
		}
		if !stall(ms) {
			used += min(1, queue/(capacity/1000))
			queue = max(0, queue-capacity/1000)
		} else {
			used++
		}
		least = min(least, time.Duration(queue/capacity*float64(time.Second)))
		if ms%100 == 99 {
			load.Tick(now, ratelimit.LoadSignals{Delay: least, CPU: used / 100, Busy: used / 100})
			s := load.State()
			rate := s.Rate
			if rate > 0 {
				rate = max(rate, s.Proven)
			}
			read, used, least = reading.Look(now, seen, 0, rate), 0, time.Hour
		}
	}
	return share
}

// TestLoadLate: where most of the work of a call comes after it was let in, the
// rate still settles: at what can be done, and soon after the machine stood still.
func TestLoadLate(t *testing.T) {
	for name, stall := range map[string]func(ms int) bool{
		"calm":               func(int) bool { return false },
		"100 ms in 700":      func(ms int) bool { return ms%700 < 100 },
		"600 ms when begins": func(ms int) bool { return ms >= 900 && ms < 1500 },
	} {
		for times, want := range map[float64]float64{1.2: .9, 2: .9, 4: .65} {
			if name == "100 ms in 700" {
				want *= 6. / 7 * .9
			}
			for i, got := range late(times, stall) {
				if got < want || got > 1.1 {
					t.Errorf("%s, ×%v: second %d: %.2f of what can be done, want %.2f", name, times, 5+i, got, want)
				}
			}
		}
	}
}
