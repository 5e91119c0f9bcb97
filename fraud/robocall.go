package fraud

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// RoboConfig are the parameters of robocall.
type RoboConfig struct {
	Calls   int           // of a number, or a block of ten thousand…
	Over    time.Duration // …within
	Callees int           // to so many of ours
	Message time.Duration // four of five answered calls are no longer
	HungUp  float64       // share of the answered that the callee ends within ten seconds

	Strangers     int           // callers that we never talked to before, with calls of one length or hung up on…
	StrangersOver time.Duration // …within
	Tail          float64       // chance of so many on an ordinary day, at most
}

// robo finds machines that play a message. By a number or a block, what tells
// them from a school's announcement or a courier is that people hang up on them.
// Machines that call with another number each time are seen by what their calls
// have in common: strangers whose calls are of one length, or hung up on.
type robo struct {
	blind
	cfg       *RoboConfig
	by        *table[string, robots] // number or block
	strangers *table[string, robots] // account
	usual     *table[string, usual]  // account: strangers that are hung up on
}

// robots are the last calls of a number, a block or all strangers.
type robots struct {
	Calls []robot
	Alarm int64
}

type robot struct {
	At       int64
	From     uint32
	Callee   uint32
	Answered bool
	Hung     bool // by who was called, soon
	Seconds  float32
}

const (
	maxRobots = 64
	hungSoon  = 10  // seconds
	people    = 1.5 // seconds that somebody takes to answer; machines take less
)

func newRobo(c *Config) *robo {
	again := func(v *robots) { *v = robots{Calls: v.Calls[:0]} }
	return &robo{cfg: &c.Robo, by: newTable[string, robots](c.MaxKeys, day, again),
		strangers: newTable[string, robots](1000, 2*day, again), usual: newTable[string, usual](1000, keepHabit, nil)}
}

func (r *robo) end(e *Engine, x *ended) {
	if !x.inbound || !public(x.from) || x.refused && x.answered == 0 || noSuchNumber(x.code) {
		return
	}
	v := robot{At: e.now, From: hash(x.from), Callee: hash(x.to), Answered: x.answered != 0, Seconds: float32(x.seconds)}
	v.Hung = v.Answered && x.by == call.ByCallee && x.seconds < hungSoon
	b := block(x.from, 4)
	kb, k := r.by.get(b, e.now), r.by.get(x.from, e.now)
	kb.add(v, e.now-int64(r.cfg.Over))
	k.add(v, e.now-int64(r.cfg.Over))
	if e.ping.contact(x.account, x.from, e.now) {
		return // whom we talk to on other days has something to say
	}
	switch {
	case k.plays(r.cfg, 1):
		r.tell(e, x, k, call.Subject{Kind: "from", Value: x.from}, "number "+x.from)
	case kb.plays(r.cfg, 2):
		r.tell(e, x, kb, call.Subject{Kind: "from_prefix", Value: b}, "block "+b)
	default:
		r.stranger(e, x, v)
	}
}

func (k *robots) add(v robot, since int64) {
	n := 0
	for _, c := range k.Calls {
		if c.At > since {
			k.Calls[n] = c
			n++
		}
	}
	k.Calls = k.Calls[:n]
	if n == maxRobots {
		copy(k.Calls, k.Calls[1:])
		k.Calls = k.Calls[:n-1]
	}
	k.Calls = append(k.Calls, v)
}

// plays reports whether calls of a number or block are those of a machine.
func (k *robots) plays(c *RoboConfig, callers int) bool {
	if len(k.Calls) < c.Calls {
		return false
	}
	answered, hung, brief := 0, 0, 0
	for i := range k.Calls {
		if v := &k.Calls[i]; v.Answered {
			answered++
			if v.Hung {
				hung++
			}
			if float64(v.Seconds) <= c.Message.Seconds() {
				brief++
			}
		}
	}
	return answered >= 5 && float64(brief) >= .8*float64(answered) && float64(hung) >= c.HungUp*float64(answered) &&
		k.different(all, callee) >= c.Callees && k.different(all, caller) >= callers
}

func all(*robot) bool         { return true }
func caller(v *robot) uint32  { return v.From }
func callee(v *robot) uint32  { return v.Callee }
func hungUp(v *robot) bool    { return v.Hung }
func (v *robot) played() bool { return v.Answered && !v.Hung && v.Seconds >= 3 }

