package replay

import (
	"time"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

const (
	maxBad      = 20 // lines that could not be read, and are named
	maxExamples = 10
)

// Report is what came of a replay.
type Report struct {
	Events, Calls, Answered int
	Lines                   int       `json:"-"`
	Malformed               int       // lines
	Bad                     []BadLine // the first of them
	Back                    int       // events whose time was before that of the one ahead
	First, Last             time.Time
	Took                    time.Duration
	Alerts                  map[call.Action]int // given to the coalescer
	Findings                map[string]int
	Refused, Flagged        int
	NewlyRefused            map[string]int // by rule
	NewlyAllowed            map[string]int // by the rule that refused on record
	Failed                  int            // events that contradict the configuration
	FirstFailure            string
}

func newReport(o *Options) *Report {
	return &Report{Alerts: map[call.Action]int{}, Findings: map[string]int{}, NewlyRefused: map[string]int{}, NewlyAllowed: map[string]int{}}
}

func (r *Report) malformed(b BadLine) {
	r.Malformed++
	if len(r.Bad) < maxBad {
		r.Bad = append(r.Bad, b)
	}
}

func (r *Report) saw(ev *call.Event) {
	r.Events++
	if r.First.IsZero() {
		r.First = ev.At.Time
	}
	r.Last = ev.At.Time
	switch ev.Kind {
	case call.EventInvite:
		r.Calls++
	case call.EventAnswer:
		r.Answered++
	}
}

func (r *Report) finding(c *candidate, f *fraud.Finding) {
	if c.side.Name != "old" && !f.Quiet {
		r.Findings[f.Detector]++
	}
}

func (r *Report) alerted(c *candidate, e *alert.Event) { r.Alerts[e.Event.Action]++ }

// compare gives an event to both sides and notes where they differ.
func compare(rep *Report, sides []*candidate, ev *call.Event) {
	for i, c := range sides {
		g, err := c.take(ev)
		if err != nil {
			if rep.Failed++; rep.FirstFailure == "" {
				rep.FirstFailure = err.Error()
			}
			continue
		}
		if i > 0 || g == nil || ev.Kind != call.EventInvite {
			continue
		}
		was := ev.Verdict == "" || ev.Verdict == call.Allow.String()
		is := g.out.Permits()
		if !is {
			rep.Refused++
		}
		switch {
		case was && !is:
			rep.NewlyRefused[g.out.Rule]++
		case !was && is:
			rep.NewlyAllowed[ev.Rule]++
		}
	}
}
