// Package ratelimit answers: is this one too many?
//
// [Engine] is a guard over the `limits:` of the policy and of the peers. It
// counts requests over time, failed attempts and calls in progress, each per
// whatever a limit names: a source address, a user, a peer, or all together.
// [Gate] is its small sister in front of the parser: it counts datagrams and
// connections of strangers by address, before anybody has read a byte.
//
// It does not read policy files (package policy does), does not ban and does
// not touch the kernel.
//
// The engine owns all its state and may be asked from any goroutine. What an
// attacker can name (addresses, user names) is kept in tables of fixed size
// that forget strangers before anybody known; see [Caps]. Time is the
// attempt's own. Counts live in memory; those of failures can be kept over a
// restart, see [Engine.Kept]. A table that is full refuses strangers and never the known.
//
// Start reading at [Engine.Judge].
package ratelimit

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/rampart-sbc/rampart/call"
)

// Caps bound the memory of an Engine. Zero fields take the defaults.
type Caps struct {
	Keys  int // keys of rates and of failures: 65536; 32 bytes each, three tables
	Peers int // peers with a rate of their own: 4096
	Calls int // calls that are counted at a time: 100000; beyond it new ones are refused
	// Values that are counted by being different: 131072, 16 to 32 bytes each
	// and about 100 for each key. One limit and key have at most 10000.
	Values int
	Seed   Seed // of the hashes of keys; zero: a new one
}

func (c Caps) defaults() Caps {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.Keys, 65_536)
	def(&c.Peers, 4096)
	def(&c.Calls, 100_000)
	def(&c.Values, 131_072)
	if c.Seed == (Seed{}) {
		c.Seed = newSeed()
	}
	return c
}

// retryTime is how long an answer to a challenge is taken for the second half
// of the attempt that was challenged: Timer B of RFC 3261.
const retryTime = int64(32 * time.Second)

// Engine is one set of limits over counts. It is immutable but for the counts,
// which all engines that [Engine.With] made of one another share: a reload
// makes a new one beside the old, and whoever holds one is judged by all of it
// and by nothing else.
type Engine struct {
	*counts
	limits []*limit // in the order of asking
}

// counts are what outlives a reload.
type counts struct {
	caps     Caps
	seed     Seed
	outcomes atomic.Uint64 // that changed something; see [Engine.Changes]
	rates    *table
	failures *table
	retries  *table // attempts that may come back with credentials
	shared   shared
	calls    gauges
	values   sets
	tries    sets // failed attempts, and challenges that wait for their answer
}

// New makes an engine. The error names the limit that cannot be counted.
func New(limits []Limit, caps Caps) (*Engine, error) {
	caps = caps.defaults()
	c := &counts{caps: caps, seed: caps.Seed, rates: newTable(caps.Keys), failures: newTable(caps.Keys),
		retries: newTable(caps.Keys)}
	c.shared.limiters = map[sharedKey]*rate.Limiter{}
	c.calls.init(caps.Calls)
	c.values.init(caps.Values)
	c.tries.init(caps.Values)
	return (&Engine{counts: c}).With(limits)
}

// With makes an engine of other limits over the same counts. A limit goes on
// counting where one of the same id and key was; calls in progress stay
// counted. The engine it was asked of is unchanged.
func (e *Engine) With(limits []Limit) (*Engine, error) {
	ls := make([]*limit, 0, len(limits))
	for _, l := range limits {
		if err := l.check(); err != nil {
			return nil, fmt.Errorf("rate limits: %w", err)
		}
		x := &limit{Limit: l}
		h := newHasher(e.seed)
		h.text(l.ID)
		for i, k := range l.Key {
			p := keyParts[k]
			if l.expr(i) != nil {
				p = computed
				h.text("cel")
			}
			x.parts = append(x.parts, p)
			h.text(k)
		}
		if l.Distinct > 0 {
			h.text("of " + l.Of)
		}
		x.salt = h.sum()
		if l.Rate > 0 {
			x.every = max(1, int64(float64(time.Second)/l.Rate))
		}
		if l.Leak > 0 {
			x.every = max(1, int64(float64(time.Second)/l.Leak))
			h.text("leak")
			x.salt = h.sum()
		}
		switch {
		case l.Failures > 0 || l.Unanswered:
			x.order = 0
		case l.Concurrent > 0:
			x.order = 3
		case x.shared():
			x.order = 2
		default:
			x.order = 1
		}
		ls = append(ls, x)
	}
	slices.SortStableFunc(ls, func(a, b *limit) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.later(), b.later()))
	})
	return &Engine{counts: e.counts, limits: ls}, nil
}

// later: rates are asked after different values, so that who is over his rate
// is seen to ask for one after the other all the same.
func (l *limit) later() int {
	if l.order == 1 && l.Rate > 0 {
		return 1
	}
	return 0
}

// shared reports a limit whose budget many senders use together: one for all,
// or one for a peer.
func (l *limit) shared() bool {
	return len(l.parts) == 0 || len(l.parts) == 1 && l.parts[0] == peer
}

