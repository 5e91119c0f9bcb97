package sbc

import (
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// mutePerSecond is how many refusals of strangers' datagrams are told of in
// full in a second: what alerts and records take of them in a minute comes in
// three seconds.
const mutePerSecond = 200

// mute is the budget of requests in strangers' datagrams. Whatever they ask
// for is refused, nearly always with silence, and their address may be
// anybody's: a decision, a record and two events for each would be most of
// what a flood costs. What is beyond the budget counts as dropped by the gate
// and gets no answer either.
type mute struct {
	second atomic.Int64 // unix time
	told   atomic.Int64 // in it
}

// tell reports whether there is room to tell of one more. Two callers at the
// turn of a second may find room for a few more.
func (m *mute) tell(now time.Time) bool {
	if s, was := now.Unix(), m.second.Load(); s != was && m.second.CompareAndSwap(was, s) {
		m.told.Store(0)
	}
	return m.told.Add(1) <= mutePerSecond
}

// muted drops a request of a stranger where nothing of it is told.
func (g *Gateway) muted(r *sipx.Request) bool {
	if g.mute.tell(r.At) {
		return false
	}
	g.flood.strangers.Add(1)
	return !g.gated(r.Flow.Remote.Addr(), false)
}
