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

func plural(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
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
	other := 0
	for i := range e.set.counted {
		l := &e.set.counted[i]
		if told[l.ID] {
			continue
		}
		var out call.Outcome
		var text string
		switch miss := missed(&l.match, l.expires, e.a, e.set.lists); {
		case e.a.Emergency():
			out, text = call.Skipped, "an emergency call is not counted"
		case miss != nil && miss.Name == "on":
			other++
			continue
		case miss != nil:
			out, text = call.Missed, missText(miss)
		case l.when != nil && !l.when.counts(e.a, e.set):
			out, text = call.Missed, l.when.whyText(e.a, e.set)
		case l.except.find(e.a, e.set) != nil:
			out, text = call.Opened, exceptText(l.except.find(e.a, e.set))
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
	if other > 0 {
		e.add(call.StageLimit, call.Skipped, "", "%s not %s", plural(other, "limit counts", "limits count"), e.a.Method)
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
	case l.Unanswered:
		return fmt.Sprintf("%d different %s without an answer to the challenge in %s%s", l.Distinct, l.Of, l.Over, per)
	case l.Failures > 0 && l.Distinct > 0:
		return fmt.Sprintf("%d failures over %d different %s in %s%s", l.Failures, l.Distinct, l.Of, l.Over, per)
	case l.Leak > 0:
		return fmt.Sprintf("%d failures, %s forgotten%s", l.Failures, call.RateText(l.Leak), per)
	case l.Failures > 0:
		return fmt.Sprintf("%d failures in %s%s", l.Failures, l.Over, per)
	case l.Distinct > 0:
		return fmt.Sprintf("%d different %s in %s%s", l.Distinct, l.Of, l.Over, per)
	}
	return fmt.Sprintf("%s, burst %d%s", call.RateText(l.Rate), l.Burst, per)
}

// places tells what `countries:` looked at, and the entry that decided.
func (e *explainer) places() {
	p, a := &e.set.places, e.a
	add := func(out call.Outcome, rule, format string, args ...any) {
		e.add(call.StageCountries, out, rule, format, args...)
	}
	switch {
	case !p.set:
		add(call.Skipped, "", "the policy has no countries:")
		return
	case bitOf(a)&onReach == 0:
		add(call.Skipped, "", "asked of calls, messages and transfers only")
		return
	case a.Direction != call.Outbound:
		add(call.Skipped, "", "asked of outbound requests only; this one is %s", a.Direction)
		return
	case a.To.Kind == call.Emergency:
		add(call.Skipped, "", "not asked of emergency numbers")
		return
	}
	if a.To.E164() == "" {
		shown := a.To.Number
		if shown == "" {
			shown = a.To.User
		}
		if p.short[a.To.Number] || p.short[a.To.User] {
			add(call.Passed, "", "%s is a short number that countries.short opens", clip(shown))
			return
		}
		e.against(p.invalid, RuleInvalidNumber, fmt.Sprintf("%s is no public number (it is %s) and not in countries.short", clip(shown), a.To.Kind))
		return
	}
	if slices.Contains(p.classes, a.To.Class) {
		if e.against(p.classDenied, RuleClassDenied, fmt.Sprintf("class %s is denied%s; allow: does not open classes", a.To.Class, e.entry(a.To.Class))) {
			return
		}
	} else {
		add(call.Passed, "", "class %s is not denied", a.To.Class)
	}
	text := e.place()
	if p.shut(a) {
		e.against(p.denied, RuleDenied, text)
		return
	}
	add(call.Passed, "", "%s", text)
}

// place says which entry is about the number.
func (e *explainer) place() string {
	p, number, country := &e.set.places, e.a.To.E164(), e.a.To.Country
	said := func(denied bool) string { return map[bool]string{true: "denied", false: "allowed"}[denied] }
	if length, denied := p.prefix.longest(number); length > 0 {
		prefix := number[:length]
		return fmt.Sprintf("the longest prefix that is listed is %s: %s%s", prefix, said(denied), e.entry(prefix))
	}
	e.add(call.StageCountries, call.Passed, "", "no prefix of %s is listed", number)
	what := "country " + country
	if country == "" {
		what = "a number without a country"
	}
	if denied, listed := p.country[country]; listed {
		return fmt.Sprintf("%s is %s%s", what, said(denied), e.entry(country))
	}
	switch {
	case !p.deny:
		return fmt.Sprintf("%s is not listed; the default is allow%s", what, e.entry("default"))
	case country != "" && country == p.home:
		return what + " is home"
	}
	return fmt.Sprintf("%s is not listed; the default is deny%s", what, e.entry("default"))
}

// against tells of a refusal, or of the exception that opened it.
func (e *explainer) against(x *exceptions, rule, text string) (refused bool) {
	if ex := x.find(e.a, e.set); ex != nil {
		e.add(call.StageCountries, call.Opened, rule, "%s, but %s", text, exceptText(ex))
		return false
	}
	e.add(call.StageCountries, call.Matched, rule, "%s", text)
	return true
}

// exceptText says which exception it is, and whose.
func exceptText(x *exception) string {
	text := fmt.Sprintf("an exception lets it past (%s:%d", x.File, x.Line)
	for _, s := range []string{x.Owner, x.Ticket} {
		if s != "" {
			text += ", " + s
		}
	}
	if !x.Expires.IsZero() {
		text += ", until " + x.Expires.Format(time.RFC3339)
	}
	return text + ")"
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
	on := bitOf(e.a)
	for i := range e.set.files {
		f := &e.set.files[i]
		var m misses
		other, decided := 0, ""
		tell := func(out call.Outcome, r *rule, text string, values ...call.Evidence) {
			if m.show(e.most) {
				e.add(call.StageRule, out, r.id, "%s", text).Values = values
			}
		}
		for _, r := range f.rules {
			switch miss := missed(&r.match, r.expires, e.a, e.set.lists); {
			case e.a.Emergency():
				tell(call.Skipped, r, "an emergency call is asked nothing")
			case r.match.on&on == 0:
				other++
			case decided != "":
				tell(call.Skipped, r, fmt.Sprintf("%s has decided for %s", decided, f.name))
			case miss != nil:
				tell(call.Missed, r, missText(miss), *miss)
			case r.when != nil && !r.conditionHolds(e.a, e.set):
				if m.show(e.most) { // asked only then: to say why costs more than to judge
					why := r.when.whyText(e.a, e.set)
					e.add(call.StageRule, call.Missed, r.id, "%s", why).Values = []call.Evidence{{Name: "when", Value: why, Threshold: clip(r.when.prog.Text)}}
				}
			case r.except.find(e.a, e.set) != nil:
				e.add(call.StageRule, call.Opened, r.id, "it matched, but %s", exceptText(r.except.find(e.a, e.set)))
			default:
				decided = e.matched(r)
			}
		}
		if m.hidden > 0 {
			e.add(call.StageRule, call.Noted, "", "%d more rules of %s did not match or were not asked", m.hidden, f.name)
		}
		if other > 0 {
			e.add(call.StageRule, call.Skipped, "", "%s of %s for other requests than %s", plural(other, "rule", "rules"), f.name, e.a.Method)
		}
	}
}

// conditionHolds is what the condition comes to, errors as [rule.asked] takes
// them.
func (r *rule) conditionHolds(a *call.Attempt, s *Set) bool {
	ok, err := r.when.prog.Holds(s.facts(a))
	if err != nil {
		return r.refuses()
	}
	return ok
}

// whyText says which parts of a condition made it what it is.
func (w *condition) whyText(a *call.Attempt, s *Set) string {
	var parts []string
	for _, p := range w.prog.Why(s.facts(a)) {
		if len(parts) == 4 {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, p.String())
	}
	if parts == nil {
		return "when: does not hold"
	}
	return "when: " + strings.Join(parts, "; ")
}

// matched tells of a rule that matched; it returns the rule's id when the rule
// decides for its file.
func (e *explainer) matched(r *rule) (decided string) {
	d := r.decide(e.a, e.set, nil)
	st := e.add(call.StageRule, call.Matched, r.id, "%s: %s", r.does(), clip(d.Reason))
	if r.when != nil {
		st.Text += "; " + r.when.whyText(e.a, e.set)
	}
	st.Values = d.Evidence
	switch {
	case r.flag:
		st.Outcome = call.Flagged
	case r.shadow:
		st.Outcome = call.Shadowed
		st.Text += " (mode: shadow, so it is told and not carried out)"
	case d.Verdict > call.Abstain:
		return r.id
	}
	return ""
}

// does is `then:` in words.
func (r *rule) does() string {
	switch {
	case r.flag:
		return "flag"
	case r.act != call.NoAct && r.last > 0:
		return r.act.String() + " for " + r.last.String()
	case r.act != call.NoAct:
		return r.act.String()
	case r.verdict == call.Reject:
		return fmt.Sprintf("reject %d", r.status)
	}
	return r.verdict.String()
}
