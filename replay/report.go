package replay

import (
	"time"

	"github.com/rampart-sbc/rampart/call"
)

const (
	maxBad      = 20 // lines that could not be read, and are named
	maxExamples = 5  // of a rule
	maxRules    = 10_000
)

// Report is what came of a replay. Money is in the currency of the rates.
type Report struct {
	New string `json:"new"` // revision of the policy
	Old string `json:"old"` // of the one it is compared with, or "recorded"

	Events    int           `json:"events"`
	Calls     int           `json:"calls"`
	Answered  int           `json:"answered"`
	Registers int           `json:"registers"`
	First     time.Time     `json:"first,omitzero"`
	Last      time.Time     `json:"last,omitzero"`
	Took      time.Duration `json:"took"`

	Malformed    int       `json:"malformed"`              // lines, left out
	Bad          []BadLine `json:"malformed_lines"`        // the first of them
	Back         int       `json:"out_of_order"`           // events whose time was before that of the one ahead
	CDRs         int       `json:"cdrs,omitempty"`         // that the events were made of
	Folded       int       `json:"folded,omitempty"`       // further attempts that CDRs stand for, and that were not replayed
	Failed       int       `json:"not_judged,omitempty"`   // requests that contradict the configuration
	FirstFailure string    `json:"first_failure,omitzero"` //

	NewlyRefused Tallies `json:"newly_refused"`
	NewlyAllowed Tallies `json:"newly_allowed"`
	NewlyFlagged Tallies `json:"newly_flagged"`
	WouldRefuse  Tallies `json:"would_refuse"` // in shadow
	Refused      int     `json:"refused"`      // by New
	RefusedOld   int     `json:"refused_old"`

	Found    map[string]*Found   `json:"found"` // by detector, or limit on guessing
	FoundOld map[string]*Found   `json:"found_old,omitempty"`
	Alerts   map[call.Action]int `json:"alerts"` // lines
	Money    Money               `json:"money"`
	Labelled *Labelled           `json:"labelled,omitempty"`
}

// Money is what calls to the public network cost, by the rates in use.
type Money struct {
	Spent   float64 `json:"spent"`   // as recorded
	Refused float64 `json:"refused"` // of it, kept because calls are newly refused
	Cut     float64 `json:"cut"`     // kept because running calls are ended
	Shadow  float64 `json:"shadow"`  // would be kept if nothing was withheld
}

// Tallies are calls by the rule that made the difference.
type Tallies map[string]*Tally

// Tally is what one rule does.
type Tally struct {
	Calls    int       `json:"calls"`
	Money    float64   `json:"money"`
	Examples []Example `json:"examples"`
}

// Example is one call.
type Example struct {
	At     time.Time `json:"at"`
	ID     string    `json:"id"`
	From   string    `json:"from,omitempty"`
	User   string    `json:"user,omitempty"`
	To     string    `json:"to,omitempty"`
	Source string    `json:"source,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// Found is what one detector found.
type Found struct {
	Findings  int       `json:"findings"`
	Incidents int       `json:"incidents"`
	Examples  []Example `json:"examples"`
}

func newReport(o *Options) *Report {
	r := &Report{New: o.New.Trial.Set.Revision(), Old: "recorded", Bad: []BadLine{}, NewlyRefused: Tallies{}, NewlyAllowed: Tallies{}, NewlyFlagged: Tallies{},
		WouldRefuse: Tallies{}, Found: map[string]*Found{}, Alerts: map[call.Action]int{}}
	if o.Old != nil {
		r.Old, r.FoundOld = o.Old.Trial.Set.Revision(), map[string]*Found{}
	}
	if o.Attacks != nil {
		r.Labelled = &Labelled{attacks: o.Attacks, hit: map[string]bool{}}
	}
	return r
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
	case call.EventRegister:
		r.Registers++
	}
}

// add counts a call for a rule.
func (t Tallies) add(rule string, x Example) {
	if rule == "" {
		rule = "(no rule)"
	}
	e := t[rule]
	if e == nil {
		if len(t) == maxRules {
			return
		}
		e = &Tally{}
		t[rule] = e
	}
	e.Calls++
	if len(e.Examples) < maxExamples {
		e.Examples = append(e.Examples, x)
	}
}

func (t Tallies) cost(rule string, money float64) {
	if e := t[rule]; e != nil {
		e.Money += money
	}
}

// Calls is how many calls there are in all.
func (t Tallies) Calls() (n int) {
	for _, e := range t {
		n += e.Calls
	}
	return n
}
