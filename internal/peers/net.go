package peers

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
)

// Net is a block of loopback addresses, 127.a.b.0/24, that belongs to one test
// alone, so that every peer can use its usual ports and tests of several
// packages can run at the same time.
type Net struct {
	a, b byte
	last atomic.Uint32
}

// guard is the port whose binding on the address .254 of a block claims the block.
const guard = 65535

// NewNet claims a block until the test ends.
func NewNet(tb testing.TB) *Net {
	tb.Helper()
	for range 500 {
		a, b := byte(64+rand.IntN(64)), byte(rand.IntN(256))
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, a, b, 254}), guard)
		l, err := net.Listen("tcp4", at.String())
		if err != nil {
			continue
		}
		tb.Cleanup(func() { l.Close() })
		return &Net{a: a, b: b}
	}
	tb.Fatal("peers: no free block of loopback addresses")
	return nil
}

// Addr gives the next address of the block.
func (n *Net) Addr(tb testing.TB) netip.Addr {
	tb.Helper()
	i := n.last.Add(1)
	if i > 250 {
		tb.Fatal("peers: the block of loopback addresses is used up")
	}
	return netip.AddrFrom4([4]byte{127, n.a, n.b, byte(i)})
}

// Prefix is the whole block, for configurations that name a network.
func (n *Net) Prefix() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{127, n.a, n.b, 0}), 24)
}

// FreePort finds a port of addr that is free for UDP and TCP now, for peers that
// must share an address (IPv6 has only ::1). It is even, so that RTCP has its
// neighbour, and from 16000 to 31999: below the ports that the kernel gives to
// connections, and away from media ranges that tests put at 40000 and above.
func FreePort(tb testing.TB, addr netip.Addr) uint16 {
	tb.Helper()
	for range 500 {
		ap := netip.AddrPortFrom(addr, uint16(16000+2*rand.IntN(8000)))
		u, err := net.ListenPacket("udp", ap.String())
		if err != nil {
			continue
		}
		u.Close()
		t, err := net.Listen("tcp", ap.String())
		if err != nil {
			continue
		}
		t.Close()
		return ap.Port()
	}
	tb.Fatal(fmt.Sprintf("peers: no free port on %v", addr))
	return 0
}
