package replay

import (
	"cmp"
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/trial"
)

// candidate is one side of a replay: engines and what they keep.
type candidate struct {
	side  Side
	old   bool // the other one is on trial
	o     *Options
	rep   *Report
	bench *trial.Bench
	fraud *fraud.Engine
	past  *alert.Past

	now        time.Time
	ticked     int64 // unix second of the last tick
	calls      map[string]*going
	registered registered
	findings   ratelimit.Findings
	moments    [2]moment // of the events, the last one first: what is found in one is told in the next
}

// going is a call between its first event and its end.
type going struct {
	a        *call.Attempt
	out      trial.Outcome
	began    time.Time
	answered time.Time
	cut      time.Time // a detector ended it
	wouldCut time.Time // … in shadow
	newly    string    // the rule that refuses it, and did not
	would    string    // … in shadow
}

// moment is a millisecond, and the registrations in it.
type moment struct {
	at  time.Time
	ids []string
}

func newCandidate(s Side, o *Options, rep *Report) (*candidate, error) {
	c := &candidate{side: s, o: o, rep: rep, fraud: fraud.New(s.Fraud, s.Rates), calls: map[string]*going{}}
	t := s.Trial
	t.Guards = append(t.Guards[:len(t.Guards):len(t.Guards)], admission.Guard(c.fraud))
	var err error
	if c.bench, err = trial.New(t); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	give := s.Alerts
	if give == nil {
		give = func(alert.Event) {}
	}
	c.past = alert.NewPast(alert.Options{Meta: s.Meta}, func(e alert.Event) {
		if !c.old {
			rep.alerted(&e)
		}
		give(e)
	})
	return c, nil
}

// take gives an event to the engines, in the order of the gateway: who judges
// knows what came before. The outcome is that of a request.
func (c *candidate) take(it *item) (*going, error) {
	ev := &it.Event
	c.until(ev.At.Time)
	if m := &c.moments[0]; !m.at.Equal(ev.At.Time) {
		c.moments[1].at, c.moments[1].ids, m.at, m.ids = m.at, m.ids, ev.At.Time, c.moments[1].ids[:0]
	}
	if ev.Kind == call.EventRegister {
		c.moments[0].ids = append(c.moments[0].ids, ev.ID)
	}
	var g *going
	var err error
	switch ev.Kind {
	case call.EventInvite:
		g, err = c.judge(it)
		if g != nil {
			c.calls[ev.ID] = g
		}
	case call.EventRegister, call.EventOptions, call.EventMessage:
		g, err = c.judge(it)
	case call.EventAnswer:
		if k := c.calls[ev.ID]; k != nil && k.answered.IsZero() {
			k.answered = ev.At.Time
		}
	case call.EventEnd:
		if g = c.calls[ev.ID]; g != nil {
			c.ended(g, ev)
		}
	}
	if ev.Kind != call.EventFinding || ev.Seq != 0 {
		c.found(c.fraud.Observe(*ev))
	}
	return g, err
}

// until moves the clock: while calls are up once for every second, as the
// gateway does.
func (c *candidate) until(at time.Time) {
	s := at.Unix()
	if c.ticked == 0 || len(c.calls) == 0 {
		c.ticked = max(c.ticked, s-1)
	}
	for c.ticked < s {
		c.ticked++
		t := time.Unix(c.ticked, 0)
		c.past.Advance(t)
		c.found(c.fraud.Tick(t))
	}
	c.now = at
	c.past.Advance(at)
}

// judge asks the guards about a request.
func (c *candidate) judge(it *item) (*going, error) {
	ev := &it.Event
	r, ok := c.describe(it)
	if !ok {
		return nil, nil
	}
	a, out, err := c.bench.Judge(ev.At.Time, r)
	if err != nil {
		return nil, err
	}
	for _, e := range alert.All(a, out.Decision, c.side.Meta) {
		c.tell(e)
	}
	c.limitsFound(ev, a, &out)
	if ev.Kind != call.EventInvite && out.Permits() {
		c.bench.Answered(a, cmp.Or(ev.Code, 200))
	}
	if ev.Kind == call.EventRegister && ev.Code == 200 {
		c.registered.took(r.Source, ev.At.Time)
	}
	return &going{a: a, out: out, began: ev.At.Time}, nil
}

// ended tells the guards how a call ended. What went nowhere was refused here,
// and no number failed.
func (c *candidate) ended(g *going, ev *call.Event) {
	if ev.EndedBy != call.ByGateway && g.out.Permits() {
		c.bench.Answered(g.a, ev.Code)
	}
	c.bench.Forget(ev.ID)
	delete(c.calls, ev.ID)
}

// found tells what the detectors found, and does what it asks for.
func (c *candidate) found(fs []fraud.Finding) {
	for i := range fs {
		f := &fs[i]
		c.rep.finding(c, f)
		if !c.old {
			c.rep.Labelled.finding(f, c.moment(f))
		}
		c.tell(alert.FromFinding(*f, c.side.Meta))
		for _, d := range f.Do {
			c.do(f, d)
		}
	}
}

// moment is the registrations of the moment that a finding is of, if it is about
// no call.
func (c *candidate) moment(f *fraud.Finding) []string {
	for _, m := range c.moments {
		if f.CallID == "" && m.at.Equal(f.At.Time) {
			return m.ids
		}
	}
	return nil
}

func (c *candidate) do(f *fraud.Finding, d fraud.Do) {
	switch d.Act {
	case call.ActHangup:
		for _, id := range d.Calls {
			g := c.calls[id]
			switch {
			case g == nil || !g.cut.IsZero():
			case !d.Shadow:
				g.cut = c.now
			case g.wouldCut.IsZero():
				g.wouldCut = c.now
			}
		}
	case call.ActHold:
		if !d.Shadow {
			c.bench.Hold(call.Ban{Act: call.ActHold, Key: d.Key, Rule: d.Rule, Reason: d.Reason, Evidence: f.Evidence, Since: c.now, Known: true}, d.For)
		}
	}
}

func (c *candidate) tell(e alert.Event) {
	if !e.IsZero() {
		c.past.Publish(e)
	}
}

func (c *candidate) finish() {
	c.found(c.fraud.Flush())
	c.past.Close()
}
