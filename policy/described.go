package policy

import (
	"net/netip"

	"github.com/rampart-sbc/rampart/call"
)

// Described is a request in the words of a person: what policy tests and
// `policy explain` are given instead of a SIP message. Package trial makes a
// call.Attempt of it, as the gateway would of the message.
type Described struct {
	Method  string // "INVITE", "REGISTER", …
	From    string // as spelt: "1001", "+33123456789", "sip:1001@example.com"
	To      string
	Display string // display name of From

	// Who sends it: a peer, a PBX, a stranger, else a phone that is registered
	// as User. A REGISTER comes from a stranger unless Registered says no.
	Peer       string
	PBX        string
	Stranger   bool
	Registered *bool  // somebody registered from this source; nil: by the kind of sender
	User       string // the authenticated user; empty: the user of From
	Account    string // the PBX it belongs to

	Source      netip.Addr // invalid: 192.0.2.1
	Port        uint16
	Country     string // of the source, where no GeoIP data says it
	ASN         uint
	Transport   string // empty: tls, and udp on the inside
	TLSVersion  string
	TLSSubject  string
	UserAgent   string
	Headers     []call.Header
	Size        int // bytes; 0: 600
	Hops        int // 0: 70
	Types       []string
	Profile     string // transport profile of the offer, e.g. RTP/SAVP
	SRTP        *bool  // every stream is offered as SRTP; nil: yes on the public side
	Diverted    string // who passed the call on
	Transferred bool
	AuthUser    string // username of Authorization
	Expires     int    // of a REGISTER
	Own         bool   // the caller claims one of our own numbers
	Route       string // the peer that the call is to go to
	Call        string // a name: requests of one name are passes of one call
}
