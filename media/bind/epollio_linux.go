package bind

import (
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epollSocket is one port of an Epoll. All of it but engine is guarded by the
// engine's lock.
type epollSocket struct {
	engine *Epoll
	fd     int // -1 once closed: the number may be another port's by then
	slot   int32
	v6     bool
	sink   Sink
	to     netip.AddrPort // whom sa4 or sa6 names
	sa4    unix.RawSockaddrInet4
	sa6    unix.RawSockaddrInet6
}

// Close frees the port.
func (s *epollSocket) Close() error {
	fd := -1
	s.engine.Do(func() { fd = s.engine.remove(s) })
	if fd < 0 {
		return nil
	}
	// Without telling the scheduler: it returns at once, but on one core the
	// scheduler's watchdog would take it for a call that blocks.
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// Send sends now or not at all: a full buffer (EAGAIN, ENOBUFS) is an error
// and the packet is lost. An ICMP answer to an earlier packet (ECONNREFUSED)
// is reported in place of sending, so that is tried once more.
func (s *epollSocket) Send(data []byte, to netip.AddrPort) error {
	if s.fd < 0 {
		return net.ErrClosed
	}
	if s.to != to {
		if err := s.aim(to); err != nil {
			return err
		}
	}
	sa, size := unsafe.Pointer(&s.sa4), uintptr(unix.SizeofSockaddrInet4)
	if s.v6 {
		sa, size = unsafe.Pointer(&s.sa6), unix.SizeofSockaddrInet6
	}
	for refused := false; ; {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(data))),
			uintptr(len(data)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(sa), size)
		switch {
		case errno == 0:
			return nil
		case errno == unix.EINTR:
		case errno == unix.ECONNREFUSED && !refused:
			refused = true
		default:
			return errno // below 256, so the interface takes no allocation
		}
	}
}

// aim writes the address in the kernel's form, once per change.
func (s *epollSocket) aim(to netip.AddrPort) error {
	port := [2]byte{byte(to.Port() >> 8), byte(to.Port())}
	switch {
	case s.v6 && to.Addr().Is6() && !to.Addr().Is4In6():
		s.sa6.Family, s.sa6.Addr = unix.AF_INET6, to.Addr().As16()
		*(*[2]byte)(unsafe.Pointer(&s.sa6.Port)) = port
	case !s.v6 && to.Addr().Unmap().Is4():
		s.sa4.Family, s.sa4.Addr = unix.AF_INET, to.Addr().As4()
		*(*[2]byte)(unsafe.Pointer(&s.sa4.Port)) = port
	default:
		return unix.EAFNOSUPPORT
	}
	s.to = to
	return nil
}

// ready returns how many events there are right now.
func (e *Epoll) ready() int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.poll), uintptr(unsafe.Pointer(&e.events[0])), epollEvents, 0, 0, 0)
	switch errno {
	case 0:
		return int(n)
	case unix.EINTR:
		return 0
	}
	panic(errno)
}

// batch delivers up to quota packets of each of n ready sockets and returns
// how many there were. A socket with more to give is ready again at once, so
// each gets its turn and the usual one, with a single packet, costs no second
// read that finds nothing.
func (e *Epoll) batch(n, quota int) (got int, failed bool) {
	at := e.opt.Clock()
	for i := range e.events[:n] {
		s := e.slots[e.events[i].Fd]
		if s == nil {
			continue
		}
		for range quota {
			ok, again := e.receive(s, at)
			if ok {
				got++
			} else {
				failed = failed || !again
				break
			}
		}
	}
	return got, failed
}

// receive reads one datagram and delivers it. Without one it tells whether
// that is normal: nothing there, or an ICMP error, which is read only once.
func (e *Epoll) receive(s *epollSocket, at time.Time) (ok, normal bool) {
	size := uint32(unsafe.Sizeof(e.from))
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), uintptr(unsafe.Pointer(&e.buf)), ReadSize,
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&e.from)), uintptr(unsafe.Pointer(&size)))
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EMSGSIZE:
		return false, true
	default:
		return false, false
	}
	s.sink.Receive(at, e.buf[:n], e.source())
	return true, true
}

// source is the address that a read has filled in.
func (e *Epoll) source() netip.AddrPort {
	p := (*[2]byte)(unsafe.Pointer(&e.from.Port))
	port := uint16(p[0])<<8 | uint16(p[1])
	if e.from.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&e.from)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(e.from.Addr).Unmap(), port)
}

// What follows does without the scheduler's knowledge what package unix does
// with it: four sockets are made for a call, and none of these calls blocks.

func setOption(fd, level, name int, value int32) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func bindTo(fd int, addr netip.AddrPort) error {
	port := [2]byte{byte(addr.Port() >> 8), byte(addr.Port())}
	var sa4 unix.RawSockaddrInet4
	var sa6 unix.RawSockaddrInet6
	sa, size := unsafe.Pointer(&sa4), uintptr(unix.SizeofSockaddrInet4)
	if addr.Addr().Is6() {
		sa6.Family, sa6.Addr = unix.AF_INET6, addr.Addr().As16()
		*(*[2]byte)(unsafe.Pointer(&sa6.Port)) = port
		sa, size = unsafe.Pointer(&sa6), unix.SizeofSockaddrInet6
	} else {
		sa4.Family, sa4.Addr = unix.AF_INET, addr.Addr().As4()
		*(*[2]byte)(unsafe.Pointer(&sa4.Port)) = port
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(sa), size); errno != 0 {
		return errno
	}
	return nil
}
