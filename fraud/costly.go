package fraud

import (
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// CostlyConfig are the parameters of costly-calls-cap: how many costly calls an
// account may have at a time, and how long one may last.
type CostlyConfig struct {
	PerMinute float64 // USD; a call that costs less is not counted
	Calls     int     // of an account at a time; 0: no cap

	// How long a call of a price class may last; 0: as long as any.
	Elevated, High, Satellite, Premium time.Duration
}

// costly counts costly calls while they are up.
type costly struct {
	blind
	cfg *CostlyConfig
	up  *table[string, upCalls] // by account
	due *alarms                 `fraud:"-"`
}

type upCalls struct {
	set   int // those that are being set up, too
	talks int
}

func newCostly(c *Config, due *alarms) *costly {
	return &costly{cfg: &c.Costly, due: due, up: newTable[string, upCalls](1000, c.longest(), nil)}
}

func (d *costly) counts(c *running) bool {
	return c.costs() && c.far.PerMinute > d.cfg.PerMinute && c.account != "" && d.cfg.Calls > 0
}

func (d *costly) invite(e *Engine, c *running) {
	if c.counted = d.counts(c) && !c.refused; c.counted {
		d.up.get(c.account, e.now).set++
	}
}

// answer finds a call that is one too many.
func (d *costly) answer(e *Engine, c *running) {
	if longest := d.longest(c); longest > 0 {
		d.due.set(alarm{at: c.answered + int64(longest), place: &c.place, call: c})
	}
	if !c.counted {
		return
	}
	u := d.up.get(c.account, e.now)
	if u.talks++; u.talks <= d.cfg.Calls {
		return
	}
	f := Finding{Detector: IDCostly, Action: call.CostlyCallsCap, Severity: call.High, Subject: call.Subject{Kind: "account", Value: c.account}, PerMin: c.far.PerMinute,
		Reason:   fmt.Sprintf("%d calls of %s at the same time cost more than USD %.2f a minute, the cap is %d", u.talks, c.account, d.cfg.PerMinute, d.cfg.Calls),
		Evidence: []call.Evidence{{Name: "costly_calls", Value: u.talks, Threshold: d.cfg.Calls}, {Name: "usd_per_minute", Value: c.far.PerMinute, Threshold: d.cfg.PerMinute}}}
	e.tell(f, c)
}

func (d *costly) end(e *Engine, x *ended) {
	d.due.drop(&x.place)
	d.leaves(x.running, e.now)
}

func (d *costly) leaves(c *running, now int64) {
	if !c.counted {
		return
	}
	c.counted = false
	u := d.up.get(c.account, now)
	u.set = max(0, u.set-1)
	if c.answered != 0 {
		u.talks = max(0, u.talks-1)
	}
}

// longest is how long a call may last.
func (d *costly) longest(c *running) time.Duration {
	if !c.costs() {
		return 0
	}
	switch c.far.Class {
	case Elevated:
		return d.cfg.Elevated
	case HighRisk:
		return d.cfg.High
	case Satellite:
		return d.cfg.Satellite
	case Premium:
		return d.cfg.Premium
	}
	return 0
}

// lasted is called when a call has lasted as long as it may.
func (d *costly) lasted(e *Engine, c *running) {
	longest := d.longest(c)
	if c.answered == 0 || longest == 0 || e.now-c.answered < int64(longest) {
		return
	}
	last := time.Duration(e.now - c.answered)
	e.tell(Finding{Detector: IDCostly, Action: call.CostlyCallsCap, Severity: call.High, Subject: call.Subject{Kind: "user", Value: c.user}, PerMin: c.far.PerMinute, Lost: c.cost(e.now),
		Reason:   fmt.Sprintf("a call to %s (%s) has lasted %s, the longest allowed is %s", c.far.Code, c.far.Class, short(last), short(longest)),
		Evidence: []call.Evidence{{Name: "seconds", Value: last.Seconds(), Threshold: longest.Seconds()}, {Name: "price_class", Value: c.far.Class.String()}, {Name: "usd_per_minute", Value: c.far.PerMinute}}}, c)
}

// full reports whether an account has as many costly calls as it may, counting
// those that are being set up.
func (d *costly) full(c *running, now int64) (n int, yes bool) {
	if !d.counts(c) {
		return 0, false
	}
	u := d.up.peek(c.account, now)
	if u == nil {
		return 0, false
	}
	return u.set, u.set >= d.cfg.Calls
}

// tooMany is what is said of a call that finds no place.
func (d *costly) tooMany(n int, c *running) call.Decision {
	return call.Decision{Rule: IDCostly, Action: call.CostlyCallsCap, Severity: call.Medium, Subject: call.Subject{Kind: "account", Value: c.account},
		Reason:   fmt.Sprintf("%s has %d costly calls, the cap is %d", c.account, n, d.cfg.Calls),
		Evidence: []call.Evidence{{Name: "costly_calls", Value: n, Threshold: d.cfg.Calls}, {Name: "usd_per_minute", Value: c.far.PerMinute, Threshold: d.cfg.PerMinute}}}
}
