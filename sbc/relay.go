package sbc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Requests outside of calls: SUBSCRIBE, PUBLISH, MESSAGE, NOTIFY that nobody
// asked for. Identity, guards and routes are those of calls; there is no
// session, a request is its own owner until it is answered.

// relay is one request on its way.
type relay struct {
	g      *Gateway
	r      *sipx.Request
	id     identity
	a      *call.Attempt
	d      call.Decision
	tx     *sipx.ServerTx
	routes []route
	event  event
	sub    *subscription // SUBSCRIBE, REFER
	refer  *referTarget  // REFER
	key    string        // of the attempt
}

// relay takes such a request.
func (g *Gateway) relay(r *sipx.Request, id identity) {
	p := &relay{g: g, r: r, id: id, a: g.attempt(r, id)}
	a := p.a
	refuse := func(d call.Decision, hs ...sipx.HeaderField) {
		if d.Subject.Value == "" {
			d.Subject = call.Subject{Kind: "user", Value: a.User}
			if a.User == "" {
				d.Subject = sourceSubject(r.Flow)
			}
		}
		p.d = d
		g.report(a, d)
		p.tell(d.Status)
		if len(hs) > 0 {
			r.Refuse(d.Status, append(refusalHeaders(a, d), hs...))
			return
		}
		g.answer(r, a, d)
	}
	if d, ok := g.claim(r, a, id); ok {
		refuse(d)
		return
	}
	g.head(r, a)
	bad, hs, unfit := p.unacceptable()
	if unfit && bad.Rule != ruleMessageBody {
		refuse(bad, hs...)
		return
	}
	// All that was judged is in the key: an answer to a challenge that says or
	// asks for something else is another attempt.
	p.key = g.mapped("attempt", r.Flow.Side.String(), a.User, r.Method(), r.CallID(), r.FromTag(), a.RequestURI,
		r.Header("Content-Type"), string(r.Body()), r.Header("Refer-To"))
	if _, sent := r.AuthUser(); sent && g.relays.take(p.key, r.At) {
		p.d = call.Decision{Verdict: call.Allow} // the answer to a challenge: was judged
	} else {
		p.d = p.decide()
		p.d.Also = append(p.d.Also, admission.Flags(a)...)
		if p.d.Permits() && a.Method == "REFER" && p.d.Rule == "" {
			p.d = no(403, "base/refer-outside", "REFER outside of a call is carried where a rule allows it", call.Low)
		}
	}
	if p.d.Permits() && unfit {
		refuse(bad, hs...) // the policy was asked: it may have more to say of what is sent
		return
	}
	asked := p.d
	if p.d.Permits() {
		p.routes, p.d = p.ways()
	}
	p.d.Counts = asked.Counts
	if p.d.Permits() && (a.Method == "SUBSCRIBE" || a.Method == "REFER") {
		p.sub, p.d = g.subs.reserve(p)
	}
	if !p.d.Permits() {
		if p.d.Verdict == call.Drop {
			g.report(a, p.d)
			g.answer(r, a, p.d)
			return
		}
		refuse(p.d)
		return
	}
	if p.tx = r.Begin(); p.tx == nil {
		g.subs.end(p.sub)
		return
	}
	g.report(a, p.d)
	if p.refer != nil {
		g.transfers.note(&leg{kind: p.routes[0].kind, aor: p.routes[0].phone.aor}, a)
	}
	if p.sub != nil {
		p.sub.begun(p)
	}
	p.try()
}

func (p *relay) decide() call.Decision {
	if p.refer != nil {
		return p.g.decideTransfer(p.a)
	}
	return p.g.decide(p.a)
}

func no(code int, rule, reason string, sev call.Severity) call.Decision {
	return call.Decision{Verdict: call.Reject, Status: code, Rule: rule, Reason: reason, Severity: sev, Action: call.RequestRejected}
}

// head finds where the request is headed: outbound to a number outside, else
// internal, inbound from a carrier.
func (g *Gateway) head(r *sipx.Request, a *call.Attempt) {
	a.ID = newID()
	switch a.PeerKind {
	case call.Carrier:
		a.Direction = call.Inbound
		a.Account = g.accountFor(a)
		return
	case call.PBX:
		if b, ok := g.called(r.URI(), a.At); ok {
			a.To.User, a.To.Host = b.aor.user, b.aor.domain
			g.plan("").Normalise(b.aor.user, number.Dialled).Fill(&a.To)
			return
		}
	}
	if outside(a.To) {
		a.Direction = call.Outbound
	}
}

