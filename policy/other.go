package policy

import (
	"slices"

	"github.com/rampart-sbc/rampart/call"
)

// judgeOther asks everything once more about what the dialled text is for
// those who read it another way (call.Party.Other), and keeps the stricter of
// both opinions. What is flagged of either is told once.
func (s *Set) judgeOther(a *call.Attempt, d call.Decision) call.Decision {
	b := otherReading(a)
	other := s.judge(b)
	trace, also, effects := d.Trace, d.Also, d.Effects
	for _, x := range other.Effects {
		if !slices.ContainsFunc(effects, func(y call.Effect) bool { return y.Rule == x.Rule }) {
			effects = append(effects, x)
		}
	}
	if other.Verdict > d.Verdict {
		d = other
		d.Evidence = append(slices.Clone(d.Evidence), call.Evidence{Name: "call.to.read_as", Value: b.To.Number, Threshold: a.To.Number})
	}
	for _, id := range other.Trace {
		if !slices.Contains(trace, id) {
			trace = append(trace, id)
		}
	}
	for _, x := range other.Also {
		if !slices.ContainsFunc(also, func(y call.Decision) bool { return y.Rule == x.Rule }) {
			also = append(also, x)
		}
	}
	d.Trace, d.Also, d.Effects = trace, also, effects
	return d
}

// otherReading is the attempt with the callee as others read it.
func otherReading(a *call.Attempt) *call.Attempt {
	b := *a
	b.To = *a.To.Other
	b.To.Other = nil
	if b.Direction == call.Internal && b.PeerKind != call.PBX {
		b.Direction = call.Outbound
	}
	return &b
}
