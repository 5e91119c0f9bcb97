// Package kernel lets the kernel drop what the gateway would drop itself: it
// answers "can this packet be refused before it costs anything". Two engines
// do it, each alone or both: a table of nftables ([OpenTable]), and an XDP
// program on one interface ([OpenXDP]).
//
// It bans nobody and knows nobody by itself. Who is banned, who is known and
// whether sources that are not known have a budget is one [State], made by the
// gateway and handed over by Sync, which brings the kernel's copy in step with
// as few changes as it takes. Whoever is known passes whatever else holds: that
// comes first in both engines. Only the SIP ports are looked at; media never is.
//
// The gateway owns an engine and calls it from one goroutine; Stats may be
// asked from others. There is no clock here but the kernel's own: Sync takes
// the time. When an engine breaks, packets go on to the gateway's own gate.
// The kernel takes both engines away when the process ends, however it ends:
// the table belongs to a socket of the process, the program to a link.
//
// Start reading at [Engine].
package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Engine is one way to drop packets in the kernel.
type Engine interface {
	// Name is nftables or xdp.
	Name() string
	// Describe tells people where it is.
	Describe() string
	// Sync makes the kernel hold what is in force. After an error it may hold
	// parts of it; the next Sync tries all of it again. A program that lost its
	// interface is an error of one Sync, and the next ones attach it anew.
	Sync(s State, now time.Time) error
	// Stats counts what was dropped since the engine was opened, by cause.
	Stats() ([]Count, error)
	// Close takes everything out of the kernel.
	Close() error
}

// Causes why a packet is dropped.
const (
	Banned      = "banned"
	NotSIP      = "not_sip"     // a datagram of a stranger that is no SIP message
	Rate        = "rate"        // a stranger's datagram over the budget of its source
	Connections = "connections" // a stranger's new connection over it
)

// Count is how many packets were dropped for a cause.
type Count struct {
	Cause   string
	Packets uint64
}

// State is what the kernel has to hold.
type State struct {
	Known     Known // never dropped: PBXs, peers that may use datagrams, calls by datagrams
	Connected Known // never dropped over TCP and TLS; their datagrams are a stranger's, as anybody can write them
	Bans      []Ban
	Emergency bool // strangers have a budget each

	partial bool // not all of the known have room: nothing is dropped
}

// Known are addresses and networks that are known.
type Known struct {
	Addrs    []netip.Addr
	Networks []netip.Prefix
}

// Ban shuts out an address or network.
type Ban struct {
	Net   netip.Prefix
	Until time.Time
}

// Port is one that the gateway listens on for SIP.
type Port struct {
	Transport string // udp, tcp or tls
	Addr      netip.AddrPort
}

func (p Port) udp() bool { return p.Transport == "udp" }

// Budget is what one stranger may send in an emergency. An IPv6 source is its
// /64.
type Budget struct {
	Packets     int // datagrams a second
	Connections int // new connections a second
}

// burst is how many seconds' worth of a budget may come at once.
const burst = 4

// Caps of what the kernel holds. What is over them is left to the gateway's own
// gate; of bans those that last longest are held. While not all of the known
// have room nothing is dropped, and Sync says so ([ErrFull]): nobody who is known
// is ever dropped for lack of room.
const (
	MaxKnown    = 131_072 // addresses, both kinds of known together
	MaxNetworks = 4096
	MaxBans     = 131_072 // as many as the gateway's table holds
	MaxSources  = 65_536  // strangers with a budget in use; the kernel forgets the oldest
)

// ErrPrivileges says that the process may not change the kernel's tables. What
// it lacks stands behind.
var ErrPrivileges = errors.New("privileges are missing")

// ErrFull says that there are more known than the kernel has room for.
var ErrFull = fmt.Errorf("more than %d known addresses or %d networks: nothing is dropped in the kernel", MaxKnown, MaxNetworks)

// fit makes a state canonical and no larger than the caps: addresses folded,
// networks masked, each once. Who is known altogether is not among the connected.
func fit(s State, now time.Time) State {
	out := State{Known: s.Known.canonical(), Connected: s.Connected.canonical(), Emergency: s.Emergency}
	out.Connected.Addrs = slices.DeleteFunc(out.Connected.Addrs, func(a netip.Addr) bool {
		_, both := slices.BinarySearchFunc(out.Known.Addrs, a, netip.Addr.Compare)
		return both
	})
	out.Connected.Networks = slices.DeleteFunc(out.Connected.Networks, func(p netip.Prefix) bool {
		_, both := slices.BinarySearchFunc(out.Known.Networks, p, comparePrefix)
		return both
	})
	if len(out.Known.Addrs)+len(out.Connected.Addrs) > MaxKnown || len(out.Known.Networks)+len(out.Connected.Networks) > MaxNetworks {
		return State{partial: true}
	}
	for _, b := range s.Bans {
		if b.Net = fold(b.Net); b.Net.IsValid() && now.Before(b.Until) {
			out.Bans = append(out.Bans, b)
		}
	}
	if len(out.Bans) > MaxBans { // sorting tens of thousands takes longer than all the rest
		slices.SortFunc(out.Bans, func(x, y Ban) int { return cmp.Or(y.Until.Compare(x.Until), comparePrefix(x.Net, y.Net)) })
		out.Bans = out.Bans[:MaxBans]
	}
	return out
}

func (k Known) canonical() (out Known) {
	for _, a := range k.Addrs {
		if a.IsValid() {
			out.Addrs = append(out.Addrs, a.Unmap().WithZone(""))
		}
	}
	slices.SortFunc(out.Addrs, netip.Addr.Compare)
	out.Addrs = slices.Compact(out.Addrs)
	for _, p := range k.Networks {
		if p = fold(p); p.IsValid() {
			out.Networks = append(out.Networks, p)
		}
	}
	slices.SortFunc(out.Networks, comparePrefix)
	out.Networks = slices.Compact(out.Networks)
	return out
}

func comparePrefix(x, y netip.Prefix) int {
	return cmp.Or(x.Addr().Compare(y.Addr()), cmp.Compare(x.Bits(), y.Bits()))
}

// fold takes IPv4 out of IPv6 and masks.
func fold(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(a.Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// change is what differs between what the kernel holds and what it has to.
// Values of entries that are in both are compared too.
func change[K comparable, V comparable](has, want map[K]V) (add, remove []K) {
	for k, v := range want {
		if old, ok := has[k]; !ok || old != v {
			add = append(add, k)
		}
	}
	for k, v := range has {
		if is, ok := want[k]; !ok || is != v {
			remove = append(remove, k)
		}
	}
	return add, remove
}
