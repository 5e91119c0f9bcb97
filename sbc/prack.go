package sbc

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Reliable provisional responses (RFC 3262), end to end: B's are repeated to A
// under numbers of our own until A acknowledges them, and then B has its
// PRACK. They exist only where A's INVITE said that it knows them.

// maxReliable bounds the responses of one fork that A has not acknowledged. B
// must wait for the first PRACK, so there are hardly ever two.
const maxReliable = 8

// acked is a provisional response of ours that A is to acknowledge.
type acked struct {
	ours, theirs uint32 // RSeq on A's side and on B's
	repeat       *sipx.Reliable
}

// takeReliable makes a reliable provisional response of B's its event; false
// drops one that is repeated, or came before the one before it (§4).
func (s *session) takeReliable(in *input, f *fork) bool {
	seq, ok := in.res.RSeq()
	if !ok || !s.legs[b2bua.A].theirs.Request().Supports("100rel") {
		return true
	}
	if f.rseq != 0 && seq != f.rseq+1 || len(f.acks) >= maxReliable {
		return false
	}
	f.rseq = seq
	in.Kind = b2bua.Reliable
	return true
}

// lapsed is a provisional response that A owes a PRACK for, while the INVITE
// of ours that it came for is over.
type lapsed struct {
	tag  string
	ours uint32
}

// maxLapsed bounds them.
const maxLapsed = 32

// lapse ends the wait for what A has not acknowledged in dialogs that are no
// more: that it does not is no fault now.
func (s *session) lapse() {
	for _, f := range s.forks {
		tag := s.legs[b2bua.A].dialog.LocalTag
		if f.held != nil {
			tag = f.held.dialogs[b2bua.A].LocalTag
		}
		for _, k := range f.acks {
			k.repeat.Acknowledged()
			if len(s.lapsed) < maxLapsed {
				s.lapsed = append(s.lapsed, lapsed{tag, k.ours})
			}
		}
		f.acks = nil
	}
}

// lapses: the request is the PRACK for one of those. It crossed B's answer and
// gets its 200, as a 481 would have many an end give up the call (RFC 3261
// §12.2.1.2).
func (s *session) lapses(l b2bua.Leg, r *sipx.Request) bool {
	if l != b2bua.A || r.Method() != "PRACK" {
		return false
	}
	seq, _, _, ok := r.RAck()
	i := slices.Index(s.lapsed, lapsed{r.ToTag(), seq})
	if !ok || i < 0 {
		return false
	}
	s.lapsed = slices.Delete(s.lapsed, i, i+1)
	return true
}

// replyReliable gives B's response to A.
func (s *session) replyReliable(a b2bua.Action, in input) {
	l, f := &s.legs[b2bua.A], in.fork
	var body []byte
	var err error
	switch in.Desc {
	case b2bua.Answer:
		body, err = s.answer(in.res)
	case b2bua.Offer:
		body, err = s.passOffer(b2bua.A, in.offer)
	}
	if err != nil {
		s.g.log.Warn("description refused", "call", s.group.id, "error", err)
		s.follow(b2bua.Event{Kind: b2bua.Refused, Code: status(err)})
		return
	}
	if f.ours == 0 {
		f.ours = rand.Uint32N(1<<30) + 1 // §3
	} else {
		f.ours++
	}
	hs := []sipx.HeaderField{{Name: "Require", Value: "100rel"}, {Name: "RSeq", Value: fmt.Sprint(f.ours)},
		{Name: "Contact", Value: "<" + l.dialog.Contact + ">"}, {Name: "Allow", Value: sipx.AllowWith(in.res.Headers("Allow"))}}
	hs = append(hs, sipx.Without100rel(withoutContent(tidyReasons(in.res.Carry(l.side))))...)
	if body != nil {
		hs = append(hs, contentField)
	}
	s.pass.Code = a.Code
	if a.Code >= 180 {
		s.ringing(in)
	}
	k := &acked{ours: f.ours, theirs: f.rseq}
	k.repeat = l.theirs.RespondReliably(a.Code, l.dialog.LocalTag, hs, body, func() {
		go s.force(input{do: func() {
			if slices.Contains(f.acks, k) {
				s.follow(b2bua.Event{Kind: b2bua.NoPrack})
			}
		}})
	})
	f.acks = append(f.acks, k)
}

