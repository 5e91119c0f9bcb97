package media

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"
)

// Snapshot is a session as plain data: enough for another gateway that has
// the same addresses to go on relaying in the middle of a stream. It holds
// master keys in the clear, so that it can be encoded by anything; encrypt
// what carries it, and keep it nowhere longer than the call lives. It does
// not print or log itself.
type Snapshot struct {
	ID         string
	Legs       [2]LegSpec
	CNAME      [2]string
	Inactivity time.Duration
	Streams    []StreamSnapshot
}

// StreamSnapshot is one stream, by leg.
type StreamSnapshot [2]EndSnapshot

// EndSnapshot is one leg's half of one stream.
type EndSnapshot struct {
	Port   uint16 // of RTP; RTCP is the next
	Set    bool
	Remote Remote // without its keys, which are below
	SDP    [2]netip.AddrPort
	Mute   bool
	Latch  [2]netip.AddrPort
	Recv   *KeySnapshot
	Send   *KeySnapshot
	Counts Counts
}

// KeySnapshot is the keys of one direction and how far they were used.
type KeySnapshot struct {
	Suite          string
	Key, Salt, MKI []byte
	RTP            []SourceSnapshot
	RTCP           []SourceSnapshot
}

// SourceSnapshot is one synchronisation source under one key. Top is the
// newest index: ROC and sequence number (48 bits) of RTP, the SRTCP index of
// RTCP. Bits are the indices seen up to it, index i at bit i modulo their
// number.
type SourceSnapshot struct {
	SSRC uint32
	Seen bool
	Top  uint64
	Bits []uint64
}

func (s Snapshot) String() string             { return fmt.Sprintf("snapshot(%s)", s.ID) }
func (s Snapshot) GoString() string           { return s.String() }
func (s Snapshot) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }
func (s Snapshot) LogValue() slog.Value       { return slog.StringValue(s.String()) }

func (k KeySnapshot) String() string             { return "keys(" + k.Suite + ")" }
func (k KeySnapshot) GoString() string           { return k.String() }
func (k KeySnapshot) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }
func (k KeySnapshot) LogValue() slog.Value       { return slog.StringValue(k.String()) }

// Snapshot copies the session's state between two packets. A closed session
// has no streams.
func (s *Session) Snapshot() Snapshot {
	s.cmd.Lock()
	defer s.cmd.Unlock()
	snap := Snapshot{ID: s.id, Legs: s.legs, CNAME: s.cname, Inactivity: s.inactivity}
	s.shard.engine.Do(func() {
		for _, st := range s.streams {
			snap.Streams = append(snap.Streams, StreamSnapshot{st[A].snapshot(), st[B].snapshot()})
		}
	})
	return snap
}

func (e *end) snapshot() EndSnapshot {
	r := e.remote
	r.Recv, r.Send = nil, nil
	return EndSnapshot{Port: e.port, Set: e.isSet, Remote: r, SDP: e.sdp, Mute: e.mute, Latch: e.latch,
		Recv: e.recv.snapshot(), Send: e.send.snapshot(), Counts: e.counts}
}

// snapshot copies keys and state.
func (s *secure) snapshot() *KeySnapshot {
	if s == nil {
		return nil
	}
	k := &KeySnapshot{Suite: s.keys.Suite.String(), Key: bytes.Clone(s.keys.Key),
		Salt: bytes.Clone(s.keys.Salt), MKI: bytes.Clone(s.keys.MKI)}
	for _, src := range s.rtp {
		k.RTP = append(k.RTP, src.snapshot())
	}
	for _, src := range s.rtcp {
		k.RTCP = append(k.RTCP, src.snapshot())
	}
	return k
}

func (s source) snapshot() SourceSnapshot {
	return SourceSnapshot{SSRC: s.ssrc, Seen: s.win.any, Top: s.win.top, Bits: bytes64(s.win.bits)}
}

func bytes64(b [windowSize / 64]uint64) []uint64 { return append([]uint64(nil), b[:]...) }

// Restore opens a session that another plane, or this one before, has taken a
// Snapshot of. The ports must be free: ErrNoPorts. notify is Spec.Notify.
//
// The snapshot may be some seconds old. Media that arrived meanwhile moved
// sequence numbers on by less than half their range, so ROC is still found;
// SRTCP indices, which we count ourselves, start srtcpGap further on.
func (p *Plane) Restore(snap Snapshot, notify func(Event)) (*Session, error) {
	s, err := p.restore(snap, notify)
	if err != nil {
		return nil, fmt.Errorf("media: restore %q: %w", snap.ID, err)
	}
	return s, nil
}

func (p *Plane) restore(snap Snapshot, notify func(Event)) (*Session, error) {
	s, err := p.newSession(Spec{ID: snap.ID, Streams: len(snap.Streams), Legs: snap.Legs,
		Inactivity: snap.Inactivity, Notify: notify})
	if err != nil {
		return nil, err
	}
	// Everything that can be wrong with the data is found before a port is
	// bound.
	type pair struct{ recv, send *secure }
	states := make([][2]pair, len(snap.Streams))
	ports := make([][2]uint16, len(snap.Streams))
	for i, st := range snap.Streams {
		for leg, es := range st {
			if err := es.check(snap.Legs[leg].IPv6); err != nil {
				return nil, fmt.Errorf("leg %s, stream %d: %w", Leg(leg), i, err)
			}
			recv, err := es.Recv.open(false)
			if err != nil {
				return nil, err
			}
			send, err := es.Send.open(true)
			if err != nil {
				return nil, err
			}
			if (recv == nil) != (send == nil) {
				return nil, fmt.Errorf("keys for one direction only: %w", ErrKeys)
			}
			states[i][leg] = pair{recv, send}
			ports[i][leg] = es.Port
		}
	}
	for leg, c := range snap.CNAME {
		if len(c) == len(s.cname[leg]) {
			s.cname[leg] = c
		}
	}
	if err := s.grow(len(snap.Streams), ports); err != nil {
		return nil, err
	}
	s.shard.engine.Do(func() {
		for i, st := range snap.Streams {
			for leg, es := range st {
				e := s.streams[i][leg]
				e.remote, e.sdp, e.mute, e.latch = es.Remote, es.SDP, es.Mute, es.Latch
				e.remote.ClockRate = max(e.remote.ClockRate, 1)
				e.recv, e.send, e.counts = states[i][leg].recv, states[i][leg].send, es.Counts
				e.isSet = es.Set
			}
		}
	})
	if err := s.attach(); err != nil {
		return nil, err
	}
	return s, nil
}

// check refuses what Set would have refused.
func (es *EndSnapshot) check(v6 bool) error {
	if es.Port == 0 || es.Port%2 != 0 {
		return fmt.Errorf("port %d: %w", es.Port, errSnapshot)
	}
	for _, a := range [...]netip.AddrPort{es.SDP[0], es.SDP[1], es.Latch[0], es.Latch[1]} {
		if a.IsValid() && (a.Addr().Is6() != v6 || a.Addr().IsMulticast() || a.Addr().IsUnspecified()) {
			return fmt.Errorf("%s: %w", a, ErrRemote)
		}
	}
	if !es.Set || es.Remote.Disabled {
		return nil
	}
	_, err := es.Remote.check(v6)
	return err
}
