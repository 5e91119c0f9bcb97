package sbc

import (
	"strconv"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Transfer: REFER (RFC 3515) inside a call, from either end. Whoever obeys it
// calls through the gateway again and is judged then; the number is judged
// here too, so that a denied one is refused to whom it concerns, at once.

// referTarget is a Refer-To taken apart: only what is listed here crosses.
type referTarget struct {
	uri      sipx.URI // scheme, user and host
	tel      bool
	phone    bool // ;user=phone
	replaces string
	as       call.Party // as it was judged
}

// readReferTo takes a Refer-To value apart by itself: the library reads the
// headers of a URI behind a parameter without a value as part of it. The
// grammar was checked before.
func readReferTo(v string) (t referTarget, code int) {
	if i := strings.IndexByte(v, '<'); i >= 0 {
		v = v[i+1:]
		j := strings.IndexByte(v, '>')
		if j < 0 {
			return t, 400
		}
		v = v[:j]
	}
	scheme, rest, _ := strings.Cut(strings.TrimSpace(v), ":")
	var uri, params, headers string
	switch scheme = strings.ToLower(scheme); scheme {
	case "sip", "sips":
		user, host, ok := strings.Cut(rest, "@") // the first "@" is the only one
		if !ok {
			return t, 404
		}
		user, _, _ = strings.Cut(user, ":") // no password crosses
		host, headers, _ = strings.Cut(host, "?")
		host, params, _ = strings.Cut(host, ";")
		uri = "sip:" + user + "@" + host
	case "tel", "urn":
		t.tel = true
		rest, headers, _ = strings.Cut(rest, "?")
		number, _, _ := strings.Cut(rest, ";")
		if strings.TrimSpace(number) == "" || scheme == "tel" && strings.ContainsAny(number, `:@/[]"\`) {
			return t, 400 // RFC 3966 §3: as a user of ours it would be read another way
		}
		uri = scheme + ":" + rest
	default:
		return t, 416
	}
	u, err := sipx.ParseURI(uri)
	if err != nil {
		return t, 400
	}
	t.uri = u
	for p := range strings.SplitSeq(params, ";") {
		name, val, _ := strings.Cut(p, "=")
		switch strings.ToLower(name) {
		case "method":
			if !strings.EqualFold(val, "INVITE") {
				return t, 403 // RFC 3515 allows it to ask for anything; we do not
			}
		case "user":
			t.phone = strings.EqualFold(val, "phone")
		}
	}
	for h := range strings.SplitSeq(headers, "&") {
		name, val, _ := strings.Cut(h, "=")
		if strings.EqualFold(unescape(name), "Replaces") {
			if t.replaces != "" {
				return t, 400
			}
			t.replaces = unescape(val)
		}
	}
	return t, 0
}

// escapeHeader writes the value of a header inside a URI (RFC 3261 §25.1).
func escapeHeader(v string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(v) {
		c := v[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.!~*'()", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
	}
	return b.String()
}

// hostFor is the host that the other end of a leg knows others under, where
// was is what stood there. A domain of ours is the same on either side.
func (g *Gateway) hostFor(x *leg, was string) string {
	switch {
	case x.kind != call.Carrier && g.ours(was):
		return strings.ToLower(was)
	case x.kind == call.Carrier:
		if p := g.peers.byName(x.name); p != nil && p.Host != "" {
			if strings.Contains(p.Host, ":") && !strings.HasPrefix(p.Host, "[") {
				return "[" + p.Host + "]"
			}
			return p.Host
		}
	case x.kind == call.Phone && g.ours(x.aor.domain):
		return x.aor.domain
	case x.kind == call.PBX:
		if p := g.peers.pbxByName(x.name); p != nil && !p.serves(g.cfg.Domains[0]) {
			return p.Domains[0]
		}
	}
	return g.cfg.Domains[0]
}

// refer judges a REFER of leg x and writes what goes to the other leg. False:
// it was refused, and answered.
func (s *session) refer(x *leg, in *input) bool {
	r, to := in.req, &s.legs[in.Leg.Other()]
	refuse := func(code int, rule, reason string) bool {
		d := call.Decision{Verdict: call.Reject, Status: code, Rule: rule, Reason: reason, Severity: call.Low, Action: call.RequestRejected}
		if code == 403 {
			d.Severity = call.Medium
		}
		s.refuseInside(x, in, s.referAttempt(x, to, r, nil), d)
		return false
	}
	vs := r.Headers("Refer-To")
	if len(vs) != 1 {
		return refuse(400, "base/refer-to", "REFER with "+strconv.Itoa(len(vs))+" Refer-To")
	}
	if x.kind == call.Carrier {
		if p := s.g.peers.byName(x.name); p == nil || !p.AllowRefer {
			return refuse(403, "base/refer-carrier", "peer "+x.name+" may not transfer calls")
		}
	}
	t, code := readReferTo(vs[0])
	if code != 0 {
		return refuse(code, "base/refer-to", "Refer-To that cannot be followed")
	}
	if b, ok := s.g.bindings.get(t.uri.User, r.At); ok && x.side == call.Inside {
		t.uri.User, t.uri.Host = escapeUser(b.aor.user), b.aor.domain
	}
	rep := ""
	if t.replaces != "" {
		p, ok := readReplaces(t.replaces)
		switch {
		case !ok:
			return refuse(400, "base/replaces", "bad Replaces in Refer-To")
		case to.side == call.Inside:
			var user string
			p, user, ok = s.g.insideReplaces(p, func(d dialogSide) bool { return d.kind == x.kind && d.name == x.name && d.aor == x.aor })
			if !ok { // 481 would end the call itself (RFC 3261 §12.2.1.2)
				return refuse(400, "base/replaces", "Replaces in Refer-To names no call of the sender")
			}
			if t.uri.User == "rampart" && user != "" {
				t.uri.User = user // the sender wrote our Contact
			}
		default:
			p = s.g.sealReplaces(p)
		}
		rep = p.String()
	}
	a := s.referAttempt(x, to, r, &t)
	t.as = a.To
	key := t.uri.String() + " " + rep
	if _, sent := r.AuthUser(); !sent || x.referred != key { // the answer to a challenge was judged
		if x.kind == call.Carrier && outside(a.To) && byAddressAlone(a) {
			// Whoever obeys would call a carrier for him (see outward).
			return refuse(403, "base/ip-peer-route", "peer "+x.name+" is known by its address alone and transfers a call to a number outside")
		}
		d := s.g.decideTransfer(a)
		if d.Permits() && to.kind == call.Carrier && rep == "" && !forCarriers(a.To) {
			return refuse(404, "countries/invalid-number", "not a number that a carrier can take: "+a.To.User)
		}
		if !d.Permits() {
			s.refuseInside(x, in, a, d)
			return false
		}
		s.g.report(a, d)
		s.g.transfers.note(to, a)
	}
	x.referred = key
	out := &relayed{headers: []sipx.HeaderField{{Name: "Refer-To", Value: s.g.referTo(&t, to, rep)}}}
	if v := s.g.referredBy(r, x, to); v != "" {
		out.headers = append(out.headers, sipx.HeaderField{Name: "Referred-By", Value: v})
	}
	if v := referSub(r.Header("Refer-Sub")); v != "" {
		out.headers = append(out.headers, sipx.HeaderField{Name: "Refer-Sub", Value: v})
	}
	in.out = out
	return true
}

// referTo writes the target as the other leg knows it.
func (g *Gateway) referTo(t *referTarget, to *leg, rep string) string {
	user := withoutHosts(t.uri.User)
	if t.tel {
		// Without its context a local number is another one: what was judged is
		// what goes on.
		if user, _, _ = strings.Cut(t.uri.Raw(), ";"); t.as.E164() != "" {
			user = t.as.E164()
		}
		if t.uri.Scheme == "urn" {
			user = g.cfg.EmergencyNumber
		}
	}
	if n := g.canonical(to.kind, &t.as); n != "" && rep == "" {
		user = n
	}
	uri := sipURI(user, g.hostFor(to, t.uri.Host))
	if t.phone {
		uri += ";user=phone"
	}
	if rep != "" {
		uri += "?Replaces=" + escapeHeader(rep)
	}
	return "<" + uri + ">"
}

// referAttempt is the REFER as the guards see it: a call of the transferor to
// the target. A phone that is told to call dials as it would by itself.
func (s *session) referAttempt(x, to *leg, r *sipx.Request, t *referTarget) *call.Attempt {
	a := r.Attempt()
	a.PeerKind, a.Peer, a.Account = x.kind, x.name, s.a.Account
	a.Source.Registered = x.kind == call.Phone
	a.Source.Configured = r.Flow.Side == call.Public && s.g.peers.knownAddr(r.Flow.Remote.Addr())
	a.Headers = r.Fields(s.g.policy.Load().Headers)
	a.Source.Answered = true // it knows the dialog's tags, so it gets what is sent to it; nobody is challenged in a call
	if f := r.Flow; f.TLS != nil {
		a.Source.TLSVersion, a.Source.TLSCipher, a.Source.TLSSubject = describeTLS(f.TLS)
	}
	if s.g.deps.Geo != nil && r.Flow.Side == call.Public {
		a.Source.Country, a.Source.ASN = s.g.deps.Geo.Lookup(r.Flow.Remote.Addr())
	}
	a.ID, a.Pass, a.From = s.group.id, s.a.Pass, s.sender(x)
	a.User = x.aor.user
	if x.kind != call.Phone {
		a.User = to.aor.user
	}
	if a.User == "" {
		a.User = s.a.User
	}
	if t == nil {
		return a
	}
	a.To = call.Party{User: t.uri.User, Host: t.uri.Host}
	kind, name := call.Phone, ""
	switch call.Carrier {
	case x.kind:
		kind, name = call.Carrier, x.name
	case to.kind:
		kind = call.PBX // the number is passed on to a trunk
	}
	s.g.number(&a.To, t.uri, kind, name)
	if outside(a.To) {
		a.Direction = call.Outbound
	}
	return a
}

// sender is who a request of leg x is from: its end of the call.
func (s *session) sender(x *leg) (p call.Party) {
	switch {
	case x == &s.legs[b2bua.A]:
		return s.a.From
	case x.kind == call.Phone:
		p = call.Party{User: x.aor.user, Host: x.aor.domain}
		s.g.plan("").Normalise(x.aor.user, number.Dialled).Fill(&p)
		return p
	}
	return s.a.To
}

// refuseInside tells of a request inside a call that is refused, and answers.
func (s *session) refuseInside(x *leg, in *input, a *call.Attempt, d call.Decision) {
	if d.Subject.Value == "" {
		d.Subject = call.Subject{Kind: "user", Value: a.User}
		if x.kind == call.Carrier {
			d.Subject = call.Subject{Kind: "peer", Value: x.name}
		}
	}
	s.g.report(a, d)
	code := d.Status
	if code < 400 || d.Verdict == call.Drop {
		code = 403
	}
	in.tx.Respond(code, "", "", refusalHeaders(a, d), nil)
}

// referredBy is who transferred, as the other leg knows him: a phone is who
// it registered as (RFC 3892), whatever it says. "" when the request names
// nobody.
func (g *Gateway) referredBy(r *sipx.Request, from, to *leg) string {
	v := r.Header("Referred-By")
	if v == "" || g.foreign(from) || g.foreign(to) {
		return ""
	}
	user, host := escapeUser(from.aor.user), from.aor.domain
	if from.kind != call.Phone {
		n, err := sipx.ParseNameAddr(v)
		if err != nil || n.URI.User == "" {
			return ""
		}
		user, host = n.URI.User, n.URI.Host
		if b, ok := g.bindings.get(user, r.At); ok {
			user, host = escapeUser(b.aor.user), b.aor.domain
		}
	}
	return "<" + sipURI(user, g.hostFor(to, host)) + ">"
}

// foreign: a carrier outside of the trust domain. What it says of our users is
// not believed, and it is told nothing of them.
func (g *Gateway) foreign(x *leg) bool { return x.kind == call.Carrier && !g.trusts(x.kind, x.name) }

// referSub is the value of Refer-Sub (RFC 4488), without parameters.
func referSub(v string) string {
	v, _, _ = strings.Cut(v, ";")
	switch v = strings.ToLower(strings.TrimSpace(v)); v {
	case "true", "false":
		return v
	}
	return ""
}