// Name implements the guard.
func (e *Engine) Name() string { return "limits" }

// Judge counts a request and refuses what is too much. It abstains otherwise.
//
// Limits are asked in this order: failures, rates and different values of
// single senders, shared ones, calls. Once one has refused, the shared ones are
// not asked, so that somebody who is over his own budget does not use up
// everybody's; a refused call is not counted as a call in progress. Shadow
// refusals are in Also.
//
// An attempt that answers a challenge is the same attempt as the one that was
// challenged, and further passes of a call are the same call: both are counted
// once. It allocates nothing when it abstains and no calls are counted.
func (e *Engine) Judge(a *call.Attempt) call.Decision {
	if a.Emergency() {
		return call.Decision{}
	}
	return e.judge(a, e.limits, false, nil)
}

// JudgeCounting is Judge that also tells what each limit compared. At most
// maxCounts of them, the limits that refused among them, are kept.
func (e *Engine) JudgeCounting(a *call.Attempt) (d call.Decision, counts []call.Count) {
	if a.Emergency() {
		return d, nil
	}
	n := notes{list: make([]call.Count, 0, 4)} // never nil: it was asked
	d = e.judge(a, e.limits, false, &n)
	return d, n.list
}

// JudgeRoute counts a call towards a peer by the peer's own limits: those
// keyed by peer alone. Give the slot back with [Engine.LeaveRoute] when the
// call goes elsewhere instead; [Engine.Done] gives back all.
func (e *Engine) JudgeRoute(a *call.Attempt, name string) call.Decision {
	if a.Emergency() {
		return call.Decision{}
	}
	out := *a
	out.Peer, out.PeerKind = name, call.Carrier
	return e.judge(&out, e.limits, true, nil)
}

func (e *Engine) judge(a *call.Attempt, limits []*limit, route bool, told *notes) (d call.Decision) {
	now, known := a.At.UnixNano(), a.PeerKind != call.Stranger || a.Source.Registered
	free, asked, counted := false, false, false
	refuse := func(l *limit, a *call.Attempt, name string, value any, wait time.Duration) {
		got := l.decide(a, name, value, wait)
		d.Trace = append(d.Trace, l.ID)
		if l.Shadow {
			d.Also = append(d.Also, got)
			return
		}
		effects := append(d.Effects, got.Effects...)
		if got.Verdict > d.Verdict {
			got.Trace, got.Also = d.Trace, d.Also
			d = got
		}
		d.Effects = effects
	}
	for _, l := range limits {
		if route && !(len(l.parts) == 1 && l.parts[0] == peer) || !l.Match(a) {
			continue
		}
		if !l.Shadow && d.Verdict >= l.strictest() || d.Verdict > call.Abstain && l.order > 1 {
			continue // it could not make it stricter, or would take from others
		}
		key, ok := l.key(e.seed, a, "")
		if !ok {
			continue
		}
		switch {
		case l.Failures > 0 || l.Unanswered:
			n, over, wait := e.guessed(l, key, a, now, known)
			told.add(l, n, over)
			if over {
				refuse(l, a, l.counts(), int(n), wait)
			} else if n, wait := e.guessedAs(l, a, now, told); n > 0 {
				of := *a
				of.RegisterUser = a.Guessed()
				refuse(l, &of, l.counts(), int(n), wait)
			}
		case l.Rate > 0:
			if !asked {
				asked = true
				free = !route && e.comesBack(a, now)
			}
			if free || a.Pass > 1 && !slices.Contains(l.parts, peer) {
				continue
			}
			counted = true
			ok, wait := e.takeRate(l, key, a, now, known)
			if told != nil {
				told.add(l, e.used(l, key, a, now), !ok)
			}
			if !ok {
				refuse(l, a, "wait_ms", time.Duration(wait).Milliseconds(), time.Duration(wait))
			}
		case l.Distinct > 0:
			if route || a.Pass > 1 && !slices.Contains(l.parts, peer) {
				continue // of the call, not of its passes
			}
			if value, ok := l.value(e.seed, a); ok {
				n, ok, wait := e.values.add(key, value, now, int64(l.Over), l.Distinct, known)
				told.add(l, int64(n), !ok)
				if !ok {
					refuse(l, a, l.Of+".different", n, wait)
				}
			}
		case a.ID != "":
			n, ok := e.calls.fits(l, key, a.ID)
			told.add(l, int64(n), !ok)
			if !ok {
				refuse(l, a, "calls", n, 0)
			}
		}
	}
	if d.Verdict > call.Abstain {
		return d
	}
	if counted && !route && a.AuthUser == "" && (a.Method == "REGISTER" || a.Method == "INVITE") {
		e.retries.add(e.retry(a), now, retryTime, known)
	}
	return e.hold(a, limits, route, d, told)
}

