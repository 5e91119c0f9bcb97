package kernel_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/ratelimit/kernel"
)

// BenchmarkDrop is how many unwanted datagrams one processor gets rid of, by
// who drops them. One thread sends, and all that follows is done by the same
// processor: with veth the sender carries its packet to the other end. The
// first line is the floor, sending itself included: take it off to compare.
//
//	go test ./ratelimit/kernel -run '^$' -bench Drop -benchtime 2s
func BenchmarkDrop(b *testing.B) {
	banned := kernel.State{Bans: []kernel.Ban{ban("10.78.0.0/24", time.Hour)}}
	emergency := kernel.State{Emergency: true}
	for _, c := range []struct {
		name    string
		engine  string
		state   kernel.State
		sources uint32
		reader  bool
	}{
		{"xdp native/banned", "xdp native", banned, 1, false},
		{"xdp native/not SIP", "xdp native", kernel.State{}, 1, false},
		{"xdp native/strangers, 1", "xdp native", emergency, 1, false},
		{"xdp native/strangers, forged", "xdp native", emergency, 1 << 20, false},
		{"xdp generic/banned", "xdp generic", banned, 1, false},
		{"xdp generic/strangers, 1", "xdp generic", emergency, 1, false},
		{"nftables/banned", "nftables", banned, 1, false},
		{"nftables/strangers, 1", "nftables", emergency, 1, false},
		{"kernel alone/nobody listens", "", kernel.State{}, 1, false},
		{"kernel alone/full socket", "", kernel.State{}, 1, false},
		{"gate of the gateway/1 source", "", kernel.State{}, 1, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := newWire(b)
			if c.name != "kernel alone/nobody listens" {
				conn := w.listen(5060)
				if c.reader {
					go gateReader(conn)
				} else {
					conn.SetReadBuffer(1) // it is full at once
				}
			}
			if open := engines[c.engine]; open != nil {
				var err error
				w.in(w.host, func() {
					var e kernel.Engine
					if e, err = open(); err == nil {
						b.Cleanup(func() { e.Close() })
						err = e.Sync(c.state, time.Now())
					}
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			text := "INVITE sip:1001@10.77.0.1 SIP/2.0\r\n"
			if c.name == "xdp native/not SIP" {
				text = "\x00 is how no message of SIP begins...\r\n"
			}
			s := w.sender(text, c.sources)
			defer s.close()
			w.in(w.outside, func() {
				pin()
				b.ResetTimer()
				for n := 0; n < b.N; n += batch {
					s.send()
				}
				b.StopTimer()
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(b.N, batch)), "ns/packet")
		})
	}
}

var gateDropped atomic.Uint64

// gateReader reads as the gateway's loops do, many datagrams a call, and asks
// the gate about each.
func gateReader(c *net.UDPConn) {
	pin()
	gate := ratelimit.NewGate(ratelimit.GateConfig{})
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	const many = 64
	var hdrs [many]mmsghdr
	var iovs [many]unix.Iovec
	var names [many]unix.RawSockaddrInet6
	bufs := make([]byte, many*2048)
	for i := range hdrs {
		iovs[i] = unix.Iovec{Base: &bufs[i*2048], Len: 2048}
		hdrs[i].hdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&names[i])), Iov: &iovs[i], Iovlen: 1}
	}
	raw.Read(func(fd uintptr) bool {
		for i := range hdrs {
			hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
		}
		n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&hdrs[0])), many, unix.MSG_DONTWAIT, 0, 0)
		if e == unix.EAGAIN {
			return false
		}
		now := time.Now()
		for i := range int(n) {
			if !gate.Allow(netip.AddrFrom16(names[i].Addr).Unmap(), now, int(hdrs[i].len), call.Stranger) {
				gateDropped.Add(1)
			}
		}
		return e != 0 // until the socket is closed
	})
}

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

const batch = 64

// sender writes frames as they are to the outer end of the cable, past the
// queues: any source address, at little cost.
type sender struct {
	fd      int
	frames  [batch][]byte
	hdrs    [batch]mmsghdr
	iovs    [batch]unix.Iovec
	sources uint32
	next    uint32
}

func (w *wire) sender(text string, sources uint32) *sender {
	w.t.Helper()
	s := &sender{sources: sources}
	var err error
	w.in(w.outside, func() {
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return
		}
		var i *net.Interface
		if i, err = net.InterfaceByName("eth0"); err != nil {
			return
		}
		if err = unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
			return
		}
		err = unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: i.Index, Protocol: 0x0008})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range s.frames {
		s.frames[i] = udpFrame(text)
		s.iovs[i] = unix.Iovec{Base: &s.frames[i][0], Len: uint64(len(s.frames[i]))}
		s.hdrs[i].hdr = unix.Msghdr{Iov: &s.iovs[i], Iovlen: 1}
	}
	return s
}

func (s *sender) close() { unix.Close(s.fd) }

func (s *sender) send() {
	if s.sources > 1 {
		for i := range s.frames {
			s.next++
			// within 10.78.0.0/16 and beyond: what is forged need not be routed back
			source(s.frames[i], 10<<24|(78<<16+s.next%s.sources))
		}
	}
	unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.hdrs[0])), batch, 0, 0, 0)
}

func udpFrame(text string) []byte {
	b := make([]byte, 42, 42+len(text))
	copy(b, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45})
	binary.BigEndian.PutUint16(b[16:], uint16(28+len(text)))
	b[22], b[23] = 64, unix.IPPROTO_UDP
	copy(b[30:], netip.MustParseAddr(here4).AsSlice())
	binary.BigEndian.PutUint16(b[34:], 40000)
	binary.BigEndian.PutUint16(b[36:], 5060)
	binary.BigEndian.PutUint16(b[38:], uint16(8+len(text)))
	source(b, 10<<24|78<<16|5)
	return append(b, text...)
}

// source writes the sender's address and the checksum of the header.
func source(b []byte, addr uint32) {
	binary.BigEndian.PutUint32(b[26:], addr)
	b[24], b[25] = 0, 0
	sum := uint32(0)
	for i := 14; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[24:], ^uint16(sum))
}

// pin keeps the thread on the first processor.
func pin() {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(0)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		panic(fmt.Sprint("processor: ", err))
	}
}
