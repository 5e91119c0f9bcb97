package b2bua

import "github.com/rampart-sbc/rampart/call"

// Step is the whole machine: one event, the next state, what to do. It never
// fails; an event that has no meaning in a phase changes nothing, or gets the
// SIP answer that says so.
func Step(s State, e Event) (State, []Action) {
	m := &machine{State: s}
	switch s.Phase {
	case Idle:
		m.idle(e)
	case Calling, Ringing:
		m.setup(e)
	case Cancelling:
		m.cancelling(e)
	case Challenged:
		m.challenged(e)
	case Answered:
		m.answered(e)
	case Up:
		m.up(e)
	case Modifying:
		m.modifying(e)
	case Ending:
		m.ending(e)
	case Ended:
		m.gone(e)
	}
	return m.State, m.out
}

type machine struct {
	State
	out []Action
}

func (m *machine) do(a Action) { m.out = append(m.out, a) }

func (m *machine) reply(code int) { m.do(Action{Verb: Reply, Code: code}) }

// finish gives the result of the pass; only the first one counts.
func (m *machine) finish(code int, by call.EndedBy, cause string) {
	if m.Finished {
		return
	}
	m.Finished = true
	m.drop(-1)
	m.expire(0)
	m.do(Action{Verb: CloseMedia})
	m.do(Action{Verb: Finish, Code: code, By: by, Cause: cause})
}

func (m *machine) idle(e Event) {
	switch e.Kind {
	case Invite:
		m.begin(e)
	default:
		m.stray(e)
	}
}

// begin sends the INVITE on the first route.
func (m *machine) begin(e Event) {
	m.Route, m.Routes = 0, e.Routes
	m.Provisional, m.WantCancel = false, false
	m.Bare, m.Dialogs = e.Bare, nil
	if e.Routes == 0 {
		m.do(Action{Verb: ReplyInvite, Code: 480})
		m.Phase = Ended
		m.finish(480, call.ByGateway, "no-route")
		return
	}
	m.Phase = Calling
	m.do(Action{Verb: StartTimer, Timer: Setup})
	m.try()
}

// try sends the INVITE on the route at hand. While there are others it has
// not for ever to answer: Timer B is longer than any caller waits.
func (m *machine) try() {
	if m.Route+1 < m.Routes {
		m.do(Action{Verb: StartTimer, Timer: Failover})
	}
	m.do(Action{Verb: SendInvite, Leg: B})
}

// setup is Calling and Ringing.
func (m *machine) setup(e Event) {
	switch e.Kind {
	case Provisional, Reliable:
		if !m.Provisional && m.Route+1 < m.Routes {
			m.do(Action{Verb: StopTimer, Timer: Failover})
		}
		m.Provisional = true
		if e.Kind == Reliable {
			m.reliable(e)
		} else if e.Code > 100 {
			m.Phase = Ringing
			m.do(Action{Verb: ReplyInvite, Code: e.Code, Relay: true})
			m.do(Action{Verb: StartTimer, Timer: Setup}) // RFC 3261 §16.7 step 2
		}
	case Success:
		m.accept(e)
	case Failure:
		m.failure(e)
	case Redirected:
		m.redirected(e)
	case Refused:
		// Our own refusal: of A's offer before anything went out, or of
		// B's answer after its 2xx was acknowledged (then State is Answered).
		m.refuse(e.Code, "refused")
		if m.Provisional {
			m.toCancelling()
		} else {
			m.Phase = Ended
		}
	case Cancel:
		m.do(Action{Verb: ReplyInvite, Code: 487})
		m.do(Action{Verb: StopTimer, Timer: Setup})
		m.finish(487, call.ByCaller, "")
		m.toCancelling()
	case Bye:
		if e.Leg == A { // RFC 3261 §15: a caller may end an early dialog by BYE
			m.reply(200)
			m.do(Action{Verb: ReplyInvite, Code: 487})
			m.do(Action{Verb: StopTimer, Timer: Setup})
			m.finish(487, call.ByCaller, "")
			m.toCancelling()
			return
		}
		m.reply(481)
	case SetupTimeout:
		m.do(Action{Verb: ReplyInvite, Code: 408})
		m.finish(408, call.ByGateway, "setup-timeout")
		m.toCancelling()
	case NoPrack: // RFC 3262 §3
		m.do(Action{Verb: ReplyInvite, Code: 504})
		m.do(Action{Verb: StopTimer, Timer: Setup})
		m.finish(504, call.ByGateway, "no-prack")
		m.toCancelling()
	case Hangup:
		m.do(Action{Verb: ReplyInvite, Code: 503})
		m.do(Action{Verb: StopTimer, Timer: Setup})
		m.finish(503, call.ByGateway, e.Cause)
		m.toCancelling()
	case Silence:
		// Nothing came back, not even a 100, so no CANCEL may be sent (RFC
		// 3261 §9.1); should it answer after all, it is cancelled or hung up.
		if m.Phase == Calling && !m.Provisional && m.Route+1 < m.Routes {
			m.do(Action{Verb: Abandon, Leg: B})
			m.next()
		}
	case NoAck: // a challenge of before that nobody acknowledged
	case Modify: // it overtook the 2xx, or its sender did not wait (RFC 3261 §14.2)
		m.reply(map[Leg]int{A: 500, B: 491}[e.Leg])
	case Request:
		if m.Phase == Ringing { // in an early dialog
			m.relay(e)
			return
		}
		m.stray(e)
	default:
		if !m.inside(e) {
			m.stray(e)
		}
	}
}

