package sipx

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// mark gives the packets of a socket their DSCP (RFC 2474), so that signalling
// gets through where links are full. 0 leaves the system's default. An IPv6
// socket is marked for both families: it may carry v4-mapped addresses.
func mark(c syscall.RawConn, v6 bool, dscp int) error {
	if dscp == 0 {
		return nil
	}
	var serr error
	err := c.Control(func(fd uintptr) {
		if v6 {
			serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS, dscp<<2)
			return
		}
		serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, dscp<<2)
	})
	if err = errors.Join(err, serr); err != nil {
		return fmt.Errorf("mark with DSCP %d: %w", dscp, err)
	}
	return nil
}

// markConn marks a connection; one that cannot be is served all the same.
func (s *Stack) markConn(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok || s.cfg.DSCP == 0 {
		return
	}
	rc, err := t.SyscallConn()
	if err == nil {
		err = mark(rc, foldAddrPort(c.LocalAddr()).Addr().Is6(), s.cfg.DSCP)
	}
	if err != nil {
		s.log.Debug("connection not marked", "error", err)
	}
}