// different counts those that differ among the calls that are meant.
func (k *robots) different(which func(*robot) bool, by func(*robot) uint32) (n int) {
	for i := range k.Calls {
		if !which(&k.Calls[i]) {
			continue
		}
		first := true
		for j := range i {
			if which(&k.Calls[j]) && by(&k.Calls[j]) == by(&k.Calls[i]) {
				first = false
				break
			}
		}
		if first {
			n++
		}
	}
	return n
}

func (r *robo) tell(e *Engine, x *ended, k *robots, s call.Subject, what string) {
	answered, hung := 0, 0
	for _, v := range k.Calls {
		if v.Answered {
			answered++
		}
		if v.Hung {
			hung++
		}
	}
	callees := k.different(all, callee)
	e.tell(Finding{Detector: IDRobo, Action: call.Robocall, Severity: call.Medium, Subject: s,
		Reason: fmt.Sprintf("%d calls of %s to %d of our numbers within %s: %d answered, %d of these hung up on", len(k.Calls), what, callees, span(r.cfg.Over), answered, hung),
		Evidence: []call.Evidence{{Name: "calls", Value: len(k.Calls), Threshold: r.cfg.Calls}, {Name: "callees", Value: callees, Threshold: r.cfg.Callees},
			{Name: "hung_up_on", Value: float64(hung) / float64(max(answered, 1)), Threshold: r.cfg.HungUp}}}, x.running)
}

// stranger counts a call of somebody that nobody here talked to before today.
// Calls that a machine of ours answers count for nothing: all who hear an
// announcement to its end have calls of one length.
func (r *robo) stranger(e *Engine, x *ended, v robot) {
	if !v.Answered || x.ring.Seconds() < people || !e.ping.stranger(x.account, x.from, e.now) {
		return
	}
	u := r.usual.get(x.account, e.now)
	u.add(e.now, v.Hung)
	k := r.strangers.get(x.account, e.now)
	k.add(v, e.now-int64(r.cfg.StrangersOver))
	if !e.warm() {
		return // everybody is a stranger
	}
	f := Finding{Detector: IDRobo, Action: call.Robocall, Severity: call.Medium, Subject: call.Subject{Kind: "from", Value: x.from}, about: call.Subject{Kind: "account", Value: x.account}}
	switch {
	case v.Hung:
		hung := k.different(hungUp, caller)
		others := 0
		for i := range k.Calls {
			if !k.Calls[i].Hung {
				others++
			}
		}
		lambda := u.expects(others, .3, 0)
		if !r.many(hung, k.different(hungUp, callee), lambda) {
			return
		}
		u.Alarmed = true
		f.Reason = fmt.Sprintf("%d strangers were hung up on within %s", hung, span(r.cfg.StrangersOver))
		f.Evidence = []call.Evidence{{Name: "hung_up_on", Value: hung, Threshold: r.cfg.Strangers}, {Name: "expected", Value: lambda}, {Name: "chance", Value: tail(hung, lambda), Threshold: r.cfg.Tail}}
	case v.played() && x.by != call.ByCallee:
		like := func(c *robot) bool { return c.played() && math.Abs(float64(c.Seconds-v.Seconds)) <= .5 }
		near := 0 // of about that length: what chance makes equal
		for i := range k.Calls {
			if c := &k.Calls[i]; c.played() && !like(c) && math.Abs(float64(c.Seconds-v.Seconds)) <= 10 {
				near++
			}
		}
		equal, lambda := k.different(like, caller), .1+float64(near)/19
		if !r.many(equal, k.different(like, callee), lambda) {
			return
		}
		u.Alarmed = true
		f.Reason = fmt.Sprintf("%d strangers with calls of the same %.0f seconds within %s", equal, v.Seconds, span(r.cfg.StrangersOver))
		f.Evidence = []call.Evidence{{Name: "equal_calls", Value: equal, Threshold: r.cfg.Strangers}, {Name: "seconds", Value: float64(v.Seconds)}, {Name: "chance", Value: tail(equal, lambda), Threshold: r.cfg.Tail}}
	default:
		return
	}
	e.tell(f, x.running)
}

func (r *robo) many(callers, callees int, lambda float64) bool {
	return callers >= r.cfg.Strangers && callees >= min(4, r.cfg.Strangers) && tail(callers, lambda) < r.cfg.Tail
}

// span is a duration as people write it: 1h, not 1h0m0s.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
