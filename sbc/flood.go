package sbc

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// flood counts what the gate drops, as nothing of it is ever seen by a guard.
// Dropping costs an addition; one address a second is kept.
type flood struct {
	dropped   atomic.Uint64
	strangers atomic.Uint64 // of them, strangers' datagrams
	peers     atomic.Uint64 // of them, datagrams with the address of a peer
	have      atomic.Bool   // an address of this second is kept
	source    atomic.Pointer[netip.Addr]
}

func (f *flood) drop(src netip.Addr) {
	f.dropped.Add(1)
	if !f.have.Load() && f.have.CompareAndSwap(false, true) {
		kept := src // src itself must not escape
		f.source.Store(&kept)
	}
}

// Dropper is a Gate that tells which of its budgets was used up, by counters
// since it was made.
type Dropper interface {
	Dropped() (source, strangers uint64)
}

// floodEvery is the time between two alerts about what the gate drops.
const floodEvery = time.Second

// floodWatch tells once a second that the gate had to drop something.
func (g *Gateway) floodWatch() {
	tick := time.NewTicker(floodEvery)
	defer tick.Stop()
	var was floodCount
	for {
		select {
		case <-g.ctx.Done():
			return
		case now := <-tick.C:
			is := g.floodCount()
			if is.dropped != was.dropped {
				g.deps.Reporter.System(g.floodEvent(now, is, was))
			}
			was = is
			g.watchSiege(now)
		}
	}
}

type floodCount struct{ dropped, source, strangers uint64 }

func (g *Gateway) floodCount() (c floodCount) {
	c.dropped = g.flood.dropped.Load()
	if d, ok := g.deps.Gate.(Dropper); ok {
		c.source, c.strangers = d.Dropped()
	}
	return c
}

// floodEvent is about the source while sources exceed their own budgets, and
// about the node when it is the budget of all strangers: then the sources are
// many, and most likely forged.
func (g *Gateway) floodEvent(now time.Time, is, was floodCount) call.SystemEvent {
	e := call.SystemEvent{At: now, Action: call.Flood, Severity: call.Medium, Rule: "base/flood",
		Reason: fmt.Sprintf("the gate dropped %d datagrams and connections", is.dropped-was.dropped),
		Evidence: []call.Evidence{{Name: "gate.dropped", Value: is.dropped - was.dropped},
			{Name: "gate.over_source", Value: is.source - was.source}, {Name: "gate.over_strangers", Value: is.strangers - was.strangers}}}
	if a := g.flood.source.Load(); a != nil {
		e.Source = netip.AddrPortFrom(*a, 0)
		e.Subject = call.Subject{Kind: "source", Value: a.String()}
	}
	if is.strangers != was.strangers {
		e.Severity, e.Subject = call.High, call.Subject{Kind: "node", Value: g.cfg.Node}
	}
	g.flood.have.Store(false)
	return e
}
