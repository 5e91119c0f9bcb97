package ratelimit

import (
	"fmt"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

func TestFindingsAreToldOnceAMinute(t *testing.T) {
	var f Findings
	k := findingKey{"r", call.Subject{Kind: "source", Value: "192.0.2.1"}}
	t0 := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	for i, want := range []int{1, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 6} {
		if got := f.note(k, t0.Add(time.Duration(i)*10*time.Second)); got != want {
			t.Errorf("after %d s %d are told, want %d", 10*i, got, want)
		}
	}
	if got := f.note(findingKey{"other", k.subject}, t0); got != 1 {
		t.Errorf("another rule: %d", got)
	}
}

func TestFindingsAreBounded(t *testing.T) {
	f := Findings{most: 8}
	t0 := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	for i := range 1000 {
		f.note(findingKey{"r", call.Subject{Kind: "source", Value: fmt.Sprint(i)}}, t0.Add(time.Duration(i)*time.Minute))
		f.note(findingKey{"r", call.Subject{Kind: "source", Value: "0"}}, t0.Add(time.Duration(i)*time.Minute)) // told again each time
		if len(f.by) > 8 || f.told.Len() != len(f.by) {
			t.Fatalf("%d and %d are kept", len(f.by), f.told.Len())
		}
	}
	for _, who := range []string{"999", "0"} {
		if got := f.note(findingKey{"r", call.Subject{Kind: "source", Value: who}}, t0.Add(999*time.Minute)); got != 0 {
			t.Errorf("%s, told last, was forgotten", who)
		}
	}
}
