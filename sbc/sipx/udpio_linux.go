package sipx

import (
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// udpSocket sends and takes datagrams without telling Go's scheduler: these
// system calls return at once, and on a single core the scheduler's watchdog,
// once told, looks every 20 µs whether they block, which costs more than the
// datagrams. What does block is left to the net package.
//
// Reading takes many datagrams at a time, see inbox.
type udpSocket struct {
	conn *net.UDPConn

	wait syscall.RawConn
	got  inbox // of the one reader
	zone struct {
		index uint32
		name  string
		at    time.Time
	}

	front front // the filter

	mu     sync.RWMutex // held to send; the descriptor is not closed meanwhile
	fd     int
	v6     bool
	closed bool
	lost   uint64 // datagrams that the kernel dropped, and its counter when it was last read
	lostAt uint32
}

func newUDPSocket(c *net.UDPConn) (*udpSocket, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &udpSocket{conn: c, wait: rc, front: front{now: allIn}}
	s.got.init()
	var domain int
	var failed error
	err = rc.Control(func(fd uintptr) {
		s.fd = int(fd)
		domain, failed = unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	})
	s.v6 = domain == unix.AF_INET6
	if err == nil {
		err = failed
	}
	return s, err
}

// zoneOf names an interface as the net package does. To ask the system for
// every datagram would be the sender's to demand.
func (s *udpSocket) zoneOf(index uint32) string {
	if index != s.zone.index || time.Since(s.zone.at) > time.Minute {
		s.zone.index, s.zone.at, s.zone.name = index, time.Now(), strconv.Itoa(int(index))
		if i, err := net.InterfaceByIndex(int(index)); err == nil {
			s.zone.name = i.Name
		}
	}
	return s.zone.name
}

// send writes one datagram. A full buffer, and an address that wants a zone,
// are left to the net package, which waits and knows.
func (s *udpSocket) send(b []byte, to netip.AddrPort) error {
	a := to.Addr()
	if len(b) == 0 || a.Zone() != "" || s.v6 == a.Is4() {
		_, err := s.conn.WriteToUDPAddrPort(b, to)
		return err
	}
	errno := s.sendNow(b, to)
	if errno == unix.EAGAIN || errno == unix.EINTR {
		_, err := s.conn.WriteToUDPAddrPort(b, to)
		return err
	}
	if errno != 0 {
		return errno
	}
	return nil
}

func (s *udpSocket) sendNow(b []byte, to netip.AddrPort) unix.Errno {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return unix.EBADF
	}
	port := [2]byte{byte(to.Port() >> 8), byte(to.Port())}
	var sa4 unix.RawSockaddrInet4
	var sa6 unix.RawSockaddrInet6
	sa, size := unsafe.Pointer(&sa4), uintptr(unix.SizeofSockaddrInet4)
	if s.v6 {
		sa6.Family, sa6.Addr = unix.AF_INET6, to.Addr().As16()
		*(*[2]byte)(unsafe.Pointer(&sa6.Port)) = port
		sa, size = unsafe.Pointer(&sa6), unix.SizeofSockaddrInet6
	} else {
		sa4.Family, sa4.Addr = unix.AF_INET, to.Addr().As4()
		*(*[2]byte)(unsafe.Pointer(&sa4.Port)) = port
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(sa), size)
	return errno
}

func (s *udpSocket) close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return s.conn.Close()
}
