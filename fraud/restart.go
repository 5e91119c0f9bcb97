package fraud

import (
	"maps"
	"slices"

	"github.com/rampart-sbc/rampart/call"
)

// Interrupted says that no call that was up is up any more: whoever carried
// them has been started again. They end with what is known of them, by the
// gateway, at the time of the last event; what they cost until then counts. It
// returns what that revealed.
func (e *Engine) Interrupted() []Finding {
	e.lock()
	defer e.unlock()
	e.flush()
	for _, id := range slices.Sorted(maps.Keys(e.calls.at)) {
		c := e.calls.peek(id, e.now)
		if c == nil {
			continue
		}
		ring, talked := 0.0, 0.0
		if c.rang != 0 && c.answered == 0 {
			ring = float64(e.now-c.rang) / 1e9
		}
		if c.answered != 0 {
			talked = float64(e.now-c.answered) / 1e9
		}
		e.safely(func() {
			e.take(&call.Event{At: at(e.now), Kind: call.EventEnd, ID: id, EndedBy: call.ByGateway, RingSeconds: &ring, Seconds: &talked})
		})
		e.calls.remove(id) // also where a detector failed
	}
	return e.found()
}
