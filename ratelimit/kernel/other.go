//go:build !linux

package kernel

import "errors"

var errSystem = errors.New("dropping in the kernel needs Linux")

// OpenTable makes the table of nftables: on Linux only.
func OpenTable(string, []Port, Budget) (Engine, error) { return nil, errSystem }

// OpenXDP loads the program: on Linux only.
func OpenXDP(string, string, []Port, Budget) (Engine, error) { return nil, errSystem }

// Lacking names the capabilities that a process lacks: on Linux only.
func Lacking(int, bool) ([]string, error) { return nil, errSystem }
