package fraud

import (
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// PingConfig are the parameters of ping-call and ping-call-callback.
type PingConfig struct {
	Ring     time.Duration // a caller that rings for less and hangs up wants to be called back
	Answered time.Duration // so does one that was answered and was gone after this
	Share    float64       // of the calls in the window that must be such
	Callees  int           // different ones

	Number      int // short calls of one number…
	NumberOver  time.Duration
	Block       int // …of a block of a thousand numbers…
	BlockOver   time.Duration
	Country     int // …of a country abroad
	CountryOver time.Duration

	Guard time.Duration // calls back are told or refused for so long
}

type ping struct {
	blind
	cfg    *PingConfig
	number *table[string, pings]
	block  *table[string, pings]
	code   *table[string, pings]
	guard  *table[string, guarded] // numbers and blocks that pinged us
	missed *table[userNumber, int64]
}

type userNumber struct{ account, user, number string }

// pings are the last calls from a number, a block or a country.
type pings struct {
	seen  []pinged
	alarm int64 // until when its calls belong to a campaign that was found
	id    string
}

type pinged struct {
	at     int64
	from   string
	callee string
	user   string // that it rang
	id     string
	short  bool
}

type guarded struct {
	until int64
	id    string // of the incident
}

const maxPings = 64

func newPing(c *Config) *ping {
	p := &ping{cfg: &c.Ping}
	clear := func(v *pings) { *v = pings{seen: v.seen[:0]} }
	p.number = newTable[string, pings](c.MaxKeys, int64(c.Ping.NumberOver), clear)
	p.block = newTable[string, pings](c.MaxKeys, int64(c.Ping.BlockOver), clear)
	p.code = newTable[string, pings](1000, int64(c.Ping.CountryOver), clear)
	p.guard = newTable[string, guarded](c.MaxKeys, int64(c.Ping.Guard), nil)
	p.missed = newTable[userNumber, int64](c.MaxKeys, int64(c.Ping.Guard), nil)
	return p
}

// end takes an inbound call that is over.
func (p *ping) end(e *Engine, x *ended) {
	if !x.inbound || x.refused && x.rang == 0 || x.from == "" || x.from[0] != '+' {
		return
	}
	short := x.answered == 0 && x.by == call.ByCaller && x.rang != 0 && x.ring < p.cfg.Ring ||
		x.answered != 0 && x.seconds < p.cfg.Answered.Seconds()
	v := pinged{at: e.now, from: x.from, callee: x.to, user: x.user, id: x.id, short: short}
	abroad := e.rates.Abroad(x.from) || x.far.Class >= Elevated
	if short && x.far.Class >= Elevated {
		*p.missed.get(userNumber{x.account, x.user, x.from}, e.now) = e.now
	}
	p.look(e, x, p.number.get(x.from, e.now), v, "number", x.from, p.cfg.Number, p.cfg.NumberOver)
	b := block(x.from, 3)
	p.look(e, x, p.block.get(b, e.now), v, "block", b, p.cfg.Block, p.cfg.BlockOver)
	if abroad {
		p.look(e, x, p.code.get(x.far.Code, e.now), v, "country", x.far.Code, p.cfg.Country, p.cfg.CountryOver)
	}
}

func (p *ping) look(e *Engine, x *ended, k *pings, v pinged, what, value string, want int, over time.Duration) {
	n := 0
	for _, s := range k.seen {
		if s.at > e.now-int64(over) {
			k.seen[n] = s
			n++
		}
	}
	k.seen = k.seen[:n]
	if len(k.seen) == maxPings {
		k.seen = append(k.seen[:0], k.seen[1:]...)
	}
	k.seen = append(k.seen, v)
	short := 0
	for _, s := range k.seen {
		if s.short {
			short++
		}
	}
	begins := e.now >= k.alarm
	share := float64(short) / float64(len(k.seen))
	if short >= want && share >= p.cfg.Share && k.callees() >= p.cfg.Callees {
		k.alarm = e.now + int64(over)
	}
	if e.now >= k.alarm || !v.short {
		return
	}
	f := Finding{Detector: IDPing, Action: call.PingCall, Severity: call.Medium, Subject: call.Subject{Kind: "from", Value: x.from},
		Reason: fmt.Sprintf("%d of %d calls from this %s rang for less than %s and were gone", short, len(k.seen), what, p.cfg.Ring),
		Evidence: []call.Evidence{{Name: "short_calls", Value: short, Threshold: want}, {Name: "share", Value: share, Threshold: p.cfg.Share},
			{Name: "callees", Value: k.callees(), Threshold: p.cfg.Callees}, {Name: "by", Value: what + " " + value}}}
	for _, s := range k.seen {
		if s.short && (begins || s.id == v.id) {
			f.Missed = append(f.Missed, Missed{At: at(s.at), User: s.user, To: s.callee, From: s.from})
			f.Numbers = append(f.Numbers, s.from)
		}
	}
	if what == "block" {
		f.Subject = call.Subject{Kind: "from_prefix", Value: value}
	}
	id := e.tell(f, x.running)
	if k.id == "" {
		k.id = id
	}
	if what == "block" {
		*p.guard.get(value, e.now) = guarded{e.now + int64(p.cfg.Guard), k.id}
	}
	for _, s := range k.seen {
		if s.short {
			*p.guard.get(s.from, e.now) = guarded{e.now + int64(p.cfg.Guard), k.id}
		}
	}
}

func (k *pings) callees() (n int) {
	for i := range k.seen {
		first := true
		for j := range i {
			if k.seen[j].callee == k.seen[i].callee {
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

// invite takes a call to outside that begins: is it a call back?
func (p *ping) invite(e *Engine, c *running) {
	if !c.paid {
		return
	}
	how, id, ok := p.callback(c.account, c.user, c.to, c.far.Class, e.now)
	if !ok {
		return
	}
	f := Finding{Detector: IDCallback, Action: call.PingCallCallback, Severity: call.High, Subject: call.Subject{Kind: "to", Value: c.to},
		Reason: "a call back to a ping call: " + how, PerMin: c.far.PerMinute}
	if id != "" {
		f.Related = []string{id}
	}
	e.tell(f, c)
}

// callback says whether a call to a number would be one back to a ping call: how
// that is known, and the incident where there is one.
func (p *ping) callback(account, user, to string, class PriceClass, now int64) (how, incident string, ok bool) {
	if g := p.guard.peek(to, now); g != nil && now < g.until {
		return "the number pinged us", g.id, true
	}
	if g := p.guard.peek(block(to, 3), now); g != nil && now < g.until {
		return "its block pinged us", g.id, true
	}
	if t := p.missed.peek(userNumber{account, user, to}, now); t != nil && class.costly() {
		return "the number rang this user for a moment and costs", "", true
	}
	return "", "", false
}
