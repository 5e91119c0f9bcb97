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
	odd  weighing // why

	counted bool // by costly, until it ends
	paying  bool // counted by spend, until it ends
	place   int  `fraud:"-"` // in alarms
	over    bool // its end was told
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

// begins notes a call that begins. One with its name that was up is over.
func (e *Engine) begins(ev *call.Event) *running {
	if e.calls.peek(ev.ID, e.now) != nil {
		e.calls.remove(ev.ID)
		e.settle()
	}
	c := e.calls.get(ev.ID, e.now)
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

// ends tells the detectors of the end of a call.
func (e *Engine) ends(c *running, ev *call.Event) {
	c.over = true
	x := ended{running: c, at: e.now, code: ev.Code, by: ev.EndedBy}
	x.ring = time.Duration(cmp.Or(c.answered, e.now) - cmp.Or(c.rang, c.start))
	if ev.RingSeconds != nil {
		x.ring = time.Duration(lasted(*ev.RingSeconds) * float64(time.Second))
	}
	if c.answered != 0 {
		x.seconds = time.Duration(e.now - c.answered).Seconds()
	}
	if ev.Seconds != nil {
		x.seconds = lasted(*ev.Seconds)
	}
	for _, d := range e.detectors {
		d.end(e, &x)
	}
}

// lasted is a time in seconds that a call may have lasted.
func lasted(s float64) float64 {
	if !(s > 0) { // not a number, too
		return 0
	}
	return min(s, 30*86400)
}

// loses takes a call that leaves the table. One whose end nobody told, because
// it was pushed out, is too old, or its name came again, is over all the same.
func (e *state) loses(c *running) {
	e.due.drop(&c.place)
	if c.id != "" && !c.over {
		e.lost = append(e.lost, *c)
	}
	*c = running{}
}

// settle ends the calls that were lost.
func (e *Engine) settle() {
	for len(e.lost) > 0 {
		all := e.lost
		e.lost = nil
		for i := range all {
			e.ends(&all[i], &call.Event{EndedBy: call.ByGateway})
		}
	}
}
