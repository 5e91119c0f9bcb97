package sbc

import (
	"errors"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// maxPasses of one call; more is a loop between us and the PBX.
const maxPasses = 8

// invite takes an INVITE outside of a dialog: what is wrong with the message
// itself, who it comes from, what the guards say, then a session of its own.
func (g *Gateway) invite(r *sipx.Request, id identity) {
	u := r.URI()
	key := attemptKey{r.Flow.Side, r.CallID(), r.FromTag(), u.String()}
	if s := g.calls.attempt(key); s != nil {
		// The answer to a challenge, or a second INVITE before the first
		// has its answer: the call decides.
		s.again(r, id)
		return
	}
	a := g.attempt(r, id)
	a.Media = offered(r)
	// A stranger is told nothing about his message before the guards, who
	// count him, have let him in.
	known := id.kind != call.Stranger
	if d, ok := g.unacceptable(r, a); ok && known {
		g.refuseInvite(r, a, d)
		return
	}
	if d, ok := g.claim(r, a, id); ok {
		g.refuseInvite(r, a, d)
		return
	}
	grp := g.direct(r, a)
	g.wayHere(a, grp)
	if a.Pass == 1 {
		grp.private = claims(r, false).privacy.hides()
	}
	if g.stopping(a) {
		d := stopped(a)
		g.report(a, d)
		g.refusedPass(grp, a, d)
		g.answer(r, a, d)
		return
	}
	if g.calls.count(grp) >= maxPasses || g.calls.circling(a) {
		d := call.Decision{Verdict: call.Reject, Status: 482, Rule: "base/loop", Severity: call.Medium, Action: call.CallRejected,
			Reason: "the call passed the gateway too often", Subject: call.Subject{Kind: "user", Value: a.User}}
		g.report(a, d)
		g.refusedPass(grp, a, d)
		g.answer(r, a, d)
		return
	}
	from := g.callerLeg(r, id)
	from.TolerateRTP = a.Emergency()
	offer, err := readOffer(&from, r)
	d := g.decide(a)
	d.Also = append(d.Also, admission.Flags(a)...)
	if d.Permits() && !known {
		d = g.letIn(r, a, d)
	}
	asked := d
	if d.Permits() && !known {
		if bad, ok := g.unacceptable(r, a); ok {
			bad.Trace = d.Trace
			d = bad
		}
	}
	if d.Permits() && err != nil {
		d = offerRefusal(a, err, d)
	}
	var routes []route
	if d.Permits() {
		routes, d = g.route(a, grp.attempt, r, id, d)
	}
	replaced := ""
	if d.Permits() {
		replaced, d = g.replacing(r, a, id, routes, d)
	}
	if replaced != "" {
		routes = besideFirst(routes)
	}
	if d.Permits() && g.calls.live() >= g.cfg.MaxCalls {
		d = overloaded(d)
	}
	d.Counts = asked.Counts // whatever refused after the guards
	var tx *sipx.ServerTx
	if d.Permits() {
		if tx = r.Begin(); tx == nil { // refused there with 503
			d = overloaded(d)
			d.Counts = asked.Counts
			g.report(a, d)
			g.refusedPass(grp, a, d)
			return
		}
	}
	g.report(a, d)
	if !d.Permits() {
		if g.challengedCall(r, a, d) {
			g.answer(r, a, d)
			return
		}
		g.refusedPass(grp, a, d) // what is written is there when the answer is
		g.answer(r, a, d)
		return
	}
	s := newSession(g, key, a, grp, tx, id, from, offer, routes)
	s.decision, s.replaces = d, replaced
	if !g.calls.add(s, g.cfg.MaxCalls) { // another took the last place meanwhile
		d = overloaded(d)
		d.Counts = asked.Counts
		g.report(a, d)
		g.refusedPass(grp, a, d)
		tx.Respond(d.Status, "", "", refusalHeaders(a, d), nil)
		return
	}
	g.begin(s)
	tx.Trying()
	tx.OnCancel(s.cancelled)
	tx.OnNoAck(func() { s.noAck(b2bua.A, tx) })
	if known {
		go s.run()
		return
	}
	// A rule let him in: his connection lives as long as his call.
	r.Flow.Hold()
	go func() {
		defer r.Flow.Release()
		s.run()
	}()
}

// readOffer reads the offer of an INVITE; nil when it has none and asks for
// one (RFC 3261 §13.2.1).
func readOffer(from *sdp.Leg, r *sipx.Request) (*sdp.Offer, error) {
	if len(r.Body()) == 0 {
		return nil, nil
	}
	return sdp.ReadOffer(from, r.Body())
}

// overloaded: the table of calls or of transactions is full.
func overloaded(was call.Decision) call.Decision {
	return call.Decision{Verdict: call.Reject, Status: 503, Rule: "base/overload", Severity: call.High, Action: call.CallRejected,
		Reason: "too many calls at a time", RetryAfter: 5 * time.Second, Trace: was.Trace}
}

func (g *Gateway) refuseInvite(r *sipx.Request, a *call.Attempt, d call.Decision) {
	g.report(a, d)
	g.refusedRecord(a, d)
	g.answer(r, a, d)
}

// unacceptable finds what is wrong with the INVITE whoever sends it (RFC 3261
// §8.2).
func (g *Gateway) unacceptable(r *sipx.Request, a *call.Attempt) (call.Decision, bool) {
	no := func(code int, rule, reason string) (call.Decision, bool) {
		return call.Decision{Verdict: call.Reject, Status: code, Rule: rule, Reason: reason, Severity: call.Low,
			Subject: call.Subject{Kind: "source", Value: a.Source.Addr.Addr().String()}}, true
	}
	u := r.URI()
	switch {
	case a.PeerKind != call.PBX && g.stopping(a): // a PBX's is asked when its call is known
		return stopped(a), true
	case !mayForward(r):
		return no(483, "base/hops", "Max-Forwards is used up")
	case r.Narrow():
		return no(440, "base/breadth", "Max-Breadth is used up")
	case len(r.UnsupportedTags()) > 0:
		return no(420, "base/extension", "requires "+strings.Join(r.UnsupportedTags(), ", "))
	case g.shortInterval(r):
		return intervalRefusal(r, a, g.minSession()), true
	case u.Scheme != "sip" && u.Scheme != "sips" && u.Scheme != "tel" && !(u.Scheme == "urn" && a.To.Kind == call.Emergency):
		return no(416, "base/uri-scheme", "Request-URI scheme "+u.Scheme)
	case u.Scheme == "sips" && !(r.Flow.Secure() && g.insideSecure()):
		d, _ := no(480, "base/sips", "sips: needs TLS on every hop")
		d.Warning = sipsNotAllowed
		return d, true
	case len(r.Headers("Contact")) == 0:
		return no(400, "base/no-contact", "INVITE without Contact")
	case g.bodyFault(r, a.PeerKind, a.Peer, a.Emergency()) != nil:
		e := g.bodyFault(r, a.PeerKind, a.Peer, a.Emergency())
		return no(e.Status, "base/body", e.Reason)
	case len(r.Body()) > 0 && (r.ContentType() != "application/sdp" || !identityEncoding(r.Header("Content-Encoding"))):
		return no(415, "base/content-type", "body of type "+r.ContentType())
	case len(r.Headers("Accept")) > 0 && !acceptsSDP(r.Headers("Accept")):
		return no(406, "base/accept", "application/sdp is not accepted")
	case privacyOf(r.Headers("Privacy")).impossible() != "":
		return no(500, "base/privacy", "privacy of an unknown kind is critical") // RFC 3323 §5
	}
	return call.Decision{}, false
}

// stopping: the gateway drains, and this is no call for help.
func (g *Gateway) stopping(a *call.Attempt) bool { return g.draining.Load() && !a.Emergency() }

func stopped(a *call.Attempt) call.Decision {
	return call.Decision{Verdict: call.Reject, Status: 503, Rule: "base/draining", Reason: "the gateway is being stopped", Severity: call.Low,
		Subject: call.Subject{Kind: "source", Value: a.Source.Addr.Addr().String()}, RetryAfter: 30 * time.Second}
}

// mayForward: a hop is left for the next one. The stack takes a count of 0 for
// "not given" and would begin anew, so a request ends here one hop early
// rather than never.
func mayForward(r *sipx.Request) bool { return r.MaxForwards() > 1 }

func identityEncoding(v string) bool { return v == "" || strings.EqualFold(v, "identity") }

func acceptsSDP(values []string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			t, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(t)), ";")
			if t == "application/sdp" || t == "application/*" || t == "*/*" {
				return true
			}
		}
	}
	return false
}

