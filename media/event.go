package media

import (
	"net/netip"
	"time"
)

// EventKind is what happened to a session's media.
type EventKind uint8

const (
	// Inactive: neither RTP nor RTCP was accepted in either direction for
	// Spec.Inactivity. It is counted while both legs of some stream are set,
	// on and not muted, and from the last Set; it comes again after each
	// further Spec.Inactivity of silence.
	Inactive EventKind = iota + 1
	// Injection: packets came from a wrong source or failed authentication.
	// At most one in injectionEvery per session; Count is since the last
	// one, Leg, Stream and Source are of the first of them.
	Injection
	// KeyUsedUp: a key that we send with has protected as many packets as a
	// key may. Nothing more is sent under it; the leg needs new keys or the
	// call ends. Told once per session.
	KeyUsedUp
)

func (k EventKind) String() string {
	switch k {
	case Inactive:
		return "inactive"
	case Injection:
		return "injection"
	case KeyUsedUp:
		return "key used up"
	}
	return "none"
}

// Event is what the plane tells the owner of a session.
type Event struct {
	ID     string
	Kind   EventKind
	Leg    Leg
	Stream int
	Source netip.AddrPort
	Count  uint64 // Injection: packets
}

const (
	injectionEvery = 10 * time.Second
	// injectionGrace is how long after a change of address or keys packets
	// under the former ones are stragglers and not an attack.
	injectionGrace = 2 * time.Second
)

type notice struct {
	notify func(Event)
	event  Event
}

// suspect notes a packet that may be somebody's attempt to inject media.
func (s *Session) suspect(at time.Time, e *end, from netip.AddrPort) {
	if at.Before(e.graceUntil) {
		return
	}
	if s.injected.Count == 0 {
		s.injected = Event{ID: s.id, Kind: Injection, Leg: e.leg, Stream: e.stream, Source: from}
	}
	s.injected.Count++
}

// due appends what the owner is to be told now.
func (s *Session) due(now time.Time, list []notice) []notice {
	if s.injected.Count > 0 && now.Sub(s.injectedAt) >= injectionEvery {
		list = s.tell(list, s.injected)
		s.injected, s.injectedAt = Event{}, now
	}
	if s.usedUp.Kind != 0 && !s.usedUpTold {
		s.usedUpTold = true
		list = s.tell(list, s.usedUp)
	}
	if s.inactivity <= 0 {
		return list
	}
	if !s.expectsMedia() {
		s.active = now // on hold or not set up: silence starts to count afterwards
		return list
	}
	if now.Sub(s.active) >= s.inactivity {
		s.active = now
		list = s.tell(list, Event{ID: s.id, Kind: Inactive})
	}
	return list
}

func (s *Session) tell(list []notice, e Event) []notice {
	if s.notify == nil {
		return list
	}
	return append(list, notice{s.notify, e})
}

// expectsMedia reports whether some stream should carry something.
func (s *Session) expectsMedia() bool {
	for _, st := range s.streams {
		a, b := st[A], st[B]
		if a.on() && b.on() && !a.remote.Muted && !b.remote.Muted {
			return true
		}
	}
	return false
}
