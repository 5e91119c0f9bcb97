package sbc_test

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

var (
	_ sbc.Siege = (*ratelimit.Siege)(nil)
	_ sbc.Gate  = (*ratelimit.Gate)(nil)
)

// ordered is a siege that begins and ends when the test says so.
type ordered struct{ up atomic.Bool }

func (o *ordered) Look(time.Time, uint64, uint64) (bool, uint32) { return o.up.Load(), 1 << 30 }

// TestSiege: while strangers are shut out in the kernel a call is made, goes
// on and ends; a stranger is not read before it is over. Both are told.
func TestSiege(t *testing.T) {
	t.Parallel()
	o := &ordered{}
	w := newRawWorld(t, func(c *worldConfig) {
		c.deps.Siege = o
		c.deps.Gate = ratelimit.NewGate(ratelimit.GateConfig{})
	})
	stranger, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(publicNet + "99")}, net.UDPAddrFromAddrPort(w.a.gw))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	n := 0
	ask := func() {
		n++
		fmt.Fprintf(stranger, "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d\r\nFrom: <sip:x@%s>;tag=1\r\nTo: <sip:%s>\r\nCall-ID: siege%d\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\r\n",
			domain, stranger.LocalAddr(), n, domain, domain, n)
	}
	read := func() uint64 { return w.gw.Signalling().Requests.Load() }
	before := read()
	eventually(t, "the stranger is read in peace", func() bool { ask(); return read() > before })

	c := w.up()
	o.up.Store(true)
	told := func(what call.Severity) func() bool {
		return func() bool {
			w.rep.mu.Lock()
			defer w.rep.mu.Unlock()
			for _, e := range w.rep.systems {
				if e.Rule == "base/siege" && e.Severity == what && e.Action == call.Flood {
					return true
				}
			}
			return false
		}
	}
	eventually(t, "the siege is told of", told(call.High))
	drops := w.gw.KernelDrops(call.Public)
	before = read()
	for range 20 {
		ask()
	}
	if got := w.gw.KernelDrops(call.Public) - drops; got != 20 || read() != before {
		t.Errorf("the kernel dropped %d of 20, %d were read", got, read()-before)
	}
	w.bye(c, 2)
	w.bye(w.up(), 2)

	o.up.Store(false)
	eventually(t, "the end is told of", told(call.Info))
	before = read()
	eventually(t, "the stranger is read again", func() bool { ask(); return read() > before })
}

// TestForgedPeer: datagrams in a peer's name stop at its own budget; another
// peer's, and a phone's, pass.
func TestForgedPeer(t *testing.T) {
	t.Parallel()
	gate := ratelimit.NewGate(ratelimit.GateConfig{PeerPackets: 100})
	w := newRawWorld(t, func(c *worldConfig) {
		c.deps.Gate = gate
		c.sbc.Peers = append(c.sbc.Peers, sbc.Peer{Name: "wide", IP: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, Host: "198.51.100.1", Transport: "udp", AllowPlaintext: true})
	})
	passed := 0
	for i := range 1000 { // every address of the network is one budget
		if w.gw.AdmitDatagram(call.Public, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 500) {
			passed++
		}
	}
	if passed != 200 {
		t.Errorf("%d of a forged network passed, want its burst of 200", passed)
	}
	w.up() // by the other peer
	if !w.gw.AdmitStream(call.Inside, netip.MustParseAddr("198.51.100.1"), 500) {
		t.Error("the inside is asked")
	}
}

// TestFloodBringsASiege by itself: strangers' datagrams are refused until the
// kernel takes over, and a peer's call is made beside them.
func TestFloodBringsASiege(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) {
		c.deps.Siege = ratelimit.NewSiege(5)
		c.deps.Gate = ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: 1, SourceBurst: 5, StrangerPackets: 5})
	})
	var from [8]*net.UDPConn
	for i := range from {
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(fmt.Sprint(publicNet, 101+i))}, net.UDPAddrFromAddrPort(w.a.gw))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		from[i] = c
	}
	eventually(t, "a siege", func() bool {
		for i := range 10 { // in each look at least as many as the budget allows
			fmt.Fprintf(from[i%len(from)], "REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK%d\r\n\r\n", domain, i)
		}
		w.rep.mu.Lock()
		defer w.rep.mu.Unlock()
		for _, e := range w.rep.systems {
			if e.Rule == "base/siege" {
				return e.Evidence[0].Value.(int) > 0 && e.Evidence[1].Value.(uint32) >= 2
			}
		}
		return false
	})
	w.bye(w.up(), 2)
}
