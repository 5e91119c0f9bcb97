package sbc_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// names is a DNS server for one test.
type names struct {
	addr netip.AddrPort
	mu   sync.Mutex
	rrs  []dns.RR
}

func newNames(t *testing.T) *names {
	t.Helper()
	pc, err := net.ListenPacket("udp", publicNet+"53:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{addr: netip.MustParseAddrPort(pc.LocalAddr().String())}
	up := make(chan struct{})
	s := &dns.Server{PacketConn: pc, Handler: n, NotifyStartedFunc: func() { close(up) }}
	go s.ActivateAndServe()
	<-up
	t.Cleanup(func() { s.Shutdown() })
	return n
}

func (n *names) set(t *testing.T, lines ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rrs = nil
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			t.Fatal(err)
		}
		n.rrs = append(n.rrs, rr)
	}
}

func (n *names) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	for _, rr := range n.rrs {
		if rr.Header().Name == q.Question[0].Name && rr.Header().Rrtype == q.Question[0].Qtype {
			m.Answer = append(m.Answer, rr)
		}
	}
	w.WriteMsg(m)
}

// TestCarrierBySRV: a carrier is a name; its SRV targets are tried in their
// order, each under the carrier's own name.
func TestCarrierBySRV(t *testing.T) {
	n := newNames(t)
	w := newRawWorld(t, func(c *worldConfig) {
		p := &c.sbc.Peers[0]
		n.set(t, fmt.Sprintf("_sip._udp.carrier.test. 5 IN SRV 20 0 %d two.carrier.test.", p.Port), "_sip._udp.carrier.test. 5 IN SRV 10 0 16096 one.carrier.test.",
			"two.carrier.test. 5 IN A "+p.Host, "one.carrier.test. 5 IN A "+carrierIP)
		p.Host, p.Port = "carrier.test", 0
		c.sbc.DNS = []netip.AddrPort{n.addr}
	})
	one := newRaw(t, carrierIP+":16096")
	one.gw = w.a.gw
	inv := w.ring("sip:+442079460000@x")
	in := one.request("INVITE")
	if in.URI != "sip:+442079460000@carrier.test" {
		t.Errorf("the carrier was asked for %s", in.URI)
	}
	one.reply(in, 503, "t", nil)
	in = w.a.request("INVITE")
	w.a.reply(in, 486, "t", nil)
	w.b.ackFailure(inv, w.b.code(486))
	w.quiet()
	if r := w.rep.lastRecord(t, 1); len(r.Passes[0].FailedOver) != 0 || r.Passes[0].RoutedTo != "raw" {
		t.Errorf("two targets of one carrier are one route: %+v", r.Passes[0])
	}
	// The carrier moves, and the gateway goes with it once the TTL has ended.
	n.set(t, fmt.Sprintf("_sip._udp.carrier.test. 5 IN SRV 10 0 %d two.carrier.test.", w.a.addr().Port()), "two.carrier.test. 5 IN A "+w.a.addr().Addr().String())
	for moved, i := false, 1; !moved; i++ {
		to := fmt.Sprintf("+4420794600%02d", i)
		inv = w.ring("sip:" + to + "@x")
		this := func(m *siptest.Message) bool { return m.Method == "INVITE" && strings.Contains(m.URI, to) }
		eventually(t, "an INVITE at either", func() bool {
			if in := w.a.take(this); in != nil {
				moved = true
				w.a.reply(in, 486, "t", nil)
				return true
			}
			if in := one.take(this); in != nil {
				one.reply(in, 486, "t", nil)
				return true
			}
			return false
		})
		w.b.ackFailure(inv, w.b.expect("486", func(m *siptest.Message) bool { return m.Code == 486 && m.Get("Call-ID") == inv.Get("Call-ID") }))
		w.quiet()
	}
}
