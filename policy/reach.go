package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Rules that can never do anything: those whose keys contradict each other,
// and those behind a rule that decides about all they match.

// unreachable warns of rules that an earlier rule of the same file always
// comes before.
func (c *compiler) unreachable(made map[*source][]madeRule) {
	for _, s := range c.files {
		var ms []*matcher
		var before []madeRule
		for _, m := range made[s] {
			if m.rule.closes() {
				ms, before = append(ms, &m.rule.match), append(before, m)
			}
		}
		x := newIndex(ms)
		for _, m := range made[s] {
			if m.src.Pack {
				continue // ours, and a file that overrides one knows what it does
			}
			for _, i := range x.around(&m.rule.match) {
				first := before[i]
				if first.order >= m.order || !first.rule.match.covers(&m.rule.match) {
					continue
				}
				c.cur = m.src
				c.warn(m.path, "put it before that rule, or remove it", "rule %s is never reached: %s (%s:%d) decides about all that it matches",
					m.rule.id, first.rule.id, first.src.Name, first.pos.Line)
				break
			}
		}
	}
}

// madeRule is a compiled rule and where it is written.
type madeRule struct {
	*entry
	rule  *rule
	order int
}

// closes reports that the rule decides whenever its match holds.
func (r *rule) closes() bool {
	return !r.flag && !r.shadow && r.act == call.NoAct && r.expires.IsZero() && r.except == nil && r.always()
}

// around returns the places of all that can cover m, in no order.
func (x *index) around(m *matcher) (out []int32) {
	out = append(out, x.rest...)
	for d := range dims {
		if vs := m.values(d); len(vs) > 0 && x.text[d] != nil {
			out = append(out, x.text[d][vs[0]]...)
		}
	}
	if len(m.asn) > 0 {
		out = append(out, x.asn[m.asn[0]]...)
	}
	prefix := func(p *prefixIndex, of []string) {
		if len(of) == 0 {
			return
		}
		if c, ok := codeOf(of[0]); ok {
			for n := 1; n <= len(of[0]); n++ {
				out = append(out, p.buckets[c.cut(n)]...)
			}
		}
	}
	prefix(&x.to, prefixesOf(m.to))
	prefix(&x.from, prefixesOf(m.from))
	if len(m.cidr) > 0 {
		for bits := 0; bits <= m.cidr[0].Bits(); bits++ {
			if p, err := m.cidr[0].Addr().Prefix(bits); err == nil {
				out = append(out, x.nets.buckets[p]...)
			}
		}
	}
	for _, b := range x.lists {
		if slices.Contains(m.listsOf(b.of), b.list) {
			out = append(out, b.items...)
		}
	}
	return out
}

// covers reports that whatever n matches, m matches too. It goes by what is
// written: a country is not known to hold a prefix.
func (m *matcher) covers(n *matcher) bool {
	return n.on&^m.on == 0 &&
		bitsCover(m.directions, n.directions) && bitsCover(m.peerKinds, n.peerKinds) &&
		sameBool(m.stranger, n.stranger) && sameBool(m.registered, n.registered) &&
		sameBool(m.diverted, n.diverted) && sameBool(m.transferred, n.transferred) &&
		m.to.covers(n.to) && m.from.covers(n.from) &&
		holdsAll(m.country, n.country) && holdsAll(m.asn, n.asn) && holdsAll(m.peers, n.peers) && holdsAll(m.transports, n.transports) &&
		holdsAll(m.sourceLists, n.sourceLists) &&
		eitherCovers(m.users, m.userLists, n.users, n.userLists) &&
		eitherCovers(m.agent.written(), m.agentLists, n.agent.written(), n.agentLists) &&
		(m.cidr == nil || n.cidr != nil && all(n.cidr, func(p netip.Prefix) bool {
			return slices.ContainsFunc(m.cidr, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) })
		})) &&
		(m.hours == nil || n.hours != nil && all(n.hours, func(h hours) bool {
			return slices.ContainsFunc(m.hours, func(g hours) bool { return g.text == h.text })
		})) &&
		(m.size == nil || n.size != nil && n.size.min >= m.size.min && n.size.max <= m.size.max) &&
		(m.content == nil || n.content != nil && all(n.content, func(t mediaType) bool {
			return slices.ContainsFunc(m.content, func(w mediaType) bool {
				return (w.major == "" || w.major == t.major) && (w.minor == "" || w.minor == t.minor)
			})
		}))
}

