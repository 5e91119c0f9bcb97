package main

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// TestPressure: what the process uses is seen in shares of what it may use.
func TestPressure(t *testing.T) {
	p := newPressure()
	now := time.Now()
	p.measure(now)
	var u syscall.Rusage
	for deadline := now.Add(20 * time.Second); ; { // so much of a processor as one has in 50 ms
		if syscall.Getrusage(syscall.RUSAGE_SELF, &u); time.Duration(u.Utime.Nano()+u.Stime.Nano())-p.cpu > 50*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no processor")
		}
	}
	var most syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &most); err != nil {
		t.Fatal(err)
	}
	before := files()
	var open []*os.File
	for range 50 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, f)
	}
	if got := (files() - before) * float64(most.Cur); got < 40 {
		t.Errorf("50 further files show as %.0f", got)
	}
	for _, f := range open {
		f.Close()
	}
	s := p.measure(now.Add(50 * time.Millisecond)) // as if no more time had passed
	if s.CPU < 0.4 || s.CPU > 1 {
		t.Errorf("CPU %v", s.CPU)
	}
	if s.Busy < s.CPU || s.Busy > 1 {
		t.Errorf("busy for %v, CPU %v", s.Busy, s.CPU)
	}
	if s.Memory <= 0 || s.Memory > 1 || s.Files <= 0 || s.Files > 1 {
		t.Errorf("%+v", s)
	}
	p.memory = 1 << 20
	if s := p.measure(now.Add(time.Second)); s.Memory < 1 {
		t.Errorf("more than there may be is in use: %v", s.Memory)
	}
}
