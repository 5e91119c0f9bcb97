// Package trial answers: what would the gateway do with this request?
//
// A [Bench] judges described requests without a network, with the code of the
// live gateway: policy.Set and ratelimit.Engine as guards, combined by package
// admission, over facts that are derived from the description as the gateway
// derives them from a message. Policy tests, `policy explain` and replay stand
// on it.
//
// It does not judge what comes before policy: malformed messages, forged
// identities, descriptions of media, routes. It reads no files.
//
// A Bench owns its counters; it is for one goroutine. Time is virtual: each
// question brings its own, and it should not go back. What is wrong with a
// description is an error, never a guess.
//
// Start reading at [Bench.Judge].
package trial

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// Request is a described request.
type Request = policy.Described

// Options of a Bench. Only Set is needed.
type Options struct {
	Set *policy.Set
	// Limits are counted besides those of the Set: the peers' own.
	Limits []ratelimit.Limit
	// Plan is how numbers are read; nil: the Set's.
	Plan *number.Plan
	// Tech are the prefixes that stand before the numbers of each peer.
	Tech map[string][]string
	// Own are prefixes of our own numbers: a carrier's caller with one of them
	// claims to be us.
	Own []string
	// Peers and PBXs are the names that there are; nil: any. A request that comes
	// from another proves nothing.
	Peers, PBXs []string
	// Account is the PBX of requests that do not say theirs.
	Account string
	// Geo says where an address is; nil: the description does, or nobody.
	Geo func(netip.Addr) (country string, asn uint)
	// Domain is the host of addresses that are given without one.
	Domain string
	// Caps of the counters; zero: the gateway's.
	Caps ratelimit.Caps
	// Profile is whose defaults the detectors have; empty: the office's. Rates are
	// what calls cost; nil: the shipped price classes. Both are for tests.
	Profile string
	Rates   *fraud.Rates
	// Guards are asked behind the limits and the Set.
	Guards []admission.Guard
}

// Bench is a policy on trial.
type Bench struct {
	o      Options
	plan   *number.Plan
	plans  map[string]*number.Plan // of peers with numbers of their own
	bans   *ratelimit.Bans
	guards []admission.Guard
	seq    int
	ids    map[string]*named     // calls by the description's name
	calls  map[string]*named     // the same by their id
	known  map[netip.Prefix]bool // where somebody known was: the host, and its network
}

// named is a call that requests of one name belong to.
type named struct {
	id     string
	passes int
	first  *call.Attempt  // the first pass, once it was permitted
	told   admission.Told // rules that told of it while it was up
}

// New makes a bench with fresh counters.
func New(o Options) (*Bench, error) {
	b := &Bench{o: o, plan: o.Plan, ids: map[string]*named{}, calls: map[string]*named{}, known: map[netip.Prefix]bool{},
		bans: ratelimit.NewBans(ratelimit.BanCaps{})}
	if b.plan == nil {
		b.plan = o.Set.Plan()
	}
	if b.o.Domain == "" {
		b.o.Domain = "sip.example.com"
	}
	for peer, prefixes := range o.Tech {
		if len(prefixes) == 0 {
			continue
		}
		own, err := b.plan.With(prefixes)
		if err != nil {
			return nil, fmt.Errorf("trial: numbers of peer %s: %w", peer, err)
		}
		if b.plans == nil {
			b.plans = map[string]*number.Plan{}
		}
		b.plans[peer] = own
	}
	b.o.Set = o.Set.Fresh() // whoever uses the same policy counts for himself
	o.Set = b.o.Set
	limits := make([]ratelimit.Limit, 0, len(o.Limits)+len(o.Set.Limits()))
	for _, l := range o.Set.Limits() {
		limits = append(limits, ratelimit.Limit(l))
	}
	engine, err := ratelimit.New(append(limits, o.Limits...), o.Caps)
	if err != nil {
		return nil, fmt.Errorf("trial: %w", err)
	}
	o.Set.Count(engine)
	b.guards = append([]admission.Guard{b.bans, engine, b.o.Set}, o.Guards...)
	return b, nil
}

