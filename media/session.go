package media

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Leg is one of the two sides of a session.
type Leg uint8

const (
	A Leg = iota // towards the caller
	B            // towards the callee
)

// Other is the leg that media goes on to.
func (l Leg) Other() Leg { return 1 - l }

func (l Leg) String() string { return [...]string{"A", "B"}[l&1] }

// LegSpec chooses the local address of a leg.
type LegSpec struct {
	Side call.Side
	IPv6 bool
}

// Spec describes a session to open.
type Spec struct {
	ID         string // given back in events
	Streams    int    // m-lines, at most MaxSessionStreams
	Legs       [2]LegSpec
	Inactivity time.Duration // 0: silence is not watched
	// Notify is called from a goroutine of the plane, with nothing locked,
	// and must not block. One call may still be under way when Close
	// returns. Nil: nobody wants to know.
	Notify func(Event)
}

// Session is the media of one call: for every stream a pair of ports on each
// leg, and what is known about the two ends. One owner commands it, from any
// goroutine; packets are handled by its shard meanwhile.
type Session struct {
	// What every packet looks at, together. Owned by the shard, but for the
	// pointer to it.
	shard  *shard
	active time.Time // last accepted packet or Set
	closed bool

	id         string
	plane      *Plane
	legs       [2]LegSpec
	local      [2]*local
	cname      [2]string // what a leg is called on the other one
	inactivity time.Duration
	notify     func(Event)

	cmd sync.Mutex // serialises Set, Grow, Snapshot and Close; never held by a packet

	// Owned by the shard. streams is read under cmd too, where only Grow
	// and Close change it.
	streams     [][2]*end
	final       [2]LegStats
	injected    Event     // not told yet
	injectedAt  time.Time // last told
	suspectedAt time.Time // when the first packet of injected came
	usedUp      Event
	usedUpTold  bool
}

// Open binds the ports of all streams on both legs. It may be called for many
// sessions at a time.
func (p *Plane) Open(spec Spec) (*Session, error) {
	s, err := p.newSession(spec)
	if err == nil {
		err = s.grow(spec.Streams, nil)
	}
	if err == nil {
		err = s.attach()
	}
	if err != nil {
		return nil, fmt.Errorf("media: open %q: %w", spec.ID, err)
	}
	return s, nil
}

// newSession makes a session without streams, known to nobody.
func (p *Plane) newSession(spec Spec) (*Session, error) {
	if spec.Streams < 1 {
		return nil, fmt.Errorf("%d streams: %w", spec.Streams, ErrStream)
	}
	s := &Session{id: spec.ID, plane: p, legs: spec.Legs, inactivity: spec.Inactivity, notify: spec.Notify}
	for leg, l := range spec.Legs {
		f := 0
		if l.IPv6 {
			f = 1
		}
		if l.Side > call.Inside || p.local[l.Side][f] == nil {
			return nil, fmt.Errorf("leg %s, %s, IPv%d: %w", Leg(leg), l.Side, 4+2*f, ErrNoAddress)
		}
		s.local[leg] = p.local[l.Side][f]
		s.cname[leg] = newCNAME()
	}
	s.shard = p.shards[random(len(p.shards))]
	return s, nil
}

