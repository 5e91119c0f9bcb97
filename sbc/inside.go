package sbc

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Requests inside a dialog: ACK, BYE, re-INVITE, INFO, OPTIONS.

// ack is called from a reading goroutine.
func (s *session) ack(l b2bua.Leg, r *sipx.Request) {
	s.post(input{do: func() {
		x := &s.legs[l]
		if f, ok := s.forkFor(l, r); !ok || f != s.at {
			return // of a dialog that is not the call
		}
		if x.theirs == nil || x.theirs.Request().CSeq() != r.CSeq() || !s.fits(x, r.Flow) {
			return
		}
		s.queue = append(s.queue, input{Event: b2bua.Event{Kind: b2bua.Ack, Leg: l}, req: r})
	}})
}

// ended reports that the owner takes nothing more.
func (s *session) ended() bool {
	s.door.RLock()
	defer s.door.RUnlock()
	return s.shut
}

// request is called from a reading goroutine.
func (s *session) request(l b2bua.Leg, r *sipx.Request) {
	if !s.post(input{do: func() { s.take(l, r) }}) {
		if s.ended() {
			r.Refuse(481, nil)
			return
		}
		r.Refuse(503, nil)
	}
}

// fits: a request must come the way the leg's own requests come: the same
// side, and the same host, the same peer, or the phone's newer connection.
func (s *session) fits(x *leg, f *sipx.Flow) bool { return s.g.fits(x, f) }

func (g *Gateway) fits(x *leg, f *sipx.Flow) bool {
	if f.Side != x.side {
		return false
	}
	if x.flow != nil && f.Remote.Addr() == x.flow.Remote.Addr() && f.Transport == x.flow.Transport {
		return f.ID == x.flow.ID || x.kind != call.Phone || g.registeredOn(x, f)
	}
	switch x.kind {
	case call.PBX:
		return g.peers.pbxAt(f.Remote) != nil
	case call.Carrier:
		id := g.identifyPeer(f)
		return id.peer != nil && id.peer.Name == x.name
	case call.Phone:
		return g.registeredOn(x, f)
	}
	return false
}

func (g *Gateway) registeredOn(x *leg, f *sipx.Flow) bool {
	who, _ := g.ids.of(f)
	return who != nil && who.has(x.aor, time.Now())
}

// take looks at one request before the machine does.
func (s *session) take(l b2bua.Leg, r *sipx.Request) {
	x := &s.legs[l]
	if !s.fits(x, r.Flow) {
		r.Refuse(481, nil)
		return
	}
	f, ok := s.forkFor(l, r)
	gone := s.lapses(l, r)
	if !ok && !gone {
		r.Refuse(481, nil)
		return
	}
	tx := r.Begin()
	if tx == nil {
		return
	}
	s.taken = tx
	if gone {
		tx.Respond(200, "", "", nil, nil)
		return
	}
	s.turn(f)
	if !x.dialog.InOrder(r.CSeq()) {
		tx.Respond(500, "", "", nil, nil)
		return
	}
	if x.kind == call.Phone {
		x.flow = r.Flow // the newest connection is where it is reached
	}
	early := s.state.Phase == b2bua.Calling || s.state.Phase == b2bua.Ringing
	refuse := func(code int, hs ...sipx.HeaderField) { tx.Respond(code, "", "", hs, nil) }
	if r.MaxForwards() == 0 {
		refuse(483)
		return
	}
	if bad := r.UnsupportedTags(); len(bad) > 0 {
		s.g.badExtensionTx(tx, bad)
		return
	}
	x.unasked(tx)
	if m := r.Method(); (m == "INVITE" || m == "UPDATE") && s.g.shortInterval(r) {
		refuse(422, s.g.minSE())
		return
	}
	in := input{req: r, tx: tx, fork: f}
	in.Leg = l
	switch r.Method() {
	case "BYE":
		in.Kind = b2bua.Bye
	case "INVITE":
		tx.Trying()
		if !s.offerOf(x, &in) {
			return
		}
		in.Kind = b2bua.Modify
	case "PRACK":
		if !s.takePrack(&in) {
			return
		}
	case "UPDATE":
		if !s.takeUpdate(x, &in) {
			return
		}
	case "INFO":
		if early && f == nil {
			refuse(481)
			return
		}
		if !s.infoBody(r) {
			refuse(415, sipx.HeaderField{Name: "Accept", Value: strings.Join(infoTypes, ", ")})
			return
		}
		in.Kind = b2bua.Request
	case "OPTIONS":
		refuse(200, sipx.HeaderField{Name: "Allow", Value: sipx.Allow}, acceptField)
		return
	case "REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE":
		if early { // these wait for the call
			refuse(481)
			return
		}
		if !s.beyondCalls(x, &in) {
			return
		}
		in.Kind = b2bua.Request
	case "REGISTER", "PUBLISH":
		refuse(405, sipx.HeaderField{Name: "Allow", Value: sipx.Allow})
		return
	default:
		refuse(501)
		return
	}
	s.queue = append(s.queue, in)
}

