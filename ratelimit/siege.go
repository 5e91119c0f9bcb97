package ratelimit

import (
	"math/bits"
	"time"
)

// Siege decides when strangers send so much that it pays to shut most of it
// out before it is read, and when that is over.
//
//	peace ─ more than the budget is refused, 3 looks in a row ─▶ siege
//	siege ─ less than half of the budget comes, 10 looks in a row ─▶ peace
//
// It is looked at about once a second, by one caller.
type Siege struct {
	budget float64 // datagrams a second

	up         bool
	oneIn      uint32
	row        int
	at         time.Time
	wasRefused uint64
	wasBefore  uint64
}

const (
	siegeAfter = 3
	peaceAfter = 10
	siegeMost  = 1 << 16
)

// NewSiege makes one for strangers' budget, in datagrams a second.
func NewSiege(budget float64) *Siege { return &Siege{budget: max(1, budget), oneIn: 1} }

// Look takes two counters: strangers' datagrams that were refused after they
// were read, and datagrams that were dropped before. Only the former begin a
// siege, as the latter may be junk that costs next to nothing; both keep it up.
// oneIn, a power of two, is of how many datagrams one should be let in, so that
// what is let in is about the budget.
func (s *Siege) Look(now time.Time, refused, before uint64) (up bool, oneIn uint32) {
	passed := now.Sub(s.at).Seconds()
	first := s.at.IsZero()
	r, b := float64(refused-s.wasRefused), float64(before-s.wasBefore)
	s.at, s.wasRefused, s.wasBefore = now, refused, before
	if first || passed <= 0 {
		return s.up, s.oneIn
	}
	rate := r / passed
	if s.up {
		rate += b / passed
	}
	switch {
	case !s.up && rate > s.budget:
		if s.row++; s.row >= siegeAfter {
			s.up, s.row, s.oneIn = true, 0, share(rate/s.budget)
		}
	case s.up && rate < s.budget/2:
		if s.row++; s.row >= peaceAfter {
			s.up, s.row, s.oneIn = false, 0, 1
		}
	default:
		s.row = 0
		// Small changes are not worth another filter.
		if n := share(rate / s.budget); s.up && (n >= 4*s.oneIn || 4*n <= s.oneIn) {
			s.oneIn = n
		}
	}
	return s.up, s.oneIn
}

// share is the next power of two, from 2 on.
func share(times float64) uint32 {
	n := uint32(min(max(times, 2), siegeMost))
	return min(uint32(1)<<bits.Len32(n-1), siegeMost)
}
