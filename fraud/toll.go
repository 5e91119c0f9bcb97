package fraud

import (
	"fmt"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// TollConfig are the parameters of toll-fraud and call-forward-fraud. What is at
// risk is a weighed estimate that is known when a call begins; what is spent is
// money, counted while calls run.
type TollConfig struct {
	Hour    float64 // USD at risk of a user that leak away within an hour
	Day     float64 // the same within a day
	Account float64 // of everybody, to costly countries that the account never called, within a day

	Spent        float64 // USD of a user within a day, beside three times what is usual for him
	AccountSpent float64 // of everybody

	Pickup time.Duration // nobody lifts a receiver sooner
}

// toll sees calls that cost more than they should: somebody sends them to
// numbers that share the price with him.
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
	up       *table[string, meter]        // calls that cost
	peaks    *table[peakKey, [16]peaking] // what thresholds were compared with: see [Engine.Baseline]
}

type userKey struct{ account, user string }
type userCode struct{ account, user, code string }

// purse is what a user or account has at risk, and spends.
type purse struct {
	hour, day bucket
	spent     bucket
	tried     [3]trial // what hour, day and spent would hold under other thresholds
	usual     float64  // USD a day, slow
	today     float64  // USD so far
	date      int32    // local day that today is of
	fresh     bucket   // of an account: money for calls of several users to costly countries that nobody called before
	week      week
	running   int       // costly calls up
	perMin    float64   // what they cost
	lost      float64   // USD until now, in this incident
	last      int64     // costly call
	alarm     int64     // until when it is suspected: nothing is learned from it
	told      int64     // that it spends too much
	toldFresh int64     // that several users do, where nobody called
	who       []spender // of an account: who called where nobody had called before
	paid      []spender // what that cost,
	paidTo    []spender // by number called
}

// spender is one user's part of what an account has at risk.
type spender struct {
	user uint32
	at   int64
	usd  float64
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
	t.up = newTable[string, meter](c.MaxCalls, c.longest(), nil)
	t.peaks = newTable[peakKey, [16]peaking](maxPeaks, keepPeaks, nil)
	return t
}

// weighing is why a call is worth what it is worth.
type weighing struct {
	novelty   float64
	quietHour bool // next to nobody calls in this hour of the week
	strange   bool // the user calls from a country that is new to him
	again     bool // the number failed within the hour
}

// weigh says what a call puts at risk, in USD.
func (t *toll) weigh(e *Engine, c *running, a, u *purse) (float64, weighing) {
	var w weighing
	w.novelty = t.novelty(e, c)
	x := c.far.PerMinute * 3 * w.novelty
	if c.far.Class <= Elevated {
		x *= .5
	}
	if hour, mean := a.week.expect(e.wall(), a.week.off); a.week.known() && hour < .1*mean {
		x, w.quietHour = x*2, true
	}
	if t.strange(e, c) {
		x, w.strange = x*3, true
	}
	x *= 1 + .5*float64(min(u.running, 10))
	if t.failed.peek(userNumber{c.account, c.user, c.to}, e.now) != nil {
		x, w.again = x*.3, true
	}
	if c.diverted {
		x *= 3
	}
	return x, w
}

// strange reports whether a user calls from a country that is new to him. The
// operator's own, and one where several users of the account are, is new to
// nobody.
func (t *toll) strange(e *Engine, c *running) bool {
	if c.country == "" || c.country == e.rates.home || !e.warm() {
		return false
	}
	today := e.localDay()
	if a := t.sources.peek(userCode{c.account, "", c.country}, e.now); a.before(today) >= 4 && a.n >= 3 {
		return false
	}
	return t.sources.peek(userCode{c.account, c.user, c.country}, e.now).before(today) < 2
}

