package fraud

import (
	"github.com/rampart-sbc/rampart/call"
)

// Name of the guard.
func (e *Engine) Name() string { return "fraud" }

// Judge says what is to be done with a call that begins, from what was found
// before. It changes nothing. Emergency calls are never given to it.
func (e *Engine) Judge(a *call.Attempt) (d call.Decision) {
	if a.Method != "INVITE" || a.On != call.Request || a.Direction != call.Outbound || a.To.E164() == "" {
		return call.Decision{}
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	now := max(e.now, a.At.UnixNano())
	far, known := e.rates.Look(a.To.E164())
	c := running{account: a.Account, user: a.User, to: a.To.E164(), far: far, paid: known, outbound: true}
	if k, usd, limit, ok := e.spend.used(&c, now); ok {
		e.opine(&d, overspent(k, usd, limit, &c))
	}
	if n, ok := e.costly.full(&c, now); ok && a.Pass <= 1 { // a later pass was counted as the first
		e.opine(&d, e.costly.tooMany(n, &c))
	}
	if b, ok := e.ping.callback(a, far.Class, now); ok && !b.mild {
		e.opine(&d, call.Decision{Rule: IDCallback, Action: call.PingCallCallback, Severity: call.High,
			Subject: call.Subject{Kind: "to", Value: a.To.E164()}, Reason: "a call back to a ping call: " + b.how})
	}
	return d
}

// opine adds what a detector would say of a call, with the verdict that it is
// configured to have. The strictest that is not in shadow stands.
func (e *Engine) opine(d *call.Decision, x call.Decision) {
	r := e.cfg.Rules[x.Rule]
	if r.Off || r.Then.Verdict == call.Abstain {
		return
	}
	x.Verdict, x.Status, x.Shadow, x.Trace = r.Then.Verdict, r.Then.Status, e.shadow(x.Rule), []string{x.Rule}
	switch {
	case x.Shadow:
		x.Trace = nil
		d.Also, d.Trace = append(d.Also, x), append(d.Trace, x.Rule)
	case x.Verdict > d.Verdict:
		x.Also, x.Trace = d.Also, append(d.Trace, x.Rule)
		*d = x
	}
}
