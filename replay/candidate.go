package replay

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/trial"
)

// candidate is one side of a replay: engines and what they keep.
type candidate struct {
	side  Side
	o     *Options
	rep   *Report
	bench *trial.Bench
	fraud *fraud.Engine
	past  *alert.Past

	now        time.Time
	ticked     int64 // unix second of the last tick
	calls      map[string]*going
	registered registered
	told       map[telling]time.Time // findings of limits that were told to the detectors
	more       map[telling]int
}

// going is a call between its first event and its end.
type going struct {
	a        *call.Attempt
	out      trial.Outcome
	began    time.Time
	answered time.Time
	cut      time.Time // a detector ended it
	wouldCut time.Time // … in shadow
}

type telling struct {
	rule    string
	subject call.Subject
}

func newCandidate(s Side, o *Options, rep *Report) (*candidate, error) {
	c := &candidate{side: s, o: o, rep: rep, fraud: fraud.New(s.Fraud, s.Rates), calls: map[string]*going{}, told: map[telling]time.Time{}, more: map[telling]int{}}
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
	c.past = alert.NewPast(alert.Options{Meta: s.Meta}, give)
	return c, nil
}

// take gives an event to the engines, in the order of the gateway: who judges
// knows what came before. The outcome is that of a request.
func (c *candidate) take(ev *call.Event) (*going, error) {
	c.until(ev.At.Time)
	var g *going
	var err error
	switch ev.Kind {
	case call.EventInvite:
		g, err = c.judge(ev)
		if g != nil {
			c.calls[ev.ID] = g
		}
	case call.EventRegister, call.EventOptions, call.EventMessage:
		g, err = c.judge(ev)
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
func (c *candidate) judge(ev *call.Event) (*going, error) {
	r, ok := c.describe(ev)
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
		c.tell(alert.FromFinding(*f, c.side.Meta))
		for _, d := range f.Do {
			c.do(f, d)
		}
	}
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

// limitsFound gives the detectors what limits found out about guessing, unless
// the recording has what they found then: a line of it is numbered.
func (c *candidate) limitsFound(ev *call.Event, a *call.Attempt, out *trial.Outcome) {
	if ev.Seq != 0 {
		return
	}
	tell := func(d *call.Decision) {
		if d.Action != call.RegistrationBruteforce && d.Action != call.Enumeration {
			return
		}
		k := telling{d.Rule, d.Subject}
		if t, ok := c.told[k]; ok && a.At.Sub(t) < time.Minute {
			c.more[k]++
			return
		}
		n := c.more[k] + 1
		c.told[k] = a.At
		delete(c.more, k)
		e := call.Event{At: call.Time{Time: a.At}, Kind: call.EventFinding, ID: "finding-" + ev.ID, Account: a.Account, Peer: a.Peer, User: a.User,
			Source: ev.Source, SourceCountry: a.Source.Country, UserAgent: a.UserAgent, Verdict: d.Verdict.String(), Rule: d.Rule, Action: d.Action,
			Subject: &d.Subject, Evidence: d.Evidence, Count: n}
		if a.Method == "REGISTER" {
			e.User = a.RegisterUser
		}
		c.found(c.fraud.Observe(e))
	}
	tell(&out.Decision)
	for i := range out.Also {
		tell(&out.Also[i])
	}
}

func (c *candidate) tell(e alert.Event) {
	if e.IsZero() {
		return
	}
	c.rep.alerted(c, &e)
	c.past.Publish(e)
}

func (c *candidate) finish() {
	c.found(c.fraud.Flush())
	c.past.Close()
}

// sourceOf is the address of an event.
func sourceOf(ev *call.Event) netip.Addr {
	a, _ := netip.ParseAddr(ev.Source)
	return a
}
