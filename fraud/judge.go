package fraud

import (
	"github.com/rampart-sbc/rampart/call"
)

// Name of the guard.
func (e *Engine) Name() string { return "fraud" }

// Judge says what is to be done with a call that begins, from what was found
// before. It changes nothing. Emergency calls are never given to it.
func (e *Engine) Judge(a *call.Attempt) call.Decision {
	if a.Method != "INVITE" || a.On != call.Request || a.Direction != call.Outbound || a.To.E164() == "" {
		return call.Decision{}
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	far, _ := e.rates.Look(a.To.E164())
	why, _, guarded := e.ping.callback(a.Account, a.User, a.To.E164(), far.Class, max(e.now, a.At.UnixNano()))
	r := e.cfg.Rules[IDCallback]
	if !guarded || r.Off || r.Then.Verdict == call.Abstain {
		return call.Decision{}
	}
	return call.Decision{Verdict: r.Then.Verdict, Status: r.Then.Status, Shadow: e.shadow(IDCallback), Rule: IDCallback, Action: call.PingCallCallback,
		Severity: call.High, Subject: call.Subject{Kind: "to", Value: a.To.E164()}, Reason: "a call back to a ping call: " + why, Trace: []string{IDCallback}}
}
