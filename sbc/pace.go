package sbc

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// pacer lets registrations go to the PBX at a rate. After a cut all phones
// come back at once; a PBX that is asked for all of them in one second loses
// most and is asked again. What is over the rate waits in two lines: phones
// that are known, and strangers, who never take a known phone's place. In a
// line everybody who waits has a turn, however many requests one of them has.
//
// It reads no clock. The gateway's goroutine in pacing takes what is due.
type pacer struct {
	mu      sync.Mutex
	rate    float64 // a second; 0: no limit
	tokens  float64 // up to a second's worth
	at      time.Time
	known   line
	strange line
	turn    int
	wake    chan struct{}
}

// strangersTurn: every so manieth turn is a stranger's, when one waits.
const strangersTurn = 5

func (p *pacer) init(rate float64, queue int) {
	if queue <= 0 {
		queue = int(10 * rate)
	}
	p.rate, p.tokens = rate, max(rate, 1)
	p.known = line{max: queue, each: maxContacts}
	// An address may be an office of two hundred phones whose power comes back.
	p.strange = line{max: max(queue/4, 1), each: max(queue/8, 1)}
	p.wake = make(chan struct{}, 1)
}

// pass reports whether something may go at once; else later is put in line,
// and full says that there was no room. key is whose turn it takes.
func (p *pacer) pass(now time.Time, key string, known bool, later func()) (atOnce, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate <= 0 {
		return true, false
	}
	p.refill(now)
	if p.known.n+p.strange.n == 0 && p.tokens >= 1 {
		p.tokens--
		return true, false
	}
	l := &p.strange
	if known {
		l = &p.known
	}
	if !l.push(key, later) {
		return false, true
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return false, false
}

func (p *pacer) refill(now time.Time) {
	if !p.at.IsZero() && now.After(p.at) {
		p.tokens = min(p.tokens+p.rate*now.Sub(p.at).Seconds(), max(p.rate, 1))
	}
	p.at = now
}

// next takes what is due. When nothing is, wait says how long it takes until
// something may be; 0: nothing waits.
func (p *pacer) next(now time.Time) (do func(), wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill(now)
	if p.known.n+p.strange.n == 0 {
		return nil, 0
	}
	if p.tokens < 1 {
		return nil, max(time.Duration((1-p.tokens)/p.rate*float64(time.Second)), time.Millisecond)
	}
	p.tokens--
	p.turn++
	first, second := &p.known, &p.strange
	if p.turn%strangersTurn == 0 {
		first, second = second, first
	}
	if do = first.pop(); do == nil {
		do = second.pop()
	}
	return do, 0
}

// retryAfter is when one for whom there was no room should come back: when
// the line may be done, spread so that they do not come at once again.
func (p *pacer) retryAfter() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := 5.0
	if p.rate > 0 {
		wait = max(wait, float64(p.known.n+p.strange.n)/p.rate)
	}
	return time.Duration((wait + rand.Float64()*(wait+10)) * float64(time.Second))
}

func (p *pacer) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known.n + p.strange.n
}

// line is a bounded queue in which keys take turns.
type line struct {
	max, each int // in all, and of one key
	n         int
	order     []string
	by        map[string][]func()
}

func (l *line) push(key string, do func()) bool {
	mine := l.by[key]
	if l.n >= l.max || len(mine) >= l.each {
		return false
	}
	if l.by == nil {
		l.by = map[string][]func(){}
	}
	if len(mine) == 0 {
		l.order = append(l.order, key)
	}
	l.by[key] = append(mine, do)
	l.n++
	return true
}

func (l *line) pop() func() {
	if l.n == 0 {
		return nil
	}
	key := l.order[0]
	l.order = l.order[1:]
	mine := l.by[key]
	do := mine[0]
	l.n--
	if mine = mine[1:]; len(mine) > 0 {
		l.by[key] = mine
		l.order = append(l.order, key)
	} else {
		delete(l.by, key)
	}
	return do
}

// pacing sends what waited when its time comes.
func (g *Gateway) pacing() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for g.ctx.Err() == nil {
		do, wait := g.pacer.next(time.Now())
		if do != nil {
			do()
			continue
		}
		if wait == 0 {
			wait = time.Hour
		}
		timer.Reset(wait)
		select {
		case <-g.ctx.Done():
		case <-g.pacer.wake:
		case <-timer.C:
		}
	}
}

// Waiting is how many registrations wait for their turn at the PBX.
func (g *Gateway) Waiting() int { return g.pacer.waiting() }

// deferred tells of registrations that there was no room for, once a minute.
func (g *Gateway) deferred(at time.Time) {
	n, now := g.Counters.Deferred.Add(1), at.Unix()
	last := g.Counters.stormed.Load()
	if now-last < 60 || !g.Counters.stormed.CompareAndSwap(last, now) {
		return
	}
	g.log.Warn("more registrations than the PBX is given; some are sent away for a while", "waiting", g.Waiting(), "rate", g.cfg.Registrations.Rate)
	g.deps.Reporter.System(call.SystemEvent{At: at, Action: call.Flood, Severity: call.Medium, Rule: "base/registration-storm",
		Reason: "more registrations than the PBX is given", Subject: call.Subject{Kind: "node", Value: g.cfg.Node},
		Evidence: []call.Evidence{{Name: "registrations.waiting", Value: g.Waiting()}, {Name: "registrations.deferred", Value: n}}})
}

// knownPhone: the connection or the address has registered this user before.
func (g *Gateway) knownPhone(r *sipx.Request, id identity, who aor) bool {
	return id.has(who) || g.bindings.knows(who, r.Flow.Remote.Addr())
}