// ways lists where the request may go: those of calls for a MESSAGE, a
// registered phone for everything else that comes from the PBX.
func (p *relay) ways() ([]route, call.Decision) {
	if p.a.Side == call.Inside && p.a.Method != "MESSAGE" {
		b, ok := p.g.called(p.r.URI(), p.a.At)
		switch {
		case !ok:
			return nil, no(480, "base/not-registered", p.a.Method+" for nobody who is registered", call.Low)
		case p.id.pbx != nil && !p.id.pbx.serves(b.aor.domain):
			return nil, no(404, "base/domain", "PBX "+p.id.pbx.Name+" does not serve "+b.aor.domain, call.Low)
		case b.flow == nil || !b.flow.Alive():
			return nil, no(430, "base/flow-failed", "the connection of "+b.aor.String()+" is gone", call.Low)
		}
		return []route{{kind: call.Phone, phone: b}}, p.d
	}
	rs, d := p.g.route(p.a, p.a, p.r, p.id, p.d)
	if d.Action == call.CallRejected {
		d.Action = call.RequestRejected
	}
	if d.Permits() && len(rs) == 0 {
		d = no(480, "base/no-route", "no way to "+p.a.To.User, call.Low)
	}
	return rs, d
}

// try sends the request the first way that is left.
func (p *relay) try() {
	t := p.routes[0]
	p.routes = p.routes[1:]
	f, connect := p.g.flow(t)
	if f != nil {
		p.send(t, f)
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(p.g.ctx, 6*time.Second)
		defer cancel()
		f, err := connect(ctx)
		if err != nil {
			p.failed(t, err)
			return
		}
		p.send(t, f)
	}()
}

// sender is who sends: a phone is its address of record, as two domains may
// have a user of one name.
func (p *relay) sender() string {
	if who, ok := p.id.speaker(p.r); ok && p.id.kind == call.Phone {
		return who.String()
	}
	return p.id.kind.String() + " " + p.id.name()
}

// callID and tag are the same for the answer to a challenge.
func (p *relay) names() (callID, tag string) {
	who := p.sender()
	return p.g.mapped("relay", who, p.r.CallID(), p.r.FromTag()), p.g.mapped("relay-tag", who, p.r.CallID(), p.r.FromTag())[:16]
}

// ends are the two ends as legs.
func (p *relay) ends(t route, f *sipx.Flow) (from, to leg) {
	from = leg{side: p.a.Side, kind: p.a.PeerKind, name: p.a.Peer, flow: p.r.Flow}
	if from.kind == call.Phone {
		from.aor, _ = p.id.speaker(p.r)
		from.token = p.g.bindings.on(p.r.Flow, from.aor)
	}
	to = leg{side: t.side(), kind: t.kind, name: t.name(), flow: f}
	if t.kind == call.Phone {
		to.name, to.aor, to.token = "", t.phone.aor, t.phone.token
	}
	from.connect, to.connect = p.g.reconnect(&from), p.g.reconnect(&to)
	return from, to
}

func (p *relay) send(t route, f *sipx.Flow) {
	g, r := p.g, p.r
	from, to := p.ends(t, f)
	hs, b, code := p.content(&from, &to)
	if code != 0 {
		p.respond(code, nil)
		return
	}
	uri, toAddr := g.requestURI(t, p.a, r)
	fromAddr, caller := g.present(t, &from, p.a, r, f, false)
	if r.Method() == "MESSAGE" {
		hs = append(hs, caller...)
	}
	callID, tag := p.names()
	to.dialog = sipx.Dialog{CallID: callID, LocalTag: tag, Local: fromAddr, Remote: toAddr, LocalSeq: r.CSeq() - 1, Target: uri, Contact: f.ContactURI(sipx.ContactUser)}
	o := to.dialog.Request(r.Method(), 0, append(besides(r, to.side), hs...), b)
	o.MaxForwards = r.MaxForwards() - 1
	if p.sub != nil {
		p.sub.sent(from, to)
	}
	owner := g.credit(t.peer)
	if t.kind == call.PBX && from.kind == call.Phone {
		owner = g.account(from.aor)
	}
	if p.sub != nil {
		owner = nil // its dialog counts its requests itself
	}
	if err := g.sendFor(owner, f, o, 0, func(out sipx.Outcome) { p.outcome(t, out) }); err != nil {
		p.failed(t, err)
	}
}

// besides is what crosses of such a request whatever its method; who sends it
// is said by present.
func besides(r *sipx.Request, to call.Side) []sipx.HeaderField {
	return slices.DeleteFunc(withoutContent(tidyReasons(r.Carry(to))), func(h sipx.HeaderField) bool { return h.Name == "Privacy" })
}

