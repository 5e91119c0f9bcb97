package sbc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// register carries a REGISTER to the PBX: the digest, the Request-URI and the
// AoR pass, the Contact becomes a token of ours (INTERFACE: decisions 9, 10).
// What the PBX accepts becomes the identity of the flow.
func (g *Gateway) register(r *sipx.Request, id identity) {
	a := g.attempt(r, id)
	if a.Side == call.Public && id.kind != call.Carrier {
		a.Account = g.accountFor(a) // until it is known which one takes it
	}
	to := aorOf(r.To().URI)
	a.RegisterUser = to.user // one user has one count of failures, however it is escaped
	if len(g.cfg.Domains) > 1 && g.ours(to.domain) {
		a.RegisterDomain = strings.ToLower(to.domain)
	}
	deny := func(code int, rule, reason string, action call.Action, sev call.Severity) {
		d := call.Decision{Verdict: call.Reject, Status: code, Rule: rule, Reason: reason, Action: action, Severity: sev,
			Subject: call.Subject{Kind: "source", Value: a.Source.Addr.Addr().String()}}
		g.report(a, d)
		g.registered(r, a, d.Status, sentCredentials(r))
		g.answer(r, a, d)
	}
	switch {
	case r.Flow.Side == call.Inside || id.kind == call.Carrier:
		deny(403, "base/register-side", "REGISTER from "+id.kind.String(), "", call.Low)
		return
	case !mayForward(r):
		deny(483, "base/hops", "Max-Forwards is used up", "", call.Info)
		return
	case len(r.UnsupportedTags()) > 0:
		g.report(a, call.Decision{Verdict: call.Reject, Status: 420, Rule: "base/extension", Severity: call.Low,
			Reason:  "requires " + strings.Join(r.UnsupportedTags(), ", "),
			Subject: call.Subject{Kind: "source", Value: a.Source.Addr.Addr().String()}})
		g.badExtension(r)
		g.registered(r, a, 420, sentCredentials(r))
		return
	case r.URI().Scheme != "sip" && r.URI().Scheme != "sips":
		deny(416, "base/uri-scheme", "Request-URI scheme "+r.URI().Scheme, "", call.Low)
		return
	case !g.ours(r.URI().Host) || r.URI().UriParams.Has("maddr"):
		// The Request-URI goes on as it is: a PBX that is a proxy too must
		// not be made to send it elsewhere.
		deny(404, "base/domain", "Request-URI of domain "+r.URI().Host, "", call.Low)
		return
	case r.To().URI.Scheme != "sip" && r.To().URI.Scheme != "sips", to.user == "", strings.Contains(to.user, "\x00"):
		deny(404, "base/register-aor", "To is no address of record", "", call.Low)
		return
	case !g.ours(to.domain):
		deny(404, "base/domain", "domain "+to.domain+" is not served here", "", call.Low)
		return
	case aorOf(r.From().URI) != to:
		deny(403, "base/third-party-register", "From is not To", call.IdentityForged, call.Medium)
		return
	}
	contacts, star := r.Contacts()
	if len(contacts) > 10 || star && (len(contacts) > 0 || a.Expires != 0) || slices.ContainsFunc(contacts, badContact) {
		deny(400, "base/register-contact", "bad Contact set", "", call.Low)
		return
	}
	req := &registration{g: g, r: r, a: a, aor: to, contacts: contacts, star: star}
	a.Returning = g.bindings.returning(req)
	d := g.decide(a)
	brief := d.Permits() && req.tooBrief()
	if brief {
		d = call.Decision{Verdict: call.Reject, Status: 423, Rule: "base/register-interval", Severity: call.Info,
			Reason: "asks for less than the minimum", Subject: call.Subject{Kind: "user", Value: to.user}, Trace: d.Trace, Also: d.Also,
			Counts: d.Counts}
	}
	g.report(a, d)
	switch {
	case brief:
		g.registered(r, a, d.Status, sentCredentials(r))
		r.Refuse(423, g.minExpires(refusalHeaders(a, d), nil))
	case !d.Permits():
		g.unregistered(r, a, d)
		g.answer(r, a, d)
	case g.unauthenticated(r, a, to, id):
	case !req.here(false):
		g.ask(req, id)
	}
}

// unregistered tells of a registration that the guards refuse. Whom a site keeps out
// by a rule has failed at nothing: only a password that was looked at here and
// is wrong is a failure, and a challenge waits for its answer.
func (g *Gateway) unregistered(r *sipx.Request, a *call.Attempt, d call.Decision) {
	credentials := sentCredentials(r)
	switch {
	case d.Verdict != call.Challenge && r.Denied == "":
		g.tellRegistered(r, a, d.Status, credentials)
		return
	case d.Verdict == call.Challenge && r.Denied == "" && credentials == "sent":
		credentials = "stale" // they were not looked at
	}
	g.registered(r, a, d.Status, credentials)
}

