package fraud

import (
	"cmp"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// running is what is known about a call from its invite until its end.
type running struct {
	id, account, user, from, to, peer string
	source, country, agent            string
	diverted                          bool
	inbound, outbound                 bool
	refused                           bool
	start, rang, answered             int64 // ns; 0: did not happen

	far  Rate // of the number outside
	paid bool // far is known and we pay for the call
	help bool // for help: never held against anybody
	risk float64

	counted bool // by costly, until it ends
	paying  bool // counted by spend, until it ends
	place   int  `fraud:"-"` // in alarms
}

// ended is a call that is over.
type ended struct {
	*running
	at      int64
	code    int
	by      call.EndedBy
	ring    time.Duration // from ringing, or the answer's delay, to answer or end
	seconds float64       // of conversation
}

// cost of what was talked, in USD.
func (r *running) cost(until int64) float64 {
	if !r.paid || r.answered == 0 {
		return 0
	}
	return r.far.PerMinute * float64(until-r.answered) / float64(time.Minute)
}

// block is a number without its last n digits: the range that it stands in.
func block(n string, last int) string {
	if len(n) < last+5 {
		return n
	}
	return n[:len(n)-last]
}

// begins notes a call that begins.
func (e *Engine) begins(ev *call.Event) *running {
	c := e.calls.get(ev.ID, e.now)
	e.leaves(c) // an id that comes again
	*c = running{id: ev.ID, account: ev.Account, user: ev.User, from: ev.From, to: ev.To, peer: ev.Peer,
		source: ev.Source, country: ev.SourceCountry, agent: ev.UserAgent, diverted: ev.Diversion != "",
		inbound: ev.Direction == call.Inbound.String(), outbound: ev.Direction == call.Outbound.String(),
		refused: ev.Verdict != "" && ev.Verdict != call.Allow.String(), start: e.now}
	outside := c.to
	if c.inbound {
		outside = c.from
	}
	var known bool
	c.far, known = e.rates.Look(outside)
	c.help = ev.Rule == ruleEmergency
	c.paid = known && c.outbound && !c.help
	return c
}

// ruleEmergency permits calls for help, before anybody is asked.
const ruleEmergency = "base/emergency"

// leaves takes a call out of what counts the calls that are up: it has ended, or
// its end was lost and it gives way.
func (e *state) leaves(c *running) {
	e.due.drop(&c.place)
	e.costly.leaves(c, e.now)
	e.spend.leaves(c, e.now)
}

// ends says how a call ended.
func ends(c *running, ev *call.Event, now int64) ended {
	x := ended{running: c, at: now, code: ev.Code, by: ev.EndedBy}
	x.ring = time.Duration(cmp.Or(c.answered, now) - cmp.Or(c.rang, c.start))
	if ev.RingSeconds != nil {
		x.ring = time.Duration(*ev.RingSeconds * float64(time.Second))
	}
	if c.answered != 0 {
		x.seconds = time.Duration(now - c.answered).Seconds()
	}
	if ev.Seconds != nil {
		x.seconds = *ev.Seconds
	}
	return x
}
