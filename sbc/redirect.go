package sbc

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Redirects (RFC 3261 §8.1.3.4): a 3xx says where else the callee is. Whether
// the caller hears it or the gateway goes there itself is configured for the
// one who redirects. To follow is to dial: every target is an attempt of its
// own, judged like any other, and the one who redirected answers for it.

// Redirects says what becomes of the 3xx of a PBX, a peer or the phones.
type Redirects uint8

const (
	RefuseRedirects Redirects = iota // the caller gets 480
	RelayRedirects                   // the caller gets it, with our host
	FollowRedirects                  // the gateway calls the targets
)

const (
	maxForwards  = 5  // targets that are called for one INVITE
	maxElsewhere = 10 // of one response that are looked at
)

// forward is one target that a redirect named and policy let pass.
type forward struct {
	a      *call.Attempt
	reason string // of the Diversion that says so
}

// redirects is the state of a session that was redirected.
type redirects struct {
	routes []route         // those that the call had before
	seen   map[string]bool // whom it was for so far
	count  int
	told   []sipx.HeaderField // the Contacts that the caller hears of
}

func (g *Gateway) redirectsOf(l *leg) Redirects {
	switch l.kind {
	case call.PBX:
		if p := g.peers.pbxByName(l.name); p != nil {
			return p.Redirects
		}
	case call.Carrier:
		if p := g.peers.byName(l.name); p != nil {
			return p.Redirects
		}
	case call.Phone:
		return g.cfg.Phones.Redirects
	}
	return RefuseRedirects
}

// redirected makes of B's 3xx what the machine is told: a failure that A
// hears, or further routes.
func (s *session) redirected(in *input) {
	in.Code, in.TryNext = 480, false
	code := in.res.Code()
	if code != 300 && code != 301 && code != 302 || s.state.Phase != b2bua.Calling && s.state.Phase != b2bua.Ringing {
		return // the rest says something else than "I am there"
	}
	switch s.g.redirectsOf(&s.legs[b2bua.B]) {
	case RelayRedirects:
		var refused int
		if s.redir.told, refused = s.elsewhere(in.res); len(s.redir.told) > 0 {
			in.Code = code
			return
		}
		in.Code = cmp.Or(refused, in.Code)
	case FollowRedirects:
		if s.replaces != "" {
			return // the dialog that is to be replaced is not there
		}
		routes, refused := s.follows(in.res)
		if len(routes) == 0 {
			in.Code = cmp.Or(refused, in.Code)
			return
		}
		in.Event = b2bua.Event{Kind: b2bua.Redirected, Leg: b2bua.B, Code: 480, Routes: len(routes)}
		if s.redir.routes == nil {
			s.redir.routes = s.routes
		}
		s.routes = append(slices.Clone(s.routes[:s.state.Route+1]), routes...)
	}
}

// contactsOf are the targets of a 3xx, the most wanted first.
func contactsOf(res *sipx.Response) []sipx.NameAddr {
	list, _ := res.Contacts()
	list = slices.Clone(list[:min(len(list), maxElsewhere)])
	slices.SortStableFunc(list, func(a, b sipx.NameAddr) int { return cmp.Compare(qOf(b), qOf(a)) })
	return slices.DeleteFunc(list, func(n sipx.NameAddr) bool { return !shown(n.URI) })
}

// qOf is the preference of a Contact (RFC 3261 §20.10); 1 when it has none.
func qOf(n sipx.NameAddr) float64 {
	q, err := strconv.ParseFloat(n.Get("q"), 64)
	if err != nil || !(q >= 0 && q <= 1) {
		return 1
	}
	return q
}

// within: the host of a target is one that our routes lead to: the domain, an
// address of ours or of a PBX. A peer may also name itself.
func (s *session) within(u sipx.URI) bool {
	if u.Scheme == "tel" || s.g.ours(u.Host) {
		return true
	}
	host := strings.Trim(u.Host, "[]")
	for l := range s.legs {
		if f := s.legs[l].flow; f != nil && strings.EqualFold(strings.Trim(hostOf(f), "[]"), host) {
			return true
		}
	}
	if b := &s.legs[b2bua.B]; b.kind == call.Carrier {
		if p := s.g.peers.byName(b.name); p != nil && strings.EqualFold(p.Host, host) {
			return true
		}
	}
	for i := range s.g.cfg.PBXs {
		if p := &s.g.cfg.PBXs[i]; strings.EqualFold(p.Host, host) {
			return true
		}
	}
	a, err := netip.ParseAddr(host)
	return err == nil && s.g.peers.pbxAt(netip.AddrPortFrom(a, 0)) != nil
}