// novelty is 1 where nobody called before, and less where calls are usual. That
// others of the account call a costly country says little about this user: it
// takes more of them, and does not help calls that are all answered at once.
func (t *toll) novelty(e *Engine, c *running) float64 {
	today := e.localDay()
	dest := t.dest.get(userCode{c.account, c.user, c.far.Code}, e.now)
	acct := t.acctDest.get(userCode{c.account, "", c.far.Code}, e.now)
	users := uint8(2)
	if c.far.Class.costly() {
		users = 3
	}
	switch {
	case dest.before(today) >= 3:
		return .1
	case t.numbers.peek(userCode{c.account, "", c.to}, e.now).before(today) >= 3:
		return .35
	case acct.before(today) >= 4 && acct.n >= users && !(dest.quick >= 3 && dest.quick > 4*dest.people):
		return .35
	}
	return 1
}

func (t *toll) invite(e *Engine, c *running) {
	if !c.paid {
		return
	}
	a := t.accounts.get(c.account, e.now)
	was := t.users.peek(userKey{c.account, c.user}, e.now)
	a.week.observe(e.wall(), offset(e.cfg.Zone, e.wall()), a.alarm > e.now, was != nil && was.alarm > e.now)
	if c.far.Class == Home {
		return
	}
	u := t.users.get(userKey{c.account, c.user}, e.now)
	if u.alarm <= e.now && e.now-u.last > day {
		u.lost = 0
	}
	u.last = e.now
	x, w := t.weigh(e, c, a, u)
	c.risk, c.odd = x, w
	scale := 1.0
	if !e.warm() {
		scale = 2 // nobody's habits are known; what is spent is counted as ever
	}
	hour := u.hour.add(e.now, x, scale*t.cfg.Hour, int64(time.Hour))
	whole := u.day.add(e.now, x, scale*t.cfg.Day, day)
	t.peak(e, peakHour, c.account, c.user, u.tried[0].add(e.now, x/scale, t.cfg.Hour, 0, int64(time.Hour)))
	t.peak(e, peakDay, c.account, c.user, u.tried[1].add(e.now, x/scale, t.cfg.Day, 0, day))
	if hour >= scale*t.cfg.Hour || whole >= scale*t.cfg.Day {
		f := t.finding(c, u)
		f.Reason = fmt.Sprintf("calls to %s (%s) at USD %.2f a minute that do not fit this user", c.far.Code, c.far.Class, c.far.PerMinute)
		f.Evidence = []call.Evidence{{Name: "usd_at_risk_hour", Value: cents(hour), Threshold: scale * t.cfg.Hour}, {Name: "usd_at_risk_day", Value: cents(whole), Threshold: scale * t.cfg.Day},
			{Name: "novelty", Value: w.novelty}, {Name: "quiet_hour", Value: w.quietHour}, {Name: "new_source_country", Value: w.strange}, {Name: "costly_calls_running", Value: u.running}}
		e.tell(f, c)
		u.alarm = e.now + day
		a.alarm = max(a.alarm, e.now+int64(time.Hour))
		a.week.quiet = true
	}
	t.together(e, c, a, u, x, scale)
	t.learn(e, c, u, hour < scale*t.cfg.Hour/2 && whole < scale*t.cfg.Day/2)
}

// finding begins what is told about a user's call.
func (t *toll) finding(c *running, u *purse) Finding {
	f := Finding{Detector: IDToll, Action: call.TollFraud, Severity: call.High, PerMin: u.perMin + c.far.PerMinute, Lost: u.lost,
		Subject: call.Subject{Kind: "user", Value: c.user}}
	if c.diverted {
		f.Detector, f.Action = IDForward, call.CallForwardFraud
	}
	return f
}

