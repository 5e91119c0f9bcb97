package sbc

import (
	"cmp"
	"strconv"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// The event stream knows a call by its first pass. One that comes in and is sent
// out again, by the PBX or by a redirect, costs what its second half costs: that
// half is a call of its own in the stream, with an id that names the first.

// outward is such a half.
type outward struct {
	id           string
	a            *call.Attempt
	begin        time.Time
	ring, answer time.Time
}

// goesOut begins one. diverted is who sent it there, if the attempt does not say.
func (s *session) goesOut(a *call.Attempt, d call.Decision, n int, diverted string) {
	s.out = &outward{id: s.group.id + "." + strconv.Itoa(n), a: a, begin: time.Now()}
	e := s.g.inviteEvent(a, d)
	e.ID, e.At.Time, e.Diversion = s.out.id, s.out.begin, cmp.Or(e.Diversion, diverted)
	s.g.deps.Reporter.Event(e)
}

// redirectedOut begins one where the call goes on to a number outside because
// its callee said so, and ends that of the target before.
func (s *session) redirectedOut(t route) {
	if t.fwd == nil || t.fwd.a.Direction != call.Outbound || s.out != nil && s.out.a == t.fwd.a {
		return
	}
	n := s.a.Pass + 1
	if s.out != nil {
		s.cameBack(480, "")
		s.outs++
	}
	s.goesOut(t.fwd.a, call.Decision{Verdict: call.Allow}, n+s.outs, "")
}

func (s *session) outRings(now time.Time) {
	if s.out != nil && s.out.ring.IsZero() {
		s.out.ring = now
		e := s.g.event(call.EventRinging, s.out.a, s.out.id)
		e.At.Time = now
		s.g.deps.Reporter.Event(e)
	}
}

func (s *session) outAnswers(now time.Time) {
	if s.out != nil && s.out.answer.IsZero() {
		s.out.answer = now
		e := s.g.event(call.EventAnswer, s.out.a, s.out.id)
		e.At.Time, e.Peer = now, cmp.Or(s.trunk(), e.Peer)
		s.g.deps.Reporter.Event(e)
	}
}

// cameBack ends it.
func (s *session) cameBack(code int, by call.EndedBy) {
	o := s.out
	if o == nil {
		return
	}
	s.out = nil
	now := time.Now()
	e := s.g.event(call.EventEnd, o.a, o.id)
	e.At.Time, e.Code, e.EndedBy = now, code, by
	from, until, secs := cmp.Or(o.ring, o.begin), cmp.Or(o.answer, now), 0.0
	if !o.answer.IsZero() {
		secs = now.Sub(o.answer).Seconds()
	}
	ring := max(until.Sub(from).Seconds(), 0)
	e.RingSeconds, e.Seconds = &ring, &secs
	s.g.deps.Reporter.Event(e)
}

// trunk is the peer that the call goes through, "" if it does not go out.
func (s *session) trunk() string {
	if i := s.state.Route; i >= 0 && i < len(s.routes) && s.routes[i].kind == call.Carrier {
		return s.routes[i].name()
	}
	return ""
}

// tookTrunk notes it for the call: the pass that goes out knows it, the first
// tells it.
func (s *session) tookTrunk() {
	if name := s.trunk(); name != "" {
		s.group.trunk.Store(&name)
	}
}

// throughTrunk is the peer that an answered call went out through.
func (grp *group) throughTrunk() string {
	if name := grp.trunk.Load(); name != nil {
		return *name
	}
	return ""
}
