package sbc

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
)

// What decisions ask for beside their verdict is carried out here: bans and
// holds. What is told of them is told once.

// Bans is the table of who is shut out and whose costly calls are held. It is
// the first guard of every policy.
type Bans interface {
	Guard
	// Shut is asked for every packet and connection of those who are not known.
	Shut(a netip.Addr, now time.Time) bool
	// Enact carries out what may be; inUse says that somebody who is known has an
	// address of a network.
	Enact(a *call.Attempt, effects []call.Effect, inUse func(netip.Prefix) bool) []call.Enacted
	Expire(now time.Time)
}

// enact carries out the effects of a decision.
func (g *Gateway) enact(a *call.Attempt, d *call.Decision, guards []Guard) {
	if len(d.Effects) == 0 || g.deps.Bans == nil {
		return
	}
	for _, x := range admission.Enact(g.deps.Bans, guards, a, d, g.inUse) {
		if !x.Again {
			g.deps.Reporter.System(g.enacted(a, x))
		}
	}
}

// enacted is the alert of a ban or hold.
func (g *Gateway) enacted(a *call.Attempt, x call.Enacted) call.SystemEvent {
	last := x.Until.Sub(x.Since)
	e := call.SystemEvent{At: a.At, Action: call.SourceBanned, Severity: x.Severity, Rule: x.Rule,
		Reason: fmt.Sprintf("%s is banned for %s: %s", x.Key, last, x.Reason), Subject: x.Key.Subject(), Source: a.Source.Addr, CallID: a.ID}
	if x.Act == call.ActHold {
		e.Action, e.Reason = call.AccountHeld, fmt.Sprintf("costly calls of %s are held for %s: %s", x.Key, last, x.Reason)
	}
	e.Evidence = append(slices.Clone(x.Evidence), call.Evidence{Name: x.Act.String() + ".seconds", Value: int(last / time.Second)},
		call.Evidence{Name: x.Act.String() + ".times", Value: x.Times})
	return e
}

// inUse: somebody who is known has an address of the network, so it is not
// banned.
func (g *Gateway) inUse(p netip.Prefix) bool {
	return g.peers.within(p) || g.bindings.within(p) || g.carriers.within(p)
}

// InUse reports whether an address of the network belongs to a PBX, a peer or a
// registered phone.
func (g *Gateway) InUse(p netip.Prefix) bool { return g.inUse(p) }

// within: a peer's entry lists an address of the network, or its name leads
// to one.
func (d *directory) within(p netip.Prefix) bool {
	for i := range d.cfg.Peers {
		if slices.ContainsFunc(d.cfg.Peers[i].IP, p.Overlaps) {
			return true
		}
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, found := range d.found {
		for _, t := range found.Targets(nil) {
			if p.Contains(t.Addr.Addr().Unmap()) {
				return true
			}
		}
	}
	return false
}

// within: a good registration came from the network.
func (b *bindings) within(p netip.Prefix) bool {
	if p.IsSingleIP() {
		return b.from(p.Addr())
	}
	found := false
	b.eachSource(func(a netip.Addr) { found = found || p.Contains(a) })
	return found
}

// maxCarriers bounds the addresses of peers that are remembered.
const maxCarriers = 4096

// carriers are addresses that peers showed their certificates from: an entry
// that names no address is known by nothing else before its handshake.
type carriers struct {
	mu   sync.RWMutex
	seen map[netip.Addr]time.Time
}

// saw notes one. A full table forgets the one that was seen longest ago.
func (c *carriers) saw(a netip.Addr, now time.Time) {
	c.mu.RLock()
	t, ok := c.seen[a]
	c.mu.RUnlock()
	if ok && now.Sub(t) < time.Minute {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[netip.Addr]time.Time{}
	}
	if _, ok := c.seen[a]; !ok && len(c.seen) >= maxCarriers {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(c.seen)), func(x, y netip.Addr) int { return c.seen[x].Compare(c.seen[y]) })
		delete(c.seen, oldest)
	}
	c.seen[a] = now
}

func (c *carriers) has(a netip.Addr) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.seen[a]
	return ok
}

func (c *carriers) within(p netip.Prefix) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for a := range c.seen {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
