// Package admission answers: what is done with this attempt, when several
// guards have an opinion on it?
//
// It is the one place where opinions become a decision, so that the gateway, policy tests,
// explanations and replays cannot differ: [Decide] permits emergency calls of
// identified senders before anybody is asked, asks the guards in their order,
// takes the strictest verdict and, when all abstain, the [Fallback]. What
// guards keep counting (calls in progress, failed attempts) is told by
// [Outcome], [Done], [MayRoute] and [LeaveRoute]; what decisions ask for beside
// their verdict is carried out by [Enact].
//
// It has no opinion of its own, counts nothing, reports nothing and knows no
// SIP. It has no state: the guards are given with each question. Time is the
// attempt's own. A guard that panics refuses the attempt: a broken lock stays
// locked.
//
// Start reading at [Decide].
package admission

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/rampart-sbc/rampart/call"
)

// The rules of admission itself.
const (
	RuleEmergency = "base/emergency" // permitted before anything is asked
	RuleStranger  = "base/stranger"  // nobody had an opinion on a stranger's request
)

// A Guard has an opinion on attempts. It reads no clock (time is a.At) and
// never blocks.
type Guard interface {
	Name() string
	Judge(a *call.Attempt) call.Decision
}

// Releaser is a guard that counts calls: Done ends the counting of one.
// It may be called more than once and for calls it never saw.
type Releaser interface{ Done(callID string) }

// Outcomer is a guard that wants to know the final answer to an attempt.
type Outcomer interface {
	Outcome(a *call.Attempt, code int)
}

// RouteGuard is a guard with an opinion on where a call may go: a trunk that
// is full. LeaveRoute takes back what JudgeRoute counted.
type RouteGuard interface {
	JudgeRoute(a *call.Attempt, peer string) call.Decision
	LeaveRoute(callID, peer string)
}

// Counting is a guard that tells what it compared, beside its opinion.
type Counting interface {
	JudgeCounting(a *call.Attempt) (call.Decision, []call.Count)
}

// Enactor carries out what decisions ask for beside their verdict: bans and
// holds. inUse says that somebody who is known has an address of a network.
type Enactor interface {
	Enact(a *call.Attempt, effects []call.Effect, inUse func(netip.Prefix) bool) []call.Enacted
}

// Banner is a guard that wants to know which of its bans came into force.
type Banner interface {
	Banned(a *call.Attempt, rule string)
}

// Enact carries out the effects of a decision, and tells the guards of it.
func Enact(e Enactor, guards []Guard, a *call.Attempt, d *call.Decision, inUse func(netip.Prefix) bool) []call.Enacted {
	if len(d.Effects) == 0 {
		return nil
	}
	done := e.Enact(a, d.Effects, inUse)
	for _, x := range done {
		for _, gd := range guards {
			if b, ok := gd.(Banner); ok {
				b.Banned(a, x.Rule)
			}
		}
	}
	return done
}

// Decide decides one attempt: emergency first, then the guards, cheapest
// first; the strictest verdict wins. What was decided in shadow, and flags,
// are in Also.
func Decide(guards []Guard, a *call.Attempt) (d call.Decision) {
	if a.Emergency() {
		return emergency(a)
	}
	var trace []string
	var also []call.Decision
	var counts []call.Count
	var effects []call.Effect
	var noted []call.Evidence // of guards without an opinion: exceptions that were used
	for _, gd := range guards {
		got := judge(gd, a)
		if got.Counts != nil {
			counts = append(got.Counts, counts...)
		}
		trace, also = append(trace, got.Trace...), append(also, got.Also...)
		if got.Shadow { // decided, told, not carried out
			also = append(also, got)
			continue
		}
		effects = append(effects, got.Effects...)
		if got.Verdict == call.Abstain {
			noted = append(noted, got.Evidence...)
		}
		if got.Verdict == call.Challenge && (a.Source.Answered || a.Side == call.Inside) {
			got.Verdict = call.Allow // a PBX is known by its address; anybody else was asked for credentials and has some
		}
		if got.Verdict > d.Verdict {
			d = got
		}
		if d.Verdict == call.Drop {
			break // nothing is stricter; the guards left cost more
		}
	}
	if d.Verdict == call.Abstain {
		d = Fallback(a)
	}
	if d.Verdict == call.Challenge {
		d.Status = 407
		if a.Method == "REGISTER" {
			d.Status = 401
		}
	}
	if noted != nil {
		d.Evidence = append(slices.Clone(d.Evidence), noted...)
	}
	d.Trace, d.Also, d.Counts, d.Effects = trace, also, counts, effects
	return d
}

