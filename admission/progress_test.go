package admission_test

import (
	"fmt"
	"testing"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
)

type watching struct{ d call.Decision }

func (watching) Name() string                        { return "opinion" }
func (o watching) Judge(*call.Attempt) call.Decision { return o.d }

// Each rule tells once in a call, no more are remembered than the cap, and one
// that hangs up does so at any time.
func TestProgressTellsOnce(t *testing.T) {
	var d call.Decision
	for i := range 70 {
		d.Also = append(d.Also, call.Decision{Rule: fmt.Sprintf("a/r%d", i), Action: call.RuleFlagged})
	}
	a := &call.Attempt{On: call.Progress, PeerKind: call.Phone}
	var told admission.Told
	for i, want := range []int{64, 0} {
		got, ending := admission.Progress([]admission.Guard{watching{d}}, a, &told)
		if len(got.Also) != want || ending != "" || got.Verdict != call.Allow {
			t.Errorf("look %d: %d told, ending %q, %s", i, len(got.Also), ending, got.Verdict)
		}
	}
	end := call.Decision{Verdict: call.Reject, Rule: "a/long", Effects: []call.Effect{{Act: call.ActHangup, Rule: "a/long"}}}
	if got, ending := admission.Progress([]admission.Guard{watching{end}}, a, &told); ending != "a/long" || got.Verdict != call.Reject {
		t.Errorf("%q %s", ending, got.Verdict)
	}
}
