package sbc

import (
	"errors"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/media"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Offers and answers on their way through (RFC 3264, RFC 6337): in whichever
// message they stand, an offer that a leg made is written for the other one,
// and what that answers is written for the first.

// passOffer writes an offer for leg to. It is the open one from then on.
func (s *session) passOffer(to b2bua.Leg, offer *sdp.Offer) ([]byte, error) {
	if s.media == nil { // the INVITE had no offer
		if err := s.openMedia(offer, to.Other(), s.legs[b2bua.B].flow); err != nil {
			return nil, err
		}
	} else if err := s.media.Grow(offer.Streams()); err != nil {
		return nil, err
	}
	s.offer = offer
	return offer.Write(&s.legs[to].sdp, s.endpoints(to), random)
}

// passAnswer takes the answer of leg from to the open offer and writes it for
// the other one; both have agreed then, and media follows.
func (s *session) passAnswer(from b2bua.Leg, body []byte) ([]byte, error) {
	ans, err := sdp.ReadAnswer(&s.legs[from].sdp, s.offer, body)
	if err != nil {
		return nil, err
	}
	out, err := ans.Write(&s.legs[from.Other()].sdp, s.endpoints(from.Other()), random)
	if err != nil {
		return nil, err
	}
	return out, s.hear()
}

// status is the code for a failure of the above.
func status(err error) int {
	var ref *sdp.Refusal
	switch {
	case errors.As(err, &ref):
		return ref.Status
	case errors.Is(err, media.ErrNoAddress), errors.Is(err, media.ErrStream):
		return 488 // IPv6 media where we have none, or the other way round; too many lines
	}
	return 500
}

// refusedMedia tells of a description within a call that may not be.
func (s *session) refusedMedia(err error) call.Decision {
	d := offerRefusal(s.a, err, call.Decision{})
	d.Trace = nil
	s.g.report(s.a, d)
	return d
}

// described reports whether a message carries a session description.
func described(m interface {
	Body() []byte
	ContentType() string
}) bool {
	return len(m.Body()) > 0 && m.ContentType() == "application/sdp"
}

// contentField goes with a description.
var contentField = sipx.HeaderField{Name: "Content-Type", Value: "application/sdp"}

// weigh finds what the description in a response of B's to A's INVITE is to
// the fork it comes from. An offer that may not be ends the call.
func (s *session) weigh(in *input) {
	d := s.state.Dialog(in.Fork)
	reliable := in.Kind != b2bua.Provisional
	switch {
	case d.Initial() && in.Kind == b2bua.Reliable:
		if !described(in.res) {
			return
		}
		if _, err := sdp.ReadAnswer(&s.legs[b2bua.B].sdp, s.offer, in.res.Body()); err != nil {
			s.g.log.Warn("answer refused", "call", s.group.id, "error", err)
			return // the 2xx may bring a better one
		}
		in.Desc = b2bua.Answer
	case d.Initial():
		in.Desc = b2bua.Answer // an early one is a preview (RFC 3261 §13.2.1)
	case d.Exchange == b2bua.None && reliable && described(in.res):
		offer, err := sdp.ReadOffer(&s.legs[b2bua.B].sdp, in.res.Body())
		if err == nil {
			in.Desc, in.offer = b2bua.Offer, offer
			return
		}
		d := s.refusedMedia(err)
		if in.Kind == b2bua.Reliable {
			in.Kind, in.Code = b2bua.Provisional, 100 // B was heard, and may be cancelled
			s.follow(b2bua.Event{Kind: b2bua.Refused, Code: d.Status})
		}
	}
}

// weighModify finds the offer in the other leg's 2xx to a re-INVITE that had
// none.
func (s *session) weighModify(in *input) {
	if s.state.Phase != b2bua.Modifying || s.state.Dialog(s.state.Fork).Exchange != b2bua.None {
		return
	}
	if !described(in.res) {
		s.g.log.Warn("2xx without the offer", "call", s.group.id)
		return
	}
	offer, err := sdp.ReadOffer(&s.legs[s.state.Modifier.Other()].sdp, in.res.Body())
	if err != nil {
		s.refusedMedia(err)
		return
	}
	in.Desc, in.offer = b2bua.Offer, offer
}

// allow is what the sender of the response at hand says that it allows.
func (in *input) allow() []string {
	if in.res == nil {
		return nil
	}
	return in.res.Headers("Allow")
}

// weighAck reads the answer in an ACK, where the other leg's 2xx had the offer
// (RFC 3261 §13.2.2.4).
func (s *session) weighAck(in *input) {
	l := b2bua.A
	if s.state.Phase == b2bua.Modifying {
		l = s.state.Modifier
	}
	if !s.state.AckDue || in.Leg != l {
		return
	}
	if !described(in.req) {
		in.Code = 488
		s.g.log.Warn("ACK without the answer", "call", s.group.id)
		return
	}
	if _, err := sdp.ReadAnswer(&s.legs[l].sdp, s.offer, in.req.Body()); err != nil {
		in.Code = s.refusedMedia(err).Status
		return
	}
	in.Desc = b2bua.Answer
}

// ackBody is what our ACK to leg l carries: nothing, but for the answer to an
// offer in the 2xx.
func (s *session) ackBody(l b2bua.Leg, in input) (hs []sipx.HeaderField, body []byte) {
	if !s.owed {
		return nil, nil
	}
	s.owed = false
	if in.Kind == b2bua.Ack && in.Desc == b2bua.Answer {
		body, err := s.passAnswer(l.Other(), in.req.Body())
		if err == nil {
			return []sipx.HeaderField{contentField}, body
		}
		s.g.log.Warn("answer refused", "call", s.group.id, "error", err)
		s.follow(b2bua.Event{Kind: b2bua.Hangup, Cause: "media-negotiation"})
	}
	// A valid answer all the same; the call ends.
	body, err := s.offer.Decline(&s.legs[l].sdp, random)
	if err != nil {
		return nil, nil
	}
	return []sipx.HeaderField{contentField}, body
}
