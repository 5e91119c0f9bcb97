package trial

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// withDetectors adds the detectors of the policy to those that judge. The first
// week, in which they act on nothing, is over: a test says what will be done.
func withDetectors(o Options) (Options, *fraud.Engine, error) {
	named := o.Set.Detectors()
	if len(named) == 0 {
		return o, nil, nil
	}
	conf, err := fraud.Compose(o.Profile, named)
	if err != nil {
		return o, nil, fmt.Errorf("trial: %w", err)
	}
	conf.Shadow, conf.Excepted = 0, o.Set.Pardons
	plan, rates := o.Plan, o.Rates
	if plan == nil {
		plan = o.Set.Plan()
	}
	if rates == nil {
		rates = fraud.DefaultRates(plan.Country(), plan.Data())
	}
	e := fraud.New(conf, rates)
	o.Guards = append(slices.Clone(o.Guards), admission.Guard(e))
	return o, e, nil
}

// watching gives the detectors what happens, as the gateway does, and keeps
// which request is behind what they find. Without an engine it does nothing.
type watching struct {
	engine *fraud.Engine
	last   *Failure            // the request that was judged last
	of     map[string]*Failure // requests by the ids of their events
	told   map[string]*Failure // … that the last finding of an incident was by
	calls  map[string]upCall
	found  []string // detectors
	limits ratelimit.Findings
}

// upCall is a call that is answered, or will be.
type upCall struct {
	a               *call.Attempt
	begun, answered time.Time
}

// asked: what is found from now on without a call of its own, is because of
// this request.
func (w *watching) asked(f *Failure) {
	if w.engine == nil {
		return
	}
	w.last = f
	if w.of == nil {
		w.of, w.told, w.calls = map[string]*Failure{}, map[string]*Failure{}, map[string]upCall{}
	}
	if w.of[f.Attempt.SIPCallID] = f; f.Attempt.Pass == 1 {
		w.of[f.Attempt.ID] = f
	}
}

func (w *watching) tick(at time.Time) []fraud.Finding {
	if w.engine == nil {
		return nil
	}
	return w.engine.Tick(at)
}

func (w *watching) flush() []fraud.Finding {
	if w.engine == nil {
		return nil
	}
	return w.engine.Flush()
}

func (w *watching) observe(e call.Event) []fraud.Finding {
	if w.engine == nil {
		return nil
	}
	return w.engine.Observe(e)
}

// line begins an event from an attempt, as package sbc does.
func line(kind call.EventKind, a *call.Attempt, id string, at time.Time) call.Event {
	return call.Event{At: call.Time{Time: at}, Kind: kind, ID: id, Account: a.Account, Peer: a.Peer, User: a.User,
		Source: a.Source.Addr.Addr().String(), SourceCountry: a.Source.Country, UserAgent: a.UserAgent}
}

// event tells what becomes of a call; trunk is what took it, where one is named.
func (w *watching) event(kind call.EventKind, a *call.Attempt, trunk string, at time.Time) []fraud.Finding {
	e := line(kind, a, a.ID, at)
	e.Peer = cmp.Or(trunk, e.Peer)
	return w.observe(e)
}

func (w *watching) invite(a *call.Attempt, out *Outcome, at time.Time) []fraud.Finding {
	e := line(call.EventInvite, a, a.ID, at)
	e.Direction, e.From, e.To, e.Dialled = a.Direction.String(), a.From.Number, a.To.Number, a.To.User
	if e.From == "" {
		e.From = a.From.User
	}
	e.Diversion, e.Verdict, e.Rule = a.Diversion, out.Verdict.String(), out.Rule
	return w.observe(e)
}

// up notes a call that somebody takes, so that it can be ended.
func (w *watching) up(a *call.Attempt, begun, answered time.Time) {
	if w.engine != nil {
		w.calls[a.ID] = upCall{a, begun, answered}
	}
}

