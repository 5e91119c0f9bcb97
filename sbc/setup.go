package sbc

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// again takes a further INVITE with the Call-ID and From tag of this call:
// the answer to a challenge, else a second INVITE too early.
func (s *session) again(r *sipx.Request, id identity) {
	l := &s.legs[b2bua.A] // kind, name and aor are set at birth
	who, speaks := id.speaker(r)
	same := id.kind == l.kind && id.name() == l.name && (l.kind != call.Phone || speaks && who == l.aor)
	if !same && l.kind == call.PBX {
		same = id.kind == call.PBX
	}
	if !same {
		r.Refuse(403, nil) // somebody else's attempt
		return
	}
	if s.firstSeq == r.CSeq() {
		r.Refuse(482, nil) // the same request by another way, RFC 3261 §8.2.2.2
		return
	}
	tx := r.Begin()
	if tx == nil {
		return
	}
	tx.Trying()
	ok := s.post(input{req: r, tx: tx, do: func() { s.retry(r, tx, id) }})
	if !ok {
		tx.Respond(503, "", "", nil, nil)
	}
}

// maxRetries bounds the answers to challenges in one attempt: one for the
// challenge, one for a stale nonce, some for those who are asked by several.
const maxRetries = 5

// retry checks that the answer to the challenge asks for what was judged.
func (s *session) retry(r *sipx.Request, tx *sipx.ServerTx, id identity) {
	l := &s.legs[b2bua.A]
	switch {
	case s.state.Phase != b2bua.Challenged:
		tx.Respond(500, "", "", []sipx.HeaderField{{Name: "Retry-After", Value: "5"}}, nil)
		return
	case !l.dialog.InOrder(r.CSeq()):
		tx.Respond(500, "", "", nil, nil)
		return
	case s.retries >= maxRetries:
		tx.Respond(403, "", "", nil, nil) // guessing a password is not one attempt
		return
	case s.g.shortInterval(r):
		tx.Respond(422, "", "", []sipx.HeaderField{s.g.minSE()}, nil)
		return
	case !s.sameCaller(r, id):
		tx.Respond(403, "", "", nil, nil)
		return
	case s.g.bodyFault(r, l.kind, l.name, s.a.Emergency()) != nil:
		tx.Respond(s.g.bodyFault(r, l.kind, l.name, s.a.Emergency()).Status, "", "", nil, nil)
		return
	case len(r.UnsupportedTags()) > 0 || len(r.Body()) > 0 && r.ContentType() != "application/sdp":
		tx.Respond(488, "", "", nil, nil)
		return
	}
	from := s.g.callerLeg(r, id)
	from.TolerateRTP = s.a.Emergency()
	offer, err := readOffer(&from, r)
	if err != nil {
		d := s.refusedMedia(err)
		tx.Respond(d.Status, "", "", refusalHeaders(s.a, d), nil)
		return
	}
	s.retries++
	s.unfork()
	l.flow, l.sdp, l.theirs = r.Flow, from, tx
	s.g.calls.leaves(s, s.caller)
	s.caller = r.Flow
	s.g.calls.comes(s, s.caller)
	s.offer = offer
	seq := l.dialog.RemoteSeq
	l.dialog = r.Accept(tx.ToTag(), r.Flow.ContactURI(sipx.ContactUser))
	l.dialog.RemoteSeq = seq
	s.told = false
	s.g.calls.index(s, b2bua.A, l.side, l.dialog.Key())
	tx.OnCancel(s.cancelled)
	tx.OnNoAck(func() { s.noAck(b2bua.A, tx) })
	s.unredirected()
	s.routes = s.g.peers.awake(s.routes, time.Now()) // the challenge was of one that answers
	s.queue = append(s.queue, input{Event: b2bua.Event{Kind: b2bua.Invite, Routes: len(s.routes), Bare: offer == nil}, req: r, tx: tx})
}

// sameCaller: who answers a challenge may be no other caller than who was
// judged. What phones say of themselves was compared with their registration.
func (s *session) sameCaller(r *sipx.Request, id identity) bool {
	if id.kind != call.Carrier {
		return true
	}
	a := s.g.attempt(r, id)
	d, refused := s.g.callerOf(r, a, id.peer)
	if !refused && a.From.E164() != s.a.From.E164() {
		refused, d = true, notAllowed("peer "+id.name()+" answers a challenge as another caller: "+named(a.From.E164(), a.From.User),
			call.Subject{Kind: "peer", Value: id.name()})
	}
	if refused {
		s.g.report(a, d)
	}
	return !refused
}

