package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/ratelimit/kernel"
)

// kernelDrop keeps what the kernel drops in step with the bans, with who is
// known, and with the load on the gate. One goroutine owns the engines; what
// they count may be asked for at any time.
type kernelDrop struct {
	mu        sync.Mutex // engines are closed once nobody reads them
	engines   []kernel.Engine
	later     []kernelEngine // could not be set up; tried again
	tried     time.Time
	emergency ratelimit.Emergency
	on        bool // there is an emergency
	failing   map[string]bool
}

// kernelEngine is one that the configuration asks for.
type kernelEngine struct {
	name string
	xdp  bool
	auto bool // nobody minds if there are no privileges
	open func() (kernel.Engine, error)
}

// kernelEngines are all that the configuration asks for.
func (g *gateway) kernelEngines() (out []kernelEngine) {
	c := g.cfg.Kernel
	ports, budget := kernelPorts(g), kernel.Budget{Packets: max(1, int(c.Packets)), Connections: max(1, int(c.Connections))}
	if c.Nftables != config.SwitchOff {
		out = append(out, kernelEngine{"nftables", false, c.Nftables == config.SwitchAuto,
			func() (kernel.Engine, error) { return kernel.OpenTable("rampart", ports, budget) }})
	}
	if c.XDP.Interface != "" {
		out = append(out, kernelEngine{"xdp " + c.XDP.Interface, true, false,
			func() (kernel.Engine, error) {
				return kernel.OpenXDP(c.XDP.Interface, string(c.XDP.Mode), ports, budget)
			}})
	}
	return out
}

// openKernel sets up what the configuration asks for. What cannot be set up is
// told in one line, and the gateway runs on: its own gate does the same work.
func (g *gateway) openKernel() {
	k, c := &g.kernel, g.cfg.Kernel
	if !c.On() {
		return
	}
	k.emergency.Begin, k.failing, k.tried = float64(c.Emergency), map[string]bool{}, time.Now()
	var inForce, barred []string
	var why error
	quiet := true
	for _, x := range g.kernelEngines() {
		e, err := x.open()
		switch {
		case err == nil:
			k.engines = append(k.engines, e)
			inForce = append(inForce, e.Name()+" "+e.Describe())
		case errors.Is(err, kernel.ErrPrivileges): // they do not come while it runs
			barred, why, quiet = append(barred, x.name), err, quiet && x.auto
		default:
			k.later = append(k.later, x)
			g.log.Error("not set up in the kernel; the gateway drops packets itself, and tries again from time to time", "error", err)
		}
	}
	if len(barred) > 0 {
		level := slog.LevelError
		if quiet {
			level = slog.LevelInfo
		}
		g.log.Log(context.Background(), level, "not set up in the kernel for want of privileges; the gateway drops packets itself", "what", strings.Join(barred, ", "), "why", why)
	}
	if len(inForce) > 0 {
		g.log.Info("packets of banned addresses are dropped by the kernel", "by", strings.Join(inForce, ", "), "emergency", c.Emergency.String())
	}
}

// kernelAgain is how long after a failure the next try comes: an interface may
// come up later, and somebody else's program may go.
const kernelAgain = 5 * time.Second

// openLater tries again what could not be set up, and speaks of success alone.
func (g *gateway) openLater(now time.Time) {
	k := &g.kernel
	if len(k.later) == 0 || now.Sub(k.tried) < kernelAgain {
		return
	}
	k.tried = now
	k.later = slices.DeleteFunc(k.later, func(x kernelEngine) bool {
		e, err := x.open()
		if err != nil {
			return false
		}
		k.mu.Lock()
		k.engines = append(k.engines, e)
		k.mu.Unlock()
		g.log.Info("packets of banned addresses are dropped by the kernel now", "by", e.Name()+" "+e.Describe())
		return true
	})
}

// kernelPorts are the public ports for SIP. The inside is not judged.
func kernelPorts(g *gateway) (out []kernel.Port) {
	for _, tr := range []string{"tls", "tcp", "udp"} {
		for _, a := range g.sbc.Addrs(call.Public, tr) {
			out = append(out, kernel.Port{Transport: tr, Addr: a})
		}
	}
	return out
}

