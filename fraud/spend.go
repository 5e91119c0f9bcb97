package fraud

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// SpendConfig are the parameters of spend-cap: what calls abroad and to premium
// numbers may cost within a day and night, by whom they are about. 0 is no cap.
type SpendConfig struct {
	User        float64       // USD of one user
	Peer        float64       // USD of the calls through one trunk
	Destination float64       // USD of an account's calls to one destination of the rates
	Account     float64       // USD of everybody of a PBX
	Over        time.Duration // the window that rolls; 24 h
}

// spend counts what calls cost while they are up: a budget ends at the
// millisecond at which the calls that share it have used it up, not when
// the last of them is over.
type spend struct {
	blind
	cfg    *SpendConfig
	purses *table[purseKey, spending]
	due    *alarms `fraud:"-"`
}

// purseKey is whose money it is. Only calls that were answered make one, so
// nobody fills the table who is not known to the PBX.
type purseKey struct {
	kind          purseKind
	account, name string // name: of the user, the peer, the destination
}

type purseKind uint8

const (
	ofUser purseKind = iota
	ofPeer
	ofDestination
	ofAccount
	purseKinds
)

// spending is what was spent in the window, by parts of it. What is older than
// the window leaves with the whole part it stands in: it counts for a part
// longer, never shorter.
type spending struct {
	key    purseKey
	parts  []spentIn
	at     int64   // until when the running calls are paid for
	perMin float64 // what they cost together
	calls  int     // that are up
	over   bool    // the budget was found to be used up
	place  int     `fraud:"-"` // in alarms
}

type spentIn struct {
	n   int64 // its number since 1970
	usd float64
}

// partsOf the window.
const partsOf = 96

// sameMoney is a difference that is none: sums of prices per millisecond are not
// exact to the last digit.
const sameMoney = 1e-6

func newSpend(c *Config, due *alarms) *spend {
	s := &spend{cfg: &c.Spend, due: due}
	s.purses = newTable[purseKey, spending](c.MaxKeys, int64(c.Spend.Over)+day, func(p *spending) {
		s.due.drop(&p.place)
		*p = spending{parts: p.parts[:0]}
	})
	return s
}

// cap of a purse, 0 where there is none.
func (s *spend) cap(k purseKey) float64 {
	return [purseKinds]float64{s.cfg.User, s.cfg.Peer, s.cfg.Destination, s.cfg.Account}[k.kind]
}

// keys of the purses that pay for a call.
func (c *running) purses() (out [purseKinds]purseKey) {
	return [purseKinds]purseKey{
		{ofUser, c.account, c.user}, {ofPeer, "", c.peer}, {ofDestination, c.account, c.far.Code}, {ofAccount, c.account, ""}}
}

// counts: nobody has a purse who has no name.
func (k purseKey) counts() bool { return k.name != "" || k.kind == ofAccount && k.account != "" }

// answer begins to count a call that costs.
func (s *spend) answer(e *Engine, c *running) {
	if c.paying = c.costs(); !c.paying {
		return
	}
	for _, k := range c.purses() {
		if !k.counts() {
			continue
		}
		p := s.purses.get(k, e.now)
		p.key = k
		p.pay(e.now, s.cfg.Over)
		p.calls++
		p.perMin += c.far.PerMinute
		if p.over && p.sum()+sameMoney < s.cap(k) {
			p.over = false
		}
		if p.over && s.cap(k) > 0 {
			s.spent(e, p, c, []string{c.id})
		}
		s.schedule(p)
	}
}

func (s *spend) end(e *Engine, x *ended) { s.leaves(x.running, e.now) }

// leaves stops counting it.
func (s *spend) leaves(c *running, now int64) {
	if !c.paying {
		return
	}
	c.paying = false
	for _, k := range c.purses() {
		p := s.purses.find(k, now)
		if p == nil || !k.counts() {
			continue
		}
		p.pay(now, s.cfg.Over)
		p.calls = max(0, p.calls-1)
		if p.perMin = max(0, p.perMin-c.far.PerMinute); p.calls == 0 {
			p.perMin = 0
		}
		s.schedule(p)
	}
}

// costs: calls at home to ordinary numbers use up no budget and are never ended
// for it.
func (c *running) costs() bool { return c.paid && c.far.Class != Home && !c.help }

// schedule says when the budget will be used up if nothing changes.
func (s *spend) schedule(p *spending) {
	limit := s.cap(p.key)
	left := limit - p.sum()
	if limit <= 0 || p.perMin <= 0 || p.over {
		s.due.drop(&p.place)
		return
	}
	wait := int64(min(math.Ceil(max(0, left)/p.perMin*float64(time.Minute)), float64(farOff)))
	wait = (wait + int64(time.Millisecond) - 1) / int64(time.Millisecond) * int64(time.Millisecond)
	s.due.set(alarm{at: p.at + max(wait, 0), place: &p.place, purse: p})
}

// farOff is when a budget is looked at again that is too large to end before: a
// time that fits.
const farOff = 365 * day

