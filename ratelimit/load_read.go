package ratelimit

import "time"

// Reading says how much of the new calls of an overload is worth to be read. To
// refuse a call takes a few hundredths of what a call takes, with all that is
// done to receive the INVITE, the answer and its ACK: when ten times as many
// come as can be done, a quarter of the processors would be gone for that. So
// of more than a few times of what is let in the rest is dropped unread, by
// whoever can do it more cheaply; callers repeat what has no answer.
//
// It has one caller, who looks about ten times a second.
type Reading struct {
	share float64 // of what comes; 1: all
	rate  float64 // that calls are let in at, averaged
	at    time.Time
	seen  uint64
	cut   uint64
	looks int
}

const (
	// worthReading is how many times of what is let in is read: to refuse three
	// of four takes less than a tenth of what the fourth takes.
	worthReading = 4
	leastRead    = 200     // calls a second that are always read
	leastPart    = 1. / 64 // of what comes
	readEvery    = time.Second / 2
	readAfter    = 4 // looks, until the rate is about where it will stay
	// What was dropped comes again as soon as more is read, and may have waited
	// for long then: more is read only when it is much more, and by steps.
	readLess = 1.2
	readMore = 1.5
	readStep = 1.25
	cutMuch  = 0.1 // of what was read: the gate is what limits it
)

// NewReading makes one.
func NewReading() *Reading { return &Reading{share: 1} }

// Look takes how many of the calls that may be dropped unread have been read,
// ever, how many datagrams of peers the gate has dropped, and the rate at which
// calls are let in, 0 for all of them. It returns what share should be read.
//
// While the gate cuts a flood in a peer's name to its budget, to read a smaller
// share brings less to the gate and not less through it: the share would shrink
// to nothing, and with it the calls of everybody else. What comes is not more
// than what was read then.
func (r *Reading) Look(now time.Time, seen, cut uint64, rate float64) (share float64) {
	dt := now.Sub(r.at)
	if dt >= 0 && dt < readEvery && rate > 0 {
		return r.share
	}
	n, dropped := float64(seen-r.seen), float64(cut-r.cut)
	first := r.rate == 0
	r.at, r.seen, r.cut = now, seen, cut
	if rate <= 0 || dt <= 0 || dt > 10*readEvery || n < 0 {
		r.share, r.rate, r.looks = 1, 0, 0
		return 1
	}
	if r.rate += (rate - r.rate) * 0.2; first {
		r.rate = rate
	}
	if r.looks++; r.looks < readAfter {
		return r.share
	}
	come := max(1, n/dt.Seconds())
	if dropped < n*cutMuch {
		come /= r.share
	}
	want := min(1, max(leastPart, max(leastRead, worthReading*r.rate)/come))
	switch {
	case want < r.share/readLess:
		r.share = want
	case want == 1 || want > r.share*readMore:
		r.share = min(want, r.share*readStep)
	}
	return r.share
}