// next goes on to the next route.
func (m *machine) next() {
	m.Route++
	m.drop(-1)
	m.Provisional, m.Dialogs = false, nil
	m.try()
}

// toCancelling waits for B's final response; the CANCEL goes out once a
// provisional response allows it (RFC 3261 §9.1).
func (m *machine) toCancelling() {
	m.Phase = Cancelling
	if m.Provisional {
		m.do(Action{Verb: SendCancel, Leg: B})
	} else {
		m.WantCancel = true
	}
}

func (m *machine) failure(e Event) {
	// A 422 is asked again with a longer interval (RFC 4028 §7.4), as a
	// challenge is with credentials: one attempt.
	if (e.Code == 401 || e.Code == 407 || e.Code == 422) && !e.TryNext {
		m.Phase = Challenged
		m.drop(-1)
		m.do(Action{Verb: StopTimer, Timer: Setup})
		m.do(Action{Verb: CloseMedia})
		m.do(Action{Verb: ReplyInvite, Code: e.Code, Relay: true})
		m.do(Action{Verb: StartTimer, Timer: Retry})
		return
	}
	if e.TryNext && m.Route+1 < m.Routes {
		if m.Phase == Ringing { // the next one has as long to answer
			m.Phase = Calling
			m.do(Action{Verb: StartTimer, Timer: Setup})
		}
		m.next()
		return
	}
	m.Phase = Ended
	m.do(Action{Verb: StopTimer, Timer: Setup})
	m.do(Action{Verb: ReplyInvite, Code: e.Code, Relay: true})
	m.finish(e.Code, call.ByCallee, "")
}

// redirected goes on with the ways that B named. They stand in for the routes
// that were left; whoever answers there has the time that B had.
func (m *machine) redirected(e Event) {
	if e.Routes == 0 {
		m.failure(Event{Kind: Failure, Code: e.Code})
		return
	}
	if m.Phase == Calling && !m.Provisional && m.Route+1 < m.Routes {
		m.do(Action{Verb: StopTimer, Timer: Failover})
	}
	m.drop(-1)
	m.Routes = m.Route + 1 + e.Routes
	m.Phase = Calling
	m.do(Action{Verb: StartTimer, Timer: Setup})
	m.next()
}

// refuse answers A with our own refusal and gives the result.
func (m *machine) refuse(code int, cause string) {
	m.do(Action{Verb: StopTimer, Timer: Setup})
	m.do(Action{Verb: ReplyInvite, Code: code})
	m.finish(code, call.ByGateway, cause)
}

func (m *machine) cancelling(e Event) {
	switch e.Kind {
	case Provisional, Reliable:
		m.Provisional = true
		if m.WantCancel {
			m.WantCancel = false
			m.do(Action{Verb: SendCancel, Leg: B})
		}
	case Success: // the 2xx crossed our CANCEL
		m.Phase, m.Byes = Ending, m.Byes+1
		m.do(Action{Verb: AckAndBye, Leg: B})
	case Failure, Refused, Redirected:
		m.Phase = Ended
	case NoAck, Hangup, SetupTimeout, NoPrack:
	default:
		m.stray(e)
	}
}

func (m *machine) challenged(e Event) {
	switch e.Kind {
	case Invite:
		m.do(Action{Verb: StopTimer, Timer: Retry})
		m.begin(e)
	case RetryTimeout:
		m.Phase = Ended
		m.finish(e.Code, call.ByCaller, "unanswered-challenge")
	case Hangup:
		m.Phase = Ended
		m.do(Action{Verb: StopTimer, Timer: Retry})
		m.finish(e.Code, call.ByGateway, e.Cause)
	case NoAck:
	default:
		m.stray(e)
	}
}