// sendInvite tries the route the machine names. Connecting is a child's work.
func (s *session) sendInvite() {
	t := s.routes[s.state.Route]
	s.pass.RoutedTo = t.name()
	s.failedOver(t)
	s.redirectedOut(t)
	s.unfork() // at once: what belongs to the forks of before must not be taken for those that come
	if !s.enter(t) {
		s.follow(b2bua.Event{Kind: b2bua.Failure, Code: s.fullCode, TryNext: true})
		return
	}
	try := &tried{pbx: t.pbx}
	if t.pbx != nil {
		s.g.overload.pbxs.asked(t.pbx)
	}
	s.trying = try
	f, connect := s.g.flow(t)
	if f != nil {
		s.inviteOn(t, f)
		return
	}
	s.setups++
	go func() {
		ctx, cancel := context.WithTimeout(s.g.ctx, 6*time.Second)
		defer cancel()
		f, err := connect(ctx)
		s.force(input{do: func() {
			s.setups--
			if err != nil {
				s.g.log.Warn("route not reachable", "call", s.group.id, "route", t.name(), "error", err)
				s.g.peers.probation(t, time.Now())
			}
			switch {
			case s.trying != try: // the call has gone on without it
			case err != nil:
				s.follow(b2bua.Event{Kind: b2bua.Failure, Code: 503, TryNext: true})
			case s.state.Phase != b2bua.Calling:
				s.follow(b2bua.Event{Kind: b2bua.Failure, Code: 487}) // cancelled meanwhile; nothing was sent
			default:
				s.inviteOn(t, f)
			}
		}})
	}()
}

func (s *session) inviteOn(t route, f *sipx.Flow) {
	a, b := &s.legs[b2bua.A], &s.legs[b2bua.B]
	refused := func(code int, err error) {
		s.g.log.Warn("call refused", "call", s.group.id, "route", t.name(), "code", code, "error", err)
		s.follow(b2bua.Event{Kind: b2bua.Refused, Code: code})
	}
	r := a.theirs.Request()
	b.side, b.kind, b.name, b.flow = t.side(), t.kind, t.name(), f
	if t.kind == call.Phone {
		b.name, b.aor, b.token = "", t.phone.aor, t.phone.token
	}
	b.connect = s.g.reconnect(b)
	b.sdp = s.g.calleeLeg(t, f)
	b.sdp.TolerateRTP = s.a.Emergency()
	var body []byte
	hs := []sipx.HeaderField{{Name: "Allow", Value: sipx.AllowWith(r.Headers("Allow"))}}
	if s.offer == nil {
		s.closeMedia() // of an offer of somebody who was asked before
	} else {
		err := s.openMedia(s.offer, b2bua.A, f)
		if err == nil {
			body, err = s.offer.Write(&b.sdp, s.endpoints(b2bua.B), random)
		}
		if err != nil {
			refused(status(err), err)
			return
		}
		hs = append(hs, contentField)
	}
	uri, to := s.g.requestURI(t, s.a, r)
	from, caller := s.g.present(t, a, s.a, r, f, s.group.private)
	callID := s.g.mapped("call", s.key.callID, s.key.fromTag, s.key.uri, s.group.id)
	if b.dialog.CallID != callID || b.dialog.Remote != to {
		b.dialog = sipx.Dialog{CallID: callID, LocalTag: sipx.NewTag()}
	}
	b.dialog.Local, b.dialog.Remote, b.dialog.RemoteTag = from, to, ""
	b.dialog.Target, b.dialog.Routes = uri, nil
	b.dialog.Contact = f.ContactURI(sipx.ContactUser)
	s.pass.SIPCallIDTo = callID
	for _, h := range s.g.raised(tidyReasons(r.Carry(b.side))) {
		if h.Name != "Content-Type" && h.Name != "Content-Disposition" && h.Name != "Expires" && h.Name != "Privacy" {
			hs = append(hs, h)
		}
	}
	hs = append(hs, caller...)
	hs = append(hs, s.g.diversion(t)...)
	hs = append(hs, s.g.diversions(r, a, b.kind, t.name())...)
	hs = append(hs, s.beside(r)...)
	if a.kind == call.PBX && b.kind == call.Phone {
		hs = append(hs, r.Alerting(b.aor.domain)...)
	}
	if b.side == call.Inside {
		hs = append(hs, sipx.HeaderField{Name: "Session-ID", Value: s.sessionUUID + ";remote=00000000000000000000000000000000"})
		s.g.calls.sent(s.group, callID, s.sessionUUID)
	}
	var err error
	if hs, body, err = s.withParts(r, b2bua.B, hs, body); err != nil {
		refused(415, err)
		return
	}
	o := b.dialog.Request("INVITE", 0, hs, body)
	o.MaxForwards = r.MaxForwards() - 1
	b.oursSeq = b.dialog.LocalSeq
	s.launch(o)
}

