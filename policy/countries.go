package policy

import (
	"slices"

	"github.com/rampart-sbc/rampart/call"
)

// The rule ids of the `countries:` section.
const (
	RuleDenied        = "countries/denied"         // the country or prefix is not allowed
	RuleClassDenied   = "countries/class-denied"   // the class of number is not allowed
	RuleInvalidNumber = "countries/invalid-number" // a carrier would get something that is no public number
)

// places is the compiled `countries:` of all files together. The zero value
// has no opinion.
type places struct {
	set     bool
	deny    bool            // the default
	home    string          // allowed unless denied by name
	country map[string]bool // true: denied
	classes []string        // denied ones
	prefix  trie
	short   map[string]bool // short numbers that carriers understand
	version string          // of the numbering data
	// from is where each entry stands, by place, class or "default": for
	// explanations.
	from map[string]string

	denied, classDenied, invalid *exceptions
}

// judge decides where a call may go. Classes are asked first and nothing in
// `allow:` opens them: a prefix is opened for its cheap numbers, not for the
// premium ones among them. Then the longest prefix, then the country, then
// home, then the default. An exception to a class leaves the rest to be asked.
func (p *places) judge(a *call.Attempt, on methods, s *Set, o *opinion) {
	if !p.set || a.Direction != call.Outbound || on&onReach == 0 || a.To.Kind == call.Emergency {
		return
	}
	if a.To.E164() == "" {
		// Carriers know short numbers (116 117, directory services) that are
		// public in no plan. Each is opened by itself, spelt as it is sent.
		if !p.short[a.To.Number] && !p.short[a.To.User] && !o.past(p.invalid, a, s) {
			o.refused(p.refuse(a, RuleInvalidNumber, "what was dialled is no public number", "call.to.kind", a.To.Kind.String(), nil))
		}
		return
	}
	if slices.Contains(p.classes, a.To.Class) && !o.past(p.classDenied, a, s) {
		o.refused(p.refuse(a, RuleClassDenied, "numbers of class "+a.To.Class+" are denied", "call.to.class", a.To.Class, a.To.Class))
		return
	}
	if p.shut(a) && !o.past(p.denied, a, s) {
		o.refused(p.refusePlace(a))
	}
}

// past reports an exception, and notes it.
func (o *opinion) past(x *exceptions, a *call.Attempt, s *Set) bool {
	e := x.find(a, s)
	if e != nil {
		o.excepted(e)
	}
	return e != nil
}

func (o *opinion) refused(d call.Decision) {
	o.trace = append(o.trace, d.Rule)
	o.d = d
}

// shut reports that the prefix, else the country, else the default denies.
func (p *places) shut(a *call.Attempt) bool {
	if length, denied := p.prefix.longest(a.To.E164()); length > 0 {
		return denied
	}
	if denied, listed := p.country[a.To.Country]; listed {
		return denied
	}
	return p.deny && (a.To.Country == "" || a.To.Country != p.home)
}

// refusePlace says why a place is shut.
func (p *places) refusePlace(a *call.Attempt) call.Decision {
	number, country := a.To.E164(), a.To.Country
	if length, _ := p.prefix.longest(number); length > 0 {
		return p.refuse(a, RuleDenied, "prefix "+number[:length]+" is denied", "call.to.e164", number, number[:length])
	}
	if p.country[country] {
		return p.refuse(a, RuleDenied, "country "+country+" is denied", "call.to.country", country, country)
	}
	what := "country " + country
	if country == "" {
		what = "a number without a country"
	}
	return p.refuse(a, RuleDenied, what+" is not on the list of allowed ones", "call.to.country", country, "default: deny")
}

func (p *places) refuse(a *call.Attempt, rule, reason, name string, value, threshold any) call.Decision {
	shown := a.To.Number
	if shown == "" {
		shown = a.To.User
	}
	return call.Decision{Verdict: call.Reject, Status: 403, Rule: rule, Reason: reason + ": " + shown,
		Severity: call.Medium, Action: refusedAction(a), Subject: subjectOf(a), Trace: []string{rule},
		Evidence: []call.Evidence{
			{Name: "call.to.number", Value: shown},
			{Name: "call.to.country", Value: a.To.Country},
			{Name: name, Value: value, Threshold: threshold},
			{Name: "number.data", Value: p.version},
		}}
}

// trie finds the longest of many prefixes of digits in one step per digit.
type trie struct{ nodes []trieNode }

type trieNode struct {
	next  [10]uint32
	value uint8 // 0: nothing ends here, 1: allow, 2: deny
}

// add takes "+" and digits.
func (t *trie) add(prefix string, denied bool) {
	if t.nodes == nil {
		t.nodes = make([]trieNode, 1)
	}
	at := uint32(0)
	for _, c := range []byte(prefix[1:]) {
		next := t.nodes[at].next[c-'0']
		if next == 0 {
			next = uint32(len(t.nodes))
			t.nodes = append(t.nodes, trieNode{})
			t.nodes[at].next[c-'0'] = next
		}
		at = next
	}
	t.nodes[at].value = 1
	if denied {
		t.nodes[at].value = 2
	}
}

// longest returns the length of the longest prefix of number ("+" and digits)
// that was added, "+" included, and whether it is denied; 0 when there is none.
func (t *trie) longest(number string) (length int, denied bool) {
	if len(t.nodes) == 0 || number == "" {
		return 0, false
	}
	at := uint32(0)
	for i := 1; i < len(number); i++ {
		c := number[i] - '0'
		if c > 9 {
			break
		}
		if at = t.nodes[at].next[c]; at == 0 {
			break
		}
		if v := t.nodes[at].value; v != 0 {
			length, denied = i+1, v == 2
		}
	}
	return length, denied
}
