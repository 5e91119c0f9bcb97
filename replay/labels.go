package replay

import (
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

// Labelled is what the alarms of New are worth where it is known which events
// belong to attacks.
type Labelled struct {
	Attacks   int       `json:"attacks"`
	Found     int       `json:"found"`     // attacks with an incident that names one of their events
	Incidents int       `json:"incidents"` // of detectors and of limits on guessing
	False     int       `json:"false"`     // incidents that name no event of an attack
	Per1000   float64   `json:"false_per_1000_calls"`
	Examples  []Example `json:"false_examples"`

	attacks map[string]string // event → attack
	hit     map[string]bool
	open    map[string]*incident
}

// incident is one alarm with its updates.
type incident struct {
	last time.Time
	hit  bool
	x    Example
}

const (
	incidentGap  = time.Hour // between findings of limits that are one incident
	maxIncidents = 1_000_000
)

// note takes a finding or a limit's alarm; ids are the events that it names.
func (l *Labelled) note(key string, at time.Time, x Example, ids ...string) {
	if l == nil {
		return
	}
	if l.open == nil {
		l.open = map[string]*incident{}
	}
	in := l.open[key]
	if in != nil && at.Sub(in.last) > incidentGap {
		l.close(key, in)
		in = nil
	}
	if in == nil {
		if len(l.open) >= maxIncidents {
			return
		}
		in = &incident{x: x}
		l.open[key] = in
	}
	in.last = at
	for _, id := range ids {
		if a, ok := l.attacks[id]; ok {
			in.hit = true
			l.hit[a] = true
		}
	}
}

func (l *Labelled) close(key string, in *incident) {
	delete(l.open, key)
	l.Incidents++
	if in.hit {
		return
	}
	l.False++
	if len(l.Examples) < 4*maxExamples {
		l.Examples = append(l.Examples, in.x)
	}
}

// finish closes what is open.
func (l *Labelled) finish(calls int) {
	if l == nil {
		return
	}
	for _, k := range sorted(l.open) {
		l.close(k, l.open[k])
	}
	all := map[string]bool{}
	for _, a := range l.attacks {
		all[a] = true
	}
	l.Attacks, l.Found = len(all), len(l.hit)
	if calls > 0 {
		l.Per1000 = 1000 * float64(l.False) / float64(calls)
	}
}

// finding takes what a detector found; ids are the events of that moment, where
// the finding is not about a call. Those of limits were noted when they decided. A
// spend cap is the owner's number: that it is reached is neither right nor wrong.
func (l *Labelled) finding(f *fraud.Finding, ids []string) {
	if l != nil && !f.Quiet && strings.HasPrefix(f.Detector, "fraud/") && f.Detector != fraud.IDSpend {
		l.note("incident "+f.Incident, f.At.Time, Example{At: f.At.Time, ID: f.CallID, From: f.From, User: f.User, To: f.To, Source: f.Source, Reason: f.Detector + ": " + f.Reason},
			slices.Concat([]string{f.CallID}, f.Calls, ids)...)
	}
}

func (l *Labelled) limit(ev *call.Event, d *call.Decision) {
	if l != nil {
		x := example(ev)
		x.Reason = d.Rule + ": " + d.Reason
		l.note("limit "+d.Rule+" "+d.Subject.Kind+" "+d.Subject.Value, ev.At.Time, x, ev.ID)
	}
}
