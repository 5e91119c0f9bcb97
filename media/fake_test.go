package media

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/media/bind"
)

// fakeNet is an engine without a network: packets are handed in, and what is
// sent is kept. It is not safe for concurrent use.
type fakeNet struct {
	open map[netip.AddrPort]bind.Sink
	sent []byte // the last packet
	to   netip.AddrPort
	n    int
}

type fakeSocket struct {
	net  *fakeNet
	addr netip.AddrPort
}

func (n *fakeNet) Listen(a netip.AddrPort, s bind.Sink) (bind.Socket, error) {
	if n.open[a] != nil {
		return nil, fmt.Errorf("%s is taken", a)
	}
	if a.Port() != 0 {
		n.open[a] = s
	}
	return &fakeSocket{n, a}, nil
}

func (n *fakeNet) Do(f func()) { f() }
func (n *fakeNet) Close() error {
	if len(n.open) > 0 {
		return fmt.Errorf("%d sockets left", len(n.open))
	}
	return nil
}

func (s *fakeSocket) Send(b []byte, to netip.AddrPort) error {
	s.net.sent, s.net.to = append(s.net.sent[:0], b...), to
	s.net.n++
	return nil
}

func (s *fakeSocket) Close() error {
	delete(s.net.open, s.addr)
	return nil
}

// fakeRig is a session on a fakeNet; far are the two ends' addresses.
type fakeRig struct {
	net  *fakeNet
	p    *Plane
	s    *Session
	far  [2]Remote
	in   [2]bind.Sink // RTP
	rtcp [2]bind.Sink
	buf  []byte
	now  time.Time
}

func newFakeRig(t testing.TB, suites [2]Suite) *fakeRig {
	t.Helper()
	f := &fakeRig{net: &fakeNet{open: map[netip.AddrPort]bind.Sink{}}, buf: make([]byte, bind.ReadSize+bind.Tail)}
	clk := newClock()
	f.now = clk.now
	p, err := New(Config{
		Public: []Address{{Bind: netip.MustParseAddr("203.0.113.1")}}, Inside: []Address{{Bind: netip.MustParseAddr("10.0.0.2")}},
		PortMin: 20000, PortMax: 20999, Shards: 1, PacketRate: 1 << 40, PacketBurst: 1 << 40, Clock: clk.Now,
		Engine: func(bind.Options) (bind.Engine, error) { return f.net, nil }})
	if err != nil {
		t.Fatal(err)
	}
	// The sweeper would run beside this test's own goroutine.
	close(p.stop)
	p.sweeper.Wait()
	p.stop = make(chan struct{})
	f.p = p
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	f.s, err = p.Open(Spec{ID: "fake", Streams: 1, Legs: [2]LegSpec{{Side: call.Public}, {Side: call.Inside}}})
	if err != nil {
		t.Fatal(err)
	}
	keys := rand.NewChaCha8([32]byte{1}) // the same every time, so that a finding can be repeated
	for leg, addr := range []string{"198.51.100.9:4000", "10.0.0.5:5000"} {
		r := Remote{RTP: netip.MustParseAddrPort(addr)}
		r.RTCP = netip.AddrPortFrom(r.RTP.Addr(), r.RTP.Port()+1)
		if suites[leg] != 0 {
			var err1, err2 error
			r.Recv, err1 = NewKeys(suites[leg], keys)
			r.Send, err2 = NewKeys(suites[leg], keys)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
		}
		if err := f.s.Set(Leg(leg), 0, r); err != nil {
			t.Fatal(err)
		}
		f.far[leg] = r
		rtp, rtcp := f.s.Local(Leg(leg), 0)
		f.in[leg], f.rtcp[leg] = f.net.open[rtp], f.net.open[rtcp]
	}
	return f
}

// give hands in a packet as an engine would and reports what was sent.
func (f *fakeRig) give(sink bind.Sink, b []byte, from netip.AddrPort) []byte {
	before := f.net.n
	sink.Receive(f.now, f.buf[:copy(f.buf, b)], from)
	if f.net.n == before {
		return nil
	}
	return f.net.sent
}
