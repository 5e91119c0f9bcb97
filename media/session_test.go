package media

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

func TestSetRefuses(t *testing.T) { onEngines(t, testSetRefuses) }

func testSetRefuses(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{})
	ap := netip.MustParseAddrPort
	k, l := newKeys(t, AEAD_AES_128_GCM, nil), newKeys(t, AEAD_AES_128_GCM, nil)
	ok := ap("192.0.2.1:4000")
	for _, c := range []struct {
		name   string
		leg    Leg
		stream int
		r      Remote
		want   error
	}{
		{"no address", A, 0, Remote{}, ErrRemote},
		{"port 0", A, 0, Remote{RTP: ap("192.0.2.1:0")}, ErrRemote},
		{"last port without mux", A, 0, Remote{RTP: ap("192.0.2.1:65535")}, ErrRemote},
		{"multicast", A, 0, Remote{RTP: ap("224.0.0.1:4000")}, ErrRemote},
		{"broadcast", A, 0, Remote{RTP: ap("255.255.255.255:4000")}, ErrRemote},
		{"RTCP to multicast", A, 0, Remote{RTP: ok, RTCP: ap("239.1.1.1:4000")}, ErrRemote},
		{"other family", A, 0, Remote{RTP: ap("[2001:db8::1]:4000")}, ErrRemote},
		{"own port", A, 0, Remote{RTP: r.rtp[A]}, ErrRemote},
		{"own port for RTP alone", A, 0, Remote{RTP: r.rtp[A], RTCP: ok}, ErrRemote},
		{"own RTCP port", A, 0, Remote{RTP: r.rtcp[B], Mux: true}, ErrRemote},
		{"own port for RTCP", A, 0, Remote{RTP: ok, RTCP: r.rtp[B]}, ErrRemote},
		{"no such stream", A, 1, Remote{RTP: ok}, ErrStream},
		{"no such leg", 2, 0, Remote{RTP: ok}, ErrStream},
		{"half keyed", A, 0, Remote{RTP: ok, Recv: k}, ErrKeys},
		{"one key twice", A, 0, Remote{RTP: ok, Recv: k, Send: k}, ErrKeys},
		{"short key", A, 0, Remote{RTP: ok, Recv: k, Send: &Keys{Suite: AEAD_AES_256_GCM, Key: l.Key, Salt: l.Salt}}, ErrKeys},
		{"no suite", A, 0, Remote{RTP: ok, Recv: k, Send: &Keys{Key: l.Key, Salt: l.Salt}}, ErrKeys},
		{"long MKI", A, 0, Remote{RTP: ok, Recv: k, Send: &Keys{Suite: l.Suite, Key: l.Key, Salt: l.Salt, MKI: make([]byte, 129)}}, ErrKeys},
	} {
		if err := r.s.Set(c.leg, c.stream, c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	r.pass(A, rtpPacket(1, 1, "nothing changed"))
	r.s.Close()
	if err := r.s.Set(A, 0, r.rem[A]); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := r.s.Grow(2); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if a, _ := r.s.Local(A, 0); a.IsValid() {
		t.Error(a)
	}
}

// TestMappedAddress: a v4-mapped address in SDP is an IPv4 address.
func TestMappedAddress(t *testing.T) { onEngines(t, testMappedAddress) }

func testMappedAddress(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{rem: func(_ Leg, rem *Remote) {
		rem.RTP = netip.AddrPortFrom(netip.AddrFrom16(rem.RTP.Addr().As16()), rem.RTP.Port())
		rem.RTCP = netip.AddrPort{}
	}})
	r.pass(A, rtpPacket(1, 1, "x"))
}

func TestOpenRefuses(t *testing.T) { onEngines(t, testOpenRefuses) }