// takePrack finds what A's PRACK acknowledges and what its body is; false when
// it has been answered here.
func (s *session) takePrack(in *input) bool {
	refuse := func(code int) bool { in.tx.Respond(code, "", "", nil, nil); return false }
	f := in.fork
	seq, cseq, method, ok := in.req.RAck()
	switch {
	case !ok:
		return refuse(400)
	case in.Leg != b2bua.A || f == nil || method != "INVITE":
		return refuse(481)
	case s.legs[b2bua.A].theirs == nil || s.legs[b2bua.A].theirs.Request().CSeq() != cseq:
		return refuse(481)
	}
	i := slices.IndexFunc(f.acks, func(k *acked) bool { return k.ours == seq })
	if i < 0 {
		return refuse(481) // §3
	}
	f.acks[i].repeat.Acknowledged()
	in.rseq = f.acks[i].theirs
	f.acks = slices.Delete(f.acks, i, i+1)
	in.Kind, in.Fork = b2bua.Prack, f.n
	if len(in.req.Body()) == 0 {
		return true
	}
	d := s.state.Dialog(f.n)
	a := &s.legs[b2bua.A].sdp
	var err error
	switch {
	case !described(in.req):
		in.Code = 415
	case d.Exchange == b2bua.OfferB && !d.Carries[b2bua.B]:
		if _, err = sdp.ReadAnswer(a, s.offer, in.req.Body()); err == nil {
			in.Desc = b2bua.Answer
			break
		}
		// B's offer has no answer then: the call cannot be.
		in.Code = s.refusedMedia(err).Status
		s.queue = append(s.queue, *in)
		s.follow(b2bua.Event{Kind: b2bua.Refused, Code: in.Code})
		return false
	case d.Exchange == b2bua.Agreed:
		if in.offer, err = sdp.ReadOffer(a, in.req.Body()); err == nil {
			in.Desc = b2bua.Offer
			break
		}
		in.Code = s.refusedMedia(err).Status
	default:
		in.Code = 491
	}
	return true
}

// sendPrack acknowledges B's response. Only one with an offer waits for what
// B says to it.
func (s *session) sendPrack(in input) {
	b, f := &s.legs[b2bua.B], in.fork
	hs := []sipx.HeaderField{{Name: "RAck", Value: fmt.Sprintf("%d %d INVITE", in.rseq, b.oursSeq)}}
	hs = append(hs, sipx.Without100rel(withoutContent(tidyReasons(in.req.Carry(b.side))))...)
	var body []byte
	var err error
	switch in.Desc {
	case b2bua.Answer:
		if body, err = s.passAnswer(b2bua.A, in.req.Body()); err != nil {
			s.g.log.Warn("answer refused", "call", s.group.id, "error", err)
			s.follow(b2bua.Event{Kind: b2bua.Refused, Code: status(err)})
		}
	case b2bua.Offer:
		f.prack = in.tx
		if body, err = s.passOffer(b2bua.B, in.offer); err != nil {
			s.g.log.Warn("offer refused", "call", s.group.id, "error", err)
			s.follow(b2bua.Event{Kind: b2bua.PrackDone, Fork: f.n, Code: status(err)})
		}
	}
	if body != nil {
		hs = append(hs, contentField)
	}
	o := b.dialog.Request("PRACK", 0, hs, body)
	if body == nil || in.Desc != b2bua.Offer {
		s.send(b, o, nil)
		return
	}
	tx := in.tx
	s.send(b, o, s.relayed(f, func() bool { return f.prack == tx }, b2bua.Event{Kind: b2bua.PrackDone, Fork: f.n}))
}

// relayed makes the final response to a request of ours inside a fork an
// event, as long as somebody waits for it.
func (s *session) relayed(f *fork, waits func() bool, e b2bua.Event) func(sipx.Outcome) {
	return func(out sipx.Outcome) {
		in := input{Event: e, res: out.Res, fork: f}
		switch {
		case out.Err != nil:
			in.Code = 408
		case out.Res.Code() < 200:
			return
		default:
			in.Code = out.Res.Code()
		}
		go s.force(input{do: func() {
			if waits() {
				s.queue = append(s.queue, in)
			}
		}})
	}
}

func (s *session) replyPrack(a b2bua.Action, in input) {
	f := s.forks[a.Fork]
	tx := f.prack
	f.prack = nil
	s.replyInside(tx, b2bua.A, a, in, true)
}
