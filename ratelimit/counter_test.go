package ratelimit

import (
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// A counter says what was counted before, and does not count itself.
func TestCounter(t *testing.T) {
	all := func(*call.Attempt) bool { return true }
	limits := []Limit{
		{ID: "l/calls", Match: all, Key: []string{"user"}, Concurrent: 9, Verdict: call.Reject, Status: 486},
		{ID: "l/rate", Match: all, Key: []string{"user"}, Rate: 0.001, Burst: 9, Verdict: call.Reject, Status: 486},
		{ID: "l/total", Match: all, Rate: 0.001, Burst: 9, Verdict: call.Reject, Status: 486},
		{ID: "l/failures", Match: all, Key: []string{"user"}, Failures: 9, Over: time.Minute, Verdict: call.Reject, Status: 486},
		{ID: "l/distinct", Match: all, Key: []string{"user"}, Distinct: 9, Of: "to", Over: time.Minute, Verdict: call.Reject, Status: 486},
	}
	e, err := New(limits, Caps{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	attempt := func(user, id string) *call.Attempt {
		a := &call.Attempt{At: at, Method: "INVITE", PeerKind: call.Phone, User: user, ID: id, SIPCallID: id, Pass: 1}
		a.To = call.Party{Kind: call.International, Number: "+4930" + id}
		return a
	}
	check := func(a *call.Attempt, want ...int64) {
		t.Helper()
		for range 2 { // asking changes nothing
			for i, l := range limits {
				if n, ok := e.Counter(l.ID, a); !ok || n != want[i] {
					t.Errorf("%s: %d %v, want %d", l.ID, n, ok, want[i])
				}
			}
		}
	}
	check(attempt("1001", "1"), 0, 0, 0, 0, 0)
	for _, id := range []string{"1", "2", "3"} {
		if d := e.Judge(attempt("1001", id)); d.Verdict != call.Abstain {
			t.Fatal(d)
		}
	}
	e.Outcome(attempt("1001", "3"), 404)
	e.Done("3")
	check(attempt("1001", "4"), 2, 3, 3, 1, 3)
	check(attempt("1002", "4"), 0, 0, 3, 0, 0)
	check(attempt("", "4"), 0, 0, 3, 0, 0)
	later := attempt("1001", "4")
	later.At = at.Add(time.Hour)
	if n, _ := e.Counter("l/distinct", later); n != 0 {
		t.Errorf("%d values an hour later", n)
	}
	if _, ok := e.Counter("l/none", later); ok {
		t.Error("counts a limit that is not there")
	}
}