// together sees many users who each put little at risk, where nobody of the
// account ever called.
func (t *toll) together(e *Engine, c *running, a, u *purse, x, scale float64) {
	if c.far.Class != HighRisk && c.far.Class != Satellite || u.alarm > e.now { // who is suspected was told about
		return
	}
	if t.acctDest.get(userCode{c.account, "", c.far.Code}, e.now).before(e.localDay()) >= 2 {
		return
	}
	most, users := spends(&a.who, c.user, x, e.now)
	v := a.day.add(e.now, x, scale*t.cfg.Account, day)
	told := a.tried[1].add(e.now, x/scale, t.cfg.Account, 0, day)
	if users < 3 || most > .6 {
		return
	}
	t.peak(e, peakTogether, c.account, c.account, told)
	if v < scale*t.cfg.Account {
		return
	}
	f := t.finding(c, u)
	f.Subject = call.Subject{Kind: "account", Value: c.account}
	f.Reason = fmt.Sprintf("calls of %d users to costly countries that nobody called before", users)
	f.Evidence = []call.Evidence{{Name: "usd_at_risk_day", Value: cents(v), Threshold: scale * t.cfg.Account}, {Name: "users", Value: users, Threshold: 3}}
	e.tell(f, c)
}

// learn notes where users call, while nothing is suspected. Costly countries
// become a habit only by calls that people took (see end).
func (t *toll) learn(e *Engine, c *running, u *purse, calm bool) {
	if u.alarm > e.now || !calm {
		return
	}
	today := e.localDay()
	t.numbers.get(userCode{c.account, "", c.to}, e.now).seen(today, 0)
	if !c.far.Class.costly() {
		t.dest.get(userCode{c.account, c.user, c.far.Code}, e.now).seen(today, 0)
		t.acctDest.get(userCode{c.account, "", c.far.Code}, e.now).seen(today, hash(c.user))
	}
}

// spends notes a user's part of what an account has at risk, or spends, for a
// day. It returns the largest share that one user has, and how many users there are.
func spends(who *[]spender, user string, x float64, now int64) (most float64, users int) {
	h := hash(user)
	*who = slices.DeleteFunc(*who, func(s spender) bool { return s.at <= now-day })
	i := slices.IndexFunc(*who, func(s spender) bool { return s.user == h })
	switch {
	case i >= 0:
		(*who)[i].usd += x
	case len(*who) < 64:
		*who = append(*who, spender{h, now, x})
	}
	var sum float64
	for _, s := range *who {
		sum += s.usd
		most = max(most, s.usd)
	}
	return most / max(sum, 1e-9), len(*who)
}

// end takes back most of what a call put at risk when people seem to have
// talked, or the phone of somebody rang for long, and learns from such calls.
func (t *toll) end(e *Engine, x *ended) {
	if !x.outbound {
		return
	}
	u := t.users.get(userKey{x.account, x.user}, e.now)
	today := e.localDay()
	if x.country != "" && u.alarm <= e.now {
		t.sources.get(userCode{x.account, x.user, x.country}, e.now).seen(today, 0)
		if x.user != "" && x.country != e.rates.home {
			t.sources.get(userCode{x.account, "", x.country}, e.now).seen(today, hash(x.user))
		}
	}
	if !x.paid || x.far.Class == Home {
		return
	}
	t.hangup(e, x, u)
	people := x.answered != 0 && x.answered-x.start > int64(t.cfg.Pickup) || x.answered == 0 && (x.ring > 10*time.Second || x.code == 486)
	dest := t.dest.get(userCode{x.account, x.user, x.far.Code}, e.now)
	if x.answered != 0 || people {
		dest.answered(people)
	}
	if people {
		back := .6
		if dest.people >= 4 && dest.people > 4*dest.quick {
			back = .8
		}
		u.hour.level = max(0, u.hour.level-back*x.risk)
		u.day.level = max(0, u.day.level-back*x.risk)
		u.tried[0].back(back * x.risk)
		u.tried[1].back(back * x.risk)
		a := t.accounts.get(x.account, e.now)
		a.day.level = max(0, a.day.level-back*x.risk)
		a.tried[1].back(back * x.risk)
		if x.far.Class.costly() && u.alarm <= e.now && u.day.now(e.now, t.cfg.Day, day) < t.cfg.Day/2 {
			dest.seen(today, 0)
			t.acctDest.get(userCode{x.account, "", x.far.Code}, e.now).seen(today, hash(x.user))
		}
	}
	if x.answered == 0 {
		*t.failed.get(userNumber{x.account, x.user, x.to}, e.now) = e.now
	}
}
