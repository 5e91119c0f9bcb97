package ratelimit

import (
	"cmp"
	"time"
)

// Emergency decides when strangers get budgets in the kernel: when the gate has
// had to drop much for a while, until next to nothing was dropped for longer.
// What the kernel drops counts too, or each success would end what brought it
// about. It is not safe for concurrent use.
type Emergency struct {
	Begin float64 // drops a second that begin one; 0: never
	// After is how long the drops have to be over Begin, Quiet how long under a
	// quarter of it; 0: two seconds and 30.
	After, Quiet time.Duration

	on    bool
	at    time.Time // of the last look
	count uint64
	since time.Time // for how long it has been as the other state wants; zero: it is not
}

const (
	emergencyAfter = 2 * time.Second
	emergencyQuiet = 30 * time.Second
)

// Look takes the count of drops since the start and says whether there is an
// emergency. Looks have to come at least once a second or two; two at the same
// time are one.
func (e *Emergency) Look(now time.Time, dropped uint64) (on bool) {
	if e.Begin <= 0 {
		return false
	}
	if e.at.IsZero() || dropped < e.count { // the first, or a counter that began anew
		e.at, e.count, e.since = now, dropped, time.Time{}
		return e.on
	}
	passed := now.Sub(e.at)
	if passed < 100*time.Millisecond {
		return e.on
	}
	rate := float64(dropped-e.count) / passed.Seconds()
	before := e.at
	e.at, e.count = now, dropped
	other, last := rate >= e.Begin, cmp.Or(e.After, emergencyAfter)
	if e.on {
		other, last = rate < e.Begin/4, cmp.Or(e.Quiet, emergencyQuiet)
	}
	switch {
	case !other:
		e.since = time.Time{}
	case e.since.IsZero():
		e.since = before
	}
	if other && now.Sub(e.since) >= last {
		e.on, e.since = !e.on, time.Time{}
	}
	return e.on
}
