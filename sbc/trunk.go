package sbc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/digest"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// TrunkAccount is how we register with a carrier (RFC 3261 §10), and what its
// challenges are answered with.
type TrunkAccount struct {
	Credentials digest.Credentials
	Contact     string        // user of our Contact; "" = the credentials' user
	Expires     time.Duration // asked for; 0 = 1 h
	Retry       time.Duration // the first pause after a failure; 0 = 30 s
}

// TrunkState is where a registration stands.
type TrunkState struct {
	Registered bool
	Since      time.Time // of this state
	Expires    time.Time // while it is registered
	Reason     string    // why it is not
}

// trunk owns the registration with one carrier. Its goroutine is the only
// writer; what others see is under mu.
type trunk struct {
	g      *Gateway
	p      *Peer
	nonces nonces

	mu    sync.Mutex
	state TrunkState
	tried bool
	flow  *sipx.Flow // that the registration went over
	lost  chan struct{}

	callID, tag string
	seq         uint32
	expires     time.Duration
}

func newTrunk(g *Gateway, p *Peer) *trunk {
	t := &trunk{g: g, p: p, lost: make(chan struct{}, 1), callID: sipx.NewCallID(), tag: sipx.NewTag()}
	if r := p.Register; r != nil {
		t.expires = r.Expires
		if t.expires == 0 {
			t.expires = time.Hour
		}
	}
	return t
}

// Bounds of RFC 5626 §4.5 and our own.
const (
	retryFirst    = 30 * time.Second
	retryMost     = 30 * time.Minute
	refusedFactor = 10 // credentials that are refused are tried ten times less
	maxExpires    = 24 * time.Hour
	minRefresh    = 5 * time.Second
)

// pause is how long to wait after so many failures in a row: doubling, with
// half of it by chance, so that a carrier that comes back is not overrun.
func pause(first time.Duration, failures int, refused bool, n func(int64) int64) time.Duration {
	if first <= 0 {
		first = retryFirst
	}
	if refused {
		first *= refusedFactor
	}
	d := first
	for range min(failures-1, 20) {
		d = min(2*d, retryMost)
	}
	d = min(d, max(retryMost, first))
	return d/2 + time.Duration(n(int64(d/2)+1))
}

// refreshIn is when to register again: well before the end, and not all at once.
func refreshIn(granted time.Duration, n func(int64) int64) time.Duration {
	d := granted * 8 / 10
	return max(d-time.Duration(n(int64(d/10)+1)), min(minRefresh, granted/2))
}

// errRefused: the carrier knows us not, or not with this password.
var errRefused = errors.New("the carrier refuses our credentials")

// run keeps the registration until the gateway ends, and takes it back then.
func (t *trunk) run() {
	for failures := 0; ; {
		granted, err := t.register(t.g.ctx, t.expires)
		if t.g.ctx.Err() != nil {
			return
		}
		t.note(granted, err)
		wait := refreshIn(granted, rand.Int64N)
		if err != nil {
			failures++
			wait = pause(t.p.Register.Retry, failures, errors.Is(err, errRefused), rand.Int64N)
		} else {
			failures = 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-t.g.ctx.Done():
			timer.Stop()
			return
		case <-t.lost:
			timer.Stop() // the connection is gone, and calls to us with it
			if err != nil {
				continue
			}
			select {
			case <-t.g.ctx.Done():
				return
			case <-time.After(time.Duration(rand.Int64N(int64(time.Second)))):
			}
		case <-timer.C:
		}
	}
}

// leave takes the registration back; the carrier need not call us any more.
func (t *trunk) leave(ctx context.Context) {
	t.mu.Lock()
	up := t.state.Registered
	t.mu.Unlock()
	if !up {
		return
	}
	if _, err := t.register(ctx, 0); err != nil {
		t.g.log.Warn("registration not taken back", "peer", t.p.Name, "error", err)
	}
}

// register goes through one registration: challenge, 423, the other targets.
func (t *trunk) register(ctx context.Context, expires time.Duration) (granted time.Duration, err error) {
	err = fmt.Errorf("%s: no address known", t.p.Name)
	for _, r := range t.g.peers.each([]route{{kind: call.Carrier, peer: t.p}}, time.Now()) {
		if !r.at.Addr.IsValid() {
			continue
		}
		granted, err = t.registerAt(ctx, r, expires)
		if err == nil || ctx.Err() != nil || errors.Is(err, errRefused) {
			return granted, err
		}
	}
	return 0, err
}

func (t *trunk) registerAt(ctx context.Context, r route, expires time.Duration) (time.Duration, error) {
	f, connect := t.g.flow(r)
	if f == nil {
		cctx, cancel := context.WithTimeout(ctx, 6*time.Second)
		defer cancel()
		var err error
		if f, err = connect(cctx); err != nil {
			return 0, err
		}
	}
	o := t.request(f, expires)
	answers, raised := 0, false
	for {
		res, err := t.ask(ctx, f, o)
		if err != nil {
			return 0, err
		}
		switch code := res.Code(); {
		case code < 300:
			t.mu.Lock()
			t.flow = f
			t.mu.Unlock()
			return t.granted(res, expires), nil
		case code == 401 || code == 407:
			t.seq++
			n, ok := t.g.authorised(t.g.credit(t.p), o, res, t.seq, answers)
			if !ok {
				return 0, fmt.Errorf("%w (%d)", errRefused, code)
			}
			o, answers = n, answers+1
		case code == 423 && !raised && expires > 0:
			least, err := strconv.ParseUint(res.Header("Min-Expires"), 10, 32)
			if err != nil || time.Duration(least)*time.Second > maxExpires {
				return 0, fmt.Errorf("423 with Min-Expires %.20q", res.Header("Min-Expires"))
			}
			expires, raised, answers = time.Duration(least)*time.Second, true, 0
			t.expires = max(t.expires, expires)
			o = t.request(f, expires)
		case code == 403 || code == 404:
			return 0, fmt.Errorf("%w (%d)", errRefused, code)
		default:
			return 0, fmt.Errorf("the carrier answers %d", code)
		}
	}
}

