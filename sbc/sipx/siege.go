package sipx

import (
	"errors"
	"net/netip"

	"github.com/rampart-sbc/rampart/call"
)

// guard puts the filter for what cannot be SIP in front of a public socket.
// Where that cannot be done the same is dropped after it was read.
func (u *udpListener) guard(c *udpSocket) {
	if u.s.cfg.NoFilter || u.l.Side != call.Public {
		return
	}
	if err := c.shape(u.s.largest()); err != nil {
		u.s.log.Warn("no socket filter: junk is dropped after it was read", "listener", u.l.Bind.String(), "error", err)
	}
}

// largest is the longest datagram that is worth a look. A message that is
// somewhat too large gets its 513 from Check.
func (s *Stack) largest() int {
	return min(2*s.cfg.Limits.orDefault().Message, 65535)
}

// Besiege has the kernel let in, on the public UDP sockets, only what known
// addresses send, and a random one in n (a power of two) of all else: enough
// for alerts, and for a stranger who repeats himself. It replaces what an
// earlier call said. On any failure no socket is besieged.
func (s *Stack) Besiege(known []netip.Prefix, n uint32) error {
	if s.cfg.NoFilter {
		return errors.ErrUnsupported
	}
	for _, u := range s.udp {
		if u.l.Side != call.Public {
			continue
		}
		for _, c := range u.conns {
			if err := c.siege(s.largest(), known, n); err != nil {
				s.Relieve()
				return err
			}
		}
	}
	return nil
}

// Relieve undoes Besiege.
func (s *Stack) Relieve() {
	for _, u := range s.udp {
		if u.l.Side != call.Public {
			continue
		}
		for _, c := range u.conns {
			if err := c.unfilter(); err != nil {
				s.log.Warn("socket filter stays", "listener", u.l.Bind.String(), "error", err)
				continue
			}
			u.guard(c)
		}
	}
}

// PublicUDP reports whether there is a public UDP listener.
func (s *Stack) PublicUDP() bool {
	for _, u := range s.udp {
		if u.l.Side == call.Public {
			return true
		}
	}
	return false
}
