package admission

import "github.com/rampart-sbc/rampart/call"

// Connect decides on a connection: it is let be or dropped, and nobody's silence
// drops it. Those of peers and of addresses where a good registration came from
// are let be whatever a rule says: who comes back over them may need help.
func Connect(guards []Guard, a *call.Attempt) call.Decision {
	d := Decide(guards, a)
	known := !a.Stranger() || a.Source.Registered || a.Source.Configured
	if known || d.Verdict != call.Drop && d.Status != 500 { // 500: a guard failed, and a failing guard refuses
		d = call.Decision{Verdict: call.Allow, Trace: d.Trace, Also: d.Also, Effects: d.Effects}
	}
	return d
}