func (m *machine) answered(e Event) {
	switch e.Kind {
	case Ack:
		if e.Leg != A {
			return
		}
		m.settle()
		m.do(Action{Verb: Confirmed, Leg: A})
		if m.ByeOnAck {
			m.ByeOnAck = false
			m.Phase = Ending
			m.Byes++
			m.do(Action{Verb: SendBye, Leg: A, Cause: m.ByeCause})
			return
		}
		m.Phase = Up
		if e.Code >= 300 { // the answer it brought is refused
			m.release(call.ByGateway, "media-refused", A, B)
		}
	case NoAck: // RFC 3261 §13.3.1.4: end the dialog
		if e.Leg != A {
			return
		}
		m.settle()
		if m.ByeOnAck { // B is released already
			m.release(call.ByGateway, "no-ack", A)
			return
		}
		m.release(call.ByGateway, "no-ack", A, B)
	case Success:
		m.fork(e)
	case Bye:
		m.reply(200)
		m.settle()
		m.do(Action{Verb: StopTimer, Timer: Duration})
		if e.Leg == A {
			m.do(Action{Verb: Confirmed, Leg: A})
			m.Phase = Ending
			if !m.ByeOnAck {
				m.bye(B)
			} else if m.Byes <= 0 {
				m.Phase = Ended
			}
			m.finish(200, call.ByCaller, "")
			return
		}
		// A must have its ACK out before we may hang up on it.
		m.ByeOnAck = true
		m.finish(200, call.ByCallee, "")
	case Refused: // B's answer cannot be used, or its offer cannot be passed on
		m.settle()
		m.do(Action{Verb: StopTimer, Timer: Duration})
		m.do(Action{Verb: ReplyInvite, Code: e.Code})
		m.bye(B)
		m.Phase = Ending
		m.finish(e.Code, call.ByGateway, "refused")
	case Hangup:
		if m.ByeOnAck {
			return
		}
		m.settle()
		m.do(Action{Verb: StopTimer, Timer: Duration})
		m.Byes++
		m.do(Action{Verb: SendBye, Leg: B, Cause: e.Cause})
		m.ByeOnAck, m.ByeCause = true, e.Cause
		m.finish(200, call.ByGateway, e.Cause)
	case ByeDone:
		m.Byes--
	case Modify:
		m.reply(491)
	case Request:
		m.relay(e)
	case Cancel: // too late: the 2xx is out (RFC 3261 §9.2)
	default:
		if !m.inside(e) {
			m.stray(e)
		}
	}
}

func (m *machine) up(e Event) {
	switch e.Kind {
	case Ack:
		if m.ModifyAck[e.Leg] {
			m.ModifyAck[e.Leg] = false
			m.do(Action{Verb: Confirmed, Leg: e.Leg})
		}
	case NoAck:
		if m.ModifyAck[e.Leg] {
			m.release(call.ByGateway, "no-ack", A, B)
		}
	case Success:
		m.fork(e)
	case Bye:
		m.hungUp(e.Leg)
	case Modify:
		m.modify(e)
	case Request:
		m.relay(e)
	case Hangup:
		m.release(call.ByGateway, e.Cause, A, B)
	case ByeDone: // of an unwanted fork
		m.Byes--
	case Cancel, ModifyCancel, ModifySuccess, ModifyFailure:
	default:
		if !m.inside(e) {
			m.stray(e)
		}
	}
}

