package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// clockState is what the kernel says of its own clock.
type clockState struct {
	synchronised bool
	maxError     time.Duration
}

// kernelClock reads it and changes nothing (adjtimex with no mode).
func kernelClock() (clockState, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return clockState{}, fmt.Errorf("adjtimex: %w", err)
	}
	return clockState{synchronised: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, maxError: time.Duration(t.Maxerror) * time.Microsecond}, nil
}

// openFiles is the hard limit: Go raises the soft one to it.
func openFiles() (uint64, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("getrlimit: %w", err)
	}
	return l.Max, nil
}

func freeSpace(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("statfs: %w", err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}
