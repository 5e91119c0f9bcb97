//go:build unix

package bind

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// setDSCP marks what a socket sends. The two low bits of the field belong to
// ECN (RFC 3168) and stay zero.
func setDSCP(c syscall.RawConn, v6 bool, dscp int) error {
	if dscp == 0 {
		return nil
	}
	var err error
	ctl := c.Control(func(fd uintptr) {
		if v6 {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS, dscp<<2)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, dscp<<2)
		}
	})
	if ctl != nil {
		err = ctl
	}
	if err != nil {
		return fmt.Errorf("set DSCP %d: %w", dscp, err)
	}
	return nil
}
