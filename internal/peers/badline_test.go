package peers

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// The same seed loses the same datagrams, and what the line says it did is what
// arrives.
func TestBadLine(t *testing.T) {
	t.Parallel()
	const all = 400
	run := func(seed uint64) (arrived []string, did map[string]int) {
		n := NewNet(t)
		socket := func() (*net.UDPConn, netip.AddrPort) {
			c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(n.Addr(t), 5060)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			_ = c.SetReadBuffer(1 << 20)
			return c, c.LocalAddr().(*net.UDPAddr).AddrPort()
		}
		peer, peerAt := socket()
		gateway, gatewayAt := socket()
		l := StartBadLine(t, n, netip.AddrPortFrom(n.Addr(t), 5060), peerAt, gatewayAt, Trouble{Seed: seed, Lost: 0.1, Twice: 0.1, Late: 0.1})
		for i := range all {
			if _, err := peer.WriteToUDPAddrPort(fmt.Appendf(nil, "datagram %03d", i), l.In); err != nil {
				t.Fatal(err)
			}
		}
		b := make([]byte, 100)
		_ = gateway.SetReadDeadline(time.Now().Add(10 * time.Second))
		for {
			did = l.Did()
			if len(arrived) > 0 && len(arrived) == all-did["lost"]+did["twice"] {
				break
			}
			size, from, err := gateway.ReadFromUDPAddrPort(b)
			if err != nil {
				t.Fatalf("after %d datagrams of %v: %v", len(arrived), did, err)
			}
			if from != l.End {
				t.Fatalf("a datagram from %v, want %v", from, l.End)
			}
			arrived = append(arrived, string(b[:size]))
		}
		return arrived, did
	}
	one, did := run(1)
	again, didAgain := run(1)
	other, _ := run(2)
	for _, what := range []string{"lost", "twice", "late"} {
		if did[what] < all/20 || did[what] > all/5 || did[what] != didAgain[what] {
			t.Errorf("%s: %d and %d of %d, want about a tenth, and the same", what, did[what], didAgain[what], all)
		}
	}
	if slices.IsSorted(one) {
		t.Error("nothing was overtaken")
	}
	slices.Sort(one)
	slices.Sort(again)
	slices.Sort(other)
	if !slices.Equal(one, again) || slices.Equal(one, other) {
		t.Error("the seed does not decide what arrives")
	}
}
