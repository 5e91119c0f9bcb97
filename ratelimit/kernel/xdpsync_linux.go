package kernel

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Sync implements Engine.
func (x *XDP) Sync(s State, now time.Time) error {
	if x.broken {
		if err := x.empty(); err != nil {
			return fmt.Errorf("xdp: %w", err)
		}
	}
	if x.link != nil {
		if err := x.hold(); err != nil {
			return fmt.Errorf("xdp: %w", err)
		}
	}
	x.broken = true
	s = fit(s, now)
	if err := x.sync(s, now); err != nil {
		return fmt.Errorf("xdp: %w", err)
	}
	x.broken = false
	if s.partial {
		return fmt.Errorf("xdp: %w", ErrFull)
	}
	return nil
}

func (x *XDP) sync(s State, now time.Time) error {
	if x.any {
		if err := x.addresses(); err != nil {
			return fmt.Errorf("addresses of this host: %w", err)
		}
	}
	known, peers, banned := map[[16]byte]uint8{}, map[network]uint8{}, map[network]time.Time{}
	for _, a := range s.Connected.Addrs {
		known[a.As16()] = byTCP
	}
	for _, a := range s.Known.Addrs {
		known[a.As16()] = byTCP | byUDP
	}
	// A trie answers with the longest match only, so a network says what those
	// say too that it lies in.
	for _, p := range s.Connected.Networks {
		peers[networkOf(p)] = byTCP
		if slices.ContainsFunc(s.Known.Networks, func(w netip.Prefix) bool { return w.Bits() < p.Bits() && w.Contains(p.Addr()) }) {
			peers[networkOf(p)] = byTCP | byUDP
		}
	}
	for _, p := range s.Known.Networks {
		peers[networkOf(p)] = byTCP | byUDP
	}
	set := x.settings(s)
	if s.partial {
		if err := x.coll.Maps["settings"].Put(uint32(0), set); err != nil {
			return fmt.Errorf("settings: %w", err)
		}
	}
	for _, b := range s.Bans {
		banned[networkOf(b.Net)] = b.Until
	}
	if err := bring(x.coll.Maps["known"], x.known, known, func(k [16]byte) uint8 { return known[k] }); err != nil {
		return fmt.Errorf("the known: %w", err)
	}
	if err := bring(x.coll.Maps["peers"], x.peers, peers, func(k network) uint8 { return peers[k] }); err != nil {
		return fmt.Errorf("peers: %w", err)
	}
	clock, err := monotonic()
	if err != nil {
		return err
	}
	until := func(n network) uint64 { return uint64(max(1, clock+int64(banned[n].Sub(now)))) }
	if err := bring(x.coll.Maps["banned"], x.banned, banned, until); err != nil {
		return fmt.Errorf("bans: %w", err)
	}
	if err := x.coll.Maps["settings"].Put(uint32(0), set); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	x.known, x.peers, x.banned = known, peers, banned
	return nil
}

// By what an address is known: bits of the values of known and peers.
const byUDP, byTCP = 1, 2

// settings of the program. Until all of the known are there it drops nothing.
func (x *XDP) settings(s State) (set settings) {
	if s.partial {
		return set
	}
	set.Whole = 1
	for i, rate := range []int{x.budget.Packets, x.budget.Connections} {
		if s.Emergency && rate > 0 {
			set.Every[i] = uint64(time.Second) / uint64(rate)
			set.Burst[i] = burst * uint64(time.Second)
		}
	}
	return set
}

// empty takes out what is held, known last.
func (x *XDP) empty() error {
	for _, name := range []string{"banned", "peers", "known"} {
		m := x.coll.Maps[name]
		key := make([]byte, m.KeySize())
		for m.NextKey(nil, &key) == nil {
			if err := gone(m.Delete(key)); err != nil {
				return err
			}
		}
	}
	x.forget()
	return nil
}

// bring makes a map hold what it has to: removals first, for there may be no
// room else. An entry whose value changed is put over the old one.
func bring[K comparable, V comparable, W any](m *ebpf.Map, has, want map[K]V, value func(K) W) error {
	add, remove := change(has, want)
	for _, k := range remove {
		if _, stays := want[k]; stays {
			continue
		}
		if err := gone(m.Delete(k)); err != nil {
			return err
		}
	}
	for _, k := range add {
		if err := m.Put(k, value(k)); err != nil {
			return err
		}
	}
	return nil
}

func networkOf(p netip.Prefix) network {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return network{uint32(bits), p.Addr().As16()}
}

// monotonic is the clock that the program reads.
func monotonic() (int64, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, fmt.Errorf("monotonic clock: %w", err)
	}
	return t.Nano(), nil
}