// elsewhere are the Contacts that A hears of: user and order stay, the host is
// our domain, hosts that are nobody's business here are left out, and so is
// whom policy would not let be called: A would hear it now or when it dials.
// refused is the status of the first refusal.
func (s *session) elsewhere(res *sipx.Response) (hs []sipx.HeaderField, refused int) {
	now := time.Now()
	for _, n := range contactsOf(res) {
		user := s.g.person(n.URI, now)
		if user == "" || !s.within(n.URI) {
			continue
		}
		if d := s.mayBeTold(n); !d.Permits() {
			refused = cmp.Or(refused, d.Status, 403)
			continue
		}
		v := "<" + sipURI(escapeUser(user), s.domainOf(n.URI.Host)) + ">"
		if q := n.Get("q"); q != "" {
			v += ";q=" + strconv.FormatFloat(qOf(n), 'f', -1, 64)
		}
		hs = append(hs, sipx.HeaderField{Name: "Contact", Value: v})
	}
	return hs, refused
}

// mayBeTold judges a target that A is told of, without counting a call: it is
// counted when A makes it. A refusal is reported.
func (s *session) mayBeTold(n sipx.NameAddr) call.Decision {
	f := s.forward(n)
	if f == nil {
		return call.Decision{Verdict: call.Allow} // a name inside: the PBX knows whose
	}
	p := s.g.policy.Load()
	f.a.Policy = p.Revision
	b := asCall(f.a)
	d := admission.Decide(judges(p.Guards), &b)
	if !d.Permits() {
		d.Evidence = append(slices.Clone(d.Evidence), call.Evidence{Name: "call.diversion", Value: f.a.Diversion})
		s.pass.Trace = append(s.pass.Trace, d.Trace...)
		s.g.report(f.a, d)
	}
	return d
}

// judges are the guards that do not count.
func judges(gs []Guard) (out []Guard) {
	for _, gd := range gs {
		if _, counts := gd.(admission.Outcomer); !counts {
			out = append(out, gd)
		}
	}
	return out
}

// follows judges the targets of a redirect and lists the ways to those that
// may be called. refused is the status of the first refusal.
func (s *session) follows(res *sipx.Response) (out []route, refused int) {
	s.look(s.a)
	if t := s.routes[s.state.Route]; t.fwd != nil {
		s.look(t.fwd.a)
	}
	for _, n := range contactsOf(res) {
		if s.redir.count >= maxForwards {
			s.g.log.Warn("too many redirects", "call", s.group.id, "followed", s.redir.count)
			break
		}
		f := s.forward(n)
		if f == nil || s.redir.seen[numberOf(f.a)] {
			continue // nobody we could call, or one who has been asked already
		}
		s.look(f.a)
		s.redir.count++
		routes, d := s.judge(f)
		if !d.Permits() {
			refused = cmp.Or(refused, d.Status, 403)
			continue
		}
		s.pass.ForwardedTo = append(s.pass.ForwardedTo, numberOf(f.a))
		s.pass.diversion = f.a.Diversion
		for i := range routes {
			routes[i].fwd = f
		}
		out = append(out, routes...)
	}
	return out, refused
}

// look notes whom the call was for: it does not go there again.
func (s *session) look(a *call.Attempt) {
	if s.redir.seen == nil {
		s.redir.seen = map[string]bool{}
	}
	s.redir.seen[numberOf(a)] = true
}

// forward makes the attempt for one target: the caller's call, for whom the
// target names, on the account of the one who redirected.
func (s *session) forward(n sipx.NameAddr) *forward {
	now := time.Now()
	b := &s.legs[b2bua.B]
	user := s.g.person(n.URI, now)
	if user == "" {
		return nil
	}
	a := *s.a
	a.At, a.Pass, a.AuthUser, a.RequestURI = now, 1, "", n.URI.String()
	a.Source.Answered = true // there is no request that could be challenged
	a.To = call.Party{User: user, Host: s.domainOf(n.URI.Host)}
	s.g.number(&a.To, n.URI, b.kind, b.name)
	a.To.User = user
	if !s.within(n.URI) && !outside(a.To) {
		return nil // a name in somebody else's domain
	}
	was := s.a
	if t := s.routes[s.state.Route]; t.fwd != nil {
		was = t.fwd.a
	}
	a.Diversion = cmp.Or(was.To.Number, was.To.User)
	switch b.kind {
	case call.Phone:
		a.Diversion, a.User, a.PeerKind, a.Peer, a.Side = b.aor.user, b.aor.user, call.Phone, "", call.Public
		if b.flow != nil {
			a.Source = call.Source{Addr: b.flow.Remote, Local: b.flow.Local, Transport: b.flow.Transport, Registered: true}
		}
	case call.PBX:
		a.User, a.PeerKind, a.Peer, a.Account, a.Side = a.Diversion, call.PBX, b.name, b.name, call.Inside
		if b.flow != nil {
			a.Source = call.Source{Addr: b.flow.Remote, Local: b.flow.Local, Transport: b.flow.Transport}
		}
	}
	if outside(a.To) {
		a.Direction = call.Outbound
	}
	f := &forward{a: &a, reason: "unconditional"}
	if s.state.Phase == b2bua.Ringing {
		f.reason = "deflection"
	}
	return f
}

