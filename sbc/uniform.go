package sbc

import (
	"strconv"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Answers that tell nothing. Whoever registers a user that it has not
// registered before learns only whether its credentials are right: a PBX that
// knows the user, one that does not and one that takes no wrong password twice
// look the same, in code, header fields and time.
//
// Where the PBX refuses, the sender gets a challenge. It is the PBX's own, for
// only the PBX can make one that looks like its others: it is asked for it in
// the name of a user that it is known to challenge (a query, which changes
// nothing there). All answers to such senders but a good one leave at the next
// step of a clock that begins with the request; a step is about twice as long
// as the PBX has taken of late.
//
// A phone gets the PBX's own words where it, or its address, has registered
// that user before.

// maxHeld bounds the registrations whose answers wait for their time. Beyond it
// strangers are sent away with 503 before the PBX is asked, so that even then
// the answer tells nothing.
const maxHeld = 4096

// A step is never shorter, as a PBX next door answers in less, nor longer.
const (
	leastStep = 10 * time.Millisecond
	mostStep  = 2 * time.Second
)

// tells reports an answer to a registration that may say something about the
// user. Others are about the message, or about the PBX.
func tells(code int) bool {
	switch code {
	case 400, 401, 407, 411, 413, 414, 415, 416, 420, 421, 423, 429, 439, 494:
		return false
	}
	return code >= 300 && code < 500 || code >= 600
}

// evenClock says when strangers are answered.
type evenClock struct {
	mu      sync.Mutex
	most    int // answers that may wait; 0: maxHeld
	waiting int
	slowest [2]time.Duration // of this round of answers, of the one before
	n       int
}

// round is how many answers of the PBX make a round.
const round = 64

// took notes how long an answer took to get.
func (e *evenClock) took(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.n++; e.n >= round {
		e.n, e.slowest = 0, [2]time.Duration{0, e.slowest[0]}
	}
	e.slowest[0] = max(e.slowest[0], d)
}

// step is the time between two moments at which strangers are answered.
func (e *evenClock) step() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return min(max(2*max(e.slowest[0], e.slowest[1]), leastStep), mostStep)
}

// wait is how long an answer that is ready waits; past is the age of its request.
func (e *evenClock) wait(past time.Duration) time.Duration {
	s := e.step()
	return s - max(past, 0)%s
}

func (e *evenClock) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	most := e.most
	if most == 0 {
		most = maxHeld
	}
	if e.waiting >= most {
		return false
	}
	e.waiting++
	return true
}

func (e *evenClock) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting--
}

// decoys are users that PBXs are known to challenge, one of each.
type decoys struct {
	mu sync.Mutex
	by map[string]decoy
}

type decoy struct {
	who    aor
	proven bool // it has registered: it does exist
}

func (k *decoys) of(pbx string) (aor, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d, ok := k.by[pbx]
	return d.who, ok
}

// learn takes one that is better known than the one there is.
func (k *decoys) learn(pbx string, who aor, proven bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d, ok := k.by[pbx]; ok && (d.proven || !proven) {
		return
	}
	if k.by == nil {
		k.by = map[string]decoy{}
	}
	k.by[pbx] = decoy{who, proven}
}

// forget takes one out that is not challenged any more.
func (k *decoys) forget(pbx string, who aor) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.by[pbx].who == who {
		delete(k.by, pbx)
	}
}

// strange: the sender is told nothing but whether its credentials are right.
func (g *Gateway) strange(r *sipx.Request, id identity, who aor) bool {
	shown := g.checks() && r.Proven // his password
	return !g.cfg.Registrations.AsGiven && !shown && !g.knownPhone(r, id, who)
}

// hold takes the place in which a stranger's answer will wait; false: there is
// none, and it was sent away.
func (q *registration) hold() bool {
	if !q.strange {
		return true
	}
	if q.g.even.enter() {
		q.held = true
		return true
	}
	q.g.deferred(q.r.At)
	q.g.registered(q.r, q.a, 503, sentCredentials(q.r))
	q.tx.Respond(503, "", "", []sipx.HeaderField{{Name: "Retry-After", Value: strconv.Itoa(int(q.g.pacer.retryAfter().Seconds()))}}, nil)
	return false
}

// respond answers, and gives the place back.
func (q *registration) respond(code int, hs []sipx.HeaderField) {
	if q.held {
		q.held = false
		q.g.even.leave()
	}
	q.tx.Respond(code, "", "", hs, nil)
}

// finish tells the outcome and answers: a stranger that is not taken at the
// next step of the clock.
func (q *registration) finish(code int, hs []sipx.HeaderField, credentials string) {
	hs = withoutContent(hs)
	if !q.held || code < 300 {
		q.g.registered(q.r, q.a, code, credentials)
		q.respond(code, hs)
		return
	}
	now := time.Now()
	q.g.even.took(now.Sub(q.sent))
	wait := q.g.even.wait(now.Sub(q.r.At))
	then := *q.a
	then.At = now.Add(wait) // a challenge that has not left was not left unanswered
	q.g.registered(q.r, &then, code, credentials)
	time.AfterFunc(wait, func() { q.respond(code, hs) })
}

// disguise answers a stranger that the PBX refused: with a challenge that the
// PBX makes for somebody else.
func (q *registration) disguise(p *PBX, credentials string) {
	who, ok := q.g.decoys.of(p.Name)
	if !ok {
		who, ok = q.g.bindings.registeredAt(p.Name)
	}
	if !ok {
		q.challenge(p, credentials)
		return
	}
	// It may be the very user whose password was wrong: without credentials he is
	// challenged as ever, and is not lost as a decoy by being guessed at.
	o := &sipx.Out{Method: "REGISTER", URI: "sip:" + who.domain, MaxForwards: 70}
	self := nameAddr("", "sip:"+escapeUser(who.user)+"@"+who.domain)
	for _, h := range [][2]string{{"From", self + ";tag=" + newID()[:16]}, {"To", self}, {"Call-ID", newID()}, {"CSeq", "1 REGISTER"}} {
		o.Headers = append(o.Headers, sipx.HeaderField{Name: h[0], Value: h[1]})
	}
	_, err := q.g.stack.Send(q.out, o, func(out sipx.Outcome) {
		switch {
		case out.Err == nil && out.Res.Code() < 200:
		case out.Err == nil && (out.Res.Code() == 401 || out.Res.Code() == 407):
			q.finish(out.Res.Code(), q.g.passChallenge(q.r, p.Name, tidyReasons(out.Res.Carry(call.Public))), credentials)
		default:
			q.g.decoys.forget(p.Name, who)
			q.challenge(p, credentials)
		}
	})
	if err != nil {
		q.challenge(p, credentials)
	}
}

// challenge answers with a challenge of ours: nobody is known whom the PBX
// challenges.
func (q *registration) challenge(p *PBX, credentials string) {
	realm := q.g.realms.of(p.Name)
	if realm == "" {
		realm = q.aor.domain
	}
	q.finish(401, sipx.Challenges(401, realm, q.g.newNonce(q.r), q.r.Proven, q.g.algorithms(realm)...), credentials)
}
