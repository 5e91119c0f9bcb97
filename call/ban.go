package call

import (
	"net/netip"
	"strings"
	"time"
)

// Act is what a decision asks for beside its verdict.
type Act uint8

const (
	NoAct     Act = iota
	ActBan        // shut a key out for a while
	ActHold       // let an account make no costly calls for a while
	ActHangup     // end the call that is up
)

func (a Act) String() string { return [...]string{"", "ban", "hold", "hangup"}[a] }

// Effect is one thing to be done about whoever an attempt came from. It says
// by itself who asked for it and why: the decision that carries it may be
// another rule's.
type Effect struct {
	Act      Act
	For      time.Duration // of a ban or hold; 0: a ban that doubles with each repetition
	Key      Key           // of a ban or hold: whom it is about
	Rule     string
	Reason   string
	Severity Severity
	Evidence []Evidence
}

// Key is whom a ban or hold is about: a tuple of what limits can count by.
// What is empty is no part of it. It is comparable; its parts are never joined
// into one text, so that no two keys look alike.
type Key struct {
	Source       netip.Prefix `json:"source,omitzero"` // one sender: a /32, or the /64 an IPv6 host has; or its network
	User         string       `json:"user,omitempty"`
	Peer         string       `json:"peer,omitempty"`
	Account      string       `json:"account,omitempty"`
	RegisterUser string       `json:"register_user,omitempty"`
	Domain       string       `json:"domain,omitempty"` // of RegisterUser, where the gateway serves more than one
}

// Shape says which parts a key has, as bits.
type Shape uint8

const (
	ShapeIP Shape = 1 << iota
	ShapeNet
	ShapeUser
	ShapePeer
	ShapeAccount
	ShapeRegisterUser
)

// Shapes is the number of shapes there can be.
const Shapes = 64

var shapeNames = []struct {
	name string
	bit  Shape
}{
	{"source.ip", ShapeIP}, {"source.net", ShapeNet}, {"user", ShapeUser}, {"peer", ShapePeer},
	{"account", ShapeAccount}, {"register.user", ShapeRegisterUser},
}

// ShapeOf is the shape of a key of these parts, as limits name them. The
// address is more exact than its network, so it stands for both.
func ShapeOf(names []string) (s Shape) {
	for _, n := range names {
		for _, k := range shapeNames {
			if k.name == n {
				s |= k.bit
			}
		}
	}
	if s&ShapeIP != 0 {
		s &^= ShapeNet
	}
	return s
}

// Shape of the key.
func (k Key) Shape() (s Shape) {
	switch bits := k.Source.Bits(); {
	case !k.Source.IsValid():
	case k.Source.Addr().Is4() && bits < 32, k.Source.Addr().Is6() && bits < 64:
		s |= ShapeNet
	default:
		s |= ShapeIP
	}
	for _, p := range []struct {
		text string
		bit  Shape
	}{{k.User, ShapeUser}, {k.Peer, ShapePeer}, {k.Account, ShapeAccount}, {k.RegisterUser, ShapeRegisterUser}} {
		if p.text != "" {
			s |= p.bit
		}
	}
	return s
}

// KeyOf makes the key of that shape from an attempt; false when the attempt
// lacks a part of it. It allocates nothing.
func KeyOf(a *Attempt, s Shape) (k Key, ok bool) {
	if s == 0 {
		return k, false
	}
	switch {
	case s&ShapeIP != 0:
		k.Source = SourcePrefix(a.Source.Addr.Addr(), false)
	case s&ShapeNet != 0:
		k.Source = SourcePrefix(a.Source.Addr.Addr(), true)
	}
	if s&(ShapeIP|ShapeNet) != 0 && !k.Source.IsValid() {
		return Key{}, false
	}
	take := func(bit Shape, into *string, text string) bool {
		if s&bit == 0 {
			return true
		}
		*into = text
		return text != ""
	}
	ok = take(ShapeUser, &k.User, a.User) && take(ShapePeer, &k.Peer, a.Peer) &&
		take(ShapeAccount, &k.Account, a.Account) && take(ShapeRegisterUser, &k.RegisterUser, a.RegisterUser)
	if !ok {
		return Key{}, false
	}
	if k.RegisterUser != "" {
		k.Domain = a.RegisterDomain
	}
	return k, true
}

