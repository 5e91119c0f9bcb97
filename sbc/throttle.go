package sbc

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Registrations is how often phones register with the gateway, and the
// gateway for them with the PBX.
type Registrations struct {
	// PhoneInterval is the longest that a phone is granted; 0: as long as the
	// PBX grants.
	PhoneInterval time.Duration
	// PBXInterval is the shortest that the PBX is asked for. Above 0 the
	// refreshes of a phone are answered here until half of what the PBX
	// granted is gone.
	PBXInterval time.Duration
	Minimum     time.Duration // less is refused with 423 (RFC 3261 §10.3); 0: as the PBX says
	Rate        float64       // REGISTERs a second that go to the PBX; 0: no limit
	Queue       int           // that wait for it; 0: ten seconds' worth
	// AsGiven tells strangers what the PBX says: who may guess then learns which
	// users there are.
	AsGiven bool
}

// brief remembers the shortest interval that each PBX takes, as its 423 said:
// there are as many as PBXs.
type brief struct {
	mu    sync.Mutex
	least map[string]time.Duration
}

func (b *brief) learn(pbx string, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.least == nil {
		b.least = map[string]time.Duration{}
	}
	b.least[pbx] = min(d, maxGrant)
}

func (b *brief) of(pbx string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.least[pbx]
}

// asked is the interval that a contact asks for; -1: it leaves it to us.
func (q *registration) asked(c sipx.NameAddr) time.Duration {
	if v := c.Get("expires"); v != "" {
		return parseSeconds(v, -1)
	}
	return parseSeconds(q.r.Header("Expires"), -1)
}

// tooBrief: a contact asks for less than the minimum, and not to be let go.
func (q *registration) tooBrief() bool {
	return slices.ContainsFunc(q.contacts, func(c sipx.NameAddr) bool {
		d := q.asked(c)
		return d > 0 && d < q.g.cfg.Registrations.Minimum
	})
}

// upstream is what the PBX is asked for when a phone asks for v.
func (q *registration) upstream(p *PBX, v string) string {
	least := q.g.cfg.Registrations.PBXInterval
	d := parseSeconds(v, -1)
	if least <= 0 || d <= 0 {
		return v
	}
	d = max(d, least, q.g.brief.of(p.Name))
	return strconv.Itoa(int(d / time.Second))
}

// carried are the header fields of the request for the PBX, with the interval
// that it is asked for.
func (q *registration) carried(p *PBX) []sipx.HeaderField {
	hs := q.r.Carry(call.Inside)
	said := false
	for i, h := range hs {
		if h.Name == "Expires" {
			said = true
			hs[i].Value = q.upstream(p, h.Value)
		}
	}
	if q.g.cfg.Registrations.PBXInterval > 0 && !said && len(q.contacts) > 0 {
		hs = append(hs, sipx.HeaderField{Name: "Expires", Value: q.upstream(p, "1")})
	}
	return hs
}

// told is what a phone is told of what the PBX granted.
func (q *registration) told(c sipx.NameAddr, granted time.Duration) time.Duration {
	conf := q.g.cfg.Registrations
	d := granted
	if conf.PhoneInterval > 0 {
		d = min(d, conf.PhoneInterval)
	}
	if asked := q.asked(c); asked > 0 && conf.PBXInterval > 0 {
		d = min(d, asked)
	}
	return d
}

// late is how long after its time a phone that was told less than the PBX
// granted still counts as there: its refresh may be on the way (Timer F).
const late = 32 * time.Second

// print is what must be the same for a refresh to be answered here: Call-ID,
// and the contact with all that it says but its interval.
func (q *registration) print(c sipx.NameAddr) (sum [16]byte) {
	var b strings.Builder
	b.WriteString(q.r.CallID() + "\x00" + c.Display + "\x00" + c.URI.String())
	for _, p := range c.Params {
		if !strings.EqualFold(p.Name, "expires") {
			b.WriteString("\x00" + strings.ToLower(p.Name) + "\x01" + p.Value)
		}
	}
	full := sha256.Sum256([]byte(b.String()))
	copy(sum[:], full[:])
	return sum
}

// refresh is a REGISTER that may be answered here.
type refresh struct {
	token string
	flow  *sipx.Flow
	print [16]byte
	cseq  uint32
	at    time.Time
	want  time.Duration // 0: what it was told last time
	back  time.Time     // when its PBX was found alive again: it may have forgotten all before
	// squeezed: the PBX is busy, so it is enough that it has not forgotten.
	squeezed bool
}

