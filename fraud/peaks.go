package fraud

import "math"

// A peak is the most that somebody reached on a day of what a threshold is
// compared with. Those of six weeks are kept: they say what another threshold
// would have found.
type peaking struct {
	Who   string
	Value float64
}

type peakKey struct {
	What, Account string
	Day           int32
}

// What thresholds of toll-fraud are compared with, by their keys.
const (
	peakHour     = "risk_hour"
	peakDay      = "risk_day"
	peakTogether = "risk_account"
	peakSpent    = "spent_day"
	peakSpentAll = "spent_account"
)

const (
	keepPeaks = 42 * day
	maxPeaks  = 4096 // of days of accounts
)

// peak notes a value; the sixteen highest of a day and account are kept, each
// of another subject.
func (t *toll) peak(e *Engine, what, account, who string, v float64) {
	if v < .1 {
		return
	}
	p := t.peaks.get(peakKey{what, account, e.localDay()}, e.now)
	least := 0
	for i := range p {
		if p[i].Who == who {
			p[i].Value = max(p[i].Value, v)
			return
		}
		if p[i].Value < p[least].Value {
			least = i
		}
	}
	if v > p[least].Value {
		p[least] = peaking{who, v}
	}
}

// rungs are the thresholds that are tried beside the one in force, as parts of it.
var rungs = [...]float64{.5, .75, 1, 1.5, 2, 4}

// A trial is what a bucket would hold under each of these: with another limit it
// leaks otherwise and is capped elsewhere, so its level says nothing about them.
type trial struct {
	level [len(rungs)]float64
	at    int64
}

// add pours x in, and returns the highest threshold that would have told: exact
// at the rungs, between two of them near it. What is usual for somebody is on top
// of each.
func (t *trial) add(at int64, x, limit, usual float64, window int64) (told float64) {
	since := float64(max(0, at-t.at)) / float64(window)
	t.at = max(t.at, at)
	for i, f := range rungs {
		most := f*limit + usual
		l := max(0, t.level[i]-most*since) + x
		t.level[i] = min(l, most)
		switch {
		case l >= most:
			told = l - usual
			if i+1 < len(rungs) {
				told = min(told, math.Nextafter(rungs[i+1]*limit, 0))
			}
			told = max(told, f*limit)
		case i == 0:
			told = max(0, min(l-usual, math.Nextafter(f*limit, 0)))
		}
	}
	return told
}

// back takes out again what was no risk.
func (t *trial) back(x float64) {
	for i := range t.level {
		t.level[i] = max(0, t.level[i]-x)
	}
}
