package explain

import (
	"net/netip"
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// maxLists bounds the lists in a record.
const maxLists = 16

// ToRecord makes the facts that a record keeps of one pass.
func ToRecord(a *call.Attempt, d *call.Decision) *call.Facts {
	s := &a.Source
	f := &call.Facts{At: call.Time{Time: a.At}, Sender: a.PeerKind.String(), Account: a.Account, User: a.User, Direction: a.Direction.String(),
		From: toParty(&a.From), To: toParty(&a.To), URI: hideURI(a.RequestURI), UserAgent: a.UserAgent, Diversion: a.Diversion,
		Country: s.Country, ASN: s.ASN, TLSSubject: s.TLSSubject, Registered: s.Registered, Configured: s.Configured, Answered: s.Answered,
		Transfer: a.Transferred, Help: a.Help, Forwarded: a.Forwarded, Hops: a.Hops, Size: a.Size, SRTP: a.Media.SRTP, Types: few(a.ContentTypes), AuthUser: a.AuthUser,
		Verdict: d.Verdict.String(), Reason: d.Reason, Evidence: few(d.Evidence), Counts: few(d.Counts), Asked: d.Counts != nil}
	if a.Media.Offered {
		f.Offer = a.Media.Profile
	}
	if d.Verdict == call.Reject {
		f.Status = d.Status
	}
	for _, h := range few(a.Headers) {
		if !Secret(h.Name) {
			f.Headers = append(f.Headers, h.Name+": "+h.Value)
		}
	}
	for _, x := range few(d.Also) {
		f.Flagged = append(f.Flagged, x.Rule)
	}
	return f
}

func few[T any](list []T) []T { return list[:min(len(list), maxLists)] }

func toParty(p *call.Party) call.FactsParty {
	f := call.FactsParty{Given: hideUser(p.User), Host: p.Host, Display: p.Display, Scheme: p.Scheme, Number: p.Number, Kind: p.Kind.String(),
		Country: p.Country, Region: p.Region, Class: p.Class, Own: p.Own, Hidden: p.Withheld}
	if p.Other != nil {
		other := *p.Other
		other.Other = nil
		o := toParty(&other)
		f.Other = &o
	}
	return f
}

// FromRecord makes the facts of each pass of a record again. Passes without
// facts, of an older version, are left out.
func FromRecord(r call.Record) (out []Fact) {
	for i, p := range r.Passes {
		f := p.Facts
		if f == nil {
			continue
		}
		a := call.Attempt{At: f.At.Time, Method: "INVITE", PeerKind: kindOf(f.Sender), Peer: p.Peer, Account: f.Account, User: f.User,
			From: fromParty(&f.From), To: fromParty(&f.To), Diversion: f.Diversion, ID: r.CallID, Pass: i + 1, SIPCallID: p.SIPCallID,
			RequestURI: f.URI, UserAgent: f.UserAgent, Hops: f.Hops, Size: f.Size, Transferred: f.Transfer, Help: f.Help, Forwarded: f.Forwarded, ContentTypes: f.Types, Policy: p.Policy, AuthUser: f.AuthUser}
		if p.From == call.Inside.String() {
			a.Side = call.Inside
		}
		_ = a.Direction.UnmarshalText([]byte(f.Direction)) // unknown: internal
		a.Source = call.Source{Transport: p.Transport, TLSVersion: p.TLSVersion, TLSSubject: f.TLSSubject, Country: f.Country, ASN: f.ASN,
			Registered: f.Registered, Configured: f.Configured, Answered: f.Answered}
		a.Source.Addr, _ = netip.ParseAddrPort(p.Source) // of many strangers: none
		a.Media = call.Media{Offered: f.Offer != "", Profile: f.Offer, SRTP: f.SRTP}
		for _, h := range f.Headers {
			name, value, _ := strings.Cut(h, ": ")
			a.Headers = append(a.Headers, call.Header{Name: name, Value: value})
		}
		d := call.Decision{Status: f.Status, Rule: p.Rule, Reason: f.Reason, Evidence: f.Evidence, Trace: p.Trace, Counts: f.Counts}
		_ = d.Verdict.UnmarshalText([]byte(f.Verdict)) // unknown: no opinion
		if f.Asked && d.Counts == nil {
			d.Counts = []call.Count{}
		}
		for _, rule := range f.Flagged {
			d.Also = append(d.Also, call.Decision{Rule: rule, Reason: "told, not carried out"})
		}
		out = append(out, Fact{Attempt: a, Decision: d})
	}
	return out
}

func kindOf(text string) call.Kind {
	for k := call.Stranger; k <= call.PBX; k++ {
		if k.String() == text {
			return k
		}
	}
	return call.Stranger
}

func fromParty(f *call.FactsParty) call.Party {
	p := call.Party{User: f.Given, Host: f.Host, Display: f.Display, Scheme: f.Scheme, Number: f.Number, Country: f.Country, Region: f.Region, Class: f.Class, Own: f.Own, Withheld: f.Hidden}
	for k := call.Invalid; k <= call.International; k++ {
		if k.String() == f.Kind {
			p.Kind = k
		}
	}
	if f.Other != nil {
		o := fromParty(f.Other)
		p.Other = &o
	}
	return p
}
