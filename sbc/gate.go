package sbc

import (
	"net/netip"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// AdmitDatagram implements sipx.Handler. Anybody can write any source into a
// datagram, and only peers that may use plaintext have a reason to: the address
// of a phone, or of a peer that has to use TLS, is a stranger's here.
func (g *Gateway) AdmitDatagram(side call.Side, src netip.Addr, n int) bool {
	if side == call.Inside {
		return true
	}
	now, who, key := time.Now(), call.Stranger, src
	if p, ok := g.peers.network(src, true); ok {
		who, key = call.Carrier, p.Masked().Addr()
	} else if g.plain.has(src) {
		who = call.Carrier
	}
	if g.shut(src, who, now) {
		return false
	}
	ok := g.deps.Gate == nil || g.deps.Gate.Allow(key, now, n, who)
	switch {
	case ok:
	case who == call.Stranger:
		g.flood.strangers.Add(1)
	default:
		g.flood.peers.Add(1)
	}
	return g.gated(src, ok)
}

// AdmitStream implements sipx.Handler.
func (g *Gateway) AdmitStream(side call.Side, src netip.Addr, n int) bool {
	if side == call.Inside {
		return true
	}
	now := time.Now()
	who, key := g.senderAt(src)
	return !g.shut(src, who, now) && g.gated(src, g.deps.Gate == nil || g.deps.Gate.AllowStream(key, now, n, who))
}

// AdmitConn implements sipx.Handler.
func (g *Gateway) AdmitConn(side call.Side, src netip.Addr) bool {
	if side == call.Inside {
		return true
	}
	now := time.Now()
	who, key := g.senderAt(src)
	return !g.shut(src, who, now) && g.gated(src, g.deps.Gate == nil || g.deps.Gate.Connect(key, now, who)) && g.roomForConn(side, src)
}

// AdmitHandshake implements sipx.Handler.
func (g *Gateway) AdmitHandshake(side call.Side, src netip.Addr, patience time.Duration) (wait time.Duration, ok bool) {
	if side == call.Inside || g.deps.Gate == nil {
		return 0, true
	}
	who, _ := g.senderAt(src)
	wait, ok = g.deps.Gate.Handshake(time.Now(), who, patience)
	return wait, g.gated(src, ok)
}

// KnownSource implements sipx.Handler.
func (g *Gateway) KnownSource(side call.Side, src netip.Addr) bool {
	who, _ := g.senderAt(src)
	return side == call.Inside || who != call.Stranger
}

// shut: the address is banned. What is known never is, nor what is spared.
func (g *Gateway) shut(src netip.Addr, who call.Kind, now time.Time) bool {
	if who != call.Stranger || g.deps.Bans == nil || !g.deps.Bans.Shut(src, now) || g.spares(src, now) {
		return false
	}
	g.refused("banned")
	return true
}

// gated tells of what the gate dropped.
func (g *Gateway) gated(src netip.Addr, ok bool) bool {
	if !ok {
		g.flood.drop(src)
		g.refused("rate")
	}
	return ok
}

func (g *Gateway) refused(reason string) {
	if g.deps.Refused != nil {
		g.deps.Refused(reason)
	}
}

// senderAt is all that an address says, before anything of the message is
// read, and what its budget at the gate goes by. A peer's is that of the
// network its entry lists: whoever forges one address of it can forge them all.
func (g *Gateway) senderAt(a netip.Addr) (who call.Kind, key netip.Addr) {
	if p, ok := g.peers.network(a, false); ok {
		return call.Carrier, p.Masked().Addr()
	}
	if g.carriers.has(a) {
		return call.Carrier, a
	}
	if g.bindings.from(a) {
		return call.Phone, a
	}
	return call.Stranger, a
}

// knownAddr: a peer's address, or one that a good registration came from.
func (g *Gateway) knownAddr(a netip.Addr) bool {
	return g.peers.knownAddr(a) || g.bindings.from(a)
}

// KernelDrops counts the datagrams of a side that the kernel dropped before
// they were read.
func (g *Gateway) KernelDrops(side call.Side) uint64 { return g.stack.KernelDrops(side) }
