//go:build linux

package sipx

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rampart-sbc/rampart/call"
)

// filtered is a socket and one that sends to it.
func filtered(t *testing.T, bind string) (s *udpSocket, out *net.UDPConn) {
	t.Helper()
	c, err := net.ListenUDP(ipNetwork("udp", netip.AddrPortFrom(netip.MustParseAddr(bind), 0)), &net.UDPAddr{IP: net.ParseIP(bind)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if s, err = newUDPSocket(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.finish)
	o, err := net.DialUDP("udp", nil, c.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return s, o
}

// passes reports whether the filter lets a datagram in: one that it must let
// in is sent behind it.
func passes(t *testing.T, s *udpSocket, out *net.UDPConn, m string) bool {
	t.Helper()
	const last = "BYE sip:last SIP/2.0\r\n\r\n"
	out.Write([]byte(m))
	out.Write([]byte(last))
	got := 0
	for {
		n, err := s.receive()
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if b, _ := s.datagram(i); string(b) == last {
				return got > 0
			}
			got++
		}
	}
}

// TestShapeFilter: the kernel drops what cannot be SIP and never what may be.
// A sample of the junk comes through by chance, so it is asked more than once.
func TestShapeFilter(t *testing.T) {
	for _, bind := range loopbacks(t) {
		s, out := filtered(t, bind)
		if err := s.shape(8192); err != nil {
			t.Fatal(err)
		}
		dropped := func(name, m string) {
			for range 4 {
				if !passes(t, s, out, m) {
					return
				}
			}
			t.Errorf("%s: %s passes", bind, name)
		}
		for name, m := range junk {
			switch name {
			case "no line end", "RTSP", "line ends", "long method", "bad method", "status line alone": // what a look at the first octets cannot tell
			default:
				dropped(name, m)
			}
		}
		dropped("absurdly long", msg("INVITE", "192.0.2.7", "a", "a", "", 1)+strings.Repeat("x", 9000))
		for _, m := range []string{goodInvite, goodRegister, goodResponse, "SIP/2.0 200 OK\nVia: x\n\n", "sip/2.0 100 \nVia: x\n\n",
			strings.Repeat("A", maxMethod) + " sip:a@b SIP/2.0\n\n", "A x:y SIP/2.0\n\n", "", "\n", "\n\n", "\x00\x00\x00\x00"} {
			b := strings.ReplaceAll(m, "\n", "\r\n")
			if mayBeSIP([]byte(b)) && !passes(t, s, out, b) {
				t.Errorf("%s: %q is dropped", bind, b)
			}
		}
		if s.dropped() == 0 {
			t.Error("what the filter drops is not counted")
		}
		if err := s.unfilter(); err != nil || !passes(t, s, out, junk["RTP"]) {
			t.Errorf("%s: filtered after the filter was taken away (%v)", bind, err)
		}
		if err := s.unfilter(); err != nil {
			t.Errorf("twice: %v", err)
		}
	}
}

// TestShapeFilterIsNoStricter: what the first look in user space lets in, the
// filter does, whatever the octets.
func TestShapeFilterIsNoStricter(t *testing.T) {
	s, out := filtered(t, "127.0.0.1")
	if err := s.shape(65535); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	token := "ABCxyz019-.!%*_+`'~"
	for range 3000 {
		m := make([]byte, 1+r.IntN(maxMethod))
		for i := range m {
			m[i] = token[r.IntN(len(token))]
		}
		line := string(m) + " " + string(rune('A'+r.IntN(26)|r.IntN(2)<<5)) + string(rune(0x20+r.IntN(0x60))) + " SIP/2.0\r\n\r\n"
		if r.IntN(4) == 0 {
			line = fmt.Sprintf("%cI%c/%d.0 %03d x\r\n\r\n", 'S'|r.IntN(2)<<5, 'P'|r.IntN(2)<<5, r.IntN(10), r.IntN(1000))
		}
		if !mayBeSIP([]byte(line)) {
			t.Fatalf("bad case %q", line)
		}
		if !passes(t, s, out, line) {
			t.Fatalf("%q is dropped", line)
		}
	}
}

// TestSiegeFilter: known addresses get through, of others one in n.
func TestSiegeFilter(t *testing.T) {
	request := msg("REGISTER", "192.0.2.7", "a", "a", "", 1)
	others := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("fd00:0:1::/48")}
	for _, bind := range loopbacks(t) {
		s, out := filtered(t, bind)
		us := netip.PrefixFrom(netip.MustParseAddr(bind), netip.MustParseAddr(bind).BitLen())
		if err := s.siege(8192, append(others, us), 1<<30); err != nil {
			t.Fatal(err)
		}
		if !passes(t, s, out, request) {
			t.Errorf("%s: a known address is shut out", bind)
		}
		if passes(t, s, out, junk["RTP"]) && passes(t, s, out, junk["RTP"]) {
			t.Errorf("%s: a known address may send junk", bind)
		}
		const n, sent = 8, 4000
		if err := s.siege(8192, others, n); err != nil {
			t.Fatal(err)
		}
		got := 0
		for range sent / 40 {
			before := s.dropped()
			for range 40 {
				out.Write([]byte(request))
			}
			for left := 40 - int(s.dropped()-before); left > 0; {
				k, err := s.receive()
				if err != nil {
					t.Fatal(err)
				}
				got += k
				left -= k
			}
		}
		if got < sent/n/2 || got > sent/n*2 {
			t.Errorf("%s: %d of %d came through, want about %d", bind, got, sent, sent/n)
		}
	}
}

// TestSiegeOfAStack: over all sockets of the listener, and lifted again.
func TestSiegeOfAStack(t *testing.T) {
	h := newRecorder()
	var got atomic.Int32
	h.on = func(r *Request) { got.Add(1); r.Refuse(200, nil) }
	s := udpStack(t, Config{UDPShards: 3}, "127.0.0.1", h)
	us := netip.MustParsePrefix("127.0.0.2/32")
	if !s.PublicUDP() {
		t.Fatal("no public UDP")
	}
	if err := s.Besiege([]netip.Prefix{us}, 1<<30); err != nil {
		t.Fatal(err)
	}
	stranger, friend := dialUDP(t, s, "127.0.0.1:0"), dialUDP(t, s, "127.0.0.2:0")
	for i := range 20 {
		stranger.send(msg("OPTIONS", stranger.host(), fmt.Sprint("s", i), fmt.Sprint("s", i), "", 1))
	}
	friend.send(msg("OPTIONS", friend.host(), "f", "f", "", 1))
	friend.expect("SIP/2.0 200")
	waitFor(t, func() bool { return s.KernelDrops(call.Public) >= 20 })
	if n := got.Load(); n != 1 {
		t.Errorf("%d requests came through", n)
	}
	s.Relieve()
	stranger.send(msg("OPTIONS", stranger.host(), "again", "again", "", 1))
	stranger.expect("SIP/2.0 200")
	stranger.send(junk["RTP"])
	stranger.send(msg("OPTIONS", stranger.host(), "more", "more", "", 1))
	stranger.expect("SIP/2.0 200")
}

// TestSiegeIsBounded: more addresses than fit are an error, and the sockets
// are as they were.
func TestSiegeIsBounded(t *testing.T) {
	s := udpStack(t, Config{}, "127.0.0.1", newRecorder())
	var many []netip.Prefix
	for i := range 5000 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(i)*7919)
		many = append(many, netip.PrefixFrom(netip.AddrFrom4(b), 32))
	}
	if err := s.Besiege(many, 64); err == nil {
		t.Fatal("5000 addresses fit")
	}
	if err := s.Besiege(many[:600], 64); err != nil {
		t.Fatalf("600 addresses: %v", err)
	}
	if err := s.Besiege(many, 64); err == nil {
		t.Fatal("5000 addresses fit")
	}
	p := dialUDP(t, s, "127.0.0.1:0")
	h := s.handler.(*recorder)
	p.send(msg("OPTIONS", p.host(), "x", "x", "", 1))
	(<-h.requests).Refuse(200, nil)
	p.expect("SIP/2.0 200")
}

