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
	"math"
	"slices"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Engine holds every detector and feeds them. It may be used from any goroutine.
type Engine struct {
	feed sync.Mutex   // taken first, by whoever gives events or wants all of the state
	mu   sync.RWMutex // taken for writing while the state changes, so that calls are judged meanwhile
	*state
}

// state is all that the Engine knows. What is not tagged "-" is kept over a
// restart: see [Engine.Snapshot].
type state struct {
	cfg   Config `fraud:"-"`
	rates *Rates `fraud:"-"`

	batch  []call.Event `fraud:"-"` // of the millisecond that is not over; written by itself
	now    int64        // of the events handled, ns; never goes back
	skew   int64        // how far ahead of the clock that is: see passes
	begin  int64        // of the first event
	calls  *table[string, running]
	lost   []running `fraud:"-"` // whose end nobody told: they end with the event that is handled
	open   *table[topic, incident]
	stands *table[standKey, [maxStands]stand] // what was found, against calls that begin
	// callers is the same about callers outside, which anybody can forge: a table of its own, so that they push out nothing else.
	callers *table[standKey, [maxStands]stand]
	story   *story
	out     []Finding `fraud:"-"`

	detectors []detector `fraud:"-"` // each is looked through
	ping      *ping      `fraud:"-"` // one of them, asked by Judge, as the two that follow
	spend     *spend     `fraud:"-"`
	costly    *costly    `fraud:"-"`
	due       alarms     `fraud:"-"` // what becomes due without an event; made anew by remind
	toll      *toll      `fraud:"-"` // another, that forgives
	ledger    *ledger    `fraud:"-"` // the last one: what others find is on its bills
	failed    uint64     // events that made a detector panic
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
	tick(e *Engine)                  // time has passed: once a second or so
}

// blind is a detector that sees nothing; others say what they see.
type blind struct{}

func (blind) invite(*Engine, *running)      {}
func (blind) answer(*Engine, *running)      {}
func (blind) end(*Engine, *ended)           {}
func (blind) register(*Engine, *call.Event) {}
func (blind) found(*Engine, *call.Event)    {}
func (blind) tick(*Engine)                  {}

// New makes an engine.
func New(cfg Config, rates *Rates) *Engine { return &Engine{state: newState(cfg, rates)} }

func newState(cfg Config, rates *Rates) *state {
	e := &state{cfg: cfg, rates: rates}
	e.calls = newTable[string, running](cfg.MaxCalls, cfg.longest(), e.loses)
	e.stands = newTable[standKey, [maxStands]stand](cfg.MaxKeys, 30*day, nil)
	e.callers = newTable[standKey, [maxStands]stand](cfg.MaxKeys, 30*day, nil)
	e.open = newTable[topic, incident](cfg.MaxKeys, covers(2*day, cfg.Incident), func(in *incident) { e.ledger.forget(in); *in = incident{} })
	e.story = newStory(&cfg)
	e.ping = newPing(&e.cfg)
	e.toll = newToll(&e.cfg)
	e.spend, e.costly = newSpend(&e.cfg, &e.due), newCostly(&e.cfg, &e.due)
	e.ledger = newLedger(&e.cfg, &e.due)
	e.detectors = []detector{e.ping, e.toll, newPump(&e.cfg), newFree(&e.cfg), newAnswer(&e.cfg), newRobo(&e.cfg), newProbe(&e.cfg), newTravel(&e.cfg), e.spend, e.costly, e.ledger}
	return e
}

// Observe takes the next event of the stream and returns what those before it
// revealed: the events of a millisecond are handled when the first of a later
// one comes, or by [Engine.Flush] and [Engine.Tick].
func (e *Engine) Observe(ev call.Event) []Finding {
	e.lock()
	defer e.unlock()
	ev.At.Time = ev.At.Truncate(time.Millisecond) // as files have it, so that a replay finds the same
	ev.RingSeconds, ev.Seconds = finite(ev.RingSeconds), finite(ev.Seconds)
	if n := len(e.batch); n > 0 && (ev.At.After(e.batch[0].At.Time) || n == maxBatch || e.batch[0].At.Sub(ev.At.Time) > time.Duration(disorder)) {
		e.flush()
	}
	e.batch = append(e.batch, ev)
	return e.found()
}

