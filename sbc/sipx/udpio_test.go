package sipx

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rampart-sbc/rampart/call"
)

// loopbacks of both families, where this host has them.
func loopbacks(t *testing.T) (out []string) {
	for _, a := range []string{"127.0.0.1", "::1"} {
		c, err := net.ListenPacket("udp", net.JoinHostPort(a, "0"))
		if err != nil {
			t.Logf("no %s here: %v", a, err)
			continue
		}
		c.Close()
		out = append(out, a)
	}
	return out
}

func udpStack(t *testing.T, cfg Config, bind string, h Handler) *Stack {
	t.Helper()
	cfg.Listeners = []Listener{{Side: call.Public, Transport: "udp", Bind: netip.AddrPortFrom(netip.MustParseAddr(bind), 0)}}
	return startStack(t, cfg, h)
}

// TestOrderInBatches: what one source sends is taken in its order and whole,
// however many datagrams wait and whatever their sizes.
func TestOrderInBatches(t *testing.T) {
	for _, bind := range loopbacks(t) {
		for _, shards := range []int{1, 3} {
			t.Run(fmt.Sprint(bind, " ", shards), func(t *testing.T) {
				const n = 400
				h := newRecorder()
				first, hold := make(chan struct{}), make(chan struct{})
				var got [3]atomic.Int32
				var wrong atomic.Int32
				h.on = func(r *Request) {
					if r.CallID() == "first" {
						close(first)
						<-hold // so that the others wait in the kernel
						return
					}
					from, _ := strconv.Atoi(r.CallID()[:1])
					i, _ := strconv.Atoi(r.CallID()[2:])
					if got[from].Add(1) != int32(i+1) || len(r.Body()) != i*7%1300 {
						wrong.Add(1)
					}
				}
				s := udpStack(t, Config{UDPShards: shards}, bind, h)
				from := netip.AddrPortFrom(netip.MustParseAddr(bind), 0).String()
				ps := [3]*peer{dialUDP(t, s, from), dialUDP(t, s, from), dialUDP(t, s, from)}
				ps[0].send(msg("OPTIONS", ps[0].host(), "first", "first", "", 1))
				<-first
				for i := range n {
					for k, p := range ps {
						id := fmt.Sprint(k, "-", i)
						p.send(strings.Replace(msg("OPTIONS", p.host(), id, id, "", 1), "Content-Length: 0\r\n\r\n",
							"Content-Type: text/plain\r\nContent-Length: "+strconv.Itoa(i*7%1300)+"\r\n\r\n"+strings.Repeat("b", i*7%1300), 1))
					}
				}
				close(hold)
				waitFor(t, func() bool { return got[0].Load() == n && got[1].Load() == n && got[2].Load() == n })
				if wrong.Load() > 0 {
					t.Errorf("%d datagrams out of order, or cut", wrong.Load())
				}
			})
		}
	}
}

// TestJunkAsksNobody: what is no SIP is counted, and neither the gate nor the
// handler hears of it.
func TestJunkAsksNobody(t *testing.T) {
	h := newRecorder()
	var asked atomic.Int32
	h.admit = func(netip.Addr) bool { asked.Add(1); return true }
	s := udpStack(t, Config{NoFilter: true}, "127.0.0.1", h)
	p := dialUDP(t, s, "127.0.0.1:0")
	for _, m := range junk {
		p.send(m)
	}
	p.send(msg("OPTIONS", p.host(), "after", "after", "", 1))
	(<-h.requests).Refuse(200, nil)
	p.expect("SIP/2.0 200")
	if n := s.Stats.Junk.Load(); n != uint64(len(junk)) || asked.Load() != 1 {
		t.Errorf("%d of %d counted as junk, the gate was asked %d times", n, len(junk), asked.Load())
	}
}

// TestKernelDrops: what does not fit into the receive buffer is counted.
func TestKernelDrops(t *testing.T) {
	h := newRecorder()
	first, hold := make(chan struct{}), make(chan struct{})
	h.on = func(r *Request) {
		if r.CallID() == "first" {
			close(first)
			<-hold
		}
	}
	s := udpStack(t, Config{UDPBuffer: 16 << 10}, "127.0.0.1", h)
	p := dialUDP(t, s, "127.0.0.1:0")
	p.send(msg("OPTIONS", p.host(), "first", "first", "", 1))
	<-first
	const sent = 300
	for i := range sent {
		id := fmt.Sprint("d", i)
		p.send(msg("OPTIONS", p.host(), id, id, "", 1))
	}
	close(hold)
	waitFor(t, func() bool {
		drops := s.KernelDrops(call.Public)
		return drops > 0 && drops+s.Stats.Requests.Load() == sent+1
	})
	if n := s.KernelDrops(call.Inside); n != 0 {
		t.Errorf("%d on the other side", n)
	}
}

// TestReceiveAlloc: a datagram that is dropped at the gate costs no memory.
func TestReceiveAlloc(t *testing.T) {
	for _, bind := range loopbacks(t) {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(bind), 0)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sock, err := newUDPSocket(c)
		if err != nil {
			t.Fatal(err)
		}
		defer sock.finish()
		h := newRecorder()
		h.admit = func(netip.Addr) bool { return false }
		u := &udpListener{s: &Stack{handler: h, log: slog.New(slog.DiscardHandler)}}
		out, err := net.Dial("udp", c.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		m := []byte(msg("OPTIONS", "192.0.2.7", "a", "a", "", 1))
		const batch = 64
		if n := testing.AllocsPerRun(50, func() {
			for i := range batch {
				if i%2 == 0 {
					out.Write(m)
				} else {
					out.Write(m[:20])
				}
			}
			for left := batch; left > 0; {
				n, err := sock.receive()
				if err != nil {
					t.Fatal(err)
				}
				for i := range n {
					b, from := sock.datagram(i)
					if len(b) != len(m) && len(b) != 20 || !bytes.HasPrefix(b, []byte("OPTIONS")) {
						t.Fatalf("%d octets", len(b))
					}
					u.datagram(sock, from, b)
				}
				left -= n
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations for %d datagrams", bind, n, batch)
		}
	}
}
