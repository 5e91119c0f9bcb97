package policy

import (
	"regexp"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// Emergency calls are permitted before the policy is asked, so an entry that
// wants to refuse them does nothing. Whoever wrote it believes otherwise: that
// is a problem, not a warning.

const emergencyHint = "emergency calls of phones and peers are always permitted; take it out"

// emergencies looks for entries that try to refuse emergency calls.
func (c *compiler) emergencies() {
	numbers := append(c.set.plan.Emergency(), "urn:service:sos")
	for _, e := range c.order {
		c.cur = e.src
		var on []string
		var to *partyYAML
		var when strictyaml.Text
		refuses, off := true, false
		if e.rule != nil {
			on, to, when, off = e.rule.On, e.rule.Match.To, e.rule.When, e.rule.Mode.off
			refuses = e.rule.Then != nil && !e.rule.Then.flag && e.rule.Then.verdict != call.Allow
		} else {
			on, to, when, off = e.limit.On, e.limit.Match.To, e.limit.When, e.limit.Mode.off
		}
		if !refuses || off || !slices.Contains(on, "invite") && !slices.Contains(on, "any") && !slices.Contains(on, "progress") {
			continue
		}
		if to != nil {
			c.emergencyParty(e.path+".match.to", to, numbers)
		}
		c.emergencyCondition(when, numbers)
	}
	for _, s := range c.files {
		c.cur = s
		if s.y.Countries == nil {
			continue
		}
		for i, n := range s.y.Countries.Short {
			if slices.Contains(numbers, n) {
				c.problem(item("countries.short", i), "take it out: it needs no opening", "%s is an emergency number, which is always permitted", n)
			}
		}
	}
}

// emergencyParty: the kind and lists of numbers of a callee.
func (c *compiler) emergencyParty(at string, to *partyYAML, numbers []string) {
	if i := slices.Index(to.Kind, call.Emergency.String()); i >= 0 && len(to.Kind) == 1 {
		c.problem(item(at+".kind", i), emergencyHint, "emergency calls cannot be refused")
	}
	for i, name := range to.List {
		n := c.named[name]
		if n == nil || n.list == nil || n.list.kind != Numbers && n.list.kind != Texts {
			continue
		}
		for _, number := range numbers {
			if n.list.Has(number) {
				c.problem(item(at+".list", i), emergencyHint, "list %s holds the emergency number %s, which cannot be refused", name, number)
			}
		}
	}
}

var (
	quoted   = regexp.MustCompile(`"[^"\\]*"|'[^'\\]*'`)
	equal    = regexp.MustCompile(`==\s*$`)
	equals   = regexp.MustCompile(`^\s*==`)
	element  = regexp.MustCompile(`\bin\s*\[[^\]]*$`)
	excluded = regexp.MustCompile(`!\s*\([^()]*$`)
)

// emergencyCondition finds a callee that is compared with an emergency number, or
// its kind with theirs:
// that it is equal, or in a list that stands there. A condition that excludes
// one says what is true anyway.
func (c *compiler) emergencyCondition(when strictyaml.Text, numbers []string) {
	text := when.Value
	if !strings.Contains(text, "call.to") {
		return
	}
	for _, m := range quoted.FindAllStringIndex(text, -1) {
		value, before, after := text[m[0]+1:m[1]-1], text[:m[0]], text[m[1]:]
		kind := value == call.Emergency.String()
		if !kind && !slices.Contains(numbers, value) || excluded.MatchString(before) {
			continue
		}
		if !equal.MatchString(before) && !equals.MatchString(after) && !element.MatchString(before) {
			continue
		}
		// What stands before it must be about the callee, not a caller's extension.
		term, what := lastTerm(before)+firstTerm(after), value+" is an emergency number, and "
		if kind {
			what = ""
		}
		if !strings.Contains(term, "call.to") || kind && (!strings.Contains(term, "call.to.kind") || element.MatchString(before)) {
			continue
		}
		pos := when.At(m[0])
		p := strictyaml.At(c.cur.Name, pos, "%semergency calls cannot be refused", what)
		p.Hint = emergencyHint
		c.ps = append(c.ps, p)
	}
}

// firstTerm is what stands before the first && or || of a text.
func firstTerm(text string) string {
	for _, op := range []string{"&&", "||"} {
		text, _, _ = strings.Cut(text, op)
	}
	return text
}

// lastTerm is what follows the last && or || of a text.
func lastTerm(text string) string {
	return text[max(strings.LastIndex(text, "&&"), strings.LastIndex(text, "||"), 0):]
}
