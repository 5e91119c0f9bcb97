package sbc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/locate"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// hop is a PBX or peer as something to be found.
type hop struct {
	kind call.Kind
	name string
	q    locate.Query
}

// hops lists what the configuration wants found.
func (g *Gateway) hops() (out []hop) {
	for _, p := range g.cfg.PBXs {
		out = append(out, hop{call.PBX, p.Name, locate.Query{Host: p.Host, Port: p.Port, Transport: p.Transport}})
	}
	for _, p := range g.cfg.Peers {
		if p.Host != "" {
			out = append(out, hop{call.Carrier, p.Name, locate.Query{Host: p.Host, Port: p.Port, Transport: p.Transport, Transports: p.Transports}})
		}
	}
	for i := range out {
		side := call.Inside
		if out[i].kind == call.Carrier {
			side = call.Public
		}
		out[i].q.IPv4, out[i].q.IPv6 = g.stack.Families(side)
	}
	return out
}

// resolve looks for every hop whose time has come. What was known stays when
// nothing is found.
func (g *Gateway) resolve(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, h := range g.hops() {
		key := hopKey(h.kind, h.name)
		g.peers.mu.RLock()
		due := !now.Before(g.peers.again[key])
		g.peers.mu.RUnlock()
		if !due {
			continue
		}
		wg.Go(func() {
			a, err := g.peers.find.Find(ctx, h.q)
			if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
				return
			}
			if g.peers.resolved(key, a, err, now) {
				g.log.Warn("host not found; the last known addresses stay", "for", h.name, "host", h.q.Host, "error", err, "stale", a.Stale)
			}
		})
	}
	wg.Wait()
}

// lookAgain is how soon a host that was not found is looked for again.
const lookAgain = 10 * time.Second

// resolved takes what was found; true when it is news that nothing was.
func (d *directory) resolved(key string, a locate.Answer, err error, now time.Time) (news bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lost := err != nil || a.Stale
	news = lost && !d.lost[key]
	d.lost[key] = lost
	if err != nil {
		d.again[key] = now.Add(lookAgain)
		return news
	}
	d.found[key], d.again[key] = a, a.Expires
	return news
}

// resolver looks for names again as their TTLs end.
func (g *Gateway) resolver() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case now := <-tick.C:
			g.resolve(g.ctx, now)
		}
	}
}

func (g *Gateway) connectPBX(ctx context.Context, p *PBX) (*sipx.Flow, error) {
	return g.connect(ctx, route{kind: call.PBX, pbx: p})
}

func (g *Gateway) connectPeer(ctx context.Context, p *Peer) (*sipx.Flow, error) {
	return g.connect(ctx, route{kind: call.Carrier, peer: p})
}

// connect tries the targets of a hop in order, those that answer first.
func (g *Gateway) connect(ctx context.Context, r route) (*sipx.Flow, error) {
	err := fmt.Errorf("%s: no address known", r.name())
	for _, t := range g.peers.each([]route{r}, time.Now()) {
		if !t.at.Addr.IsValid() {
			break
		}
		var f *sipx.Flow
		if f, err = g.stack.Connect(ctx, t.hop()); err == nil {
			return f, nil
		}
	}
	return nil, err
}
