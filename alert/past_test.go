package alert

import (
	"slices"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// What is folded comes when its window ends in the time of the events, in order
// and counted, and the rest at the end.
func TestPast(t *testing.T) {
	var got []Event
	p := NewPast(Options{Window: 10 * time.Second}, func(e Event) { got = append(got, e) })
	begin := time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	tell := func(s int, who string) {
		p.Advance(at(s))
		p.Publish(System(at(s), Meta{}, call.PeerDown, call.High, "down").About(call.Subject{Kind: "peer", Value: who}))
	}
	for s := range 5 {
		tell(s, "a")
	}
	tell(5, "b")
	p.Advance(at(3600)) // both windows ended long ago, that of a first
	tell(3600, "b")
	tell(3601, "b")
	p.Advance(at(10)) // never back
	tell(3602, "b")
	p.Close()
	var counts []int
	for _, e := range got {
		counts = append(counts, e.Rampart.Count)
	}
	if !slices.Equal(counts, []int{0, 0, 4, 0, 2}) || got[2].Rampart.Last == nil || !got[2].Rampart.Last.Equal(at(4)) {
		t.Errorf("counts %v: %+v", counts, got)
	}
}
