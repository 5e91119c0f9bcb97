package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy/when"
)

// condition is a compiled `when:`. It is asked after `match:` held.
type condition struct{ prog *when.Program }

// asked is what Sets that differ in nothing but their lists have together.
type asked struct {
	counters atomic.Pointer[when.Counters]
	failed   atomic.Uint64 // conditions that could not be evaluated
}

// RuleCondition is the id under which it is told that the condition of an
// entry that lets pass or flags could not be evaluated.
const RuleCondition = "policy/condition-failed"

// Count tells the Set who counts its limits, for conditions that read
// counters. Until then they cannot be evaluated.
func (s *Set) Count(c when.Counters) { s.asked.counters.Store(&c) }

// Fresh is the same policy for somebody else who counts for himself.
func (s *Set) Fresh() *Set {
	next := *s
	next.asked = new(asked)
	next.bind()
	return &next
}

// Headers are the header fields that conditions read, in lower case and
// without compact forms: the facts of an attempt need no others.
func (s *Set) Headers() []string { return s.headers }

// Failed counts the conditions that could not be evaluated.
func (s *Set) Failed() uint64 { return s.asked.failed.Load() }

// facts are what conditions and `why:` are about.
func (s *Set) facts(a *call.Attempt) when.Facts {
	f := when.Facts{Attempt: a, Lists: s}
	if c := s.asked.counters.Load(); c != nil {
		f.Counters = *c
	}
	return f
}

// List implements when.Lists.
func (s *Set) List(i int) when.Set { return s.lists[i] }

func (w *condition) holds(a *call.Attempt, s *Set) (bool, error) {
	ok, err := w.prog.Holds(s.facts(a))
	if err != nil {
		s.asked.failed.Add(1)
	}
	return ok, err
}

// counts is holds for limits: what cannot be evaluated is counted, for a
// limit refuses.
func (w *condition) counts(a *call.Attempt, s *Set) bool {
	ok, err := w.holds(a, s)
	return ok || err != nil
}

// opens is holds for exceptions: what cannot be evaluated opens nothing.
func (w *condition) opens(a *call.Attempt, s *Set) bool {
	if w == nil {
		return true
	}
	ok, err := w.holds(a, s)
	return ok && err == nil
}

// asked asks the condition of a rule whose keys matched. One that cannot be
// evaluated holds where the rule refuses, and the error is part of its reason;
// a rule that allows or flags does not match then, which is told.
func (r *rule) asked(a *call.Attempt, s *Set, o *opinion) (bool, error) {
	ok, err := r.when.holds(a, s)
	if err == nil || r.refuses() {
		return ok || err != nil, err
	}
	o.also = append(o.also, call.Decision{Rule: RuleCondition, Reason: r.id + ": " + err.Error(), Severity: call.Medium,
		Action: call.RuleFlagged, Subject: subjectOf(a), Trace: []string{RuleCondition},
		Evidence: []call.Evidence{{Name: "rule", Value: r.id}, {Name: "when", Value: clip(r.when.prog.Text)}}})
	return false, nil
}

// refuses says that the rule takes something away, so that its condition holds
// when it cannot be evaluated.
func (r *rule) refuses() bool { return r.verdict != call.Allow && !r.flag }

// evidence adds the values that the condition reads.
func (w *condition) evidence(f when.Facts, out []call.Evidence) []call.Evidence {
	if w == nil {
		return out
	}
	for _, v := range w.prog.Reads() {
		there := func(e call.Evidence) bool { return e.Name == v.Name }
		if v.Kind == when.Members || slices.ContainsFunc(out, there) {
			continue
		}
		value := v.Get(&f).Any()
		if s, ok := value.(string); ok {
			value = clip(s)
		}
		out = append(out, call.Evidence{Name: v.Name, Value: value})
	}
	return out
}

// language is what conditions and `why:` may name in one policy.
type language struct {
	vars     []Variable
	families []Family
	byName   map[string]*Variable
	env      *when.Env
	headers  map[string]bool
}

// read lists the headers that something reads.
func (l *language) read() []string { return slices.Sorted(maps.Keys(l.headers)) }

// language makes the table once somebody needs it.
func (c *compiler) language() *language {
	l := &c.lang
	if l.byName == nil {
		l.byName, l.headers = map[string]*Variable{}, map[string]bool{}
		l.vars, l.families = c.variables()
		for i, v := range l.vars {
			l.byName[v.Name] = &l.vars[i]
		}
	}
	return l
}

// environment makes the environment of conditions; most policies have none.
func (c *compiler) environment() *when.Env {
	l := c.language()
	if l.env == nil {
		vars := make([]when.Var, len(l.vars))
		for i, v := range l.vars {
			vars[i] = v.Var
		}
		families := make([]when.Family, len(l.families))
		for i, f := range l.families {
			families[i] = f.Family
		}
		env, err := when.NewEnv(vars, families)
		if err != nil {
			panic("policy: the table of variables is wrong: " + err.Error())
		}
		l.env = env
	}
	return l.env
}

// when compiles the condition of an entry; nil when it has none or a wrong one.
func (c *compiler) when(at string, text strictyaml.Text) *condition {
	if !c.cur.pos.Has(at) {
		return nil
	}
	prog, ps := c.environment().Compile(text.Value)
	for _, p := range ps {
		pos := text.At(p.Offset)
		c.ps = append(c.ps, strictyaml.Problem{File: c.cur.Name, Line: pos.Line, Col: pos.Col, Message: "when: " + p.Message,
			Excerpt: text.Excerpt(p.Offset), Hint: p.Hint})
	}
	if prog == nil {
		return nil
	}
	for _, v := range prog.Reads() {
		c.need(at, v.Name)
	}
	return &condition{prog}
}

// placeholder finds the variable that a `why:` names.
func (c *compiler) placeholder(name string) (get func(*when.Facts) when.Value, hint string) {
	l := c.language()
	if v := l.byName[name]; v != nil && v.Kind != when.Members {
		return v.Get, ""
	}
	// request.headers["x-id"]
	if head, rest, ok := strings.Cut(name, `["`); ok && strings.HasSuffix(rest, `"]`) {
		for _, f := range l.families {
			if f.Name != head || f.Call {
				continue
			}
			v, err := f.Make(strings.TrimSuffix(rest, `"]`), "")
			if err == nil && v.Kind != when.Members {
				return v.Get, ""
			}
		}
	}
	names := slices.Sorted(maps.Keys(l.byName))
	if best := strictyaml.Nearest(name, names); best != "" {
		return nil, "did you mean {" + best + "}?"
	}
	// Those next to it, else the groups there are.
	for space := name; space != ""; {
		space = space[:max(strings.LastIndexByte(space, '.'), 0)]
		near := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return space != "" && !strings.HasPrefix(n, space+".") })
		if len(near) > 0 && space != "" {
			return nil, "known: " + strings.Join(near, ", ")
		}
	}
	for i, n := range names {
		names[i], _, _ = strings.Cut(n, ".")
	}
	return nil, "a placeholder is a variable, such as {call.to.country}; they begin with " + strings.Join(slices.Compact(names), ", ")
}

// zone loads a time zone.
func zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("write a time zone such as Europe/Paris")
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %q: write it like Europe/Paris", name)
	}
	return loc, nil
}