func (w *watching) end(a *call.Attempt, code int, by call.EndedBy, begun, answered, at time.Time) []fraud.Finding {
	if w.engine == nil {
		return nil
	}
	delete(w.calls, a.ID)
	e := line(call.EventEnd, a, a.ID, at)
	ring, talked := at.Sub(begun).Seconds(), 0.0
	if !answered.IsZero() {
		ring, talked = answered.Sub(begun).Seconds(), at.Sub(answered).Seconds()
	}
	e.Code, e.EndedBy, e.RingSeconds, e.Seconds = code, by, &ring, &talked
	return w.observe(e)
}

// refused tells of a request that the gateway refused.
func (w *watching) refused(a *call.Attempt, out *Outcome, at time.Time) (fs []fraud.Finding) {
	if a.Method != "INVITE" {
		return w.request(a, out, out.Status, at)
	}
	fs = w.invite(a, out, at)
	return append(fs, w.end(a, out.Status, call.ByGateway, at, time.Time{}, at)...)
}

// limit tells what limits found out about guessing.
func (w *watching) limit(a *call.Attempt, out *Outcome, at time.Time) (fs []fraud.Finding) {
	if w.engine == nil {
		return nil
	}
	w.limits.Of(&out.Decision, at, func(d *call.Decision, n int) {
		e := line(call.EventFinding, a, a.SIPCallID, at)
		e.Verdict, e.Rule, e.Action, e.Subject, e.Evidence, e.Count = d.Verdict.String(), d.Rule, d.Action, &d.Subject, d.Evidence, n
		if a.Method == "REGISTER" {
			e.User = a.RegisterUser
		}
		fs = append(fs, w.observe(e)...)
	})
	return fs
}

// request tells of a request that begins no call.
func (w *watching) request(a *call.Attempt, out *Outcome, code int, at time.Time) []fraud.Finding {
	kind, ok := map[string]call.EventKind{"REGISTER": call.EventRegister, "OPTIONS": call.EventOptions, "MESSAGE": call.EventMessage}[a.Method]
	if !ok {
		return nil
	}
	e := line(kind, a, a.SIPCallID, at)
	e.Code, e.Verdict, e.Rule = code, out.Verdict.String(), out.Rule
	if a.Method == "REGISTER" {
		if e.User = a.RegisterUser; a.AuthUser == "" && code >= 300 {
			e.Credentials = "none"
		}
	}
	return w.observe(e)
}

// carryOut notes what was found with the request that is behind it, and does
// what it asks for.
func (w *course) carryOut(fs []fraud.Finding) {
	for len(fs) > 0 {
		f := fs[0]
		fs = fs[1:]
		r := w.watch.of[f.CallID]
		if r == nil {
			r = w.watch.told[f.Incident]
		}
		if r == nil {
			r = w.watch.last
		}
		if r != nil {
			w.watch.told[f.Incident] = r
			r.Outcome.Found = append(r.Outcome.Found, f)
		}
		if !f.Quiet && !slices.Contains(w.watch.found, f.Detector) {
			w.watch.found = append(w.watch.found, f.Detector)
		}
		for _, d := range f.Do {
			fs = append(fs, w.do(&f, d)...)
		}
	}
}

func (w *course) do(f *fraud.Finding, d fraud.Do) (more []fraud.Finding) {
	switch {
	case d.Shadow:
	case d.Act == call.ActHold:
		w.b.Hold(call.Ban{Act: call.ActHold, Key: d.Key, Rule: d.Rule, Reason: d.Reason, Evidence: f.Evidence, Since: f.At.Time, Known: true}, d.For)
	case d.Act == call.ActHangup:
		for _, id := range d.Calls {
			if up, ok := w.watch.calls[id]; ok {
				w.steps = slices.DeleteFunc(w.steps, func(s step) bool { return s.call == id })
				w.b.End(id)
				w.b.Answered(up.a, 200)
				more = append(more, w.watch.end(up.a, 200, call.ByGateway, up.begun, up.answered, f.At.Time)...)
			}
		}
	}
	return more
}
