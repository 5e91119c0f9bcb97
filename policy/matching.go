package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy/number"
)

var transports = []string{"udp", "tcp", "tls", "ws", "wss"}

func (c *compiler) matcher(at string, on []string, y *matchYAML) matcher {
	m := matcher{peers: y.Peer, stranger: y.Stranger, registered: y.Registered, diverted: y.Diverted, transferred: y.Transferred}
	for i, name := range on {
		bit, ok := methodNames[name]
		switch {
		case ok:
			m.on |= bit
		default:
			c.unknown(at+item(".on", i), "request", name, slices.Sorted(maps.Keys(methodNames)))
		}
	}
	if len(on) == 0 && c.cur.pos.Has(at+".on") {
		c.problem(at+".on", "write on: any", "on: names no request")
	}
	c.connectFacts(at, m.on, y)
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
	m.peerKinds = c.peerKinds(at+".peer_kind", y.PeerKind)
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
		for i, n := range y.Source.ASN {
			if n == 0 || n > 1<<32-1 {
				c.problem(at+item(".source.asn", i), "", "%d is no number of a network", n)
			}
		}
		m.asn = y.Source.ASN
		if m.country != nil {
			c.need(at+".source.country", "source.country")
		}
		if m.asn != nil {
			c.need(at+".source.asn", "source.asn")
		}
		m.sourceLists = c.uses(at+".source.list", y.Source.List, CIDRs, Countries)
		for i, n := range m.sourceLists {
			if c.set.lists[n].kind == Countries {
				c.need(at+item(".source.list", i), "source.country")
			}
		}
	}
	m.users, m.userLists = c.names(at+".user", y.User)
	m.agent, m.agentLists = c.agents(at+".user_agent", y.UserAgent)
	for _, h := range y.Hours {
		if h.h.text != "" { // else reported
			if h.h.zone == nil {
				h.h.zone = c.zone()
			}
			m.hours = append(m.hours, h.h)
		}
	}
	if len(y.Hours) > maxHours {
		c.problem(at+".hours", "", "more than %d times of the week", maxHours)
	}
	m.size = c.size(at+".size", y.Size)
	m.content = c.content(at+".content_type", y.ContentType)
	c.noneEmpty(at, map[string]int{
		"direction": lenOf(y.Direction), "peer": lenOf(y.Peer), "transport": lenOf(y.Transport), "hours": lenOf(y.Hours),
		"size": lenOf(y.Size), "content_type": lenOf(y.ContentType),
	})
	if s := y.Source; s != nil {
		c.noneEmpty(at+".source", map[string]int{"cidr": lenOf(s.CIDR), "country": lenOf(s.Country), "asn": lenOf(s.ASN), "list": lenOf(s.List)})
	}
	c.contradiction(at, &m)
	return m
}

const maxHours = 32

// lenOf is the length of a list in the file, -1 when the key is not there.
func lenOf[T any](list []T) int {
	if list == nil {
		return -1
	}
	return len(list)
}

// noneEmpty reports empty lists: they match nothing, which nobody means.
func (c *compiler) noneEmpty(at string, keys map[string]int) {
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if keys[key] == 0 {
			c.problem(at+"."+key, "leave the key out to match all", "the list is empty")
		}
	}
}

// uses finds lists by name and checks that they are of a kind that can be
// asked here.
func (c *compiler) uses(at string, names []string, kinds ...ListKind) (out []int) {
	for i, name := range names {
		n := c.named[name]
		if n == nil {
			hint := "write it under lists:"
			if best := strictyaml.Nearest(name, slices.Sorted(maps.Keys(c.named))); best != "" {
				hint = "did you mean " + best + "?"
			}
			c.problem(item(at, i), hint, "there is no list %q", name)
			continue
		}
		n.used = true
		if n.list == nil {
			continue
		}
		if !slices.Contains(kinds, n.list.kind) && n.list.size > 0 {
			var want []string
			for _, k := range kinds {
				want = append(want, k.String())
			}
			c.problem(item(at, i), "", "the list %s holds %s; here it can be %s", name, n.list.kind, strings.Join(want, " or "))
		}
		out = append(out, slices.Index(c.set.lists, n.list))
	}
	return out
}

func (c *compiler) names(at string, y *namesYAML) (names []string, lists []int) {
	if y == nil {
		return nil, nil
	}
	if y.Names != nil && len(y.Names) == 0 || y.List != nil && len(y.List) == 0 {
		c.problem(at, "leave the key out to match all", "the list is empty")
	}
	return y.Names, c.uses(at+".list", y.List, Texts, Numbers, Regexes)
}

func (c *compiler) agents(at string, y *agentsYAML) (*agents, []int) {
	switch {
	case y == nil:
		return nil, nil
	case y.List != nil:
		if len(y.List) == 0 {
			c.problem(at, "leave the key out to match all", "the list is empty")
		}
		return nil, c.uses(at+".list", y.List, Regexes, Texts)
	case len(y.Exprs) == 0:
		c.problem(at, "leave the key out to match all", "the list is empty")
		return nil, nil
	}
	all := make([]string, len(y.Exprs))
	for i, r := range y.Exprs {
		if all[i] = r.text; r.text == "" {
			return nil, nil // reported
		}
	}
	out, err := compileAgents(all)
	if err != nil {
		c.problem(at, "", "user_agent: %v", err)
	}
	return out, nil
}

func (c *compiler) party(at string, y *partyYAML) *party {
	if y == nil {
		return nil
	}
	for i, name := range y.Region {
		if !slices.Contains(number.Regions(), name) {
			c.unknown(at+item(".region", i), "region", name, number.Regions())
		}
	}
	p := &party{international: y.International, valid: y.Valid, own: y.Own, withheld: y.Withheld, regions: y.Region, countries: c.countryCodes(at+".country", y.Country, true)}
	for i, name := range y.Class {
		if !slices.Contains(number.Classes(), name) {
			c.unknown(at+item(".class", i), "class", name, number.Classes())
		}
	}
	p.classes, p.kinds = y.Class, c.kinds(at+".kind", y.Kind)
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
	p.lists = c.uses(at+".list", y.List, Numbers, Prefixes, Countries, Texts)
	c.noneEmpty(at, map[string]int{"country": lenOf(y.Country), "region": lenOf(y.Region), "class": lenOf(y.Class),
		"prefix": lenOf(y.Prefix), "list": lenOf(y.List)})
	if p.own == nil && p.withheld == nil && p.international == nil && p.valid == nil && y.Kind == nil && y.Country == nil && y.Region == nil && y.Class == nil && y.Prefix == nil && y.List == nil {
		c.problem(at, "name a country, class, prefix or list, or leave the key out", "nothing to match")
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