// outcome turns what B's transaction tells into an event. It runs in a
// reading or timer goroutine.
func (s *session) outcome(out sipx.Outcome, try *tried) {
	in := input{res: out.Res, try: try}
	if try.over.Load() {
		s.g.late(try, out)
		return
	}
	if try.pbx != nil && (out.Err != nil || out.Res.Code() >= 200) {
		s.g.overload.pbxs.answered(try.pbx, out.Err == nil && out.Res.Code() != 503)
	}
	switch {
	case out.Err != nil:
		code := 503
		if errors.Is(out.Err, sipx.ErrTimeout) {
			code = 408
		}
		in.Event = b2bua.Event{Kind: b2bua.Failure, Code: code, TryNext: true}
		go s.force(input{do: func() { s.unanswered(in) }})
		return
	case out.Res.Code() < 200:
		in.Event = b2bua.Event{Kind: b2bua.Provisional, Leg: b2bua.B, Code: out.Res.Code()}
	case out.Res.Code() < 300:
		in.Event = b2bua.Event{Kind: b2bua.Success, Leg: b2bua.B, Code: out.Res.Code(), Tag: out.Res.ToTag()}
	default:
		in.Event = b2bua.Event{Kind: b2bua.Failure, Leg: b2bua.B, Code: out.Res.Code()}
	}
	if !s.post(in) && out.Res.Code() >= 200 {
		go s.force(in) // a final response comes once only on a stream
	}
}

// unanswered drops the outcome of an INVITE that was superseded.
func (s *session) unanswered(in input) {
	if s.trying == in.try {
		t := s.routes[s.state.Route]
		s.g.peers.probation(t, time.Now())
		in.TryNext = s.state.Phase == b2bua.Calling || s.askNext(in.Code)
		s.queue = append(s.queue, in)
	}
}

// prepare looks at the message of an event before the machine does: dialogs
// are made, codes that must not cross are mapped. False drops the event.
func (s *session) prepare(in *input) bool {
	b := &s.legs[b2bua.B]
	if in.try != nil && in.try.over.Load() {
		s.g.late(in.try, sipx.Outcome{Res: in.res}) // it waited while the call went on
		return false
	}
	switch in.Kind {
	case b2bua.Provisional, b2bua.Success:
		if in.res == nil {
			return true
		}
		tag := in.res.ToTag()
		if in.Kind == b2bua.Success && tag == "" {
			in.Event = b2bua.Event{Kind: b2bua.Failure, Code: 502}
			return true
		}
		if setup := s.state.Phase == b2bua.Calling || s.state.Phase == b2bua.Ringing; tag == "" || in.Code == 100 || !setup {
			return true
		}
		if in.fork = s.forkOf(tag, in.Kind == b2bua.Success); in.fork == nil {
			return false
		}
		s.turn(in.fork)
		if !s.takeReliable(in, in.fork) {
			return false
		}
		in.Fork = in.fork.n
		b.dialog.Established(in.res)
		if b.confirmed = in.Kind == b2bua.Success; b.confirmed {
			s.root = nil
		}
		s.g.calls.settle(s)
		s.weigh(in)
	case b2bua.Ack:
		s.weighAck(in)
	case b2bua.ModifySuccess:
		s.weighModify(in)
	case b2bua.UpdateDone:
		s.weighUpdate(in)
	case b2bua.Failure:
		switch {
		case in.res == nil:
		case in.res.Code() < 400:
			s.redirected(in)
		default:
			in.Code, in.TryNext = s.failureCode(in.res)
		}
	}
	return true
}

