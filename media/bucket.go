package media

import "time"

// bucket is a token bucket for packets. The zero bucket is full.
type bucket struct {
	spent float64 // tokens gone
	last  time.Time
}

// take spends one token. rate is per second.
func (b *bucket) take(at time.Time, rate, burst float64) bool {
	if d := at.Sub(b.last); d > 0 {
		if b.spent -= d.Seconds() * rate; b.spent < 0 {
			b.spent = 0
		}
		b.last = at
	}
	if b.spent+1 > burst {
		return false
	}
	b.spent++
	return true
}
