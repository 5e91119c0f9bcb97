package sbc

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/locate"
)

// directory knows where the PBXs and peers are: names resolved, refreshed in
// the background, never while a message waits.
type directory struct {
	cfg  Config
	find *locate.Resolver

	mu     sync.RWMutex
	found  map[string]locate.Answer // by hop key
	again  map[string]time.Time     // when to look for it again
	lost   map[string]bool          // the last look found nothing new
	down   map[string]bool          // by hop key: no target answers OPTIONS
	heard  map[string]bool          // by hop key: it was asked by OPTIONS
	pulses map[targetKey]pulse
	back   map[string]time.Time    // PBXs that did not, and since when they do again
	quiet  map[targetKey]time.Time // targets that did not answer a call, and when
}

// quietFor is how long a target that did not answer a call is tried after the
// others: so long does not every call wait for it.
const quietFor = time.Minute

func (d *directory) init(cfg Config) {
	d.cfg = cfg
	d.find = locate.New(locate.Config{Servers: cfg.DNS})
	d.found = map[string]locate.Answer{}
	d.again = map[string]time.Time{}
	d.lost = map[string]bool{}
	d.down = map[string]bool{}
	d.heard = map[string]bool{}
	d.pulses = map[targetKey]pulse{}
	d.back = map[string]time.Time{}
	d.quiet = map[targetKey]time.Time{}
}

func hopKey(kind call.Kind, name string) string { return kind.String() + "/" + name }

// pbxAt finds the PBX a message comes from: by address and port, else by
// address (a PBX may send from any port).
func (d *directory) pbxAt(a netip.AddrPort) *PBX {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var byAddr *PBX
	for i := range d.cfg.PBXs {
		p := &d.cfg.PBXs[i]
		found := d.found[hopKey(call.PBX, p.Name)]
		switch {
		case found.At(a):
			return p
		case byAddr == nil && found.Has(a.Addr()):
			byAddr = p
		}
	}
	return byAddr
}

func (d *directory) byName(name string) *Peer {
	for i := range d.cfg.Peers {
		if d.cfg.Peers[i].Name == name {
			return &d.cfg.Peers[i]
		}
	}
	return nil
}

func (d *directory) pbxByName(name string) *PBX {
	for i := range d.cfg.PBXs {
		if d.cfg.PBXs[i].Name == name {
			return &d.cfg.PBXs[i]
		}
	}
	return nil
}

// network finds the first network that lists the address, of some peer entry;
// plain leaves out the peers that must not speak plaintext.
func (d *directory) network(a netip.Addr, plain bool) (netip.Prefix, bool) {
	for i := range d.cfg.Peers {
		if plain && !d.cfg.Peers[i].AllowPlaintext {
			continue
		}
		for _, p := range d.cfg.Peers[i].IP {
			if p.Contains(a) {
				return p, true
			}
		}
	}
	return netip.Prefix{}, false
}

// knownAddr: an address that some peer entry lists.
func (d *directory) knownAddr(a netip.Addr) bool {
	_, ok := d.network(a, false)
	return ok
}

// gone: none of its targets answers. Called with mu held.
func (d *directory) gone(hop string, now time.Time) bool {
	ts := d.found[hop].Targets(nil)
	return !slices.ContainsFunc(ts, func(t target) bool { return !d.silent(hop, t, now) })
}

// backSince is when a PBX was found alive again, zero if it never was away.
func (d *directory) backSince(name string) time.Time {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.back[name]
}

// PBXUp reports how many PBXs answer, of how many.
func (g *Gateway) PBXUp() (up, all int) {
	g.peers.mu.RLock()
	defer g.peers.mu.RUnlock()
	for _, p := range g.cfg.PBXs {
		if !g.peers.down[hopKey(call.PBX, p.Name)] {
			up++
		}
	}
	return up, len(g.cfg.PBXs)
}
