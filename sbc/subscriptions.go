package sbc

import (
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// subscriptionKey finds a subscription by what does not change while its far
// tag is still unknown: our own tag is ours alone.
type subscriptionKey struct {
	side        call.Side
	callID, tag string
}

type subscriptionEnd struct {
	u   *subscription
	end int
}

// subscriptions is the table of them.
type subscriptions struct {
	max, perUser int

	mu    sync.Mutex
	all   map[*subscription]struct{}
	ends  map[subscriptionKey]subscriptionEnd
	users map[string]int
}

func (t *subscriptions) init(max, perUser int) {
	t.max, t.perUser = max, perUser
	t.all = map[*subscription]struct{}{}
	t.ends = map[subscriptionKey]subscriptionEnd{}
	t.users = map[string]int{}
}

// answerTime is how long a subscription lives without an answer, and after
// its end for the last NOTIFY: longer than any transaction.
const answerTime = 40 * time.Second

// reserve takes a place in the table.
func (t *subscriptions) reserve(p *relay) (*subscription, call.Decision) {
	user := p.sender()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.all) >= t.max:
		d := no(503, "base/overload", "too many subscriptions", call.High)
		d.RetryAfter = 30 * time.Second
		return nil, d
	case p.a.PeerKind == call.Phone && t.users[user] >= t.perUser:
		return nil, no(480, "base/subscriptions-per-user", "too many subscriptions of "+user, call.Medium)
	}
	u := &subscription{g: p.g, event: p.event, user: user, expires: p.r.At.Add(answerTime)}
	t.all[u] = struct{}{}
	t.users[user]++
	return u, p.d
}

// end takes a subscription out of the table.
func (t *subscriptions) end(u *subscription) {
	if u == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.all[u]; !ok {
		return
	}
	delete(t.all, u)
	if t.users[u.user]--; t.users[u.user] <= 0 {
		delete(t.users, u.user)
	}
	for _, k := range u.keys {
		if t.ends[k].u == u {
			delete(t.ends, k)
		}
	}
}

// index makes one end findable; an older subscription of that name has been
// asked for again and is over.
func (t *subscriptions) index(u *subscription, end int, side call.Side, d *sipx.Dialog) {
	k := subscriptionKey{side, d.CallID, d.LocalTag}
	t.mu.Lock()
	old := t.ends[k].u
	if _, ok := t.all[u]; ok {
		t.ends[k] = subscriptionEnd{u, end}
		u.keys = append(u.keys, k)
	}
	t.mu.Unlock()
	if old != nil && old != u {
		t.end(old)
	}
}

func (t *subscriptions) find(side call.Side, k sipx.DialogKey) (*subscription, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.ends[subscriptionKey{side, k.CallID, k.LocalTag}]
	return e.u, e.end
}

func (t *subscriptions) len() int { t.mu.Lock(); defer t.mu.Unlock(); return len(t.all) }

// Subscriptions is the number of subscriptions that stand or are asked for.
func (g *Gateway) Subscriptions() int { return g.subs.len() }

func (t *subscriptions) expire(now time.Time) {
	t.mu.Lock()
	var all []*subscription
	for u := range t.all {
		all = append(all, u)
	}
	t.mu.Unlock()
	for _, u := range all {
		u.mu.Lock()
		gone := now.After(u.expires)
		u.mu.Unlock()
		if gone {
			t.end(u)
		}
	}
}