// SourcePrefix is what of an address counts as one sender (a whole /64 of
// IPv6), or as its network (/24, /48).
func SourcePrefix(a netip.Addr, network bool) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	switch {
	case a.Is4() && network:
		bits = 24
	case a.Is6() && network:
		bits = 48
	case a.Is6():
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// HoldKey is whose costly calls a hold stops: the user, else the peer, else the
// account (the `pbx` entry).
func HoldKey(a *Attempt) (Key, bool) {
	switch {
	case a.Stranger():
		return Key{}, false // nobody knows who that is
	case a.User != "":
		return Key{User: a.User}, true
	case a.Peer != "" && a.PeerKind == Carrier:
		return Key{Peer: a.Peer}, true
	case a.Account != "":
		return Key{Account: a.Account}, true
	}
	return Key{}, false
}

// String writes the key for people.
func (k Key) String() string {
	var b strings.Builder
	add := func(name, v string) {
		if v == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(name + "=" + v)
	}
	if k.Source.IsValid() {
		name, v := "source.net", k.Source.String()
		if k.Shape()&ShapeIP != 0 {
			name = "source.ip"
			if k.Source.Addr().Is4() {
				v = k.Source.Addr().String()
			}
		}
		add(name, v)
	}
	add("user", k.User)
	add("peer", k.Peer)
	add("account", k.Account)
	add("register.user", k.RegisterUser)
	add("domain", k.Domain)
	return b.String()
}

// Subject is the key as alerts name it.
func (k Key) Subject() Subject {
	switch {
	case k.User != "":
		return Subject{Kind: "user", Value: k.User}
	case k.Peer != "":
		return Subject{Kind: "peer", Value: k.Peer}
	case k.Source.IsValid() && k.Shape()&ShapeIP != 0 && k.Source.Addr().Is4():
		return Subject{Kind: "source", Value: k.Source.Addr().String()}
	case k.Source.IsValid():
		return Subject{Kind: "source", Value: k.Source.String()}
	case k.RegisterUser != "":
		return Subject{Kind: "user", Value: k.RegisterUser}
	}
	return Subject{Kind: "account", Value: k.Account}
}

// Ban is a ban or hold that is in force, or was.
type Ban struct {
	Act      Act        `json:"-"` // ActBan or ActHold
	Key      Key        `json:"key"`
	Rule     string     `json:"rule"` // who asked for it
	Reason   string     `json:"reason"`
	Evidence []Evidence `json:"evidence,omitempty"`
	Since    time.Time  `json:"since"`
	Until    time.Time  `json:"until"`
	Times    int        `json:"times"`  // how often in a row, this one included
	Manual   bool       `json:"manual"` // an operator made it
	Known    bool       `json:"known"`  // about somebody identified; a stranger's never takes its place
}

// Enacted is a ban or hold that came into force, or was renewed.
type Enacted struct {
	Ban
	Severity Severity // of the rule that asked
	Again    bool     // it was in force already
}

// Costly reports whether a call to the party may run up a bill: every public
// number outside the home country, and at home what is not charged like a plain
// call: premium rate, shared cost, satellite, personal numbers, pagers, and
// numbers that nobody was given.
func (p Party) Costly() bool {
	switch p.Class {
	case "premium_rate", "shared_cost", "satellite", "personal", "pager", "unallocated":
		return p.Kind == National || p.Kind == International
	}
	return p.Kind == International
}

// BanVerdict is what becomes of a request that a ban is about: those that are
// identified are told, of others nothing is heard any more.
func BanVerdict(a *Attempt) (Verdict, int) {
	if a.Stranger() {
		return Drop, 0
	}
	return Reject, 403
}

// HoldVerdict is what becomes of a request while its account is held, and of
// the one that led to it: costly calls are refused, the rest is as it was.
func HoldVerdict(a *Attempt) (Verdict, int) {
	if a.Method == "INVITE" && a.On == Request && (a.To.Costly() || a.To.Other != nil && a.To.Other.Costly()) {
		return Reject, 403
	}
	return Abstain, 0
}