// failureCode maps what B says to what A may hear: a carrier's challenge is
// not the caller's to answer.
func (s *session) failureCode(res *sipx.Response) (code int, tryNext bool) {
	code = res.Code()
	b := &s.legs[b2bua.B]
	switch {
	case (code == 401 || code == 407) && (b.side == call.Public || len(res.Headers("WWW-Authenticate"))+len(res.Headers("Proxy-Authenticate")) == 0):
		return 403, false
	}
	// Once it has rung, only those that a redirect named are asked in its stead.
	return code, s.state.Phase == b2bua.Calling && s.routes[s.state.Route].triesNext(code) || s.askNext(code)
}

// replyInvite answers A's INVITE.
func (s *session) replyInvite(a b2bua.Action, in input) {
	l := &s.legs[b2bua.A]
	var hs []sipx.HeaderField
	var body []byte
	code := a.Code
	if code >= 200 || code > 100 {
		s.pass.Code = code
	}
	if a.Relay && in.res != nil {
		carried := withoutTimer(l.theirs.Request(), in.res, tidyReasons(in.res.Carry(l.side)))
		if code < 300 { // a refusal says with it what it misses (421)
			carried = sipx.Without100rel(carried)
			var err error
			switch in.Desc {
			case b2bua.Answer:
				body, err = s.answer(in.res)
			case b2bua.Offer:
				if body, err = s.passOffer(b2bua.A, in.offer); err == nil {
					s.owed = true
				}
			case b2bua.Nothing:
				if code >= 200 && s.heard != s.at {
					err = s.hear()
				}
			}
			if err != nil {
				s.g.log.Warn("answer refused", "call", s.group.id, "error", err)
				if code >= 200 {
					s.follow(b2bua.Event{Kind: b2bua.Refused, Code: 488})
					return
				}
			}
		}
		for _, h := range carried {
			switch h.Name {
			case "Content-Type", "Content-Disposition", "Content-Language":
				continue
			case "Retry-After":
				if code == 503 {
					// It would silence the caller towards the gateway altogether
					// (RFC 3261 §21.5.4); it is the callee's side that is busy.
					continue
				}
			case "WWW-Authenticate", "Proxy-Authenticate":
				if code != 401 && code != 407 {
					continue
				}
			}
			hs = append(hs, h)
		}
		if code == 401 || code == 407 {
			pbx := ""
			if b := &s.legs[b2bua.B]; b.kind == call.PBX {
				pbx = b.name
			}
			hs = s.g.passChallenge(l.theirs.Request(), pbx, hs)
		}
		if code >= 300 && code < 400 {
			hs = append(hs, s.redir.told...)
		}
		if code < 300 {
			hs = append(hs, s.named(in.res.Headers("P-Asserted-Identity"), &s.legs[b2bua.B], l)...)
			hs = append(hs, s.g.diversions(in.res, &s.legs[b2bua.B], l.kind, l.name)...)
		}
	}
	if code > 100 && code < 300 {
		hs = append(hs, sipx.HeaderField{Name: "Contact", Value: "<" + l.dialog.Contact + ">"}, sipx.HeaderField{Name: "Allow", Value: sipx.AllowWith(in.allow())})
	}
	if body != nil {
		hs = append(hs, sipx.HeaderField{Name: "Content-Type", Value: "application/sdp"})
	}
	if code == 503 && !a.Relay && s.g.draining.Load() {
		hs = append(hs, sipx.HeaderField{Name: "Retry-After", Value: strconv.Itoa(10)})
	}
	switch {
	case code >= 180 && code < 200:
		s.ringing(in)
	case code >= 200 && code < 300:
		l.confirmed = true
		s.answered()
	}
	tag := ""
	if in.fork != nil && code < 300 {
		tag = l.dialog.LocalTag // A's dialog with this fork
	}
	if a.Relay && in.res != nil && body != nil {
		if h, b, err := s.withParts(in.res, b2bua.A, hs, body); err == nil {
			hs, body = h, b // a part that must be understood and does not cross is left out
		}
	}
	l.theirs.Respond(code, "", tag, hs, body)
}
