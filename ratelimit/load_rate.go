package ratelimit

import "time"

// regulator is a bucket whose rate follows the pressure p on two terms, as the
// drop probability of PIE does (RFC 8033 §4.2): how far p is from 1, and how
// fast it changes. The second stops the rate before the queue is where the
// first would see it, so that it settles instead of swinging.
type regulator struct {
	rate     float64 // calls a second; 0: no limit
	saved    float64 // in the bucket
	at       time.Time
	flow     float64 // that was let in, averaged over a second
	pressure float64 // at the last tick
	over     int     // ticks in a row above 1
	easy     int     // ticks in a row far below
	calm     time.Duration
}

const (
	overTicks = 2               // so long the pressure lasts before anything is refused: a burst is no overload. Tenfold counts more
	calmFor   = 5 * time.Second // without pressure or refusals, until nobody is refused any more
	leastRate = 2               // calls a second: something is always tried, or nothing is learnt
	gainFar   = 0.02            // of the rate, for each unit of pressure away from 1
	gainFast  = 0.15            // for each unit by which it changed
	farMost   = 15              // units that count: a long queue is worked off, not answered by shutting the door
	cutMost   = 0.5             // of the rate in one tick
	growMost  = 0.2
	burstTime = 0.1 // seconds' worth that is saved up
	burstMin  = 10  // calls
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

// tick moves the rate by what the pressure p was for dt seconds, in which let
// was let in, and some were refused or not.
func (r *regulator) tick(now time.Time, dt, p, let float64, refused bool) {
	r.flow += (let/dt - r.flow) * min(1, dt)
	change := p - r.pressure
	r.pressure = p
	if r.over += 1 + int(p/10); p <= 1 {
		r.over = 0
	}
	if r.easy++; p > 0.5 {
		r.easy = 0
	}
	switch {
	case r.rate == 0 && r.over < overTicks:
		return
	case r.rate == 0:
		// Who comes first are registrations and the like, not more of what was too much.
		r.rate, r.at, r.calm = max(r.flow, leastRate), now, 0
		r.saved = freshReserve * r.depth()
	default:
		far := gainFar * (p - 1)
		if far < 0 {
			far *= 1 + float64(r.easy)/5 // the way back up may be long
		}
		r.rate *= 1 - min(cutMost, max(-growMost, min(far, gainFar*farMost)+gainFast*change))
	}
	if r.calm += time.Duration(dt * float64(time.Second)); refused || p > 1 {
		r.calm = 0
	}
	if !refused && p <= 1 {
		// A rate that nobody needs is no knowledge of what would be too much.
		r.rate = min(r.rate, max(2*r.flow, burstMin))
	}
	r.rate = max(r.rate, leastRate)
	if r.calm >= calmFor {
		r.rate, r.saved = 0, 0
	}
}
