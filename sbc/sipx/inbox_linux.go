package sipx

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rampart-sbc/rampart/call"
)

const (
	inboxSize = 32    // datagrams that one call may bring
	slotSize  = 65536 // no datagram is larger
)

// inbox holds the datagrams of one read, in the order in which they came. Its
// memory is taken once, from the system and not from the heap: most of it is
// never touched, and the collector should not take it for use.
//
// A socket that sees one datagram now and then is read by recvfrom, as its
// single call is the cheaper one; a second datagram that waits already makes
// the next call a recvmmsg, and each full one doubles how much may be brought,
// so a flood pays for its system calls by the dozen.
type inbox struct {
	n      int
	want   int  // datagrams the next call may bring
	full   int  // calls in a row that brought all they could, without waiting
	more   bool // the last call brought all it could, so there may be more
	waited bool // there was nothing at first
	err    unix.Errno
	memory []byte
	take   func(fd uintptr) bool

	msgs [inboxSize]mmsghdr
	iovs [inboxSize]unix.Iovec
	from [inboxSize]unix.RawSockaddrInet6 // large enough for both families
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [unsafe.Sizeof(uintptr(0)) - 4]byte
}

func (in *inbox) init() {
	in.want, in.take = 1, in.read
}

// open takes the memory. Only a socket that is read needs it.
func (in *inbox) open() error {
	var err error
	in.memory, err = unix.Mmap(-1, 0, inboxSize*slotSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("memory for datagrams: %w", err)
	}
	for i := range in.msgs {
		in.iovs[i].Base = &in.memory[i*slotSize]
		in.iovs[i].SetLen(slotSize)
		h := &in.msgs[i].hdr
		h.Iov, h.Name = &in.iovs[i], (*byte)(unsafe.Pointer(&in.from[i]))
		h.SetIovlen(1)
	}
	return nil
}

// close gives the memory back. Nobody may hold on to a datagram.
func (in *inbox) close() {
	if in.memory != nil {
		unix.Munmap(in.memory)
		in.memory = nil
	}
}

// read reports false when there is nothing yet.
func (in *inbox) read(fd uintptr) bool {
	for {
		n, errno := in.receive(fd)
		switch errno {
		case unix.EAGAIN:
			in.full, in.waited = 0, true
			return false
		case unix.EINTR:
			continue
		}
		in.n, in.err = n, errno
		return true
	}
}

// receive makes one system call.
func (in *inbox) receive(fd uintptr) (n int, errno unix.Errno) {
	if in.want == 1 {
		size := uint32(unsafe.Sizeof(in.from[0]))
		r, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(in.memory))), slotSize,
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&in.from[0])), uintptr(unsafe.Pointer(&size)))
		in.msgs[0].n = uint32(r)
		return 1, errno
	}
	for i := range in.want {
		in.msgs[i].hdr.Namelen = uint32(unsafe.Sizeof(in.from[0])) // the kernel wrote there
	}
	r, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.msgs[0])), uintptr(in.want), unix.MSG_DONTWAIT, 0, 0)
	return int(r), errno
}

// next fits the size of the next call to what this one brought.
func (in *inbox) next() {
	in.more = in.n >= in.want
	switch {
	case in.n < in.want:
		in.want, in.full = max(1, in.n), 0
	default:
		if in.full++; in.full > 1 {
			in.want = min(2*in.want, inboxSize)
		}
	}
}

// receive waits for datagrams and returns how many there are; it has one
// caller. They are valid until the next call.
func (s *udpSocket) receive() (int, error) {
	if s.got.memory == nil {
		if err := s.got.open(); err != nil {
			return 0, err
		}
	}
	s.got.n, s.got.waited = 0, false
	if err := s.wait.Read(s.got.take); err != nil {
		return 0, err
	}
	if s.got.err != 0 {
		return 0, s.got.err
	}
	s.got.next()
	return s.got.n, nil
}

// datagram returns the i-th of those received, v4-mapped addresses folded.
func (s *udpSocket) datagram(i int) ([]byte, netip.AddrPort) {
	in := &s.got
	from := &in.from[i]
	b := in.memory[i*slotSize : i*slotSize+int(in.msgs[i].n)]
	p := (*[2]byte)(unsafe.Pointer(&from.Port))
	port := uint16(p[0])<<8 | uint16(p[1])
	if from.Family == unix.AF_INET {
		return b, netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(from)).Addr), port)
	}
	a := netip.AddrFrom16(from.Addr)
	if from.Scope_id != 0 && !a.Is4In6() {
		a = a.WithZone(s.zoneOf(from.Scope_id))
	}
	return b, call.FoldAddr(netip.AddrPortFrom(a, port))
}

// finish is called by the reader when it reads no more.
func (s *udpSocket) finish() { s.got.close() }

// pressed reports of the last read whether it had to wait, and whether it may
// have left something behind.
func (s *udpSocket) pressed() (waited, more bool) { return s.got.waited, s.got.more }

// enlarge asks for a receive buffer and reports what the kernel gave.
// SO_RCVBUFFORCE is not bound by net.core.rmem_max, but needs CAP_NET_ADMIN.
func (s *udpSocket) enlarge(octets int) (got int, err error) {
	cerr := s.wait.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, octets) != nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, octets)
		}
		if err == nil {
			got, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		}
	})
	if cerr != nil {
		return 0, cerr
	}
	return got / 2, err // the kernel doubles it, for its own book-keeping
}

// dropped counts the datagrams that the kernel dropped before they were read:
// the buffer was full, or the socket's filter refused them. The counter is
// read when somebody asks (SO_MEMINFO); SO_RXQ_OVFL would bring it with every
// datagram.
func (s *udpSocket) dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.lost
	}
	const drops = 8 // SK_MEMINFO_DROPS
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno == 0 && size > drops*4 {
		s.lost += uint64(info[drops] - s.lostAt)
		s.lostAt = info[drops]
	}
	return s.lost
}
