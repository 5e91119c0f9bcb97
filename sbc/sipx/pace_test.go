package sipx

import (
	"testing"
	"time"
)

// A reader that is never done rests after a turn of work, one that is done in
// time does not, and in a flood it rests rather than wait for single datagrams.
func TestPace(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	var p pace
	p.woke(at(0), true)
	if p.worked(at(paceTurn)) || p.read(at(paceTurn), true, true) {
		t.Error("rests within its turn")
	}
	p.woke(at(paceTurn), false) // the next datagrams had been waiting
	if !p.worked(at(paceTurn+1)) || !p.read(at(paceTurn+1), false, true) {
		t.Error("does not rest after its turn")
	}
	p.woke(at(time.Second), true)
	if p.worked(at(time.Second + paceTurn)) {
		t.Error("time spent waiting counts as work")
	}

	p = pace{}
	p.woke(at(0), true)
	p.dropped += paceFlooded
	if p.read(at(1), true, false) {
		t.Error("a few drops are a flood")
	}
	p.dropped++
	if !p.read(at(1), true, true) || !p.read(at(1), false, false) {
		t.Error("wakes for each datagram of a flood")
	}
	if p.read(at(1), false, true) {
		t.Error("rests although more is waiting and the turn is not over")
	}
	p.woke(at(paceCycle+1), true)
	if p.read(at(paceCycle+2), true, false) {
		t.Error("a flood that is over still slows the reader down")
	}
}
