//go:build !unix

package bind

import "syscall"

// setDSCP does nothing where the system has its own policy for marks.
func setDSCP(syscall.RawConn, bool, int) error { return nil }
