package fraud

import (
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// A meter counts what a call costs while it is up.
type meter struct {
	account, user string
	perMin        float64
	class         PriceClass
	counted       int64 // until when its money is in the purses
}

// bridge is what a minute on a conference bridge costs at most, in USD: a
// company that confers is not told of as a whole.
const bridge = .25

// usualDays is over how many days the usual spending of a user is averaged.
const usualDays = 14

// answer takes a call that is up from now on.
func (t *toll) answer(e *Engine, c *running) {
	if !c.paid || c.far.Class == Home {
		return
	}
	u := t.users.get(userKey{c.account, c.user}, e.now)
	u.running++
	u.perMin += c.far.PerMinute
	*t.up.get(c.id, e.now) = meter{account: c.account, user: c.user, perMin: c.far.PerMinute, class: c.far.Class, counted: e.now}
}

// hangup counts the rest of a call.
func (t *toll) hangup(e *Engine, x *ended, u *purse) {
	if x.answered == 0 {
		return
	}
	u.running = max(0, u.running-1)
	u.perMin = max(0, u.perMin-x.far.PerMinute)
	if m := t.up.peek(x.id, e.now); m != nil {
		t.count(e, x.running, m)
		t.up.remove(x.id)
	}
}

// tick counts what running calls cost until now.
func (t *toll) tick(e *Engine) {
	t.up.sweep(e.now, 100)
	for m := t.up.first; m != nil; m = m.next { // in their order: findings of a replay are those of then
		if c := e.calls.peek(m.key, e.now); c != nil {
			t.count(e, c, &m.v)
		}
	}
}

// count puts what a call cost since it was counted last into the purses of its
// user and account, and tells when that is too much.
func (t *toll) count(e *Engine, c *running, m *meter) {
	usd := m.perMin * float64(e.now-m.counted) / float64(time.Minute)
	m.counted = e.now
	u := t.users.get(userKey{m.account, m.user}, e.now)
	a := t.accounts.get(m.account, e.now)
	u.lost += usd
	t.freshMoney(e, c, u, a, usd)
	today := e.localDay()
	most := usd
	if c.odd.quietHour && c.odd.novelty == 1 && m.class.costly() {
		most *= 2 // next to nobody works now, and nobody ever called there
	}
	t.tooMuch(e, c, u, most, today, t.cfg.Spent, call.Subject{Kind: "user", Value: m.user})
	if m.class >= Elevated && !(m.class == Premium && m.perMin < bridge) && u.alarm <= e.now { // who is suspected was told about
		t.tooMuch(e, c, a, usd, today, t.cfg.AccountSpent, call.Subject{Kind: "account", Value: m.account})
	}
}

// estimated is how much of a call was put at risk when it began.
const estimated = 3 * time.Minute

// freshMoney takes money for a call to a costly country that nobody of the
// account called before.
//
// A machine that answers at once and talks for longer than was estimated puts
// more at risk than its call did. And what several users begin on one day is no
// project of one of them, nor a partner with one or two numbers: half of what they
// may put at risk is told when it is spent, whoever answers.
func (t *toll) freshMoney(e *Engine, c *running, u, a *purse, usd float64) {
	if c.far.Class != HighRisk && c.far.Class != Satellite || c.odd.novelty != 1 {
		return
	}
	scale := 1.0
	if !e.warm() {
		scale = 2
	}
	if c.answered-c.start < int64(t.cfg.Pickup) && e.now-c.answered > int64(estimated) {
		t.peak(e, peakHour, c.account, c.user, u.tried[0].add(e.now, usd/scale, t.cfg.Hour, 0, int64(time.Hour)))
		if v := u.hour.add(e.now, usd, scale*t.cfg.Hour, int64(time.Hour)); v >= scale*t.cfg.Hour && u.alarm <= e.now {
			f := t.finding(c, u)
			f.Reason = fmt.Sprintf("a call to %s (%s) at USD %.2f a minute, where this user never called, was answered at once and goes on", c.far.Code, c.far.Class, c.far.PerMinute)
			f.Evidence = []call.Evidence{{Name: "usd_at_risk_hour", Value: cents(v), Threshold: scale * t.cfg.Hour}, {Name: "seconds", Value: int((e.now - c.answered) / int64(time.Second))}}
			e.tell(f, c)
			u.alarm = e.now + day
		}
	}
	if u.alarm > e.now { // who is suspected was told about
		return
	}
	if t.acctDest.peek(userCode{c.account, "", c.far.Code}, e.now).before(e.localDay()) >= 2 {
		return
	}
	limit := scale * t.cfg.Account / 2
	most, users := spends(&a.paid, c.user, usd, e.now)
	_, numbers := spends(&a.paidTo, c.to, usd, e.now)
	v := a.fresh.add(e.now, usd, limit, day)
	if v < limit || users < 3 || numbers < 3 || most > .6 || e.now < a.toldFresh {
		return
	}
	a.toldFresh = e.now + int64(10*time.Minute)
	f := t.finding(c, u)
	f.Subject = call.Subject{Kind: "account", Value: c.account}
	f.Reason = fmt.Sprintf("USD %.2f spent by %d users within a day on calls to costly countries that nobody called before", v, users)
	f.Evidence = []call.Evidence{{Name: "usd_spent_day", Value: cents(v), Threshold: cents(limit)}, {Name: "users", Value: users, Threshold: 3}, {Name: "numbers", Value: numbers, Threshold: 3}}
	e.tell(f, c)
}

// allowed is what a purse may spend within a day: the limit, and three times
// what is usual. The usual is at most the limit, so who spends more day by day
// gets no further than four times the limit.
func (p *purse) allowed(limit float64) float64 { return limit + 3*p.usual }

// tooMuch adds money that is spent.
func (t *toll) tooMuch(e *Engine, c *running, p *purse, usd float64, today int32, limit float64, who call.Subject) {
	if p.date != today {
		if p.date != 0 && p.alarm <= e.now {
			days := min(today-p.date, 60) // those without a call count, too
			p.usual += (min(p.today, limit) - p.usual) / usualDays
			for range days - 1 {
				p.usual -= p.usual / usualDays
			}
		}
		p.date, p.today = today, 0
	}
	p.today += usd
	most := p.allowed(limit)
	v := p.spent.add(e.now, usd, most, day)
	key := peakSpent
	if who.Kind == "account" {
		key = peakSpentAll
	}
	t.peak(e, key, c.account, who.Value, p.tried[2].add(e.now, usd, limit, 3*p.usual, day))
	if v < most || e.now < p.told {
		return
	}
	p.told = e.now + int64(10*time.Minute)
	p.alarm = max(p.alarm, e.now+day)
	f := t.finding(c, t.users.get(userKey{c.account, c.user}, e.now))
	f.Subject = who
	f.Reason = fmt.Sprintf("USD %.2f spent on calls abroad and to costly numbers within a day, usual are %.2f", v, p.usual)
	f.Evidence = []call.Evidence{{Name: "usd_spent_day", Value: cents(v), Threshold: cents(most)}, {Name: "usd_usual_day", Value: cents(p.usual)}, {Name: "costly_calls_running", Value: p.running}}
	e.tell(f, c)
}
