package sbc

import (
	"cmp"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/explain"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
)

// Records and events: a pass is written down as it goes; the last pass of a
// call writes the one Record.

// begin opens the pass of an admitted attempt.
func (g *Gateway) begin(s *session) {
	a := s.a
	g.calls.comes(s, s.caller)
	s.pass = g.calls.open(s.group, s)
	g.calls.waits(s)
	s.describe(s.pass, a, s.decision)
	g.calls.index(s, b2bua.A, s.legs[b2bua.A].side, s.legs[b2bua.A].dialog.Key())
	if a.Pass == 1 {
		g.deps.Reporter.Event(g.inviteEvent(a, s.decision))
	} else if a.Forwarded {
		s.goesOut(a, s.decision, a.Pass, s.group.attempt.To.Number)
	}
	s.show()
}

func (s *session) describe(p *pass, a *call.Attempt, d call.Decision) { describe(p, a, d) }

func describe(p *pass, a *call.Attempt, d call.Decision) {
	p.diversion = a.Diversion
	p.SIPCallID, p.From, p.Peer = a.SIPCallID, a.Side.String(), a.Peer
	p.Source, p.Transport, p.TLSVersion = a.Source.Addr.String(), a.Source.Transport, a.Source.TLSVersion
	p.Rule, p.Trace, p.Policy = d.Rule, d.Trace, a.Policy
	if p.Trace == nil {
		p.Trace = []string{}
	}
	p.MediaLegs = []call.Leg{}
	p.Facts = explain.ToRecord(a, &d)
}

func (g *Gateway) inviteEvent(a *call.Attempt, d call.Decision) call.Event {
	e := g.event(call.EventInvite, a, a.ID)
	e.Direction = a.Direction.String()
	e.From, e.To, e.Dialled = a.From.Number, a.To.Number, a.To.User
	if e.From == "" {
		e.From = a.From.User
	}
	e.Diversion, e.Verdict, e.Rule = a.Diversion, d.Verdict.String(), d.Rule
	return e
}

// ringing and answered mark what the record and the stream want to know.
func (s *session) ringing(in input) {
	if !s.pass.ring.IsZero() {
		return
	}
	s.pass.ring = time.Now()
	s.outRings(s.pass.ring)
	if s.a.Pass == 1 {
		e := s.g.event(call.EventRinging, s.a, s.group.id)
		e.At = call.Time{Time: s.pass.ring}
		s.g.deps.Reporter.Event(e)
	}
}

func (s *session) answered() {
	s.pass.answer = time.Now()
	s.g.calls.served(s)
	s.firstLook(s.pass.answer)
	s.g.calls.leaves(s, s.caller)
	s.pass.AnsweredAt = call.At(s.pass.answer)
	s.g.Counters.Answered.Add(1)
	s.tookTrunk()
	s.outAnswers(s.pass.answer)
	if s.a.Pass == 1 {
		e := s.g.event(call.EventAnswer, s.a, s.group.id)
		e.At = call.Time{Time: s.pass.answer}
		if s.a.Direction == call.Outbound {
			e.Peer = cmp.Or(s.group.throughTrunk(), e.Peer)
		}
		s.g.deps.Reporter.Event(e)
	}
}

// finish is the result of this pass.
func (s *session) finish(act b2bua.Action) {
	now := time.Now()
	s.finished = true
	s.g.calls.leaves(s, s.caller)
	s.g.calls.forget(s) // a new INVITE with these tags is a new attempt
	p := s.pass
	p.Code, p.HangupCause = cmp.Or(act.Code, p.Code), act.Cause // none: that of the challenge stays
	if !p.answer.IsZero() {
		p.DurationMs = now.Sub(p.answer).Milliseconds()
		if act.Cause == "" || act.Code == 200 {
			p.Code = 200
		}
	}
	if s.a.Pass == 1 {
		s.group.rec.EndedBy = act.By
	}
	s.cameBack(p.Code, act.By)
	s.g.close(s.group, now)
}

// close ends one pass; the last one writes the record and lets the guards
// that count go.
func (g *Gateway) close(grp *group, now time.Time) {
	if !g.calls.closePass(grp) {
		return
	}
	g.release(grp.id)
	if first := grp.passes[0]; first.SIPCallIDTo != "" {
		// What went nowhere was refused here: no number failed, and who dials a
		// closed country again and again is not trying which ones exist.
		g.outcome(grp.attempt, first.Code)
	}
	r := grp.record(g.cfg.Node, now)
	g.deps.Reporter.Record(r)
	e := g.event(call.EventEnd, grp.attempt, grp.id)
	e.At, e.Code, e.EndedBy = call.Time{Time: now}, r.Code, r.EndedBy
	ring, secs := float64(r.RingMs)/1000, float64(r.DurationMs)/1000
	e.RingSeconds, e.Seconds = &ring, &secs
	g.deps.Reporter.Event(e)
}

// record is the CDR of a finished call.
func (grp *group) record(node string, now time.Time) call.Record {
	a, r := grp.attempt, grp.rec
	first := grp.passes[0]
	r.ID, r.CallID, r.Node = newID(), grp.id, node
	r.Account, r.User, r.Peer, r.Direction = a.Account, a.User, a.Peer, a.Direction
	r.From, r.To = a.From.User, a.To.User
	r.FromE164, r.ToE164, r.ToNumber, r.ToKind = a.From.E164(), a.To.E164(), a.To.Number, a.To.Kind.String()
	r.Country, r.Class = a.To.Country, a.To.Class
	r.UserAgent, r.Source, r.SourceGeo = a.UserAgent, a.Source.Addr.String(), a.Source.Country
	r.Start, r.Ring, r.Answer, r.End = call.At(a.At), call.At(first.ring), call.At(first.answer), call.At(now)
	from := first.ring
	if from.IsZero() {
		from = a.At
	}
	if first.answer.IsZero() {
		r.RingMs = max(now.Sub(from).Milliseconds(), 0)
	} else {
		r.RingMs = max(first.answer.Sub(from).Milliseconds(), 0)
		r.DurationMs = now.Sub(first.answer).Milliseconds()
	}
	r.Diversion = a.Diversion
	for _, p := range grp.passes { // forwarded inside: the PBX says so on its own pass
		if r.Diversion == "" {
			r.Diversion = p.diversion
		}
	}
	r.Code, r.Rule = first.Code, first.Rule
	if id := grp.ended.Load(); id != nil {
		r.Rule = *id
	}
	if r.Verdict == call.Abstain {
		r.Verdict = call.Allow
	}
	for _, p := range grp.passes {
		r.Passes = append(r.Passes, p.Pass)
	}
	return r
}

// refusedRecord writes down an attempt that never became a call.
func (g *Gateway) refusedRecord(a *call.Attempt, d call.Decision) {
	if a.ID == "" {
		a.ID = newID()
	}
	if a.Pass == 0 {
		a.Pass = 1
	}
	g.refusedPass(&group{id: a.ID, attempt: a, live: 1}, a, d)
}

// refusedPass adds a refused pass to its call; a first pass is the call.
func (g *Gateway) refusedPass(grp *group, a *call.Attempt, d call.Decision) {
	p := g.calls.open(grp, nil)
	describe(p, a, d)
	p.Code = d.Status
	if a.Pass == 1 {
		grp.rec.Verdict, grp.rec.EndedBy = d.Verdict, call.ByGateway
		g.deps.Reporter.Event(g.inviteEvent(a, d))
	}
	g.close(grp, time.Now())
}

// release tells the guards that count that a call is over.
func (g *Gateway) release(id string) { admission.Done(g.policy.Load().Guards, id) }
