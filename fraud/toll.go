package fraud

import (
	"fmt"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// TollConfig are the parameters of toll-fraud.
type TollConfig struct {
	Hour    float64 // USD at risk of a user that leak away within an hour
	Day     float64 // the same within a day
	Account float64 // of everybody, to costly countries that the account never called, within a day
}

type toll struct {
	blind
	cfg      *TollConfig
	users    *table[userKey, purse]
	accounts *table[string, purse]
	dest     *table[userCode, habit] // user → destination
	acctDest *table[userCode, habit] // account → destination
	numbers  *table[userCode, habit] // account → number
	sources  *table[userCode, habit] // user → country it calls from
	failed   *table[userNumber, int64]
}

type userKey struct{ account, user string }
type userCode struct{ account, user, code string }

// purse is what a user or account has at risk.
type purse struct {
	hour, day bucket
	week      week
	running   int       // costly calls up
	perMin    float64   // what they cost
	lost      float64   // USD in this incident
	alarm     int64     // until when it is suspected: nothing is learned from it
	who       []spender // of an account: who called where nobody had called before
}

// spender is one user's part of what an account has at risk.
type spender struct {
	user uint32
	at   int64
}

const keepHabit = 60 * day

func newToll(c *Config) *toll {
	t := &toll{cfg: &c.Toll}
	t.users = newTable[userKey, purse](c.MaxKeys, 30*day, nil)
	t.accounts = newTable[string, purse](1000, 60*day, nil)
	t.dest = newTable[userCode, habit](c.MaxKeys, keepHabit, nil)
	t.acctDest = newTable[userCode, habit](c.MaxKeys, keepHabit, nil)
	t.numbers = newTable[userCode, habit](c.MaxKeys, keepHabit, nil)
	t.sources = newTable[userCode, habit](c.MaxKeys, keepHabit, nil)
	t.failed = newTable[userNumber, int64](c.MaxKeys, int64(time.Hour), nil)
	return t
}

func (t *toll) invite(e *Engine, c *running) {
	if !c.paid {
		return
	}
	a := t.accounts.get(c.account, e.now)
	a.week.add(e.now)
	u := t.users.get(userKey{c.account, c.user}, e.now)
	if c.far.Class == Home {
		return
	}
	dest := t.dest.get(userCode{c.account, c.user, c.far.Code}, e.now)
	acct := t.acctDest.get(userCode{c.account, "", c.far.Code}, e.now)
	num := t.numbers.get(userCode{c.account, "", c.to}, e.now)
	novelty := 1.0
	switch {
	case dest.before(e.now) >= 3:
		novelty = .1
	case acct.before(e.now) >= 4 && acct.n >= 2 || num.before(e.now) >= 3:
		novelty = .35
	}
	x := c.far.PerMinute * 3 * novelty
	if c.far.Class <= Elevated {
		x *= .5
	}
	quietHour := false
	if hour, mean := a.week.expect(e.now); a.week.known() && hour < .1*mean {
		x *= 2
		quietHour = true
	}
	strange := false
	if c.country != "" {
		if s := t.sources.peek(userCode{c.account, c.user, c.country}, e.now); s == nil || s.before(e.now) < 2 {
			if e.warm() {
				x *= 3
				strange = true
			}
		}
	}
	x *= 1 + .5*float64(min(u.running, 10))
	if f := t.failed.peek(userNumber{c.account, c.user, c.to}, e.now); f != nil {
		x *= .3
	}
	if c.diverted {
		x *= 3
	}
	c.risk = x
	hour := u.hour.add(e.now, x, t.cfg.Hour, int64(time.Hour))
	dayv := u.day.add(e.now, x, t.cfg.Day, day)
	f := Finding{Detector: IDToll, Action: call.TollFraud, Severity: call.High, PerMin: u.perMin + c.far.PerMinute, Lost: u.lost,
		Subject: call.Subject{Kind: "user", Value: c.user}, Reason: fmt.Sprintf("calls to %s (%s) at USD %.2f a minute that do not fit this user", c.far.Code, c.far.Class, c.far.PerMinute)}
	if c.diverted {
		f.Detector, f.Action = IDForward, call.CallForwardFraud
	}
	if hour >= t.cfg.Hour || dayv >= t.cfg.Day {
		f.Evidence = []call.Evidence{{Name: "usd_at_risk_hour", Value: hour, Threshold: t.cfg.Hour}, {Name: "usd_at_risk_day", Value: dayv, Threshold: t.cfg.Day},
			{Name: "novelty", Value: novelty}, {Name: "quiet_hour", Value: quietHour}, {Name: "new_source_country", Value: strange}, {Name: "costly_calls_running", Value: u.running}}
		e.tell(f, c)
		u.alarm = e.now + day
		a.alarm = max(a.alarm, e.now+int64(time.Hour))
	}
	if c.far.Class == HighRisk || c.far.Class == Satellite {
		if acct.before(e.now) < 2 {
			a.spends(c.user, e.now)
			if v := a.day.add(e.now, x, t.cfg.Account, day); v >= t.cfg.Account && len(a.who) >= 3 {
				f.Subject = call.Subject{Kind: "account", Value: c.account}
				f.Reason = "calls of many users to costly countries that nobody called before"
				f.Evidence = []call.Evidence{{Name: "usd_at_risk_day", Value: v, Threshold: t.cfg.Account}}
				e.tell(f, c)
			}
		}
	}
	if u.alarm <= e.now {
		dest.seen(e.now, 0)
		acct.seen(e.now, hash(c.user))
		num.seen(e.now, 0)
	}
}

// spends notes a user of an account, for a day.
func (p *purse) spends(user string, now int64) {
	h := hash(user)
	p.who = slices.DeleteFunc(p.who, func(s spender) bool { return s.user == h || s.at <= now-day })
	if len(p.who) < 64 {
		p.who = append(p.who, spender{h, now})
	}
}

// answer takes a call that is up from now on.
func (t *toll) answer(e *Engine, c *running) {
	if !c.paid || c.far.Class == Home {
		return
	}
	u := t.users.get(userKey{c.account, c.user}, e.now)
	u.running++
	u.perMin += c.far.PerMinute
}

func (t *toll) end(e *Engine, x *ended) {
	if !x.outbound {
		return
	}
	u := t.users.get(userKey{x.account, x.user}, e.now)
	if x.country != "" && u.alarm <= e.now {
		t.sources.get(userCode{x.account, x.user, x.country}, e.now).seen(e.now, 0)
	}
	if !x.paid || x.far.Class == Home {
		return
	}
	if x.answered != 0 {
		u.running = max(0, u.running-1)
		u.perMin = max(0, u.perMin-x.far.PerMinute)
		u.lost += x.cost(e.now)
	}
	people := x.answered != 0 && time.Duration(x.answered-x.start) > 4500*time.Millisecond || x.answered == 0 && x.ring > 10*time.Second
	if people || x.answered == 0 && x.code == 486 {
		u.hour.level = max(0, u.hour.level-.6*x.risk)
		u.day.level = max(0, u.day.level-.6*x.risk)
	}
	if x.answered == 0 {
		*t.failed.get(userNumber{x.account, x.user, x.to}, e.now) = e.now
	}
}