// unasked takes credentials out of a request that nobody has challenged in this
// dialog. Some phones repeat those of the first INVITE in each request, with a
// uri that is our public address (RFC 7616 §3.4), which is none of the PBX's
// business. Who is challenged answers with the next request.
func (x *leg) unasked(tx *sipx.ServerTx) {
	if x.last == nil || x.last.Code() != 401 && x.last.Code() != 407 {
		tx.Request().DropCredentials()
	}
	x.last = nil
	if x.side == call.Public {
		x.last = tx
	}
}

// offerOf checks the offer of a re-INVITE; a bad one is refused here and
// changes nothing.
func (s *session) offerOf(x *leg, in *input) bool {
	r, tx := in.req, in.tx
	in.Bare = len(r.Body()) == 0
	if slices.Contains(r.OptionTags("Require"), "100rel") {
		s.g.badExtensionTx(tx, []string{"100rel"}) // it works for the first INVITE only
		return false
	}
	if s.state.Phase != b2bua.Up || s.state.Dialog(s.state.Fork).Exchange != b2bua.Agreed {
		return true // the machine says 491 or 481
	}
	if e := s.g.bodyFault(r, x.kind, x.name, s.a.Emergency()); e != nil {
		tx.Respond(e.Status, "", "", acceptFor(e.Status), nil)
		return false
	}
	switch {
	case in.Bare: // the other leg is to make the offer
	case r.ContentType() != "application/sdp":
		tx.Respond(415, "", "", []sipx.HeaderField{acceptField}, nil)
		return false
	}
	var err error
	if in.offer, err = readOffer(&x.sdp, r); err != nil {
		d := s.refusedMedia(err)
		tx.Respond(d.Status, "", "", refusalHeaders(s.a, d), nil)
		return false
	}
	if c, ok := r.Contact(); ok {
		x.dialog.Refresh(c) // RFC 3261 §12.2.2
	}
	return true
}

func (g *Gateway) badExtensionTx(tx *sipx.ServerTx, bad []string) {
	v := ""
	for i, t := range bad {
		if i > 0 {
			v += ", "
		}
		v += t
	}
	tx.Respond(420, "", "", []sipx.HeaderField{{Name: "Unsupported", Value: v}}, nil)
}

// reply answers the request at hand.
func (s *session) reply(a b2bua.Action, in input) {
	if in.tx == nil {
		return
	}
	var hs []sipx.HeaderField
	if a.Code == 500 {
		hs = append(hs, sipx.HeaderField{Name: "Retry-After", Value: "5"})
	}
	in.tx.Respond(a.Code, "", "", hs, nil)
}

