// Package sbc is the gateway itself: it identifies who speaks, asks the
// guards, keeps registrations, routes, and owns every call. It answers "may
// this go on, and where to".
//
// It parses no SIP and writes none to a socket (sbc/sipx does), holds no rule
// (policy, ratelimit), forwards no packet (media) and formats no alert. The
// [Gateway] owns identities, bindings and the list of calls; each call is
// owned by one goroutine ([session]) around the pure machine of sbc/b2bua.
// Time is taken once per message, where it arrives. A guard that fails
// refuses; a call that fails ends alone; a full table refuses what is new.
//
// Start reading at [Gateway.Request], then session.run.
package sbc

import (
	"cmp"
	"context"
	cryptotls "crypto/tls"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/media"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// A Guard has an opinion on attempts; see [admission.Decide].
type Guard = admission.Guard

// Policy is what judges attempts: the guards of one revision, cheapest first.
// It is never changed, only replaced by another. Guards that count must share
// their counts with those they replace.
type Policy struct {
	Revision string // names it in all that is told of its decisions
	Guards   []Guard
	Plan     *number.Plan // how numbers are read from now on; nil: Deps.Plan
	Headers  []string     // header fields that the guards read, in lower case

	peers map[string]*number.Plan // with the tech prefixes of a peer
}

// Gate is asked for every packet and connection before it is read. who is what
// is known of the address alone: a Stranger; a Phone, where a registration
// came from; a Carrier, whose addr is then the one of its configured network.
type Gate interface {
	Allow(addr netip.Addr, now time.Time, bytes int, who call.Kind) bool
	AllowStream(addr netip.Addr, now time.Time, bytes int, who call.Kind) bool
	Connect(addr netip.Addr, now time.Time, who call.Kind) bool
	Handshake(now time.Time, who call.Kind, patience time.Duration) (wait time.Duration, ok bool)
}

// Reporter takes what is to be told. Its methods never block.
type Reporter interface {
	Decision(*call.Attempt, call.Decision)
	System(call.SystemEvent)
	Record(call.Record)
	Event(call.Event)
}

// Geo tells where an address is; empty answers when it does not know.
type Geo interface {
	Lookup(netip.Addr) (country string, asn uint)
}

// PBX is one system on the inside.
type PBX struct {
	Name      string
	Host      string // name or address
	Port      uint16
	Transport string // udp, tcp, tls
	TLS       *cryptotls.Config
	SRTP      sdp.Policy
	Health    time.Duration // between OPTIONS; 0 = none
	Redirects Redirects     // what becomes of its 3xx
	Bodies    []string      // types it may send and get beside SDP, e.g. application/isup
	Weight    int           // all 1: in order; else each gets so many parts
	Domains   []string      // that it serves; none: all
	Failover  []int         // answers after which the next target or PBX is tried; nil = 502, 503, 504
}

// Peer is one carrier or trunk on the public side.
type Peer struct {
	Name           string
	Certificate    string // RFC 5922 name its certificate must carry; "" = not by certificate
	Wildcard       bool   // a wildcard certificate will do
	ServerOnly     bool   // one without the clientAuth usage will do
	IP             []netip.Prefix
	TechPrefixes   []string // before the numbers that it sends
	Host           string
	Port           uint16
	Transport      string   // "": by the DNS, one of Transports
	Transports     []string // that may be used then, the preferred one first
	TLS            *cryptotls.Config
	AllowPlaintext bool
	SRTP           sdp.Policy
	Redirects      Redirects     // what becomes of its 3xx
	NAT            bool          // RFC 7362: its media may come from elsewhere than it says
	Register       *TrunkAccount // where the carrier wants us to; nil = nowhere
	Health         time.Duration // between OPTIONS; 0 = none
	Failover       []int         // answers after which the next target or peer is tried; nil = 500, 502, 503, 504
	Identity       Identity
	Bodies         []string // types it may send and get beside SDP, e.g. application/isup
	AllowRefer     bool     // it may transfer the calls it has with us
}

// Route sends calls that are not for a registered phone to peers in order.
type Route struct {
	Countries []string // ISO codes of the callee; empty = every call
	Prefixes  []string // canonical prefixes, e.g. "+4420"
	Emergency bool     // emergency calls, and only these
	Peers     []string
}

// Config of a Gateway.
type Config struct {
	Node    string
	Domains []string // the first one stands in what we write
	PBXs    []PBX
	Peers   []Peer
	Routes  []Route
	Stack   sipx.Config      // listeners, certificates, caps, timers
	DNS     []netip.AddrPort // servers; none: those of the system
	Suites  []string

	MaxCall      time.Duration // 12 h
	Inactivity   time.Duration // 30 s
	SetupTimeout time.Duration // RFC 3261 Timer C: 3 min
	RetryTimeout time.Duration // for the answer to a challenge: 30 s
	// FailoverAfter is how long a target may be silent while there are others: 2 s.
	FailoverAfter time.Duration
	Progress      time.Duration // between two looks of rules at a call that is up: 10 s
	MinSession    time.Duration // the least session interval, RFC 4028: 90 s
	MaxCalls      int           // passes at a time; 0 = 20,000
	MaxBindings   int           // 0 = 50,000
	// MaxSubscriptions bounds SUBSCRIBE dialogs, MaxSubscriptionsPerUser those
	// of one phone's user: 50,000 and 200.
	MaxSubscriptions, MaxSubscriptionsPerUser int
	// ForwardCanonical writes the canonical number to carriers; false sends
	// what was dialled. InsideCanonical is the same towards the PBX.
	ForwardCanonical, InsideCanonical bool
	// EmergencyNumber is dialled for urn:service:sos (RFC 5031); default 112.
	EmergencyNumber string
	TokenKey        []byte // kept secret that registration tokens are derived with
	Phones          Phones
	Registrations   Registrations
	Authentication  Authentication
	// OwnNumbers are prefixes of our own numbers: who calls with one from
	// outside is told of.
	OwnNumbers []string
}

// Deps are the parts a Gateway works with.
type Deps struct {
	Media    *media.Plane
	Guards   []Guard // with Revision: the policy at the start, see [Policy]
	Revision string
	Gate     Gate
	Bans     Bans            // may be nil
	Load     *ratelimit.Load // decides what is let in under overload; nil: all is
	// Datagrams decides besides about what comes to public UDP sockets, by the
	// queue in front of these; nil: that queue is everybody's.
	Datagrams *ratelimit.Load
	// Pressure measures the process for Load; nil: the gateway's own signals count alone.
	Pressure func(now time.Time) ratelimit.LoadSignals
	Siege    Siege // nil: strangers' datagrams are always read
	Plan     *number.Plan
	Reporter Reporter
	Geo      Geo // may be nil
	// Refused counts a message or connection that was refused before anybody
	// decided: rate, malformed or handshake. May be nil.
	Refused func(reason string)
	Log     *slog.Logger
}

// Gateway is the running thing.
type Gateway struct {
	cfg    Config
	deps   Deps
	log    *slog.Logger
	stack  *sipx.Stack
	policy atomic.Pointer[Policy]

	peers      directory
	ids        identities
	bindings   bindings
	calls      calls
	challenges challenges
	trunks     map[string]*trunk // by peer; made at the start
	registrars sync.WaitGroup    // they end before the registrations are taken back
	turns      turns
	flood      flood
	mute       mute
	overload   overload
	siege      siege
	unshut     atomic.Pointer[spared]
	sparing    sync.Mutex // who makes the list
	carriers   carriers
	plain      carriers // those of them that were identified without TLS
	pacer      pacer
	brief      brief
	subs       subscriptions
	relays     challenged
	proven     challenged // attempts that answered a challenge of ours
	asked      openChallenges
	realms     realms
	findings   ratelimit.Findings
	decoys     decoys    // users that PBXs challenge
	even       evenClock // when strangers' registrations are answered
	edge       edge
	transfers  transfers
	early      early
	draining   atomic.Bool
	Counters   Counters

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New opens the listeners. Nothing is read before Start.
func New(cfg Config, deps Deps) (*Gateway, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.MaxCall, 12*time.Hour)
	def(&cfg.Inactivity, 30*time.Second)
	def(&cfg.SetupTimeout, 3*time.Minute+time.Second)
	def(&cfg.RetryTimeout, 30*time.Second)
	def(&cfg.FailoverAfter, 2*time.Second)
	def(&cfg.Progress, 10*time.Second)
	def(&cfg.MinSession, 90*time.Second)
	if cfg.EmergencyNumber == "" {
		cfg.EmergencyNumber = "112"
	}
	if cfg.MaxCalls == 0 {
		cfg.MaxCalls = 20000
	}
	if cfg.MaxBindings == 0 {
		cfg.MaxBindings = 50000
	}
	if len(cfg.TokenKey) < 16 {
		return nil, fmt.Errorf("registration key: %d bytes, want 16 or more", len(cfg.TokenKey))
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	for _, p := range cfg.Peers {
		if _, err := deps.Plan.With(p.TechPrefixes); err != nil {
			return nil, fmt.Errorf("peer %s: %w", p.Name, err)
		}
	}
	g := &Gateway{cfg: cfg, deps: deps, log: deps.Log}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.SetPolicy(Policy{Revision: deps.Revision, Guards: deps.Guards})
	g.peers.init(cfg)
	g.trunks = map[string]*trunk{}
	for i := range g.cfg.Peers {
		g.trunks[g.cfg.Peers[i].Name] = newTrunk(g, &g.cfg.Peers[i])
	}
	g.ids.init()
	g.bindings.init(cfg.MaxBindings)
	g.subs.init(cmp.Or(cfg.MaxSubscriptions, 50000), cmp.Or(cfg.MaxSubscriptionsPerUser, 200))
	g.calls.init()
	g.proven.most, g.proven.share = maxProven, maxProven/32
	g.edge.users.Store(cfg.Authentication.Users)
	g.pacer.init(cfg.Registrations.Rate, cfg.Registrations.Queue)
	var err error
	if cfg.Stack.Log == nil {
		cfg.Stack.Log = deps.Log
	}
	if deps.Load != nil {
		g.overload.seed = maphash.MakeSeed()
		g.overload.reading, g.overload.read = ratelimit.NewReading(), 1
		g.overload.pbxs.init(cfg.PBXs, deps.Load.State().Limits)
		cfg.Stack.Shed = shedder{g}
	}
	g.stack, err = sipx.New(cfg.Stack, g)
	if err != nil {
		g.cancel()
		return nil, err
	}
	return g, nil
}

// SetPolicy replaces the policy whole: what was decided stays, the next attempt
// meets the new one, and none meets parts of both.
func (g *Gateway) SetPolicy(p Policy) {
	g.plans(&p)
	if g.deps.Bans != nil {
		p.Guards = append([]Guard{g.deps.Bans}, p.Guards...)
	}
	g.policy.Store(&p)
}

// Start resolves the PBXs and peers, begins their health checks and reads.
func (g *Gateway) Start() {
	g.resolve(g.ctx, time.Now())
	g.stack.Start()
	g.wg.Go(g.resolver)
	for i := range g.cfg.PBXs {
		p := &g.cfg.PBXs[i]
		g.wg.Go(func() { g.health(route{kind: call.PBX, pbx: p}, p.Health) })
	}
	for i := range g.cfg.Peers {
		if p := &g.cfg.Peers[i]; p.Host != "" {
			g.wg.Go(func() { g.health(route{kind: call.Carrier, peer: p}, p.Health) })
			if p.Register != nil {
				g.registrars.Go(g.trunks[p.Name].run)
			}
		}
	}
	g.wg.Go(g.janitor)
	g.wg.Go(g.floodWatch)
	g.wg.Go(g.pacing)
	g.wg.Go(g.progressing)
	if g.deps.Load != nil {
		g.wg.Go(g.measuring)
	}
}

// Addrs lists the bound addresses of a side and transport.
func (g *Gateway) Addrs(side call.Side, transport string) []netip.AddrPort {
	return g.stack.Addrs(side, transport)
}

// Refuse makes every new call get 503 from now on.
func (g *Gateway) Refuse() { g.draining.Store(true) }

// Drain refuses new calls with 503 and waits for the live ones; those that
// remain when ctx ends are released with BYE.
func (g *Gateway) Drain(ctx context.Context) {
	g.Refuse()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for g.calls.live() > 0 {
		select {
		case <-ctx.Done():
			g.hangupAll("drain")
			return
		case <-tick.C:
		}
	}
}

// hangupAll releases every call and waits a moment for the BYEs.
func (g *Gateway) hangupAll(cause string) {
	for _, s := range g.calls.sessions() {
		s.hangup(cause)
	}
	deadline := time.Now().Add(2 * time.Second)
	for g.calls.live() > 0 && time.Now().Before(deadline) {
		<-time.After(20 * time.Millisecond)
	}
}

// Close ends everything at once.
func (g *Gateway) Close() {
	g.hangupAll("shutdown")
	g.cancel()
	g.registrars.Wait()
	g.leaveTrunks()
	g.stack.Close()
	g.calls.wait()
	g.wg.Wait()
	g.recordRefused(time.Now(), true)
	g.unanswered(time.Now())
	g.unproven(time.Now().Add(g.cfg.RetryTimeout + time.Second))
}

// unanswered tells of the registrations whose challenge got no answer.
func (g *Gateway) unanswered(before time.Time) {
	for _, e := range g.challenges.expired(before) {
		g.tell(e)
	}
}

// janitor forgets what has expired.
func (g *Gateway) janitor() {
	tick := time.NewTicker(min(5*time.Second, g.cfg.RetryTimeout))
	defer tick.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case now := <-tick.C:
			g.bindings.expire(now)
			g.ids.expire(now)
			g.calls.expire(now)
			g.subs.expire(now)
			g.relays.expire(now)
			g.proven.expire(now)
			g.edge.uses.expire(now)
			g.edge.passed.expire(now)
			g.unproven(now)
			if g.deps.Bans != nil {
				g.deps.Bans.Expire(now)
			}
			g.transfers.expire(now)
			g.unanswered(now.Add(-g.cfg.RetryTimeout))
		}
	}
}

