package sbc

import (
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
)

// still is how far the media of a leg had come when it was last seen to move,
// while its PBX or peer was dead.
type still struct {
	dead, since time.Time
	packets     uint64
	gen         int // of the media session
}

// lost looks after the calls of a PBX or peer that answers no OPTIONS: a phone
// goes on sending to one that has died in mid-call, and neither BYE nor
// inactivity would ever end the call. Nor is OPTIONS alone a reason: media may
// flow around a proxy that has failed. So a call is released when, from the
// time of death on, its leg has sent neither RTP nor RTCP for as long as
// media.inactivity.
func (g *Gateway) lost(kind call.Kind, name string, dead time.Time) {
	if g.cfg.Inactivity <= 0 {
		return
	}
	for _, s := range g.calls.sessions() {
		s.put(input{do: func() { s.watch(kind, name, dead, time.Now()) }}) // if full, the next OPTIONS comes soon
	}
}

func (s *session) watch(kind call.Kind, name string, dead, now time.Time) {
	if p := s.state.Phase; p != b2bua.Up && p != b2bua.Modifying || s.media == nil {
		return
	}
	for l := range s.legs {
		x := &s.legs[l]
		if x.kind != kind || x.name != name {
			continue
		}
		st := s.media.Stats()[l]
		seen := still{dead, x.still.since, st.PacketsIn + st.RTCPIn, s.mediaGen}
		if seen != x.still || !s.talks() {
			seen.since = now
			x.still = seen
		} else if now.Sub(seen.since) >= s.g.cfg.Inactivity {
			s.follow(b2bua.Event{Kind: b2bua.Hangup, Cause: "peer-down"})
			return
		}
	}
}

// talks says whether some stream should carry something both ways all the time:
// on hold, silence is no sign of anything, nor from who receives a fax.
func (s *session) talks() bool {
	b := s.legs[b2bua.B].sdp.Agreed
	for i, a := range s.legs[b2bua.A].sdp.Agreed {
		if i < len(b) && a.Kind != "image" && !a.Disabled && !b[i].Disabled && !a.Muted() && !b[i].Muted() && a.RTP.IsValid() && b[i].RTP.IsValid() {
			return true
		}
	}
	return false
}
