package fraud

import (
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// PingConfig are the parameters of ping-call and ping-call-callback.
type PingConfig struct {
	Ring     time.Duration // a caller that rings for less and hangs up wants to be called back
	Answered time.Duration // so does one that was answered and hung up before this
	Share    float64       // of the calls in the window that must be such
	Callees  int           // different ones; of blocks and countries different callers will do

	Number      int // short calls of one number…
	NumberOver  time.Duration
	Block       int // …of a block of a thousand numbers…
	BlockOver   time.Duration
	Country     int // …of a country abroad, or of all that cost…
	CountryOver time.Duration
	Day         int     // …and of these within a day
	Tail        float64 // chance that a country has so many short calls on an ordinary day, at most

	Guard   time.Duration // calls back are told or refused for so long
	Contact int           // days with calls to a number that make it one of ours, which is never refused
}

// ping finds callers that want to be called back, and calls back to them.
//
//	inbound call over ──short?──> number, block, country ──enough──> campaign ──> guard ──call back──> confirmed
type ping struct {
	blind
	cfg    *PingConfig
	number *table[string, pings]
	block  *table[string, pings]
	code   *table[userCode, pings]   // account → country, within CountryOver
	day    *table[userCode, pings]   // the same within a day
	usual  *table[userCode, usual]   // account → country: what an ordinary day has
	guard  *table[string, guarded]   // numbers and blocks that pinged us
	rung   *table[userCode, rung]    // account → number that rang for a moment and costs
	called *table[userCode, habit]   // account → number: on how many days it was talked to, called by us…
	met    *table[userNumber, int64] // account → caller: when it was first talked to
	heard  *table[userCode, habit]   // …and by it, where that costs nothing
}

type userNumber struct{ account, user, number string }

// Keys beside the codes of countries.
const (
	costlyCode = "costly"
	abroadCode = "abroad"
	homeCode   = "strangers at home"
	knownCode  = "known at home"
)

const maxCodes = 10_000 // pairs of account and country

func newPing(c *Config) *ping {
	p := &ping{cfg: &c.Ping}
	again := func(v *pings) { *v = pings{Short: v.Short[:0]} }
	p.number = newTable[string, pings](c.MaxKeys, covers(day, c.Ping.NumberOver), again)
	p.block = newTable[string, pings](c.MaxKeys, covers(day, c.Ping.BlockOver), again)
	p.code = newTable[userCode, pings](maxCodes, covers(2*day, c.Ping.CountryOver), again)
	p.day = newTable[userCode, pings](maxCodes, 2*day, again)
	p.usual = newTable[userCode, usual](maxCodes, keepHabit, nil)
	p.guard = newTable[string, guarded](c.MaxKeys, maxGuard, nil)
	p.rung = newTable[userCode, rung](c.MaxKeys, maxGuard, nil)
	p.called = newTable[userCode, habit](c.MaxKeys, keepHabit, nil)
	p.met = newTable[userNumber, int64](c.MaxKeys, keepHabit, nil)
	p.heard = newTable[userCode, habit](c.MaxKeys, keepHabit, nil)
	return p
}

// short reports whether a call that is over rang for a moment and was gone.
// Numbers that cost may ring half as long again: who earns by calls back can wait.
func (p *ping) short(x *ended) bool {
	if x.answered != 0 {
		return x.by != call.ByCallee && x.seconds < p.cfg.Answered.Seconds()
	}
	ring := p.cfg.Ring
	if x.far.Class.costly() {
		ring += ring / 2
	}
	return (x.by == call.ByCaller || x.by == "" && x.code == 487) && x.ring < ring
}

// answer notes which call of a number was taken: the phones that rang beside it stop.
func (p *ping) answer(e *Engine, c *running) {
	if k := p.number.find(c.from, e.now); c.inbound && k != nil {
		k.Up = pinged{At: e.now, Start: c.start, Callee: c.to}
	}
}

// end takes a call that is over.
func (p *ping) end(e *Engine, x *ended) {
	if x.outbound {
		p.talked(e, x)
		return
	}
	if !x.inbound || x.refused && x.rang == 0 || !public(x.from) {
		return
	}
	if x.answered != 0 && x.seconds >= 10 {
		if m := p.met.get(userNumber{x.account, "", x.from}, e.now); *m == 0 {
			*m = e.now
		}
	}
	k := p.number.get(x.from, e.now)
	v := pinged{At: e.now, Start: x.start, From: x.from, Callee: x.to, User: x.user}
	short := p.short(x)
	if short && k.forks(&v) {
		return
	}
	if x.answered != 0 && x.seconds >= 20 && x.far.Class <= LowRisk {
		p.heard.get(userCode{x.account, "", x.from}, e.now).seen(utcDay(e.now), 0)
	}
	if short && x.far.Class >= Elevated {
		p.rung.get(userCode{x.account, "", x.from}, e.now).add(x, e.now, int64(p.cfg.Guard))
	}
	b := block(x.from, 3)
	kb := p.block.get(b, e.now)
	k.add(v, short, e.now, int64(p.cfg.NumberOver), max(fewPings, p.cfg.Callees))
	kb.add(v, short, e.now, int64(p.cfg.BlockOver), max(fewPings, p.cfg.Callees))
	if !short {
		p.countries(e, x, v, false)
		return
	}
	one := k.Shorts >= p.cfg.Number && k.share() >= p.cfg.Share && k.different(callees, p.cfg.Callees) >= p.cfg.Callees
	k.alarms(one, e.now, p.cfg.NumberOver)
	row := kb.Shorts >= p.cfg.Block && kb.share() >= p.cfg.Share && kb.spread(p.cfg.Callees) && kb.different(callers, 2) >= 2
	kb.alarms(row, e.now, p.cfg.BlockOver)
	widest, many := p.countries(e, x, v, true)
	f := Finding{about: call.Subject{Kind: "from_prefix", Value: b}, Subject: call.Subject{Kind: "from_prefix", Value: b}}
	from := call.Subject{Kind: "from", Value: x.from}
	switch {
	case kb.alarmed(e.now):
		p.tell(e, x, kb, f, "block "+b, p.cfg.Block)
	case k.alarmed(e.now):
		f.about, f.Subject = from, from
		p.tell(e, x, k, f, "number "+x.from, p.cfg.Number)
	case many != nil:
		f.about, f.Subject = call.Subject{Kind: "from_country", Value: widest}, from
		p.tell(e, x, many, f, region(widest), p.cfg.Country)
	}
}

// region names what is no number and no block.
func region(code string) string {
	switch code {
	case homeCode:
		return code
	case costlyCode:
		return "countries that cost much"
	}
	return "country " + code
}

// tell says that a call belongs to a campaign, and guards its numbers.
func (p *ping) tell(e *Engine, x *ended, k *pings, f Finding, what string, want int) {
	f.Detector, f.Action, f.Severity, f.Account = IDPing, call.PingCall, call.Medium, x.account
	ours := p.contact(x.account, x.from, e.now)
	if ours {
		f.Severity = call.Low
	}
	f.Reason = "ping calls of " + what
	if in := e.open.peek(f.topic(), e.now); in == nil || !in.rests(f.Severity, e.now, e.cfg.Update) {
		p.explain(&f, k, what, want, ours)
	}
	for _, s := range k.Short {
		if !k.Told || s.At == e.now {
			f.Missed = append(f.Missed, Missed{At: at(s.At), User: s.User, To: s.Callee, From: s.From})
			f.Numbers = append(f.Numbers, s.From)
		}
	}
	id := e.tell(f, x.running)
	if id == "" || f.about.Value == homeCode {
		return // off; or many numbers at home, each somebody's, that cost nothing
	}
	g := guarded{Since: e.now, Until: e.now + int64(p.cfg.Guard), ID: id, Account: x.account, About: f.about}
	if f.about.Kind == "from_prefix" && x.far.Class != Home {
		p.guards(e, f.about.Value, g)
	}
	for _, s := range k.Short {
		if !k.Told || s.At == e.now {
			p.guards(e, s.From, g)
		}
	}
	k.Told = true
}

// explain says why. It is asked only where somebody will read it.
func (p *ping) explain(f *Finding, k *pings, what string, want int, ours bool) {
	f.Reason = fmt.Sprintf("%d of %d calls of %s rang for a moment and were gone", k.Shorts, k.Shorts+k.Others, what)
	f.Evidence = []call.Evidence{{Name: "short_calls", Value: k.Shorts, Threshold: want}, {Name: "share", Value: k.share(), Threshold: p.cfg.Share},
		{Name: "callees", Value: k.different(callees, maxPings), Threshold: p.cfg.Callees}, {Name: "callers", Value: k.different(callers, maxPings)}, {Name: "by", Value: what}}
	if k.Lambda > 0 {
		f.Evidence = append(f.Evidence, call.Evidence{Name: "expected_short_calls", Value: k.Lambda}, call.Evidence{Name: "chance", Value: tail(k.Shorts, k.Lambda), Threshold: p.cfg.Tail})
	}
	if ours {
		f.Reason += "; it is a number that you talk to, so the caller may be forged"
	}
}

// public reports whether a number is one that somebody can call back.
func public(n string) bool { return len(n) > 4 && n[0] == '+' }