// domainOf is the domain of a target: the one that it names, if that is ours,
// else that of the end of the call that has one.
func (s *session) domainOf(host string) string {
	if !s.g.ours(host) {
		host = s.g.cfg.Domains[0]
		for _, l := range []b2bua.Leg{b2bua.B, b2bua.A} {
			if x := &s.legs[l]; x.kind == call.Phone || x.kind == call.PBX {
				host = s.g.hostFor(x, "")
				break
			}
		}
	}
	return strings.ToLower(host)
}

// redirector is the PBX on whose behalf B redirects: B itself, or that of a
// phone; nil for others.
func (s *session) redirector() *PBX {
	switch b := &s.legs[b2bua.B]; b.kind {
	case call.PBX:
		return s.g.peers.pbxByName(b.name)
	case call.Phone:
		return s.g.peers.pbxByName(s.routes[s.state.Route].phone.account)
	}
	return nil
}

// judge decides one target and finds the ways to it; the Decision is reported
// once.
func (s *session) judge(f *forward) (routes []route, d call.Decision) {
	d = s.g.decide(f.a)
	if d.Permits() {
		routes, d = s.g.forwardRoutes(f.a, s, d)
	}
	if !d.Permits() {
		if d.Rule == "" {
			d.Rule = "base/redirect"
		}
		d.Evidence = append(slices.Clone(d.Evidence), call.Evidence{Name: "call.diversion", Value: f.a.Diversion})
	}
	s.pass.Trace = append(s.pass.Trace, d.Trace...)
	s.g.report(f.a, d)
	return routes, d
}

// forwardRoutes lists the ways to the target of a redirect: a registered
// phone, the PBX for others of the domain unless it is the caller, and the
// routes to peers for numbers outside.
func (g *Gateway) forwardRoutes(a *call.Attempt, s *session, d call.Decision) ([]route, call.Decision) {
	if x := &s.legs[b2bua.A]; outside(a.To) {
		return g.outward(a, s.group.attempt, x.theirs.Request(), g.trusts(x.kind, x.name), d)
	}
	who := aor{a.To.User, a.To.Host}
	if p := s.redirector(); p != nil && !p.serves(who.domain) {
		return noRoute(a, d, 480, "base/redirect", "redirected to "+who.String()+", whom PBX "+p.Name+" does not serve")
	}
	for _, b := range g.bindings.of(who, a.At) {
		if b.flow != nil && b.flow.Alive() {
			return []route{{kind: call.Phone, phone: b}}, d
		}
	}
	if s.legs[b2bua.A].kind == call.PBX || s.legs[b2bua.B].kind == call.PBX {
		d = call.Decision{Verdict: call.Reject, Status: 480, Rule: "base/redirect", Severity: call.Low, Action: call.CallRejected,
			Reason: "redirected to " + a.To.User + ", who is not registered", Subject: call.Subject{Kind: "user", Value: a.User}, Trace: d.Trace}
		return nil, d
	}
	var out []route
	for _, p := range g.pbxsFor(a) {
		out = append(out, route{kind: call.PBX, pbx: p})
	}
	return g.peers.each(out, a.At), d
}

// diversion is the entry that says that the gateway passed the call on.
func (g *Gateway) diversion(t route) []sipx.HeaderField {
	if t.fwd == nil || !g.trusts(t.kind, t.name()) {
		return nil
	}
	return []sipx.HeaderField{{Name: "Diversion", Value: nameAddr("", sipURI(escapeUser(t.fwd.a.Diversion), g.domainTo(t.kind, t.name()))) + ";reason=" + t.fwd.reason + ";counter=1"}}
}

// unredirected takes the call back to whom it was for at first: the caller
// asks anew. What it may still follow does not begin anew.
func (s *session) unredirected() {
	if s.redir.routes != nil {
		s.routes = s.redir.routes
	}
	s.redir.routes, s.redir.seen = nil, nil
}

// askNext: somebody that a redirect named will not have the call; there is
// another. A 6xx speaks for all of them (RFC 3261 §16.7 step 5).
func (s *session) askNext(code int) bool {
	i := s.state.Route
	if i+1 >= len(s.routes) || code == 401 || code == 407 || code == 422 || code >= 600 {
		return false
	}
	return s.routes[i].fwd != nil && s.routes[i+1].fwd != s.routes[i].fwd
}
