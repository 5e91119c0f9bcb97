package kernel

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

// frame builds what a driver hands over. before are IPv6 extension headers,
// each with its own number in front of its body.
type frame struct {
	tag      uint16 // of a VLAN; 0: none
	from, to string
	proto    byte
	options  int // 4 bytes each, of the IPv4 header
	fragment uint16
	before   []ext
	port     uint16
	flags    byte // of TCP
	payload  string
}

type ext struct {
	number byte
	body   []byte // 8 bytes or a multiple; the first byte is set here
}

func (f frame) bytes() []byte {
	b := make([]byte, 12)
	if f.tag != 0 {
		b = append(b, byte(f.tag>>8), byte(f.tag), 0, 7)
	}
	from, to := netip.MustParseAddr(f.from), netip.MustParseAddr(f.to)
	l4 := make([]byte, 8)
	if f.proto == 6 {
		l4 = make([]byte, 20)
		l4[12], l4[13] = 5<<4, f.flags
	}
	binary.BigEndian.PutUint16(l4[2:], f.port)
	l4 = append(l4, f.payload...)
	if from.Is4() {
		b = append(b, 8, 0)
		ip := make([]byte, 20+4*f.options)
		ip[0], ip[9] = byte(4<<4|5+f.options), f.proto
		binary.BigEndian.PutUint16(ip[6:], f.fragment)
		copy(ip[12:], from.AsSlice())
		copy(ip[16:], to.AsSlice())
		return append(append(b, ip...), l4...)
	}
	b = append(b, 0x86, 0xdd)
	ip := make([]byte, 40)
	ip[0], ip[6] = 6<<4, f.proto
	copy(ip[8:], from.AsSlice())
	copy(ip[24:], to.AsSlice())
	for i, e := range f.before {
		if i == 0 {
			ip[6] = e.number
		}
		e.body[0] = f.proto
		if i+1 < len(f.before) {
			e.body[0] = f.before[i+1].number
		}
		ip = append(ip, e.body...)
	}
	return append(append(b, ip...), l4...)
}

