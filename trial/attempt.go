package trial

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// What a description leaves open.
var someSource = netip.MustParseAddr("192.0.2.1")

const (
	someSize = 600
	someHops = 70
)

// Attempt makes the facts of a described request, as the gateway makes them of
// a message: who sends it, what its numbers are, which way it goes.
func (b *Bench) Attempt(at time.Time, r Request) (*call.Attempt, error) {
	a := &call.Attempt{At: at, Method: strings.ToUpper(r.Method), UserAgent: r.UserAgent, Headers: r.Headers, ContentTypes: r.Types,
		Size: r.Size, Hops: r.Hops, AuthUser: r.AuthUser, Expires: r.Expires, Diversion: r.Diverted, Transferred: r.Transferred, Account: r.Account}
	if a.On = r.On; a.On == call.Connection {
		a.Method = ""
	} else if a.Method == "" {
		a.Method = "INVITE"
	}
	if a.Size == 0 {
		a.Size = someSize
	}
	if a.Hops == 0 {
		a.Hops = someHops
	}
	if err := b.sender(a, &r); err != nil {
		return nil, err
	}
	b.source(a, &r)
	if a.On == call.Connection { // nothing was sent yet
		a.Size, a.Hops = 0, 0
		return a, nil
	}
	b.parties(a, &r)
	a.Direction = direction(a)
	if a.Method == "INVITE" {
		a.Media = call.Media{Offered: true, Profile: r.Profile, SRTP: a.Side == call.Public}
		if r.SRTP != nil {
			a.Media.SRTP = *r.SRTP
		}
		if a.Media.Profile == "" {
			a.Media.Profile = "RTP/AVP"
			if a.Media.SRTP {
				a.Media.Profile = "RTP/SAVP"
			}
		}
	}
	b.identify(a, r.Call)
	return a, nil
}

// sender says who sends a request: one of a peer, a PBX, a stranger, a phone.
func (b *Bench) sender(a *call.Attempt, r *Request) error {
	for _, x := range []struct {
		what, name string
		known      []string
	}{{"peer", r.Peer, b.o.Peers}, {"peer", r.Route, b.o.Peers}, {"pbx", r.PBX, b.o.PBXs}} {
		if x.name != "" && x.known != nil && !slices.Contains(x.known, x.name) {
			return fmt.Errorf("the configuration has no %s %q; it has %s", x.what, x.name, list(x.known))
		}
	}
	switch {
	case r.Peer != "" && r.PBX != "", r.Stranger && (r.Peer != "" || r.PBX != ""):
		return errors.New("a request comes from one of a peer, a PBX, a stranger or a phone")
	case r.Peer != "":
		a.PeerKind, a.Peer = call.Carrier, r.Peer
	case r.PBX != "":
		a.PeerKind, a.Peer, a.Side = call.PBX, r.PBX, call.Inside
		if a.Account == "" {
			a.Account = r.PBX
		}
	case r.Stranger, (a.Method == "REGISTER" || a.On == call.Connection) && (r.Registered == nil || !*r.Registered):
		a.PeerKind = call.Stranger
	default:
		a.PeerKind = call.Phone
	}
	if a.Account == "" && a.PeerKind != call.Stranger {
		a.Account = b.o.Account
	}
	a.Source.Registered = a.PeerKind == call.Phone
	if r.Registered != nil {
		if !*r.Registered && a.PeerKind == call.Phone {
			return errors.New("a phone that is not registered is a stranger: write stranger: true")
		}
		a.Source.Registered = *r.Registered
	}
	return nil
}

func (b *Bench) source(a *call.Attempt, r *Request) {
	addr, port := r.Source, r.Port
	if !addr.IsValid() {
		addr = someSource
	}
	if port == 0 {
		port = 5061
	}
	s := &a.Source
	s.Addr = call.FoldAddr(netip.AddrPortFrom(addr, port))
	s.Transport = r.Transport
	if s.Transport == "" {
		s.Transport = "tls"
		if a.Side == call.Inside {
			s.Transport = "udp"
		}
	}
	if s.TLSSubject = r.TLSSubject; s.Secure() {
		if s.TLSVersion = r.TLSVersion; s.TLSVersion == "" {
			s.TLSVersion = "1.3"
		}
	}
	s.Country, s.ASN = r.Country, r.ASN
	if b.o.Geo != nil && a.Side == call.Public && s.Country == "" && s.ASN == 0 {
		s.Country, s.ASN = b.o.Geo(s.Addr.Addr())
	}
}

