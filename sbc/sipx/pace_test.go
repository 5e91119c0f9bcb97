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
	if p.worked(at(paceFlood)) || !p.worked(at(paceFlood+1)) {
		t.Error("a flood gets as long a turn as work that is wanted")
	}
	next := paceCycle + 1
	p.woke(at(next), true)
	if p.read(at(next+1), true, false) {
		t.Error("waits for more although nothing was dropped in this cycle")
	}
	if !p.worked(at(next + paceFlood + 1)) {
		t.Error("a flood is forgotten between two cycles")
	}
	next += paceCycle + 1
	p.woke(at(next), true)
	if p.worked(at(next + paceTurn)) {
		t.Error("a flood that is over still slows the reader down")
	}
	p.dropped = paceFlooded + 1
	p.woke(at(next+time.Minute), true) // it was the last that came for a long time
	if p.worked(at(next + time.Minute + paceTurn)) {
		t.Error("a flood long ago slows the reader down")
	}
	p.dropped, p.shed = paceFlooded+1, true
	if p.worked(at(next+time.Minute+paceShed)) || !p.worked(at(next+time.Minute+paceShed+1)) {
		t.Error("what is refused at a glance has no turn of its own")
	}
}
