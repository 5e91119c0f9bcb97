package fraud

import (
	"fmt"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Calls that a restart ended are not up, cost what they cost, and are no ping
// calls.
func TestInterrupted(t *testing.T) {
	e := teller()
	tell := func(kind call.EventKind, id string, at time.Duration, set func(*call.Event)) {
		ev := call.Event{At: call.Time{Time: t0.Add(at)}, Kind: kind, ID: id, Account: "main"}
		if set != nil {
			set(&ev)
		}
		e.Observe(ev)
	}
	for i := range 10 {
		tell(call.EventInvite, fmt.Sprint("in", i), time.Second, func(ev *call.Event) {
			ev.Direction, ev.From, ev.To = call.Inbound.String(), "+22507010203", fmt.Sprint("+44207946000", i)
		})
		tell(call.EventRinging, fmt.Sprint("in", i), 2*time.Second, nil)
	}
	tell(call.EventInvite, "out", time.Minute, func(ev *call.Event) {
		ev.Direction, ev.User, ev.From, ev.To = call.Outbound.String(), "1001", "1001", "+37120000001"
	})
	tell(call.EventAnswer, "out", time.Minute+time.Second, nil)
	e.Tick(t0.Add(11 * time.Minute))
	u := e.toll.users.peek(userKey{"main", "1001"}, e.now)
	if u == nil || u.running != 1 || e.calls.len() != 11 {
		t.Fatalf("%+v, %d calls", u, e.calls.len())
	}
	for _, f := range e.Interrupted() {
		if f.Action == call.PingCall {
			t.Errorf("%+v", f)
		}
	}
	if u.running != 0 || u.perMin != 0 || u.lost <= 0 || e.calls.len() != 0 {
		t.Errorf("%+v, %d calls", u, e.calls.len())
	}
	if more := e.Interrupted(); len(more) != 0 {
		t.Errorf("%+v", more)
	}
}
