package trial

import (
	"cmp"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
)

// course is what becomes of the calls of a test: they ring, are answered, end.
type course struct {
	b     *Bench
	watch watching
	steps []step // to come, in their order
}

type step struct {
	at   time.Time
	call string // whose it is
	do   func(at time.Time)
}

// until lets everything happen that happens before a time, and at it.
func (w *course) until(now time.Time) {
	for len(w.steps) > 0 && !w.steps[0].at.After(now) {
		s := w.steps[0]
		w.steps = w.steps[1:]
		w.passes(s.at)
		s.do(s.at)
	}
	w.passes(now)
}

// rest lets everything happen that is still to come.
func (w *course) rest() {
	for len(w.steps) > 0 {
		w.until(w.steps[0].at)
	}
	w.carryOut(w.watch.flush())
}

func (w *course) passes(at time.Time) { w.carryOut(w.watch.tick(at)) }

// later puts a step behind those that are due no later than it.
func (w *course) later(s step) {
	at, _ := slices.BinarySearchFunc(w.steps, s, func(x, y step) int {
		if x.at.After(y.at) {
			return 1
		}
		return -1
	})
	w.steps = slices.Insert(w.steps, at, s)
}

// met follows a request that met its decision: a call that is refused by whom it
// is for is over at once or when it has rung, one that is answered is up until its
// end.
func (w *course) met(a *call.Attempt, q *policy.TestRequest, f *Failure, now time.Time) {
	code := cmp.Or(q.Code, 200)
	w.watch.asked(f)
	w.carryOut(w.watch.limit(a, &f.Outcome, now))
	switch {
	case a.On != call.Request || a.Pass > 1: // the first pass is the call
	case !f.Outcome.Permits():
		w.carryOut(w.watch.refused(a, &f.Outcome, now))
	case a.Method != "INVITE":
		w.b.Answered(a, code)
		w.carryOut(w.watch.request(a, &f.Outcome, code, now))
	default:
		w.carryOut(w.watch.invite(a, &f.Outcome, now))
		w.call(a, q, code, now)
	}
}

func (w *course) call(a *call.Attempt, q *policy.TestRequest, code int, now time.Time) {
	if q.Ring > 0 {
		w.carryOut(w.watch.event(call.EventRinging, a, "", now))
	}
	switch {
	case code >= 300 && q.Ring == 0:
		w.ends(a, q, code, now, time.Time{}, now)
		return
	case code >= 300:
		w.later(step{now.Add(q.Ring), a.ID, func(at time.Time) { w.ends(a, q, code, now, time.Time{}, at) }})
		return
	}
	answered := now.Add(q.Ring)
	if q.Ring == 0 {
		w.carryOut(w.watch.event(call.EventAnswer, a, q.Request.Route, now))
	} else {
		w.later(step{answered, a.ID, func(at time.Time) { w.carryOut(w.watch.event(call.EventAnswer, a, q.Request.Route, at)) }})
	}
	w.watch.up(a, now, answered)
	if q.Ends {
		w.later(step{now.Add(q.Hangup), a.ID, func(at time.Time) { w.ends(a, q, 200, now, answered, at) }})
	}
}

// ends ends a call; answered is zero where nobody took it.
func (w *course) ends(a *call.Attempt, q *policy.TestRequest, code int, begun, answered, at time.Time) {
	by := q.By
	if by == "" {
		by = call.ByCaller
		if code >= 300 && code != 487 {
			by = call.ByCallee
		}
	}
	w.b.End(a.ID)
	w.b.Answered(a, code)
	w.carryOut(w.watch.end(a, code, by, begun, answered, at))
}