// sipsNotAllowed: RFC 5630 §5.1.1.
var sipsNotAllowed = &call.Warning{Code: 380, Text: "SIPS Not Allowed"}

func (g *Gateway) insideSecure() bool {
	for _, p := range g.cfg.PBXs {
		if p.Transport != "tls" {
			return false
		}
	}
	return true
}

func offered(r *sipx.Request) call.Media {
	if len(r.Body()) == 0 {
		return call.Media{}
	}
	s, err := sdp.Parse(r.Body())
	if err != nil {
		return call.Media{Offered: true}
	}
	return call.Media{Offered: true, Profile: s.Profile(), SRTP: s.SRTP()}
}

// claim settles who the caller is: a phone must be who its flow registered;
// the PBX says who it calls for.
func (g *Gateway) claim(r *sipx.Request, a *call.Attempt, id identity) (call.Decision, bool) {
	switch id.kind {
	case call.Phone:
		who, ok := id.speaker(r)
		if ok {
			g.speaksAs(a, r, who)
			return call.Decision{}, false
		}
		from := aorOf(r.From().URI)
		return call.Decision{Verdict: call.Reject, Status: 403, Rule: "base/identity", Severity: call.High, Action: call.IdentityForged,
			Reason:  "From is " + from.String() + ", this flow registered another",
			Subject: call.Subject{Kind: "user", Value: id.who.any().user}}, true
	case call.Carrier:
		return g.callerOf(r, a, id.peer)
	case call.PBX:
		a.User = unescape(r.From().URI.User)
		if user := asserted(r.Headers("P-Asserted-Identity")); user != "" {
			a.User = user
		}
	}
	return call.Decision{}, false
}

