package ratelimit

import (
	"slices"
	"time"
)

// shares divides a rate among those who want it, max-min fair: who wants less
// than an even part gets all of it, and what that leaves is divided among the
// others. One loud peer takes nothing from those who want little.
//
// The table has a fixed size. Those whose keys, hashes with a secret seed, fall
// into one place have one share together.
type shares struct {
	share  float64             // calls a second of each; 0: no limit
	begun  time.Time           // of the second that is counted
	wanted [shareSlots]float32 // in it, what was refused included
	until  [shareSlots]int64   // nanoseconds: theoretical arrival times, as in table
	order  [shareSlots]float32 // to sort in
}

const (
	shareSlots = 4096
	shareTime  = time.Second // between two divisions
	shareBurst = 0.25        // seconds' worth that one may have at once; a call at least
	leastShare = 0.001       // calls a second
)

// wants counts what was asked for.
func (s *shares) wants(who uint64, cost float64) {
	if who != 0 {
		s.wanted[who%shareSlots] += float32(cost)
	}
}

// fresh: who has taken nothing for as long as its share needs to be whole.
func (s *shares) fresh(who uint64, now time.Time) bool {
	return who != 0 && s.share > 0 && s.until[who%shareSlots] <= now.UnixNano()
}

// take asks for a part of who's share.
func (s *shares) take(who uint64, cost float64, now time.Time) bool {
	if who == 0 || s.share <= 0 {
		return true
	}
	until, at := &s.until[who%shareSlots], now.UnixNano()
	each := float64(time.Second) / s.share * cost
	most := int64(max(shareBurst*float64(time.Second), each))
	*until = min(max(*until, at), at+most) // the share was smaller, or the clock was wrong
	if *until+int64(each) > at+most {
		return false
	}
	*until += int64(each)
	return true
}

// tick divides rate anew once a second, by what was wanted in it.
func (s *shares) tick(now time.Time, rate float64) {
	dt := now.Sub(s.begun)
	if dt >= 0 && dt < shareTime {
		return
	}
	s.begun = now
	if rate <= 0 || dt < 0 || dt > 10*shareTime {
		s.share = 0
	} else {
		s.share = s.divide(rate*dt.Seconds()) / dt.Seconds()
	}
	clear(s.wanted[:])
}

// divide finds the share at which all that is wanted up to it comes to rate; 0
// when everybody gets all.
func (s *shares) divide(rate float64) float64 {
	all := s.order[:0]
	for _, w := range s.wanted {
		if w > 0 {
			all = append(all, w)
		}
	}
	slices.Sort(all)
	for i, w := range all {
		even := rate / float64(len(all)-i)
		if float64(w) > even {
			return max(even, leastShare)
		}
		rate -= float64(w)
	}
	return 0
}
