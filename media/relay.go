package media

import (
	"net/netip"
	"time"
)

// Receive takes one datagram of a port to where it belongs: checks, from the
// cheapest; authentication; only then state; then the other leg.
func (p *port) Receive(at time.Time, data []byte, from netip.AddrPort) {
	e := p.end
	defer func() {
		// A bug must cost one packet, not the calls of everybody.
		if r := recover(); r != nil {
			e.refuse(Panicked)
		}
	}()
	if why, ok := e.relay(at, data, from, p.rtcp); !ok {
		e.refuse(why)
		switch {
		case suspicious[why] > 0:
			e.session.suspect(at, e, from, why)
		case why == UsedUp:
			e.session.usedUp = Event{ID: e.session.id, Kind: KeyUsedUp, Leg: e.peer.leg, Stream: e.stream}
		}
	}
}

func (e *end) refuse(why Cause) {
	e.counts.Refused[why]++
	e.session.shard.total.Refused[why]++
}

func (e *end) relay(at time.Time, b []byte, from netip.AddrPort, rtcpPort bool) (Cause, bool) {
	if e.remote.Raw {
		return e.relayRaw(at, b, from, rtcpPort)
	}
	switch {
	case len(b) < rtcpHeader:
		return Runt, false
	case len(b) > maxPacket:
		return Jumbo, false
	case !isRTP(b):
		return NotRTP, false
	case !e.on() || e.session.closed:
		return Unready, false
	}
	rtcp := isRTCP(b)
	if rtcpPort != (rtcp && !e.remote.Mux) {
		return Misdirected, false
	}
	if rtcp {
		return e.relayRTCP(at, b, from)
	}
	return e.relayRTP(at, b, from)
}

func (e *end) relayRTP(at time.Time, b []byte, from netip.AddrPort) (Cause, bool) {
	if len(b) < rtpHeader {
		return Runt, false
	}
	header := rtpHeaderLen(b)
	if header == 0 {
		return Malformed, false
	}
	if e.recv == nil && !e.expected(from, 0) {
		return WrongSource, false
	}
	// Who comes from where the leg's own packets come from is refused by the
	// type before anything that costs; anybody else first fails to authenticate,
	// and is counted as what he is.
	agreed := e.agreed(at, b[1]&0x7f)
	if !agreed && (e.recv == nil || from == e.latch[0]) {
		return PayloadType, false
	}
	size, newest := len(b), true
	if e.recv != nil {
		var why Cause
		if b, newest, why = e.openRTP(at, b, header); b == nil {
			return why, false
		}
	}
	if !agreed {
		return PayloadType, false
	}
	if !paddingFits(b, header) {
		return Malformed, false
	}
	e.accept(at, from, 0, newest)
	if rate, burst := e.allowance(); !e.bucket.take(at, rate, burst) {
		return Rate, false
	}
	if !e.voices.speak(at, rtpSSRC(b)) {
		return Sources, false
	}
	e.counts.PacketsIn++
	e.counts.BytesIn += uint64(size)
	e.quality.see(at, rtpSSRC(b), sequence(b), timestamp(b), e.clockRate(b[1]&0x7f))

	o := e.peer
	to, why, ok := o.target(0)
	if !ok {
		return why, false
	}
	if o.send != nil {
		if b, why = o.send.sealRTP(b, header); b == nil {
			return why, false
		}
	}
	if err := o.ports[0].sock.Send(b, to); err != nil {
		return SendFailed, false
	}
	o.counts.PacketsOut++
	o.counts.BytesOut += uint64(len(b))
	total := &e.session.shard.total
	total.PacketsOut++
	total.BytesOut += uint64(len(b))
	return 0, true
}

func (e *end) relayRTCP(at time.Time, b []byte, from netip.AddrPort) (Cause, bool) {
	which := 1
	if e.remote.Mux {
		which = 0
	}
	if e.recv == nil && !e.expected(from, which) {
		return WrongSource, false
	}
	newest := true
	if e.recv != nil {
		var why Cause
		if b, newest, why = e.openRTCP(at, b); b == nil {
			return why, false
		}
	}
	out, why := rewriteRTCP(e.session.shard.scratch[:0], b, e.session.cname[e.leg], &e.voices)
	if out == nil && why == Malformed {
		return why, false
	}
	e.accept(at, from, which, newest)
	if !e.rtcpBucket.take(at, rtcpRate, rtcpBurst) {
		return Rate, false
	}
	e.counts.RTCPIn++
	if out == nil {
		return why, false
	}
	e.reports.heard(at, out)

	o := e.peer
	via := 1
	if o.remote.Mux {
		via = 0
	}
	to, why, ok := o.target(via)
	if !ok {
		return why, false
	}
	o.reports.passed(at, out)
	if o.send != nil {
		if out, why = o.send.sealRTCP(out); out == nil {
			return why, false
		}
	}
	if err := o.ports[via].sock.Send(out, to); err != nil {
		return SendFailed, false
	}
	o.counts.RTCPOut++
	e.session.shard.total.RTCPOut++
	return 0, true
}

// expected reports whether plain RTP (which 0) or RTCP (1) may come from
// there. Nothing authenticates it, so the address is all there is.
func (e *end) expected(from netip.AddrPort, which int) bool {
	if !e.remote.NAT {
		return from == e.sdp[which]
	}
	if e.latch[which].IsValid() {
		return from == e.latch[which]
	}
	if e.remote.From.IsValid() && from.Addr() != e.remote.From {
		return false
	}
	// RTCP of a leg that is known comes from the same host.
	return which == 0 || !e.latch[0].IsValid() || from.Addr() == e.latch[0].Addr()
}

// accept is the state that a good packet changes. An overtaken packet does
// not move the latch: a copy that was held back must not call media to where
// it was held.
func (e *end) accept(at time.Time, from netip.AddrPort, which int, newest bool) {
	e.session.active = at
	if e.recv != nil || e.remote.NAT {
		if newest && e.latch[which] != from {
			e.latch[which] = from
		}
	}
}

// target is where this end gets its packets.
func (e *end) target(which int) (netip.AddrPort, Cause, bool) {
	if !e.on() {
		return netip.AddrPort{}, Unready, false
	}
	to := e.latch[which]
	if !to.IsValid() {
		to = e.sdp[which]
	}
	if e.mute || !to.IsValid() {
		return netip.AddrPort{}, NoTarget, false
	}
	return to, 0, true
}
