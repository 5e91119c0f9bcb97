package sbc

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/locate"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// directory knows where the PBXs and peers are: names resolved, refreshed in
// the background, never while a message waits.
type directory struct {
	cfg  Config
	find *locate.Resolver

	mu    sync.RWMutex
	found map[string]locate.Answer // by hop key
	again map[string]time.Time     // when to look for it again
	lost  map[string]bool          // the last look found nothing new
	down  map[string]bool          // PBXs that do not answer
	back  map[string]time.Time     // PBXs that did not, and since when they do again
	quiet map[targetKey]time.Time  // targets that did not answer a call, and when
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

// knownAddr: an address that some peer entry lists.
func (d *directory) knownAddr(a netip.Addr) bool {
	for i := range d.cfg.Peers {
		if contains(d.cfg.Peers[i].IP, a) {
			return true
		}
	}
	return false
}

// pbxOrder lists the PBXs to try: those that answer first, in order of the
// configuration; those that do not last, as the check may be wrong.
func (d *directory) pbxOrder() []*PBX {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make([]*PBX, 0, len(d.cfg.PBXs))
	for i := range d.cfg.PBXs {
		out = append(out, &d.cfg.PBXs[i])
	}
	slices.SortStableFunc(out, func(a, b *PBX) int {
		x, y := 0, 0
		if d.down[a.Name] {
			x = 1
		}
		if d.down[b.Name] {
			y = 1
		}
		return x - y
	})
	return out
}

func (d *directory) markDown(name string) { d.mark(name, true) }

// mark reports whether that is news.
func (d *directory) mark(name string, down bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down[name] == down {
		return false
	}
	d.down[name] = down
	if !down {
		d.back[name] = time.Now()
	}
	return true
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
		if !g.peers.down[p.Name] {
			up++
		}
	}
	return up, len(g.cfg.PBXs)
}

// health asks a PBX by OPTIONS whether it lives (RFC 3261 §11); any answer
// will do. What it says is used to order the PBXs, never to refuse a call.
func (g *Gateway) health(p *PBX) {
	every := p.Health
	if every <= 0 {
		return
	}
	for first := true; ; first = false {
		err := g.ping(p)
		if g.ctx.Err() != nil {
			return
		}
		switch {
		case err != nil && (g.peers.mark(p.Name, true) || first):
			g.log.Warn("PBX does not answer", "pbx", p.Name, "address", net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))), "transport", p.Transport, "error", err)
		case err == nil && g.peers.mark(p.Name, false):
			g.log.Info("PBX answers again", "pbx", p.Name)
		case err == nil && first:
			g.log.Info("PBX answers", "pbx", p.Name)
		}
		t := time.NewTimer(every)
		select {
		case <-g.ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

func (g *Gateway) ping(p *PBX) error {
	ctx, cancel := context.WithTimeout(g.ctx, 4*time.Second)
	defer cancel()
	f, err := g.connectPBX(ctx, p)
	if err != nil {
		return err
	}
	host := g.cfg.Domains[0]
	o := &sipx.Out{Method: "OPTIONS", URI: "sip:" + host, Headers: []sipx.HeaderField{
		{Name: "From", Value: "<sip:rampart@" + f.HostPort() + ">;tag=" + sipx.NewTag()},
		{Name: "To", Value: "<sip:" + host + ">"},
		{Name: "Call-ID", Value: sipx.NewCallID()},
		{Name: "CSeq", Value: "1 OPTIONS"},
		{Name: "Contact", Value: "<" + f.ContactURI("rampart") + ">"},
	}}
	done := make(chan error, 1)
	if _, err := g.stack.Send(f, o, func(out sipx.Outcome) {
		if out.Err != nil || out.Res.Code() >= 200 {
			select {
			case done <- out.Err:
			default:
			}
		}
	}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("OPTIONS: no answer in 4 s")
	}
}
