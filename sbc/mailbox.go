package sbc

import (
	"time"

	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// The mailbox of a call: how other goroutines tell its owner something.

// post puts an input into the mailbox; false when it is full.
func (s *session) post(in input) bool {
	ok := s.put(in)
	if !ok && !s.ended() {
		s.g.log.Warn("call mailbox full", "call", s.group.id, "event", in.Kind.String())
	}
	return ok
}

// put is post that says nothing.
func (s *session) put(in input) bool {
	s.door.RLock()
	defer s.door.RUnlock()
	if s.shut {
		return false
	}
	select {
	case s.mailbox <- &in:
		return true
	default:
		return false
	}
}

// force waits for room in the mailbox: for what must not be lost and comes
// from goroutines of our own. False: the call is over, and nobody takes it.
func (s *session) force(in input) bool {
	for {
		if s.put(in) {
			return true
		}
		select {
		case <-s.quit:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// cancelled, noAck and hangup are called from other goroutines.
func (s *session) cancelled(r *sipx.Request) {
	why := reasons(r)
	go s.force(input{do: func() {
		s.why = why // "completed elsewhere": B shows no missed call then (RFC 3326)
		s.follow(b2bua.Event{Kind: b2bua.Cancel})
	}})
}

// noAck counts only for the answer the leg got last: that of a challenge long
// answered must not end the call.
func (s *session) noAck(l b2bua.Leg, tx *sipx.ServerTx) {
	go s.force(input{do: func() {
		if s.legs[l].theirs == tx {
			s.follow(b2bua.Event{Kind: b2bua.NoAck, Leg: l})
		}
	}})
}

func (s *session) hangup(cause string) {
	go s.force(input{Event: b2bua.Event{Kind: b2bua.Hangup, Cause: cause}})
}

// callerLost gives up a call that still rings: the caller can neither cancel
// it nor get the answer. An established call goes on; a phone may come back.
func (s *session) callerLost(f *sipx.Flow) {
	go s.force(input{do: func() {
		if up := s.state.Phase == b2bua.Calling || s.state.Phase == b2bua.Ringing; up && s.legs[b2bua.A].flow == f {
			s.follow(b2bua.Event{Kind: b2bua.Cancel})
		}
	}})
}
