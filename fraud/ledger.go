package fraud

import (
	"fmt"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// ledger knows what incidents cost: the calls that made a finding, until they
// end. While the bill of an incident grows it is told again without a finding,
// as rarely as it would be with one; and a while after its calls are over, with
// what it came to.
type ledger struct {
	blind
	calls *table[string, owed] // which incidents a call that is up belongs to
	due   *alarms              `fraud:"-"`
}

type owed struct{ Topics [4]topic }

const (
	maxOnBill    = 100             // calls of an incident that are counted at a time
	worthTelling = .1              // of what was told before…
	leastTold    = .5              // …and so many USD
	settledAfter = 5 * time.Minute // without a call of it
)

// bill is what the calls of an incident cost.
type bill struct {
	Up     []string // calls that are up or being set up
	Ended  float64  // USD of those that are over
	Before float64  // USD that the detector knows of beside these
	Told   float64  // USD that was told last
	Look   int64    // when it is looked at, while there is something to see
	place  int      `fraud:"-"` // in alarms
}

func newLedger(c *Config, due *alarms) *ledger {
	return &ledger{calls: newTable[string, owed](c.MaxCalls, c.longest(), nil), due: due}
}

// owes puts a call on the bill of an incident.
func (l *ledger) owes(e *Engine, in *incident, c *running) {
	if c == nil || !c.paid || c.refused || c.far.PerMinute <= 0 || len(in.Bill.Up) == maxOnBill || slices.Contains(in.Bill.Up, c.id) {
		return
	}
	o := l.calls.get(c.id, e.now)
	i := slices.Index(o.Topics[:], topic{})
	if i < 0 {
		return
	}
	o.Topics[i] = in.Topic
	in.Bill.Up = append(in.Bill.Up, c.id)
	l.schedule(e, in)
}

// end moves a call from what grows to what is spent.
func (l *ledger) end(e *Engine, x *ended) {
	o := l.calls.peek(x.id, e.now)
	if o == nil {
		return
	}
	for _, t := range o.Topics {
		in := e.open.peek(t, e.now)
		if in == nil {
			continue
		}
		if i := slices.Index(in.Bill.Up, x.id); i >= 0 {
			in.Bill.Up = none(slices.Delete(in.Bill.Up, i, i+1))
			in.Bill.Ended += x.cost(e.now)
			l.schedule(e, in)
		}
	}
	l.calls.remove(x.id)
}

// cost of an incident until now, and of the next minute. Calls whose end was
// lost are struck off.
func (b *bill) cost(e *Engine) (lost, perMin float64) {
	lost = b.Before + b.Ended
	b.Up = none(slices.DeleteFunc(b.Up, func(id string) bool {
		c := e.calls.peek(id, e.now)
		if c == nil {
			return true
		}
		if c.answered != 0 {
			lost += c.cost(e.now)
			perMin += c.far.PerMinute
		}
		return false
	}))
	return lost, perMin
}

// none keeps no memory of an empty list: it is the same as one that never was.
func none(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

// charge fills in what an incident costs. What its detector knows beyond that
// stays part of it.
func (l *ledger) charge(e *Engine, in *incident, f *Finding) {
	b := &in.Bill
	lost, perMin := b.cost(e)
	if f.Lost > lost {
		b.Before += f.Lost - lost
		lost = f.Lost
	}
	f.Lost, f.PerMin = lost, max(f.PerMin, perMin)
	if !f.Quiet {
		b.Told = lost
		l.schedule(e, in)
	}
}

// schedule says when the bill is looked at: while calls are up at the time at
// which a finding would be told, else when it has rested for a while.
func (l *ledger) schedule(e *Engine, in *incident) {
	b := &in.Bill
	at := in.Told + in.wait(e.cfg.Update)
	last := in.Told + max(int64(e.cfg.Update-time.Minute), in.wait(e.cfg.Update)/2) // a reader takes what comes an hour later for another story
	if len(b.Up) == 0 {
		if b.Before+b.Ended-b.Told < .01 {
			b.Look = 0
			l.due.drop(&b.place)
			return
		}
		at = max(at, e.now+int64(settledAfter))
	}
	b.Look = max(min(at, last), e.now+int64(time.Second))
	l.due.set(alarm{at: b.Look, place: &b.place, bill: in})
}

// look tells an incident whose bill has grown.
func (l *ledger) look(e *Engine, in *incident) {
	in.Bill.Look = 0
	lost, perMin := in.Bill.cost(e)
	grown := lost - in.Bill.Told
	if up := len(in.Bill.Up); up > 0 && (grown < leastTold || grown < worthTelling*in.Bill.Told) || grown < .01 {
		if up > 0 {
			in.Bill.Look = e.now + in.wait(e.cfg.Update)
			l.due.set(alarm{at: in.Bill.Look, place: &in.Bill.place, bill: in})
		}
		return
	}
	in.Told = e.now
	in.Tells++
	f := Finding{Detector: in.Topic.Detector, Action: in.Action, Severity: in.Grave, Subject: in.Subject, Account: in.Topic.Account, User: in.User, Peer: in.Peer, Reason: in.Reason,
		Lost: lost, PerMin: perMin, Grown: true, about: in.Topic.Subject,
		Evidence: []call.Evidence{{Name: "usd_so_far", Value: cents(lost)}, {Name: "usd_per_minute", Value: cents(perMin)}, {Name: "calls_running", Value: len(in.Bill.Up)}}}
	if len(in.Bill.Up) == 0 {
		f.Reason = fmt.Sprintf("its calls are over and cost USD %.2f: %s", lost, in.Reason)
	}
	e.give(in, f, e.story.links, nil)
}

// forget takes an incident out of what is looked at.
func (l *ledger) forget(in *incident) { l.due.drop(&in.Bill.place) }
