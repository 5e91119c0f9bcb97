package sbc_test

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/rules"
	"github.com/rampart-sbc/rampart/sbc"
)

// shipped is what a new gateway has: the packs, the gate and a table of bans.
func shipped(t *testing.T, c *worldConfig, bans *ratelimit.Bans) {
	t.Helper()
	var packs []policy.Source
	for _, name := range rules.Names() {
		data, _ := rules.Pack(name)
		packs = append(packs, policy.Source{Name: name, Data: data, Pack: true})
	}
	set, ps := policy.Compile(packs, policy.Options{Plan: c.deps.Plan, Now: time.Now()})
	if set == nil {
		t.Fatal(ps.Err())
	}
	c.deps.Bans, c.deps.Guards = bans, guards(t, set)
	c.deps.Gate = ratelimit.NewGate(ratelimit.GateConfig{SourcePackets: 200, StrangerPackets: 2000})
}

// forge sends datagrams from an address as whoever has it would, each something
// that a rule bans, a limit counts or nobody can read.
func forge(t *testing.T, from string, to netip.AddrPort, n int) {
	t.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range n {
		method, body := []string{"REGISTER", "INVITE", "OPTIONS"}[i%3], ""
		m := fmt.Sprintf("%s sip:%d@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d\r\nMax-Forwards: 70\r\nFrom: <sip:1001@%s>;tag=%d\r\nTo: <sip:%d@%s>\r\n"+
			"Call-ID: %s-%d\r\nCSeq: 1 %s\r\nContact: <sip:x@%s>\r\nUser-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n%s",
			method, 100+i, domain, c.LocalAddr(), i, domain, i, 100+i, domain, from, i, method, c.LocalAddr(), body)
		if i%10 == 9 {
			m = "REGISTER garbage\r\n\r\n"
		}
		c.Write([]byte(m)) // what the kernel drops is dropped
	}
}

// A flood of datagrams with forged addresses hurts nobody whose addresses they
// are: a registered phone, a phone that is not registered yet, the office of a
// carrier. All of them go on over TLS, nobody is banned, and nothing is remembered
// against them.
func TestForgedFloodHurtsNobody(t *testing.T) {
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	carrier := netip.MustParseAddr(publicNet + "88")
	w := newWorld(t, func(c *worldConfig) {
		shipped(t, c, bans)
		c.sbc.Peers = []sbc.Peer{{Name: "carrier", IP: []netip.Prefix{netip.PrefixFrom(carrier, 32)}, Host: carrier.String(), Port: 5060, Transport: "udp", AllowPlaintext: true}}
	})
	udp := w.gw.Addrs(call.Public, "udp")[0]
	here := w.registered("1001")
	const flood = 3000 // more than four seconds' worth of any budget of one address, and of all strangers' second
	forge(t, publicNet+"101", udp, flood)
	forge(t, publicNet+"102", udp, flood)
	forge(t, carrier.String(), udp, flood)
	for i := range 100 {
		forge(t, fmt.Sprint(publicNet, 110+i), udp, flood/100)
	}

	// What the kernel dropped of it the gate has to see, and it goes on while they come.
	stop := make(chan struct{})
	var full atomic.Int32
	var going sync.WaitGroup
	going.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			for _, a := range []string{publicNet + "101", publicNet + "102", publicNet + "77", carrier.String(), fmt.Sprint("203.0.113.", i%250)} {
				for range 10 {
					if !w.gw.AdmitDatagram(call.Public, netip.MustParseAddr(a), 1200) {
						full.Add(1)
					}
				}
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	defer going.Wait()
	defer close(stop)
	eventually(t, "the gate is full", func() bool { return full.Load() > 10_000 })

	// The one that is registered, on its connection and on a new one.
	if err := here.Register(w.ctx, time.Hour); err != nil {
		t.Error("the registered phone: ", err)
	}
	c := w.call(here, "600")
	if err := c.Bye(w.ctx); err != nil {
		t.Error(err)
	}
	if err := w.tries("1001"); err != nil {
		t.Error("the registered phone on a new connection: ", err)
	}
	// One that comes for the first time.
	if err := w.tries("1002"); err != nil {
		t.Error("a phone that nobody knew yet, of a forged address: ", err)
	}
	if err := w.tries("1003", at("77")); err != nil {
		t.Error("a phone that nobody knew yet: ", err)
	}
	if got := bans.Remembered(); len(got) != 0 {
		t.Errorf("%d bans, such as %+v", len(got), got[0])
	}
	if n := len(w.rep.systemsOf(call.SourceBanned)); n != 0 {
		t.Errorf("%d bans were told of", n)
	}
	for _, a := range []string{"101", "102", "77"} {
		if bans.Shut(netip.MustParseAddr(publicNet+a), time.Now()) {
			t.Errorf("%s is shut out", a)
		}
	}
	w.quiet()
}