func emergency(a *call.Attempt) call.Decision {
	d := call.Decision{Verdict: call.Allow, Rule: RuleEmergency, Reason: "emergency call", Severity: call.High,
		Subject: call.Subject{Kind: "user", Value: a.User}, Trace: []string{RuleEmergency}}
	if a.Pass <= 1 { // one alert for the call, not one for each pass
		d.Action = call.EmergencyCall
	}
	return d
}

// Fallback is what happens when no guard has an opinion: strangers may only
// register, everybody identified may go on.
func Fallback(a *call.Attempt) call.Decision {
	if a.PeerKind != call.Stranger || a.Method == "REGISTER" {
		return call.Decision{Verdict: call.Allow}
	}
	return call.Decision{Verdict: call.Reject, Status: 403, Rule: RuleStranger, Severity: call.Medium, Action: call.RequestRejected,
		Reason:  a.Method + " from a source that is not registered and no peer",
		Subject: call.Subject{Kind: "source", Value: a.Source.Addr.Addr().String()}}
}

// RuleOwnNumber flags what comes from outside with one of our own numbers.
const RuleOwnNumber = "base/own-number"

// Flags are what is told of a caller beside the decision, whatever it is.
func Flags(a *call.Attempt) []call.Decision {
	if a.PeerKind != call.Carrier || !a.From.Own {
		return nil
	}
	return []call.Decision{{Rule: RuleOwnNumber, Action: call.RuleFlagged, Severity: call.Medium,
		Reason: "peer " + a.Peer + " brings a call from one of our own numbers", Subject: call.Subject{Kind: "from", Value: a.From.E164()},
		Evidence: []call.Evidence{{Name: "call.from.number", Value: a.From.E164()}}}}
}

// judge turns a panicking guard into a rejection.
func judge(gd Guard, a *call.Attempt) (d call.Decision) {
	defer func() {
		if p := recover(); p != nil {
			d = call.Decision{Verdict: call.Reject, Status: 500, Rule: gd.Name() + "/panic", Severity: call.Critical,
				Action: call.CallFailed, Reason: fmt.Sprint("guard failed: ", p)}
		}
	}()
	if c, ok := gd.(Counting); ok {
		d, counts := c.JudgeCounting(a)
		d.Counts = counts
		return d
	}
	return gd.Judge(a)
}

// Outcome tells the guards that count failures how an attempt ended.
func Outcome(guards []Guard, a *call.Attempt, code int) {
	for _, gd := range guards {
		if o, ok := gd.(Outcomer); ok {
			o.Outcome(a, code)
		}
	}
}

// Done tells the guards that count calls that one is over.
func Done(guards []Guard, callID string) {
	for _, gd := range guards {
		if r, ok := gd.(Releaser); ok {
			r.Done(callID)
		}
	}
}

// MayRoute asks the guards that count calls towards a peer.
func MayRoute(guards []Guard, a *call.Attempt, peer string) call.Decision {
	if a.Emergency() {
		return call.Decision{Verdict: call.Allow} // a full trunk refuses by itself
	}
	for _, gd := range guards {
		if rg, ok := gd.(RouteGuard); ok {
			if d := rg.JudgeRoute(a, peer); d.Verdict > call.Allow {
				return d
			}
		}
	}
	return call.Decision{Verdict: call.Allow}
}

// LeaveRoute takes back what MayRoute counted for a call that goes elsewhere.
func LeaveRoute(guards []Guard, callID, peer string) {
	for _, gd := range guards {
		if rg, ok := gd.(RouteGuard); ok {
			rg.LeaveRoute(callID, peer)
		}
	}
}
