package sbc_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// underFlood is what a thousand sources send, and one that writes the phone's
// address into its datagrams. It is over when each has sent its share.
type underFlood struct {
	t    *testing.T
	to   netip.AddrPort
	sent atomic.Uint64
	wg   sync.WaitGroup
}

func (f *underFlood) message(kind string, k int) []byte {
	if kind == "garbage" {
		b := make([]byte, 200)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		b[0] = 0xff
		return b
	}
	return fmt.Appendf(nil, "%s sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKflood%d\r\nMax-Forwards: 70\r\nFrom: <sip:flood%d@%[2]s>;tag=%[3]d\r\n"+
		"To: <sip:flood%[4]d@%[2]s>\r\nCall-ID: flood-%[1]s-%[3]d\r\nCSeq: 1 %[1]s\r\nContact: <sip:flood@192.0.2.1>\r\nContent-Length: 0\r\n\r\n", kind, domain, k, k)
}

// from sends so many of a kind from one address.
func (f *underFlood) from(source, kind string, n int) {
	c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(source+":0")), net.UDPAddrFromAddrPort(f.to))
	if err != nil {
		f.t.Error(err)
		return
	}
	defer c.Close()
	for range n {
		k := int(f.sent.Load())
		if _, err := c.Write(f.message(kind, k)); err == nil { // a refusal of an earlier one may be told here: that one was sent, this one was not
			f.sent.Add(1)
		}
	}
}

func (f *underFlood) start(sources, each int, phone string) (over <-chan struct{}) {
	for _, kind := range []string{"garbage", "REGISTER", "INVITE", "OPTIONS"} {
		f.wg.Go(func() {
			for i := range sources {
				f.from(fmt.Sprintf("127.%d.%d.%d", block, 100+i/250, 1+i%250), kind, each)
			}
		})
	}
	f.wg.Go(func() { f.from(phone, "INVITE", sources*each/10) })
	done := make(chan struct{})
	go func() { f.wg.Wait(); close(done) }()
	return done
}

// TestCallsUnderFlood: beside 20,000 datagrams of each kind from a thousand
// sources, and many that claim to come from the phone itself, a phone on TLS
// places its calls and each succeeds. Every datagram is accounted for, nobody
// is banned, nothing crosses to the PBX and nothing is left behind.
func TestCallsUnderFlood(t *testing.T) {
	t.Parallel()
	each := 20
	if race {
		each = 4
	}
	const sources, burst, perSecond = 1000, 200, 20.0
	gate := ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: 2, SourceBurst: 10, StrangerPackets: perSecond, StrangerBurst: burst, Sources: 256})
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := newWorld(t, func(c *worldConfig) { c.deps.Gate, c.deps.Bans = gate, bans })
	p := w.registered("1001")
	before, began := gateCounts(gate), time.Now()

	f := &underFlood{t: t, to: w.gw.Addrs(call.Public, "udp")[0]}
	over := f.start(sources, each, p.Addr().Addr().String())
	for calls, still := 0, true; calls < 20 || still && calls < 200; calls++ {
		c := w.call(p, "600")
		if err := c.Bye(w.ctx); err != nil {
			t.Fatal(err)
		}
		select {
		case <-over:
			still = false
		default:
		}
	}
	<-over

	s := w.gw.Signalling()
	eventually(t, "every datagram accounted for", func() bool {
		now := gateCounts(gate)
		return s.Junk.Load()+now.passed+now.stopped-before.passed-before.stopped+w.gw.KernelDrops(call.Public) == f.sent.Load()
	})
	now := gateCounts(gate)
	if most := burst + perSecond*time.Since(began).Seconds() + 1; float64(now.passed-before.passed) > most {
		t.Errorf("the gate let %d pass, want %.0f at most", now.passed-before.passed, most)
	}
	if now.stopped == 0 || s.Junk.Load()+w.gw.KernelDrops(call.Public) == 0 {
		t.Errorf("%d were stopped and %d junk of %d", now.stopped, s.Junk.Load(), f.sent.Load())
	}
	if n := s.Panics.Load(); n > 0 {
		t.Errorf("%d panics", n)
	}
	if strings.Contains(w.in.String(), "flood") {
		t.Error("the flood crossed to the PBX")
	}
	if l := bans.List(time.Now()); len(l) > 0 {
		t.Errorf("forged sources got somebody banned: %+v", l)
	}
	if n := gate.Sources(time.Now()); n > 256+1 { // datagrams' table is full, connections' has the phone
		t.Errorf("%d sources are remembered", n)
	}
	if w.gw.Bindings() != 1 {
		t.Error("the phone is not registered any more")
	}
	w.quiet()
	eventually(t, "empty tables", func() bool {
		left := w.gw.Tables()
		return left["attempts"]+left["dialogs"]+left["sessions"]+left["groups"]+left["challenges"] == 0 && left["flows"] == 1 && left["addresses"] == 1
	})
	t.Logf("%d datagrams: %d passed the gate, %d were stopped, %d junk, %d dropped by the kernel", f.sent.Load(),
		now.passed-before.passed, now.stopped-before.stopped, s.Junk.Load(), w.gw.KernelDrops(call.Public))
}

type gateCount struct{ passed, stopped uint64 }

func gateCounts(g *ratelimit.Gate) (c gateCount) {
	c.passed = g.Count(ratelimit.Passed)
	for _, n := range g.Causes {
		c.stopped += n
	}
	return c
}

// TestDatagramsProveNothing: the address of a phone, or of a peer that has to
// use TLS, is a stranger's in a datagram; that of a peer which may use
// plaintext has the peer's budget.
func TestDatagramsProveNothing(t *testing.T) {
	t.Parallel()
	gate := ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: 0.001, SourceBurst: 10})
	secure := netip.MustParseAddr(publicNet + "77")
	w := newRawWorld(t, func(c *worldConfig) {
		c.deps.Gate = gate
		c.sbc.Peers = append(c.sbc.Peers, sbc.Peer{Name: "secure", IP: []netip.Prefix{netip.PrefixFrom(secure, 32)}, Host: secure.String(), Port: 5061, Transport: "tls"})
	})
	phone := w.desk("1001").local.Addr()
	passed := func(admit func() bool) (n int) {
		for range 100 {
			if admit() {
				n++
			}
		}
		return n
	}
	for what, a := range map[string]netip.Addr{"a phone": phone, "a peer that has to use TLS": secure} {
		if n := passed(func() bool { return w.gw.AdmitDatagram(call.Public, a, 500) }); n == 0 || n > 10 { // connecting used some up
			t.Errorf("%d datagrams of %s passed, want a stranger's 10 at most", n, what)
		}
		if n := passed(func() bool { return w.gw.AdmitConn(call.Public, a) && w.gw.AdmitStream(call.Public, a, 500) }); n != 100 {
			t.Errorf("%d of 100 connections of %s were taken: it pays for who forges it", n, what)
		}
	}
	if n := passed(func() bool { return w.gw.AdmitDatagram(call.Public, w.a.addr().Addr(), 500) }); n != 100 {
		t.Errorf("%d of 100 datagrams of a plaintext peer passed", n)
	}
}