// hold counts an admitted call as in progress. Whether it fits was asked
// before without holding the lock, so it is asked again with it: of two calls
// that race for the last slot one is refused.
func (e *Engine) hold(a *call.Attempt, limits []*limit, route bool, d call.Decision, told *notes) call.Decision {
	if a.Method != "INVITE" || a.ID == "" || len(limits) == 0 || limits[len(limits)-1].order != 3 {
		return d
	}
	var buf [8]slotOf
	want := buf[:0]
	for _, l := range limits {
		if l.order != 3 || route && !(len(l.parts) == 1 && l.parts[0] == peer) || !l.Match(a) {
			continue
		}
		if key, ok := l.key(e.seed, a, ""); ok {
			want = append(want, slotOf{l, key})
		}
	}
	if len(want) == 0 {
		return d
	}
	l, n, full := e.calls.acquire(a.ID, want)
	switch {
	case l != nil:
		told.add(l, int64(n), true)
		got := l.decide(a, "calls", n, 0)
		got.Also, got.Trace, got.Effects = d.Also, append(d.Trace, l.ID), append(d.Effects, got.Effects...)
		return got
	case full:
		return call.Decision{Verdict: call.Reject, Status: 503, Rule: "limits/calls-counted", Severity: call.Critical,
			Reason: "as many calls are counted as there is room for: " + strconv.Itoa(n), Action: call.CallRejected,
			Subject: call.Subject{Kind: "account", Value: a.Account}, RetryAfter: 10 * time.Second, Also: d.Also, Effects: d.Effects,
			Trace: append(d.Trace, "limits/calls-counted"), Evidence: []call.Evidence{{Name: "calls", Value: n, Threshold: n}}}
	}
	return d
}

// failedBefore is the key of an attempt of a user that has failed.
func (e *Engine) failedBefore(a *call.Attempt) uint64 {
	h := newHasher(e.seed)
	h.word(e.retry(a))
	h.text(a.RegisterUser)
	return h.sum()
}

// retry is the key of an attempt that may come back with credentials.
func (e *Engine) retry(a *call.Attempt) uint64 {
	h := newHasher(e.seed)
	h.octets(a.Source.Addr.Addr().As16())
	h.word(uint64(a.Side))
	h.text(a.Method)
	h.text(a.SIPCallID)
	return h.sum()
}

// Done ends the counting of a call, by our id of it. It may be called more
// than once and for calls that were never counted.
func (e *Engine) Done(callID string) { e.calls.release(callID, nil) }

// LeaveRoute gives back what [Engine.JudgeRoute] counted for one peer.
func (e *Engine) LeaveRoute(callID, name string) {
	a := &call.Attempt{Method: "INVITE", Peer: name, PeerKind: call.Carrier}
	var keys []uint64
	for _, l := range e.limits {
		if l.order == 3 && len(l.parts) == 1 && l.parts[0] == peer {
			if key, ok := l.key(e.seed, a, ""); ok {
				keys = append(keys, key)
			}
		}
	}
	if keys != nil {
		e.calls.release(callID, keys)
	}
}

// Stats is the state of an Engine in numbers.
type Stats struct {
	RateKeys, FailureKeys int // live ones
	Capacity              int // keys each of the two has room for
	Calls                 int // that are counted
	Places                int // of keys, under limits of calls at a time
	Values                int // that are counted by being different, failed ones too
}

// Stats walks the tables; ask at most a few times a minute.
func (e *Engine) Stats(now time.Time) Stats {
	calls, places := e.calls.count()
	return Stats{RateKeys: e.rates.live(now.UnixNano()), FailureKeys: e.failures.live(now.UnixNano()),
		Capacity: e.rates.cap(), Calls: calls, Places: places, Values: e.values.count() + e.tries.count()}
}

// shared holds the budgets that many use together: few, named in the
// configuration, so each may be a limiter of its own.
type shared struct {
	mu       sync.Mutex
	limiters map[sharedKey]*rate.Limiter
}

type sharedKey struct {
	salt uint64
	peer string
}

// takeRate takes one request from a budget.
func (e *Engine) takeRate(l *limit, key uint64, a *call.Attempt, now int64, known bool) (ok bool, wait int64) {
	if l.shared() {
		k := sharedKey{salt: l.salt}
		if len(l.parts) > 0 {
			k.peer = a.Peer
		}
		if lim := e.shared.limiter(l, k, e.caps.Peers, a.At); lim != nil {
			return lim.AllowN(a.At, 1), l.every
		}
	}
	return e.rates.take(key, now, l.every, int64(l.Burst), 1, known)
}

// limiter returns the budget of a key, nil when there are too many: then the
// table serves.
func (s *shared) limiter(l *limit, k sharedKey, most int, now time.Time) *rate.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	lim := s.limiters[k]
	if lim == nil {
		if len(s.limiters) >= most {
			return nil
		}
		lim = rate.NewLimiter(rate.Limit(l.Rate), l.Burst)
		s.limiters[k] = lim
	}
	if lim.Limit() != rate.Limit(l.Rate) || lim.Burst() != l.Burst { // reloaded
		lim.SetLimitAt(now, rate.Limit(l.Rate))
		lim.SetBurstAt(now, l.Burst)
	}
	return lim
}