// asserted is the user of the first P-Asserted-Identity that has one. There
// may be a sip and a tel URI, in one header line or two (RFC 3325 §9.1).
func asserted(values []string) string {
	for _, line := range values {
		for _, v := range splitAddresses(line) {
			n, err := sipx.ParseNameAddr(v)
			if err != nil {
				continue
			}
			user := n.URI.User
			if n.URI.Scheme == "tel" {
				user, _, _ = strings.Cut(n.URI.Raw(), ";")
			}
			if user != "" {
				return unescape(user)
			}
		}
	}
	return ""
}

// splitAddresses cuts a header line at the commas that are in no quotes and
// no brackets.
func splitAddresses(v string) (out []string) {
	quoted, inside, start := false, false, 0
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			inside = true
		case c == '>':
			inside = false
		case c == ',' && !inside:
			out = append(out, strings.TrimSpace(v[start:i]))
			start = i + 1
		}
	}
	return append(out, strings.TrimSpace(v[start:]))
}

// direct finds the call this pass belongs to and its direction.
func (g *Gateway) direct(r *sipx.Request, a *call.Attempt) *group {
	switch a.PeerKind {
	case call.Carrier:
		a.Direction = call.Inbound
		a.Account = g.accountFor(a)
	case call.Phone:
		a.Direction = call.Internal
		if outside(a.To) {
			a.Direction = call.Outbound
		}
	case call.PBX:
		numbers := []string{numberOf(a)}
		b, toPhone := g.called(r.URI(), a.At)
		if toPhone {
			// The token says nothing; To names whom the call is for, unless
			// the PBX writes the token there too.
			g.number(&a.To, r.To().URI, call.Phone, "")
			if _, token := g.bindings.get(a.To.User, a.At); token {
				a.To.User, a.To.Host = b.aor.user, b.aor.domain
				g.plan("").Normalise(b.aor.user, number.Dialled).Fill(&a.To)
			}
			numbers = []string{numberOf(a), b.aor.user}
		}
		grp := g.calls.join(a, sessionID(r), numbers)
		if grp != nil {
			a.ID = grp.id
			// Help that the PBX rings at a phone of ours goes on as help. Towards
			// a number outside it would open every country to who knows how
			// passes are joined.
			a.Help = toPhone && grp.attempt.Emergency()
			a.Pass = g.calls.count(grp) + 1
			a.Direction = grp.attempt.Direction
			if a.User == "" || grp.attempt.User != "" && a.Direction != call.Inbound {
				a.User = grp.attempt.User
			}
		}
		switch {
		case toPhone && grp == nil && (a.From.Kind == call.National || a.From.Kind == call.International):
			a.Direction = call.Inbound
		case !toPhone && outside(a.To):
			a.Direction = call.Outbound
		}
		if grp != nil {
			return grp
		}
	}
	a.ID = newID()
	a.Pass = 1
	return &group{id: a.ID, attempt: a, live: 1}
}