// How often the kernel is brought in step: soon after a change, and at least
// once a second for those who became known. A table that takes long to go
// through is gone through less often, so that it never takes more than a tenth
// of a processor.
const (
	kernelLook  = 50 * time.Millisecond
	kernelSoon  = 200 * time.Millisecond
	kernelLater = time.Second
)

// keepKernel runs until ctx ends, and takes everything out of the kernel then.
func (g *gateway) keepKernel(ctx context.Context) {
	k := &g.kernel
	if len(k.engines)+len(k.later) == 0 {
		return
	}
	defer k.close()
	tick := time.NewTicker(kernelLook)
	defer tick.Stop()
	var synced, looked time.Time
	var seen uint64
	took := time.Duration(0)
	for {
		now := time.Now()
		if now.Sub(looked) >= time.Second/2 {
			looked = now
			if on := k.emergency.Look(now, g.kernelDrops()); on != k.on {
				k.on, synced = on, time.Time{}
				g.emergencyChanged(now, on)
			}
		}
		g.openLater(now)
		changes := g.bans.Changes()
		if since := now.Sub(synced); since >= 10*took && (changes != seen && since >= kernelSoon || since >= kernelLater) {
			g.syncKernel(now)
			synced, seen = now, changes
			took = time.Since(now)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// syncKernel hands over the state.
func (g *gateway) syncKernel(now time.Time) {
	k := &g.kernel
	who := g.sbc.Known()
	s := kernel.State{Emergency: k.on, Known: kernel.Known{Addrs: who.Addrs, Networks: who.Networks},
		Connected: kernel.Known{Addrs: who.ConnectedAddrs, Networks: who.ConnectedNetworks}}
	g.bans.Addresses(now, func(p netip.Prefix, until time.Time) { s.Bans = append(s.Bans, kernel.Ban{Net: p, Until: until}) })
	for _, e := range k.engines {
		err := e.Sync(s, now)
		switch failed := k.failing[e.Name()]; { // each is told once, not each second
		case err != nil && !failed:
			g.log.Error("the kernel does not drop what it has to; the gateway drops it itself", "error", err)
		case err == nil && failed:
			g.log.Info("the kernel drops again what it has to", "by", e.Name()+" "+e.Describe())
		}
		k.failing[e.Name()] = err != nil
	}
}

// kernelDrops counts what was dropped of strangers for its rate or as junk: here,
// before the sockets (by their filters, in a siege too, and where a buffer was
// full), and by the engines. What peers and phones send too much of is left out, as
// budgets of strangers do not help against it; so is what the sockets drop while
// they drop calls in an overload.
func (g *gateway) kernelDrops() uint64 {
	n := g.sbc.Signalling().Junk.Load() + g.sbc.StrangersDropped()
	for c, dropped := range g.gate.Causes {
		if c != ratelimit.OverPeer && c != ratelimit.OverPhone {
			n += dropped
		}
	}
	for _, c := range g.kernelView().Dropped {
		if c.Cause != kernel.Banned {
			n += c.Count
		}
	}
	return n
}

func (g *gateway) emergencyChanged(now time.Time, on bool) {
	c := g.cfg.Kernel
	e := call.SystemEvent{At: now, Action: call.Flood, Severity: call.High, Rule: "kernel/emergency", Subject: call.Subject{Kind: "node", Value: g.cfg.Node},
		Reason:   fmt.Sprintf("strangers get %s datagrams and %s connections each from the kernel until the flood is over", c.Packets, c.Connections),
		Evidence: []call.Evidence{{Name: "gate.dropped_per_second", Value: fmt.Sprintf("%s or more", c.Emergency), Threshold: c.Emergency.String()}}}
	if !on {
		e.Severity, e.Reason, e.Evidence = call.Info, "the flood is over; the kernel has no budgets for strangers", nil
	}
	g.log.Warn(e.Reason)
	g.rep.System(e)
}

// kernelView is what the kernel dropped, for metrics.
func (g *gateway) kernelView() (v admin.Kernel) {
	k := &g.kernel
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.engines {
		counts, err := e.Stats()
		if err != nil {
			continue // what is not known is not told as 0
		}
		for _, c := range counts {
			v.Dropped = append(v.Dropped, admin.KernelCount{Engine: e.Name(), Cause: c.Cause, Count: c.Packets})
		}
	}
	return v
}

func (k *kernelDrop) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range slices.Backward(k.engines) {
		e.Close()
	}
	k.engines = nil
}
