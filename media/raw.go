package media

import (
	"net/netip"
	"time"
)

// UDPTL (T.38) is no RTP: there is no header to check, no SSRC, no RTCP, and
// nothing that could be encrypted. It is relayed as it comes, from where the
// description says, while both ends of the stream speak it.

// udptlHeader is the shortest packet there is: sequence number, length, one
// octet of fax data, and no redundancy (T.38 §9.1).
const udptlHeader = 4

func (e *end) relayRaw(at time.Time, b []byte, from netip.AddrPort, rtcpPort bool) (Cause, bool) {
	o := e.peer
	switch {
	case len(b) < udptlHeader:
		return Runt, false
	case len(b) > maxPacket:
		return Jumbo, false
	case !e.on() || e.session.closed || !o.remote.Raw:
		return Unready, false // the other end still speaks RTP, or SRTP
	case rtcpPort:
		return Misdirected, false
	case !e.expected(from, 0):
		return WrongSource, false
	}
	e.accept(at, from, 0, true)
	if !e.bucket.take(at, e.session.shard.rate, e.session.shard.burst) {
		return Rate, false
	}
	e.counts.PacketsIn++
	e.counts.BytesIn += uint64(len(b))
	to, why, ok := o.target(0)
	if !ok {
		return why, false
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
