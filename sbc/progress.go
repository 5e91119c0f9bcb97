package sbc

import (
	"math/rand/v2"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Besides requests, rules may be about connections (on: connect) and about
// calls that are up (on: progress). Without such a rule nothing here costs
// anything.

// Watcher is a guard that may have an opinion on connections or on calls that
// are up.
type Watcher interface {
	Watches(on call.Occasion) bool
}

// watchers are the guards of the policy in force that have one.
func (g *Gateway) watchers(on call.Occasion) (out []Guard, p *Policy) {
	p = g.policy.Load()
	for _, gd := range p.Guards {
		if w, ok := gd.(Watcher); ok && w.Watches(on) {
			out = append(out, gd)
		}
	}
	return out, p
}

// Connected implements sipx.Handler: what rules say about a connection of the
// public side, after its handshake.
func (g *Gateway) Connected(f *sipx.Flow) bool {
	if f.Side == call.Inside {
		return true
	}
	guards, p := g.watchers(call.Connection)
	if len(guards) == 0 {
		return true
	}
	addr := f.Remote.Addr()
	id := g.identifyPeer(f)
	a := &call.Attempt{At: time.Now(), On: call.Connection, Side: f.Side, PeerKind: id.kind, Peer: id.name(), Policy: p.Revision,
		Source: call.Source{Addr: f.Remote, Local: f.Local, Transport: f.Transport, Configured: g.peers.knownAddr(addr), Registered: g.bindings.from(addr)}}
	if f.TLS != nil {
		a.Source.TLSVersion, a.Source.TLSCipher, a.Source.TLSSubject = describeTLS(f.TLS)
	}
	if g.deps.Geo != nil {
		a.Source.Country, a.Source.ASN = g.deps.Geo.Lookup(addr)
	}
	d := admission.Connect(guards, a)
	g.enact(a, &d, p.Guards)
	if !d.Permits() || len(d.Also) > 0 {
		g.report(a, d)
	}
	if !d.Permits() {
		g.refused("connect")
	}
	return d.Permits()
}

// progressing looks at each call that is up every Config.Progress, and at some
// of them at a time.
func (g *Gateway) progressing() {
	tick := time.NewTicker(g.cfg.Progress / 10)
	defer tick.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case now := <-tick.C:
			if guards, _ := g.watchers(call.Progress); len(guards) == 0 {
				continue
			}
			for _, s := range g.calls.sessions() {
				if due := s.due.Load(); due != 0 && now.UnixNano() >= due {
					s.due.Store(now.Add(g.cfg.Progress).UnixNano())
					s.put(input{do: s.progress}) // a full mailbox: the next time
				}
			}
		}
	}
}

// firstLook is within one interval of the answer, so that calls that begin
// together are not looked at together.
func (s *session) firstLook(answer time.Time) {
	s.due.Store(answer.Add(rand.N(s.g.cfg.Progress)).UnixNano())
}

// progress judges a call that is up, as what it was when it was admitted, or as
// where a redirect led it. Each rule is told, and its effects are carried out,
// once in a call; a call for help is left alone.
func (s *session) progress() {
	if s.pass.answer.IsZero() || s.finished || s.state.Finished || s.a.Emergency() {
		return
	}
	guards, p := s.g.watchers(call.Progress)
	if len(guards) == 0 {
		return
	}
	a := *s.a
	if i := s.state.Route; i < len(s.routes) && s.routes[i].fwd != nil {
		a = *s.routes[i].fwd.a
	}
	a.At, a.On, a.Policy = time.Now(), call.Progress, p.Revision
	a.Elapsed = a.At.Sub(s.pass.answer)
	d, ending := admission.Progress(guards, &a, &s.watched)
	s.g.enact(&a, &d, p.Guards)
	if ending == "" && len(d.Also) == 0 {
		return
	}
	s.g.report(&a, d)
	if ending != "" {
		s.pass.Rule, s.pass.Trace = ending, append(s.pass.Trace, ending)
		s.group.ended.Store(&ending)
		s.follow(b2bua.Event{Kind: b2bua.Hangup, Cause: causePolicy})
		s.g.Hangup(s.group.id, causePolicy) // its other passes
	}
}

// causePolicy is the cause of a hangup that a rule asked for.
const causePolicy = "policy"

// policyReason is the Reason of such a BYE: the rule goes only to those we
// know.
func (s *session) policyReason(x *leg) string {
	v := `SIP;cause=403`
	if id := s.group.ended.Load(); id != nil && x.kind != call.Stranger {
		v += `;text="` + *id + `"`
	}
	return v
}