func testOpenRefuses(t *testing.T, plane planeFunc) {
	p := plane(t, func(c *Config) {
		c.Inside, c.PortMin, c.PortMax, c.MaxStreams = c.Inside[:1], 28001, 28020, 3
	})
	legs := [2]LegSpec{{Side: call.Public}, {Side: call.Inside}}
	if _, err := p.Open(Spec{ID: "x", Streams: 1, Legs: [2]LegSpec{{}, {Side: call.Inside, IPv6: true}}}); !errors.Is(err, ErrNoAddress) {
		t.Error(err)
	}
	for _, n := range []int{-1, 0, MaxSessionStreams + 1} {
		if _, err := p.Open(Spec{ID: "x", Streams: n, Legs: legs}); !errors.Is(err, ErrStream) {
			t.Error(n, err)
		}
	}
	s, err := p.Open(Spec{ID: "x", Streams: 3, Legs: legs})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Open(Spec{ID: "y", Streams: 1, Legs: legs}); !errors.Is(err, ErrNoPorts) {
		t.Error("the cap: ", err)
	}
	if err := s.Grow(4); !errors.Is(err, ErrNoPorts) {
		t.Error("the cap: ", err)
	}
	if st := p.Stats(); st.Streams != 3 || st.Ports != 6 || st.Sessions != 1 || st.PortsTotal != 9*2 {
		t.Errorf("%+v", st)
	}
}

// TestPortsRunOut: the last pair is used, the next open fails whole, and a
// pair held by another program is passed over.
func TestPortsRunOut(t *testing.T) { onEngines(t, testPortsRunOut) }

func testPortsRunOut(t *testing.T, plane planeFunc) {
	p := plane(t, func(c *Config) { c.PortMin, c.PortMax = 28100, 28109 }) // five pairs
	alien, err := listenOn(netip.AddrPortFrom(loop4, 28105))
	if err != nil {
		t.Fatal(err)
	}
	defer alien.Close()
	spec := Spec{ID: "x", Streams: 1, Legs: [2]LegSpec{{}, {}}}
	one, err := p.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	two, err := p.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Open(spec); !errors.Is(err, ErrNoPorts) {
		t.Fatal(err)
	}
	if err := two.Grow(2); !errors.Is(err, ErrNoPorts) {
		t.Fatal(err)
	}
	if st := p.Stats(); st.Ports != 4 || st.Streams != 2 || st.Sessions != 2 {
		t.Errorf("%+v", st)
	}
	one.Close()
	one.Close()
	if _, err := p.Open(spec); err != nil { // out of the ones that rest
		t.Fatal(err)
	}
}

func TestPool(t *testing.T) {
	now := newClock().now
	p := newPool(loop4, 101, 1100)
	if p.total != 499 {
		t.Fatalf("%d pairs", p.total)
	}
	seen := map[uint16]bool{}
	other, same := newPool(loop4, 101, 1100), 0
	for range 100 {
		port, ok := p.take(now)
		if !ok || port%2 != 0 || port < 102 || port+1 > 1100 || seen[port] {
			t.Fatal(port, ok)
		}
		seen[port] = true
		if p2, _ := other.take(now); p2 == port {
			same++
		}
	}
	if same > 20 { // one in five hundred by chance
		t.Errorf("%d of 100 ports can be foretold", same)
	}
	for port := range seen {
		p.release(port, now)
	}
	for range 399 {
		if port, _ := p.take(now.Add(coolDown - 1)); seen[port] {
			t.Fatalf("%d is back too early", port)
		}
	}
	if port, ok := p.take(now.Add(coolDown)); !ok || !seen[port] {
		t.Fatal(port, ok)
	}
	if p.inUse() != 400 {
		t.Error(p.inUse())
	}
	free := p.free[0]
	if !p.claim(free) || p.claim(free) || p.claim(101) {
		t.Error("claim")
	}
}

func TestGrow(t *testing.T) { onEngines(t, testGrow) }

