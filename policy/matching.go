package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

var transports = []string{"udp", "tcp", "tls", "ws", "wss"}

func (c *compiler) matcher(at string, on []string, y *matchYAML) matcher {
	m := matcher{peers: y.Peer, users: y.User, stranger: y.Stranger, registered: y.Registered, diverted: y.Diverted}
	for i, name := range on {
		bit, ok := methodNames[name]
		switch {
		case ok:
			m.on |= bit
		case name == "connect" || name == "progress":
			c.problem(at+item(".on", i), "", "on: %s is not available in this version", name)
		default:
			c.unknown(at+item(".on", i), "request", name, slices.Sorted(maps.Keys(methodNames)))
		}
	}
	if len(on) == 0 && c.cur.pos.Has(at+".on") {
		c.problem(at+".on", "write on: any", "on: names no request")
	}
	at += ".match"
	for i, name := range y.Direction {
		found := false
		for d := call.Internal; d <= call.Outbound; d++ {
			if d.String() == name {
				m.directions |= 1 << d
				found = true
			}
		}
		if !found {
			c.unknown(at+item(".direction", i), "direction", name, []string{"inbound", "outbound", "internal"})
		}
	}
	for i, name := range y.Transport {
		if !slices.Contains(transports, name) {
			c.unknown(at+item(".transport", i), "transport", name, transports)
		}
	}
	m.transports = y.Transport
	m.to, m.from = c.party(at+".to", y.To), c.party(at+".from", y.From)
	if y.Source != nil {
		m.cidr = y.Source.CIDR
		for i, p := range y.Source.CIDR {
			if p.IsValid() && p != p.Masked() {
				c.problem(at+item(".source.cidr", i), "write "+p.Masked().String(), "%s has bits set behind its length", p)
			}
		}
		m.country = c.countryCodes(at+".source.country", y.Source.Country, false)
	}
	if len(y.UserAgent) > 0 {
		all := make([]string, len(y.UserAgent))
		for i, r := range y.UserAgent {
			all[i] = r.text
		}
		agents, err := compileAgents(all)
		if err != nil {
			c.problem(at+".user_agent", "", "user_agent: %v", err)
		} else {
			m.agent = agents
		}
	}
	// An empty list matches nothing, which nobody means.
	for _, e := range []struct {
		key   string
		empty bool
	}{
		{".direction", y.Direction != nil && len(y.Direction) == 0}, {".peer", y.Peer != nil && len(y.Peer) == 0},
		{".user", y.User != nil && len(y.User) == 0}, {".user_agent", y.UserAgent != nil && len(y.UserAgent) == 0},
		{".transport", y.Transport != nil && len(y.Transport) == 0},
	} {
		if e.empty {
			c.problem(at+e.key, "leave the key out to match all", "the list is empty")
		}
	}
	return m
}

func (c *compiler) party(at string, y *partyYAML) *party {
	if y == nil {
		return nil
	}
	p := &party{international: y.International, own: y.Own, countries: c.countryCodes(at+".country", y.Country, true)}
	for i, name := range y.Class {
		if !slices.Contains(number.Classes(), name) {
			c.unknown(at+item(".class", i), "class", name, number.Classes())
		}
	}
	p.classes = y.Class
	for i, pl := range y.Prefix {
		if pl.text == "" {
			continue // reported
		}
		if !pl.prefix {
			c.problem(at+item(".prefix", i), "write country: "+pl.text, "%s is a country, not a prefix", pl.text)
		}
		p.prefixes = append(p.prefixes, pl.text)
	}
	if p.own != nil && strings.HasSuffix(at, ".to") {
		c.problem(at+".own", "write it under from", "own is asked of the caller: somebody outside who claims one of our own numbers")
	}
	if p.own == nil && p.international == nil && len(p.countries) == 0 && len(p.classes) == 0 && len(p.prefixes) == 0 {
		c.problem(at, "name a country, class or prefix, or leave the key out", "nothing to match")
	}
	return p
}

func (c *compiler) countryCodes(at string, ys []placeYAML, numbered bool) (out []string) {
	for i, p := range ys {
		switch {
		case p.text == "":
		case p.prefix:
			c.problem(at+item("", i), "write prefix: "+p.text, "%s is a prefix, not a country", p.text)
		case numbered && !c.data.Known(p.text):
			c.problem(at+item("", i), "", "no telephone numbers belong to a country %s", p.text)
		}
		out = append(out, p.text)
	}
	return out
}
