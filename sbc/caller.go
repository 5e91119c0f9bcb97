package sbc

import (
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Caller identity: whose word on the caller counts, and how the caller is
// shown on each side (RFC 3325, RFC 3323). The PBX is trusted, phones are not,
// a peer is by configuration. Who is not trusted has its assertions left out,
// and is told none.

// Present says where the caller's number stands towards a peer.
type Present uint8

const (
	AsSent Present = iota // From as the sender wrote it
	InFrom                // the number is From's user
	InPAI                 // From as it was, the number in P-Asserted-Identity
	InRPID                // the same with Remote-Party-ID, for old equipment
)

// Identity is what is agreed with a peer about callers.
type Identity struct {
	Trust   bool // RFC 3325 §2.3: it belongs to the trust domain
	Present Present
	Allowed []string // canonical prefixes of caller numbers, both ways; none: any
	Default string   // stands for a caller that is not allowed; "": refused
	STIR    bool     // Identity (RFC 8224) goes through
}

// Phones is how callers are shown to phones, and what phones may show.
type Phones struct {
	Redirects Redirects
	Present   Present
	STIR      bool
	// Allowed are the caller numbers that the calls of a user may show to
	// peers, by user; a user who is not in it is bound by the peer alone.
	Allowed map[string][]string
}

// claimed is what a request says of its caller, as far as its sender is
// believed.
type claimed struct {
	from     sipx.NameAddr
	asserted []sipx.NameAddr // at most one sip: and one tel: (RFC 3325 §9.1)
	privacy  privacy
	trusted  bool
}

// trusts: the other end of a leg belongs to the trust domain.
func (g *Gateway) trusts(kind call.Kind, name string) bool {
	switch kind {
	case call.PBX:
		return true
	case call.Carrier:
		p := g.peers.byName(name)
		return p != nil && p.Identity.Trust
	}
	return false
}

func claims(r *sipx.Request, trusted bool) claimed {
	c := claimed{from: r.From(), privacy: privacyOf(r.Headers("Privacy")), trusted: trusted}
	if anonymous(c.from) && !c.privacy.none {
		c.privacy.id = true // From hides what is asserted: it stays hidden
	}
	if !trusted {
		return c
	}
	c.asserted = assertedIn(r.Headers("P-Asserted-Identity"))
	if len(c.asserted) == 0 {
		for _, line := range r.Headers("Remote-Party-ID") {
			n, err := sipx.ParseNameAddr(line)
			if err != nil || !shown(n.URI) || n.Get("party") != "" && !strings.EqualFold(n.Get("party"), "calling") {
				continue
			}
			if p := n.Get("privacy"); p != "" && !strings.EqualFold(p, "off") {
				c.privacy.id = true
			}
			n.Params = nil
			c.asserted = []sipx.NameAddr{n}
			break
		}
	}
	return c
}

func assertedIn(values []string) (out []sipx.NameAddr) {
	seen := map[string]bool{}
	for _, line := range values {
		for _, v := range splitAddresses(line) {
			n, err := sipx.ParseNameAddr(v)
			if err != nil || !shown(n.URI) {
				continue
			}
			kind := strings.TrimSuffix(n.URI.Scheme, "s")
			if seen[kind] {
				continue
			}
			seen[kind] = true
			out = append(out, n)
		}
	}
	return out
}

// shown: a URI that can name a caller.
func shown(u sipx.URI) bool {
	switch u.Scheme {
	case "sip", "sips":
		return plainUser(userPart(u))
	case "tel":
		return plainUser(strings.ReplaceAll(userPart(u), "#", "*"))
	}
	return false
}

// userPart is the user or number of a URI without parameters.
func userPart(u sipx.URI) string {
	text := u.User
	if u.Scheme == "tel" {
		text = u.Raw()
	}
	text, _, _ = strings.Cut(text, ";")
	return text
}

// verstat is the verdict of the network on a number (3GPP TS 24.229
// §7.2A.20), which stands among the parameters of the number.
func verstat(u sipx.URI) string {
	text := u.User
	if u.Scheme == "tel" {
		text = u.Raw()
	}
	_, params, _ := strings.Cut(text, ";")
	for p := range strings.SplitSeq(params, ";") {
		name, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(name, "verstat") && v != "" && len(v) <= 40 &&
			strings.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") == "" {
			return ";verstat=" + v
		}
	}
	return ""
}

// public is the canonical public number of a URI, "" when it has none.
func (g *Gateway) public(u sipx.URI) string {
	var p call.Party
	text := userPart(u)
	if u.Scheme == "tel" {
		text = "tel:" + u.Raw()
	}
	g.plan("").Normalise(text, number.Trunk).Fill(&p)
	return p.E164()
}

