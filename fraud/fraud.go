// Package fraud answers: do these calls make money for somebody who steals it,
// and whose calls are they?
//
// It sees the event stream and nothing else: who called whom, from where, for
// how long, what became of it. Detectors look for one kind of fraud each (ping
// calls and calls back to them, toll fraud, forwarded calls, pumped traffic,
// false answers, robocalls, probing of numbers, users in two places); what they
// find are [Finding] values. [Engine.Judge] says what is to be done with a call
// that begins, from what was found before.
//
// It does not count failed registrations or scanners: that is done by
// ratelimit, whose findings come as events and are taken over, not counted
// again. It reads no rates, files or addresses: [Rates] and the source country
// of an event are given. It writes nothing and ends no call: who runs it carries
// out what [Finding] and [Act] say.
//
// The Engine owns all state. Every table has a cap; what nobody touched for the
// longest time gives way. Time is that of the events, never goes back, and
// events of one millisecond are taken in an order of their own, so that the same
// events give the same findings in whatever order they came. When a detector
// fails, the Engine counts it and goes on without that event; a guard that fails
// refuses, as everywhere.
//
// Start reading at [Engine.Observe].
package fraud

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Engine holds every detector and feeds them. It may be used from any goroutine.
type Engine struct {
	mu    sync.Mutex
	cfg   Config
	rates *Rates

	batch []call.Event // of the millisecond that is not over
	now   int64        // of the events handled, ns; never goes back
	begin int64        // of the first event
	calls *table[string, running]
	open  *table[topic, incident]
	story *story
	out   []Finding

	detectors []detector
	ping      *ping  // asked by Judge
	failed    uint64 // events that made a detector panic
}

// A detector looks for one kind of fraud. It is asked for every event, with the
// lock of the Engine held, in the order of time.
type detector interface {
	// invite, answer and end are about calls; register and found about the rest.
	invite(e *Engine, c *running)
	answer(e *Engine, c *running)
	end(e *Engine, x *ended)
	register(e *Engine, ev *call.Event)
	found(e *Engine, ev *call.Event) // a finding of ratelimit
}

// blind is a detector that sees nothing; others say what they see.
type blind struct{}

func (blind) invite(*Engine, *running)      {}
func (blind) answer(*Engine, *running)      {}
func (blind) end(*Engine, *ended)           {}
func (blind) register(*Engine, *call.Event) {}
func (blind) found(*Engine, *call.Event)    {}

// New makes an engine.
func New(cfg Config, rates *Rates) *Engine {
	e := &Engine{cfg: cfg, rates: rates}
	e.calls = newTable[string, running](cfg.MaxCalls, day, nil)
	e.open = newTable[topic, incident](cfg.MaxKeys, 2*day, nil)
	e.story = newStory(cfg.MaxKeys)
	e.ping = newPing(&e.cfg)
	e.detectors = []detector{e.ping, newToll(&e.cfg), newPump(&e.cfg), newAnswer(&e.cfg), newRobo(&e.cfg), newProbe(&e.cfg), newTravel(&e.cfg)}
	return e
}

// Observe takes the next event of the stream and returns what those before it
// revealed: the events of a millisecond are handled when the first of a later
// one comes, or by [Engine.Flush]. A time before that of events handled already
// is taken as theirs.
func (e *Engine) Observe(ev call.Event) []Finding {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Finding
	if len(e.batch) > 0 && ev.At.After(e.batch[0].At.Time) {
		out = e.flush()
	}
	e.batch = append(e.batch, ev)
	if len(e.batch) == maxBatch {
		out = append(out, e.flush()...)
	}
	return out
}

// maxBatch events of one millisecond are put in order; a million a second are
// more than any gateway has.
const maxBatch = 4096

// Flush handles what waits for its millisecond to end: live, when nothing came
// for a moment; in a replay, at the end.
func (e *Engine) Flush() []Finding {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.flush()
}

// Tick says that time has passed, with or without events: live once a second,
// in a replay when the virtual clock moves. It returns what was found.
func (e *Engine) Tick(at time.Time) []Finding {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.flush()
	e.now = max(e.now, at.UnixNano())
	return out
}

// Configure puts other parameters and rates in force. What was learned stays.
func (e *Engine) Configure(cfg Config, rates *Rates) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cfg, e.rates = cfg, rates
}

var order = map[call.EventKind]int{call.EventRegister: 1, call.EventOptions: 2, call.EventMessage: 3, call.EventFinding: 4,
	call.EventInvite: 5, call.EventRinging: 6, call.EventAnswer: 7, call.EventEnd: 8}

func (e *Engine) flush() []Finding {
	if len(e.batch) == 0 {
		return nil
	}
	if len(e.batch) > 1 {
		slices.SortStableFunc(e.batch, func(a, b call.Event) int {
			return cmp.Or(cmp.Compare(order[a.Kind], order[b.Kind]), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Source, b.Source), cmp.Compare(a.User, b.User))
		})
	}
	e.out = nil
	for i := range e.batch {
		e.take(&e.batch[i])
	}
	e.batch = e.batch[:0]
	return e.out
}

// take handles one event.
func (e *Engine) take(ev *call.Event) {
	defer func() {
		if p := recover(); p != nil {
			e.failed++
		}
	}()
	if at := ev.At.UnixNano(); at > e.now {
		e.now = at
	}
	if e.begin == 0 {
		e.begin = e.now
	}
	switch ev.Kind {
	case call.EventInvite:
		c := e.begins(ev)
		for _, d := range e.detectors {
			d.invite(e, c)
		}
	case call.EventRinging:
		if c := e.calls.find(ev.ID, e.now); c != nil && c.rang == 0 {
			c.rang = e.now
		}
	case call.EventAnswer:
		if c := e.calls.find(ev.ID, e.now); c != nil && c.answered == 0 {
			c.answered = e.now
			for _, d := range e.detectors {
				d.answer(e, c)
			}
		}
	case call.EventEnd:
		if c := e.calls.find(ev.ID, e.now); c != nil {
			x := ends(c, ev, e.now)
			for _, d := range e.detectors {
				d.end(e, &x)
			}
			e.calls.remove(ev.ID)
		}
	case call.EventRegister:
		e.registered(ev)
		for _, d := range e.detectors {
			d.register(e, ev)
		}
	case call.EventFinding:
		e.limitFound(ev)
		for _, d := range e.detectors {
			d.found(e, ev)
		}
	}
}

// warm reports whether enough was seen to say what is usual.
func (e *Engine) warm() bool { return e.now-e.begin >= int64(e.cfg.WarmUp) }
