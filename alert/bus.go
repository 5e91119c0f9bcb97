package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Options of a Bus. The zero value is sound.
type Options struct {
	Meta   Meta          // of the alerts that the bus makes itself
	Window time.Duration // of coalescing; default 10 s
	Table  int           // rules × subjects that are remembered at a time; default 4096
	Queue  int           // lines before each sink; default 4096
	// Strangers is how many lines about those that nothing identifies go out in
	// full in a minute; default 600. What is beyond is coalesced by rule alone.
	Strangers int
	Now       func() time.Time
	Log       *slog.Logger // default: silent
}

// maxSubscribers bounds how many can listen at a time: later they come from the network.
const maxSubscribers = 64

// Bus carries alerts to sinks and subscribers. Publish may be called from
// anywhere, at any time, and never blocks.
//
// Repeats are coalesced: the first alert of a rule and subject goes out at
// once. What follows within the window becomes one line at its end, with
// count, first and last; then the next window begins. The counts of all lines
// (an absent count is 1) add up to the number of alerts. When more subjects are
// active than the table holds, the rest is coalesced by rule alone, in lines
// that name no subject. So are strangers beyond a budget of their own: forged
// addresses are free, and each would be a line.
type Bus struct {
	o    Options
	stop chan struct{}
	wake chan struct{} // a window was opened
	gone sync.WaitGroup

	mu        sync.Mutex // guards what is below; nothing is called under it that could block
	closed    bool
	table     *coalescer[key, Event]
	budget    budget
	sinks     []*lines
	subs      map[*Subscription]struct{}
	published uint64
	coalesced uint64
	lostTable uint64
	lostSub   uint64
	give      func(Event) // of a Past
}

// key says which alerts are repeats of each other.
type key struct {
	action call.Action
	rule   string
	mode   string
	policy string
	sub    call.Subject
	reason string // of events without a rule: two certificates are two events
	// incident keeps findings apart from decisions by the same detector, and
	// incidents from each other. Who finds has thinned out its updates already.
	incident string
}

// Stats are the counters of a Bus.
type Stats struct {
	Published uint64 // alerts given to Publish
	Coalesced uint64 // of them folded into another line
	LostTable uint64 // of them lost because even the overflow of the table was full
	LostSub   uint64 // lines that subscribers were too slow for
	Sinks     []SinkStats
}

// NewBus starts a bus. It owns the sinks from here on.
func NewBus(o Options, sinks ...Sink) *Bus {
	b := makeBus(o)
	b.mu.Lock() // a sink may report before the list of sinks is complete
	for _, s := range sinks {
		b.sinks = append(b.sinks, newLines(s, b.o.Queue, b.o.Log, b.Degraded))
	}
	b.mu.Unlock()
	b.gone.Add(1)
	go b.expire()
	return b
}

// makeBus makes one that nobody tells of the time.
func makeBus(o Options) *Bus {
	if o.Window <= 0 {
		o.Window = 10 * time.Second
	}
	if o.Table <= 0 {
		o.Table = 4096
	}
	if o.Queue <= 0 {
		o.Queue = 4096
	}
	if o.Strangers <= 0 {
		o.Strangers = 600
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Bus{
		budget: budget{most: o.Strangers},
		o:      o, stop: make(chan struct{}), wake: make(chan struct{}, 1),
		table: newCoalescer[key](o.Window, 1, o.Table, fold),
		subs:  map[*Subscription]struct{}{},
	}
}

// fold makes more, which came later, stand for acc too.
func fold(acc *Event, more Event) {
	first := acc.Rampart.First
	if first == nil {
		t := acc.Timestamp
		first = &t
	}
	if acc.Event.Severity > more.Event.Severity {
		more.Event.Severity, more.Rampart.Severity = acc.Event.Severity, acc.Rampart.Severity
	}
	if more.Timestamp.Before(acc.Timestamp.Time) { // two goroutines may overtake each other
		more.Timestamp = acc.Timestamp
	}
	more.Rampart.First = first
	*acc = more
}

// Publish sends an alert on its way. A zero Event is ignored. The event and
// what it points to must not be changed afterwards.
func (b *Bus) Publish(e Event) {
	if e.IsZero() {
		return
	}
	now := b.o.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.published++
	if lookup(e.Event.Action).single {
		b.send(e, nil)
		return
	}
	_, waiting := b.table.next()
	k, got := keyOf(&e), full
	if !e.stranger || b.table.has(k) || b.budget.spend(now) {
		got = b.table.add(now, k, e, false)
	}
	switch got {
	case pass:
		b.send(e, nil)
	case folded:
		b.coalesced++
	case full:
		e = e.anonymous()
		switch b.table.add(now, keyOf(&e), e, true) {
		case pass:
			b.send(e, nil)
		case folded:
			b.coalesced++
		case full:
			b.lostTable++
		}
	}
	if !waiting {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
}

func keyOf(e *Event) key {
	k := key{action: e.Event.Action, mode: e.Rampart.Mode}
	k.policy = e.Rampart.PolicyRevision // one line is of one policy
	k.incident = e.Rampart.Incident
	if e.Rule != nil {
		k.rule = e.Rule.ID
	}
	if e.Rampart.Subject != nil {
		k.sub = *e.Rampart.Subject
	} else if e.Rule == nil {
		k.reason = e.Event.Reason
	}
	return k
}

// anonymous is the event without whom it is about: a line for many.
func (e Event) anonymous() Event {
	out := Event{Timestamp: e.Timestamp, ECS: e.ECS, Event: e.Event, Rule: e.Rule, Threat: e.Threat, Observer: e.Observer}
	out.Event.Reason = "more subjects than can be told apart: " + string(e.Event.Action)
	out.Rampart = Rampart{Verdict: e.Rampart.Verdict, Mode: e.Rampart.Mode, Severity: e.Rampart.Severity,
		Node: e.Rampart.Node, PolicyRevision: e.Rampart.PolicyRevision, NumberData: e.Rampart.NumberData}
	return out
}

// send queues a line everywhere but at one sink. The lock is held.
func (b *Bus) send(e Event, except *lines) {
	e.Event.ID = e.ID()
	if b.give != nil {
		b.give(e)
	}
	it := &item{e: e}
	for _, s := range b.sinks {
		if s != except {
			s.offer(it)
		}
	}
	for s := range b.subs {
		select {
		case s.c <- e:
		default:
			b.lostSub++
			s.lost++
		}
	}
}

// item is an event that is encoded once for all sinks, by the first that needs it.
type item struct {
	e    Event
	once sync.Once
	b    []byte
	err  error
}

func (it *item) Line() ([]byte, error) {
	it.once.Do(func() { it.b, it.err = it.e.Line() })
	return it.b, it.err
}

// expire sends what is folded when its window ends.
func (b *Bus) expire() {
	defer b.gone.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-b.wake:
		case <-b.stop:
			return
		}
		now := b.o.Now()
		b.mu.Lock()
		b.table.due(now, func(e Event, n int) { b.due(now, e, n) })
		at, ok := b.table.next()
		b.mu.Unlock()
		if ok {
			timer.Reset(max(at.Sub(now), time.Millisecond))
		}
	}
}

