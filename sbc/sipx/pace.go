package sipx

import "time"

// pace keeps the reader of a socket from taking more of a processor than is
// good for others. A goroutine that always finds the next datagram waiting is
// not stopped by Go's scheduler for 10 ms, and as long as one is runnable the
// network is polled no more often than that: each step of a call over TLS would
// take as long. Yielding does not help, only waiting does.
//
// In a flood the reader also waits when the socket is empty, so that it wakes
// up for many datagrams and not for each. What does not fit into the socket's
// buffer meanwhile is dropped by the kernel, which is the cheapest place.
type pace struct {
	since   time.Time // when the reader last waited
	cycle   time.Time // when drops were last counted from nothing
	dropped int
	flood   bool // the cycle before was one
	shed    bool // requests are being refused
}

const (
	paceTurn    = 2 * time.Millisecond   // of work, then there is a rest: two thirds of a processor
	paceFlood   = 500 * time.Microsecond // of work in a flood, most of which is thrown away: one third
	paceShed    = 5 * time.Millisecond   // likewise while requests are refused: what waits is mostly that, and the calls that were let in wait behind it
	paceRest    = time.Millisecond
	paceCycle   = 10 * time.Millisecond
	paceFlooded = 32 // drops in a cycle from which on it is a flood
)

// woke is called when datagrams have come; waited says that there were none at first.
func (p *pace) woke(now time.Time, waited bool) {
	if waited {
		p.since = now
	}
	if now.Sub(p.cycle) > paceCycle {
		p.flood = p.flooded() && now.Sub(p.cycle) < 2*paceCycle
		p.cycle, p.dropped = now, 0
	}
}

func (p *pace) flooded() bool { return p.dropped > paceFlooded }

// worked reports whether to rest, in the middle of what one read brought.
func (p *pace) worked(now time.Time) bool {
	turn := paceTurn
	switch {
	case p.shed:
		turn = paceShed
	case p.flood || p.flooded():
		turn = paceFlood
	}
	return now.Sub(p.since) > turn
}

// read reports whether to rest after all of what one read brought.
func (p *pace) read(now time.Time, waited, more bool) bool {
	return p.worked(now) || p.flooded() && (waited || !more)
}

func (p *pace) rest() {
	time.Sleep(paceRest)
	p.since = time.Now()
}
