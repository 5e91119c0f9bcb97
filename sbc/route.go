package sbc

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// route is one way to the callee.
type route struct {
	kind  call.Kind
	pbx   *PBX
	peer  *Peer
	phone binding
	at    target   // of a PBX or peer; invalid while its name is not known
	fwd   *forward // a redirect led here
}

func (t route) name() string {
	switch {
	case t.pbx != nil:
		return t.pbx.Name
	case t.peer != nil:
		return t.peer.Name
	}
	return "phone"
}

func (t route) side() call.Side {
	if t.pbx != nil {
		return call.Inside
	}
	return call.Public
}

// route lists the ways to the callee: everything from the public side goes
// to the PBX; what comes from the PBX goes to the registered phone its token
// names, else by the routes to peers. It may still refuse. first is the
// attempt that the call began with.
func (g *Gateway) route(a, first *call.Attempt, r *sipx.Request, id identity, d call.Decision) ([]route, call.Decision) {
	no := func(code int, rule, reason string) ([]route, call.Decision) { return noRoute(a, d, code, rule, reason) }
	if a.Side == call.Public {
		var out []route
		for _, p := range g.pbxsFor(a) {
			if id.kind == call.Phone && p.Name == id.account {
				// The PBX that a phone is registered with is asked first.
				out = slices.Insert(out, 0, route{kind: call.PBX, pbx: p})
				continue
			}
			out = append(out, route{kind: call.PBX, pbx: p})
		}
		return g.peers.each(out, a.At), d
	}
	uri := r.URI()
	if b, ok := g.called(uri, a.At); ok {
		if id.pbx != nil && !id.pbx.serves(b.aor.domain) {
			return no(404, "base/domain", "PBX "+id.pbx.Name+" does not serve "+b.aor.domain)
		}
		if b.flow == nil || !b.flow.Alive() {
			return no(430, "base/flow-failed", "the connection of "+b.aor.String()+" is gone")
		}
		return []route{{kind: call.Phone, phone: b}}, d
	}
	if strings.HasPrefix(uri.User, "rp") && len(uri.User) == 26 {
		return no(480, "base/not-registered", "no such registration any more")
	}
	return g.outward(a, first, r, true, d)
}

// routesFor are the routes in the order in which a call asks them: for an
// emergency call those that are meant for it come first, wherever they stand.
func (g *Gateway) routesFor(a *call.Attempt) []Route {
	if a.To.Kind != call.Emergency {
		return g.cfg.Routes
	}
	var first, rest []Route
	for _, t := range g.cfg.Routes {
		if t.Emergency {
			first = append(first, t)
		} else {
			rest = append(rest, t)
		}
	}
	return append(first, rest...)
}

// outward lists the ways to a number outside: the routes to peers. believed
// says that the sender of r is trusted with what it says of its caller.
func (g *Gateway) outward(a, first *call.Attempt, r *sipx.Request, believed bool, d call.Decision) ([]route, call.Decision) {
	no := func(code int, rule, reason string) ([]route, call.Decision) { return noRoute(a, d, code, rule, reason) }
	if !forCarriers(a.To) {
		return no(404, "countries/invalid-number", "not a number that a carrier can take: "+a.To.User)
	}
	if byAddressAlone(first) {
		rs, d := no(403, "base/ip-peer-route", "peer "+first.Peer+" is known by its address alone and came over UDP, where anybody can write it: it may reach phones and never another carrier")
		d.Severity, d.Subject = call.High, call.Subject{Kind: "peer", Value: first.Peer}
		return rs, d
	}
	var out []route
	found := false
	for _, t := range g.routesFor(a) {
		if !t.matches(a) {
			continue
		}
		found = true
		for _, name := range t.Peers {
			if p := g.peers.byName(name); p != nil {
				out = append(out, route{kind: call.Carrier, peer: p})
			}
		}
		break
	}
	if a.Emergency() {
		// Any way out is better than none: the others after those of the route.
		for i := range g.cfg.Peers {
			p := &g.cfg.Peers[i]
			if p.Host != "" && !slices.ContainsFunc(out, func(t route) bool { return t.peer == p }) {
				found, out = true, append(out, route{kind: call.Carrier, peer: p})
			}
		}
	}
	if !found {
		return no(404, "base/no-route", "no route to "+a.To.Number)
	}
	if left, no, refused := g.screen(out, a, r, believed); refused {
		no.Trace = d.Trace
		return nil, no
	} else {
		out = left
	}
	out = g.peers.each(out, a.At)
	if r.URI().Scheme == "sips" {
		out = slices.DeleteFunc(out, func(t route) bool { return t.at.Transport != "tls" })
		if len(out) == 0 {
			rs, d := no(480, "base/sips", "sips: needs TLS on every hop")
			d.Warning = sipsNotAllowed
			return rs, d
		}
	}
	return out, d
}

