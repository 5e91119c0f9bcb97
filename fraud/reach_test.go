package fraud

import (
	"fmt"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud/param"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Whatever is counted can reach the most that it can be set to: a threshold
// beyond what is kept would switch its detector off without a word.
func TestThresholdsCanBeReached(t *testing.T) {
	kept := map[string]int{
		IDPing + " callees": maxPings, IDPing + " number": maxPings, IDPing + " block": maxPings, IDPing + " country": maxPings, IDPing + " day": maxPings,
		IDPump + " calls": maxPumped, IDPump + " per_user": maxPumped, IDPump + " alike": maxPumped,
		IDFree + " calls": maxHeard, IDFree + " block": maxHeard, IDAnswer + " calls": 30,
		IDRobo + " calls": maxRobots, IDRobo + " callees": maxRobots, IDRobo + " strangers": maxRobots,
		IDProbe + " caller": maxProbed, IDProbe + " slow": maxProbed, IDProbe + " account": maxProbed,
	}
	for _, d := range param.All() {
		for _, p := range d.Params {
			most, ok := kept[d.ID+" "+p.Key]
			if ok && p.Max > float64(most) {
				t.Errorf("%s: %s can be set to %v, and %d are kept", d.ID, p.Key, p.Max, most)
			}
			delete(kept, d.ID+" "+p.Key)
		}
	}
	for key := range kept {
		t.Errorf("there is no %s", key)
	}
}

// A window that is set to days is one of days: what it counts is not forgotten
// sooner.
func TestWindowsOfDays(t *testing.T) {
	c := acting()
	c.Ping.NumberOver, c.Ping.Callees = 7*24*time.Hour, 2
	e := New(c, DefaultRates("GB", number.Builtin()))
	var found []Finding
	for i := range c.Ping.Number { // one every thirty hours
		id, begins := fmt.Sprint("p", i), t0.Add(time.Duration(30*i)*time.Hour)
		found = append(found, e.Observe(call.Event{At: call.Time{Time: begins}, Kind: call.EventInvite, ID: id, Direction: "inbound", Account: "main", From: far, To: fmt.Sprint("+44207946000", i)})...)
		ring := 1.0
		found = append(found, e.Observe(call.Event{At: call.Time{Time: begins.Add(time.Second)}, Kind: call.EventEnd, ID: id, Code: 487, EndedBy: call.ByCaller, RingSeconds: &ring})...)
	}
	found = append(found, e.Flush()...)
	if len(found) != 1 || found[0].Detector != IDPing || found[0].Subject.Value != far {
		t.Errorf("%+v", found)
	}
}

// An incident that may rest for days is one incident after days.
func TestIncidentRestsForDays(t *testing.T) {
	c := acting()
	c.Incident = 7 * 24 * time.Hour
	e := New(c, DefaultRates("GB", number.Builtin()))
	e.Tick(t0)
	f := Finding{Detector: IDRobo, Subject: call.Subject{Kind: "from", Value: far}}
	first := e.tell(f, nil)
	e.Tick(t0.Add(6 * 24 * time.Hour))
	if again := e.tell(f, nil); again != first {
		t.Errorf("%s, after six days %s", first, again)
	}
}

// A call that may last for days is watched for so long.
func TestLongestOfDays(t *testing.T) {
	c := acting()
	c.Costly.High, c.Spend.User, c.Spend.Account = 5*24*time.Hour, 0, 0
	e := New(c, DefaultRates("GB", number.Builtin()))
	e.Observe(call.Event{At: call.Time{Time: t0}, Kind: call.EventInvite, ID: "c", Direction: "outbound", Account: "main", User: "1001", To: far, Verdict: "allow"})
	e.Observe(call.Event{At: call.Time{Time: t0}, Kind: call.EventAnswer, ID: "c"})
	told := 0
	for h := range 5*24 + 2 {
		for _, f := range e.Tick(t0.Add(time.Duration(h) * time.Hour)) {
			if f.Detector == IDCostly {
				told++
			}
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}