// TestSpansAgree with a plain look through the list, by the filter's own
// halving.
func TestSpansAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var ps []netip.Prefix
		for range r.IntN(40) {
			var a netip.Addr
			bits := 0
			if r.IntN(2) == 0 {
				a, bits = netip.AddrFrom4([4]byte{10, byte(r.IntN(3)), byte(r.IntN(3)), byte(r.IntN(256))}), 8+r.IntN(25)
			} else {
				b := [16]byte{0x20, 1, 0xd, 0xb8 + byte(r.IntN(3)), 0, byte(r.IntN(3)), 0, byte(r.IntN(5))}
				a, bits = netip.AddrFrom16(b), 20+r.IntN(45)
			}
			p, _ := a.Prefix(bits)
			ps = append(ps, p)
		}
		k := knownSpans(ps)
		for range 200 {
			a := netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), byte(r.IntN(4)), byte(r.IntN(256))})
			if r.IntN(2) == 0 {
				a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb7 + byte(r.IntN(5)), 0, byte(r.IntN(4)), 0, byte(r.IntN(6)), 9: byte(r.IntN(2))})
			}
			want := false
			for _, p := range ps {
				want = want || p.Contains(a)
			}
			if got := k.has(a); got != want {
				t.Fatalf("%v in %v: %v", a, ps, got)
			}
		}
	}
}

// has is what the filter's program does with the spans.
func (k spans) has(a netip.Addr) bool {
	in := func(ss []span, v uint32) bool {
		for _, s := range ss {
			if s.lo <= v && v <= s.hi {
				return true
			}
		}
		return false
	}
	if a.Is4() {
		b := a.As4()
		return in(k.four, binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	hi, lo := binary.BigEndian.Uint32(b[:4]), binary.BigEndian.Uint32(b[4:8])
	for _, s := range k.six {
		if s.lo <= hi && hi <= s.hi {
			return s.low == nil || in(s.low, lo)
		}
	}
	return false
}
