package fraud

import (
	"github.com/rampart-sbc/rampart/call"
)

// Name of the guard.
func (e *Engine) Name() string { return "fraud" }

// A question is a call that begins, as detectors see it.
type question struct {
	*call.Attempt
	from, to string // canonical numbers; that of the side inside may be empty
	far      Rate
	known    bool // that is far
	now      int64
}

// Judge says what is to be done with a call that begins, from what was found
// before. It changes nothing. Calls inside the house are no concern of it; nor
// are calls for help, to whomever they are given.
func (e *Engine) Judge(a *call.Attempt) (d call.Decision) {
	if a.Method != "INVITE" || a.On != call.Request || a.Help || a.To.Kind == call.Emergency {
		return call.Decision{}
	}
	q := question{Attempt: a, from: a.From.E164(), to: a.To.E164()}
	out := a.Direction == call.Outbound && q.to != ""
	if in := a.Direction == call.Inbound && q.from != ""; !in && !out {
		return call.Decision{}
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	q.now = e.time(nanos(a.At))
	o := opinion{of: a}
	if out {
		q.far, q.known = e.rates.Look(q.to)
		e.payers(&q, &o)
		e.numbers(&o, concernsTo, q.to, q.now, true, "to", "to_prefix")
		e.callsBack(&o, &q)
		e.spends(&o, &q)
	} else {
		q.far, _ = e.rates.Look(q.from)
		if e.ping.contact(q.Account, q.from, q.now) {
			return call.Decision{} // a number that we talk to: its name may be forged, and it must get through
		}
		// Nor is anybody whom we talked to before held liable for his neighbours.
		e.numbers(&o, concernsFrom, q.from, q.now, e.ping.stranger(q.Account, q.from, q.now), "from", "from_prefix")
	}
	return o.Decision
}

// JudgeRoute says whether a carrier may take a call to its destination.
func (e *Engine) JudgeRoute(a *call.Attempt, peer string) (d call.Decision) {
	to := a.To.E164()
	if to == "" || a.Direction != call.Outbound || a.Emergency() {
		return call.Decision{}
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	far, _ := e.rates.Look(to)
	now := e.time(nanos(a.At))
	o := opinion{of: a}
	e.against(&o, standKey{concernsPeer, far.Code, peer}, now, "peer")
	c := running{peer: peer, far: far, paid: true, outbound: true}
	if k, usd, limit, ok := e.spend.used(&c, now); ok {
		e.opine(&o, overspent(k, usd, limit, &c))
	}
	return o.Decision
}

// LeaveRoute: nothing was counted.
func (e *Engine) LeaveRoute(string, string) {}

func (e *Engine) payers(q *question, d *opinion) {
	if q.far.Class == Home {
		return
	}
	e.against(d, standKey{concernsUser, q.Account, q.User}, q.now, "user")
	e.against(d, standKey{concernsAccount, "", q.Account}, q.now, "account")
}

// numbers asks for a number, and where blocks count for those of a thousand and
// ten thousand that it stands in.
func (e *Engine) numbers(d *opinion, k standKind, n string, now int64, blocks bool, kind, prefix string) {
	e.against(d, standKey{k, "", n}, now, kind)
	for last := 3; blocks && last <= 4; last++ {
		if b := block(n, last); b != n {
			e.against(d, standKey{k, "", b}, now, prefix)
		}
	}
}

// against adds what stands against a key.
func (e *Engine) against(d *opinion, k standKey, now int64, kind string) {
	if k.Value == "" || e.standing(k.Kind).len() == 0 {
		return
	}
	all := e.standing(k.Kind).peek(k, now)
	if all == nil {
		return
	}
	for i := range all {
		if s := &all[i]; s.Detector != "" && now < s.Until && e.cfg.Rules[s.Detector].refuses() {
			e.opine(d, call.Decision{Rule: s.Detector, Action: s.Action, Severity: s.Severity, Subject: call.Subject{Kind: kind, Value: k.Value},
				Reason: s.Reason, Evidence: []call.Evidence{{Name: "incident", Value: s.Incident}}})
		}
	}
}

// spends asks for budgets that are used up, and for a place among costly calls.
func (e *Engine) spends(d *opinion, q *question) {
	c := running{account: q.Account, user: q.User, to: q.to, far: q.far, paid: q.known, outbound: true}
	if k, usd, limit, ok := e.spend.used(&c, q.now); ok {
		e.opine(d, overspent(k, usd, limit, &c))
	}
	if n, ok := e.costly.full(&c, q.now); ok && q.Pass <= 1 { // a later pass was counted as the first
		e.opine(d, e.costly.tooMany(n, &c))
	}
}

// callsBack asks whether the call would be one back to a ping call.
func (e *Engine) callsBack(d *opinion, q *question) {
	if !e.cfg.Rules[IDCallback].refuses() {
		return
	}
	if b, ok := e.ping.callback(q.Attempt, q.far.Class, q.now); ok && !b.harmless() {
		x := call.Decision{Rule: IDCallback, Action: call.PingCallCallback, Severity: call.High,
			Subject: call.Subject{Kind: "to", Value: q.to}, Reason: "a call back to a ping call: " + b.how}
		if b.g != nil {
			x.Evidence = []call.Evidence{{Name: "incident", Value: b.g.ID}}
		}
		e.opine(d, x)
	}
}

// refuses reports whether a detector has a verdict on calls that begin.
func (r Rule) refuses() bool { return !r.Off && r.Then.Verdict != call.Abstain }

// opinion is what detectors say of a call.
type opinion struct {
	call.Decision
	of *call.Attempt
}

// opine adds what a detector would say of a call, with the verdict that it is
// configured to have. The strictest that is not in shadow stands.
func (e *Engine) opine(d *opinion, x call.Decision) {
	r := e.cfg.Rules[x.Rule]
	if x.Rule == IDSpend && r.Then.Act != call.NoAct && r.Then.Verdict == call.Abstain {
		r.Then.Verdict, r.Then.Status = call.Reject, 403 // whoever ends calls at the cap lets none begin beyond it
	}
	if !r.refuses() {
		return
	}
	if e.cfg.Excepted != nil && e.cfg.Excepted(d.of, x.Rule) {
		d.Trace = append(d.Trace, call.TraceException+x.Rule)
		return
	}
	x.Verdict, x.Status, x.Shadow, x.Trace = r.Then.Verdict, r.Then.Status, e.shadow(x.Rule), []string{x.Rule}
	switch {
	case x.Shadow:
		x.Trace = nil
		d.Also, d.Trace = append(d.Also, x), append(d.Trace, x.Rule)
	case x.Verdict > d.Verdict:
		x.Also, x.Trace = d.Also, append(d.Trace, x.Rule)
		d.Decision = x
	}
}
