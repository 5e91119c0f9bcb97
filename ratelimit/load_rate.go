package ratelimit

import (
	"slices"
	"time"
)

// regulator is a bucket whose rate follows the pressure p on two terms, as the
// drop probability of PIE does (RFC 8033 §4.2): how far p is from 1, and how
// fast it changes. The second stops the rate before the queue is where the
// first would see it, so that it settles instead of swinging.
//
// A wait counts as far as it stands: the least of the last ticks, so that what
// stops the process for a moment, a collection of garbage or others on the
// machine, costs nobody a call. And for a wait alone the rate is not cut far
// below what has just been shown to be possible: a queue that long is worked
// off sooner than found out anew.
type regulator struct {
	rate     float64 // calls a second; 0: no limit
	saved    float64 // in the bucket
	at       time.Time
	flow     float64 // that was let in, averaged over a second
	proven   float64 // the best flow of late that left nobody waiting
	waits    [standTicks]float64
	flows    [proveTicks]float64 // of the last ticks
	good     int                 // ticks in a row at most 1
	pressure float64             // at the last tick
	over     int                 // ticks in a row above 1
	easy     int                 // ticks in a row far below
	calm     time.Duration
}

const (
	standTicks = 2               // of which the least wait counts
	proveTicks = 4               // so long nobody had to wait after a flow that is proven: a queue that begins is no wait yet
	veryLong   = 20              // or the last one, if it is that long
	calmFor    = 5 * time.Second // without pressure or refusals, until nobody is refused any more
	leastRate  = 2               // calls a second: something is always tried, or nothing is learnt
	gainFar    = 0.02            // of the rate, for each unit of pressure away from 1
	gainFast   = 0.15            // for each unit by which it changed
	farMost    = 15              // units that count: a long queue is worked off, not answered by shutting the door
	cutMost    = 0.5             // of the rate in one tick
	growMost   = 0.2
	growBeyond = 1.5  // times what was let in
	burstTime  = 0.1  // seconds' worth that is saved up
	burstMin   = 10   // calls
	keepProven = 0.75 // of what was shown to be possible: the least for a wait
	forget     = 0.01 // of proven, in a second
	doubt      = 0.1  // besides, for each unit of pressure while it is too high: what could be done then cannot now
	doubtMost  = 8    // units
)

// fill adds what has come in since.
func (r *regulator) fill(now time.Time) {
	if dt := now.Sub(r.at).Seconds(); dt > 0 {
		r.saved = min(r.depth(), r.saved+r.rate*dt)
	}
	r.at = now
}

func (r *regulator) depth() float64 { return max(burstMin, r.rate*burstTime) }

// has: the cost can be paid, and a share of the bucket is left.
func (r *regulator) has(cost, share float64) bool {
	return r.rate == 0 || r.saved-cost >= share*r.depth()
}

func (r *regulator) spend(cost float64) {
	if r.rate > 0 {
		r.saved -= cost
	}
}

// owe takes what may not be there; who comes next waits until it is.
func (r *regulator) owe(cost float64) {
	if r.rate > 0 {
		r.saved = max(r.saved-cost, -r.depth())
	}
}

// tick moves the rate by what was measured for dt seconds, in which let was let
// in, and some were refused or not. wait and full are pressures: of a queue,
// and of what there is only so much of.
func (r *regulator) tick(now time.Time, dt, wait, full, used, let float64, refused bool) {
	r.flow += (let/dt - r.flow) * min(1, dt)
	copy(r.waits[1:], r.waits[:])
	r.waits[0] = wait
	p := max(standing(r.waits), full)
	change := p - r.pressure
	r.pressure = p
	if r.over++; p <= 1 {
		r.over = 0
	}
	if r.easy++; p > 0.5 {
		r.easy = 0
	}
	r.prove(dt, p, max(wait, full))
	switch {
	case r.rate == 0 && r.over == 0:
		return
	case r.rate == 0:
		// Who comes first are registrations and the like, not more of what was too much.
		r.rate, r.at, r.calm = max(r.flow, leastRate), now, 0
		r.saved = freshReserve * r.depth()
	default:
		far := gainFar * (p - 1)
		if far < 0 {
			far *= climb(r.easy, used) // the way back up may be long
		}
		r.rate *= 1 - min(cutMost, max(-growMost, min(far, gainFar*farMost)+gainFast*change))
	}
	if full <= 1 {
		r.rate = max(r.rate, keepProven*r.proven)
	}
	if r.calm += time.Duration(dt * float64(time.Second)); refused || p > 1 {
		r.calm = 0
	}
	if !refused && p <= 1 {
		// A rate that nobody needs is no knowledge of what would be too much.
		r.rate = min(r.rate, max(2*r.flow, burstMin))
	}
	// One that is not reached says nothing either.
	r.rate = max(min(r.rate, max(growBeyond*max(r.flow, r.proven), burstMin)), leastRate)
	if r.calm >= calmFor {
		r.rate, r.saved = 0, 0
	}
}

// climb is how many times faster than gainFar a rate rises after so many easy
// ticks. What a call that is let in has to have done comes partly later, when it is
// answered and when it ends, so a queue tells of too many only then: while the
// processors have nothing to spare a rate rises slowly, and the faster the more
// they have.
func climb(easy int, used float64) float64 {
	if used <= 0 {
		return 1 + float64(easy)/5
	}
	spare := min(1, max(0, (fullyUsed-used)/(fullyUsed-idleUsed)))
	return climbFull + spare*(1-climbFull+float64(easy))
}

const (
	idleUsed, fullyUsed = 0.75, 0.95
	climbFull           = 0.25
)

// standing is the wait that counts: the least. A very long one is believed at once.
func standing(waits [standTicks]float64) float64 {
	if waits[0] > veryLong {
		return waits[0]
	}
	return slices.Min(waits[:])
}

// prove keeps the best flow that left nobody waiting. It is forgotten slowly,
// and fast while there is pressure: a machine that others use as well, or a
// PBX, may be able to do less than it was.
func (r *regulator) prove(dt, p, last float64) {
	f := forget
	if p > 1 {
		f += doubt * min(p, doubtMost)
	}
	r.proven *= max(0, 1-f*dt)
	was := r.flows[proveTicks-1]
	copy(r.flows[1:], r.flows[:])
	r.flows[0] = r.flow
	if r.good++; last > 1 {
		r.good = 0
	}
	if r.good > proveTicks {
		r.proven = max(r.proven, was)
	}
}