// due sends the line for n folded events when its window has ended, or gathers
// it with others when strangers have used up their lines. The lock is held.
func (b *Bus) due(now time.Time, e Event, n int) {
	if e.stranger && !b.budget.spend(now) {
		a := e.anonymous()
		a.Rampart.First = e.Rampart.First
		if b.table.gather(now, keyOf(&a), a, n) {
			return
		}
	}
	b.summary(e, n)
}

// summary sends the line for n folded events. The lock is held.
func (b *Bus) summary(e Event, n int) {
	e.Rampart.Count = n
	last := e.Timestamp
	e.Rampart.Last = &last
	if e.Rampart.First == nil {
		e.Rampart.First = &last
	}
	b.send(e, nil)
}

// Degraded turns what a writer says about its sink into an alert to the other
// sinks; when the sink works again, to that one too, so that the gap in it
// is marked. The bus calls it for its own sinks; give it to CDR and Stream.
func (b *Bus) Degraded(h Health) {
	ev := []call.Evidence{{Name: "sink", Value: h.Sink}, {Name: "lost_lines", Value: h.Lost}}
	var e Event
	switch {
	case !h.Degraded:
		e = System(b.o.Now(), b.o.Meta, call.SinkDegraded, call.Low, "the sink works again", ev...).Succeeded()
	case h.Err != nil:
		e = System(b.o.Now(), b.o.Meta, call.SinkDegraded, call.High, "the sink cannot be written: "+h.Err.Error(), ev...)
	default:
		e = System(b.o.Now(), b.o.Meta, call.SinkDegraded, call.High, "the sink is too slow", ev...)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	var except *lines
	for _, s := range b.sinks {
		if h.Degraded && s.sink.Name() == h.Sink {
			except = s
		}
	}
	b.published++
	b.send(e, except) // past the coalescer: a writer already limits what it says
}

// Subscription receives alerts as they go out to the sinks.
type Subscription struct {
	C    <-chan Event
	c    chan Event
	bus  *Bus
	lost uint64
	off  bool
}

// Subscribe listens with a buffer of n alerts; what does not fit is lost and
// counted. The channel is closed by Close of either side. It fails when too
// many listen or the bus is closed.
func (b *Bus) Subscribe(n int) (*Subscription, error) {
	c := make(chan Event, max(n, 1))
	s := &Subscription{C: c, c: c, bus: b}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, errors.New("subscribe to alerts: the bus is closed")
	case len(b.subs) >= maxSubscribers:
		return nil, fmt.Errorf("subscribe to alerts: %d listen already", maxSubscribers)
	}
	b.subs[s] = struct{}{}
	return s, nil
}

// Lost is how many alerts this subscriber was too slow for.
func (s *Subscription) Lost() uint64 {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	return s.lost
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.end()
}

func (s *Subscription) end() {
	if !s.off {
		s.off = true
		delete(s.bus.subs, s)
		close(s.c)
	}
}

// Reopen opens all files again, after a log rotation. A file that cannot be
// opened keeps its old one.
func (b *Bus) Reopen() error {
	var errs []error
	for _, s := range b.sinks { // the list never changes after NewBus
		errs = append(errs, s.sink.Reopen())
	}
	return errors.Join(errs...)
}

// Stats returns the counters.
func (b *Bus) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := Stats{Published: b.published, Coalesced: b.coalesced, LostTable: b.lostTable, LostSub: b.lostSub}
	for _, s := range b.sinks {
		st.Sinks = append(st.Sinks, s.stats())
	}
	return st
}

// Close sends what is folded, writes what is queued until ctx ends, and closes
// the sinks. Publish after Close is ignored.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.table.drain(b.summary)
	b.closed = true
	for s := range b.subs {
		s.end()
	}
	b.mu.Unlock()
	close(b.stop)
	b.gone.Wait()
	var errs []error
	for _, s := range b.sinks {
		errs = append(errs, s.close(ctx))
	}
	return errors.Join(errs...)
}
