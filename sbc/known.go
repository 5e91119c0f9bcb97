package sbc

import "net/netip"

// Known are those who must never be dropped before they are read, in no order
// and some twice. It is at most as long as the tables it is read from.
//
// Anybody can write any address into a datagram. So Addrs and Networks are only
// those who have a reason to send datagrams here; who is known by connections is
// in ConnectedAddrs and ConnectedNetworks, and a datagram with such an address is
// a stranger's, as it is for the gate ([Gateway.AdmitDatagram]).
type Known struct {
	Addrs, ConnectedAddrs       []netip.Addr
	Networks, ConnectedNetworks []netip.Prefix
}

// Known lists where PBXs and peers are, where good registrations came from,
// where peers were identified, and between whom there are calls.
func (g *Gateway) Known() (k Known) {
	for i := range g.cfg.Peers {
		if p := &g.cfg.Peers[i]; p.AllowPlaintext {
			k.Networks = append(k.Networks, p.IP...)
		} else {
			k.ConnectedNetworks = append(k.ConnectedNetworks, p.IP...)
		}
	}
	add := func(a netip.Addr, datagrams bool) {
		if datagrams {
			k.Addrs = append(k.Addrs, a)
		} else {
			k.ConnectedAddrs = append(k.ConnectedAddrs, a)
		}
	}
	g.peers.eachTarget(func(t target) { add(t.Addr.Addr(), t.Transport == "udp") })
	g.plain.each(func(a netip.Addr) { add(a, true) })
	g.carriers.each(func(a netip.Addr) { add(a, false) })
	g.bindings.eachSource(func(a netip.Addr) { add(a, false) })
	for _, s := range g.calls.sessions() {
		if v := s.view.Load(); v != nil {
			for _, e := range v.ends {
				if e.addr.IsValid() {
					add(e.addr, e.udp)
				}
			}
		}
	}
	return k
}

// end is where a side of a call signals from.
type end struct {
	addr netip.Addr
	udp  bool
}

// bothEnds are those of both sides, as far as there is one.
func (s *session) bothEnds() (out [2]end) {
	for i := range s.legs {
		if f := s.legs[i].flow; f != nil {
			out[i] = end{f.Remote.Addr(), f.Transport == "udp"}
		}
	}
	return out
}

// eachTarget calls f with what the names of PBXs and peers lead to.
func (d *directory) eachTarget(f func(target)) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, found := range d.found {
		for _, t := range found.Targets(nil) {
			f(t)
		}
	}
}

// eachSource calls f with the addresses that good registrations came from.
func (b *bindings) eachSource(f func(netip.Addr)) {
	b.sourceMu.RLock()
	defer b.sourceMu.RUnlock()
	for a := range b.sources {
		f(a)
	}
	for a := range b.before.seen {
		f(a)
	}
}
