package peers

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestNetstrings(t *testing.T) {
	s := newNetstrings(strings.NewReader("5:hello,0:,3:a:b,"))
	for _, want := range []string{"hello", "", "a:b"} {
		if got, err := s.next(); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	for _, bad := range []string{"", ":x,", "5:hell", "5:hellox", "x:y,", "999999999:x,"} {
		if got, err := newNetstrings(strings.NewReader(bad)).next(); err == nil {
			t.Errorf("%q gave %q", bad, got)
		}
	}
}

func TestNetsAreApart(t *testing.T) {
	a, b := NewNet(t), NewNet(t)
	if a.Prefix() == b.Prefix() {
		t.Errorf("two tests share %v", a.Prefix())
	}
	x, y := a.Addr(t), a.Addr(t)
	if x == y || !a.Prefix().Contains(x) || !a.Prefix().Contains(y) {
		t.Errorf("addresses %v and %v in %v", x, y, a.Prefix())
	}
}

// A process that ignores the polite signal is ended, with what it has forked,
// and the resolver files are the peer's own.
func TestProcessEnds(t *testing.T) {
	p := Start(t, Command{Name: "stubborn", Path: "sh", Children: true, Hosts: map[string]netip.Addr{"pbx.test": netip.MustParseAddr("127.0.0.9")},
		Args: []string{"-c", "trap '' TERM; cat /etc/resolv.conf; grep pbx /etc/hosts; sleep 300 & echo ready; while :; do sleep 1; done"}})
	p.WaitLog(`(?s)nameserver 127\.0\.0\.1.*127\.0\.0\.9 pbx\.test.*ready`, soon)
	if b, _ := os.ReadFile("/etc/hosts"); strings.Contains(string(b), "pbx.test") {
		t.Error("the machine's own hosts file was changed")
	}
	start := time.Now()
	p.Stop()
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %v to end the process", d)
	}
	Eventually(t, soon, "the end of the group", func() bool { return syscall.Kill(-p.PID(), 0) == syscall.ESRCH })
}

func TestUsage(t *testing.T) {
	n := NewNet(t)
	s := StartSIPp(t, n, Scenario{Name: "uas_answer"})
	u := s.Usage(n)
	if u.UDPSockets < 1 || u.Descriptors < 3 || u.RSS < 1000 || u.Threads < 1 {
		t.Errorf("usage of a script that listens: %+v", u)
	}
	if other := s.Usage(NewNet(t)); other.UDPSockets != 0 {
		t.Errorf("%d sockets in a block where nobody is", other.UDPSockets)
	}
}

func TestParseIP(t *testing.T) {
	udp4 := []byte{0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 2, 0x13, 0xC4, 0x17, 0xAC, 0, 11, 0, 0, 'a', 'b', 'c', 'x'}
	p, _, ok := parseIP(udp4)
	if !ok || string(p.Payload) != "abc" || p.From.String() != "127.0.0.1:5060" || p.To.String() != "127.0.0.2:6060" || p.TCP {
		t.Errorf("UDP over IPv4: %+v, %v", p, ok)
	}
	tcp6 := make([]byte, 40+20, 64)
	tcp6[0], tcp6[6], tcp6[23], tcp6[39], tcp6[40+12] = 0x60, 6, 1, 1, 5<<4
	binary.BigEndian.PutUint32(tcp6[44:], 77)
	p, seq, ok := parseIP(append(tcp6, "SIP"...))
	if !ok || !p.TCP || seq != 77 || string(p.Payload) != "SIP" || p.From.Addr() != netip.IPv6Loopback() {
		t.Errorf("TCP over IPv6: %+v, %v", p, ok)
	}
	for i := range udp4 {
		parseIP(udp4[:i]) // must not panic
	}
	for i := range tcp6 {
		parseIP(tcp6[:i])
	}
}

// Text that crosses IPv6 loopback is found by its port.
func TestCaptureIPv6(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	lo := netip.IPv6Loopback()
	port := FreePort(t, lo)
	seen := StartCapture(t, n, port)
	uas := StartSIPp(t, n, Scenario{Name: "uas_answer", Addr: lo, Port: port, Calls: 1})
	uac := StartSIPp(t, n, Scenario{Name: "uac_call", Addr: lo, Port: FreePort(t, lo), To: netip.AddrPortFrom(uas.Addr, uas.Port)})
	uac.Success()
	uas.Success()
	if b := string(seen.Bytes(nil)); strings.Count(b, "INVITE sip:") != 1 || !strings.Contains(b, "IN IP6") {
		t.Errorf("captured %d octets, not one INVITE with IPv6:\n%s", len(b), b)
	}
}

// The probe sees a socket of either kind and family, and does not take the
// address from whoever is about to.
func TestBound(t *testing.T) {
	for _, host := range []string{NewNet(t).Addr(t).String(), "::1"} {
		at := netip.AddrPortFrom(netip.MustParseAddr(host), FreePort(t, netip.MustParseAddr(host)))
		if bound(at, false) || bound(at, true) {
			t.Errorf("%v is bound before anybody has", at)
		}
		u, err := net.ListenPacket("udp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		if !bound(at, false) || bound(at, true) {
			t.Errorf("%v over UDP is not seen, or is over TCP", at)
		}
		l, err := net.Listen("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if !bound(at, true) {
			t.Errorf("%v over TCP is not seen", at)
		}
	}
}