// ask sends a registration to the PBX, at once or when its turn comes.
func (g *Gateway) ask(req *registration, id identity) {
	r := req.r
	if req.tx = r.Begin(); req.tx == nil {
		return
	}
	if req.strange = g.strange(r, id, req.aor); !req.hold() {
		return
	}
	req.leave(false)
	known, key := g.knownPhone(r, id, req.aor), "source "+r.Flow.Remote.Addr().String()
	if known {
		key = req.aor.String()
	}
	switch now, full := g.pacer.pass(time.Now(), key, known, req.send); {
	case now:
		req.send()
	case full && !req.here(true):
		g.deferred(r.At)
		g.registered(r, req.a, 503, sentCredentials(r))
		req.respond(503, []sipx.HeaderField{{Name: "Retry-After", Value: strconv.Itoa(int(g.pacer.retryAfter().Seconds()))}})
	}
}

func (q *registration) send() {
	if slices.ContainsFunc(q.g.cfg.PBXs, func(p PBX) bool { return p.Transport != "udp" }) {
		q.g.turns.run(q.r.Flow, q.forward) // the PBX may need a connection: that is a child's work
		return
	}
	q.forward()
}

// turns keeps the registrations of a connection in the order they came (RFC
// 3261 §10.2) while each waits, in a child, for the way to the PBX. Each has a
// transaction, so there are no more of them than of those.
type turns struct {
	mu   sync.Mutex
	last map[uint64]chan struct{} // by flow: closed when the newest has gone
}

func (t *turns) run(f *sipx.Flow, do func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[uint64]chan struct{}{}
	}
	before, mine := t.last[f.ID], make(chan struct{})
	t.last[f.ID] = mine
	go func() {
		defer func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			if t.last[f.ID] == mine {
				delete(t.last, f.ID)
			}
			close(mine)
		}()
		if before != nil {
			<-before
		}
		do()
	}()
}

// maxWait is how long a registration may wait for its turn: the phone gives
// up after 32 s (Timer F).
const maxWait = 15 * time.Second

// badContact: not a SIP URI, or parameters that do not go on as they are.
func badContact(c sipx.NameAddr) bool {
	u, q, expires := c.URI, c.Get("q"), c.Get("expires")
	return u.Scheme != "sip" && u.Scheme != "sips" || u.Host == "" ||
		strings.Trim(expires, "0123456789") != "" || len(expires) > 10 ||
		strings.Trim(q, "0123456789.") != "" || len(q) > 5
}

func sentCredentials(r *sipx.Request) string {
	if _, sent := r.AuthUser(); sent || r.Denied != "" {
		return "sent"
	}
	return "none"
}

// registration is one REGISTER on its way.
type registration struct {
	g        *Gateway
	r        *sipx.Request
	tx       *sipx.ServerTx
	a        *call.Attempt
	aor      aor
	contacts []sipx.NameAddr
	star     bool
	strange  bool       // it learns nothing but whether its credentials are right
	held     bool       // a place for its answer to wait is taken
	sent     time.Time  // to the PBX …
	out      *sipx.Flow // … on this flow
}

func (q *registration) forward() {
	var last error
	if time.Since(q.r.At) > maxWait {
		q.unreachable(errors.New("those before it took too long"))
		return
	}
	q.g.early.expect(q.tokens())
	for _, p := range q.g.peers.pbxOrder(q.aor.domain, strings.ToLower(q.aor.String())) {
		ctx, cancel := context.WithTimeout(q.g.ctx, 6*time.Second)
		f, err := q.g.connectPBX(ctx, p)
		cancel()
		if err != nil {
			last = err
			continue
		}
		if err := q.sendTo(f, p); err != nil {
			last = err
			continue
		}
		return
	}
	q.unreachable(last)
	q.g.early.answered(q.tokens())
}

func (q *registration) unreachable(why error) {
	q.g.log.Warn("registration: no PBX reachable", "error", fmt.Sprint(why))
	q.g.registered(q.r, q.a, 503, sentCredentials(q.r))
	q.respond(503, nil)
}