// content writes the body for the other end, and the header fields that
// belong to the method.
func (p *relay) content(from, to *leg) (hs []sipx.HeaderField, b []byte, code int) {
	r := p.r
	add := func(name, v string) {
		if v != "" {
			hs = append(hs, sipx.HeaderField{Name: name, Value: v})
		}
	}
	switch r.Method() {
	case "MESSAGE":
		b, ct, code := p.g.text(r, to.flow)
		add("Content-Type", ct)
		return hs, b, code
	case "REFER":
		add("Refer-To", p.g.referTo(p.refer, to, ""))
		add("Referred-By", p.g.referredBy(r, from, to))
		add("Refer-Sub", referSub(r.Header("Refer-Sub")))
		return hs, nil, 0
	}
	add("Event", p.event.String())
	want := eventTypes[p.event.pack]
	if b, code = (crossing{p.g, from, to}).content(r, want); code != 0 {
		return nil, nil, code
	}
	if b != nil {
		add("Content-Type", want)
	}
	switch r.Method() {
	case "SUBSCRIBE":
		add("Accept", want)
	case "NOTIFY":
		add("Subscription-State", subscriptionState(r.Header("Subscription-State")))
	case "PUBLISH":
		add("SIP-If-Match", etag(r.Header("SIP-If-Match")))
	}
	return hs, b, 0
}

// etag is an entity tag of RFC 3903 §11.3; it is the PBX's own and tells
// nothing to who gets it back.
func etag(v string) string {
	if v = strings.TrimSpace(v); isToken(v) {
		return v
	}
	return ""
}

// failed tries the next way, or gives up.
func (p *relay) failed(t route, err error) {
	p.g.log.Warn("request not delivered", "method", p.a.Method, "route", t.name(), "error", err)
	if len(p.routes) > 0 {
		p.try()
		return
	}
	code := 503
	if t.kind == call.Phone {
		code = 480
	}
	p.respond(code, nil)
}

// outcome runs in a reading or timer goroutine.
func (p *relay) outcome(t route, out sipx.Outcome) {
	switch {
	case out.Err != nil:
		if t.pbx != nil {
			p.g.peers.probation(t, time.Now())
		}
		if errors.Is(out.Err, sipx.ErrTimeout) {
			p.respond(504, nil) // the sender has given up as well (RFC 4320)
			return
		}
		p.failed(t, out.Err)
	case out.Res.Code() < 200:
	case out.Res.Code() == 503 && len(p.routes) > 0:
		p.try()
	default:
		p.respond(0, out.Res)
	}
}

// respond answers: with a code of our own, or as the other end did.
func (p *relay) respond(code int, res *sipx.Response) {
	g := p.g
	var hs []sipx.HeaderField
	if res != nil {
		code = res.Code()
		challenge := len(res.Headers("WWW-Authenticate"))+len(res.Headers("Proxy-Authenticate")) > 0 && p.a.Side == call.Public
		switch {
		case code < 400 && code >= 300:
			code = 480 // a redirect names hosts of the other side
		case code == 401 || code == 407:
			if challenge {
				g.relays.hold(p.key, p.a.Source.Addr.Addr(), p.r.At.Add(g.cfg.RetryTimeout))
			} else {
				code = 403
			}
		}
		for _, h := range withoutContent(tidyReasons(res.Carry(p.a.Side))) {
			if strings.HasSuffix(h.Name, "-Authenticate") && code != 401 && code != 407 {
				continue
			}
			if h.Name == "Expires" {
				h.Value = clamped(h.Value)
			}
			hs = append(hs, h)
		}
		if v := etag(res.Header("SIP-ETag")); v != "" && p.a.Method == "PUBLISH" {
			hs = append(hs, sipx.HeaderField{Name: "SIP-ETag", Value: v})
		}
		if v := referSub(res.Header("Refer-Sub")); v != "" {
			hs = append(hs, sipx.HeaderField{Name: "Refer-Sub", Value: v})
		}
	}
	if res != nil && (code == 401 || code == 407) {
		hs = g.passChallenge(p.r, p.a.Account, hs)
	}
	if code == 489 && !slices.ContainsFunc(hs, func(h sipx.HeaderField) bool { return h.Name == "Allow-Events" }) {
		hs = append(hs, allowEvents)
	}
	if p.sub != nil {
		if code < 300 {
			hs = append(hs, sipx.HeaderField{Name: "Contact", Value: "<" + p.r.Flow.ContactURI(sipx.ContactUser) + ">"})
			p.sub.accepted(res)
		} else {
			g.subs.end(p.sub)
		}
	}
	g.outcome(p.a, code)
	p.tell(code)
	p.tx.Respond(code, "", "", hs, nil)
}

// tell writes the outcome of a MESSAGE into the stream; a challenge is none.
func (p *relay) tell(code int) {
	if p.a.Method == "MESSAGE" && code != 401 && code != 407 {
		p.g.messageEvent(p.a, p.d, code)
	}
}
