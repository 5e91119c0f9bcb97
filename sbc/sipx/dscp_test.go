package sipx

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rampart-sbc/rampart/call"
)

// TestDSCP: what arrives is marked, over UDP and TCP, in both families, on
// accepted and dialled connections.
func TestDSCP(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			bind := netip.AddrPortFrom(netip.MustParseAddr(host), 0)
			for _, shards := range []int{1, 2} {
				s := startStack(t, Config{DSCP: 24, UDPShards: shards, Listeners: []Listener{
					{Side: call.Public, Transport: "udp", Bind: bind}, {Side: call.Public, Transport: "tcp", Bind: bind}}}, newRecorder())
				if got := receivedTOS(t, s, bind); got != 24<<2 {
					t.Errorf("UDP with %d sockets: TOS %d, want %d", shards, got, 24<<2)
				}
				ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(bind))
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				if _, err := s.Connect(t.Context(), Hop{Name: "x", Side: call.Public, Transport: "tcp", Addr: netip.MustParseAddrPort(ln.Addr().String())}); err != nil {
					t.Fatal(err)
				}
				c, err := net.Dial("tcp", s.Addrs(call.Public, "tcp")[0].String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				for deadline := time.Now().Add(10 * time.Second); ; {
					marked := 0
					s.mu.Lock()
					for f := range s.conns {
						if optTOS(t, f.stream.conn.(*net.TCPConn), bind.Addr().Is6()) == 24<<2 {
							marked++
						}
					}
					s.mu.Unlock()
					if marked == 2 {
						break
					}
					if time.Now().After(deadline) {
						t.Fatalf("%d of 2 connections are marked", marked)
					}
				}
			}
			s := startStack(t, Config{Listeners: []Listener{{Side: call.Public, Transport: "udp", Bind: bind}}}, newRecorder())
			if got := receivedTOS(t, s, bind); got != 0 {
				t.Errorf("unmarked UDP: TOS %d", got)
			}
		})
	}
}

func optTOS(t *testing.T, c syscall.Conn, v6 bool) (v int) {
	t.Helper()
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	rc.Control(func(fd uintptr) {
		if v6 {
			v, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS)
		} else {
			v, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS)
		}
	})
	return v
}

// receivedTOS is the mark on a datagram of the stack as its receiver sees it.
func receivedTOS(t *testing.T, s *Stack, bind netip.AddrPort) int {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		c.Control(func(fd uintptr) {
			if bind.Addr().Is6() {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
			} else {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
			}
		})
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), "udp", bind.String())
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	u := pc.(*net.UDPConn)
	f, err := s.Connect(t.Context(), Hop{Name: "u", Side: call.Public, Transport: "udp", Addr: netip.MustParseAddrPort(u.LocalAddr().String())})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.send([]byte("OPTIONS sip:x SIP/2.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	u.SetReadDeadline(time.Now().Add(10 * time.Second))
	oob := make([]byte, 128)
	_, n, _, _, err := u.ReadMsgUDPAddrPort(make([]byte, 1500), oob)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		if m.Header.Type == unix.IP_TOS || m.Header.Type == unix.IPV6_TCLASS {
			return int(m.Data[0])
		}
	}
	t.Fatal("no TOS came with the datagram")
	return 0
}
