package sbc

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Overload: while there is more to do than can be done, ratelimit.Load says
// how much is let in, and what is not is refused before it is looked at.
// Nothing in a dialog is refused, no CANCEL, no call for help of who is
// identified, no second request of an attempt that was let in. Strangers get
// silence, the known 503 with Retry-After. Nobody is told of a single refusal:
// they are counted, there is one alert, and a CDR for each user and peer.
//
// Should the asking fail, the request is let in to be refused as usual, or
// not: overload is no guard.
type overload struct {
	seed   maphash.Seed // of whose share it is
	tally  tally
	pbxs   pbxLoads
	short  atomic.Int32  // the longest user whose calls are not dropped unread; 0: nobody is refused
	calls  atomic.Uint64 // by datagram that were read and might have been dropped so
	unread unread

	// What follows is measuring's own.
	reading *ratelimit.Reading
	read    float64   // share of new calls by datagram that is let in
	thinNot time.Time // before then: it could not be done
	seed32  uint32    // of which ones
	seedAt  time.Time
	told    int // level of the last alert
	toldAt  time.Time
	shed    [5]uint64 // when it began
}

// request is what is asked about, of a glance or of a whole message.
type request struct {
	flow          *sipx.Flow
	method        string
	uri, from, to []byte
	fromTag       []byte
	callID        []byte
	credentials   bool
	size          int
	whole         *sipx.Request // that the octets above are still to be taken from
}

// read takes what a request is judged by, which costs more than while all are
// let in is worth.
func (q *request) read() {
	r := q.whole
	if r == nil {
		return
	}
	from, to, u := r.From().URI, r.To().URI, r.URI()
	q.uri, q.from, q.to = []byte(u.String()), []byte(from.String()), []byte(to.String())
	q.fromTag, q.callID, q.whole = []byte(r.FromTag()), []byte(r.CallID()), nil
}

// shedder implements sipx.Shedder.
type shedder struct{ g *Gateway }

func (s shedder) Busy() bool { return s.g.loadBusy() }

// loadBusy reports whether anybody may be refused at the moment.
func (g *Gateway) loadBusy() bool {
	return g.deps.Load.Busy() || g.deps.Datagrams != nil && g.deps.Datagrams.Busy() || g.overload.pbxs.busy.Load()
}

// roomFor asks for a request: whether the PBX has room for it, and the queue of
// public datagrams if it came that way, first.
func (g *Gateway) roomFor(q *request, id identity, c ratelimit.LoadClass, cost uint32, who uint64, now time.Time) bool {
	f := q.flow
	if !g.pbxHasRoom(q, id, c, cost, who, now) {
		return false
	}
	if d := g.deps.Datagrams; d != nil && f.Side == call.Public && f.Transport == "udp" && !d.Admit(c, cost, who, now) {
		return false
	}
	return g.deps.Load.Admit(c, cost, who, now)
}

func (s shedder) Shed(x *sipx.Glance) sipx.Shed {
	q := request{flow: x.Flow, method: x.Method, uri: x.URI, from: x.From, to: x.To, fromTag: x.FromTag, callID: x.CallID, credentials: x.Credentials, size: x.Size}
	return s.g.judgeLoad(&q, s.g.identifyFlow(x.Flow), time.Now())
}

// tooMuch asks about a request that could not be judged by a glance.
func (g *Gateway) tooMuch(r *sipx.Request, id identity) bool {
	if g.deps.Load == nil || r.LetIn || r.ToTag() != "" {
		return false
	}
	q := request{flow: r.Flow, method: r.Method(), credentials: r.Credentialed || len(r.Credentials()) > 0, size: r.Size, whole: r}
	switch v := g.judgeLoad(&q, id, r.At); v.What {
	case sipx.ShedRefuse:
		r.Refuse(503, []sipx.HeaderField{{Name: "Retry-After", Value: strconv.Itoa(v.RetryAfter)}})
		return true
	case sipx.ShedSilent:
		r.Flow.Close()
		return true
	}
	return false
}

// judgeLoad lets a request in or not.
func (g *Gateway) judgeLoad(q *request, id identity, now time.Time) sipx.Shed {
	busy := g.loadBusy()
	if busy {
		q.read()
	}
	class, cost := g.loadClass(q, id, now), costOf(q.method)
	if busy && class >= ratelimit.LoadNew && g.spared(q, id, now) {
		return sipx.Shed{What: sipx.ShedPass}
	}
	g.countThinned(q, class)
	who := g.shareOf(q, id)
	if g.roomFor(q, id, class, cost, who, now) {
		return sipx.Shed{What: sipx.ShedPass}
	}
	if !busy { // nobody measured for a while
		q.read()
		if class >= ratelimit.LoadNew && g.spared(q, id, now) {
			return sipx.Shed{What: sipx.ShedPass}
		}
		who = g.shareOf(q, id)
	}
	if q.method == "INVITE" {
		if id.kind == call.PBX { // who has no share
			who = maphash.String(g.overload.seed, id.pbx.Name) | 1
		}
		g.overload.tally.refused(q, id, who, class <= ratelimit.LoadUnknown, now)
	}
	if class <= ratelimit.LoadUnknown {
		return sipx.Shed{What: sipx.ShedSilent}
	}
	return sipx.Shed{What: sipx.ShedRefuse, RetryAfter: retryAfter(id.kind)}
}

