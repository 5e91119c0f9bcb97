package main

import (
	"context"
	"errors"
	"fmt"
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
	emergency ratelimit.Emergency
	on        bool // there is an emergency
	failing   map[string]bool
}

// openKernel sets up what the configuration asks for. What cannot be set up is
// told in one line, and the gateway runs on: its own gate does the same work.
func (g *gateway) openKernel() {
	c := g.cfg.Kernel
	if !c.On() {
		return
	}
	ports, budget := kernelPorts(g), kernel.Budget{Packets: max(1, int(c.Packets)), Connections: max(1, int(c.Connections))}
	g.kernel.emergency.Begin, g.kernel.failing = float64(c.Emergency), map[string]bool{}
	var inForce []string
	add := func(e kernel.Engine, where string, err error, quiet bool) {
		switch {
		case err == nil:
			g.kernel.engines = append(g.kernel.engines, e)
			inForce = append(inForce, e.Name()+" "+where)
		case quiet && errors.Is(err, kernel.ErrPrivileges):
			g.log.Info("packets of banned addresses are dropped by the gateway itself, not by the kernel", "why", err)
		default:
			g.log.Error("not set up in the kernel; the gateway drops packets itself", "error", err)
		}
	}
	if c.Nftables != config.SwitchOff {
		t, err := kernel.OpenTable("rampart", ports, budget)
		where := ""
		if err == nil {
			where = t.Describe()
		}
		add(t, where, err, c.Nftables == config.SwitchAuto)
	}
	if c.XDP.Interface != "" {
		x, err := kernel.OpenXDP(c.XDP.Interface, string(c.XDP.Mode), ports, budget)
		where := ""
		if err == nil {
			where = x.Describe()
		}
		add(x, where, err, false)
	}
	if len(inForce) > 0 {
		g.log.Info("packets of banned addresses are dropped by the kernel", "by", strings.Join(inForce, ", "), "ports", len(ports), "emergency", c.Emergency.String())
	}
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
	if len(k.engines) == 0 {
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
		if err != nil && !k.failing[e.Name()] { // once, not each second
			g.log.Error("the kernel does not take what it has to drop; the gateway drops it itself", "error", err)
		}
		k.failing[e.Name()] = err != nil
	}
}

// kernelDrops counts what was dropped for its rate or as junk: here, before the
// sockets (by their filters, in a siege too, and where a buffer was full), and by
// the engines.
func (g *gateway) kernelDrops() uint64 {
	n, strangers := g.gate.Dropped()
	n += strangers + g.sbc.Signalling().Junk.Load() + g.sbc.KernelDrops(call.Public)
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