// The program is run on frames as a driver would, without a network.
func TestFrames(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("programs are loaded as root only")
	}
	const us4, us6 = "192.0.2.1", "2001:db8::1"
	x := loaded(t, []Port{{"udp", netip.MustParseAddrPort("192.0.2.1:5060")}, {"udp", netip.MustParseAddrPort("[2001:db8::1]:5060")}, {"tls", netip.MustParseAddrPort("192.0.2.1:5061")}})
	now := time.Now()
	if err := x.Sync(State{Bans: []Ban{{netip.MustParsePrefix("198.51.100.0/24"), now.Add(time.Hour)}, {netip.MustParsePrefix("2001:db8:5::/48"), now.Add(time.Hour)}},
		Known: Known{Addrs: []netip.Addr{netip.MustParseAddr("198.51.100.7")}}}, now); err != nil {
		t.Fatal(err)
	}
	hop := func() ext { return ext{0, make([]byte, 8)} }
	long := func() ext { b := make([]byte, 24); b[1] = 2; return ext{60, b} }
	split := func(offset byte) ext { return ext{44, []byte{0, 0, 0, offset, 0, 0, 0, 1}} }
	const drop, pass = 1, 2
	for name, c := range map[string]struct {
		f    frame
		want uint32
	}{
		"banned":                          {frame{from: "198.51.100.9", to: us4, proto: 17, port: 5060, payload: "INVITE"}, drop},
		"known":                           {frame{from: "198.51.100.7", to: us4, proto: 17, port: 5060, payload: "\x00"}, pass},
		"stranger":                        {frame{from: "203.0.113.9", to: us4, proto: 17, port: 5060, payload: "INVITE"}, pass},
		"stranger's junk":                 {frame{from: "203.0.113.9", to: us4, proto: 17, port: 5060, payload: "\x00\x01"}, drop},
		"nothing at all":                  {frame{from: "203.0.113.9", to: us4, proto: 17, port: 5060}, drop},
		"banned, another port":            {frame{from: "198.51.100.9", to: us4, proto: 17, port: 20000, payload: "INVITE"}, pass},
		"banned, the port of TCP":         {frame{from: "198.51.100.9", to: us4, proto: 17, port: 5061, payload: "INVITE"}, pass},
		"banned, to somebody else":        {frame{from: "198.51.100.9", to: "192.0.2.2", proto: 17, port: 5060, payload: "INVITE"}, pass},
		"banned, TCP, up":                 {frame{from: "198.51.100.9", to: us4, proto: 6, port: 5061, flags: 0x10}, drop},
		"stranger's TCP is not looked at": {frame{from: "203.0.113.9", to: us4, proto: 6, port: 5061, flags: 0x18, payload: "\x16"}, pass},
		"banned, options":                 {frame{from: "198.51.100.9", to: us4, proto: 17, options: 10, port: 5060, payload: "INVITE"}, drop},
		"banned, VLAN":                    {frame{tag: 0x8100, from: "198.51.100.9", to: us4, proto: 17, port: 5060, payload: "INVITE"}, drop},
		"banned, provider's VLAN":         {frame{tag: 0x88a8, from: "198.51.100.9", to: us4, proto: 17, port: 5060, payload: "INVITE"}, drop},
		"banned, first fragment":          {frame{from: "198.51.100.9", to: us4, proto: 17, fragment: 0x2000, port: 5060, payload: "INVITE"}, drop},
		"banned, later fragment":          {frame{from: "198.51.100.9", to: us4, proto: 17, fragment: 0x2001, port: 5060, payload: "INVITE"}, pass},
		"IPv6":                            {frame{from: "2001:db8:5:1::1", to: us6, proto: 17, port: 5060, payload: "INVITE"}, drop},
		"IPv6, stranger":                  {frame{from: "2001:db8:6:1::1", to: us6, proto: 17, port: 5060, payload: "INVITE"}, pass},
		"IPv6, VLAN":                      {frame{tag: 0x8100, from: "2001:db8:5:1::1", to: us6, proto: 17, port: 5060, payload: "INVITE"}, drop},
		"IPv6, headers":                   {frame{from: "2001:db8:5:1::1", to: us6, proto: 17, before: []ext{hop(), long(), split(1)}, port: 5060, payload: "INVITE"}, drop},
		"IPv6, later fragment":            {frame{from: "2001:db8:5:1::1", to: us6, proto: 17, before: []ext{hop(), split(8)}, port: 5060, payload: "INVITE"}, pass},
		"IPv6, header without a name":     {frame{from: "2001:db8:5:1::1", to: us6, proto: 17, before: []ext{{50, make([]byte, 8)}}, port: 5060, payload: "INVITE"}, pass},
		"IPv6, a long row of headers":     {frame{from: "2001:db8:5:1::1", to: us6, proto: 17, before: []ext{hop(), hop(), hop(), hop(), hop(), hop()}, port: 5060, payload: "INVITE"}, pass},
	} {
		b := c.f.bytes()
		if got := run(t, x, b); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		// Cut anywhere, it is passed, or dropped where the whole is.
		for n := 14; n < len(b); n++ {
			if got := run(t, x, b[:n]); got != pass && got != drop {
				t.Errorf("%s, %d bytes: %d", name, n, got)
			} else if got == drop && n < len(b)-len(c.f.payload)-12 {
				t.Errorf("%s, %d bytes: dropped before its port is there", name, n)
			}
		}
	}
}

// loaded is a program that is attached nowhere.
func loaded(t *testing.T, ports []Port) *XDP {
	t.Helper()
	x, err := load(ports, Budget{Packets: 10, Connections: 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.coll.Close)
	return x
}

func run(t *testing.T, x *XDP, b []byte) uint32 {
	t.Helper()
	got, err := x.coll.Programs["gate"].Run(&ebpf.RunOptions{Data: b})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Sources without end leave the table of budgets at its cap, and none of them
// reaches the known.
func TestSourcesAreCapped(t *testing.T) {
	x := loaded(t, []Port{{"udp", netip.MustParseAddrPort("192.0.2.1:5060")}})
	if got := x.coll.Maps["budgets"].MaxEntries(); got != MaxSources {
		t.Errorf("budgets of %d sources", got)
	}
	known := netip.MustParseAddr("198.51.100.7")
	now := time.Now()
	if err := x.Sync(State{Emergency: true, Known: Known{Addrs: []netip.Addr{known}}}, now); err != nil {
		t.Fatal(err)
	}
	f := frame{from: "0.0.0.0", to: "192.0.2.1", proto: 17, port: 5060, payload: "INVITE"}
	b := f.bytes()
	sources := MaxSources + MaxSources/2
	for i := range sources {
		binary.BigEndian.PutUint32(b[26:], uint32(10<<24+i))
		run(t, x, b)
	}
	n := 0
	for it, k, v := x.coll.Maps["budgets"].Iterate(), []byte{}, uint64(0); it.Next(&k, &v); {
		n++
	}
	if n > MaxSources || n < MaxSources/2 {
		t.Errorf("%d of %d sources are held", n, sources)
	}
	f.from = known.String()
	for range 1000 {
		if run(t, x, f.bytes()) != 2 {
			t.Fatal("the known are dropped")
		}
	}
}