func costOf(method string) uint32 {
	switch method {
	case "INVITE":
		return ratelimit.CostCall
	case "OPTIONS":
		return ratelimit.CostQuery
	}
	return ratelimit.CostRequest
}

// Seconds that are drawn from for Retry-After. A phone is one caller; a carrier
// or PBX speaks for many, who would all be silent (RFC 3261 §21.5.4).
const (
	retryPhoneMin, retryPhoneMax = 5, 20
	retryPeerMin, retryPeerMax   = 1, 3
)

func retryAfter(k call.Kind) int {
	if k == call.Phone {
		return retryPhoneMin + rand.IntN(retryPhoneMax-retryPhoneMin+1)
	}
	return retryPeerMin + rand.IntN(retryPeerMax-retryPeerMin+1)
}

// loadClass says what a request is worth while not all can be had.
func (g *Gateway) loadClass(q *request, id identity, now time.Time) ratelimit.LoadClass {
	switch id.kind {
	case call.PBX:
		if q.method == "OPTIONS" {
			return ratelimit.LoadRefresh // a PBX that hears 503 takes us for dead
		}
		return ratelimit.LoadOnward
	case call.Carrier:
		if q.method == "OPTIONS" {
			return ratelimit.LoadRefresh
		}
		return ratelimit.LoadNew
	case call.Phone:
		if q.method == "REGISTER" {
			return ratelimit.LoadRefresh
		}
		return ratelimit.LoadNew
	}
	if q.method != "REGISTER" || q.flow.Side == call.Inside {
		return ratelimit.LoadStranger
	}
	if g.loadBusy() && (q.flow.Begins() || g.registersAgain(q)) {
		return ratelimit.LoadRefresh
	}
	return ratelimit.LoadUnknown
}

// registersAgain: a phone that lost its connection, or the answer to a
// challenge that was let through for the first half.
func (g *Gateway) registersAgain(q *request) bool {
	user, host := sipx.UserHost(q.to)
	who := aor{unescape(string(user)), string(bytes.ToLower(host))}
	if g.bindings.knows(who, q.flow.Remote.Addr()) {
		return true
	}
	if !q.credentials {
		return false
	}
	return g.challenges.waits(g.mapped("challenge", string(q.callID), string(q.fromTag)))
}

// waits: an attempt was challenged, and has not answered.
func (c *challenges) waits(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.open[key]
	return ok
}

// spared are calls for help, and the further requests of calls that were let
// in: the answer to a challenge, the next pass.
func (g *Gateway) spared(q *request, id identity, now time.Time) bool {
	if q.method != "INVITE" {
		return false
	}
	if q.credentials && g.calls.attempt(attemptKey{q.flow.Side, string(q.callID), string(q.fromTag), string(q.uri)}) != nil {
		return true
	}
	if id.kind == call.PBX && g.calls.passed(string(q.callID)) {
		return true
	}
	if bytes.HasPrefix(bytes.ToLower(q.uri), []byte("urn:service:sos")) {
		return true
	}
	text := string(q.uri)
	if user, _ := sipx.UserHost(q.uri); user != nil {
		text = string(user)
	}
	in, name := number.Dialled, ""
	if id.kind != call.Phone {
		in = number.Trunk
	}
	if id.kind == call.Carrier {
		name = id.name()
	}
	var p call.Party
	g.plan(name).Normalise(text, in).Fill(&p)
	return p.Kind == call.Emergency
}

// passed: a call of that Call-ID towards the inside is up.
func (c *calls) passed(callID string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inside[callID] != nil
}

// roomForConn: a handshake costs more than most requests do, and a stranger's
// may be for nothing.
func (g *Gateway) roomForConn(side call.Side, src netip.Addr) bool {
	if g.deps.Load == nil || side == call.Inside || g.knownAddr(src) {
		return true
	}
	return g.deps.Load.Admit(ratelimit.LoadUnknown, ratelimit.CostConn, 0, time.Now())
}

// loadEvery is between two measurements.
const loadEvery = 100 * time.Millisecond

