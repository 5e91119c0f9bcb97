package fraud

import (
	"fmt"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// PumpConfig are the parameters of traffic-pumping.
type PumpConfig struct {
	Calls   int     // to a costly number at home, its block or its kind within a day…
	PerUser float64 // …and so many of each user who does it
	Days    int     // a number that was called on so many days is known
	Alike   int     // so many are enough where they are all of one length
}

// pump sees calls that somebody makes to costly numbers at home, to share what
// they cost: many calls of few users to numbers that nobody called before.
type pump struct {
	blind
	cfg    *PumpConfig
	number *table[userCode, pumped]
	users  *table[string, habit] // account → who calls costly numbers
}

// pumped are the last calls to a number, to a block of ten thousand numbers, or
// to a kind of numbers.
type pumped struct {
	calls []pumping
	days  habit
}

type pumping struct {
	at      int64
	user    uint32
	id      uint32
	to      uint32
	seconds float64
}

const (
	maxPumped = 128
	alike     = .2 // coefficient of variation of lengths
	alikeUser = 1.5
)

func newPump(c *Config) *pump {
	p := &pump{cfg: &c.Pump}
	p.number = newTable[userCode, pumped](c.MaxKeys, 30*day, func(v *pumped) { *v = pumped{calls: v.calls[:0]} })
	p.users = newTable[string, habit](1000, 60*day, nil)
	return p
}

// keys are what a call to a costly number is counted for.
func (p *pump) keys(c *running) [3]userCode {
	return [3]userCode{{c.account, "", c.to}, {c.account, "", block(c.to, 4)}, {c.account, "kind", c.far.Code}}
}

func (p *pump) invite(e *Engine, c *running) {
	if !c.paid || c.far.Class != Premium {
		return
	}
	today := e.localDay()
	p.users.get(c.account, e.now).seen(today, hash(c.user))
	known := false
	for i, k := range p.keys(c) {
		v := p.number.get(k, e.now)
		if i < 2 && v.days.before(today) >= p.cfg.Days {
			v.days.seen(today, 0)
			known = true
		}
		if known { // what is usual does not count for its kind, either
			continue
		}
		v.calls = slices.DeleteFunc(v.calls, func(x pumping) bool { return x.at <= e.now-day })
		if len(v.calls) == maxPumped {
			v.calls = slices.Delete(v.calls, 0, 1)
		}
		v.calls = append(v.calls, pumping{at: e.now, user: hash(c.user), id: hash(c.id), to: hash(c.to)})
		switch told := p.tell(e, c, v, k.code); {
		case i == 2:
		case told:
			p.spare(p.number.get(p.keys(c)[2], e.now), v)
			return
		default:
			v.days.seen(today, 0)
		}
	}
}

// spare takes calls that were told of by their number out of those of its kind:
// the next number of that kind that somebody calls has nothing to do with them.
func (p *pump) spare(kind, told *pumped) {
	kind.calls = slices.DeleteFunc(kind.calls, func(x pumping) bool {
		return slices.ContainsFunc(told.calls, func(y pumping) bool { return y.to == x.to })
	})
}

func (p *pump) tell(e *Engine, c *running, v *pumped, what string) bool {
	calls := v.calls
	if what == c.far.Code { // of a kind of numbers, whoever calls one now and then is not meant
		if calls = v.often(3); !slices.ContainsFunc(calls, func(x pumping) bool { return x.user == hash(c.user) }) {
			return false
		}
	}
	n, users := len(calls), usersOf(calls)
	per := float64(n) / float64(max(users, 1))
	var s spreading
	for _, x := range calls {
		if x.seconds > 0 {
			s.add(x.seconds)
		}
	}
	same := n >= p.cfg.Alike && per >= alikeUser && s.n >= p.cfg.Alike*3/4 && s.cv() < alike && s.mean > 20
	// Where the PBX names one user for all, a whole office is one that calls often.
	apart := p.users.get(c.account, e.now).n > 1
	if !same && (n < p.cfg.Calls || per < p.cfg.PerUser || !apart) {
		return false
	}
	f := Finding{Detector: IDPump, Action: call.TrafficPumping, Severity: call.High, Subject: call.Subject{Kind: "to", Value: c.to},
		PerMin: c.far.PerMinute, Lost: c.far.PerMinute * s.mean * float64(s.n) / 60,
		Reason: fmt.Sprintf("%d calls within a day to %s, %.1f of each user", n, what, per),
		Evidence: []call.Evidence{{Name: "calls", Value: n, Threshold: p.cfg.Calls}, {Name: "calls_per_user", Value: cents(per), Threshold: p.cfg.PerUser},
			{Name: "users", Value: users}, {Name: "mean_seconds", Value: cents(s.mean)}, {Name: "length_variation", Value: cents(s.cv()), Threshold: alike}}}
	if same {
		f.Evidence[0].Threshold, f.Evidence[1].Threshold = p.cfg.Alike, alikeUser
	}
	if what == c.far.Code {
		f.Subject = call.Subject{Kind: "user", Value: c.user} // the number may be anybody's
		f.Reason = fmt.Sprintf("%d calls within a day to numbers of %s by %d users, %.1f of each", n, what, users, per)
	}
	if same {
		f.Reason += fmt.Sprintf(", all of about %.0f s", s.mean)
	}
	e.tell(f, c)
	u := e.toll.users.get(userKey{c.account, c.user}, e.now)
	u.alarm = max(u.alarm, e.now+day)
	return true
}

// often are the calls of users who made at least n of them.
func (v *pumped) often(n int) (out []pumping) {
	for _, x := range v.calls {
		k := 0
		for _, y := range v.calls {
			if y.user == x.user {
				k++
			}
		}
		if k >= n {
			out = append(out, x)
		}
	}
	return out
}

func usersOf(calls []pumping) (n int) {
	for i := range calls {
		if !slices.ContainsFunc(calls[:i], func(x pumping) bool { return x.user == calls[i].user }) {
			n++
		}
	}
	return n
}

// end notes how long a call was.
func (p *pump) end(e *Engine, x *ended) {
	if !x.paid || x.far.Class != Premium || x.answered == 0 {
		return
	}
	id := hash(x.id)
	for _, k := range p.keys(x.running) {
		v := p.number.peek(k, e.now)
		if v == nil {
			continue
		}
		for i := len(v.calls) - 1; i >= 0; i-- {
			if v.calls[i].id == id {
				v.calls[i].seconds = float64(e.now-x.answered) / float64(time.Second)
				break
			}
		}
	}
}