func (p *party) covers(q *party) bool {
	if p == nil {
		return true
	}
	return q != nil && sameBool(p.international, q.international) && sameBool(p.valid, q.valid) && sameBool(p.own, q.own) &&
		sameBool(p.withheld, q.withheld) && bitsCover(p.kinds, q.kinds) &&
		holdsAll(p.countries, q.countries) && holdsAll(p.regions, q.regions) && holdsAll(p.classes, q.classes) && holdsAll(p.lists, q.lists) &&
		(p.prefixes == nil || q.prefixes != nil && all(q.prefixes, func(s string) bool { return prefixOf(p.prefixes, s) != "" }))
}

// written is the expressions as they stand in the file.
func (m *agents) written() []string {
	if m == nil {
		return nil
	}
	return m.texts
}

func all[T any](list []T, holds func(T) bool) bool {
	return !slices.ContainsFunc(list, func(v T) bool { return !holds(v) })
}

// holdsAll: some asks for nothing, or for all that other asks for.
func holdsAll[T comparable](some, other []T) bool {
	return some == nil || other != nil && all(other, func(v T) bool { return slices.Contains(some, v) })
}

// eitherCovers is holdsAll for two keys of which one is enough.
func eitherCovers(texts []string, lists []int, otherTexts []string, otherLists []int) bool {
	if texts == nil && lists == nil {
		return true
	}
	return (otherTexts != nil || otherLists != nil) &&
		all(otherTexts, func(v string) bool { return slices.Contains(texts, v) }) &&
		all(otherLists, func(v int) bool { return slices.Contains(lists, v) })
}

func bitsCover(some, other uint8) bool { return some == 0 || other != 0 && other&^some == 0 }

func sameBool(some, other *bool) bool { return some == nil || other != nil && *some == *other }

// contradiction reports keys that can never hold together.
func (c *compiler) contradiction(at string, m *matcher) {
	if m.stranger != nil && *m.stranger {
		switch {
		case m.registered != nil && *m.registered:
			c.problem(at+".registered", "", "who is registered is no stranger: this never matches")
		case m.peers != nil && !slices.Contains(m.peers, ""):
			c.problem(at+".peer", "", "a peer is no stranger: this never matches")
		case m.users != nil && !slices.Contains(m.users, "") || m.userLists != nil:
			c.problem(at+".user", "", "a stranger has no user: this never matches")
		}
	}
	c.partyContradiction(at+".to", m.to, m.on)
	c.partyContradiction(at+".from", m.from, m.on)
}

func (c *compiler) partyContradiction(at string, p *party, on methods) {
	if p == nil {
		return
	}
	const public = 1<<call.National | 1<<call.International
	kinds := uint8(public | 1<<call.Invalid | 1<<call.Extension | 1<<call.Emergency)
	var said []string
	only := func(set bool, bits uint8, what string) {
		if set {
			kinds &= bits
			said = append(said, what)
		}
	}
	if v := p.international; v != nil {
		bits := uint8(1 << call.International)
		if !*v {
			bits = ^bits
		}
		only(true, bits, fmt.Sprintf("international: %v", *v))
	}
	if v := p.valid; v != nil {
		bits := ^uint8(1 << call.Invalid)
		if !*v {
			bits = ^bits
		}
		only(true, bits, fmt.Sprintf("valid: %v", *v))
	}
	only(p.kinds != 0, p.kinds, "kind")
	only(p.classes != nil, public, "class")
	only(p.prefixes != nil, public, "prefix")
	only(p.regions != nil, public, "region")
	if p.countries != nil {
		bits, home := uint8(public), c.set.plan.Country()
		switch {
		case home == "" || !slices.Contains(p.countries, home):
			bits = 1 << call.International
		case !slices.ContainsFunc(p.countries, func(v string) bool { return v != home }):
			bits = 1 << call.National
		}
		only(true, bits, "country")
	}
	switch {
	case kinds == 0:
		c.problem(at, "", "no number is all of this: %s", strings.Join(said, ", "))
	case on == onRegister && kinds&^public == 0:
		c.problem(at, "write source: {country: …} for where it comes from", "a REGISTER is about no number: this never matches")
	case p.countries != nil && p.prefixes != nil && !c.meet(p.countries, p.prefixes):
		c.problem(at, "", "no number of these countries begins like this")
	case p.countries != nil && p.regions != nil && all(p.countries, func(v string) bool { return v == "" || !slices.Contains(p.regions, number.Region(v)) }):
		c.problem(at, "", "none of these countries is in such a region")
	}
}

// meet reports that some number of the countries may begin with a prefix.
func (c *compiler) meet(countries, prefixes []string) bool {
	for _, country := range countries {
		for _, p := range prefixes {
			if country == "" || !c.data.Known(country) || c.data.MayBegin(country, p) {
				return true
			}
		}
	}
	return false
}