// request is a REGISTER of ours.
func (t *trunk) request(f *sipx.Flow, expires time.Duration) *sipx.Out {
	t.seq++
	host, c := uriHost(t.p.Host), t.p.Register
	us := "<" + sipURI(c.Credentials.User, host) + ">"
	return &sipx.Out{Method: "REGISTER", URI: "sip:" + host, Headers: []sipx.HeaderField{
		{Name: "From", Value: us + ";tag=" + t.tag}, {Name: "To", Value: us}, {Name: "Call-ID", Value: t.callID},
		{Name: "CSeq", Value: strconv.FormatUint(uint64(t.seq), 10) + " REGISTER"},
		{Name: "Contact", Value: "<" + f.ContactURI(t.contact()) + ">"},
		{Name: "Expires", Value: strconv.Itoa(int(expires / time.Second))},
		{Name: "Allow", Value: sipx.Allow},
	}}
}

func (t *trunk) contact() string {
	if c := t.p.Register.Contact; c != "" {
		return c
	}
	return t.p.Register.Credentials.User
}

// ask sends one REGISTER and waits for its final answer.
func (t *trunk) ask(ctx context.Context, f *sipx.Flow, o *sipx.Out) (*sipx.Response, error) {
	done := make(chan sipx.Outcome, 1)
	if _, err := t.g.stack.Send(f, o, func(out sipx.Outcome) {
		if out.Err != nil || out.Res.Code() >= 200 {
			select {
			case done <- out:
			default:
			}
		}
	}); err != nil {
		return nil, err
	}
	select {
	case out := <-done:
		return out.Res, out.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// granted is for how long; the carrier may list other contacts beside ours.
func (t *trunk) granted(res *sipx.Response, asked time.Duration) time.Duration {
	d := parseSeconds(res.Header("Expires"), asked)
	cs, _ := res.Contacts()
	for _, c := range cs {
		if c.URI.User == t.contact() {
			d = parseSeconds(c.Get("expires"), d)
		}
	}
	return min(d, maxExpires)
}

// note publishes the outcome; a change is told.
func (t *trunk) note(granted time.Duration, err error) {
	now := time.Now()
	if err == nil && granted <= 0 {
		err = errors.New("the carrier grants no time")
	}
	t.mu.Lock()
	first, was, why := !t.tried, t.state.Registered, t.state.Reason
	t.tried = true
	if first || was != (err == nil) {
		t.state.Since = now
	}
	t.state.Registered, t.state.Reason, t.state.Expires = err == nil, "", now.Add(granted)
	if err != nil {
		t.state.Reason, t.state.Expires = err.Error(), time.Time{}
	}
	reason := t.state.Reason
	t.mu.Unlock()
	e := call.SystemEvent{At: now, Subject: call.Subject{Kind: "peer", Value: t.p.Name}}
	switch {
	case err != nil && (first || was || why != reason):
		t.g.log.Error("not registered with the carrier", "peer", t.p.Name, "error", err)
		e.Action, e.Severity, e.Rule, e.Reason = call.TrunkLost, call.High, "base/trunk-lost", "not registered with "+t.p.Name+": "+reason
		t.g.deps.Reporter.System(e)
	case err == nil && (first || !was):
		t.g.log.Info("registered with the carrier", "peer", t.p.Name, "expires", granted)
		e.Action, e.Severity, e.Rule, e.Reason = call.TrunkRegistered, call.Info, "base/trunk-registered", "registered with "+t.p.Name
		if !first {
			t.g.deps.Reporter.System(e)
		}
	}
}

// closed is told of every connection that ended.
func (t *trunk) closed(f *sipx.Flow) {
	t.mu.Lock()
	ours := t.flow == f
	t.mu.Unlock()
	if ours {
		select {
		case t.lost <- struct{}{}:
		default:
		}
	}
}

// holds: calls that come from where we are registered are the carrier's, where
// nothing else identifies it. Over UDP that is by address, as for any peer.
func (t *trunk) holds(f *sipx.Flow) bool {
	t.mu.Lock()
	up := t.state.Registered && time.Now().Before(t.state.Expires)
	t.mu.Unlock()
	if !up || f.Reliable() {
		return false // our own connection is known by who opened it
	}
	t.g.peers.mu.RLock()
	defer t.g.peers.mu.RUnlock()
	return t.g.peers.found[hopKey(call.Carrier, t.p.Name)].Has(f.Remote.Addr())
}

// leaveTrunks takes every registration back, in a second or two.
func (g *Gateway) leaveTrunks() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, t := range g.trunks {
		if t.p.Register != nil {
			wg.Go(func() { t.leave(ctx) })
		}
	}
	wg.Wait()
}

// Trunks tells where each registration with a carrier stands, by peer.
func (g *Gateway) Trunks() map[string]TrunkState {
	out := map[string]TrunkState{}
	for name, t := range g.trunks {
		if t.p.Register != nil {
			t.mu.Lock()
			out[name] = t.state
			t.mu.Unlock()
		}
	}
	return out
}
