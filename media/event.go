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
	// Injection: packets came that the leg itself does not send: from a wrong
	// source, without valid authentication, or so many replayed, of another
	// payload type or beyond the rate that it is no accident. At most one in
	// injectionEvery per session; Count and By are since the last one, Leg,
	// Stream and Source are of the first of them.
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
	By     Refused
}

const (
	injectionEvery = 10 * time.Second
	// injectionGrace is how long after a change of address or keys packets
	// under the former ones are stragglers and not an attack.
	injectionGrace = 2 * time.Second
)

// suspicious is how many packets of a cause within injectionEvery are told of
// as an attack; 0: none. A network makes some doubles and a telephone sends
// some that were not agreed on, or that belong to another protocol on the same
// port; nothing but somebody else comes from elsewhere or without the key.
var suspicious = [numCauses]uint64{WrongSource: 1, Auth: 1, Sources: 10, Replay: 100, PayloadType: 100, Rate: 100,
	NotRTP: 100, Malformed: 100, Misdirected: 100, Runt: 100, Jumbo: 100}

// Suspicious is the number of packets of that cause from which on an
// [Injection] is told; 0: it is never one.
func (c Cause) Suspicious() uint64 {
	if c >= numCauses {
		return 0
	}
	return suspicious[c]
}

type notice struct {
	notify func(Event)
	event  Event
}

// suspect notes a packet that may be somebody's attempt to inject media.
func (s *Session) suspect(at time.Time, e *end, from netip.AddrPort, why Cause) {
	if at.Before(e.graceUntil) {
		return
	}
	// The packet that decides what is told of is the first of a cause that
	// needs no number: it shows where the attack comes from.
	if s.injected.Count == 0 || suspicious[why] == 1 && !s.injected.evident() {
		if s.injected.Count == 0 {
			s.suspectedAt = at
		}
		s.injected.ID, s.injected.Kind = s.id, Injection
		s.injected.Leg, s.injected.Stream, s.injected.Source = e.leg, e.stream, from
	}
	s.injected.Count++
	s.injected.By[why]++
}

// evident reports whether some cause has reached its number.
func (e *Event) evident() bool {
	for c, n := range e.By {
		if n > 0 && suspicious[c] > 0 && n >= suspicious[c] {
			return true
		}
	}
	return false
}

// due appends what the owner is to be told now.
func (s *Session) due(now time.Time, list []notice) []notice {
	switch {
	case s.injected.Count == 0:
	case s.injected.evident():
		if now.Sub(s.injectedAt) >= injectionEvery {
			list = s.tell(list, s.injected)
			s.injected, s.injectedAt = Event{}, now
		}
	case now.Sub(s.suspectedAt) >= injectionEvery:
		s.injected = Event{} // a few in that time were no attack
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
