package sbc

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// calls finds sessions (by dialog, by attempt) and joins the passes of one
// call. Entries exist only for attempts that were admitted; their number is
// Config.MaxCalls at most.
type calls struct {
	mu       sync.Mutex
	attempts map[attemptKey]*session
	dialogs  map[dialogKey]dialogEnd
	all      map[*session]struct{}
	callers  map[*sipx.Flow]map[*session]struct{} // calls that are being set up, by the caller's connection
	groups   map[string]*group                    // by our call id, while a pass lives
	inside   map[string]*group                    // by Call-ID we use towards the inside
	sessID   map[string]*group                    // by Session-ID we sent inside
	recent   map[recentKey]recent                 // user and number, 5 s
	circles  circles
	wg       sync.WaitGroup
}

// attemptKey is one attempt: a 401/407 and its answer share it. The
// Request-URI is part of it: a PBX forks with one Call-ID and From tag, and an
// answer to a challenge that dials another number is another attempt.
type attemptKey struct {
	side                 call.Side
	callID, fromTag, uri string
}

// dialogKey is side and dialog; the role is in which tag is ours.
type dialogKey struct {
	side call.Side
	sipx.DialogKey
}

type dialogEnd struct {
	s   *session
	leg b2bua.Leg
}

type recentKey struct{ user, number string }

type recent struct {
	g  *group
	at time.Time
}

// joinWindow: INTERFACE, decision 2.
const joinWindow = 5 * time.Second

func (c *calls) init() {
	c.attempts = map[attemptKey]*session{}
	c.dialogs = map[dialogKey]dialogEnd{}
	c.all = map[*session]struct{}{}
	c.callers = map[*sipx.Flow]map[*session]struct{}{}
	c.groups = map[string]*group{}
	c.inside = map[string]*group{}
	c.sessID = map[string]*group{}
	c.recent = map[recentKey]recent{}
	c.circles = circles{in: map[lap][]int64{}, out: map[string][]int64{}, full: map[string]struct{}{}}
}

func (c *calls) live() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

func (c *calls) sessions() (out []*session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.all {
		out = append(out, s)
	}
	return out
}

func (c *calls) wait() { c.wg.Wait() }

// comes notes the connection that a call's INVITE came over; leaves forgets
// it. UDP has none.
func (c *calls) comes(s *session, f *sipx.Flow) {
	if !f.Reliable() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.callers[f] == nil {
		c.callers[f] = map[*session]struct{}{}
	}
	c.callers[f][s] = struct{}{}
}

func (c *calls) leaves(s *session, f *sipx.Flow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.callers[f], s)
	if len(c.callers[f]) == 0 {
		delete(c.callers, f)
	}
}

// closed tells the calls that came over a connection that it is gone.
func (c *calls) closed(f *sipx.Flow) {
	c.mu.Lock()
	var lost []*session
	for s := range c.callers[f] {
		lost = append(lost, s)
	}
	delete(c.callers, f)
	c.mu.Unlock()
	for _, s := range lost {
		s.callerLost(f)
	}
}

func (c *calls) attempt(k attemptKey) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attempts[k]
}

func (c *calls) dialog(side call.Side, k sipx.DialogKey) (*session, b2bua.Leg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.dialogs[dialogKey{side, k}]
	return e.s, e.leg
}

// add takes a session into the tables; false when there are too many.
func (c *calls) add(s *session, max int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= max {
		return false
	}
	c.all[s] = struct{}{}
	c.attempts[s.key] = s
	c.wg.Add(1)
	return true
}

// index makes a leg's dialog findable.
func (c *calls) index(s *session, l b2bua.Leg, side call.Side, k sipx.DialogKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dk := dialogKey{side, k}
	c.dialogs[dk] = dialogEnd{s, l}
	s.indexed = append(s.indexed, dk)
}

func (c *calls) remove(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.all[s]; !ok {
		return
	}
	delete(c.all, s)
	c.rests(s)
	if c.attempts[s.key] == s {
		delete(c.attempts, s.key)
	}
	for _, k := range s.indexed {
		if c.dialogs[k].s == s {
			delete(c.dialogs, k)
		}
	}
	s.indexed, s.pairs = nil, nil
	c.wg.Done()
}

// forget takes the attempt out of the table while the session winds up.
func (c *calls) forget(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rests(s)
	if c.attempts[s.key] == s {
		delete(c.attempts, s.key)
	}
}

// group is one call of one or more passes.
type group struct {
	id      string
	rec     call.Record
	passes  []*pass
	live    int      // passes that go on, and those that are being admitted
	inside  []string // keys of calls.inside and calls.sessID
	sessID  string
	recent  recentKey
	attempt *call.Attempt          // of the first pass
	ended   atomic.Pointer[string] // the rule that ended it
	trunk   atomic.Pointer[string] // the peer that took it, if it went out
	private bool                   // its caller asked not to be named; set before anybody shares it
}

// pass is one way through the gateway, as the record shows it.
type pass struct {
	call.Pass
	ring, answer time.Time
	diversion    string // who passed it on
}