// sendBye releases a leg; what the other side gave as its reason goes along.
func (s *session) sendBye(a b2bua.Action, in input) {
	x := &s.legs[a.Leg]
	var hs []sipx.HeaderField
	if in.req != nil && in.req.Method() == "BYE" {
		hs = reasons(in.req)
	} else if a.Cause == causePolicy {
		hs = append(hs, sipx.HeaderField{Name: "Reason", Value: s.policyReason(x)})
	} else if a.Cause != "" {
		hs = append(hs, sipx.HeaderField{Name: "Reason", Value: `SIP;cause=503;text="` + a.Cause + `"`})
	}
	s.send(x, x.dialog.Request("BYE", 0, hs, nil), s.byeDone)
}

// byeDone runs in a reading, timer or child goroutine.
func (s *session) byeDone(out sipx.Outcome) {
	if out.Res != nil && out.Res.Code() < 200 {
		return
	}
	s.later(input{Event: b2bua.Event{Kind: b2bua.ByeDone}})
}

// sendModify carries the re-INVITE at hand to the other leg.
func (s *session) sendModify(to b2bua.Leg, in input) {
	x := &s.legs[to]
	from := &s.legs[to.Other()]
	if from.theirs != nil {
		from.theirs.Acknowledged() // a newer request in order says so too
	}
	from.theirs = in.tx
	in.tx.OnCancel(func(*sipx.Request) {
		go s.force(input{Event: b2bua.Event{Kind: b2bua.ModifyCancel, Leg: to.Other()}})
	})
	tx := in.tx
	tx.OnNoAck(func() { s.noAck(to.Other(), tx) })
	refuse := func(code int, err error) {
		s.g.log.Warn("re-INVITE refused", "call", s.group.id, "code", code, "error", err)
		s.follow(b2bua.Event{Kind: b2bua.Refused, Code: code})
	}
	var body []byte
	var err error
	hs := []sipx.HeaderField{{Name: "Allow", Value: sipx.AllowWith(in.req.Headers("Allow"))}}
	if !in.Bare {
		if body, err = s.passOffer(to, in.offer); err != nil {
			refuse(status(err), err)
			return
		}
		hs = append(hs, contentField)
	}
	for _, h := range sipx.Without100rel(s.g.raised(tidyReasons(in.req.Carry(x.side)))) {
		if h.Name != "Content-Type" && h.Name != "Content-Disposition" {
			hs = append(hs, h)
		}
	}
	hs = append(hs, s.named(in.req.Headers("P-Asserted-Identity"), from, x)...)
	if hs, body, err = s.withParts(in.req, to, hs, body); err != nil {
		refuse(415, err)
		return
	}
	o := x.dialog.Request("INVITE", 0, hs, body)
	x.oursSeq = x.dialog.LocalSeq
	x.asked = x.oursSeq
	seq := x.asked
	s.send(x, o, func(out sipx.Outcome) { s.modified(to, seq, out) })
}

// modified runs in a reading, timer or child goroutine.
func (s *session) modified(l b2bua.Leg, seq uint32, out sipx.Outcome) {
	in := input{res: out.Res}
	switch {
	case out.Err != nil:
		in.Event = b2bua.Event{Kind: b2bua.ModifyFailure, Code: 408}
		if !errors.Is(out.Err, sipx.ErrTimeout) {
			in.Event.Code = 503
		}
	case out.Res.Code() < 200:
		return
	case out.Res.Code() < 300:
		in.Event = b2bua.Event{Kind: b2bua.ModifySuccess, Code: out.Res.Code(), Tag: out.Res.ToTag()}
	default:
		in.Event = b2bua.Event{Kind: b2bua.ModifyFailure, Code: out.Res.Code()}
		if in.Event.Code < 400 {
			in.Event.Code = 488
		}
	}
	go s.force(input{do: func() {
		if s.legs[l].asked == seq {
			s.queue = append(s.queue, in)
		}
	}})
}