// maxBatch events of one millisecond are put in order; four million a second
// are more than any gateway has.
const maxBatch = 4096

// finite is a number that a file can hold.
func finite(x *float64) *float64 {
	if x != nil && (math.IsNaN(*x) || math.IsInf(*x, 0)) {
		return nil
	}
	return x
}

// Flush handles what waits for its millisecond to end: live, when nothing came
// for a moment; in a replay, at the end.
func (e *Engine) Flush() []Finding {
	e.lock()
	defer e.unlock()
	e.flush()
	return e.found()
}

// Tick says that time has passed, with or without events: live once a second,
// in a replay when the virtual clock moves. It returns what was found.
func (e *Engine) Tick(at time.Time) []Finding {
	e.lock()
	defer e.unlock()
	e.flush()
	e.passes(nanos(at))
	e.calls.sweep(e.now, 1000)
	e.safely(e.settle)
	for _, d := range e.detectors {
		e.safely(func() { d.tick(e) })
	}
	return e.found()
}

// lock is for whoever changes the state.
func (e *Engine) lock()   { e.feed.Lock(); e.mu.Lock() }
func (e *Engine) unlock() { e.mu.Unlock(); e.feed.Unlock() }

// found takes what was found since it was asked last.
func (e *Engine) found() []Finding {
	out := e.out
	e.out = nil
	return out
}

// Configure puts other parameters and rates in force. What was learned stays,
// as far as it fits into the new caps.
func (e *Engine) Configure(cfg Config, rates *Rates) {
	e.lock()
	defer e.unlock()
	e.cfg, e.rates = cfg, rates
	now, err := e.state.parts()
	like, err2 := newState(cfg, rates).parts()
	if err != nil || err2 != nil {
		return // a test finds it
	}
	limits := map[string]kept{}
	for _, p := range like {
		limits[p.name] = p.table
	}
	for _, p := range now {
		if t := limits[p.name]; t != nil {
			p.table.resize(t.limits())
		}
	}
	e.safely(e.settle)
	e.remind()
}

// Rates are those in force.
func (e *Engine) Rates() *Rates {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.rates
}

// rank is the order of events of one millisecond: what comes before a call, its
// beginning, its end.
func rank(k call.EventKind) int {
	switch k {
	case call.EventRegister:
		return 1
	case call.EventOptions:
		return 2
	case call.EventMessage:
		return 3
	case call.EventFinding:
		return 4
	case call.EventInvite:
		return 5
	case call.EventRinging:
		return 6
	case call.EventAnswer:
		return 7
	case call.EventEnd:
		return 8
	}
	return 9
}

func before(a, b *call.Event) int {
	return cmp.Or(cmp.Compare(rank(a.Kind), rank(b.Kind)), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Source, b.Source), cmp.Compare(a.User, b.User),
		cmp.Compare(a.Account, b.Account), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Rule, b.Rule),
		cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.SourceCountry, b.SourceCountry), cmp.Compare(a.EndedBy, b.EndedBy),
		cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Diversion, b.Diversion), cmp.Compare(a.Credentials, b.Credentials))
}

func (e *Engine) flush() {
	if len(e.batch) > 1 {
		slices.SortStableFunc(e.batch, func(a, b call.Event) int { return before(&a, &b) })
	}
	for i := range e.batch {
		e.safely(func() { e.take(&e.batch[i]) })
	}
	clear(e.batch)
	e.batch = e.batch[:0]
}

// safely runs a detector. One that panics has not seen this event.
func (e *Engine) safely(do func()) {
	defer func() {
		if p := recover(); p != nil {
			e.failed++
		}
	}()
	do()
}

// take handles one event.
func (e *Engine) take(ev *call.Event) {
	e.passes(nanos(ev.At.Time))
	defer e.settle()
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
			if c.outbound && ev.Peer != "" { // the trunk that took it
				c.peer = ev.Peer
			}
			for _, d := range e.detectors {
				d.answer(e, c)
			}
		}
	case call.EventEnd:
		if c := e.calls.find(ev.ID, e.now); c != nil {
			e.ends(c, ev)
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

// Failed is how many events made a detector panic.
func (e *Engine) Failed() uint64 {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.failed
}
