package fraud

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
