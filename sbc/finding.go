package sbc

import "github.com/rampart-sbc/rampart/call"

// found tells the event stream what limits found out about guessing.
func (g *Gateway) found(a *call.Attempt, d *call.Decision) {
	g.findings.Of(d, a.At, func(d *call.Decision, n int) {
		e := g.event(call.EventFinding, a, newID())
		subject := d.Subject
		e.Rule, e.Verdict, e.Action, e.Subject, e.Evidence, e.Count = d.Rule, d.Verdict.String(), d.Action, &subject, d.Evidence, n
		if a.Method == "REGISTER" {
			e.User = a.RegisterUser
		}
		g.tell(e)
	})
}
