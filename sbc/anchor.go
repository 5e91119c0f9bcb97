package sbc

import (
	"fmt"
	"net/netip"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/media"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Media of a call: what sdp agreed becomes commands to the media plane. No
// packet is ever seen here.

// openMedia takes ports for the call, on the caller's and the callee's side.
// by made the offer. A route that goes to another side or family needs others.
func (s *session) openMedia(offer *sdp.Offer, by b2bua.Leg, callee *sipx.Flow) error {
	streams := offer.Streams()
	a, b := &s.legs[b2bua.A], &s.legs[b2bua.B]
	s.mediaGen++
	gen := s.mediaGen
	spec := media.Spec{ID: s.group.id, Streams: streams, Inactivity: s.g.cfg.Inactivity}
	spec.Legs[media.A] = media.LegSpec{Side: a.side, IPv6: a.flow.Remote.Addr().Is6()}
	spec.Legs[media.B] = media.LegSpec{Side: b.side, IPv6: callee.Remote.Addr().Is6()}
	if v6, known := offer.IPv6(); known {
		spec.Legs[by].IPv6 = v6
	}
	sides := [2]call.Side{a.side, b.side}
	spec.Notify = func(e media.Event) { s.mediaEvent(gen, e, sides[e.Leg&1]) }
	if s.media != nil {
		if s.spec == spec.Legs {
			return s.media.Grow(streams)
		}
		s.closeMedia()
	}
	m, err := s.g.deps.Media.Open(spec)
	if err != nil {
		return fmt.Errorf("open media: %w", err)
	}
	s.media, s.spec = m, spec.Legs
	return nil
}

// endpoints are our own addresses towards a leg, one per m-line.
func (s *session) endpoints(l b2bua.Leg) (out []sdp.Endpoint) {
	for i := range s.offer.Streams() {
		rtp, rtcp := s.media.Local(media.Leg(l), i)
		out = append(out, sdp.Endpoint{RTP: rtp, RTCP: rtcp})
	}
	return out
}

// setMedia tells the plane what both legs have agreed on.
func (s *session) setMedia() error {
	for l := range s.legs {
		x := &s.legs[l]
		// A phone is behind NAT more often than not; its plain RTP (which only
		// an emergency call may have) comes from where its signalling does.
		nat := x.kind == call.Phone
		if x.kind == call.Carrier {
			if p := s.g.peers.byName(x.name); p != nil {
				nat = p.NAT
			}
		}
		for i, ln := range x.sdp.Lines() {
			if !ln.RTP.IsValid() && !ln.Disabled {
				// c=0.0.0.0, the hold of old phones: nothing is sent there.
				ln.RTP, ln.RTCP = netip.AddrPortFrom(netip.IPv4Unspecified(), 9), netip.AddrPort{}
			}
			r := media.Remote{RTP: ln.RTP, RTCP: ln.RTCP, Mux: ln.Mux, Disabled: ln.Disabled, Muted: ln.Muted(),
				Raw: ln.Kind == "image", NAT: nat, From: x.flow.Remote.Addr(), ClockRates: ln.Clocks}
			s.police(&r, l, i)
			var err error
			if r.Recv, err = mediaKeys(ln.Recv); err != nil {
				return err
			}
			if r.Send, err = mediaKeys(ln.Send); err != nil {
				return err
			}
			if err := s.media.Set(media.Leg(l), i, r); err != nil {
				return fmt.Errorf("media of leg %s, stream %d: %w", b2bua.Leg(l), i, err)
			}
		}
	}
	return nil
}

func mediaKeys(k *sdp.Keys) (*media.Keys, error) {
	if k == nil {
		return nil, nil
	}
	suite, ok := media.ParseSuite(k.Suite)
	if !ok {
		return nil, fmt.Errorf("SRTP suite %q is not carried", k.Suite)
	}
	return &media.Keys{Suite: suite, Key: media.Secret(k.Key), Salt: media.Secret(k.Salt), MKI: k.MKI}, nil
}

// closeMedia frees the ports and keeps the figures for the record.
func (s *session) closeMedia() {
	if s.media == nil {
		return
	}
	stats := s.media.Close()
	s.media = nil
	s.pass.MediaLegs = nil
	for l := range s.legs {
		st, x := stats[l], &s.legs[l]
		m := call.Leg{Side: x.side.String(), Peer: x.name, PacketsIn: st.PacketsIn, PacketsOut: st.PacketsOut, BytesIn: st.BytesIn,
			Refused: st.Refused.Total(), LossPercent: st.LossPercent, JitterMs: st.JitterMs,
			RTTMs: st.RTTMs, ReportedLossPercent: st.ReportedLossPercent}
		if st.PacketsIn > 0 {
			m.MOS = call.MOS(st.LossPercent, st.JitterMs, st.RTTMs)
		}
		for _, ln := range x.sdp.Lines() {
			if ln.Secure() {
				m.Suite = ln.Recv.Suite
				break
			}
		}
		s.pass.MediaLegs = append(s.pass.MediaLegs, m)
	}
}

// mediaEvent is called by the plane and must not block.
func (s *session) mediaEvent(gen int, e media.Event, side call.Side) {
	switch e.Kind {
	case media.Inactive:
		s.mediaOver(gen, "media-inactivity")
	case media.KeyUsedUp:
		s.mediaOver(gen, "media-key-used-up")
	case media.Injection:
		s.injected(e, side)
	}
}

// mediaOver ends the call for what happened to its media. Not while it rings,
// and not for media that another route had.
func (s *session) mediaOver(gen int, cause string) {
	s.post(input{do: func() {
		if up := s.state.Phase == b2bua.Up || s.state.Phase == b2bua.Modifying; up && s.media != nil && s.mediaGen == gen {
			s.follow(b2bua.Event{Kind: b2bua.Hangup, Cause: cause})
		}
	}})
}
