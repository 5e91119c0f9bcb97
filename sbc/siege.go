package sbc

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Siege says when strangers' datagrams are shut out before they are read, and
// of how many one is let in all the same.
type Siege interface {
	Look(now time.Time, refused, before uint64) (up bool, oneIn uint32)
}

// siege is what stands in front of the public UDP sockets. The watch of floods
// owns it.
type siege struct {
	up     bool
	failed bool // it could not be raised; not tried again before peace
	oneIn  uint32
	known  []netip.Prefix
}

// watchSiege looks once a second.
func (g *Gateway) watchSiege(now time.Time) {
	if g.deps.Siege == nil || !g.stack.PublicUDP() {
		return
	}
	up, oneIn := g.deps.Siege.Look(now, g.flood.strangers.Load(), g.stack.KernelDrops(call.Public))
	s := &g.siege
	switch {
	case up && s.failed:
	case up:
		known := g.insiders()
		if s.up && s.oneIn == oneIn && slices.Equal(known, s.known) {
			return
		}
		if err := g.stack.Besiege(known, oneIn); err != nil {
			s.up, s.failed = false, true
			g.log.Warn("strangers' datagrams are dropped after they were read only", "error", err)
			return
		}
		if !s.up {
			g.tellSiege(now, call.High, fmt.Sprintf("strangers flood public UDP: until it is over the kernel lets in known addresses and one datagram in %d of all others", oneIn), len(known), oneIn)
		}
		s.up, s.oneIn, s.known = true, oneIn, known
	case s.up || s.failed:
		if s.up {
			g.stack.Relieve()
			g.tellSiege(now, call.Info, "the flood of public UDP is over: the kernel lets strangers' datagrams in again", len(s.known), 1)
		}
		*s = siege{}
	}
}

func (g *Gateway) tellSiege(now time.Time, sev call.Severity, reason string, known int, oneIn uint32) {
	g.deps.Reporter.System(call.SystemEvent{At: now, Action: call.Flood, Severity: sev, Rule: "base/siege", Reason: reason,
		Subject:  call.Subject{Kind: "node", Value: g.cfg.Node},
		Evidence: []call.Evidence{{Name: "gate.known_addresses", Value: known}, {Name: "gate.one_in", Value: oneIn}}})
}

// insiders are the addresses whose datagrams a siege must not shut out: those
// of peers that may use plaintext, those that names of peers lead to, and those
// of callers in live calls. Phones use TLS, so they have no part in it. In
// order, each once.
func (g *Gateway) insiders() (out []netip.Prefix) {
	one := func(a netip.Addr) {
		if a = a.Unmap().WithZone(""); a.IsValid() {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	for _, p := range g.cfg.Peers {
		if p.AllowPlaintext {
			out = append(out, p.IP...)
		}
	}
	g.peers.eachFound(one)
	g.plain.each(one)
	for _, s := range g.calls.sessions() {
		if v := s.view.Load(); v != nil {
			if a, err := netip.ParseAddrPort(v.Source); err == nil {
				one(a.Addr())
			}
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(out)
}

// eachFound calls f with the addresses that names of peers lead to.
func (d *directory) eachFound(f func(netip.Addr)) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, found := range d.found {
		for _, t := range found.Targets(nil) {
			f(t.Addr.Addr())
		}
	}
}

func (c *carriers) each(f func(netip.Addr)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for a := range c.seen {
		f(a)
	}
}
