package sbc

import (
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// tried is one INVITE of ours to B: what is needed to end it by itself once
// the call has gone on to another route.
type tried struct {
	seq     uint32
	flow    *sipx.Flow
	dialog  sipx.Dialog
	out     *sipx.Out
	answers int  // to challenges so far
	pbx     *PBX // it went to that one
	tx      atomic.Pointer[sipx.ClientTx]
	over    atomic.Bool // abandoned
}

// enter asks the guards whether the call may go to the peer of the route, and
// gives back what was counted for the peer before it. Another target of one
// peer is neither counted nor refused again.
func (s *session) enter(t route) bool {
	name := ""
	if t.peer != nil {
		name = t.name()
	}
	if s.counted != "" && s.counted != name {
		s.g.leaveRoute(s.a, s.counted)
		s.counted = ""
	}
	switch name {
	case "", s.counted:
		return true
	case s.full:
		return false
	}
	if d := s.g.mayRoute(s.a, name); !d.Permits() {
		s.full, s.fullCode = name, max(d.Status, 400)
		return false
	}
	s.counted = name
	return true
}

// failedOver notes the PBX or peer before this one, once.
func (s *session) failedOver(t route) {
	if s.state.Route == 0 {
		return
	}
	before := s.routes[s.state.Route-1]
	if before.fwd == t.fwd && before.name() != t.name() { // a redirect is no failure
		s.pass.FailedOver = append(s.pass.FailedOver, before.name())
	}
}

// abandonTry lets go of B's INVITE that got no answer at all; what comes of it
// yet does not concern the call any more.
func (s *session) abandonTry() {
	t := s.routes[s.state.Route-1] // the machine has gone on
	s.g.log.Warn("no answer; the next target is tried", "call", s.group.id, "route", t.name(), "target", t.at.Addr.String(), "after", s.g.cfg.FailoverAfter)
	s.g.peers.probation(t, time.Now())
	if try := s.trying; try != nil {
		try.over.Store(true)
		if tx := try.tx.Load(); tx != nil {
			tx.GiveUp()
		}
	}
	s.trying, s.legs[b2bua.B].ours = nil, nil
}

// late ends what an abandoned INVITE still gives rise to: ringing is
// cancelled, an answer is acknowledged and hung up on (RFC 3261 §9.1,
// §13.2.2.4). It runs in a reading goroutine and outlives the call.
func (g *Gateway) late(try *tried, out sipx.Outcome) {
	tx := try.tx.Load()
	switch {
	case out.Err != nil || tx == nil:
	case out.Res.Code() < 200:
		tx.Cancel(nil)
	case out.Res.Code() < 300:
		d := try.dialog
		d.Established(out.Res)
		tx.Ack(try.flow, d.RemoteTag, d.Request("ACK", try.seq, nil, nil))
		if _, err := g.stack.Send(try.flow, d.Request("BYE", 0, nil, nil), nil); err != nil {
			g.log.Warn("late answer could not be hung up on", "error", err)
		}
	}
}
