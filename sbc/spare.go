package sbc

import (
	"net/netip"
	"time"
)

// Spared are addresses that a ban does not shut out before anything is read:
// those that names of peers lead to by now, whoever had them when they were
// banned, and those of both ends of calls that are up, which must be able to
// end them. What else comes from there is banned when it is judged.

// sparedFor is how old the list may be that is looked at.
const sparedFor = time.Second

// spared is the list, made when a banned address is heard from.
type spared struct {
	at time.Time
	by map[netip.Addr]struct{}
}

// spares reports such an address.
func (g *Gateway) spares(a netip.Addr, now time.Time) bool {
	s := g.unshut.Load()
	if s == nil || now.Sub(s.at) >= sparedFor {
		s = g.listSpared(now)
	}
	_, ok := s.by[plainAddr(a)]
	return ok
}

// listSpared makes the list anew, once for all who want it.
func (g *Gateway) listSpared(now time.Time) *spared {
	g.sparing.Lock()
	defer g.sparing.Unlock()
	if s := g.unshut.Load(); s != nil && now.Sub(s.at) < sparedFor {
		return s
	}
	s := &spared{at: now, by: map[netip.Addr]struct{}{}}
	g.peers.eachFound(func(a netip.Addr) { s.by[plainAddr(a)] = struct{}{} })
	for _, x := range g.calls.sessions() {
		if v := x.view.Load(); v != nil {
			for _, e := range v.ends {
				if e.addr.IsValid() {
					s.by[plainAddr(e.addr)] = struct{}{}
				}
			}
		}
	}
	g.unshut.Store(s)
	return s
}

func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
