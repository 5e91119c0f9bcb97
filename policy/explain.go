package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Explaining is what [Set.Explain] needs beside the request.
type Explaining struct {
	Counts []call.Count // what the limits compared then; nil: unknown
	// Most is how many entries that did not match are told of each kind; 0 for
	// all. How many were left out is told.
	Most int
}

// Explain tells how the Set comes to its opinion on an attempt: each limit,
// `countries:`, each rule in the order of asking, and why it did or did not
// match. It judges by the same code as [Set.Judge] and is asked by people
// only: it allocates as it likes.
func (s *Set) Explain(a *call.Attempt, x Explaining) []call.Step {
	e := explainer{set: s, a: a, most: x.Most, at: map[string]string{}}
	for _, r := range s.rules {
		if !r.Overridden {
			e.at[r.ID] = fmt.Sprintf("%s:%d", r.File, r.Line)
		}
	}
	e.limits(x.Counts)
	e.places()
	e.rules()
	if a.To.Other != nil && !a.Emergency() {
		b := otherReading(a)
		e.add(call.StageCallee, call.Noted, "", "everything is asked once more for those who read the dialled text as %s; the stricter opinion counts", b.To.Number)
		e.a = b
		e.places()
		e.rules()
	}
	return e.steps
}

type explainer struct {
	set   *Set
	a     *call.Attempt
	most  int
	at    map[string]string // place by rule id
	steps []call.Step
}

func (e *explainer) add(stage call.Stage, out call.Outcome, rule, format string, args ...any) *call.Step {
	e.steps = append(e.steps, call.Step{Stage: stage, Outcome: out, Rule: rule, At: e.at[rule], Text: fmt.Sprintf(format, args...)})
	return &e.steps[len(e.steps)-1]
}

// misses keeps what did not match within bounds.
type misses struct{ shown, hidden int }

func (m *misses) show(most int) bool {
	if most > 0 && m.shown >= most {
		m.hidden++
		return false
	}
	m.shown++
	return true
}

// limits tells what was counted, and why the others counted nothing.
func (e *explainer) limits(counts []call.Count) {
	told := map[string]bool{}
	for _, c := range counts {
		told[c.Limit] = true
		e.steps = append(e.steps, e.count(c))
	}
	var m misses
	for i := range e.set.counted {
		l := &e.set.counted[i]
		if told[l.ID] {
			continue
		}
		var out call.Outcome
		var text string
		switch miss := e.missed(&l.match, l.when, true, l.expires); {
		case e.a.Emergency():
			out, text = call.Skipped, "an emergency call is not counted"
		case miss != nil && miss.Name == "on":
			out, text = call.Skipped, "counts "+fmt.Sprint(miss.Threshold)
		case miss != nil:
			out, text = call.Missed, missText(miss)
		case counts == nil:
			out, text = call.Noted, "would be counted: "+l.threshold()
		default:
			out, text = call.Skipped, "counts such requests, but not this one: no value for "+strings.Join(l.Key, ", ")+
				", counted before (an answer to a challenge, a later pass), or another limit had refused"
		}
		if m.show(e.most) {
			e.add(call.StageLimit, out, l.ID, "%s", text)
		}
	}
	if m.hidden > 0 {
		e.add(call.StageLimit, call.Noted, "", "%d more limits counted nothing", m.hidden)
	}
}

// count is the step about one comparison.
func (e *explainer) count(c call.Count) call.Step {
	st := call.Step{Stage: call.StageLimit, Outcome: call.Passed, Rule: c.Limit, At: e.at[c.Limit],
		Values: []call.Evidence{{Name: c.Unit, Value: c.Value, Threshold: c.Most}}}
	st.Text = CountText(c)
	if c.Over {
		st.Outcome = call.Matched
		if c.Shadow {
			st.Outcome = call.Shadowed
		}
	}
	for _, l := range e.set.limits {
		if l.ID == c.Limit {
			st.Text += " (" + l.threshold() + ")"
			break
		}
	}
	return st
}

// CountText says in words what a limit compared.
func CountText(c call.Count) string {
	switch {
	case c.Unit == "requests" && c.Over:
		return fmt.Sprintf("the burst of %d is used up", c.Most)
	case c.Unit == "requests":
		return fmt.Sprintf("%d of a burst of %d used", c.Value, c.Most)
	case c.Over:
		return fmt.Sprintf("%d of %d %s: no more", c.Value, c.Most, c.Unit)
	}
	return fmt.Sprintf("%d of %d %s", c.Value, c.Most, c.Unit)
}

// threshold is the limit as its author wrote it.
func (l *Limit) threshold() string {
	per := ""
	if len(l.Key) > 0 {
		per = " per " + strings.Join(l.Key, " and ")
	}
	switch {
	case l.Concurrent > 0:
		return fmt.Sprintf("%d calls at a time%s", l.Concurrent, per)
	case l.Failures > 0:
		return fmt.Sprintf("%d failures in %s%s", l.Failures, l.Over, per)
	}
	return fmt.Sprintf("%.4g/s, burst %d%s", l.Rate, l.Burst, per)
}

