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
	"net/netip"
	"slices"
	"time"
)

// Engine is one way to drop packets in the kernel.
type Engine interface {
	// Name is nftables or xdp.
	Name() string
	// Sync makes the kernel hold what is in force. After an error it may hold
	// parts of it; the next Sync tries all of it again.
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
	Known     []netip.Addr   // addresses that are never dropped: PBXs, peers, registered phones, calls
	Networks  []netip.Prefix // of peers, likewise
	Bans      []Ban
	Emergency bool // strangers have a budget each
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
// gate; of bans those that last longest are held, of the known the lowest
// addresses, and no bans at all while not all of the known have room: nobody
// who is known is ever dropped for lack of room.
const (
	MaxKnown    = 131_072
	MaxNetworks = 4096
	MaxBans     = 131_072 // as many as the gateway's table holds
	MaxSources  = 65_536  // strangers with a budget in use; the kernel forgets the oldest
)

// ErrPrivileges says that the process may not change the kernel's tables.
var ErrPrivileges = errors.New("no privileges: CAP_NET_ADMIN is needed, and CAP_BPF for XDP")

// fit makes a state canonical and no larger than the caps: addresses folded,
// networks masked, each once.
func fit(s State, now time.Time) State {
	out := State{Emergency: s.Emergency}
	for _, a := range s.Known {
		if a.IsValid() {
			out.Known = append(out.Known, a.Unmap().WithZone(""))
		}
	}
	slices.SortFunc(out.Known, netip.Addr.Compare)
	out.Known = slices.Compact(out.Known)
	for _, p := range s.Networks {
		if p = fold(p); p.IsValid() {
			out.Networks = append(out.Networks, p)
		}
	}
	slices.SortFunc(out.Networks, comparePrefix)
	out.Networks = slices.Compact(out.Networks)
	if len(out.Known) > MaxKnown || len(out.Networks) > MaxNetworks {
		return State{Known: out.Known[:min(len(out.Known), MaxKnown)], Networks: out.Networks[:min(len(out.Networks), MaxNetworks)]}
	}
	for _, b := range s.Bans {
		if b.Net = fold(b.Net); b.Net.IsValid() && now.Before(b.Until) {
			out.Bans = append(out.Bans, b)
		}
	}
	slices.SortFunc(out.Bans, func(x, y Ban) int { return cmp.Or(y.Until.Compare(x.Until), comparePrefix(x.Net, y.Net)) })
	out.Bans = out.Bans[:min(len(out.Bans), MaxBans)]
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
