package fraud

import (
	"fmt"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// ProbeConfig are the parameters of number-probing.
type ProbeConfig struct {
	Caller      int           // numbers that do not exist, by one caller…
	CallerOver  time.Duration // …within
	Slow        int           // …within a day
	Account     int           // by all strangers and withheld numbers…
	AccountOver time.Duration // …within
	Tail        float64       // chance of so many on an ordinary day, at most
}

// probe finds who looks which of our numbers exist, by those that do not: one
// caller that dials several, or many strangers that do together.
type probe struct {
	blind
	cfg   *ProbeConfig
	by    *table[string, []probed] // caller: different numbers, the last of each
	all   *table[string, []probed] // account
	usual *table[string, usual]    // account: what is dialled wrong on an ordinary day
}

type probed struct {
	At int64
	To string
}

const maxProbed = 64

func newProbe(c *Config) *probe {
	again := func(v *[]probed) { clear(*v); *v = (*v)[:0] }
	return &probe{cfg: &c.Probe, by: newTable[string, []probed](c.MaxKeys, day, again), all: newTable[string, []probed](1000, day, again),
		usual: newTable[string, usual](1000, keepHabit, nil)}
}

// noSuchNumber reports whether a final answer says that the number does not
// exist: RFC 3261 §21.4.5, §21.4.9, §21.4.18, §21.6.3.
func noSuchNumber(code int) bool { return code == 404 || code == 410 || code == 484 || code == 604 }

// withheld reports whether a caller has no number: "anonymous", "unavailable"
// and whatever else carriers write have no digits.
func withheld(from string) bool { return !strings.ContainsAny(from, "0123456789") }

func (p *probe) end(e *Engine, x *ended) {
	known := public(x.from)
	if !x.inbound || !known && !withheld(x.from) || x.refused && x.peer == "" {
		return // strangers on the Internet are limits' business
	}
	wrong := noSuchNumber(x.code) && x.answered == 0 && public(x.to)
	u := p.usual.get(x.account, e.now)
	u.add(e.now, wrong)
	if !wrong {
		return
	}
	if known {
		v := p.by.get(x.from, e.now)
		*v = note(*v, x.to, e.now, day)
		if n := since(*v, e.now-int64(p.cfg.CallerOver)); n >= p.cfg.Caller || len(*v) >= p.cfg.Slow {
			p.tell(e, x, *v, call.Subject{Kind: "from", Value: x.from}, call.Subject{}, "one caller", []call.Evidence{
				{Name: "numbers", Value: n, Threshold: p.cfg.Caller}, {Name: "numbers_in_a_day", Value: len(*v), Threshold: p.cfg.Slow}})
			u.Alarmed = true
			return
		}
		if !e.ping.stranger(x.account, x.from, e.now) {
			return // who talked to us dials an old number
		}
	}
	v := p.all.get(x.account, e.now)
	*v = note(*v, x.to, e.now, int64(p.cfg.AccountOver))
	lambda := u.expects(0, .15, 0)
	if len(*v) < p.cfg.Account || tail(len(*v), lambda) >= p.cfg.Tail {
		return
	}
	u.Alarmed = true
	account := call.Subject{Kind: "account", Value: x.account}
	subject := account
	if known {
		subject = call.Subject{Kind: "from", Value: x.from}
	}
	p.tell(e, x, *v, subject, account, "strangers together", []call.Evidence{{Name: "numbers", Value: len(*v), Threshold: p.cfg.Account},
		{Name: "expected", Value: lambda}, {Name: "chance", Value: tail(len(*v), lambda), Threshold: p.cfg.Tail}})
}

func (p *probe) tell(e *Engine, x *ended, v []probed, subject, about call.Subject, who string, why []call.Evidence) {
	e.tell(Finding{Detector: IDProbe, Action: call.NumberProbing, Severity: call.Medium, Subject: subject, about: about,
		Reason: fmt.Sprintf("%d numbers that do not exist, dialled by %s since %s: from %s to %s", len(v), who, at(v[0].At).Format(time.RFC3339), v[0].To, v[len(v)-1].To), Evidence: why}, x.running)
}

// note puts a number at the end of a list that names each once, the last
// maxProbed of those within a while.
func note(list []probed, to string, now, keep int64) []probed {
	n := 0
	for _, g := range list {
		if g.At > now-keep && g.To != to {
			list[n] = g
			n++
		}
	}
	clear(list[n:])
	list = list[:n]
	if n == maxProbed {
		copy(list, list[1:])
		list = list[:n-1]
	}
	return append(list, probed{now, to})
}

func since(list []probed, at int64) (n int) {
	for _, g := range list {
		if g.At > at {
			n++
		}
	}
	return n
}
