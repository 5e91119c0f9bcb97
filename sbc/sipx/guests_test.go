package sipx

import (
	cryptotls "crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// comes makes a guest from an address and counts how often it was told to end.
func comes(a string, known bool) (g *guest, ended *int) {
	ended = new(int)
	return &guest{host: hostOf(netip.MustParseAddr(a)), known: known, end: func() { *ended++ }}, ended
}

// TestGuestsCount: connections count from the first packet, not from the end
// of their handshake, and a host has one share however many of its addresses
// it uses (an IPv6 host has 2**64).
func TestGuestsCount(t *testing.T) {
	s := startStack(t, Config{MaxConns: 3, MaxConnsPerSource: 2}, newRecorder())
	var in []*guest
	for _, c := range []struct {
		addr string
		ok   bool
	}{{"2001:db8::1", true}, {"2001:db8::2", true}, {"2001:db8::3", false}, {"192.0.2.1", true}, {"192.0.2.2", false}} {
		g, _ := comes(c.addr, false)
		if got := s.reserve(g); got != c.ok {
			t.Errorf("%s: %v", c.addr, got)
		} else if got {
			in = append(in, g)
		}
	}
	s.left(in[0])
	again, _ := comes("192.0.2.2", false)
	tooMany, _ := comes("192.0.2.3", false)
	if !s.reserve(again) || s.reserve(tooMany) {
		t.Error("the cap on all connections is not kept")
	}
	s.settle(in[1]) // is known now: its host has room, the whole has not
	s.left(in[2])
	third, _ := comes("2001:db8::3", false)
	if !s.reserve(third) {
		t.Error("the known count as their host's strangers")
	}
	for _, g := range []*guest{in[1], again, third} {
		s.left(g)
	}
	empty(t, s)
}

func empty(t *testing.T, s *Stack) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := &s.guests; g.accepted != 0 || g.leaving != 0 || len(g.hosts) != 0 || g.strangers.Len() != 0 || g.handshakes.Len() != 0 {
		t.Errorf("left over: %+v", g)
	}
}

// TestKnownTakeTheStrangersPlace, the oldest one's that no call needs; never
// the other way round.
func TestKnownTakeTheStrangersPlace(t *testing.T) {
	s := startStack(t, Config{MaxConns: 3, MaxConnsPerSource: 3}, newRecorder())
	held, heldEnd := comes("192.0.2.1", false)
	held.keep = func() bool { return true }
	old, oldEnd := comes("192.0.2.2", false)
	young, youngEnd := comes("192.0.2.3", false)
	for _, g := range []*guest{held, old, young} {
		if !s.reserve(g) {
			t.Fatal("refused")
		}
	}
	if g, _ := comes("192.0.2.9", false); s.reserve(g) {
		t.Error("a stranger beyond the cap")
	}
	phone, phoneEnd := comes("198.51.100.1", true)
	if !s.reserve(phone) || *oldEnd != 1 || *youngEnd+*heldEnd != 0 {
		t.Errorf("ended: %d, %d, %d", *heldEnd, *oldEnd, *youngEnd)
	}
	if g, _ := comes("192.0.2.9", false); s.reserve(g) {
		t.Error("a stranger took the place of one that made room")
	}
	second, _ := comes("198.51.100.2", true)
	if !s.reserve(second) || *youngEnd != 1 {
		t.Error("the second known address has no place")
	}
	if g, _ := comes("198.51.100.3", true); s.reserve(g) {
		t.Error("a call's connection, or a known one, made room")
	}
	for _, g := range []*guest{old, young} {
		s.left(g)
	}
	if g, _ := comes("192.0.2.9", false); s.reserve(g) {
		t.Error("a place too many")
	}
	if *phoneEnd+*heldEnd != 0 || s.Stats.Evicted.Load() != 2 {
		t.Errorf("the known were ended, or %d made room", s.Stats.Evicted.Load())
	}
	for _, g := range []*guest{held, phone, second} {
		s.left(g)
	}
	empty(t, s)
}

