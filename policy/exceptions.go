package policy

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud/param"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

const maxExceptions = 10_000

type exceptionYAML struct {
	Pos     strictyaml.Pos  `yaml:"-"`
	Rule    string          `yaml:"rule,required"`
	Match   matchYAML       `yaml:"match"`
	When    strictyaml.Text `yaml:"when"`
	Owner   string          `yaml:"owner"`
	Ticket  string          `yaml:"ticket"`
	Expires time.Time       `yaml:"expires"`
}

// exception lets what it matches go past one rule, one limit, one detector or one
// part of `countries:`. Whatever else has an opinion keeps it.
type exception struct {
	ExceptionInfo
	match matcher
	when  *condition // nil: none
}

// ExceptionInfo describes an exception to people.
type ExceptionInfo struct {
	Rule, File    string
	Line          int
	Owner, Ticket string
	Expires       time.Time
}

// Exceptions lists the exceptions in the order of the files.
func (s *Set) Exceptions() (out []ExceptionInfo) {
	for _, e := range s.excepted {
		out = append(out, e.ExceptionInfo)
	}
	return out
}

// exceptions are those of one rule; nil has none.
type exceptions struct {
	all   []*exception
	index *index // over all, where they are many
}

// find returns the first exception that holds. A condition that cannot be
// evaluated opens nothing.
func (x *exceptions) find(a *call.Attempt, s *Set) *exception {
	if x == nil {
		return nil
	}
	if x.index != nil {
		var buf [16]int32
		for _, i := range x.index.held(a, s.lists, buf[:0]) {
			if e := x.all[i]; e.inForce(a) && e.when.opens(a, s) {
				return e
			}
		}
		return nil
	}
	for _, e := range x.all {
		if e.match.holds(a, s.lists) && e.inForce(a) && e.when.opens(a, s) {
			return e
		}
	}
	return nil
}

func (e *exception) inForce(a *call.Attempt) bool {
	return e.Expires.IsZero() || a.At.Before(e.Expires)
}

// TraceException stands before a rule's id in the trace of a decision where an
// exception let the attempt past the rule.
const TraceException = call.TraceException

