package trial

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// Result is how one test went.
type Result struct {
	Test     *policy.Test
	Requests int       // that were judged
	Failures []Failure // nil: passed
}

// Passed reports whether everything was as expected.
func (r *Result) Passed() bool { return len(r.Failures) == 0 }

// maxFailures of one test are kept: a sequence that goes wrong goes wrong
// often.
const maxFailures = 5

// Failure is one request that met something else than expected.
type Failure struct {
	Index, Of int           // of the request in its test, from 1
	After     time.Duration // since the begin of the test
	Attempt   *call.Attempt // nil: the description contradicts itself
	Expect    *policy.Expect
	Outcome   Outcome
	Wrong     []string // what differs, one a line
	set       *policy.Set
	file      string // of the test
}

// Run runs one test against fresh counters. What it reached is noted in cover,
// which may be nil. Options are those of a Bench; Own and Caps are completed.
func Run(o Options, t *policy.Test, cover *Coverage) (r Result) {
	r.Test = t
	o.Own = slices.Concat(o.Own, t.Own)
	if o.Caps == (ratelimit.Caps{}) {
		// Room for every key that the test can make, and little more: a test
		// has a few requests, and there are thousands of tests.
		keys := 64 * (len(t.Requests) + 1)
		o.Caps = ratelimit.Caps{Keys: min(max(keys, 1024), 65_536), Calls: max(len(t.Requests)+1, 1)}
	}
	var engine *fraud.Engine
	o, engine, err := withDetectors(o)
	if err != nil {
		r.Failures = []Failure{{Of: len(t.Requests), Wrong: []string{err.Error()}}}
		return r
	}
	b, err := New(o)
	if err != nil {
		r.Failures = []Failure{{Of: len(t.Requests), Wrong: []string{err.Error()}}}
		return r
	}
	w := course{b: b, watch: watching{engine: engine}}
	var asked []*Failure // what may have gone wrong; known in the end
	for i := range t.Requests {
		q := &t.Requests[i]
		now := t.At.Add(q.After)
		w.until(now)
		a, d, err := b.Judge(now, q.Request.Nth(q.N))
		r.Requests++
		f := &Failure{Index: i + 1, Of: len(t.Requests), After: q.After, Attempt: a, Expect: q.Expect, Outcome: d, set: b.o.Set, file: t.File}
		if err != nil {
			f.Wrong = []string{err.Error()}
			r.Failures = failures(asked)
			r.Failures = append(r.Failures[:min(len(r.Failures), maxFailures-1)], *f)
			return r
		}
		if e := q.Expect; e != nil && (e.Findings != nil || e.Effects != nil || compare(e, d) != nil) {
			asked = append(asked, f)
		}
		cover.reached(b, a, d.Decision)
		w.met(a, q, f, now)
	}
	w.rest()
	cover.found(&w.watch)
	r.Failures = failures(asked)
	return r
}

// failures are those of what was asked that did not come.
func failures(asked []*Failure) (out []Failure) {
	for _, f := range asked {
		if f.Wrong = compare(f.Expect, f.Outcome); f.Wrong != nil && len(out) < maxFailures {
			out = append(out, *f)
		}
	}
	return out
}

// compare says what of a decision is not as expected.
func compare(e *policy.Expect, out Outcome) (wrong []string) {
	d := out.Decision
	differs := func(what, want, got string) {
		wrong = append(wrong, what+" "+want+", but got "+got)
	}
	if e.Verdict != call.Abstain && d.Verdict != e.Verdict {
		differs("verdict", e.Verdict.String(), Verdict(d))
	}
	if e.Status != 0 && d.Status != e.Status {
		differs("status", strconv.Itoa(e.Status), Verdict(d))
	}
	if e.Rule != "" && d.Rule != e.Rule && (e.Rule != policy.RuleNone || d.Rule != "") {
		differs("rule", e.Rule, orNone(d.Rule))
	}
	matched := Matched(d)
	for _, id := range e.Asked {
		if !slices.Contains(matched, id) {
			differs("a match of", id, list(matched))
		}
	}
	for _, id := range e.NotRule {
		if slices.Contains(matched, id) {
			differs("no match of", id, "one")
		}
	}
	for _, id := range e.Except {
		if !slices.Contains(d.Trace, policy.TraceException+id) {
			differs("an exception to", id, "none")
		}
	}
	alerts := out.Alerts()
	if e.Alerts != nil && !same(e.Alerts, alerts) {
		differs("alerts", list(e.Alerts), list(alerts))
	}
	for _, action := range e.NotAlert {
		if slices.Contains(alerts, action) {
			differs("no alert", action, "one")
		}
	}
	flags, shadow := besides(d)
	if e.Flags != nil && !same(e.Flags, flags) {
		differs("flags", list(e.Flags), list(flags))
	}
	if e.Shadow != nil && !same(e.Shadow, shadow) {
		differs("shadow refusals", list(e.Shadow), list(shadow))
	}
	if found := out.Findings(); e.Findings != nil && !same(e.Findings, found) {
		differs("findings", list(e.Findings), list(found))
	}
	if effects := out.Effects(); e.Effects != nil && !same(e.Effects, effects) {
		differs("effects", list(e.Effects), list(effects))
	}
	return wrong
}