func (q *registration) sendTo(f *sipx.Flow, p *PBX) error {
	r := q.r
	callID := q.g.mapped("register", q.aor.String(), r.CallID())
	tag := q.g.mapped("tag", r.CallID(), r.FromTag())[:16]
	u := r.URI()
	o := &sipx.Out{Method: "REGISTER", URI: u.String(), MaxForwards: r.MaxForwards() - 1}
	add := func(n, v string) { o.Headers = append(o.Headers, sipx.HeaderField{Name: n, Value: v}) }
	self := "sip:" + q.aor.user + "@" + q.aor.domain
	if t := r.To().URI; t.User != "" {
		self = "sip:" + t.User + "@" + t.Host
	}
	name := r.From().Display
	add("From", nameAddr(name, self)+";tag="+tag)
	add("To", nameAddr(name, self))
	add("Call-ID", callID)
	add("CSeq", strconv.FormatUint(uint64(r.CSeq()), 10)+" REGISTER")
	if q.star {
		add("Contact", "*")
	}
	for _, c := range q.contacts {
		v := "<" + f.ContactURI(q.g.token(q.aor, c)) + ">"
		for _, n := range []string{"expires", "q"} {
			if x := c.Get(n); x != "" {
				if n == "expires" {
					x = q.upstream(p, x)
				}
				v += ";" + n + "=" + x
			}
		}
		add("Contact", v)
	}
	o.Headers = append(o.Headers, q.carried(p)...)
	q.a.Account = p.Name
	q.sent, q.out = time.Now(), f
	return q.g.sendFor(q.g.account(q.aor), f, o, 0, func(out sipx.Outcome) { q.result(out, p) })
}

// result runs in a reading goroutine of the inside.
func (q *registration) result(out sipx.Outcome, p *PBX) {
	g := q.g
	if out.Err == nil && out.Res.Code() < 200 {
		return
	}
	defer g.early.answered(q.tokens())
	if out.Err != nil {
		g.peers.probation(route{kind: call.PBX, pbx: p}, time.Now())
		g.registered(q.r, q.a, 504, sentCredentials(q.r))
		q.respond(504, nil)
		return
	}
	code := out.Res.Code()
	hs := out.Res.Carry(call.Public)
	credentials := sentCredentials(q.r)
	switch {
	case code < 300:
		if !q.accepted(out.Res, p) {
			// The PBX would call a phone that we cannot reach.
			code, hs = 503, []sipx.HeaderField{{Name: "Retry-After", Value: "60"}}
			break
		}
		for i, h := range hs {
			if h.Name == "Expires" {
				hs[i].Value = clamped(h.Value)
				if len(q.contacts) > 0 {
					hs[i].Value = strconv.Itoa(int(q.told(q.contacts[0], parseSeconds(h.Value, 0)) / time.Second))
				}
			}
		}
		hs = append(hs, q.listed(out.Res)...)
	case code == 423:
		hs = g.minExpires(hs, p)
	case q.strange && tells(code):
		q.leave(true)
		q.disguise(p, credentials)
		return
	case code == 403 || code == 404 || code >= 600:
		q.leave(true)
	case code >= 300 && code < 400:
		code = 480 // a redirect names the inside
	case (code == 401 || code == 407) && credentials == "sent" && out.Res.StaleChallenge():
		credentials = "stale"
	case code == 503:
		// With Retry-After it would silence the phone towards the gateway
		// altogether (RFC 3261 §21.5.4); it is the PBX that is busy.
		hs = slices.DeleteFunc(hs, func(h sipx.HeaderField) bool { return h.Name == "Retry-After" })
	}
	switch {
	case code < 300:
		g.decoys.learn(p.Name, q.aor, true)
	case code == 401 && credentials == "none":
		g.decoys.learn(p.Name, q.aor, false)
	}
	switch {
	case !g.checks():
	case code == 401 || code == 407:
		g.edge.passed.hold(g.passKey(q.r), q.r.Flow.Remote.Addr(), time.Now().Add(g.cfg.RetryTimeout))
	case q.r.Proven:
		credentials = "sent" // and looked at here
	}
	q.finish(code, g.passChallenge(q.r, p.Name, tidyReasons(hs)), credentials)
}

// accepted stores the bindings and the identity of the flow. False: nothing
// could be stored, the tables are full.
func (q *registration) accepted(res *sipx.Response, p *PBX) bool {
	g, f, now := q.g, q.r.Flow, time.Now()
	granted := map[string]time.Duration{} // by token
	cs, _ := res.Contacts()
	def := parseSeconds(res.Header("Expires"), time.Hour)
	for _, c := range cs {
		granted[c.URI.User] = parseSeconds(c.Get("expires"), def)
	}
	forget := func(token string) {
		if was := g.bindings.remove(token); was != nil {
			g.ids.set(was, q.aor, p.Name, time.Time{})
		}
	}
	if q.star {
		for _, b := range g.bindings.of(q.aor, now) {
			forget(b.token)
		}
		g.ids.set(f, q.aor, p.Name, time.Time{})
		return true
	}
	var longest time.Duration
	full := false
	for _, c := range q.contacts {
		tok := g.token(q.aor, c)
		d, ok := granted[tok]
		if !ok || d <= 0 {
			forget(tok)
			continue
		}
		u := c.URI
		u.Headers = nil // they have no meaning in a Request-URI
		told := q.told(c, d)
		expires := now.Add(d)
		if told < d {
			expires = earlier(now.Add(told+late), expires)
		}
		f.MarkKnown(true)
		if !g.bindings.put(binding{token: tok, aor: q.aor, contact: u.String(), account: p.Name, flow: f, source: f.Remote.Addr(),
			expires: expires, asked: q.r.At, userAgent: q.r.UserAgent(), cseq: q.r.CSeq(), print: q.print(c), phone: phoneOf(q.r),
			interval: told, told: now.Add(told), half: now.Add(d / 2), until: now.Add(d)}) {
			g.log.Warn("registration table full", "aor", q.aor.String())
			full = true
			continue
		}
		longest = max(longest, expires.Sub(now))
	}
	switch {
	case longest > 0:
		g.ids.set(f, q.aor, p.Name, now.Add(longest))
		q.taken()
	case full:
		return false
	case len(q.contacts) > 0 && g.bindings.on(f, q.aor) == "":
		g.ids.set(f, q.aor, p.Name, time.Time{})
	}
	return true
}