// excepted notes that an exception was used.
func (o *opinion) excepted(e *exception) {
	o.trace = append(o.trace, TraceException+e.Rule)
	until := "without end"
	if !e.Expires.IsZero() {
		until = "until " + e.Expires.Format(time.RFC3339)
	}
	o.used = append(o.used, call.Evidence{Name: "exception", Value: e.Rule, Threshold: join(join(e.Owner, e.Ticket), until)})
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

// neverOpen are rules of the gateway itself that no exception opens.
var neverOpen = map[string]string{
	"base/malformed":    "nothing opens what is malformed",
	"base/plaintext":    "allow plaintext for a peer: allow_plaintext",
	"base/stranger":     "write a rule that allows what the stranger may do",
	"base/emergency":    "emergency calls are permitted before anything is asked",
	"limits/peer-calls": "change peers: limits",
	"limits/peer-cps":   "change peers: limits",
}

// exceptions compiles the `exceptions:` of all files, after the rules.
func (c *compiler) exceptions() {
	by := map[string]*exceptions{}
	var known []string
	n := 0
	for _, s := range c.files {
		c.cur = s
		for i := range s.y.Exceptions {
			y, at := &s.y.Exceptions[i], item("exceptions", i)
			if n++; n == maxExceptions+1 {
				c.problem(at, "", "more than %d exceptions", maxExceptions)
			}
			if y.Rule == "" {
				continue // reported as missing
			}
			if known == nil {
				known = append(slices.Collect(maps.Keys(c.owner)), RuleDenied, RuleClassDenied, RuleInvalidNumber)
				for _, d := range c.set.detectors {
					known = append(known, d.ID)
				}
				slices.Sort(known)
			}
			c.excepts(at, y, known)
			needs := len(c.set.needs)
			e := &exception{ExceptionInfo: ExceptionInfo{Rule: y.Rule, File: s.Name, Line: y.Pos.Line, Owner: y.Owner, Ticket: y.Ticket, Expires: y.Expires},
				match: c.matcher(at, []string{"any"}, &y.Match), when: c.when(at+".when", y.When)}
			c.needed(needs, "the exception to "+y.Rule, false)
			if by[y.Rule] == nil {
				by[y.Rule] = &exceptions{}
			}
			by[y.Rule].all = append(by[y.Rule].all, e)
			c.set.excepted = append(c.set.excepted, e)
		}
	}
	for _, x := range by {
		if len(x.all) > few {
			var ms []*matcher
			for _, e := range x.all {
				ms = append(ms, &e.match)
			}
			x.index = newIndex(ms)
		}
	}
	for i := range c.set.files {
		for _, r := range c.set.files[i].rules {
			r.except = by[r.id]
		}
	}
	for i := range c.set.counted {
		l := &c.set.counted[i]
		if l.except = by[l.ID]; l.except != nil {
			c.set.opened = append(c.set.opened, i)
		}
	}
	for _, d := range c.set.detectors {
		if x := by[d.ID]; x != nil {
			c.set.pardons = append(c.set.pardons, pardon{d.ID, x})
		}
	}
	p := &c.set.places
	p.denied, p.classDenied, p.invalid = by[RuleDenied], by[RuleClassDenied], by[RuleInvalidNumber]
}

// pardon is what lets calls go past a detector.
type pardon struct {
	id     string
	except *exceptions
}

// Pardons reports whether an exception lets a call go past a detector.
func (s *Set) Pardons(a *call.Attempt, detector string) bool {
	for i := range s.pardons {
		if s.pardons[i].id == detector {
			return s.pardons[i].except.find(a, s) != nil
		}
	}
	return false
}

func (c *compiler) exceptsDetector(at, id string) {
	switch {
	case id == param.Everywhere:
		c.problem(at+".rule", "write one for each detector that is meant", "%s is no detector", id)
	case !c.detects(id):
		c.warn(at+".rule", "remove the exception", "%s is switched off", id)
	}
}

// excepts checks what one exception says.
func (c *compiler) excepts(at string, y *exceptionYAML, known []string) {
	_, found := slices.BinarySearch(known, y.Rule)
	switch e := c.owner[y.Rule]; {
	case neverOpen[y.Rule] != "":
		c.problem(at+".rule", neverOpen[y.Rule], "there are no exceptions to %s", y.Rule)
	case !found:
		hint := "write the id that the alert names"
		if best := strictyaml.Nearest(y.Rule, known); best != "" {
			hint = "did you mean " + best + "?"
		}
		c.problem(at+".rule", hint, "there is no rule or limit %s", y.Rule)
	case param.Find(y.Rule) != nil:
		c.exceptsDetector(at, y.Rule)
	case e == nil:
		if !c.set.places.set {
			c.warn(at+".rule", "", "without countries: there is no %s", y.Rule)
		}
	case e.rule != nil && e.rule.Then != nil && e.rule.Then.verdict == call.Allow:
		c.problem(at+".rule", "narrow its match:", "rule %s allows; there is nothing to open", y.Rule)
	case e.rule != nil && e.rule.Mode.off || e.limit != nil && e.limit.Mode.off:
		c.warn(at+".rule", "remove the exception", "%s is switched off", y.Rule)
	}
	if !c.cur.pos.Has(at+".match") && !c.cur.pos.Has(at+".when") {
		c.problem(at, "write match: or when:, or switch the rule off: an entry with its id and mode: off", "the exception does not say for whom")
	} else if reflect.ValueOf(y.Match).IsZero() && !c.cur.pos.Has(at+".when") {
		c.warn(at+".match", "name users, peers or numbers; to be rid of a rule write an entry with its id and mode: off", "the exception is for everybody")
	}
	if y.Owner == "" {
		c.warn(at, "add owner:", "nobody owns the exception")
	}
	if y.Expires.IsZero() {
		c.warn(at, "add expires: a date", "the exception never ends")
	} else {
		c.expired(at, y.Expires)
	}
}
