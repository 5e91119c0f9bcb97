package policy

import (
	"fmt"

	"github.com/rampart-sbc/rampart/call"
)

// evidence says what of an attempt a match looked at.
func (m *matcher) evidence(a *call.Attempt, ls []*List) (out []call.Evidence) {
	add := func(name string, value, threshold any) {
		out = append(out, call.Evidence{Name: name, Value: value, Threshold: threshold})
	}
	if m.agent != nil && m.agent.match(a.UserAgent) {
		add("request.user_agent", a.UserAgent, m.agent.which(a.UserAgent))
	} else if l := holding(m.agentLists, ls, a.UserAgent); l != nil {
		out = append(out, l.evidence("request.user_agent", a.UserAgent))
	}
	if m.cidr != nil {
		add("source.ip", a.Source.Addr.Addr().Unmap().String(), m.network(a.Source.Addr.Addr()).String())
	}
	if m.country != nil {
		add("source.country", a.Source.Country, nil)
	}
	if m.asn != nil {
		add("source.asn", a.Source.ASN, nil)
	}
	if l := m.sourceList(a, ls); l != nil && l.kind == Countries {
		out = append(out, l.evidence("source.country", a.Source.Country))
	} else if l != nil {
		out = append(out, l.evidence("source.ip", a.Source.Addr.Addr().Unmap().String()))
	}
	if m.peers != nil {
		add("peer.name", a.Peer, nil)
	}
	if l := holding(m.userLists, ls, a.User); l != nil {
		out = append(out, l.evidence("user", a.User))
	}
	if m.transports != nil {
		add("source.transport", a.Source.Transport, nil)
	}
	if m.hours != nil {
		for i := range m.hours {
			if h := &m.hours[i]; h.holds(a.At) {
				add("clock", a.At.In(h.zone).Format("Mon 15:04"), h.text)
				break
			}
		}
	}
	if m.size != nil {
		add("request.size", a.Size, m.size.text)
	}
	if m.content != nil {
		add("request.body.content_types", a.ContentTypes, nil)
	}
	side := func(name string, p *party, x *call.Party) {
		if p == nil {
			return
		}
		add(name+".number", x.Number, nil)
		if p.kinds != 0 {
			add(name+".kind", x.Kind.String(), nil)
			add(name+".user", x.User, nil)
		}
		if p.countries != nil {
			add(name+".country", x.Country, nil)
		}
		if p.regions != nil {
			add(name+".region", x.Region, nil)
		}
		if p.classes != nil {
			add(name+".class", x.Class, nil)
		}
		if p.prefixes != nil {
			add(name+".e164", x.E164(), prefixOf(p.prefixes, x.E164()))
		}
		if l := p.list(x, ls); l != nil {
			value := x.Number
			switch {
			case l.kind == Countries:
				value = x.Country
			case value == "":
				value = string(unescape(make([]byte, 0, maxListText+1), x.User))
			}
			out = append(out, l.evidence(name, value))
		}
	}
	side("call.to", m.to, &a.To)
	side("call.from", m.from, &a.From)
	return out
}

// evidence says which entry of which version of the list was met.
func (l *List) evidence(name string, value string) call.Evidence {
	return call.Evidence{Name: name, Value: value,
		Threshold: fmt.Sprintf("%s in list %s, version %s of %d values", l.entry(value), l.name, l.version, l.size)}
}

// holding returns the list among places that has the value.
func holding(places []int, ls []*List, value string) *List {
	for _, i := range places {
		if value != "" && ls[i].Has(value) {
			return ls[i]
		}
	}
	return nil
}