// places tells what `countries:` looked at, and the entry that decided.
func (e *explainer) places() {
	p, a := &e.set.places, e.a
	add := func(out call.Outcome, rule, format string, args ...any) {
		e.add(call.StageCountries, out, rule, format, args...)
	}
	on := methodOf(a.Method)
	switch {
	case !p.set:
		add(call.Skipped, "", "the policy has no countries:")
		return
	case on&(onInvite|onMessage|onRefer) == 0:
		add(call.Skipped, "", "asked of calls, messages and transfers only")
		return
	case a.Direction != call.Outbound:
		add(call.Skipped, "", "asked of outbound requests only; this one is %s", a.Direction)
		return
	case a.To.Kind == call.Emergency:
		add(call.Skipped, "", "not asked of emergency numbers")
		return
	}
	number := a.To.E164()
	if number == "" {
		shown := a.To.Number
		if shown == "" {
			shown = a.To.User
		}
		if p.short[a.To.Number] || p.short[a.To.User] {
			add(call.Passed, "", "%s is a short number that countries.short opens", clip(shown))
			return
		}
		add(call.Matched, RuleInvalidNumber, "%s is no public number (it is %s) and not in countries.short", clip(shown), a.To.Kind)
		return
	}
	if slices.Contains(p.classes, a.To.Class) {
		add(call.Matched, RuleClassDenied, "class %s is denied%s; allow: does not open classes", a.To.Class, e.entry(a.To.Class))
		return
	}
	add(call.Passed, "", "class %s is not denied", a.To.Class)
	if length, denied := p.prefix.longest(number); length > 0 {
		prefix := number[:length]
		if denied {
			add(call.Matched, RuleDenied, "the longest prefix that is listed is %s: denied%s", prefix, e.entry(prefix))
		} else {
			add(call.Passed, "", "the longest prefix that is listed is %s: allowed%s", prefix, e.entry(prefix))
		}
		return
	}
	add(call.Passed, "", "no prefix of %s is listed", number)
	country := a.To.Country
	if denied, listed := p.country[country]; listed {
		if denied {
			add(call.Matched, RuleDenied, "country %s is denied%s", country, e.entry(country))
		} else {
			add(call.Passed, "", "country %s is allowed%s", country, e.entry(country))
		}
		return
	}
	what := "country " + country
	if country == "" {
		what = "a number without a country"
	}
	switch {
	case !p.deny:
		add(call.Passed, "", "%s is not listed; the default is allow%s", what, e.entry("default"))
	case country != "" && country == p.home:
		add(call.Passed, "", "%s is home", what)
	default:
		add(call.Matched, RuleDenied, "%s is not listed; the default is deny%s", what, e.entry("default"))
	}
}

// entry says where an entry of `countries:` stands.
func (e *explainer) entry(key string) string {
	if at := e.set.places.from[key]; at != "" {
		return ", " + at
	}
	return ""
}

// rules tells of each rule in the order of asking.
func (e *explainer) rules() {
	on := methodOf(e.a.Method)
	for i := range e.set.files {
		f := &e.set.files[i]
		var m misses
		other, decided := 0, ""
		for _, r := range f.rules {
			switch miss := e.missed(&r.match, r.when, r.refuses(), r.expires); {
			case e.a.Emergency():
				if m.show(e.most) {
					e.add(call.StageRule, call.Skipped, r.id, "an emergency call is asked nothing")
				}
			case r.match.on&on == 0:
				other++
			case decided != "":
				if m.show(e.most) {
					e.add(call.StageRule, call.Skipped, r.id, "%s has decided for %s", decided, f.name)
				}
			case miss != nil:
				if m.show(e.most) {
					e.add(call.StageRule, call.Missed, r.id, "%s", missText(miss)).Values = []call.Evidence{*miss}
				}
			default:
				decided = e.matched(r)
			}
		}
		if m.hidden > 0 {
			e.add(call.StageRule, call.Noted, "", "%d more rules of %s did not match or were not asked", m.hidden, f.name)
		}
		if other > 0 {
			e.add(call.StageRule, call.Skipped, "", "%d rules of %s are not asked of %s", other, f.name, e.a.Method)
		}
	}
}

// matched tells of a rule that matched; it returns the rule's id when the rule
// decides for its file.
func (e *explainer) matched(r *rule) (decided string) {
	var failed error
	if r.when != nil {
		_, failed = r.when.prog.Holds(e.set.facts(e.a))
	}
	d := r.decide(e.a, e.set, failed)
	st := e.add(call.StageRule, call.Matched, r.id, "%s: %s", r.does(), clip(d.Reason))
	st.Values = d.Evidence
	switch {
	case r.flag:
		st.Outcome = call.Flagged
	case r.shadow:
		st.Outcome = call.Shadowed
		st.Text += " (mode: shadow, so it is told and not carried out)"
	default:
		return r.id
	}
	return ""
}

// does is `then:` in words.
func (r *rule) does() string {
	switch {
	case r.flag:
		return "flag"
	case r.verdict == call.Reject:
		return fmt.Sprintf("reject %d", r.status)
	}
	return r.verdict.String()
}

// missed says why an entry does not match, nil when it does. refuses says
// that a condition which cannot be evaluated holds.
func (e *explainer) missed(m *matcher, w *condition, refuses bool, expires time.Time) *call.Evidence {
	if !expires.IsZero() && !e.a.At.Before(expires) {
		return &call.Evidence{Name: "expires", Value: e.a.At.UTC().Format(time.RFC3339), Threshold: expires.UTC().Format(time.RFC3339)}
	}
	if miss := m.missed(e.a, e.set.lists); miss != nil || w == nil {
		return miss
	}
	f := e.set.facts(e.a)
	if ok, err := w.prog.Holds(f); ok || err != nil && refuses {
		return nil
	}
	var parts []string
	for _, p := range w.prog.Why(f) {
		parts = append(parts, p.String())
	}
	return &call.Evidence{Name: "when", Value: strings.Join(parts, "; "), Threshold: w.prog.Text}
}