// join finds the call that an INVITE from the PBX goes on with: by our own
// Call-ID when the PBX is a proxy, by Session-ID (RFC 7989), else by user and
// number within 5 s.
//
// The call is held for the pass from here on: it cannot end between this and
// open, and closePass lets it go.
func (c *calls) join(a *call.Attempt, sessionID string, numbers []string) (g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		if g != nil {
			g.live++
		}
	}()
	if g := c.inside[a.SIPCallID]; g != nil {
		return g
	}
	if g := c.sessID[sessionID]; g != nil && sessionID != "" {
		return g
	}
	for _, user := range []string{a.User, a.From.User, a.From.Number} {
		for _, n := range numbers {
			if r, ok := c.recent[recentKey{user, n}]; ok && user != "" && a.At.Sub(r.at) <= joinWindow && r.g.live > 0 {
				return r.g
			}
		}
	}
	return nil
}

func numberOf(a *call.Attempt) string {
	if a.To.Number != "" {
		return a.To.Number
	}
	return a.To.User
}

// open makes the call of a first pass, or takes in a further pass.
func (c *calls) open(g *group, s *session) *pass {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &pass{}
	g.passes = append(g.passes, p)
	c.groups[g.id] = g
	a := g.attempt
	if len(g.passes) == 1 && a.Side == call.Public {
		user := a.User
		if user == "" {
			user = a.From.Number
		}
		if user == "" {
			user = a.From.User
		}
		g.recent = recentKey{user, numberOf(a)}
		if user != "" && len(c.recent) < 100000 {
			c.recent[g.recent] = recent{g, a.At}
		}
	}
	return p
}

// sent remembers what we send inside by which the next pass is known.
func (c *calls) sent(g *group, callID, sessionID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inside[callID] = g
	g.inside = append(g.inside, callID)
	if sessionID != "" {
		c.sessID[sessionID] = g
		g.sessID = sessionID
	}
}

// closePass ends one pass; the last one completes the record.
func (c *calls) closePass(g *group) (done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.live--; g.live > 0 {
		return false
	}
	delete(c.groups, g.id)
	for _, k := range g.inside {
		delete(c.inside, k)
	}
	delete(c.sessID, g.sessID)
	if c.recent[g.recent].g == g {
		delete(c.recent, g.recent)
	}
	return true
}

// count is the number of passes so far.
func (c *calls) count(g *group) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(g.passes)
}

func (c *calls) expire(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, r := range c.recent {
		if now.Sub(r.at) > joinWindow {
			delete(c.recent, k)
		}
	}
}

// CallView is one live call as the admin sees it.
type CallView struct {
	ID, From, To, Account, User, Peer, State, Source string
	Direction                                        call.Direction
	Since                                            time.Time
	Answered                                         time.Time // zero while it rings
	Suites                                           []string  // per leg of every pass; "RTP" without SRTP
	Passes                                           int
	CallIDs                                          []string // SIP Call-IDs of the legs of every pass

	ends [2]end // of its first pass
}

// Calls lists the live calls, oldest first.
func (g *Gateway) Calls() (out []CallView) {
	views := map[string]*CallView{}
	for _, s := range g.calls.sessions() {
		v := s.view.Load()
		if v == nil {
			continue
		}
		old := views[v.ID]
		if old == nil {
			cp := *v
			views[v.ID] = &cp
			continue
		}
		old.Passes += v.Passes
		ids := append(slices.Clip(old.CallIDs), v.CallIDs...)
		old.CallIDs = ids
		if v.Since.Before(old.Since) {
			cp := *v
			cp.Passes, cp.Suites, cp.CallIDs = old.Passes, append(cp.Suites, old.Suites...), ids
			views[v.ID] = &cp
			continue
		}
		old.Suites = append(old.Suites, v.Suites...)
	}
	for _, v := range views {
		out = append(out, *v)
	}
	slices.SortFunc(out, func(a, b CallView) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return out
}

// Hangup ends a call by our id; false when there is none.
func (g *Gateway) Hangup(id, cause string) bool {
	found := false
	for _, s := range g.calls.sessions() {
		if s.group.id == id {
			s.hangup(cause)
			found = true
		}
	}
	return found
}

// Live is the number of passes that are up.
func (g *Gateway) Live() int { return g.calls.live() }

// Bindings is the number of registered contacts.
func (g *Gateway) Bindings() int { return g.bindings.len() }

// Signalling is what the SIP stack counted.
func (g *Gateway) Signalling() *sipx.Stats { return &g.stack.Stats }

// Draining reports whether new calls are refused.
func (g *Gateway) Draining() bool { return g.draining.Load() }

// Active is the number of calls that are up or being set up; a call of two
// passes counts once.
func (g *Gateway) Active() int {
	g.calls.mu.Lock()
	defer g.calls.mu.Unlock()
	return len(g.calls.groups)
}

// Transactions is the number of SIP transactions alive.
func (g *Gateway) Transactions() int { return g.stack.Transactions() }
