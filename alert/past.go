package alert

import "time"

// Past is a Bus in the time of what it is told, for replays: it coalesces as a
// Bus does, has no goroutine and no queue, and gives every line to one taker.
type Past struct {
	b   *Bus
	now time.Time
}

// NewPast makes one. Options are those of a Bus; Queue, Now and Log are not used.
func NewPast(o Options, give func(Event)) *Past {
	p := &Past{}
	o.Now = func() time.Time { return p.now }
	p.b = makeBus(o)
	p.b.give = give
	return p
}

// Advance moves the clock, which never goes back, and gives what is due by then.
func (p *Past) Advance(now time.Time) {
	if !now.After(p.now) {
		return
	}
	b := p.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		at, ok := b.table.next()
		if !ok || at.After(now) {
			break
		}
		p.now = at
		b.table.due(at, func(e Event, n int) { b.due(at, e, n) })
	}
	p.now = now
}

// Publish takes an alert, as that of a Bus.
func (p *Past) Publish(e Event) { p.b.Publish(e) }

// Close gives what is left.
func (p *Past) Close() {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	p.b.table.drain(p.b.summary)
}
