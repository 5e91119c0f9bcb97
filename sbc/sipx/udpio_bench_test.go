//go:build linux

package sipx

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BenchmarkReceive is what one datagram costs from the kernel's queue to the
// end of the way, beside a loop of recvfrom that throws away what it gets.
// The queue is filled while the clock stands.
//
//	floor     recvfrom, nothing else: what the kernel makes it cost
//	noise     no SIP: dropped at its first octets
//	dropped   SIP, dropped at the gate (a handler that says no at once)
//	filtered  no SIP: the socket's filter drops it, nothing is read
//	single    as noise, but each datagram waits alone
//
// ns/all is with what it costs to send one over loopback, on the same thread.
func BenchmarkReceive(b *testing.B) {
	noise, request := []byte(strings.Repeat("x", 400)), []byte(msg("REGISTER", "192.0.2.7", "a", "a", "", 1))
	into := make([]byte, slotSize)
	b.Run("floor", func(b *testing.B) {
		benchReceive(b, noise, 256, func(s *udpSocket, u *udpListener, n int) {
			var from unix.RawSockaddrInet6
			for range n {
				size := uint32(unsafe.Sizeof(from))
				unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), uintptr(unsafe.Pointer(&into[0])), slotSize, unix.MSG_DONTWAIT,
					uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)))
			}
		})
	})
	drain := func(s *udpSocket, u *udpListener, n int) {
		for n > 0 {
			got, err := s.receive()
			if err != nil {
				panic(err)
			}
			for i := range got {
				m, from := s.datagram(i)
				u.datagram(s, from, m)
			}
			n -= got
		}
	}
	b.Run("noise", func(b *testing.B) { benchReceive(b, noise, 256, drain) })
	b.Run("dropped", func(b *testing.B) { benchReceive(b, request, 256, drain) })
	b.Run("filtered", func(b *testing.B) {
		benchReceive(b, noise, 256, nil)
	})
	b.Run("single-floor", func(b *testing.B) {
		benchReceive(b, noise, 1, func(s *udpSocket, u *udpListener, n int) {
			var from unix.RawSockaddrInet6
			s.wait.Read(func(fd uintptr) bool {
				size := uint32(unsafe.Sizeof(from))
				unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&into[0])), slotSize, unix.MSG_DONTWAIT,
					uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)))
				return true
			})
		})
	})
	b.Run("single", func(b *testing.B) { benchReceive(b, noise, 1, drain) })
}

func benchReceive(b *testing.B, m []byte, queue int, drain func(s *udpSocket, u *udpListener, n int)) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	s, err := newUDPSocket(c)
	if err != nil {
		b.Fatal(err)
	}
	s.enlarge(4 << 20)
	defer s.finish()
	if drain == nil {
		if err := s.shape(8192); err != nil {
			b.Fatal(err)
		}
	}
	h := newRecorder()
	h.admit = func(netip.Addr) bool { return false }
	u := &udpListener{s: &Stack{handler: h, log: slog.New(slog.DiscardHandler)}}
	out, err := net.Dial("udp", c.LocalAddr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	b.ReportAllocs()
	var spent time.Duration
	total, began := 0, time.Now()
	for b.Loop() {
		for range queue {
			out.Write(m)
		}
		start := time.Now()
		if drain != nil {
			drain(s, u, queue)
		}
		spent += time.Since(start)
		total += queue
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(total), "ns/datagram")
	b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(total), "ns/all")
	b.ReportMetric(0, "ns/op")
}
