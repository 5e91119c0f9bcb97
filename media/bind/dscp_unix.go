//go:build unix

package bind

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// control marks what a socket of package net sends.
func control(c syscall.RawConn, v6 bool, dscp int) error {
	var err error
	if ctl := c.Control(func(fd uintptr) { err = setDSCP(int(fd), v6, dscp) }); ctl != nil {
		return ctl
	}
	return err
}

// setDSCP marks what a socket sends; 0 leaves it alone. The two low bits of
// the field belong to ECN (RFC 3168) and stay zero.
func setDSCP(fd int, v6 bool, dscp int) error {
	if dscp == 0 {
		return nil
	}
	level, name := unix.IPPROTO_IP, unix.IP_TOS
	if v6 {
		level, name = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	if err := unix.SetsockoptInt(fd, level, name, dscp<<2); err != nil {
		return fmt.Errorf("set DSCP %d: %w", dscp, err)
	}
	return nil
}