func testGrow(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{})
	before, _ := r.s.Local(A, 0)
	if err := r.s.Grow(3); err != nil {
		t.Fatal(err)
	}
	if after, _ := r.s.Local(A, 0); after != before {
		t.Errorf("%s became %s", before, after)
	}
	r.pass(A, rtpPacket(1, 1, "x"))
	a, b := newPhone(t, loop4), newPhone(t, loop4)
	for leg, ph := range []*phone{a, b} {
		if err := r.s.Set(Leg(leg), 2, ph.remote()); err != nil {
			t.Fatal(err)
		}
	}
	to, _ := r.s.Local(A, 2)
	send(t, a.rtp, rtpPacket(7, 1, "video"), to)
	b.expect(b.rtp, rtpPacket(7, 1, "video"))
	if err := r.s.Grow(1); err != nil {
		t.Error(err)
	}
	if st := r.s.Close(); st[A].PacketsIn != 2 || st[B].PacketsOut != 2 {
		t.Errorf("%+v", st)
	}
}

func TestNewRefuses(t *testing.T) {
	ok := []Address{{Bind: loop4}}
	a := netip.MustParseAddr
	for name, c := range map[string]Config{
		"nothing":            {},
		"second of a family": {Public: []Address{{Bind: loop4}, {Bind: a("127.0.0.2")}}},
		"not on this host":   {Public: []Address{{Bind: a("192.0.2.77")}}},
		"advertises nothing": {Public: []Address{{Bind: a("0.0.0.0")}}},
		"two families":       {Public: []Address{{Bind: loop4, Advertise: loop6}}},
		"multicast":          {Public: []Address{{Bind: a("224.0.0.1")}}},
		"no pair":            {Public: ok, PortMin: 30001, PortMax: 30002},
		"DSCP":               {Public: ok, DSCP: 64},
	} {
		if p, err := New(c); err == nil {
			p.Close()
			t.Error(name, "was accepted")
		}
	}
}

func TestAdvertiseAndDSCP(t *testing.T) { onEngines(t, testAdvertiseAndDSCP) }

func testAdvertiseAndDSCP(t *testing.T, plane planeFunc) {
	adv := netip.MustParseAddr("203.0.113.9")
	p := plane(t, func(c *Config) {
		c.Public = []Address{{Bind: loop4, Advertise: adv}, {Bind: loop6}}
		c.DSCP = 46
	})
	s, err := p.Open(Spec{ID: "x", Streams: 1, Legs: [2]LegSpec{{}, {IPv6: true}}})
	if err != nil {
		t.Fatal(err)
	}
	rtp, rtcp := s.Local(A, 0)
	if rtp.Addr() != adv || rtcp.Port() != rtp.Port()+1 || rtp.Port()%2 != 0 {
		t.Error(rtp, rtcp)
	}
	if rtp, _ := s.Local(B, 0); rtp.Addr() != loop6 {
		t.Error(rtp)
	}
}

func TestCloseIsIdempotent(t *testing.T) { onEngines(t, testCloseIsIdempotent) }

