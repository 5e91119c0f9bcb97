package admission_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// shut refuses everything it is asked about, what is an emergency too.
type shut struct{}

func (shut) Name() string { return "shut" }
func (shut) Judge(*call.Attempt) call.Decision {
	return call.Decision{Verdict: call.Drop, Rule: "shut/all"}
}

// closing refuses all but emergency calls.
type closing struct{ shut }

func (c closing) Judge(a *call.Attempt) call.Decision {
	if a.Emergency() {
		return call.Decision{}
	}
	return c.shut.Judge(a)
}

func TestProveEmergency(t *testing.T) {
	plan, err := number.Compile(number.Home{Country: "FR", Emergency: []string{"112", "15", "17", "18"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if faults := admission.ProveEmergency([]admission.Guard{closing{}}, plan, []string{"a"}); len(faults) > 0 {
		t.Error(faults)
	}
	faults := admission.ProveEmergency([]admission.Guard{closing{}, shut{}}, plan, []string{"a"})
	if len(faults) == 0 || !strings.Contains(faults[0], "shut has an opinion") {
		t.Errorf("a guard that would refuse emergency calls is not found: %q", faults)
	}
	for _, n := range []string{"112", "15", "17", "18", "urn:service:sos"} {
		if !strings.Contains(strings.Join(faults, "\n"), " "+n+" ") {
			t.Errorf("%s was not asked for", n)
		}
	}
}