// taken: the attempt is the user's from now on.
func (q *registration) taken() {
	q.a.First = q.a.User != q.aor.user
	q.a.User = q.aor.user
}

// listed gives the phone its own contacts back instead of our tokens;
// contacts that are not ours are the PBX's business and stay inside.
func (q *registration) listed(res *sipx.Response) (hs []sipx.HeaderField) {
	now := time.Now()
	cs, _ := res.Contacts()
	for _, c := range cs {
		b, ok := q.g.bindings.get(c.URI.User, now)
		if !ok || b.aor != q.aor {
			continue
		}
		v := "<" + b.contact + ">"
		if x := c.Get("expires"); x != "" {
			x = clamped(x)
			if d := parseSeconds(x, 0); b.told.Sub(now).Round(time.Second) < d {
				x = left(b, now) // it was told less than the PBX grants
			}
			v += ";expires=" + x
		}
		hs = append(hs, sipx.HeaderField{Name: "Contact", Value: v})
	}
	return hs
}

// parseSeconds reads what the PBX grants, up to maxGrant.
func parseSeconds(v string, def time.Duration) time.Duration {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return def
	}
	return time.Duration(min(n, uint64(maxGrant/time.Second))) * time.Second
}

// clamped is what the phone is told of it, so that it comes again in time.
func clamped(v string) string {
	if d := parseSeconds(v, -1); d == maxGrant {
		return strconv.Itoa(int(maxGrant / time.Second))
	}
	return v
}

// registered tells of one attempt: the guards that count failures, and the event
// stream.
func (g *Gateway) registered(r *sipx.Request, a *call.Attempt, code int, credentials string) {
	if code >= 200 && code < 300 {
		g.Counters.Registered.Add(1)
	}
	if credentials != "stale" { // an old nonce is no failure
		g.outcome(a, code)
	}
	g.tellRegistered(r, a, code, credentials)
}

// tellRegistered writes the final answer into the event stream. A challenge is held
// back until the answer to it comes; if none does, the challenge was the final
// answer.
func (g *Gateway) tellRegistered(r *sipx.Request, a *call.Attempt, code int, credentials string) {
	e := g.event(call.EventRegister, a, newID())
	e.Code, e.Credentials = code, credentials
	e.User = a.RegisterUser
	if credentials == "sent" {
		e.Credentials = "" // absent = sent
	}
	key := g.mapped("challenge", r.CallID(), r.FromTag())
	before, held := g.challenges.take(key)
	if held && sentCredentials(r) == "none" && !r.Proven {
		g.tell(before) // the same phone begins again: it never answered
	}
	if (code == 401 || code == 407) && credentials != "sent" && g.challenges.hold(key, e) {
		return
	}
	g.tell(e)
}

// tell writes an event that stands at the time it is told.
func (g *Gateway) tell(e call.Event) {
	e.At = call.Time{Time: time.Now()}
	g.deps.Reporter.Event(e)
}

// maxChallenges bounds the challenges that wait for their answer; beyond it a
// challenge counts as unanswered at once.
const maxChallenges = 4096

// challenges are the registrations that were challenged, by attempt.
type challenges struct {
	mu   sync.Mutex
	open map[string]call.Event
}

func (c *challenges) take(key string) (call.Event, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.open[key]
	delete(c.open, key)
	return e, ok
}

func (c *challenges) hold(key string, e call.Event) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) >= maxChallenges {
		return false
	}
	if c.open == nil {
		c.open = map[string]call.Event{}
	}
	c.open[key] = e
	return true
}

// expired takes out what was asked before that time, oldest first.
func (c *challenges) expired(before time.Time) (out []call.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.open {
		if e.At.Before(before) {
			out = append(out, e)
			delete(c.open, key)
		}
	}
	slices.SortFunc(out, func(x, y call.Event) int { return x.At.Compare(y.At.Time) })
	return out
}
