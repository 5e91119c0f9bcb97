package sbc

import (
	"testing"
	"time"
)

// However many requests come in a second, and from however many sources, only
// so many are told of.
func TestMuteCap(t *testing.T) {
	var m mute
	at := time.Unix(1_700_000_000, 0)
	for second := range 3 {
		told := 0
		for i := range 100_000 {
			if m.tell(at.Add(time.Duration(second)*time.Second + time.Duration(i)*time.Microsecond)) {
				told++
			}
		}
		if told != mutePerSecond {
			t.Errorf("%d told of in second %d, want %d", told, second, mutePerSecond)
		}
	}
	if n := testing.AllocsPerRun(100, func() { m.tell(at) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
