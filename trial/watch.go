package trial

import (
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
)

// connected asks the rules about a connection.
func (b *Bench) connected(a *call.Attempt) Outcome {
	return b.enact(a, admission.Connect([]admission.Guard{b.o.Set}, a))
}

// progress looks again at a call that is up; a rule that hangs up ends it.
func (b *Bench) progress(at time.Time, r *Request) (*call.Attempt, Outcome, error) {
	c := b.ids[r.Call]
	if c == nil || c.first == nil {
		return nil, Outcome{}, fmt.Errorf("no call %q is up", r.Call)
	}
	a := *c.first
	a.At, a.On, a.Elapsed = at, call.Progress, at.Sub(c.first.At)
	if a.Emergency() {
		return &a, Outcome{Decision: call.Decision{Verdict: call.Allow}}, nil // left alone
	}
	d, ending := admission.Progress([]admission.Guard{b.o.Set}, &a, &c.told)
	out := b.enact(&a, d)
	if ending != "" {
		b.End(a.ID)
	}
	return &a, out, nil
}
