package main

import (
	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/media"
)

// source is what the admin listener reads when it is asked.
func (g *gateway) source() admin.Source {
	return admin.Source{
		Ready: g.ready,
		Calls: func() int { return g.sbc.Active() }, Registrations: func() int { return g.sbc.Bindings() },
		PBX:      func() (int, int) { return g.sbc.PBXUp() },
		Counters: g.rep.counters,
		Signalling: func() admin.Signalling {
			s := g.sbc.Signalling()
			return admin.Signalling{Requests: s.Requests.Load(), Responses: s.Responses.Load(), Malformed: s.Malformed.Load(),
				Dropped: s.Dropped.Load(), Strays: s.Strays.Load(), Retransmits: s.Retransmits.Load(), Conns: s.Conns.Load(),
				ConnsRefused: s.ConnsRefused.Load(), Panics: s.Panics.Load() + g.sbc.Counters.Panics.Load()}
		},
		Media: func() admin.Media {
			s := g.media.Stats()
			m := admin.Media{Sessions: s.Sessions, Streams: s.Streams, StreamsMax: s.MaxStreams, Ports: s.Ports, PortsMax: s.PortsTotal,
				Packets: s.Relayed, Bytes: s.RelayedBytes, RTCP: s.RelayedRTCP}
			s.Refused.Each(func(c media.Cause, n uint64) {
				m.Refused = append(m.Refused, admin.CauseCount{Cause: c.String(), Count: n})
			})
			return m
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

// ready says whether calls can be taken.
func (g *gateway) ready() []admin.Check {
	up, all := g.sbc.PBXUp()
	c := admin.Check{Name: "pbx", OK: up > 0}
	if up < all {
		c.Detail = "some PBX does not answer"
	}
	return []admin.Check{c, {Name: "draining", OK: !g.sbc.Draining()}}
}

func (g *gateway) callViews() (out []admin.CallView) {
	for _, v := range g.sbc.Calls() {
		out = append(out, admin.CallView{ID: v.ID, Direction: v.Direction, From: v.From, To: v.To, Account: v.Account, User: v.User,
			Peer: v.Peer, Source: v.Source, State: v.State, Since: call.Time{Time: v.Since}, Answered: call.At(v.Answered),
			Media: v.Suites, Passes: v.Passes})
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
