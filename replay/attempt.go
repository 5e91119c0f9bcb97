package replay

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/trial"
)

// describe is the request that an event tells of, in the words of package trial.
// A recording of the gateway names the configured peer that a call came from; of
// other sources it may name the trunk that an outbound call left by.
func (c *candidate) describe(it *item) (r trial.Request, ok bool) {
	ev := &it.Event
	r = trial.Request{Call: ev.ID, From: ev.From, To: ev.To, User: ev.User, Account: ev.Account, UserAgent: ev.UserAgent, Diverted: ev.Diversion,
		Country: ev.SourceCountry, Transport: it.transport}
	r.Source, _ = netip.ParseAddr(ev.Source)
	if f := it.facts; f != nil {
		r.Display, r.ASN, r.TLSSubject, r.Size, r.Hops, r.Types, r.Profile, r.SRTP = f.From.Display, f.ASN, f.TLSSubject, f.Size, f.Hops, f.Types, f.Offer, &f.SRTP
		r.Own, r.Transferred, r.AuthUser, r.Headers = f.From.Own, f.Transfer, f.AuthUser, headers(f.Headers)
	}
	switch ev.Kind {
	case call.EventInvite:
		r.Method = "INVITE"
	case call.EventMessage:
		r.Method = "MESSAGE"
	case call.EventOptions:
		r.Method, r.Call, r.From = "OPTIONS", "", ev.User
		c.fromSource(&r, ev)
		return r, true
	case call.EventRegister:
		r.Method, r.Call, r.To, r.User = "REGISTER", "", ev.User, ""
		if ev.Credentials == "" {
			r.AuthUser = ev.User
		}
		c.fromSource(&r, ev)
		return r, true
	default:
		return r, false
	}
	switch {
	case ev.Peer == "" && ev.User == "" && ev.Direction != call.Outbound.String(), slices.Contains(c.o.Strangers, ev.Peer):
		r.Stranger, r.User = true, ""
	case ev.Direction == call.Inbound.String() && ev.Peer != "":
		r.Peer, r.User = ev.Peer, ""
	case slices.Contains(c.side.Trial.PBXs, ev.Peer):
		r.PBX = ev.Peer
	case ev.User == "":
		r.PBX = ev.Account
	default:
		if slices.Contains(c.side.Trial.Peers, ev.Peer) {
			r.Route = ev.Peer
		}
		if ev.Dialled != "" {
			r.To = ev.Dialled
		}
	}
	return r, true
}

// fromSource says whether somebody is registered where a request came from.
func (c *candidate) fromSource(r *trial.Request, ev *call.Event) {
	known := c.registered.known(r.Source, ev.At.Time)
	r.Stranger, r.Registered = true, &known
}

// headers are those that a CDR keeps, "Name: value" each.
func headers(texts []string) (out []call.Header) {
	for _, t := range texts {
		if name, value, ok := strings.Cut(t, ": "); ok {
			out = append(out, call.Header{Name: name, Value: value})
		}
	}
	return out
}