func (m *machine) modifying(e Event) {
	switch e.Kind {
	case ModifySuccess:
		m.modified(e)
	case ModifyFailure:
		if m.Replied {
			return
		}
		m.unmodified(e.Code, true)
		// RFC 3261 §14.1: 481 or 408 to a re-INVITE ends the dialog.
		m.lost(m.Modifier.Other(), e.Code)
	case Refused: // the new offer, or the answer to it, cannot be used
		if !m.Replied {
			m.unmodified(e.Code, false)
		}
	case ModifyCancel:
		if e.Leg == m.Modifier && !m.Replied {
			m.do(Action{Verb: CancelModify, Leg: e.Leg.Other()})
		}
	case Modify: // RFC 3261 §14.2
		if e.Leg == m.Modifier && !m.Replied {
			m.reply(500)
			return
		}
		m.reply(491)
	case Ack:
		if !m.ModifyAck[e.Leg] {
			return
		}
		m.ModifyAck[e.Leg] = false
		if m.Replied && e.Leg == m.Modifier {
			m.settle()
			m.Phase = Up
		}
		m.do(Action{Verb: Confirmed, Leg: e.Leg})
		if m.Phase == Up && e.Code >= 300 { // the answer it brought is refused
			m.release(call.ByGateway, "media-refused", A, B)
		}
	case NoAck:
		if m.ModifyAck[e.Leg] {
			m.endModify()
			m.release(call.ByGateway, "no-ack", A, B)
		}
	case Success:
		m.fork(e)
	case Bye:
		m.endModify()
		m.hungUp(e.Leg)
	case Request:
		m.relay(e)
	case Hangup:
		m.endModify()
		m.release(call.ByGateway, e.Cause, A, B)
	case ByeDone:
		m.Byes--
	case Cancel:
	default:
		if !m.inside(e) {
			m.stray(e)
		}
	}
}

func (m *machine) ending(e Event) {
	switch e.Kind {
	case ByeDone:
		if m.Byes--; m.Byes <= 0 {
			m.Phase = Ended
		}
	case Bye: // both hung up at once
		m.reply(200)
	case Ack:
		m.do(Action{Verb: Confirmed, Leg: e.Leg})
	case Success:
		if e.Tag != m.Tag {
			m.Byes++
			m.do(Action{Verb: AckAndBye, Leg: B})
		}
	case ModifySuccess:
		m.do(Action{Verb: AckModify, Leg: m.Modifier.Other()})
	case ModifyFailure, NoAck, Hangup, Failure, Provisional, Refused, SetupTimeout, Cancel, ModifyCancel, Reliable, PrackDone, UpdateDone, NoPrack:
	default:
		m.stray(e)
	}
}

func (m *machine) gone(e Event) {
	switch e.Kind {
	case Success: // a fork that answers after all
		m.Phase, m.Byes = Ending, 1
		m.do(Action{Verb: AckAndBye, Leg: B})
	case Bye, Request, Modify, Prack, Update:
		m.reply(481)
	}
}

// stray answers what has no meaning where the call stands.
func (m *machine) stray(e Event) {
	switch e.Kind {
	case Bye, Request, Modify, Prack, Update:
		m.reply(481)
	case Invite: // a second INVITE before the first has its answer, RFC 3261 §14.2
		m.reply(500)
	}
}

// fork ends a 2xx of another fork; a repeated one of the accepted fork has
// had its ACK repeated below us.
func (m *machine) fork(e Event) {
	if e.Tag != m.Tag {
		m.Byes++
		m.do(Action{Verb: AckAndBye, Leg: B})
	}
}

func (m *machine) relay(e Event) { m.do(Action{Verb: RelayRequest, Leg: e.Leg.Other()}) }

func (m *machine) bye(l Leg) {
	m.Byes++
	m.do(Action{Verb: SendBye, Leg: l})
}

// hungUp ends an established call by the BYE of one leg.
func (m *machine) hungUp(l Leg) {
	m.reply(200)
	m.do(Action{Verb: StopTimer, Timer: Duration})
	m.bye(l.Other())
	m.Phase = Ending
	m.finish(200, ended(l), "")
}

// release ends an established call towards the legs given.
func (m *machine) release(by call.EndedBy, cause string, legs ...Leg) {
	m.do(Action{Verb: StopTimer, Timer: Duration})
	for _, l := range legs {
		m.Byes++
		m.do(Action{Verb: SendBye, Leg: l, Cause: cause})
	}
	m.Phase = Ending
	m.finish(200, by, cause)
}

// lost ends the call when the leg's answer to a request says that its dialog
// is gone. One that gave no answer may still hear us, and is told.
func (m *machine) lost(l Leg, code int) {
	switch code {
	case 481:
		m.release(ended(l), "", l.Other())
	case 408:
		m.release(ended(l), "", l.Other(), l)
	}
}

func ended(l Leg) call.EndedBy {
	if l == A {
		return call.ByCaller
	}
	return call.ByCallee
}

// expire begins the session interval anew (RFC 4028 §10): a 2xx to an INVITE
// or a refresh says how long the session may go on without another one; 0,
// that it does not expire.
func (m *machine) expire(seconds int) {
	if seconds > 0 {
		m.do(Action{Verb: StartTimer, Timer: Session})
	} else if m.Interval > 0 {
		m.do(Action{Verb: StopTimer, Timer: Session})
	}
	m.Interval = seconds
}
