package ratelimit_test

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/ratelimit"
)

func TestEmergency(t *testing.T) {
	now := time.Unix(1e9, 0)
	e := ratelimit.Emergency{Begin: 1000}
	var dropped uint64
	// second looks twice with a rate of drops.
	second := func(rate uint64) (on bool) {
		for range 2 {
			now = now.Add(time.Second / 2)
			dropped += rate / 2
			on = e.Look(now, dropped)
		}
		return on
	}
	e.Look(now, 0)
	for range 10 {
		if second(900) {
			t.Fatal("it begins below the threshold")
		}
	}
	if second(5000) || second(100) || second(5000) {
		t.Fatal("one bad second is no emergency")
	}
	if !second(5000) {
		t.Fatal("two are")
	}
	for range 60 {
		if !second(400) {
			t.Fatal("it ends although something is dropped")
		}
	}
	for i := range 29 {
		if !second(100) {
			t.Fatalf("it ends after %d quiet seconds", i+1)
		}
	}
	if !second(300) { // not quiet: the time begins anew
		t.Fatal("it ends at a loud second")
	}
	for i := range 29 {
		if !second(0) {
			t.Fatalf("it ends %d seconds after a loud one", i+1)
		}
	}
	if second(0) {
		t.Error("it never ends")
	}
	// A counter that begins anew, and a look at the same time, change nothing.
	dropped = 0
	if second(0) || e.Look(now, 1e9) {
		t.Error("a jump of a counter is an emergency")
	}
}

func TestNoEmergencyWithoutThreshold(t *testing.T) {
	var e ratelimit.Emergency
	for i := range uint64(100) {
		if e.Look(time.Unix(int64(i), 0), i*1e6) {
			t.Fatal("it is off")
		}
	}
}
