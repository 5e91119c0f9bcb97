package sbc

import (
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// What a number in a request is, and in which of two forms it goes on: the
// canonical one or exactly what was dialled, never a third.

// plan is how numbers are read now: of what a peer sends, with its tech prefixes.
func (g *Gateway) plan(peer string) *number.Plan {
	p := g.policy.Load()
	if own := p.peers[peer]; own != nil {
		return own
	}
	return p.Plan
}

// plans compiles what peers do differently.
func (g *Gateway) plans(p *Policy) {
	if p.Plan == nil {
		p.Plan = g.deps.Plan
	}
	for i := range g.cfg.Peers {
		if x := &g.cfg.Peers[i]; len(x.TechPrefixes) > 0 {
			own, err := p.Plan.With(x.TechPrefixes)
			if err != nil { // New has tried them
				g.log.Error("tech prefixes of a peer are not read", "peer", x.Name, "error", err)
				continue
			}
			if p.peers == nil {
				p.peers = map[string]*number.Plan{}
			}
			p.peers[x.Name] = own
		}
	}
}

// number fills in the canonical number of a party, as kind, of that name,
// spelt it. Phones dial; the PBX and carriers pass numbers on.
func (g *Gateway) number(p *call.Party, u sipx.URI, kind call.Kind, name string) {
	text, in := u.User, number.Dialled
	if u.Scheme == "tel" || u.Scheme == "urn" {
		text = u.Scheme + ":" + u.Raw()
		p.User, p.Scheme = u.Raw(), u.Scheme
	}
	if kind == call.PBX || kind == call.Carrier {
		in = number.Trunk
	}
	if kind != call.Carrier {
		name = ""
	}
	g.plan(name).Normalise(text, in).Fill(p)
}

// canonical is the number that goes to a PBX or carrier in place of what was
// dialled; "" where what was dialled goes: by configuration, because it is no
// number, or because a code stands with it that the other end has to see.
func (g *Gateway) canonical(to call.Kind, p *call.Party) string {
	switch {
	case to == call.Carrier && (g.cfg.ForwardCanonical || p.Kind == call.Emergency),
		to == call.PBX && g.cfg.InsideCanonical && !coded(p.User):
	default:
		return ""
	}
	if strings.HasPrefix(p.Number, "urn:") {
		return g.cfg.EmergencyNumber
	}
	return p.Number
}

// coded: a star or hash stands in a dialled text, other than a hash at the end.
func coded(user string) bool {
	user, _, _ = strings.Cut(user, ";")
	return strings.ContainsAny(strings.TrimRight(unescape(user), "#"), "*#")
}
