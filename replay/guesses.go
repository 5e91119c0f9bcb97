package replay

import (
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/trial"
)

// limitsFound gives the detectors what limits found out about guessing, unless
// the recording has what they found then: a line that is numbered is one of the
// gateway's, and its findings stand among the others.
func (c *candidate) limitsFound(ev *call.Event, a *call.Attempt, out *trial.Outcome) {
	c.findings.Of(&out.Decision, a.At, func(d *call.Decision, n int) {
		if !c.old {
			c.rep.Labelled.limit(ev, d)
		}
		if ev.Seq != 0 {
			return
		}
		e := call.Event{At: call.Time{Time: a.At}, Kind: call.EventFinding, ID: "finding-" + ev.ID, Account: a.Account, Peer: a.Peer, User: a.User,
			Source: ev.Source, SourceCountry: a.Source.Country, UserAgent: a.UserAgent, Verdict: d.Verdict.String(), Rule: d.Rule, Action: d.Action,
			Subject: &d.Subject, Evidence: d.Evidence, Count: n}
		if a.Method == "REGISTER" {
			e.User = a.RegisterUser
		}
		c.found(c.fraud.Observe(e))
	})
}