// Request implements sipx.Handler: every new request but ACK and CANCEL.
func (g *Gateway) Request(r *sipx.Request) {
	g.proves(r)
	id := g.identify(r)
	if g.tooMuch(r, id) {
		return
	}
	if !g.mayspeak(r, id) {
		return
	}
	if r.ToTag() != "" {
		g.inDialog(r, id)
		return
	}
	switch r.Method() {
	case "INVITE":
		g.invite(r, id)
	case "REGISTER":
		g.register(r, id)
	case "OPTIONS":
		g.options(r, id)
	case "SUBSCRIBE", "NOTIFY", "MESSAGE", "PUBLISH", "REFER":
		if id.kind != call.Stranger {
			if !g.tooEarly(r, id) {
				g.relay(r, id)
			}
			return
		}
		g.other(r, id)
	default:
		g.other(r, id)
	}
}

// other refuses what is not carried outside of a dialog; the guards are asked
// all the same, as a scanner shows itself by any method.
func (g *Gateway) other(r *sipx.Request, id identity) {
	a := g.attempt(r, id)
	d := g.decide(a)
	if d.Permits() {
		no := call.Decision{Verdict: call.Reject, Status: 405, Rule: "base/method-not-allowed", Severity: call.Low,
			Reason: a.Method + " is not carried", Trace: d.Trace, Also: d.Also, Counts: d.Counts}
		switch a.Method {
		case "BYE", "INFO", "PRACK", "UPDATE":
			r.Refuse(481, nil) // a call that is over, most likely
			return
		case "SUBSCRIBE", "NOTIFY", "MESSAGE", "PUBLISH", "REFER":
		default:
			no.Status, no.Reason = 501, "unknown method"
		}
		d = no
	}
	g.report(a, d)
	if a.Method == "MESSAGE" {
		e := g.event(call.EventMessage, a, newID())
		e.From, e.To, e.Dialled, e.Code, e.Verdict, e.Rule = a.From.Number, a.To.Number, a.To.User, d.Status, d.Verdict.String(), d.Rule
		g.deps.Reporter.Event(e)
	}
	g.answer(r, a, d)
}

