package main

import (
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/media"
)

// source is what the admin listener reads when it is asked.
func (g *gateway) source() admin.Source {
	return admin.Source{
		Ready: g.ready,
		Calls: func() int { return g.sbc.Active() }, Registrations: func() int { return g.sbc.Bindings() },
		Subscriptions: func() int { return g.sbc.Subscriptions() },
		Registering: func() admin.Registering {
			c := &g.sbc.Counters
			return admin.Registering{Waiting: g.sbc.Waiting(), Refreshed: c.Refreshed.Load(), Deferred: c.Deferred.Load(),
				Challenged: c.Challenged.Load(), Accepted: c.Accepted.Load(), Denied: c.Denied.Load()}
		},
		PBX:      func() (int, int) { return g.sbc.PBXUp() },
		Bans:     func() (int, int) { return g.bans.Count(time.Now()) },
		Kernel:   g.kernelView,
		Fraud:    g.fraudView,
		Peers:    g.peerViews,
		Overload: g.overloadView(),
		Counters: g.rep.counters, Quality: &g.rep.quality,
		Signalling: func() admin.Signalling {
			s := g.sbc.Signalling()
			return admin.Signalling{Requests: s.Requests.Load(), Responses: s.Responses.Load(), Malformed: s.Malformed.Load(),
				Dropped: s.Dropped.Load(), Strays: s.Strays.Load(), Retransmits: s.Retransmits.Load(), Conns: s.Conns.Load(),
				ConnsRefused: s.ConnsRefused.Load(), Panics: s.Panics.Load() + g.sbc.Counters.Panics.Load()}
		},
		Gate: g.gateView,
		Media: func() admin.Media {
			s := g.media.Stats()
			m := admin.Media{Sessions: s.Sessions, Streams: s.Streams, StreamsMax: streamsLimit(g.cfg.Media, s.PortsTotal), Ports: s.Ports, PortsMax: s.PortsTotal,
				Packets: s.Relayed, Bytes: s.RelayedBytes, RTCP: s.RelayedRTCP}
			s.Refused.Each(func(c media.Cause, n uint64) {
				m.Refused = append(m.Refused, admin.CauseCount{Cause: c.String(), Count: n})
			})
			return m
		},
		Conditions: func() uint64 {
			g.policies.mu.Lock()
			defer g.policies.mu.Unlock()
			return g.policies.now.set.Failed()
		},
		Alerts: g.bus.Stats, CDR: g.cdr.Stats, Events: g.event.Stats,
		Certificates: func() (out []admin.Certificate) {
			for _, c := range g.certs.Certificates() {
				name := "server"
				if ns := c.Names(); len(ns) > 0 {
					name = ns[0]
				}
				out = append(out, admin.Certificate{Name: name, NotAfter: c.Expires()})
			}
			return out
		},
	}
}

// streamsLimit is how many streams the ports allow: one takes a pair on each
// side. pairs are those of all addresses.
func streamsLimit(m config.Media, pairs int) int {
	each := (int(m.Ports.Max) - int(m.Ports.Min) + 1) / 2
	return min(pairs/2, each*min(len(m.Public), len(m.Inside)))
}

// ready says whether calls can be taken. A PBX that was not heard of yet does
// not count as answering; one that is never asked does.
func (g *gateway) ready() []admin.Check {
	up, all := g.sbc.PBXUp()
	c := admin.Check{Name: "pbx", OK: up > 0}
	asked := !slices.ContainsFunc(g.cfg.PBX, func(p config.PBX) bool { return p.Health == 0 })
	switch {
	case asked && g.sbc.Signalling().Responses.Load() == 0:
		c.OK, c.Detail = false, "no PBX has answered yet"
	case up < all:
		c.Detail = "some PBX does not answer"
	}
	return append([]admin.Check{c, {Name: "draining", OK: !g.sbc.Draining()}}, g.overloadCheck()...)
}

func (g *gateway) callViews() (out []admin.CallView) {
	for _, v := range g.sbc.Calls() {
		out = append(out, admin.CallView{ID: v.ID, Direction: v.Direction, From: v.From, To: v.To, Account: v.Account, User: v.User,
			Peer: v.Peer, Source: v.Source, State: v.State, Since: call.Time{Time: v.Since}, Answered: call.At(v.Answered),
			Media: v.Suites, Passes: v.Passes, CallIDs: v.CallIDs})
	}
	return out
}

func (g *gateway) peerViews() (out []admin.PeerView) {
	for _, p := range g.sbc.Peers() {
		v := admin.PeerView{Name: p.Name, Kind: "carrier", Host: p.Host, Checked: p.Checked, Up: p.Up}
		if p.PBX {
			v.Kind = "pbx"
		}
		for _, t := range p.Targets {
			v.Targets = append(v.Targets, admin.TargetView{Transport: t.Transport, Address: t.Address, State: t.State, Since: call.At(t.Since), Reason: t.Reason})
		}
		if t := p.Trunk; t != nil {
			v.Registration = &admin.TrunkView{Registered: t.Registered, Since: call.At(t.Since), Expires: call.At(t.Expires), Reason: t.Reason}
		}
		out = append(out, v)
	}
	return out
}

func (g *gateway) registrationViews() (out []admin.RegistrationView) {
	for _, r := range g.sbc.Registrations() {
		out = append(out, admin.RegistrationView{User: r.User, Domain: r.Domain, Account: r.Account, Source: r.Source,
			Transport: r.Transport, UserAgent: r.UserAgent, Connected: r.Connected, Expires: call.Time{Time: r.Expires}})
	}
	return out
}
