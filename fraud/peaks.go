package fraud

import "slices"

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

// sorted are the peaks, the highest first.
func sorted(p []peaking) []peaking {
	out := slices.DeleteFunc(slices.Clone(p), func(x peaking) bool { return x.Who == "" })
	slices.SortFunc(out, func(a, b peaking) int {
		switch {
		case a.Value > b.Value:
			return -1
		case a.Value < b.Value:
			return 1
		}
		return 0
	})
	return out
}
