package media

import (
	"encoding/binary"
	"time"
)

const (
	// maxEchoes is how many sender reports are remembered for the round
	// trip: enough for some streams that report at one time.
	maxEchoes = 4
	// maxReported is how many synchronisation sources the far end's loss is
	// followed for at a time.
	maxReported = 4
	// maxTrip is the longest round trip that is believed.
	maxTrip = 10 * time.Second
)

// reports is what a leg tells by RTCP about what it receives from us, and how
// far away it is. Both need the sender reports of the other leg to cross
// unchanged, which they do.
//
// The round trip is between us and the leg: a sender report passes us on its
// way there, and the leg's next report says which one it saw last and how
// long ago (RFC 3550 §6.4.1, LSR and DLSR).
type reports struct {
	echoes  [maxEchoes]echo // sender reports that went to the leg
	next    uint8
	trips   time.Duration // sum
	counted uint64        // of them

	lost    [maxReported]reportedLoss
	evict   uint8
	forgone uint64 // lost packets of sources no longer in lost
}

// echo is a sender report that passed.
type echo struct {
	ntp uint32 // the middle of its NTP time stamp, as an LSR gives it back
	at  time.Time
}

type reportedLoss struct {
	ssrc uint32
	lost uint64
}

// passed notes the sender reports of a compound that goes to the leg. b is
// what rewriteRTCP made.
func (r *reports) passed(at time.Time, b []byte) {
	for len(b) >= rtcpHeader {
		size := rtcpSize(b)
		if b[1] == rtcpSR {
			if ntp := binary.BigEndian.Uint32(b[10:]); ntp != 0 { // zero is "none" in an LSR
				r.echoes[r.next%maxEchoes] = echo{ntp, at}
				r.next++
			}
		}
		b = b[size:]
	}
}

// heard reads the reports of a compound that came from the leg. b is what
// rewriteRTCP made, so its lengths are right.
func (r *reports) heard(at time.Time, b []byte) {
	for len(b) >= rtcpHeader {
		size, blocks := rtcpSize(b), 0
		switch b[1] {
		case rtcpSR:
			blocks = 28
		case rtcpRR:
			blocks = 8
		}
		if blocks > 0 {
			for p := b[blocks:size]; len(p) >= 24; p = p[24:] {
				r.block(at, p)
			}
		}
		b = b[size:]
	}
}

// block is one report block.
func (r *reports) block(at time.Time, p []byte) {
	// Cumulative loss is signed, 24 bits: duplicates make it negative.
	lost := int32(binary.BigEndian.Uint32(p[4:])<<8) >> 8
	r.note(binary.BigEndian.Uint32(p), uint64(max(lost, 0)))

	lsr, dlsr := binary.BigEndian.Uint32(p[16:]), binary.BigEndian.Uint32(p[20:])
	if lsr == 0 {
		return
	}
	for _, e := range r.echoes {
		if e.ntp != lsr || e.at.IsZero() {
			continue
		}
		// Our clock is read once per batch and theirs has its own rounding:
		// a little less than nothing is nothing.
		trip := at.Sub(e.at) - time.Duration(uint64(dlsr)*uint64(time.Second)>>16)
		if trip > -2*time.Millisecond && trip <= maxTrip {
			r.trips += max(trip, 0)
			r.counted++
		}
		return
	}
}

// note takes the newest cumulative loss of a source.
func (r *reports) note(ssrc uint32, lost uint64) {
	for i := range r.lost {
		if l := &r.lost[i]; l.ssrc == ssrc {
			l.lost = max(l.lost, lost)
			return
		}
	}
	l := &r.lost[r.evict%maxReported]
	r.evict++
	r.forgone += l.lost
	*l = reportedLoss{ssrc, lost}
}

// totalLost is what the leg says it did not get, of all sources.
func (r *reports) totalLost() uint64 {
	n := r.forgone
	for _, l := range r.lost {
		n += l.lost
	}
	return n
}

// rtcpSize is the length of the first packet of a compound of ours.
func rtcpSize(b []byte) int {
	return min(4*(int(binary.BigEndian.Uint16(b[2:]))+1), len(b))
}