// leastLeft is what the PBX must still grant for an answer while it is busy.
const leastLeft = time.Minute

// here answers a refresh in place of the PBX, if the PBX has proved this phone
// on this very connection, nothing has changed since, and the PBX's own grant
// is not half over. False: the PBX must be asked.
func (q *registration) here(squeezed bool) bool {
	g, r := q.g, q.r
	conf := g.cfg.Registrations
	if q.star || len(q.contacts) != 1 || !r.Flow.Reliable() || conf.PBXInterval <= 0 && !squeezed {
		return false
	}
	c := q.contacts[0]
	want := q.asked(c)
	if want == 0 {
		return false // it wants to be let go
	}
	if conf.PhoneInterval > 0 && (want < 0 || want > conf.PhoneInterval) {
		want = conf.PhoneInterval
	}
	x := refresh{token: g.token(q.aor, c), flow: r.Flow, print: q.print(c), cseq: r.CSeq(), at: r.At, want: max(want, 0), squeezed: squeezed}
	if was, ok := g.bindings.get(x.token, r.At); ok {
		x.back = g.peers.backSince(was.account)
	}
	b, ok := g.bindings.refresh(x)
	if !ok {
		return false
	}
	g.ids.set(r.Flow, q.aor, b.account, b.expires)
	q.a.Account = b.account
	q.taken()
	var hs []sipx.HeaderField
	for _, o := range g.bindings.of(q.aor, r.At) {
		if !o.told.After(r.At) {
			continue // late: its own refresh may be on the way
		}
		hs = append(hs, sipx.HeaderField{Name: "Contact", Value: "<" + o.contact + ">;expires=" + left(o, r.At)})
	}
	g.Counters.Refreshed.Add(1)
	g.registered(r, q.a, 200, sentCredentials(r))
	if q.tx != nil {
		q.tx.Respond(200, "", "", hs, nil)
	} else {
		r.Refuse(200, hs)
	}
	return true
}

// left is what a phone still has of what it was told, in whole seconds.
func left(b binding, now time.Time) string {
	return strconv.Itoa(max(int(b.told.Sub(now).Round(time.Second)/time.Second), 0))
}

// refresh keeps a binding for as long as the phone is told now.
func (b *bindings) refresh(x refresh) (binding, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.byToken[x.token]
	if p == nil || p.leaving || p.flow == nil || p.flow != x.flow || !p.flow.Alive() || p.print != x.print || x.cseq <= p.cseq || x.at.After(p.expires) {
		return binding{}, false
	}
	if granted := p.half.Add(p.half.Sub(p.until)); granted.Before(x.back) {
		return binding{}, false
	}
	rest := p.until.Sub(x.at)
	if !x.squeezed && !x.at.Before(p.half) || x.squeezed && rest < leastLeft {
		return binding{}, false
	}
	want := x.want
	if want == 0 {
		want = p.interval
	}
	if x.squeezed {
		want = min(want, leastLeft)
	}
	p.interval = min(want, rest.Truncate(time.Second))
	p.told = x.at.Add(p.interval)
	p.expires = earlier(p.told.Add(late), p.until)
	p.cseq, p.asked = x.cseq, x.at
	return *p, true
}

// leave marks what a registration lets go of its own connection: until the PBX has granted it anew
// nothing is answered in its place.
func (q *registration) leave(refused bool) {
	b := &q.g.bindings
	b.mu.Lock()
	defer b.mu.Unlock()
	if q.star {
		for _, p := range b.byAoR[q.aor] {
			p.leaving = p.leaving || p.flow == q.r.Flow
		}
	}
	for _, c := range q.contacts {
		if p := b.byToken[q.g.token(q.aor, c)]; p != nil && p.flow == q.r.Flow && (refused || q.asked(c) == 0) {
			p.leaving = true
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// minExpires is what a phone is told with 423: the PBX's minimum, or ours.
func (g *Gateway) minExpires(hs []sipx.HeaderField, p *PBX) []sipx.HeaderField {
	least := g.cfg.Registrations.Minimum
	for _, h := range hs {
		if h.Name == "Min-Expires" {
			if d := parseSeconds(h.Value, 0); d > 0 && p != nil {
				g.brief.learn(p.Name, d)
				least = max(least, d)
			}
		}
	}
	hs = slices.DeleteFunc(hs, func(h sipx.HeaderField) bool { return h.Name == "Min-Expires" })
	if least > 0 {
		hs = append(hs, sipx.HeaderField{Name: "Min-Expires", Value: strconv.Itoa(int(least / time.Second))})
	}
	return hs
}
