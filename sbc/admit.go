package sbc

import (
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Counters of the gateway, read at any time.
type Counters struct {
	Decisions  [5]atomic.Uint64 // by verdict
	Malformed  atomic.Uint64
	Registered atomic.Uint64
	Refreshed  atomic.Uint64 // registrations answered in place of the PBX
	Challenged atomic.Uint64 // by edge authentication, without a password that was wrong
	Accepted   atomic.Uint64 // passwords that it found right
	Denied     atomic.Uint64 // passwords that it found wrong
	Deferred   atomic.Uint64 // registrations sent away with 503, to come later
	Answered   atomic.Uint64
	Panics     atomic.Uint64
	logged     atomic.Int64 // unix time of the last malformed line in the log
	skipped    atomic.Uint64
	stormed    atomic.Int64 // unix time of the last word on deferred registrations
}

func newID() string {
	b := make([]byte, 12)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// ours reports whether we serve the domain.
func (g *Gateway) ours(domain string) bool {
	for _, d := range g.cfg.Domains {
		if strings.EqualFold(d, domain) {
			return true
		}
	}
	return false
}

// attempt gathers the facts of a request; after this nobody looks at the
// message to decide.
func (g *Gateway) attempt(r *sipx.Request, id identity) *call.Attempt {
	a := r.Attempt()
	a.PeerKind, a.Peer, a.Account = id.kind, id.name(), id.account
	f := r.Flow
	if f.TLS != nil {
		a.Source.TLSVersion, a.Source.TLSCipher, a.Source.TLSSubject = describeTLS(f.TLS)
	}
	a.Source.Answered = r.Answered
	if r.Denied != "" {
		a.AuthUser = r.Denied
	}
	a.Source.Configured = f.Side == call.Public && g.peers.knownAddr(f.Remote.Addr())
	a.Source.Registered = id.kind == call.Phone || f.Side == call.Public && g.bindings.from(f.Remote.Addr())
	if g.deps.Geo != nil && f.Side == call.Public {
		a.Source.Country, a.Source.ASN = g.deps.Geo.Lookup(f.Remote.Addr())
	}
	if a.Method == "INVITE" && g.trusts(id.kind, id.name()) {
		a.Diversion = g.divertedBy(r, a.At)
	}
	if a.Method == "INVITE" {
		a.Transferred = transferred(r)
	}
	a.Headers = r.Fields(g.policy.Load().Headers)
	if from := aorOf(r.From().URI); id.has(from) {
		a.User = from.user
	}
	if a.Method != "REGISTER" {
		g.number(&a.From, r.From().URI, id.kind, id.name())
		g.number(&a.To, r.URI(), id.kind, id.name())
	}
	return a
}

// admit decides one attempt. Each attempt reports exactly one Decision.
func (g *Gateway) admit(a *call.Attempt) call.Decision {
	d := g.decide(a)
	g.report(a, d)
	return d
}

func (g *Gateway) decide(a *call.Attempt) call.Decision {
	p := g.policy.Load() // once: a reload meanwhile does not mix two policies
	a.Policy = p.Revision
	d := admission.Decide(p.Guards, a)
	g.enact(a, &d, p.Guards)
	return d
}

// outcome tells the guards that count failures how an attempt ended.
func (g *Gateway) outcome(a *call.Attempt, code int) {
	admission.Outcome(g.policy.Load().Guards, a, code)
}

// mayRoute asks the guards that count calls towards a peer. A refusal is
// reported.
func (g *Gateway) mayRoute(a *call.Attempt, peer string) call.Decision {
	p := g.policy.Load()
	d := admission.MayRoute(p.Guards, a, peer)
	if !d.Permits() {
		under := *a // admitted under another policy, perhaps
		under.Policy = p.Revision
		g.report(&under, d)
	}
	return d
}

func (g *Gateway) leaveRoute(a *call.Attempt, peer string) {
	admission.LeaveRoute(g.policy.Load().Guards, a.ID, peer)
}

// report tells everybody who reads Decisions. A call has its id by then, so
// that all who are told know it by the same name.
func (g *Gateway) report(a *call.Attempt, d call.Decision) {
	if a.ID == "" && a.Method == "INVITE" {
		a.ID = newID()
	}
	if a.Policy == "" { // refused before a guard was asked
		a.Policy = g.policy.Load().Revision
	}
	g.Counters.Decisions[d.Verdict].Add(1)
	g.deps.Reporter.Decision(a, d)
	g.found(a, &d)
}

// refuse reports and answers what no guard was asked about.
func (g *Gateway) refuse(r *sipx.Request, id identity, d call.Decision) {
	a := g.attempt(r, id)
	g.report(a, d)
	if a.Method == "INVITE" {
		g.refusedRecord(a, d)
	}
	g.answer(r, a, d)
}

// answer puts a refusal on the wire: the code to those we know, and to
// strangers on a stream; silence where the verdict says so. A rule id goes
// only to those we know.
func (g *Gateway) answer(r *sipx.Request, a *call.Attempt, d call.Decision) {
	if d.Verdict == call.Drop {
		r.Flow.Close()
		return
	}
	if d.Verdict == call.Challenge {
		g.challenge(r, a, d)
		return
	}
	code := d.Status
	if code < 300 {
		code = 403
	}
	hs := refusalHeaders(a, d)
	if code == 422 { // RFC 4028 §6
		hs = append(hs, g.minSE())
	}
	r.Refuse(code, hs)
	if a.PeerKind == call.Stranger && r.Flow.Side == call.Public && !a.Source.Registered && a.Method != "REGISTER" {
		// A stranger that does anything but register gets one answer per
		// connection.
		r.Flow.Close()
	}
}

// refusalHeaders: Allow for 405, Accept for 415, Retry-After for 503, Warning to the known.
func refusalHeaders(a *call.Attempt, d call.Decision) (hs []sipx.HeaderField) {
	if d.Status == 405 || d.Status == 501 {
		hs = append(hs, sipx.HeaderField{Name: "Allow", Value: sipx.Allow})
	}
	if d.Status == 415 { // RFC 3261 §21.4.13
		hs = append(hs, acceptField)
	}
	if d.RetryAfter > 0 {
		hs = append(hs, sipx.HeaderField{Name: "Retry-After", Value: strconv.Itoa(int(d.RetryAfter.Seconds() + 0.999))})
	}
	if a.PeerKind == call.Stranger {
		return hs
	}
	if d.Warning != nil {
		return append(hs, sipx.WarningField(d.Warning.Code, d.Warning.Text))
	}
	if d.Rule != "" {
		hs = append(hs, sipx.WarningField(399, d.Rule))
	}
	return hs
}

func (g *Gateway) badExtension(r *sipx.Request) {
	r.Refuse(420, []sipx.HeaderField{{Name: "Unsupported", Value: strings.Join(r.UnsupportedTags(), ", ")}})
}

// options answers a keep-alive or capability question for the gateway: who
// asks is told what we speak, strangers nothing.
func (g *Gateway) options(r *sipx.Request, id identity) {
	a := g.attempt(r, id)
	d := g.admit(a)
	e := g.event(call.EventOptions, a, newID())
	tell := func(code int) {
		e.Code = code
		g.deps.Reporter.Event(e)
	}
	switch {
	case !d.Permits():
		tell(d.Status)
		g.answer(r, a, d)
	case r.MaxForwards() == 0 && !g.forUs(r):
		tell(483)
		r.Refuse(483, nil)
	case len(r.UnsupportedTags()) > 0:
		tell(420)
		g.badExtension(r)
	case id.kind == call.PBX && g.away(r):
		tell(480) // RFC 3261 §11.2: the code that an INVITE would get
		r.Refuse(480, nil)
	default:
		tell(200)
		r.Refuse(200, []sipx.HeaderField{{Name: "Allow", Value: sipx.Allow}, acceptField, {Name: "Supported", Value: sipx.Supported}, allowEvents})
	}
}

// away: the request is for a contact of a phone that cannot be reached. PBXs
// ask so whom they may ring.
func (g *Gateway) away(r *sipx.Request) bool {
	user := r.URI().User
	b, ok := g.bindings.get(user, r.At)
	return ok && (b.flow == nil || !b.flow.Alive()) || !ok && madeHere(user)
}

func (g *Gateway) forUs(r *sipx.Request) bool { u := r.URI(); return u.User == "" }

// event begins a line of the event stream from an attempt.
func (g *Gateway) event(kind call.EventKind, a *call.Attempt, id string) call.Event {
	e := call.Event{At: call.Time{Time: a.At}, Kind: kind, ID: id, Node: g.cfg.Node,
		Account: a.Account, Peer: a.Peer, User: a.User,
		Source: a.Source.Addr.Addr().String(), SourceCountry: a.Source.Country, UserAgent: a.UserAgent}
	return e
}

// malformedLog writes at most one line a second; the rest is counted.
func (g *Gateway) malformedLog(f *sipx.Flow, m *sipx.Malformed) {
	now := time.Now().Unix()
	if last := g.Counters.logged.Load(); last == now || !g.Counters.logged.CompareAndSwap(last, now) {
		g.Counters.skipped.Add(1)
		return
	}
	g.log.Info("malformed message refused", "source", f.Remote.String(), "transport", f.Transport, "reason", m.Reason,
		"header", m.Header, "not_logged", g.Counters.skipped.Load())
	g.deps.Reporter.System(call.SystemEvent{At: time.Unix(now, 0), Action: call.MalformedMessage, Severity: call.Low, Rule: "base/malformed",
		Reason: m.Reason, Subject: sourceSubject(f), Source: f.Remote,
		Evidence: []call.Evidence{{Name: "messages.malformed", Value: g.Counters.skipped.Swap(0) + 1, Threshold: 0}}})
}

// HandshakeFailed implements sipx.Handler. Somebody who speaks plaintext to
// the TLS port gets an alert of his own.
func (g *Gateway) HandshakeFailed(side call.Side, remote netip.AddrPort, err error) {
	g.refused("handshake")
	first, plain := plaintext(err)
	if !plain {
		g.log.Debug("TLS handshake failed", "side", side.String(), "source", remote.String(), "error", err)
		return
	}
	if side == call.Public && sipLike(first) {
		a := &call.Attempt{At: time.Now(), Side: side, Method: "", Source: call.Source{Addr: remote, Transport: "tcp"}}
		g.report(a, call.Decision{Verdict: call.Drop, Rule: "base/plaintext", Reason: "plaintext on the TLS port",
			Severity: call.Medium, Action: call.PlaintextRefused, Subject: call.Subject{Kind: "source", Value: remote.Addr().String()}})
	}
}

// sipLike: five printable bytes, as of a method; not the noise of a scanner
// for other protocols.
func sipLike(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return len(b) > 0
}

// FlowClosed implements sipx.Handler.
func (g *Gateway) FlowClosed(f *sipx.Flow) {
	if !f.Known() {
		return // a stranger's: nothing of ours hangs on it, however often it comes
	}
	g.bindings.closed(f, g.ids.closed(f))
	g.calls.closed(f)
	if t := g.trunks[f.Hop]; t != nil && f.Outbound {
		t.closed(f)
	}
}