// Ack implements sipx.Handler.
func (g *Gateway) Ack(r *sipx.Request) {
	if s, leg := g.calls.dialog(r.Flow.Side, r.DialogKey()); s != nil {
		s.ack(leg, r)
	}
}

// inDialog finds the call of a request with a To tag. A tag is no way past
// the guards: a stranger who names no call of ours is judged as for anything
// else that he may not do.
func (g *Gateway) inDialog(r *sipx.Request, id identity) {
	s, leg := g.calls.dialog(r.Flow.Side, r.DialogKey())
	if s == nil && id.kind == call.Stranger {
		a := g.attempt(r, id)
		d := g.decide(a)
		if d.Permits() {
			d = call.Decision{Verdict: call.Reject, Status: 481, Rule: "base/no-dialog", Reason: "no such call", Severity: call.Low,
				Subject: sourceSubject(r.Flow), Trace: d.Trace, Also: d.Also}
		}
		g.report(a, d)
		if a.Method == "INVITE" {
			g.refusedRecord(a, d)
		}
		g.answer(r, a, d)
		return
	}
	if s == nil {
		if u, end := g.subs.find(r.Flow.Side, r.DialogKey()); u != nil {
			u.take(end, r)
			return
		}
		r.Refuse(481, nil)
		return
	}
	s.request(leg, r)
}

// Malformed implements sipx.Handler: the RFC's code to a known peer, silence
// to a stranger on UDP, a counter for both.
func (g *Gateway) Malformed(f *sipx.Flow, m *sipx.Malformed) bool {
	g.Counters.Malformed.Add(1)
	g.refused("malformed")
	g.malformedLog(f, m)
	if f.Side == call.Inside || f.Known() || g.knownAddr(f.Remote.Addr()) {
		return true
	}
	return f.Reliable()
}