// forCarriers: what goes to a carrier must resolve, to a number that may exist.
func forCarriers(to call.Party) bool {
	return outside(to) && (to.E164() == "" || len(to.Number) <= number.MaxDigits+1)
}

func noRoute(a *call.Attempt, d call.Decision, code int, rule, reason string) ([]route, call.Decision) {
	return nil, call.Decision{Verdict: call.Reject, Status: code, Rule: rule, Reason: reason, Severity: call.Low,
		Action: call.CallRejected, Subject: call.Subject{Kind: "account", Value: a.Account}, Trace: d.Trace}
}

// byAddressAlone: nothing but the source address of a datagram says that a
// peer sent this. A certificate needs a stream, and a stream proves the address.
func byAddressAlone(a *call.Attempt) bool {
	// An answer within a dialog proves the address, and no more than that.
	return a.PeerKind == call.Carrier && a.Source.Transport == "udp"
}

func (t Route) matches(a *call.Attempt) bool {
	if t.Emergency && a.To.Kind != call.Emergency {
		return false
	}
	if len(t.Countries) > 0 && !slices.Contains(t.Countries, a.To.Country) {
		return false
	}
	if len(t.Prefixes) > 0 && !slices.ContainsFunc(t.Prefixes, func(p string) bool { return strings.HasPrefix(a.To.Number, p) }) {
		return false
	}
	return true
}

// calleeLeg is the media policy towards the callee on a flow.
func (g *Gateway) calleeLeg(t route, f *sipx.Flow) sdp.Leg {
	l := sdp.Leg{SecureHop: f.Secure(), Suites: g.cfg.Suites}
	switch {
	case t.pbx != nil:
		l.Policy, l.SecureHop = t.pbx.SRTP, true
	case t.peer != nil:
		l.Policy = t.peer.SRTP
	}
	return l
}

// requestURI is whom the INVITE for a route is for, in the form that side gets.
func (g *Gateway) requestURI(t route, a *call.Attempt, r *sipx.Request) (uri, to string) {
	dst := r.To()
	domain := g.domainAt(t.pbx, a)
	if t.fwd != nil {
		a = t.fwd.a
	}
	switch {
	case t.pbx != nil && t.fwd != nil:
		user := escapeUser(a.To.User)
		if n := g.canonical(call.PBX, &a.To); n != "" {
			user = n
		}
		uri = sipURI(user, domain)
		to = nameAddr("", uri)
	case t.pbx != nil:
		u := r.URI()
		host := u.Host
		if !g.ours(host) {
			host = domain // an address of ours: the PBX knows its domain
		}
		user := u.User
		if a.PeerKind == call.Carrier { // a phone's digest covers what it wrote
			user = withoutHosts(user)
		}
		if u.Scheme == "tel" || u.Scheme == "urn" {
			user, host = g.dialable(a), domain
			if user == "" { // tel:*72 and the like: the PBX may know it
				user, _, _ = strings.Cut(u.Raw(), ";")
			}
		}
		if n := g.canonical(call.PBX, &a.To); n != "" {
			user = n
		}
		uri = sipURI(user, host)
		if v, ok := u.UriParams.Get("user"); ok && strings.EqualFold(v, "phone") && u.Scheme != "tel" && u.Scheme != "urn" {
			uri += ";user=phone" // the caller's digest covers it
		}
		to = nameAddr("", sipURI(user, host))
	case t.peer != nil:
		user := a.To.User
		if n := g.canonical(call.Carrier, &a.To); n != "" {
			user = n
		}
		host := t.peer.Host
		if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
			host = "[" + host + "]"
		}
		uri = sipURI(user, host)
		to = nameAddr("", uri)
	default:
		uri = t.phone.contact
		to = nameAddr(dst.Display, sipURI(t.phone.aor.user, t.phone.aor.domain))
	}
	return uri, to
}

// dialable is the canonical number; urn:service:sos has none of its own.
func (g *Gateway) dialable(a *call.Attempt) string {
	if strings.HasPrefix(a.To.Number, "urn:") {
		return g.cfg.EmergencyNumber
	}
	return a.To.Number
}

func sipURI(user, host string) string {
	if user == "" {
		return "sip:" + host
	}
	return "sip:" + user + "@" + host
}

func hostOf(f *sipx.Flow) string {
	if ap, err := netip.ParseAddrPort(f.HostPort()); err == nil {
		if ap.Addr().Is6() {
			return "[" + ap.Addr().String() + "]"
		}
		return ap.Addr().String()
	}
	return f.HostPort()
}

func nameAddr(name, uri string) string { return sipx.NameAddrText(display(name), uri) }
