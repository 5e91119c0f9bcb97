package fraud

import (
	"fmt"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// guarded is a number or a block that pinged us.
type guarded struct {
	Since, Until int64
	ID           string // of the incident,
	Account      string // whose it is
	About        call.Subject
	Backs        int     // calls back
	Lost         float64 // USD that they cost
}

const maxGuard = 61 * day

// rung is a number that costs and rang for a moment.
type rung struct {
	Last    int64
	Known   bool // the users below are all that it rang
	Users   [4]uint32
	Callees [4]uint32
}

func (r *rung) add(x *ended, now, keep int64) {
	if r.Last == 0 || now-r.Last >= keep {
		*r = rung{Known: true}
	}
	r.Last = now
	r.Known = r.Known && x.user != ""
	remember(&r.Users, hash(x.user))
	remember(&r.Callees, hash(x.to))
}

// remember keeps the last four different ones.
func remember(list *[4]uint32, v uint32) {
	for _, h := range list {
		if h == v {
			return
		}
	}
	copy(list[1:], list[:3])
	list[0] = v
}

func (r *rung) callees() (n int) {
	for _, h := range r.Callees {
		if h != 0 {
			n++
		}
	}
	return n
}

// A back is a call that would be one back to a ping call.
type back struct {
	how     string
	g       *guarded // of a campaign; nil where there is none
	mild    bool     // told, never refused
	once    bool     // a single ring says so
	contact bool
	free    bool // at home, where a call back costs nothing
}

// harmless: it is told, and nothing is done about it.
func (b *back) harmless() bool { return b.mild || b.free }

// callback says whether a call to a number would be one back to a ping call.
// from and user are who calls; it changes nothing.
//
// Anybody can make calls in the name of others. So what is guarded must not
// become a weapon: numbers that this account talked to on several days before
// they pinged are told and not refused, nor is a block of numbers that cost
// little, which holds a thousand people. Nobody earns by calls to ordinary
// numbers at home: these are told and not refused, and their blocks are not
// guarded at all.
func (p *ping) callback(c *call.Attempt, class PriceClass, now int64) (back, bool) {
	return p.back(c.Account, c.User, c.From.E164(), c.To.E164(), class, now)
}

func (p *ping) back(account, user, from, to string, class PriceClass, now int64) (b back, ok bool) {
	b.contact = p.contact(account, to, now)
	b.mild = b.contact
	if g := p.guard.peek(to, now); g != nil && now < g.Until {
		b.how, b.g, b.free = "the number pinged us", g, class == Home
		return b, true
	}
	if g := p.guard.peek(block(to, 3), now); g != nil && now < g.Until && class != Home {
		b.how, b.g = "its block pinged us", g
		b.mild = b.mild || class < Elevated
		return b, true
	}
	r := p.rung.peek(userCode{account, "", to}, now)
	if r == nil || now-r.Last >= int64(p.cfg.Guard) || p.known(account, to, now) {
		return b, false
	}
	b.mild, b.once = true, true // a suspicion
	if class == Elevated && r.callees() >= 2 {
		b.how = "the number rang several of us for a moment"
		return b, true
	}
	if class.costly() && (!r.Known || has(r.Users, hash(user)) || has(r.Callees, hash(from))) {
		b.how = "the number rang this user for a moment and costs"
		return b, true
	}
	return b, false
}

func has(list [4]uint32, v uint32) bool {
	for _, h := range list {
		if h == v {
			return true
		}
	}
	return false
}

// contact reports whether an account talked to a number on several days, not
// counting today: by calls of its own, or where that costs nothing also by the
// number's, whose caller nobody vouches for.
func (p *ping) contact(account, n string, now int64) bool {
	k := userCode{account, "", n}
	return p.cfg.Contact > 0 && max(p.called.peek(k, now).before(utcDay(now)), p.heard.peek(k, now).before(utcDay(now))) >= p.cfg.Contact
}

// stranger reports whether nobody of an account talked to a number before the
// last day.
func (p *ping) stranger(account, n string, now int64) bool {
	m := p.met.peek(userNumber{account, "", n}, now)
	return (m == nil || now-*m < day) && !p.known(account, n, now)
}

// known reports whether an account called a number on any day before.
func (p *ping) known(account, n string, now int64) bool {
	return p.called.peek(userCode{account, "", n}, now).before(utcDay(now)) > 0
}

// invite takes a call to outside that begins: is it a call back?
func (p *ping) invite(e *Engine, c *running) {
	if !c.paid {
		return
	}
	b, ok := p.back(c.account, c.user, c.from, c.to, c.far.Class, e.now)
	if !ok {
		return
	}
	f := Finding{Detector: IDCallback, Action: call.PingCallCallback, Severity: call.High, Subject: call.Subject{Kind: "to", Value: c.to},
		Reason: "a call back to a ping call: " + b.how, PerMin: c.far.PerMinute}
	switch {
	case b.once:
		f.Severity = call.Medium
	case b.mild:
		f.Severity = call.Low
		f.Reason += "; it is "
		if b.contact {
			f.Reason += "a number that you talk to"
		} else {
			f.Reason += "one of many where calls cost little"
		}
		f.Reason += ", so the caller may have been forged"
	case !c.far.Class.costly():
		f.Severity = call.Medium
	}
	if g := b.g; g != nil {
		g.Backs++
		f.Related, f.Lost = []string{g.ID}, g.Lost
		f.Evidence = []call.Evidence{{Name: "calls_back", Value: g.Backs}, {Name: "pinged", Value: at(g.Since).Format(time.RFC3339)}, {Name: "guarded_until", Value: at(g.Until).Format(time.RFC3339)}}
	}
	f.Evidence = append(f.Evidence, call.Evidence{Name: "usd_per_minute", Value: c.far.PerMinute}, call.Evidence{Name: "known_contact", Value: b.contact})
	if b.harmless() {
		f.Do = []Do{} // whatever the detector does about others
	}
	id := e.tell(f, c)
	if b.g != nil && !b.harmless() && id != "" {
		p.confirm(e, b.g, c, id)
	}
}

// confirm raises the campaign's incident while it lasts: somebody was taken in.
func (p *ping) confirm(e *Engine, g *guarded, c *running, id string) {
	f := Finding{Detector: IDPing, Action: call.PingCall, Severity: call.High, about: g.About, Subject: call.Subject{Kind: "to", Value: c.to},
		Account: g.Account, Peer: c.peer, Source: c.source, CallID: c.id, From: c.from, To: c.to, User: c.user, Related: []string{id}, Lost: g.Lost,
		PerMin: c.far.PerMinute, Reason: fmt.Sprintf("confirmed: calls back: %d, the last by %s to %s", g.Backs, c.user, c.to),
		Evidence: []call.Evidence{{Name: "calls_back", Value: g.Backs, Threshold: 1}}, Numbers: []string{c.to}, Calls: []string{c.id}}
	if in := e.open.peek(f.topic(), e.now); in != nil && in.ID == g.ID && e.now-in.Last < int64(e.cfg.Incident) {
		e.tell(f, nil)
	}
}

// talked takes a call of ours that is over: what it cost, and whom we talk to.
func (p *ping) talked(e *Engine, x *ended) {
	if !public(x.to) || x.answered == 0 {
		return
	}
	g := p.guard.peek(x.to, e.now)
	if g == nil {
		g = p.guard.peek(block(x.to, 3), e.now)
	}
	switch {
	case g != nil && e.now < g.Until:
		g.Lost += x.cost(e.now)
	case x.seconds >= 10:
		p.called.get(userCode{x.account, "", x.to}, e.now).seen(utcDay(e.now), 0)
	}
}

// guards a number or block, or for longer.
func (p *ping) guards(e *Engine, what string, g guarded) {
	v := p.guard.get(what, e.now)
	if v.Until > e.now && v.ID != "" { // the first incident is the one that a call back confirms
		g.Since, g.Backs, g.Lost = v.Since, v.Backs, v.Lost
		if in := e.open.peek(topic{IDPing, v.Account, v.About}, e.now); in != nil && in.ID == v.ID && e.now-in.Last < int64(e.cfg.Incident) {
			g.ID, g.Account, g.About = v.ID, v.Account, v.About
		}
	}
	*v = g
}