// Outcome of a question: the decision, the bans and holds that came of it, and
// in a test what detectors found by it in the end.
type Outcome struct {
	call.Decision
	Enacted []call.Enacted
	Found   []fraud.Finding
}

// Judge decides a described request at a time. A call that is permitted is
// counted as in progress until [Bench.End].
func (b *Bench) Judge(at time.Time, r Request) (*call.Attempt, Outcome, error) {
	if r.On == call.Progress {
		return b.progress(at, &r)
	}
	a, err := b.Attempt(at, r)
	if err != nil {
		return nil, Outcome{}, err
	}
	if a.On == call.Connection {
		return a, b.connected(a), nil
	}
	out := b.Decide(a, r.Route)
	if c := b.ids[r.Call]; c != nil && c.first == nil && a.Method == "INVITE" && out.Permits() {
		c.first = a
	}
	return a, out, nil
}

// Decide decides an attempt, and then whether it may go to a peer, if one is
// named. As in the gateway, a refused call is over at once, and is no failed
// call: no number was tried. A refused registration is one.
func (b *Bench) Decide(a *call.Attempt, route string) Outcome {
	a.Policy = b.o.Set.Revision()
	d := admission.Decide(b.guards, a)
	if a.Method != "REGISTER" && a.Method != "OPTIONS" {
		d.Also = append(d.Also, admission.Flags(a)...)
	}
	out := b.enact(a, d)
	if route != "" && d.Permits() {
		if full := admission.MayRoute(b.guards, a, route); !full.Permits() {
			full.Trace, full.Also, full.Effects = append(d.Trace, full.Trace...), append(d.Also, full.Also...), d.Effects
			out.Decision = full
		}
	}
	if out.Permits() {
		return out
	}
	if a.Method == "INVITE" && a.Pass <= 1 {
		b.End(a.ID)
	}
	if (a.Method == "REGISTER" || a.Method == "INVITE" && out.Verdict == call.Challenge) && !(out.Verdict == call.Challenge && a.AuthUser != "") { // which were for another nonce
		b.Answered(a, out.Status)
	}
	return out
}

// enact carries out what a decision asks for. Somebody who is known has an
// address where somebody known was on trial from it.
func (b *Bench) enact(a *call.Attempt, d call.Decision) Outcome {
	if !a.Stranger() || a.Source.Registered {
		addr := a.Source.Addr.Addr()
		b.known[call.SourcePrefix(addr, false)], b.known[call.SourcePrefix(addr, true)] = true, true
	}
	return Outcome{Decision: d, Enacted: admission.Enact(b.bans, b.guards, a, &d, func(p netip.Prefix) bool { return b.known[p] })}
}

// Answered tells how a request was answered in the end, for limits on failures.
func (b *Bench) Answered(a *call.Attempt, code int) { admission.Outcome(b.guards, a, code) }

// End ends a call: it is no longer in progress.
func (b *Bench) End(callID string) {
	if c := b.calls[callID]; c != nil {
		c.first = nil
	}
	admission.Done(b.guards, callID)
}

// Forget ends the call of that name, and nothing of it stays.
func (b *Bench) Forget(name string) {
	if c := b.ids[name]; c != nil {
		b.End(c.id)
		delete(b.ids, name)
		delete(b.calls, c.id)
	}
}

// Hold holds a key's costly calls, as somebody other than a rule asks for it.
func (b *Bench) Hold(h call.Ban, last time.Duration) (call.Ban, bool) {
	in, again, ok := b.bans.Add(h, last)
	return in, ok && !again
}

// Set is the policy on trial.
func (b *Bench) Set() *policy.Set { return b.o.Set }

// identify gives a request its number, and the number of its call.
func (b *Bench) identify(a *call.Attempt, name string) {
	b.seq++
	a.SIPCallID = "trial-" + strconv.Itoa(b.seq)
	if a.Method == "REGISTER" || a.On != call.Request {
		return
	}
	a.ID, a.Pass = a.SIPCallID, 1
	if name == "" {
		return
	}
	c := b.ids[name]
	if c == nil {
		c = &named{id: a.ID}
		b.ids[name], b.calls[a.ID] = c, c
	}
	c.passes++
	a.ID, a.Pass = c.id, c.passes
}