// parties reads the numbers. Phones dial; the PBX and carriers pass numbers on.
func (b *Bench) parties(a *call.Attempt, r *Request) {
	var from, to string
	a.From, from = b.party(r.From)
	a.To, to = b.party(r.To)
	a.From.Display = r.Display
	a.RequestURI = "sip:" + a.To.User + "@" + a.To.Host
	if a.Method == "REGISTER" {
		if r.To == "" {
			a.To = a.From
		}
		if r.From == "" {
			a.From = a.To
		}
		a.RegisterUser, a.RequestURI = plain(a.To.User), "sip:"+b.o.Domain
		if a.PeerKind == call.Phone {
			a.User = a.RegisterUser
		}
		return
	}
	in := number.Dialled
	if a.PeerKind == call.PBX || a.PeerKind == call.Carrier {
		in = number.Trunk
	}
	plan := b.plan
	if own := b.plans[a.Peer]; own != nil && a.PeerKind == call.Carrier {
		plan = own
	}
	plan.Normalise(from, in).Fill(&a.From)
	plan.Normalise(to, in).Fill(&a.To)
	if a.PeerKind == call.Phone || a.PeerKind == call.PBX {
		a.User = r.User
		if a.User == "" {
			a.User = plain(a.From.User)
		}
	}
	if a.PeerKind == call.Carrier && a.From.E164() == "" {
		u := a.From.User
		a.From.Withheld = u == "" || strings.EqualFold(u, "anonymous") || strings.EqualFold(a.From.Host, "anonymous.invalid")
	}
	a.From.Own = r.Own
	for _, p := range b.o.Own {
		if a.PeerKind == call.Carrier && a.From.E164() != "" && strings.HasPrefix(a.From.E164(), p) {
			a.From.Own = true
		}
	}
}

// party takes a URI or a user part to pieces; number is what of it is read as
// a number.
func (b *Bench) party(text string) (p call.Party, number string) {
	for _, scheme := range []string{"tel:", "urn:"} {
		if hasScheme(text, scheme) {
			return call.Party{User: text[len(scheme):], Scheme: scheme[:len(scheme)-1]}, text
		}
	}
	for _, scheme := range []string{"sips:", "sip:"} {
		if hasScheme(text, scheme) {
			text = text[len(scheme):]
			break
		}
	}
	user, host, found := strings.Cut(text, "@")
	if !found {
		return call.Party{User: user, Host: b.o.Domain}, user
	}
	host, _, _ = strings.Cut(host, ";")
	return call.Party{User: user, Host: host}, user
}

// plain is a user without escapes, as the gateway knows who is registered.
func plain(user string) string {
	if text, err := url.PathUnescape(user); err == nil {
		return text
	}
	return user
}

func hasScheme(text, scheme string) bool {
	return len(text) > len(scheme) && strings.EqualFold(text[:len(scheme)], scheme)
}

// direction is which way a request goes, by who sends it and where to.
func direction(a *call.Attempt) call.Direction {
	switch a.Method {
	case "REGISTER", "OPTIONS":
		return call.Internal
	}
	switch a.PeerKind {
	case call.Carrier:
		return call.Inbound
	case call.PBX:
		// To a phone, from a number outside: a call that the PBX took.
		if !a.To.Outside() && (a.From.Kind == call.National || a.From.Kind == call.International) && a.Method == "INVITE" {
			return call.Inbound
		}
	case call.Stranger:
		if a.Method == "INVITE" {
			return call.Internal
		}
	}
	if a.To.Outside() {
		return call.Outbound
	}
	return call.Internal
}

// Describe says a request in one line.
func Describe(a *call.Attempt) string {
	who := a.PeerKind.String()
	if a.Peer != "" {
		who += " " + a.Peer
	}
	what := a.Method
	switch a.On {
	case call.Connection:
		what = "connection"
	case call.Progress:
		what = "call up for " + a.Elapsed.String()
	}
	text := what + " from " + who + " " + a.Source.Addr.Addr().String()
	if a.From.User != "" {
		text += ", " + shown(a.From)
	}
	if a.On == call.Connection {
		return text
	}
	if a.To.User != "" && a.Method != "REGISTER" {
		text += " to " + shown(a.To)
	}
	return text + ", " + a.Direction.String()
}

func shown(p call.Party) string {
	text := fmt.Sprintf("%q", p.User)
	if p.Number != "" && p.Number != p.User {
		text += " = " + p.Number
	}
	switch {
	case p.Country != "":
		text += " (" + p.Country + ", " + p.Class + ")"
	case p.Kind != call.Extension:
		text += " (" + p.Kind.String() + ")"
	}
	return text
}
