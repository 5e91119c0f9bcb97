package media

import (
	"net/netip"
	"time"

	"github.com/rampart-sbc/rampart/media/bind"
)

// maxPast is how many former keys of a direction are remembered with their
// state. A re-INVITE that is refused goes back to the keys before it, and
// they must go on where they were, or replays pass and key stream repeats.
const maxPast = 4

// rekeyOverlap is how long after a change of keys packets under the former
// ones are taken: both ends of a leg change at the signalling, and packets
// overtake that or are overtaken by it.
const rekeyOverlap = time.Second

// end is one leg's half of one stream: its two ports, where the other side of
// them is, and the state of both directions. Owned by the shard.
//
// The latch, which is where we send to and, for plain RTP, all we take from:
//
//	none ──(SRTP: packet authenticates)──────────────▶ source ◀─┐ newer packet authenticates
//	none ──(RTP with NAT: first plausible packet)────▶ source ──┘
//	any  ──(Set with another SDP address)────────────▶ none: the SDP address
type end struct {
	// What every packet of sound needs, as near together as it can be.
	ports      [2]port
	session    *Session
	peer       *end
	recv, send *secure
	former     *secure // receives beside recv, for packets that are on their way
	isSet      bool
	mute       bool   // the SDP's address is unspecified: send nothing
	payload    uint8  // the type of the last packet, and its clock; rate 0: ask
	rate       uint32 //
	latch      [2]netip.AddrPort
	sdp        [2]netip.AddrPort // RTP, RTCP: last usable address of the SDP
	remote     Remote
	bucket     bucket
	quality    quality
	counts     Counts
	voices     voices

	leg                Leg
	stream             int
	local              *local
	port               uint16    // RTP; RTCP is the next
	formerUntil        time.Time // former is good no longer than this
	pastRecv, pastSend []*secure // newest last
	reports            reports
	graceUntil         time.Time
	rtcpBucket         bucket
	formerTypes        Types // taken beside remote.Types
	typesUntil         time.Time
}

// port is one socket of an end, and the Sink of it.
type port struct {
	end  *end
	rtcp bool
	sock bind.Socket
}

// listen binds the pair. On an error nothing stays bound.
func (e *end) listen(sh *shard, l *local, rtp uint16) error {
	for i := range e.ports {
		addr := netip.AddrPortFrom(l.ports.addr, rtp+uint16(i))
		sock, err := sh.engine.Listen(addr, &e.ports[i])
		if err != nil {
			if i == 1 {
				e.ports[0].sock.Close()
			}
			return err
		}
		e.ports[i].sock = sock
	}
	e.local, e.port = l, rtp
	return nil
}

// close frees the ports of an end that was bound.
func (e *end) close() {
	for i := range e.ports {
		e.ports[i].sock.Close()
	}
	e.session.plane.release(e.local, e.port)
}

// on reports whether the end takes part in relaying.
func (e *end) on() bool { return e.isSet && !e.remote.Disabled }

// clockRate is the RTP clock of a payload type. Nearly all packets have the
// type of the one before.
func (e *end) clockRate(payload uint8) uint32 {
	if payload == e.payload && e.rate != 0 {
		return e.rate
	}
	e.payload, e.rate = payload, e.remote.ClockRate
	if r := e.remote.ClockRates[payload]; r != 0 {
		e.rate = r
	}
	return e.rate
}

// source is where the end's RTP comes from, as far as known.
func (e *end) source() netip.AddrPort {
	if e.latch[0].IsValid() {
		return e.latch[0]
	}
	return e.sdp[0]
}

// secureFor finds the state that belongs to keys, or makes it. sending tells
// which direction it is for.
func secureFor(now *secure, past []*secure, k *Keys, sending bool) (*secure, error) {
	if k == nil {
		return nil, nil
	}
	for i := len(past); i >= 0; i-- {
		s := now
		if i < len(past) {
			s = past[i]
		}
		switch {
		case s == nil || !s.keys.sameMaterial(k):
		case s.keys.same(k):
			return s, nil
		default:
			// The same key with another tag length or MKI: what was
			// used under it stays used.
			return s.relabel(k, sending)
		}
	}
	return newSecure(k)
}

// set applies a checked Remote. A stream that is off keeps what it knew for
// when it comes back.
func (e *end) set(now time.Time, r Remote, recv, send *secure) {
	again := e.isSet
	e.isSet, e.rate = true, 0
	if r.Disabled {
		e.remote.Disabled = true
		return
	}
	if again && r.Types != e.remote.Types {
		e.formerTypes, e.typesUntil = e.remote.Types, now.Add(injectionGrace)
	}
	e.remote = r
	if again && recv != e.recv {
		e.graceUntil = now.Add(injectionGrace)
		if e.former = nil; recv != nil && e.recv != nil && !recv.keys.sameMaterial(e.recv.keys) {
			e.former, e.formerUntil = e.recv, now.Add(rekeyOverlap)
		}
	}
	e.pastRecv = retire(e.pastRecv, e.recv, recv)
	e.pastSend = retire(e.pastSend, e.send, send)
	e.recv, e.send = recv, send

	e.mute = r.RTP.Addr().IsUnspecified()
	if e.mute {
		return
	}
	for i, a := range [...]netip.AddrPort{r.RTP, r.RTCP} {
		if a == e.sdp[i] {
			continue
		}
		e.sdp[i], e.latch[i] = a, netip.AddrPort{}
		if again {
			e.graceUntil = now.Add(injectionGrace)
		}
	}
}

// retire keeps the state of keys that are not used any more.
func retire(past []*secure, old, now *secure) []*secure {
	if old == now {
		return past
	}
	kept := make([]*secure, 0, len(past)+1)
	for _, s := range append(past, old) {
		if s != nil && (now == nil || !s.keys.sameMaterial(now.keys)) {
			kept = append(kept, s)
		}
	}
	return kept[max(0, len(kept)-maxPast):]
}