// Verdict is a decision in a few words: "reject 403 by countries/denied".
func Verdict(d call.Decision) string {
	text := d.Verdict.String()
	if d.Verdict == call.Reject {
		text += " " + strconv.Itoa(d.Status)
	}
	if d.Rule != "" {
		text += " by " + d.Rule
	}
	return text
}

// Matched are the rules and limits that matched, in order, each once.
func Matched(d call.Decision) (ids []string) {
	add := func(id string) {
		if id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, id := range d.Trace {
		add(id)
	}
	for _, also := range d.Also {
		add(also.Rule)
	}
	add(d.Rule)
	return ids
}

// Alerts are the actions of the alerts that are raised.
func (o *Outcome) Alerts() (out []string) {
	for _, also := range o.Also {
		if also.Action != "" {
			out = append(out, string(also.Action))
		}
	}
	if o.Action != "" {
		out = append(out, string(o.Action))
	}
	for _, x := range o.Enacted {
		switch {
		case x.Again: // was told
		case x.Act == call.ActHold:
			out = append(out, string(call.AccountHeld))
		default:
			out = append(out, string(call.SourceBanned))
		}
	}
	return out
}

// Effects are what was carried out beside the verdict, each once.
func (o *Outcome) Effects() (out []string) {
	add := func(act call.Act) {
		if name := act.String(); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, x := range o.Enacted {
		add(x.Act)
	}
	for _, e := range o.Decision.Effects {
		if e.Act == call.ActHangup {
			add(e.Act)
		}
	}
	for _, f := range o.Found {
		for _, d := range f.Do {
			if !d.Shadow {
				add(d.Act)
			}
		}
	}
	return out
}

// Findings are the detectors that found something, each once.
func (o *Outcome) Findings() (out []string) {
	for _, f := range o.Found {
		if !f.Quiet && !f.Grown && fraud.IsDetector(f.Detector) && !slices.Contains(out, f.Detector) {
			out = append(out, f.Detector)
		}
	}
	return out
}

// besides are the rules that flagged, and those that would have refused.
func besides(d call.Decision) (flags, shadow []string) {
	for _, also := range d.Also {
		if also.Shadow {
			shadow = append(shadow, also.Rule)
		} else {
			flags = append(flags, also.Rule)
		}
	}
	return flags, shadow
}

// same reports whether two lists hold the same, whatever the order.
func same(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func list(ids []string) string {
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

func orNone(id string) string {
	if id == "" {
		return "none"
	}
	return id
}

// Expected is an expectation in a few words.
func Expected(e *policy.Expect) string {
	var parts []string
	if e.Verdict != call.Abstain {
		v := e.Verdict.String()
		if e.Status != 0 {
			v += " " + strconv.Itoa(e.Status)
		}
		parts = append(parts, v)
	} else if e.Status != 0 {
		parts = append(parts, fmt.Sprint("status ", e.Status))
	}
	if e.Rule != "" {
		parts = append(parts, "by "+e.Rule)
	}
	say := func(what string, ids []string, given bool) {
		if given {
			parts = append(parts, what+" "+list(ids))
		}
	}
	say("a match of", e.Asked, e.Asked != nil)
	say("no match of", e.NotRule, e.NotRule != nil)
	say("an exception to", e.Except, e.Except != nil)
	say("alerts", e.Alerts, e.Alerts != nil)
	say("no alert", e.NotAlert, e.NotAlert != nil)
	say("flags", e.Flags, e.Flags != nil)
	say("shadow refusals", e.Shadow, e.Shadow != nil)
	say("findings", e.Findings, e.Findings != nil)
	say("effects", e.Effects, e.Effects != nil)
	return strings.Join(parts, ", ")
}