// ends is called when a budget should be used up now. Money that has left the
// window meanwhile makes it last longer.
func (s *spend) ends(e *Engine, p *spending) {
	p.pay(e.now, s.cfg.Over)
	if p.sum()+sameMoney < s.cap(p.key) {
		s.schedule(p)
		return
	}
	p.over = true
	s.due.drop(&p.place)
	var last *running
	var ids []string
	e.calls.each(func(c *running) {
		if c.paying && slices.Contains(keysOf(c), p.key) {
			ids = append(ids, c.id)
			if last == nil || c.answered > last.answered || c.answered == last.answered && c.id > last.id {
				last = c
			}
		}
	})
	slices.Sort(ids)
	if last == nil { // their ends were lost
		p.calls, p.perMin, p.over = 0, 0, false
		return
	}
	s.spent(e, p, last, ids)
}

func keysOf(c *running) []purseKey { k := c.purses(); return k[:] }

// spent tells that a budget is used up and asks for the end of the calls that
// would go on using it.
func (s *spend) spent(e *Engine, p *spending, c *running, ids []string) {
	sum, limit := p.sum(), s.cap(p.key)
	f := Finding{Detector: IDSpend, Action: call.SpendCap, Severity: call.High, Subject: p.key.subject(), Lost: sum, PerMin: p.perMin, Calls: ids[:min(len(ids), maxNamed)],
		Reason:   fmt.Sprintf("calls of %s have cost USD %.2f within %s, the cap is USD %.2f", p.key, sum, short(s.cfg.Over), limit),
		Evidence: []call.Evidence{{Name: "usd", Value: cents(sum), Threshold: cents(limit)}, {Name: "usd_per_minute", Value: cents(p.perMin)}, {Name: "calls_running", Value: p.calls}}}
	key := call.Key{User: c.user, Account: c.account}
	switch {
	case p.key.kind == ofPeer:
		key = call.Key{Peer: p.key.name}
	case p.key.kind != ofUser || c.user == "":
		key = call.Key{Account: p.key.account}
	}
	f.CallID = c.id
	f.Do = e.asks(&f, ids, key)
	e.tell(f, c)
}

// forgive gives the budget back that an incident is about.
func (s *spend) forgive(about topic) {
	if about.Detector != IDSpend {
		return
	}
	for k, p := range s.purses.at {
		if (k.kind == ofPeer || k.account == about.Account) && k.subject() == about.Subject {
			p.v.parts, p.v.over = p.v.parts[:0], false
			s.schedule(&p.v)
		}
	}
}

func (k purseKey) subject() call.Subject {
	switch k.kind {
	case ofUser:
		return call.Subject{Kind: "user", Value: k.name}
	case ofPeer:
		return call.Subject{Kind: "peer", Value: k.name}
	case ofDestination:
		return call.Subject{Kind: "destination", Value: k.name}
	}
	return call.Subject{Kind: "account", Value: k.account}
}

func (k purseKey) String() string {
	s := k.subject()
	return s.Kind + " " + s.Value
}

// pay counts what the running calls have cost until now, and forgets what is
// older than the window.
func (p *spending) pay(now int64, over time.Duration) {
	width := max(int64(over)/partsOf, 1)
	if p.at == 0 || p.perMin == 0 {
		p.at = max(p.at, now)
	}
	if gone := now - int64(over) - width; p.at < gone {
		p.at = gone
	}
	for p.at < now {
		n := p.at / width
		until := min(now, (n+1)*width)
		p.add(n, p.perMin*float64(until-p.at)/float64(time.Minute))
		p.at = until
	}
	for len(p.parts) > 0 && (p.parts[0].n+1)*width+int64(over) <= now {
		p.parts = slices.Delete(p.parts, 0, 1)
	}
}

func (p *spending) add(n int64, usd float64) {
	if i := len(p.parts) - 1; i >= 0 && p.parts[i].n >= n {
		p.parts[i].usd += usd
		return
	}
	p.parts = append(p.parts, spentIn{n, usd})
}

func (p *spending) sum() (usd float64) {
	for _, x := range p.parts {
		usd += x.usd
	}
	return usd
}

// level is what is spent at a time that has not been paid for yet. It changes
// nothing.
func (p *spending) level(now int64, over time.Duration) (usd float64) {
	width := max(int64(over)/partsOf, 1)
	for _, x := range p.parts {
		if (x.n+1)*width+int64(over) > now {
			usd += x.usd
		}
	}
	return usd + p.perMin*float64(max(0, now-p.at))/float64(time.Minute)
}

// used is the purse of a call that begins whose budget is used up.
func (s *spend) used(c *running, now int64) (k purseKey, usd, limit float64, ok bool) {
	if !c.costs() {
		return k, 0, 0, false
	}
	for _, k := range c.purses() {
		if limit := s.cap(k); limit > 0 && k.counts() {
			if p := s.purses.peek(k, now); p != nil {
				if usd := p.level(now, s.cfg.Over); usd+sameMoney >= limit {
					return k, usd, limit, true
				}
			}
		}
	}
	return k, 0, 0, false
}

// overspent is what is said of a call whose budget is used up.
func overspent(k purseKey, usd, limit float64, c *running) call.Decision {
	return call.Decision{Rule: IDSpend, Action: call.SpendCap, Severity: call.Medium, Subject: k.subject(),
		Reason:   fmt.Sprintf("calls of %s have cost USD %.2f, the cap is USD %.2f", k, usd, limit),
		Evidence: []call.Evidence{{Name: "usd", Value: cents(usd), Threshold: cents(limit)}, {Name: "usd_per_minute", Value: cents(c.far.PerMinute)}}}
}

func cents(usd float64) float64 { return math.Round(usd*100) / 100 }

// short writes a time without the parts that are nothing.
func short(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
