//go:build !linux

package main

import (
	"errors"
	"time"
)

type clockState struct {
	synchronised bool
	maxError     time.Duration
}

func kernelClock() (clockState, error) { return clockState{}, errors.ErrUnsupported }
func openFiles() (uint64, error)       { return 0, errors.ErrUnsupported }
func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