// called finds the registered phone that the PBX calls: by its token, else by
// its address of record.
func (g *Gateway) called(u sipx.URI, now time.Time) (binding, bool) {
	if b, ok := g.bindings.get(u.User, now); ok {
		return b, true
	}
	if g.ours(u.Host) {
		if bs := g.bindings.of(aorOf(u), now); len(bs) > 0 {
			return bs[0], true
		}
	}
	return binding{}, false
}

// outside: the other end is in the public network.
func outside(p call.Party) bool { return p.Outside() }

// sessionID is the local UUID of RFC 7989 §5.
func sessionID(r *sipx.Request) string {
	v, _, _ := strings.Cut(r.Header("Session-ID"), ";")
	return strings.TrimSpace(v)
}

// callerLeg is the media policy towards the caller.
func (g *Gateway) callerLeg(r *sipx.Request, id identity) sdp.Leg {
	l := sdp.Leg{SecureHop: r.Flow.Secure(), Suites: g.cfg.Suites}
	switch {
	case id.pbx != nil:
		l.Policy = id.pbx.SRTP
		l.SecureHop = true // the inside is trusted with its own keys
	case id.peer != nil:
		l.Policy = id.peer.SRTP
	}
	return l
}

// offerRefusal turns what sdp found into the one Decision.
func offerRefusal(a *call.Attempt, err error, was call.Decision) call.Decision {
	d := call.Decision{Verdict: call.Reject, Status: 488, Rule: "base/offer", Reason: err.Error(), Severity: call.Low,
		Action: call.CallRejected, Subject: call.Subject{Kind: "user", Value: a.User}, Trace: was.Trace}
	var ref *sdp.Refusal
	if errors.As(err, &ref) {
		d.Status, d.Reason = ref.Status, ref.Reason
		if ref.WarningCode != 0 {
			d.Warning = &call.Warning{Code: ref.WarningCode, Text: ref.WarningText}
		}
		if ref.SRTP {
			d.Rule, d.Action, d.Severity = "base/srtp-required", call.SRTPRefused, call.Medium
			d.Evidence = []call.Evidence{{Name: "media.profile", Value: a.Media.Profile, Threshold: "RTP/SAVP"}}
		}
	} else {
		d.Status = 400
	}
	if d.Subject.Value == "" {
		d.Subject = call.Subject{Kind: "source", Value: a.Source.Addr.Addr().String()}
	}
	return d
}