// replyModify answers the leg's open re-INVITE.
func (s *session) replyModify(a b2bua.Action, in input) {
	x := &s.legs[a.Leg]
	other := &s.legs[a.Leg.Other()]
	if x.theirs == nil {
		return
	}
	var hs []sipx.HeaderField
	var body []byte
	if a.Relay && in.res != nil {
		if a.Code < 300 {
			var err error
			if in.Desc == b2bua.Offer {
				body, err = s.passOffer(a.Leg, in.offer)
				s.owed = true
			} else {
				body, err = s.passAnswer(a.Leg.Other(), in.res.Body())
			}
			if err != nil {
				// The other leg has agreed to something we cannot carry: the
				// call cannot go on as both believe.
				s.g.log.Warn("answer to re-INVITE refused", "call", s.group.id, "error", err)
				x.theirs.Respond(488, "", "", nil, nil)
				s.follow(b2bua.Event{Kind: b2bua.Hangup, Cause: "media-negotiation"})
				return
			}
			if c, ok := in.res.Contact(); ok {
				other.dialog.Refresh(c)
			}
		}
		for _, h := range sipx.Without100rel(withoutTimer(x.theirs.Request(), in.res, tidyReasons(in.res.Carry(x.side)))) {
			switch h.Name {
			case "Content-Type", "Content-Disposition", "WWW-Authenticate", "Proxy-Authenticate":
			default:
				hs = append(hs, h)
			}
		}
	}
	code := a.Code
	if code == 401 || code == 407 {
		if in.res != nil && x.side == call.Public {
			// The PBX challenges the re-INVITE: the phone answers it.
			for _, name := range []string{"WWW-Authenticate", "Proxy-Authenticate"} {
				for _, v := range in.res.Carry(call.Public) {
					if v.Name == name {
						hs = append(hs, v)
					}
				}
			}
		} else {
			code = 403
		}
	}
	if code < 300 {
		hs = append(hs, sipx.HeaderField{Name: "Contact", Value: "<" + x.dialog.Contact + ">"}, sipx.HeaderField{Name: "Allow", Value: sipx.AllowWith(in.allow())}, contentField)
	}
	if a.Relay && in.res != nil && body != nil {
		if h, b, err := s.withParts(in.res, a.Leg, hs, body); err == nil {
			hs, body = h, b
		}
	}
	x.theirs.Respond(code, "", "", hs, body)
}

func (s *session) ackModify(l b2bua.Leg, in input) {
	x := &s.legs[l]
	if x.ours != nil {
		hs, body := s.ackBody(l, in)
		x.ours.Ack(x.flow, x.dialog.RemoteTag, x.dialog.Request("ACK", x.oursSeq, hs, body))
	}
}

// relayRequest carries an INFO or the like to the other leg; its answer goes
// back by itself, as nothing else depends on it.
func (s *session) relayRequest(to b2bua.Leg, in input) {
	x := &s.legs[to]
	tx, side := in.tx, s.legs[to.Other()].side
	hs := tidyReasons(in.req.Carry(x.side))
	if in.req.Method() == "INFO" {
		hs = bareType(in.req.ContentType(), hs)
	}
	o := x.dialog.Request(in.req.Method(), 0, hs, in.req.Body())
	if in.out != nil {
		o = s.rewritten(to, in)
	}
	s.send(x, o, func(out sipx.Outcome) {
		switch {
		case out.Err != nil:
			tx.Respond(408, "", "", nil, nil)
		case out.Res.Code() >= 200:
			code := out.Res.Code()
			if code >= 300 && code < 400 || code == 401 && side == call.Inside || code == 407 && side == call.Inside {
				code = 403
			}
			hs := withoutContent(tidyReasons(out.Res.Carry(side)))
			if in.out != nil {
				hs = append(hs, in.out.answered(out.Res)...)
			}
			tx.Respond(code, "", "", hs, nil)
		}
	})
}

// withoutContent drops what describes a body that does not go along.
func withoutContent(hs []sipx.HeaderField) (out []sipx.HeaderField) {
	for _, h := range hs {
		if h.Name != "Content-Type" && h.Name != "Content-Disposition" && h.Name != "Content-Language" {
			out = append(out, h)
		}
	}
	return out
}