func testCloseIsIdempotent(t *testing.T, plane planeFunc) {
	p := plane(t, nil)
	r := newRig(t, p, rigSpec{suite: [2]Suite{AEAD_AES_256_GCM, 0}})
	r.pass(A, rtpPacket(1, 1, "x"))
	first := r.s.Close()
	if again := r.s.Close(); again != first || r.s.Stats() != first || first[A].PacketsIn != 1 || first[A].Suite != AEAD_AES_256_GCM {
		t.Errorf("%+v\n%+v", first, again)
	}
	p.Close()
	if _, err := p.Open(Spec{ID: "x", Streams: 1}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestNoLeak opens and closes 10,000 sessions in all, some with packets, and looks
// for what stayed.
func TestNoLeak(t *testing.T) { onEngines(t, testNoLeak) }

func testNoLeak(t *testing.T, plane planeFunc) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Log("descriptors cannot be counted on this system; goroutines and ports are")
	}
	p := plane(t, nil)
	sessions := 10000 / len(engines)
	goroutines, files := runtime.NumGoroutine(), openFiles()
	ph := newPhone(t, loop4)
	for i := range sessions {
		s, err := p.Open(Spec{ID: fmt.Sprint(i), Streams: 1, Legs: [2]LegSpec{{}, {Side: call.Inside, IPv6: i%2 == 0}}})
		if err != nil {
			t.Fatal(i, err)
		}
		if i%100 == 0 {
			if err := s.Set(A, 0, ph.remote()); err != nil {
				t.Fatal(err)
			}
			to, _ := s.Local(A, 0)
			send(t, ph.rtp, rtpPacket(1, 1, "x"), to)
		}
		s.Close()
	}
	eventually(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if st := p.Stats(); st.Ports != 0 || st.Streams != 0 || st.Sessions != 0 {
		t.Errorf("%+v", st)
	}
	if n := openFiles(); n > files+2 { // the phone's
		t.Errorf("%d descriptors, %d before", n, files)
	}
	for _, q := range p.pools {
		if len(q.free)+len(q.cooling) != q.total {
			t.Errorf("%s: %d free, %d resting of %d", q.addr, len(q.free), len(q.cooling), q.total)
		}
	}
}

func openFiles() int {
	list, _ := os.ReadDir("/proc/self/fd")
	return len(list)
}

// TestQuality: ten packets of twenty are lost, arriving with known jitter.
func TestQuality(t *testing.T) {
	now := newClock().now
	var q quality
	for i := range 100 {
		if i >= 50 && i < 60 {
			continue
		}
		at := now.Add(time.Duration(i) * 20 * time.Millisecond)
		if i%2 == 1 {
			at = at.Add(4 * time.Millisecond)
		}
		q.see(at, 1, uint16(65500+i), uint32(i)*160, 8000)
	}
	e, l := q.totals()
	if e != 100 || l != 10 {
		t.Errorf("%d of %d", l, e)
	}
	if ms := q.jitter * 1000; ms < 3.5 || ms > 4.5 {
		t.Errorf("jitter %.2f ms", ms)
	}
	q.see(now.Add(3*time.Second), 2, 9, 0, 8000)    // another source
	q.see(now.Add(3*time.Second), 2, 9000, 0, 8000) // that starts over
	q.see(now.Add(3*time.Second), 2, 8999, 0, 8000) // reordered
	q.see(now.Add(3*time.Second), 2, 8999, 0, 8000) // duplicate
	if e, l := q.totals(); e != 103 || l != 10 {
		t.Errorf("%d of %d", l, e)
	}
}

// TestSecretsDoNotPrint: no way of printing or logging shows a key.
func TestSecretsDoNotPrint(t *testing.T) { onEngines(t, testSecretsDoNotPrint) }

func testSecretsDoNotPrint(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}})
	k := Keys{Suite: AEAD_AES_128_GCM, Key: []byte("sixteen byte key"), Salt: []byte("twelve bytes")}
	r.rem[A].Recv = &k
	r.set(A)
	var b strings.Builder
	rem, snap := r.rem[A], r.s.Snapshot()
	for _, v := range []any{k, &k, k.Key, rem, &rem, snap, &snap, snap.Streams, snap.Streams[0][A], snap.Streams[0][A].Recv, r.s} {
		fmt.Fprintf(&b, "%v %+v %#v %s %x %d\n", v, v, v, v, v, v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	}
	for _, v := range []any{k, rem, snap, &snap} {
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
	}
	j, err := json.Marshal(rem)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(j)
	for _, bad := range []string{"sixteen", "twelve bytes", fmt.Sprintf("%x", "sixteen"), "c2l4dGVlbiBieXRl", "115 105 120"} {
		if strings.Contains(b.String(), bad) {
			i := strings.Index(b.String(), bad)
			t.Errorf("%q shows in …%s…", bad, b.String()[max(0, i-200):i+20])
		}
	}
}