// newCNAME is 96 random bits (RFC 7022 §4.2), the same for all streams of a
// leg so that lip synchronisation works, and says nothing about anybody.
func newCNAME() string {
	var b [12]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// attach makes the shard look after the session.
func (s *Session) attach() error {
	closed := false
	s.shard.engine.Do(func() {
		if closed = s.shard.closed; !closed {
			s.active = s.plane.clock()
			s.shard.sessions[s] = struct{}{}
		}
	})
	if closed {
		s.Close()
		return ErrClosed
	}
	return nil
}

// Grow binds ports for further m-lines: streams is the new total. Existing
// ports stay as they are; a smaller number changes nothing.
func (s *Session) Grow(streams int) error {
	s.cmd.Lock()
	defer s.cmd.Unlock()
	if s.closed {
		return fmt.Errorf("media: grow %q: %w", s.id, ErrClosed)
	}
	if err := s.grow(streams, nil); err != nil {
		return fmt.Errorf("media: grow %q: %w", s.id, err)
	}
	return nil
}

// grow adds streams up to total, all or none of them. ports names the RTP
// ports per stream and leg to bind again; nil takes any.
func (s *Session) grow(total int, ports [][2]uint16) error {
	if total > MaxSessionStreams {
		return fmt.Errorf("%d streams, at most %d: %w", total, MaxSessionStreams, ErrStream)
	}
	n := total - len(s.streams)
	if n <= 0 {
		return nil
	}
	if err := s.plane.reserve(n); err != nil {
		return err
	}
	added := make([][2]*end, 0, n)
	undo := func() {
		s.release(added)
		s.plane.unreserve(n - len(added)) // release gave back the complete ones
	}
	for i := len(s.streams); i < total; i++ {
		var pair [2]*end
		for leg := A; leg <= B; leg++ {
			e := &end{session: s, leg: leg, stream: i}
			e.ports[0] = port{end: e}
			e.ports[1] = port{end: e, rtcp: true}
			var want uint16
			if ports != nil {
				want = ports[i][leg]
			}
			if err := s.plane.bindEnd(e, s.shard, s.local[leg], want); err != nil {
				if leg == B {
					pair[A].close()
				}
				undo()
				return err
			}
			pair[leg] = e
		}
		pair[A].peer, pair[B].peer = pair[B], pair[A]
		added = append(added, pair)
	}
	s.shard.engine.Do(func() { s.streams = append(s.streams, added...) })
	return nil
}

// release closes streams that no packet and no command reaches any more.
func (s *Session) release(streams [][2]*end) {
	for _, st := range streams {
		st[A].close()
		st[B].close()
	}
	s.plane.unreserve(len(streams))
}

// end returns one end; callers hold cmd.
func (s *Session) end(leg Leg, stream int) (*end, error) {
	if leg > B || stream < 0 || stream >= len(s.streams) {
		return nil, fmt.Errorf("leg %d, stream %d of %d: %w", leg, stream, len(s.streams), ErrStream)
	}
	return s.streams[stream][leg], nil
}

// Local is what to write into the SDP for that leg: the address the other end
// sends to. It is zero for a stream that does not exist.
func (s *Session) Local(leg Leg, stream int) (rtp, rtcp netip.AddrPort) {
	s.cmd.Lock()
	defer s.cmd.Unlock()
	e, err := s.end(leg, stream)
	if err != nil {
		return
	}
	adv := s.local[leg].advertise
	return netip.AddrPortFrom(adv, e.port), netip.AddrPortFrom(adv, e.port+1)
}

// Set tells what a leg's SDP said about a stream, and replaces what was told
// before. State that belongs to keys (ROC, replay window) goes on when the
// keys are the same again, and the latch when the address is.
//
// A remote that cannot be used changes nothing: ErrRemote, ErrKeys, ErrStream.
func (s *Session) Set(leg Leg, stream int, r Remote) error {
	s.cmd.Lock()
	defer s.cmd.Unlock()
	err := s.set(leg, stream, r)
	if err != nil {
		return fmt.Errorf("media: set %q: %w", s.id, err)
	}
	return nil
}

func (s *Session) set(leg Leg, stream int, r Remote) error {
	if s.closed {
		return ErrClosed
	}
	e, err := s.end(leg, stream)
	if err != nil {
		return err
	}
	r, err = r.check(s.legs[leg].IPv6)
	if err != nil {
		return fmt.Errorf("leg %s, stream %d: %w", leg, stream, err)
	}
	if !r.Disabled && s.isLocal(r) {
		return fmt.Errorf("leg %s, stream %d: %s is this session's own: %w", leg, stream, r.RTP, ErrRemote)
	}
	s.shard.engine.Do(func() {
		var recv, send *secure
		if recv, err = secureFor(e.recv, e.pastRecv, r.Recv, false); err != nil {
			return
		}
		if send, err = secureFor(e.send, e.pastSend, r.Send, true); err != nil {
			return
		}
		now := s.plane.clock()
		e.set(now, r, recv, send)
		s.active = now
	})
	return err
}

// isLocal reports whether media would be sent straight back into this
// session. An address of another session is fine: a call may pass twice.
func (s *Session) isLocal(r Remote) bool {
	for _, st := range s.streams {
		for _, e := range st {
			l := s.local[e.leg]
			for _, a := range [...]netip.Addr{l.advertise, l.ports.addr} {
				if r.RTP.Addr() == a && r.RTP.Port()&^1 == e.port || r.RTCP.Addr() == a && r.RTCP.Port()&^1 == e.port {
					return true
				}
			}
		}
	}
	return false
}

// Stats adds up the streams of each leg. After Close it is what Close said.
func (s *Session) Stats() (st [2]LegStats) {
	s.shard.engine.Do(func() { st = s.stats() })
	return st
}

func (s *Session) stats() [2]LegStats {
	if s.closed {
		return s.final
	}
	var out [2]LegStats
	for leg := range out {
		l, trips := &out[leg], time.Duration(0)
		for i, st := range s.streams {
			e := st[leg]
			l.add(e.counts)
			expected, lost := e.quality.totals()
			l.Expected, l.Lost = l.Expected+expected, l.Lost+lost
			l.JitterMs = max(l.JitterMs, e.quality.jitter*1000)
			trips += e.reports.trips
			l.RTTs += e.reports.counted
			l.ReportedLost += e.reports.totalLost()
			if l.Suite == 0 && e.recv != nil {
				l.Suite = e.recv.keys.Suite
			}
			if i == 0 {
				l.Source = e.source()
			}
		}
		if l.Expected > 0 {
			l.LossPercent = 100 * float64(l.Lost) / float64(l.Expected)
		}
		if l.RTTs > 0 {
			l.RTTMs = trips.Seconds() * 1000 / float64(l.RTTs)
		}
	}
	for leg := range out {
		if sent := out[1-leg].Expected; sent > 0 {
			out[leg].ReportedLossPercent = min(100*float64(out[leg].ReportedLost)/float64(sent), 100)
		}
	}
	return out
}

// Close frees the ports and returns the last figures. Closing again returns
// them again.
func (s *Session) Close() [2]LegStats {
	s.cmd.Lock()
	defer s.cmd.Unlock()
	if s.closed {
		return s.final
	}
	var streams [][2]*end
	s.shard.engine.Do(func() {
		s.final = s.stats()
		s.closed = true
		streams, s.streams = s.streams, nil
		delete(s.shard.sessions, s)
	})
	s.release(streams)
	return s.final
}