// measuring feeds the Load.
func (g *Gateway) measuring() {
	tick := time.NewTicker(loadEvery)
	defer tick.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case now := <-tick.C:
			g.recordRefused(now, false)
			s, datagrams := g.signals(now)
			g.deps.Load.Tick(now, s)
			g.overload.pbxs.tick(now)
			if g.deps.Datagrams != nil {
				s.Delay = max(s.Delay, datagrams)
				g.deps.Datagrams.Tick(now, s)
			}
			state, _ := g.Overload()
			g.thin(now)
			g.tellOverload(now, state)
		}
	}
}

// signals are the gateway's own and those of the process, the worse of each,
// and the wait in public UDP sockets.
func (g *Gateway) signals(now time.Time) (s ratelimit.LoadSignals, datagrams time.Duration) {
	if g.deps.Pressure != nil {
		s = g.deps.Pressure(now)
	}
	all, datagrams := g.stack.Waited()
	if s.Delay = max(s.Delay, all); g.deps.Datagrams == nil {
		s.Delay = max(s.Delay, datagrams)
	}
	s.Calls = max(s.Calls, float64(g.calls.live())/float64(g.cfg.MaxCalls))
	if most := g.cfg.Stack.MaxTransactions; most > 0 {
		s.Transactions = max(s.Transactions, float64(g.stack.Busy())/float64(most))
	}
	return s, datagrams
}

// overloadAgain is how often an overload that goes on is told of.
const overloadAgain = time.Minute

// tellOverload tells when requests begin to be refused, when higher classes
// are, once a minute while it lasts, and when it is over.
func (g *Gateway) tellOverload(now time.Time, s ratelimit.LoadState) {
	o := &g.overload
	over := o.told > 0 && !g.loadBusy()
	worse := s.Level > o.told
	if !over && !worse && (o.told == 0 || now.Sub(o.toldAt) < overloadAgain) {
		return
	}
	e := call.SystemEvent{At: now, Action: call.Overload, Severity: call.Medium, Rule: "base/overload",
		Reason:  "too much to do: refused are " + refusedNow(s.Level),
		Subject: call.Subject{Kind: "node", Value: g.cfg.Node}, Evidence: append(overloadEvidence(s, o.shed), o.pbxs.evidence()...)}
	switch {
	case over:
		e.Severity, e.Rule, e.Reason = call.Info, "base/overload-over", "all requests are let in again"
	case s.Level > int(ratelimit.LoadNew):
		e.Severity = call.High
	}
	if o.told == 0 || over {
		o.shed = s.Shed
	}
	o.told, o.toldAt = max(o.told, s.Level), now
	if over {
		o.told = 0
		g.log.Info("overload is over")
	} else {
		g.log.Warn("overload", "level", s.Level, "calls_per_second", int(s.Rate), "delay", s.Signals.Delay, "cpu", fmt.Sprintf("%.2f", s.Signals.CPU))
	}
	g.deps.Reporter.System(e)
}

// refusedNow says in words what a level means.
func refusedNow(level int) string {
	return [...]string{"none", "strangers", "strangers and registrations of unknown phones", "those and new calls", "those and calls from the PBX",
		"those and registrations of known phones"}[level]
}

func overloadEvidence(s ratelimit.LoadState, before [5]uint64) []call.Evidence {
	pc := func(x float64) float64 { return float64(int(x*1000+0.5)) / 1000 }
	e := []call.Evidence{{Name: "overload.level", Value: s.Level},
		{Name: "overload.admitted_calls_per_second", Value: pc(s.Rate)},
		{Name: "overload.delay_ms", Value: float64(s.Signals.Delay.Microseconds()) / 1000, Threshold: float64(s.Limits.Delay.Microseconds()) / 1000},
		{Name: "overload.cpu", Value: pc(s.Signals.CPU), Threshold: s.Limits.CPU},
		{Name: "overload.memory", Value: pc(s.Signals.Memory), Threshold: s.Limits.Memory},
		{Name: "overload.files", Value: pc(s.Signals.Files), Threshold: s.Limits.Files},
		{Name: "overload.calls", Value: pc(s.Signals.Calls), Threshold: s.Limits.Calls},
		{Name: "overload.transactions", Value: pc(s.Signals.Transactions), Threshold: s.Limits.Transactions},
		{Name: "overload.pbx_failures", Value: pc(s.Signals.PBX), Threshold: s.Limits.PBX}}
	for i, c := range ratelimit.LoadClasses() {
		e = append(e, call.Evidence{Name: "overload.refused_" + c.String(), Value: s.Shed[i] - before[i]})
	}
	return e
}

// Overload is how the overload stands; false: it is not looked after.
func (g *Gateway) Overload() (ratelimit.LoadState, bool) {
	if g.deps.Load == nil {
		return ratelimit.LoadState{}, false
	}
	s := g.deps.Load.State()
	if g.deps.Datagrams != nil {
		s = s.With(g.deps.Datagrams.State())
	}
	return s.Among(g.overload.pbxs.states()), true
}
