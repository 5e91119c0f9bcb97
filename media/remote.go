package media

import (
	"fmt"
	"maps"
	"net/netip"
)

// Remote is what one leg's SDP says about one stream, and the keys that were
// agreed with it.
type Remote struct {
	// RTP and RTCP are where the leg wants to receive. RTCP zero: the port
	// after RTP's (RFC 3550 §11), or RTP's own with Mux. An unspecified
	// address (0.0.0.0 or ::, "do not send", RFC 3264 §8.4) keeps what was
	// known; nothing is ever sent to one.
	RTP, RTCP netip.AddrPort
	Mux       bool // RTCP on the RTP port (RFC 5761)

	// Recv protects what comes from this leg, Send what goes to it. Both
	// nil: plain RTP. One of them alone is refused.
	Recv, Send *Keys

	// NAT: the leg is behind an address translator, its SDP address is not
	// where its packets come from (RFC 7362). Plain RTP then latches to the
	// source of the first plausible packet, once, until Set names another
	// SDP address. SRTP needs no NAT: any source counts that authenticates.
	NAT bool
	// From, when valid, is the only address that may latch with NAT. Give
	// the signalling source: the same translator nearly always carries the
	// media, and a stranger then cannot be first.
	From netip.Addr

	Disabled bool // m-line with port 0: nothing is relayed
	// Raw: the stream is UDPTL (T.38), not RTP. It has no keys and no RTCP,
	// and is relayed once both ends of it are Raw.
	Raw bool
	// Muted: the leg is on hold, it said sendonly, recvonly or inactive.
	// Packets are relayed all the same; silence is not counted.
	Muted bool
	// ClockRates are the RTP clocks in Hz of the payload types that the leg
	// may send, for jitter. A type that is not in it has ClockRate; that 0:
	// 8000.
	ClockRates map[uint8]uint32
	ClockRate  uint32
	// Types are the payload types that the leg may send; none: any.
	Types Types
	// PacketRate caps the packets per second that the leg may send, where
	// that is less than the plane's own cap; 0: the plane's.
	PacketRate int
}

// check returns r in its full form, or why it cannot be used on a leg of that
// family. The keys are copied.
func (r Remote) check(v6 bool) (Remote, error) {
	if r.ClockRate == 0 {
		r.ClockRate = 8000
	}
	r.ClockRates = maps.Clone(r.ClockRates)
	r.From = r.From.Unmap()
	r.RTP, r.RTCP = unmap(r.RTP), unmap(r.RTCP)
	if r.Disabled {
		r.Recv, r.Send = r.Recv.clone(), r.Send.clone()
		return r, nil
	}
	if r.Mux || r.Raw {
		r.RTCP = r.RTP
	} else if !r.RTCP.IsValid() || r.RTCP.Addr().IsUnspecified() {
		if r.RTP.Port() == 65535 {
			return r, fmt.Errorf("no port after %s for RTCP: %w", r.RTP, ErrRemote)
		}
		r.RTCP = netip.AddrPortFrom(r.RTP.Addr(), r.RTP.Port()+1)
	}
	for _, a := range [...]netip.AddrPort{r.RTP, r.RTCP} {
		ip := a.Addr()
		switch {
		case !ip.IsValid() || a.Port() == 0:
			return r, fmt.Errorf("%s: %w", a, ErrRemote)
		case ip.Is6() != v6 && !ip.IsUnspecified():
			return r, fmt.Errorf("%s is of the other family: %w", a, ErrRemote)
		case ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || ip.Zone() != "":
			return r, fmt.Errorf("%s is not one host: %w", a, ErrRemote)
		}
	}
	if r.Raw && (r.Recv != nil || r.Send != nil) {
		return r, fmt.Errorf("keys for UDPTL: %w", ErrKeys)
	}
	if (r.Recv == nil) != (r.Send == nil) {
		return r, fmt.Errorf("keys for one direction only: %w", ErrKeys)
	}
	for _, k := range [...]*Keys{r.Recv, r.Send} {
		if k == nil {
			continue
		}
		if err := k.check(); err != nil {
			return r, err
		}
	}
	// The same key in both directions would protect two packets with one
	// key stream as soon as both ends use one SSRC (RFC 3711 §9.1); it is
	// also what a peer sends that reflects our offer.
	if r.Recv != nil && string(r.Recv.Key) == string(r.Send.Key) {
		return r, fmt.Errorf("one key for both directions: %w", ErrKeys)
	}
	r.Recv, r.Send = r.Recv.clone(), r.Send.clone()
	return r, nil
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
