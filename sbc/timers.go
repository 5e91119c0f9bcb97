package sbc

import (
	"time"

	"github.com/rampart-sbc/rampart/sbc/b2bua"
)

// Timers of a call: the machine starts and stops them, the mailbox gets them.

// startTimer begins or restarts a timer; a stopped one's event is ignored by
// its generation, however late it comes.
func (s *session) startTimer(t b2bua.Timer) {
	s.stopTimer(t)
	var d time.Duration
	var e b2bua.Event
	switch t {
	case b2bua.Setup:
		d, e = s.g.cfg.SetupTimeout, b2bua.Event{Kind: b2bua.SetupTimeout}
	case b2bua.Retry:
		d, e = s.g.cfg.RetryTimeout, b2bua.Event{Kind: b2bua.RetryTimeout, Code: s.pass.Code}
	case b2bua.Failover:
		d, e = s.g.cfg.FailoverAfter, b2bua.Event{Kind: b2bua.Silence}
	case b2bua.Duration:
		d, e = s.g.cfg.MaxCall, b2bua.Event{Kind: b2bua.Hangup, Cause: "max-duration"}
	case b2bua.Session:
		d, e = lifetime(s.state.Interval), b2bua.Event{Kind: b2bua.Hangup, Cause: "session-expired"}
	}
	gen := s.timerGen[t]
	s.timers[t] = time.AfterFunc(d, func() {
		s.force(input{do: func() {
			if s.timerGen[t] == gen {
				s.queue = append(s.queue, input{Event: e})
			}
		}})
	})
}

func (s *session) stopTimer(t b2bua.Timer) {
	s.timerGen[t]++
	if s.timers[t] != nil {
		s.timers[t].Stop()
		s.timers[t] = nil
	}
}
