package policy

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// Described is a request in the words of a person: what policy tests and
// `policy explain` are given instead of a SIP message. Package trial makes a
// call.Attempt of it, as the gateway would of the message.
type Described struct {
	On      call.Occasion // Progress: the call that Call names is looked at again
	Method  string        // "INVITE", "REGISTER", …
	From    string        // as spelt: "1001", "+33123456789", "sip:1001@example.com"
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

	Source      netip.Addr   // invalid: 192.0.2.1
	Net         netip.Prefix // repetitions come from one address of it after the other
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

// Nth is the n-th repetition of a description, from 1: {n} in its texts is the
// number, and its source the n-th address of Net.
func (d *Described) Nth(n int) Described {
	out := *d
	if d.Net.IsValid() {
		out.Source = nth(d.Net, n-1)
	}
	for _, text := range []*string{&out.From, &out.To, &out.User, &out.AuthUser, &out.UserAgent, &out.Call, &out.Diverted} {
		if strings.Contains(*text, "{n}") {
			*text = strings.ReplaceAll(*text, "{n}", strconv.Itoa(n))
		}
	}
	return out
}

// nth is an address of a network; behind the last one comes the first.
func nth(p netip.Prefix, n int) netip.Addr {
	first := p.Masked().Addr()
	host := first.BitLen() - p.Bits()
	add := uint64(n)
	if host < 64 {
		add &= 1<<host - 1
	}
	if first.Is4() {
		b := first.As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(add))
		return netip.AddrFrom4(b)
	}
	b := first.As16()
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])+add)
	return netip.AddrFrom16(b)
}
