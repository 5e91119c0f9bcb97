//go:build !unix

package bind

import "syscall"

// control does nothing where the system has its own policy for marks.
func control(syscall.RawConn, bool, int) error { return nil }