// TestOfficeReturns: phones behind one known address have ten times the share
// of an unknown one.
func TestOfficeReturns(t *testing.T) {
	s := startStack(t, Config{MaxConnsPerSource: 20, MaxHandshakesPerSource: 20}, newRecorder())
	for _, known := range []bool{false, true} {
		n := 0
		for range 300 {
			if g, _ := comes("192.0.2.1", known); s.reserve(g) && s.shake(g) {
				n++
			}
		}
		if want := map[bool]int{false: 20, true: 180}[known]; n != want { // the strangers' 20 are there still
			t.Errorf("known %v: %d connections, want %d", known, n, want)
		}
	}
}

// TestHandshakeCaps: of one host, and of all strangers together, where the
// oldest makes room.
func TestHandshakeCaps(t *testing.T) {
	s := startStack(t, Config{MaxHandshakes: 4, MaxHandshakesPerSource: 2}, newRecorder())
	var gs []*guest
	var ends []*int
	begin := func(a string, known bool) bool {
		g, end := comes(a, known)
		gs, ends = append(gs, g), append(ends, end)
		return s.reserve(g) && s.shake(g)
	}
	for i, want := range []bool{true, true, false} {
		if got := begin("2001:db8::1", false); got != want {
			t.Errorf("handshake %d of one host: %v", i, got)
		}
	}
	begin("192.0.2.2", false)
	begin("192.0.2.3", false)
	if !begin("198.51.100.1", true) || *ends[0] != 0 {
		t.Error("a known address counts among strangers")
	}
	if !begin("192.0.2.4", false) || *ends[0] != 1 || *ends[1] != 0 {
		t.Error("the oldest handshake did not make room")
	}
	if s.shake(gs[0]) {
		t.Error("one that was told to end goes on")
	}
	s.shaken(gs[1])
	if !begin("192.0.2.5", false) || *ends[3] != 0 {
		t.Error("a handshake that is over counts")
	}
	for i, g := range gs {
		s.shaken(g)
		s.left(g)
		if i != 0 && *ends[i] != 0 {
			t.Errorf("guest %d was ended", i)
		}
	}
	empty(t, s)
}

func tlsStack(t *testing.T, cfg Config, h Handler) (*Stack, string) {
	t.Helper()
	cfg.ServerTLS = testTLS(t)
	cfg.Listeners = []Listener{{Side: call.Public, Transport: "tls", Bind: netip.MustParseAddrPort("127.0.0.1:0")}}
	s := startStack(t, cfg, h)
	return s, s.Addrs(call.Public, "tls")[0].String()
}

// TestStalledHandshakes: strangers who stop in the middle of a handshake keep
// neither each other nor a known address out.
func TestStalledHandshakes(t *testing.T) {
	h := newRecorder()
	h.known = func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.2") }
	s, addr := tlsStack(t, Config{HandshakeTimeout: 20 * time.Second, MaxConns: 8, MaxConnsPerSource: 8, MaxHandshakes: 4, MaxHandshakesPerSource: 8}, h)
	for range 8 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "\x16\x03\x01")
	}
	waitFor(t, func() bool { return s.Stats.Evicted.Load() == 4 })
	for _, from := range []string{"127.0.0.1", "127.0.0.2"} {
		d := cryptotls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}, Config: clientTLS(t)}
		c, err := d.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		defer c.Close()
		fmt.Fprint(c, tcp(msg("OPTIONS", "127.0.0.1:9", "x"+from, "x"+from, "", 1)))
		if r := <-h.requests; r.Flow.Remote.Addr().String() != from {
			t.Errorf("asked by %s", r.Flow.Remote)
		}
	}
}

// TestHandshakeWaitsForItsTurn, and without one the connection ends before a
// key was used.
func TestHandshakeWaitsForItsTurn(t *testing.T) {
	h := newRecorder()
	turn := make(chan bool, 1)
	h.wait = func(netip.Addr) (time.Duration, bool) { return time.Millisecond, <-turn }
	_, addr := tlsStack(t, Config{}, h)
	for _, ok := range []bool{true, false} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		turn <- ok
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if err := cryptotls.Client(c, clientTLS(t)).Handshake(); (err == nil) != ok {
			t.Errorf("turn %v: %v", ok, err)
		}
		if !ok {
			if n, _ := io.Copy(io.Discard, c); n > 0 {
				t.Errorf("%d octets for one who had no turn", n)
			}
		}
	}
}
