package sbc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// A target is down after so many OPTIONS without an answer in a row, and up
// again after so many with one: a lost datagram is neither.
const (
	downAfter = 2
	upAfter   = 2
)

// pulse is what OPTIONS made of one target.
type pulse struct {
	asked bool
	down  bool
	run   int // answers in a row that speak against the state
	since time.Time
	why   string
}

// beat takes the outcome of one OPTIONS; the first one decides at once.
func (p pulse) beat(err error, at time.Time) pulse {
	if bad := err != nil; bad == p.down && p.asked {
		p.run = 0
	} else if p.run++; !p.asked || p.run >= map[bool]int{true: downAfter, false: upAfter}[bad] {
		p.down, p.run, p.since = bad, 0, at
	}
	p.asked, p.why = true, ""
	if err != nil {
		p.why = err.Error()
	}
	return p
}

// errBusy is a 503: the target lives and wants no calls.
var errBusy = errors.New("answers 503")

// health asks every target of a PBX or peer by OPTIONS whether it lives (RFC
// 3261 §11); any answer but 503 will do. What it says puts targets in order,
// and never refuses a call.
func (g *Gateway) health(r route, every time.Duration) {
	if every <= 0 {
		return
	}
	var dead time.Time
	for {
		failing, gone := g.beat(r)
		if g.ctx.Err() != nil {
			return
		}
		if !gone {
			dead = time.Time{}
		} else {
			if dead.IsZero() {
				dead = time.Now()
			}
			g.lost(r.kind, r.name(), dead)
		}
		wait := every
		if failing {
			wait = min(every, 2*time.Second) // to be sure soon
		}
		// Ten gateways that were started together do not ask together.
		wait += time.Duration(rand.Int64N(int64(wait)/5+1)) - wait/10
		t := time.NewTimer(wait)
		select {
		case <-g.ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// beat asks all targets once, side by side; failing while one has not made up
// its mind, dead when each of them is down and none says even 503.
func (g *Gateway) beat(r route) (failing, dead bool) {
	key := hopKey(r.kind, r.name())
	g.peers.mu.RLock()
	ts := g.peers.found[key].Targets(nil)
	g.peers.mu.RUnlock()
	errs := make([]error, len(ts))
	var wg sync.WaitGroup
	for i, t := range ts {
		r := r
		r.at = t
		wg.Go(func() { errs[i] = g.ping(r) })
	}
	wg.Wait()
	if g.ctx.Err() != nil {
		return false, false
	}
	now := time.Now()
	d := &g.peers
	d.mu.Lock()
	for k := range d.pulses {
		if k.hop == key && !slices.Contains(ts, k.target) {
			delete(d.pulses, k) // the DNS names it no more
		}
	}
	down, asked, busy := 0, false, false
	var why []string
	for i, t := range ts {
		k := targetKey{key, t}
		p := d.pulses[k].beat(errs[i], now)
		d.pulses[k] = p
		asked, failing, busy = true, failing || p.run > 0, busy || errors.Is(errs[i], errBusy)
		if p.down {
			down++
			why = append(why, t.Addr.String()+" "+p.why)
		}
	}
	if !asked {
		why = []string{"no address known"}
	}
	gone := down == len(ts)
	news := d.down[key] != gone || !d.heard[key]
	first := !d.heard[key]
	d.down[key], d.heard[key] = gone, true
	if news && !gone && !first {
		d.back[r.name()] = now
	}
	d.mu.Unlock()
	if news {
		g.tellHealth(r, gone, first, len(ts)-down, len(ts), strings.Join(why, "; "))
	}
	return failing, gone && asked && !busy
}

// tellHealth writes log and alert; that all is well at the start is no news.
func (g *Gateway) tellHealth(r route, gone, first bool, up, all int, why string) {
	kind, subject := "peer", "peer"
	if r.pbx != nil {
		kind, subject = "PBX", "account"
	}
	e := call.SystemEvent{At: time.Now(), Action: call.PeerUp, Severity: call.Info, Rule: "base/peer-up", Reason: kind + " " + r.name() + " answers",
		Subject:  call.Subject{Kind: subject, Value: r.name()},
		Evidence: []call.Evidence{{Name: "targets.answering", Value: up, Threshold: all}}}
	if gone {
		e.Action, e.Severity, e.Rule, e.Reason = call.PeerDown, call.High, "base/peer-down", kind+" "+r.name()+" does not answer"
		g.log.Warn(kind+" does not answer", "name", r.name(), "error", why)
	} else {
		g.log.Info(kind+" answers", "name", r.name(), "targets", up, "of", all)
	}
	if gone || !first {
		g.deps.Reporter.System(e)
	}
}

// ping asks the route's target once.
func (g *Gateway) ping(r route) error {
	ctx, cancel := context.WithTimeout(g.ctx, 4*time.Second)
	defer cancel()
	f, connect := g.flow(r)
	if f == nil {
		var err error
		if f, err = connect(ctx); err != nil {
			return err
		}
	}
	host := g.domainOf(r)
	o := &sipx.Out{Method: "OPTIONS", URI: "sip:" + host, Headers: []sipx.HeaderField{
		{Name: "From", Value: "<sip:rampart@" + f.HostPort() + ">;tag=" + sipx.NewTag()},
		{Name: "To", Value: "<sip:" + host + ">"},
		{Name: "Call-ID", Value: sipx.NewCallID()},
		{Name: "CSeq", Value: "1 OPTIONS"},
		{Name: "Contact", Value: "<" + f.ContactURI(sipx.ContactUser) + ">"},
	}}
	done := make(chan error, 1)
	if _, err := g.stack.Send(f, o, func(out sipx.Outcome) {
		err := out.Err
		if err == nil && out.Res.Code() < 200 {
			return
		}
		if err == nil && out.Res.Code() == 503 {
			err = errBusy
		}
		select {
		case done <- err:
		default:
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

// domainOf is the host that requests to a PBX or peer are for.
func (g *Gateway) domainOf(r route) string {
	if r.pbx != nil {
		if len(r.pbx.Domains) > 0 {
			return r.pbx.Domains[0]
		}
		return g.cfg.Domains[0]
	}
	return uriHost(r.peer.Host)
}

// uriHost puts an IPv6 address into brackets.
func uriHost(h string) string {
	if strings.Contains(h, ":") && !strings.HasPrefix(h, "[") {
		return "[" + h + "]"
	}
	return h
}
