package sbc

import (
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// towards is what is agreed about callers with the end of a route. Phones are
// displays: nothing they say is believed, and they get what they are
// configured to get.
func (g *Gateway) towards(t route) Identity {
	switch {
	case t.pbx != nil:
		return Identity{Trust: true, STIR: true}
	case t.peer != nil:
		return t.peer.Identity
	}
	return Identity{Present: g.cfg.Phones.Present, STIR: g.cfg.Phones.STIR}
}

// termsOf is the same for the end of a leg that sends.
func (g *Gateway) termsOf(l *leg) Identity {
	switch l.kind {
	case call.PBX:
		return Identity{Trust: true, STIR: true}
	case call.Carrier:
		if p := g.peers.byName(l.name); p != nil {
			return p.Identity
		}
	}
	return Identity{}
}

// fromHost is the host of From, and of what is asserted, on a route.
func (g *Gateway) fromHost(t route, a *call.Attempt, host string, f *sipx.Flow) string {
	switch {
	case t.pbx != nil:
		if g.ours(host) && a.PeerKind != call.Carrier {
			return host
		}
		return hostOf(f)
	case t.peer == nil && g.ours(host):
		return host
	case t.kind == call.Phone && g.ours(t.phone.aor.domain):
		return t.phone.aor.domain // where it can call back
	}
	return g.cfg.Domains[0]
}

// present shows the caller of an INVITE on a route: From, and the header
// fields that go with it.
//
// sticky: the caller asked for privacy when the call came in. A PBX that drops
// the wish on the way does not make it undone.
func (g *Gateway) present(t route, src *leg, a *call.Attempt, r *sipx.Request, f *sipx.Flow, sticky bool) (from string, hs []sipx.HeaderField) {
	at, to := g.termsOf(src), g.towards(t)
	c := claims(r, at.Trust)
	host := g.fromHost(t, a, c.from.URI.Host, f)
	user, name, caller := g.fromUser(c, src), c.from.Display, g.callerNumber(c)
	if stand := g.standIn(c, a, &at, &to, caller); stand != "" {
		user, caller, name, c.asserted = stand, stand, "", nil
	}
	private := (c.privacy.hides() || sticky && !c.privacy.none) && !a.Emergency()
	unnamed := anonymous(c.from)
	if unnamed && src.kind == call.Phone && to.Trust {
		user, unnamed = escapeUser(src.aor.user), false // the PBX must know whose call it is; Privacy says the rest
		host = g.fromHost(t, a, src.aor.domain, f)
	}
	if to.Present == InFrom && caller != "" && !anonymous(c.from) {
		user = caller
		if len(c.asserted) > 0 && c.asserted[0].Display != "" {
			name = c.asserted[0].Display
		}
	}
	hidden := private && !to.Trust
	switch {
	case hidden, unnamed:
		from = nobody
	default:
		from = nameAddr(name, sipURI(user, host))
	}
	if !hidden {
		hs = g.assertions(t, to, c, user, name, caller, host)
	}
	if sticky && !c.privacy.hides() && !c.privacy.none {
		c.privacy.id = true
	}
	if v := c.privacy.value(hidden); v != "" {
		hs = append(hs, sipx.HeaderField{Name: "Privacy", Value: v})
	}
	if at.STIR && to.STIR {
		hs = append(hs, passports(r)...)
	}
	return from, hs
}

// fromUser is From's user as it may go on: a phone's is its address of record,
// that of others loses its parameters but for the verdict on the number of
// somebody who is trusted.
func (g *Gateway) fromUser(c claimed, src *leg) string {
	if src.kind == call.Phone || src.kind == call.Stranger {
		return c.from.URI.User
	}
	user := userPart(c.from.URI)
	if c.trusted && user != "" {
		user += verstat(c.from.URI)
	}
	return user
}

// standIn is the number that stands for a caller who is not allowed where the
// call comes from or where it goes; "" for one who is. Whoever has no such
// number configured was refused before, unless he calls for help.
func (g *Gateway) standIn(c claimed, a *call.Attempt, at, to *Identity, caller string) string {
	by := g.diverter(a, c.trusted)
	if at.Default != "" && !g.admitted(c, a, at) {
		return at.Default
	}
	if to.Default != "" && !to.admits(caller) && !to.admits(by) {
		return to.Default
	}
	return ""
}

// assertions are P-Asserted-Identity or Remote-Party-ID for a route.
func (g *Gateway) assertions(t route, to Identity, c claimed, user, name, caller, host string) (hs []sipx.HeaderField) {
	if !to.Trust && to.Present != InPAI && to.Present != InRPID {
		return nil
	}
	var said []string
	for _, n := range c.asserted {
		said = append(said, g.assertion(t, n, host))
	}
	if caller == "" && !anonymous(c.from) {
		caller = user
	}
	if len(said) == 0 && to.Present >= InPAI && caller != "" {
		said = append(said, nameAddr(name, sipURI(caller, host)))
	}
	if to.Present == InRPID {
		if len(said) > 0 {
			hide := "off"
			if c.privacy.hides() {
				hide = "full"
			}
			hs = append(hs, sipx.HeaderField{Name: "Remote-Party-ID", Value: said[0] + ";party=calling;screen=yes;privacy=" + hide})
		}
		return hs
	}
	for _, v := range said {
		hs = append(hs, sipx.HeaderField{Name: "P-Asserted-Identity", Value: v})
	}
	return hs
}

// assertion rewrites one value for a route: the host is that of the side, the
// number canonical where it goes to a peer, and no parameter stays but verstat.
func (g *Gateway) assertion(t route, n sipx.NameAddr, host string) string {
	user := userPart(n.URI)
	if t.peer != nil && g.cfg.ForwardCanonical {
		if e := g.public(n.URI); e != "" {
			user = e
		}
	}
	user += verstat(n.URI)
	if n.URI.Scheme == "tel" {
		return nameAddr(n.Display, "tel:"+user)
	}
	if g.ours(n.URI.Host) {
		host = n.URI.Host
	}
	return nameAddr(n.Display, sipURI(user, host))
}

// named shows who one end of the call is now, in an answer or a request of the
// dialog (RFC 3325 §5, RFC 4916 without its signature): between two that are
// trusted, and only by numbers that both may use.
func (s *session) named(asserted []string, from, to *leg) (hs []sipx.HeaderField) {
	g := s.g
	if len(asserted) == 0 || !g.trusts(from.kind, from.name) || !g.trusts(to.kind, to.name) {
		return nil
	}
	at, there := g.termsOf(from), g.termsOf(to)
	host := g.cfg.Domains[0]
	if to.kind == call.PBX && to.flow != nil {
		host = hostOf(to.flow)
	}
	t := route{kind: to.kind}
	if to.kind == call.Carrier {
		t.peer = g.peers.byName(to.name)
	}
	for _, n := range assertedIn(asserted) {
		if number := g.public(n.URI); at.admits(number) && there.admits(number) {
			hs = append(hs, sipx.HeaderField{Name: "P-Asserted-Identity", Value: g.assertion(t, n, host)})
		}
	}
	return hs
}

// Caps on the signatures of one request (RFC 8224): one for each kind of
// statement and each hop that diverted is usual.
const (
	maxPassports     = 6
	maxPassportBytes = 16 << 10
)

// passports are the Identity fields of a request and the Date that they were
// signed with. They are whole or not at all.
func passports(r *sipx.Request) (hs []sipx.HeaderField) {
	size := 0
	for _, v := range r.Headers("Identity") {
		size += len(v)
		hs = append(hs, sipx.HeaderField{Name: "Identity", Value: v})
	}
	if len(hs) == 0 || len(hs) > maxPassports || size > maxPassportBytes {
		return nil
	}
	if v := r.Header("Date"); v != "" {
		hs = append(hs, sipx.HeaderField{Name: "Date", Value: v})
	}
	return hs
}
