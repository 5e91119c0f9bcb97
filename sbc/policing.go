package sbc

import (
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/media"
	"github.com/rampart-sbc/rampart/sbc/sdp"
)

// What media is held against: the payload types and the pace that the two
// descriptions agreed on.

// usualPtime is the milliseconds of sound per packet when nobody says.
const usualPtime = 20

// paceFactor is how many times the agreed pace is let through. Telephones take
// other packet times than they are asked for, down to a quarter, and send
// telephone-events beside the sound.
const paceFactor = 5

// police fills in what the leg may send on a stream. Types of both
// descriptions count: RFC 3264 lets the numbers of the two directions differ,
// and there are ends that mix them up.
func (s *session) police(r *media.Remote, leg, stream int) {
	lines := [2]sdp.Line{lineAt(&s.legs[leg].sdp, stream), lineAt(&s.legs[1-leg].sdp, stream)}
	r.Types = media.TypesOf(lines[0].Payloads, lines[1].Payloads)
	if lines[0].Kind == "audio" {
		r.PacketRate = pace(lines[0].Ptime, lines[1].Ptime)
	}
}

func lineAt(l *sdp.Leg, i int) sdp.Line {
	if i < len(l.Agreed) {
		return l.Agreed[i]
	}
	return sdp.Line{}
}

// pace is the packets per second of audio that are let through.
func pace(ptimes ...uint16) int {
	shortest := uint16(usualPtime)
	for _, p := range ptimes {
		if p > 0 {
			shortest = min(shortest, p)
		}
	}
	return paceFactor * 1000 / int(shortest)
}

// injected tells of packets that are nobody's of the call. Attackers write
// what source they like: it is named, and nothing is done to it.
func (s *session) injected(e media.Event, side call.Side) {
	evidence := []call.Evidence{
		{Name: "media.refused_packets", Value: e.Count, Threshold: 0},
		{Name: "media.side", Value: side.String()},
	}
	e.By.Each(func(c media.Cause, n uint64) {
		if n > 0 {
			evidence = append(evidence, call.Evidence{Name: "media.refused." + c.String(), Value: n, Threshold: c.Suspicious() - 1})
		}
	})
	s.g.deps.Reporter.System(call.SystemEvent{At: time.Now(), Action: call.MediaInjection, Severity: call.Medium, Rule: "media/injection",
		Reason: "packets that the call's own ends do not send were dropped", CallID: e.ID, Source: e.Source,
		Subject:  call.Subject{Kind: "source", Value: e.Source.Addr().String()},
		Evidence: evidence})
}
