package fraud

import "time"

// The time of the Engine is that of the events, and never goes back: everything
// that leaks, ends or is forgotten depends on it. A clock may go wrong:
//
//   - It steps back (somebody sets it, a machine wakes from a snapshot). The
//     Engine goes on from where it is, ahead of the clock by e.skew, and at half
//     the clock's speed until they agree. So nothing is frozen until the clock
//     has caught up, and windows last twice as long at most meanwhile. A few
//     seconds are no step: events come from many hands, in almost the right order.
//   - It leaps forward (it was in 1970 at boot; or nobody was there for a season).
//     What ended meanwhile has ended, but nothing was learned: for warm-up and the
//     first week in shadow that time does not count.

const (
	disorder = int64(10e9) // events that are so much late are no step of the clock
	leap     = 30 * day
	lastTime = int64(7_258_118_400e9) // the year 2200: no clock says more, and sums of times stay within 64 bits
)

// nanos is a time since 1970, 0 when that does not fit.
func nanos(t time.Time) int64 {
	if s := t.Unix(); s <= 0 || s > lastTime/1e9 {
		return 0
	}
	return t.UnixNano()
}

// passes moves the time on to that of an event or tick.
func (e *Engine) passes(wall int64) {
	if wall <= 0 || wall > lastTime || wall+e.skew > lastTime {
		return // no time at all
	}
	if e.now == 0 {
		e.now, e.begin = wall, wall
		return
	}
	at := wall + e.skew
	switch d := at - e.now; {
	case d < -disorder:
		e.skew -= d
	case d > 0:
		back := min(e.skew, d/2)
		e.skew -= back
		e.goes(at - back)
		if d > leap {
			e.begin += d
		}
	}
}

// wall is what the clock says: for hours of the day and days of the week.
func (e *state) wall() int64 { return e.now - e.skew }

// time is that of an attempt which is judged, in the time of the Engine.
func (e *state) time(wall int64) int64 { return max(e.now, wall+e.skew) }
