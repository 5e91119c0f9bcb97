package main

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

// Incidents: what detectors find becomes alerts, and a book of incidents that
// an operator reads and closes.

// reportFinding tells what a detector found. It never blocks.
func (g *gateway) reportFinding(f fraud.Finding) {
	m := *g.rep.meta.Load()
	g.incidents.enter(f, m)
	g.rep.bus.Publish(alert.FromFinding(f, m))
	g.keepFinding()
}

// Bounds of the book.
const (
	maxIncidents   = 2000 // of detectors
	maxOfLimits    = 500  // of limits: anybody can cause those
	maxWarnings    = 200  // missed calls of an incident
	maxBackLinks   = 16
	incidentIsOver = time.Hour // after the last finding
)

// incident is one as the API, the file and the command show it: its last alert,
// and what became of it.
type incident struct {
	ID       string         `json:"id"`
	State    string         `json:"state,omitempty"` // open | over | closed; as of now
	Rule     string         `json:"rule"`
	Action   call.Action    `json:"action"`
	Severity string         `json:"severity"` // the worst so far
	Subject  call.Subject   `json:"subject"`
	Reason   string         `json:"reason"` // of the last alert
	First    call.Time      `json:"first"`
	Last     call.Time      `json:"last"`
	Count    int            `json:"count"` // findings
	Related  []string       `json:"related,omitempty"`
	Warn     []fraud.Missed `json:"missed_calls,omitempty"`
	Acts     []incidentAct  `json:"acts,omitempty"`
	Alert    alert.Event    `json:"alert"` // the last one, in full
	Closed   *closing       `json:"closed,omitempty"`

	weight  call.Severity
	ofLimit bool
}

// incidentAct is something that was done, or in shadow withheld, because of it.
type incidentAct struct {
	At     call.Time `json:"at"` // the last time
	Act    string    `json:"act"`
	Who    string    `json:"who,omitempty"`
	Times  int       `json:"times"`
	Shadow bool      `json:"shadow,omitempty"`
	Key    *call.Key `json:"key,omitempty"`
}

// closing is what an operator made of an incident.
type closing struct {
	At      call.Time `json:"at"`
	By      string    `json:"by"`
	Verdict string    `json:"verdict,omitempty"` // fraud | false-alarm
	Note    string    `json:"note,omitempty"`
}

// incidents is the book. What nothing was found of for the longest time gives way.
type incidents struct {
	mu     sync.Mutex
	by     map[string]*list.Element // of *incident
	found  list.List                // of detectors, found last at the front
	limits list.List                // of limits
	wake   chan struct{}            // something is to be written
}

func newIncidents() *incidents {
	return &incidents{by: map[string]*list.Element{}, wake: make(chan struct{}, 1)}
}

// enter takes a finding into the book.
func (b *incidents) enter(f fraud.Finding, m alert.Meta) {
	if f.Incident == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.get(&f)
	x.Count, x.Last = max(x.Count, f.Count), f.At
	if f.Severity >= x.weight {
		x.weight, x.Severity = f.Severity, f.Severity.String()
	}
	if !f.Quiet {
		x.Alert = alert.FromFinding(f, m)
		x.Alert.Event.ID = x.Alert.ID()
		x.Reason = x.Alert.Event.Reason
		x.Warn = append(x.Warn, x.Alert.Rampart.Missed...)
		x.Warn = slices.Delete(x.Warn, 0, max(0, len(x.Warn)-maxWarnings))
		b.relate(x, x.Alert.Rampart.Related)
	}
	for _, d := range f.Do {
		x.did(f.At, d)
	}
	b.change()
}

func (b *incidents) get(f *fraud.Finding) *incident {
	if el := b.by[f.Incident]; el != nil {
		x := el.Value.(*incident)
		b.listFor(x).MoveToFront(el)
		return x
	}
	x := &incident{ID: f.Incident, Rule: f.Detector, Action: f.Action, First: f.First,
		ofLimit: !fraud.IsDetector(f.Detector)}
	x.Subject = call.Subject{Kind: f.Subject.Kind, Value: f.Subject.Value}
	l := b.listFor(x)
	if l.Len() >= b.most(x) {
		delete(b.by, l.Remove(l.Back()).(*incident).ID)
	}
	b.by[x.ID] = l.PushFront(x)
	return x
}

func (b *incidents) listFor(x *incident) *list.List {
	if x.ofLimit {
		return &b.limits
	}
	return &b.found
}

func (b *incidents) most(x *incident) int {
	if x.ofLimit {
		return maxOfLimits
	}
	return maxIncidents
}

// relate notes a relation on both sides: the ping calls know of the call back.
func (b *incidents) relate(x *incident, others []string) {
	for _, id := range others {
		x.Related = linked(x.Related, id)
		if el := b.by[id]; el != nil && id != x.ID {
			o := el.Value.(*incident)
			o.Related = linked(o.Related, x.ID)
		}
	}
}

func linked(ids []string, id string) []string {
	if slices.Contains(ids, id) || len(ids) >= maxBackLinks {
		return ids
	}
	return append(ids, id)
}

// did notes what a finding wanted done.
func (x *incident) did(at call.Time, d fraud.Do) {
	a := incidentAct{At: at, Act: d.Act.String(), Times: 1, Shadow: d.Shadow}
	if d.Key.Shape() != 0 {
		k := d.Key
		a.Who, a.Key = d.Key.String(), &k
	}
	for i := range x.Acts {
		if o := &x.Acts[i]; o.Act == a.Act && o.Who == a.Who && o.Shadow == a.Shadow {
			o.At, o.Times = a.At, o.Times+1
			return
		}
	}
	if len(x.Acts) < maxBackLinks {
		x.Acts = append(x.Acts, a)
	}
}

// change has the book written soon.
func (b *incidents) change() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (x *incident) view(now time.Time) incident {
	v := *x
	v.Related, v.Warn, v.Acts = slices.Clone(x.Related), slices.Clone(x.Warn), slices.Clone(x.Acts)
	switch {
	case x.Closed != nil:
		v.State = "closed"
	case now.Sub(x.Last.Time) >= incidentIsOver:
		v.State = "over"
	default:
		v.State = "open"
	}
	return v
}

// list gives all that keep wants, those found last first.
func (b *incidents) list(now time.Time, keep func(*incident) bool) []incident {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []incident{}
	for _, l := range []*list.List{&b.found, &b.limits} {
		for el := l.Front(); el != nil; el = el.Next() {
			if v := el.Value.(*incident).view(now); keep == nil || keep(&v) {
				out = append(out, v)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b incident) int { return b.Last.Compare(a.Last.Time) })
	return out
}

// find gives one by its id.
func (b *incidents) find(id string, now time.Time) (incident, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	el := b.by[id]
	if el == nil {
		return incident{}, false
	}
	return el.Value.(*incident).view(now), true
}

// close notes what an operator made of it. A later one counts.
func (b *incidents) close(id string, c closing, now time.Time) (incident, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	el := b.by[id]
	if el == nil {
		return incident{}, false
	}
	x := el.Value.(*incident)
	x.Closed = &c
	b.change()
	return x.view(now), true
}
