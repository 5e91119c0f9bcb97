package sbc

import "net/netip"

// Known lists who must never be dropped before it is read, in no order and some
// twice: where PBXs and peers are, where good registrations came from, where
// peers showed their certificates, and who has a call. It is at most as long as
// the tables it is read from.
func (g *Gateway) Known() (addrs []netip.Addr, nets []netip.Prefix) {
	for i := range g.cfg.Peers {
		nets = append(nets, g.cfg.Peers[i].IP...)
	}
	g.peers.mu.RLock()
	for _, found := range g.peers.found {
		for _, t := range found.Targets(nil) {
			addrs = append(addrs, t.Addr.Addr())
		}
	}
	g.peers.mu.RUnlock()
	g.bindings.sourceMu.RLock()
	for a := range g.bindings.sources {
		addrs = append(addrs, a)
	}
	g.bindings.sourceMu.RUnlock()
	g.carriers.mu.RLock()
	for a := range g.carriers.seen {
		addrs = append(addrs, a)
	}
	g.carriers.mu.RUnlock()
	for _, s := range g.calls.sessions() {
		if v := s.view.Load(); v != nil {
			if a, err := netip.ParseAddrPort(v.Source); err == nil {
				addrs = append(addrs, a.Addr())
			}
		}
	}
	return addrs, nets
}
