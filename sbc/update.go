package sbc

import (
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// UPDATE (RFC 3311): a new offer, or a refresh, in an early or a confirmed
// dialog. It crosses to the same fork of the other leg.

// takeUpdate reads the offer of an UPDATE; false when it has been answered
// here.
func (s *session) takeUpdate(x *leg, in *input) bool {
	r := in.req
	if in.fork == nil {
		in.tx.Respond(481, "", "", nil, nil)
		return false
	}
	in.Kind, in.Fork = b2bua.Update, in.fork.n
	switch {
	case len(r.Body()) == 0:
	case !described(r):
		in.tx.Respond(415, "", "", acceptFor(415), nil)
		return false
	case s.state.Dialog(in.Fork).Exchange != b2bua.Agreed:
		in.Desc = b2bua.Offer // the machine says 491 or 500
	default:
		offer, err := sdp.ReadOffer(&x.sdp, r.Body())
		if err != nil {
			d := s.refusedMedia(err)
			in.tx.Respond(d.Status, "", "", refusalHeaders(s.a, d), nil)
			return false
		}
		in.Desc, in.offer = b2bua.Offer, offer
	}
	if c, ok := r.Contact(); ok {
		x.dialog.Refresh(c) // RFC 3261 §12.2.2
	}
	return true
}

// sendUpdate carries the UPDATE at hand to the other leg.
func (s *session) sendUpdate(to b2bua.Leg, in input) {
	x, f, from := &s.legs[to], in.fork, to.Other()
	f.updates[from] = in.tx
	hs := []sipx.HeaderField{{Name: "Allow", Value: sipx.AllowWith(in.req.Headers("Allow"))}}
	hs = append(hs, sipx.Without100rel(withoutContent(s.g.raised(tidyReasons(in.req.Carry(x.side)))))...)
	hs = append(hs, s.named(in.req.Headers("P-Asserted-Identity"), &s.legs[from], x)...)
	var body []byte
	if in.Desc == b2bua.Offer {
		var err error
		if body, err = s.passOffer(to, in.offer); err != nil {
			s.g.log.Warn("UPDATE refused", "call", s.group.id, "error", err)
			s.queue = append(s.queue, input{Event: b2bua.Event{Kind: b2bua.UpdateDone, Leg: from, Fork: f.n, Code: status(err)}, fork: f})
			return
		}
		hs = append(hs, contentField)
	}
	tx := in.tx
	s.send(x, x.dialog.Request("UPDATE", 0, hs, body),
		s.relayed(f, func() bool { return f.updates[from] == tx }, b2bua.Event{Kind: b2bua.UpdateDone, Leg: from, Fork: f.n}))
}

// weighUpdate notes what the machine is about to forget.
func (s *session) weighUpdate(in *input) {
	in.carries = s.state.Dialog(in.Fork).Carries[in.Leg]
	if tx := in.fork.updates[in.Leg]; tx != nil && in.res != nil {
		in.Interval = s.g.agreed(tx.Request(), in.res)
	}
}

func (s *session) replyUpdate(a b2bua.Action, in input) {
	f := s.forks[a.Fork]
	tx := f.updates[a.Leg]
	f.updates[a.Leg] = nil
	s.replyInside(tx, a.Leg, a, in, in.carries)
}

// replyInside gives the answer to a PRACK or UPDATE of leg l. offered: it had
// an offer, so that a 2xx has the answer.
func (s *session) replyInside(tx *sipx.ServerTx, l b2bua.Leg, a b2bua.Action, in input, offered bool) {
	if tx == nil {
		return
	}
	if !a.Relay || in.res == nil {
		tx.Respond(a.Code, "", "", nil, nil)
		return
	}
	x, other := &s.legs[l], &s.legs[l.Other()]
	code := a.Code
	var body []byte
	hs := sipx.Without100rel(withoutContent(withoutTimer(tx.Request(), in.res, tidyReasons(in.res.Carry(x.side)))))
	switch {
	case code < 300:
		if c, ok := in.res.Contact(); ok {
			other.dialog.Refresh(c)
		}
		if offered {
			var err error
			if body, err = s.passAnswer(l.Other(), in.res.Body()); err != nil {
				// The other leg has agreed to something we cannot carry.
				s.g.log.Warn("answer refused", "call", s.group.id, "error", err)
				tx.Respond(488, "", "", nil, nil)
				s.follow(b2bua.Event{Kind: b2bua.Hangup, Cause: "media-negotiation"})
				return
			}
			hs = append(hs, contentField)
		}
		hs = append(hs, sipx.HeaderField{Name: "Contact", Value: "<" + x.dialog.Contact + ">"}, sipx.HeaderField{Name: "Allow", Value: sipx.AllowWith(in.res.Headers("Allow"))})
	case code < 400:
		code = 488
	case code == 401 || code == 407:
		if x.side != call.Public {
			code = 403
		}
	}
	tx.Respond(code, "", "", hs, body)
}
