package media

import (
	"math"
	"time"
)

// maxDropout is the largest forward jump of sequence numbers that is loss; a
// larger one is a sender that started over (RFC 3550 A.1).
const maxDropout = 3000

// quality measures loss and jitter of one incoming stream. It follows one
// synchronisation source at a time: when another one speaks (music on hold, a
// transfer) the former one's figures are folded into the totals.
type quality struct {
	live     bool
	ssrc     uint32
	base     uint64 // extended sequence numbers
	top      uint64
	received uint64

	expected, lost uint64 // folded

	lastTS  uint32
	rate    uint32 // the clock that lastTS counts
	arrival time.Time
	jitter  float64 // seconds
}

// see takes one accepted packet. rate is the RTP clock in Hz.
func (q *quality) see(at time.Time, ssrc uint32, seq uint16, ts uint32, rate uint32) {
	if q.live && q.ssrc == ssrc {
		delta := int64(int16(seq - uint16(q.top)))
		if delta > maxDropout || delta < -maxDropout {
			q.fold()
		} else {
			ext := int64(q.top) + delta
			if delta > 0 {
				q.top = uint64(ext)
			} else if ext < int64(q.base) {
				q.base = uint64(ext)
			}
		}
	} else if q.live {
		q.fold()
	}
	if !q.live {
		q.live, q.ssrc = true, ssrc
		q.base = 1<<16 | uint64(seq) // room for reordered packets before the first
		q.top, q.received = q.base, 0
		q.arrival = time.Time{}
	}
	q.received++

	// Packets of one instant (a video frame, a DTMF event) share a
	// timestamp and say nothing about the network.
	if !q.arrival.IsZero() {
		if ts == q.lastTS {
			return
		}
		if rate != q.rate { // another codec counts in other units
			q.arrival, q.lastTS, q.rate = at, ts, rate
			return
		}
		sent := float64(int32(ts-q.lastTS)) / float64(rate)
		d := math.Abs(at.Sub(q.arrival).Seconds() - sent)
		if d < 5 { // a pause (silence suppression with a reset clock) is not jitter
			q.jitter += (d - q.jitter) / 16
		}
	}
	q.arrival, q.lastTS, q.rate = at, ts, rate
}

func (q *quality) fold() {
	e, l := q.current()
	q.expected, q.lost = q.expected+e, q.lost+l
	q.live = false
}

func (q *quality) current() (expected, lost uint64) {
	if !q.live {
		return 0, 0
	}
	expected = q.top - q.base + 1
	if q.received < expected {
		lost = expected - q.received
	}
	return expected, lost
}

func (q *quality) totals() (expected, lost uint64) {
	e, l := q.current()
	return q.expected + e, q.lost + l
}
