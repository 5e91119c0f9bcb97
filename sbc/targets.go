package sbc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/locate"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// A target is one address of a PBX or peer and the transport that is spoken
// there. Calls go to targets one after the other, not to names: of two
// addresses behind a name, one may be dead.
type target = locate.Target

// targetKey is a target as a part of its PBX or peer.
type targetKey struct {
	hop string
	target
}

// maxTargets bounds the ways of one call: each may cost failover_after.
const maxTargets = 16

// each makes one route of every target of the routes given, in order; those
// that did not answer lately come last, and are still tried: being silent may
// have had to do with the call.
func (d *directory) each(rs []route, now time.Time) []route {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []route
	for _, r := range rs {
		if r.kind == call.Phone {
			out = append(out, r)
			continue
		}
		ts := d.found[hopKey(r.kind, r.name())].Targets(nil)
		if len(ts) == 0 {
			out = append(out, r) // its name is not known yet: connecting says so
		}
		for _, t := range ts {
			r.at = t
			out = append(out, r)
		}
	}
	d.sort(out, now)
	return out[:min(len(out), maxTargets)]
}

// awake is the same of ways that were listed some time ago.
func (d *directory) awake(rs []route, now time.Time) []route {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := slices.Clone(rs)
	d.sort(out, now)
	return out
}

// sort puts those last that did not answer lately. Called with mu held.
func (d *directory) sort(rs []route, now time.Time) {
	rank := func(r route) int {
		if r.kind != call.Phone && d.silent(hopKey(r.kind, r.name()), r.at, now) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(rs, func(a, b route) int { return rank(a) - rank(b) })
}

// silent: on probation, or down by its health check. Called with mu held.
func (d *directory) silent(hop string, t target, now time.Time) bool {
	k := targetKey{hop, t}
	at, ok := d.quiet[k]
	return ok && now.Sub(at) < quietFor || d.pulses[k].down
}

// probation puts a target that did not answer, or all of a PBX or peer,
// behind the others for a while.
func (d *directory) probation(t route, at time.Time) {
	if t.kind == call.Phone {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, was := range d.quiet {
		if at.Sub(was) >= quietFor {
			delete(d.quiet, k) // addresses of names come and go
		}
	}
	hop := hopKey(t.kind, t.name())
	if t.at.Addr.IsValid() {
		d.quiet[targetKey{hop, t.at}] = at
		return
	}
	for _, x := range d.found[hop].Targets(nil) {
		d.quiet[targetKey{hop, x}] = at
	}
}

// triesNext: the answer says something of the target, not of the call.
func (t route) triesNext(code int) bool {
	switch {
	case t.pbx != nil && t.pbx.Failover != nil:
		return slices.Contains(t.pbx.Failover, code)
	case t.peer != nil && t.peer.Failover != nil:
		return slices.Contains(t.peer.Failover, code)
	}
	return code == 503 || code == 500 && t.peer != nil || code == 502 || code == 504
}

// hop is what the stack needs to know to reach the route's target.
func (t route) hop() sipx.Hop {
	h := sipx.Hop{Name: t.name(), Side: t.side(), Transport: t.at.Transport, Addr: t.at.Addr}
	if t.pbx != nil {
		h.TLS = t.pbx.TLS
	} else {
		h.TLS = t.peer.TLS
	}
	return h
}

// flow returns the flow of the route at once when there is one, else nil and
// what has to be done in a child.
func (g *Gateway) flow(t route) (*sipx.Flow, func(context.Context) (*sipx.Flow, error)) {
	switch {
	case t.kind == call.Phone:
		if t.phone.flow != nil && t.phone.flow.Alive() {
			return t.phone.flow, nil
		}
		return nil, func(context.Context) (*sipx.Flow, error) { return nil, sipx.ErrFlowClosed }
	case !t.at.Addr.IsValid():
		return nil, func(context.Context) (*sipx.Flow, error) {
			return nil, fmt.Errorf("%s: no address known", t.name())
		}
	case t.at.Transport == "udp":
		if f, err := g.stack.Connect(g.ctx, t.hop()); err == nil {
			return f, nil
		}
	}
	return nil, func(ctx context.Context) (*sipx.Flow, error) { return g.stack.Connect(ctx, t.hop()) }
}
