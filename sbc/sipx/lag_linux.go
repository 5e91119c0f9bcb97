package sipx

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// age is how long ago the datagram came that was read last from the socket. The
// first question makes the kernel note it from then on.
func (s *udpSocket) age(now time.Time) (time.Duration, bool) {
	const siocgstampns = 0x8907 // SIOCGSTAMPNS, socket(7)
	var at unix.Timespec
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return 0, false
	}
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(s.fd), siocgstampns, uintptr(unsafe.Pointer(&at)))
	if errno != 0 || at.Sec == 0 {
		return 0, false
	}
	return time.Duration(now.UnixNano() - at.Nano()), true
}