// number is the caller's public number: the asserted one, else From's.
func (g *Gateway) callerNumber(c claimed) string {
	for _, n := range c.asserted {
		if e := g.public(n.URI); e != "" {
			return e
		}
	}
	if anonymous(c.from) {
		return ""
	}
	return g.public(c.from.URI)
}

func begins(number string, prefixes []string) bool {
	return number != "" && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(number, p) })
}

// admits: the number is one that the peer may use, and may be shown.
func (i *Identity) admits(number string) bool {
	return len(i.Allowed) == 0 || begins(number, i.Allowed)
}

// diverter is the public number of whom a trusted sender names as the one who
// passed the call on: he answers for it, not the caller.
func (g *Gateway) diverter(a *call.Attempt, trusted bool) string {
	if !trusted || a.Diversion == "" {
		return ""
	}
	var p call.Party
	g.plan("").Normalise(a.Diversion, number.Trunk).Fill(&p)
	return p.E164()
}

// speaksAs settles that a phone calls as one of its users, whatever From says.
func (g *Gateway) speaksAs(a *call.Attempt, r *sipx.Request, who aor) {
	a.User = who.user
	if anonymous(r.From()) {
		a.From = call.Party{User: who.user, Host: who.domain}
		g.plan("").Normalise(who.user, number.Dialled).Fill(&a.From)
	}
}

// callerOf judges what a peer says of its caller, and takes its word where it
// is trusted.
func (g *Gateway) callerOf(r *sipx.Request, a *call.Attempt, p *Peer) (call.Decision, bool) {
	c := claims(r, p.Identity.Trust)
	if a.From.E164() == "" {
		for _, n := range c.asserted {
			if e := g.public(n.URI); e != "" {
				g.plan("").Normalise(e, number.Trunk).Fill(&a.From)
				break
			}
		}
	}
	a.From.Withheld = a.From.E164() == "" && (anonymous(c.from) || c.from.URI.User == "")
	a.From.Own = begins(a.From.E164(), g.cfg.OwnNumbers) || begins(g.callerNumber(c), g.cfg.OwnNumbers)
	if a.Emergency() || p.Identity.Default != "" || g.admitted(c, a, &p.Identity) {
		return call.Decision{}, false
	}
	return notAllowed("peer "+p.Name+" may not call as "+named(g.callerNumber(c), c.from.URI.User), call.Subject{Kind: "peer", Value: p.Name}), true
}

// admitted: every number that the peer claims is one of its own.
func (g *Gateway) admitted(c claimed, a *call.Attempt, i *Identity) bool {
	if len(i.Allowed) == 0 || i.admits(g.diverter(a, c.trusted)) {
		return true
	}
	for _, n := range c.asserted {
		if !i.admits(g.public(n.URI)) {
			return false
		}
	}
	if anonymous(c.from) {
		return len(c.asserted) > 0
	}
	return i.admits(g.public(c.from.URI))
}

func named(number, user string) string {
	if number == "" {
		return "\"" + user + "\""
	}
	return number
}

func notAllowed(reason string, about call.Subject) call.Decision {
	return call.Decision{Verdict: call.Reject, Status: 403, Rule: "base/caller-not-allowed", Severity: call.Medium, Action: call.IdentityForged,
		Reason: reason, Subject: about}
}

// screen leaves the routes on which the caller may be shown. A call from the
// PBX whose caller no route takes is refused; an emergency call never is.
func (g *Gateway) screen(routes []route, a *call.Attempt, r *sipx.Request, believed bool) (left []route, d call.Decision, refused bool) {
	if a.Emergency() || len(routes) == 0 {
		return routes, d, false
	}
	c := claims(r, believed)
	n := g.callerNumber(c)
	by := g.diverter(a, true)
	who := call.Subject{Kind: "user", Value: a.User}
	if mine, listed := g.cfg.Phones.Allowed[a.User]; listed && !begins(n, mine) && !begins(by, mine) {
		return nil, notAllowed("user "+a.User+" may not call as "+named(n, c.from.URI.User), who), true
	}
	for _, t := range routes {
		if i := &t.peer.Identity; i.Default != "" || i.admits(n) || i.admits(by) {
			left = append(left, t)
		}
	}
	if len(left) > 0 {
		return left, d, false
	}
	return nil, notAllowed(named(n, c.from.URI.User)+" may not be shown to "+routes[0].peer.Name, who), true
}
