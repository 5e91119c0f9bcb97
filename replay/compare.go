package replay

import (
	"slices"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

// compare gives an event to both sides and notes where they differ. Without a
// second side the recorded verdict is what New is compared with; what was flagged
// then is not on record.
func (r *Report) compare(next, old *candidate, it *item) {
	ev := &it.Event
	g, err := next.take(it)
	if err != nil {
		if r.Failed++; r.FirstFailure == "" {
			r.FirstFailure = err.Error()
		}
	}
	var was *going
	if old != nil {
		if was, err = old.take(it); err != nil {
			was = nil
		}
	}
	switch {
	case g == nil:
	case ev.Kind == call.EventInvite:
		r.judged(g, was, old != nil, ev)
	case ev.Kind == call.EventEnd:
		r.ended(next, g, ev)
	}
}

// judged notes the difference in one call.
func (r *Report) judged(g, was *going, two bool, ev *call.Event) {
	allowed, rule := ev.Verdict == "" || ev.Verdict == call.Allow.String(), ev.Rule
	if two && was != nil {
		allowed, rule = was.out.Permits(), was.out.Rule
	}
	if !allowed {
		r.RefusedOld++
	}
	x := example(ev)
	is := g.out.Permits()
	if !is {
		r.Refused++
		x.Reason = g.out.Reason
	}
	switch {
	case allowed && !is:
		g.newly = g.out.Rule
		r.NewlyRefused.add(g.out.Rule, x)
	case !allowed && is:
		r.NewlyAllowed.add(rule, x)
	}
	for i := range g.out.Also {
		d := &g.out.Also[i]
		x.Reason = d.Reason
		switch {
		case two && was != nil && slices.ContainsFunc(was.out.Also, func(o call.Decision) bool { return o.Rule == d.Rule && o.Shadow == d.Shadow }):
		case !d.Shadow:
			r.NewlyFlagged.add(d.Rule, x)
		default:
			g.would = d.Rule
			r.WouldRefuse.add(d.Rule, x)
		}
	}
}

// ended says what a call cost, and what of that would have been kept.
func (r *Report) ended(c *candidate, g *going, ev *call.Event) {
	rate, ok := c.side.Rates.Look(g.a.To.E164())
	if !ok || g.a.Direction != call.Outbound || g.answered.IsZero() {
		return
	}
	end := ev.At.Time
	seconds := end.Sub(g.answered).Seconds()
	if ev.Seconds != nil {
		seconds = min(max(*ev.Seconds, 0), seconds+1)
	}
	cost := func(seconds float64) float64 { return max(seconds, 0) / 60 * rate.PerMinute }
	all := cost(seconds)
	r.Money.Spent += all
	switch {
	case g.newly != "":
		r.Money.Refused += all
		r.NewlyRefused.cost(g.newly, all)
	case !g.cut.IsZero():
		r.Money.Cut += cost(end.Sub(g.cut).Seconds())
	case g.would != "":
		r.Money.Shadow += all
		r.WouldRefuse.cost(g.would, all)
	case !g.wouldCut.IsZero():
		r.Money.Shadow += cost(end.Sub(g.wouldCut).Seconds())
	}
}

// finding counts what a detector found.
func (r *Report) finding(c *candidate, f *fraud.Finding) {
	if f.Quiet || f.Grown {
		return
	}
	all := r.Found
	if c.old {
		all = r.FoundOld
	}
	e := all[f.Detector]
	if e == nil {
		if len(all) == maxRules {
			return
		}
		e = &Found{}
		all[f.Detector] = e
	}
	e.Findings++
	if f.At.Equal(f.First.Time) { // it began
		e.Incidents++
		if len(e.Examples) < maxExamples {
			e.Examples = append(e.Examples, Example{At: f.At.Time, ID: f.CallID, From: f.From, User: f.User, To: f.To, Source: f.Source, Reason: f.Reason})
		}
	}
}

// alerted counts a line.
func (r *Report) alerted(e *alert.Event) { r.Alerts[e.Event.Action]++ }

func example(ev *call.Event) Example {
	return Example{At: ev.At.Time, ID: ev.ID, From: ev.From, User: ev.User, To: ev.To, Source: ev.Source}
}
