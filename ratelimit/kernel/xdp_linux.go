package kernel

import (
	"bytes"
	_ "embed" // the bytecode
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// bytecode is xdp/gate.c as xdp/build compiles it.
//
//go:embed xdp/gate.o
var bytecode []byte

// XDP is the program on one interface. It is attached by a link, which the
// kernel ends together with the process; a program of somebody else is never
// replaced.
type XDP struct {
	coll   *ebpf.Collection
	link   link.Link
	mode   string // in which it runs
	asked  string // in which it may
	where  string
	off    bool // it was found to be attached no more
	any    bool
	budget Budget

	known  map[[16]byte]uint8
	peers  map[network]uint8
	banned map[network]time.Time
	here   map[[16]byte]uint8
	broken bool
}

// Layouts of xdp/gate.c.
type (
	network struct {
		Bits uint32
		Addr [16]byte
	}
	portKey struct {
		Proto, Zero uint8
		Number      [2]byte
	}
	settings struct {
		Every, Burst [2]uint64
		Whole        uint64
	}
)

// Modes in which a program can run.
const (
	Auto    = "auto" // native where the driver can, else generic
	Native  = "native"
	Generic = "generic"
)

// OpenXDP loads the program and attaches it to an interface. It drops nothing
// before the first Sync.
func OpenXDP(iface, mode string, ports []Port, b Budget) (*XDP, error) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, fmt.Errorf("xdp: interface %s: %w", iface, err)
	}
	x, err := load(ports, b)
	if err != nil {
		return nil, fmt.Errorf("xdp: %w", err)
	}
	x.where, x.asked = iface, mode
	if err := x.attach(i.Index, mode); err != nil {
		x.coll.Close()
		return nil, fmt.Errorf("xdp: interface %s: %w", iface, err)
	}
	return x, nil
}

// load makes the program and its maps.
func load(ports []Port, b Budget) (*XDP, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(bytecode))
	if err != nil {
		return nil, fmt.Errorf("program: %w", err)
	}
	// Kernels before 5.11 count maps as locked memory.
	unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	x := &XDP{budget: b}
	if x.coll, err = ebpf.NewCollection(spec); err != nil {
		return nil, fmt.Errorf("program: %w", told(err, true))
	}
	x.forget()
	for _, p := range ports {
		x.any = x.any || p.Addr.Addr().IsUnspecified()
	}
	if err := x.listen(ports); err != nil {
		x.coll.Close()
		return nil, err
	}
	return x, nil
}

func (x *XDP) forget() {
	x.known, x.peers, x.banned = map[[16]byte]uint8{}, map[network]uint8{}, map[network]time.Time{}
}

func (x *XDP) listen(ports []Port) error {
	here := x.coll.Maps["here"]
	for _, p := range ports {
		k := portKey{Proto: unix.IPPROTO_TCP}
		if p.udp() {
			k.Proto = unix.IPPROTO_UDP
		}
		binary.BigEndian.PutUint16(k.Number[:], p.Addr.Port())
		if err := x.coll.Maps["ports"].Put(k, uint8(1)); err != nil {
			return fmt.Errorf("port %d: %w", p.Addr.Port(), err)
		}
		if !p.Addr.Addr().IsUnspecified() {
			if err := here.Put(p.Addr.Addr().As16(), uint8(1)); err != nil {
				return fmt.Errorf("address %s: %w", p.Addr.Addr(), err)
			}
		}
	}
	if x.any {
		return x.addresses()
	}
	return nil
}

// addresses notes those of this host, as a listener on all of them has them: a
// packet that only passes through is not ours.
func (x *XDP) addresses() error {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	want := map[[16]byte]uint8{}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && len(want) < 1000 {
			want[p.Addr().WithZone("").As16()] = 1
		}
	}
	add, remove := change(x.here, want)
	for _, a := range add {
		if err := x.coll.Maps["here"].Put(a, uint8(1)); err != nil {
			return err
		}
	}
	for _, a := range remove {
		if err := gone(x.coll.Maps["here"].Delete(a)); err != nil {
			return err
		}
	}
	x.here = want
	return nil
}

// attach tries the modes in turn.
func (x *XDP) attach(index int, mode string) (err error) {
	for _, m := range []string{Native, Generic} {
		if mode != Auto && mode != m {
			continue
		}
		flags := link.XDPDriverMode
		if m == Generic {
			flags = link.XDPGenericMode
		}
		l, now := link.AttachXDP(link.XDPOptions{Program: x.coll.Programs["gate"], Interface: index, Flags: flags})
		if now == nil {
			x.link, x.mode = l, m
			return nil
		}
		if errors.Is(now, unix.EBUSY) || errors.Is(now, unix.EEXIST) {
			return fmt.Errorf("another XDP program is on it, and it stays: %w", now)
		}
		err = errors.Join(err, fmt.Errorf("%s mode: %w", m, now))
	}
	return told(err, true)
}

// attached: the kernel ends a link with its interface, and others may end it.
func (x *XDP) attached() (bool, error) {
	info, err := x.link.Info()
	if err != nil {
		return false, fmt.Errorf("link: %w", err)
	}
	i := info.XDP()
	return i != nil && i.Ifindex != 0, nil
}

// hold sees to it that the program is on the interface. A Sync that finds that
// it is not any more says so; the ones after it attach it anew.
func (x *XDP) hold() error {
	if !x.off {
		on, err := x.attached()
		if err != nil || on {
			return err
		}
		x.off = true
		return fmt.Errorf("interface %s: the program is not on it any more: the interface was removed, or somebody detached it", x.where)
	}
	i, err := net.InterfaceByName(x.where)
	if err != nil {
		return fmt.Errorf("interface %s: %w", x.where, err)
	}
	old := x.link
	if err := x.attach(i.Index, x.asked); err != nil {
		return fmt.Errorf("interface %s: %w", x.where, err)
	}
	x.off = false
	old.Close() // it holds nothing
	return nil
}

// Name implements Engine.
func (x *XDP) Name() string { return "xdp" }

// Describe tells people where it is.
func (x *XDP) Describe() string { return x.where + " (" + x.mode + ")" }

// Close implements Engine.
func (x *XDP) Close() error {
	err := x.link.Close()
	x.coll.Close()
	if err != nil {
		return fmt.Errorf("xdp: %w", err)
	}
	return nil
}

var xdpCauses = []string{"", Banned, NotSIP, Rate, Connections} // by index in xdp/gate.c

// Stats implements Engine.
func (x *XDP) Stats() (out []Count, err error) {
	for i, cause := range xdpCauses {
		if cause == "" {
			continue
		}
		var each []uint64
		if err := x.coll.Maps["counts"].Lookup(uint32(i), &each); err != nil {
			return nil, fmt.Errorf("xdp: counters: %w", err)
		}
		c := Count{Cause: cause}
		for _, n := range each {
			c.Packets += n
		}
		out = append(out, c)
	}
	return out, nil
}

// gone: what is to be removed may be gone already.
func gone(err error) error {
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}
