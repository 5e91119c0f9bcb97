package sbc

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/digest"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Edge authentication: nobody reaches the PBX before he has answered a challenge
// of ours. With a file of users the answer is checked here, and a wrong password
// is refused here, in the PBX's place and counted like its refusals; without one
// the answer proves an address only, and the PBX checks the password with a
// challenge of its own.
//
// A PBX behind a file either trusts the gateway, or challenges. Then we answer
// for the phone where the file has its hash for that realm; else the challenge
// goes on to the phone, which may answer it once.

// Authentication is what is asked of those who are not identified. The zero
// value asks nothing.
type Authentication struct {
	Users     *digest.Users // who there is; nil: only the PBX knows
	Challenge bool          // without Users: challenge before the PBX does
	Realm     string        // of our challenges; "": the domain, or what the PBX says
	// Algorithms of our challenges, in their order; those that every user has a
	// hash for are offered. nil: all of those.
	Algorithms []string
}

// RuleAuthentication is the rule of what edge authentication decides.
const RuleAuthentication = "base/authentication"

// edge is the state of it.
type edge struct {
	users  atomic.Pointer[digest.Users]
	uses   uses
	passed challenged // challenges of the PBX that were left to the phone
	nonces nonces     // of PBXs, whose challenges we answer for phones
}

// SetUsers replaces the users, of a gateway that was made with some. What was
// proven stays.
func (g *Gateway) SetUsers(u *digest.Users) { g.edge.users.Store(u) }

// Users are those in force, nil where the gateway knows none.
func (g *Gateway) Users() *digest.Users { return g.edge.users.Load() }

// checks: the gateway knows passwords itself.
func (g *Gateway) checks() bool { return g.edge.users.Load() != nil }

// edgeRealm is the realm of our challenges for the users of a domain.
func (g *Gateway) edgeRealm(domain string) string {
	if g.cfg.Authentication.Realm != "" {
		return g.cfg.Authentication.Realm
	}
	return strings.ToLower(domain)
}

// algorithms are those of our challenges. Where passwords are not checked the
// answer is not computed anew, and any will do.
func (g *Gateway) algorithms(realm string) []string {
	u := g.edge.users.Load()
	if u == nil {
		return []string{digest.MD5}
	}
	common := u.Algorithms(realm)
	if g.cfg.Authentication.Algorithms == nil {
		return common
	}
	var out []string
	for _, a := range g.cfg.Authentication.Algorithms {
		if slices.Contains(common, a) {
			out = append(out, a)
		}
	}
	return out
}

// claimant is who the sender of a request says to be.
func claimant(r *sipx.Request) aor {
	if r.Method() == "REGISTER" {
		return aorOf(r.To().URI)
	}
	return aorOf(r.From().URI)
}

// weigh judges the answer to a challenge of ours. The nonce is known to be ours,
// for this sender and fresh.
func (g *Gateway) weigh(r *sipx.Request, c sipx.Credential) (good, again bool) {
	u, who := g.edge.users.Load(), claimant(r)
	if u == nil {
		return true, false
	}
	p := digest.Proof{User: c.Username, Realm: c.Realm, Nonce: c.Nonce, URI: c.URI, Response: c.Response,
		Algorithm: c.Algorithm, QOP: c.QOP, NC: c.NC, CNonce: c.CNonce}
	n, counts := p.Count()
	realm := g.edgeRealm(who.domain)
	if !u.Check(p, r.Method(), g.algorithms(realm)) || c.Realm != realm || !counts || !u.Speaks(c.Username, realm, who.user) || !sameTarget(c.URI, r.URI()) {
		return false, false
	}
	if !g.edge.uses.first(c.Nonce, madeAt(c.Nonce), n, r.At) {
		return false, true
	}
	g.Counters.Accepted.Add(1)
	return true, false
}

// sameTarget compares the digest's uri with the Request-URI (RFC 7616 §3.4.6):
// user and host, as ports and parameters are where phones write them differently.
func sameTarget(text string, u sipx.URI) bool {
	d, err := sipx.ParseURI(text)
	return err == nil && unescape(d.User) == unescape(u.User) && strings.EqualFold(d.Host, u.Host)
}

// unauthenticated answers a REGISTER that has not shown what is asked for, and
// reports whether it did. It does so in the PBX's place: the attempt was judged,
// and this is how it ends.
func (g *Gateway) unauthenticated(r *sipx.Request, a *call.Attempt, who aor, id identity) bool {
	switch {
	case g.checks():
		if r.Proven || r.Credentialed && r.Denied == "" && g.edge.passed.take(g.passKey(r), r.At) {
			return false
		}
	case !g.cfg.Authentication.Challenge || r.Answered || id.has(who):
		return false
	}
	credentials := sentCredentials(r)
	if credentials == "none" && r.Credentialed || credentials == "sent" && r.Denied == "" {
		credentials = "stale" // they were for another nonce, which says nothing of the password
	}
	g.registered(r, a, 401, credentials)
	g.askCredentials(r, a, 401)
	return true
}

// passKey is one phone and one registration on one connection.
func (g *Gateway) passKey(r *sipx.Request) string {
	return g.mapped("passed", string(r.Flow.Transport), r.Flow.Remote.String(), r.CallID(), claimant(r).String())
}

// letIn is the decision on a request of a stranger that a rule lets in: it
// reaches nobody without a password.
func (g *Gateway) letIn(r *sipx.Request, a *call.Attempt, d call.Decision) call.Decision {
	shown := r.Answered
	if g.checks() {
		shown = r.Proven // with this very request: what was shown before was of whoever it named
	}
	if a.PeerKind != call.Stranger || a.Side != call.Public || shown || !g.checks() && !g.cfg.Authentication.Challenge {
		return d
	}
	return call.Decision{Verdict: call.Challenge, Status: 407, Rule: RuleAuthentication, Reason: "strangers show a password first",
		Severity: call.Info, Subject: call.Subject{Kind: "source", Value: a.Source.Addr.Addr().String()},
		Trace: d.Trace, Also: d.Also, Counts: d.Counts, Effects: d.Effects}
}

// account are the credentials of a phone's user for the PBX, where we have them.
func (g *Gateway) account(who aor) *account {
	u := g.edge.users.Load()
	if u == nil || who.user == "" {
		return nil
	}
	c, ok := u.Credentials(g.edgeRealm(who.domain), who.user)
	if !ok {
		return nil
	}
	return &account{c, &g.edge.nonces}
}

// uses are the nonces whose answers were good, with the highest count of each:
// an answer is taken once (RFC 7616 §5.5). Only who knows a password adds to it.
// When it is full the oldest nonces leave, and with them all that are as old:
// those are stale from then on.
type uses struct {
	most  int // 0: maxUses
	mu    sync.Mutex
	by    map[string]use
	floor time.Time // nonces of that time and before are not taken
}

type use struct {
	made  time.Time
	count uint32
}

// maxUses bounds the nonces that are in use.
const maxUses = 65_536

// first takes the count of a nonce; false when it, or a higher one, was taken.
func (u *uses) first(nonce string, made time.Time, count uint32, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.by == nil {
		u.by = map[string]use{}
	}
	was, known := u.by[nonce]
	if !made.After(u.floor) || known && count <= was.count {
		return false
	}
	most := u.most
	if most == 0 {
		most = maxUses
	}
	if !known && len(u.by) >= most {
		u.makeRoom(now)
		if len(u.by) >= most || !made.After(u.floor) {
			return false
		}
	}
	u.by[nonce] = use{made, count}
	return true
}

// makeRoom forgets what is too old to be taken; else everything up to the time
// of the oldest.
func (u *uses) makeRoom(now time.Time) {
	if u.forget(now.Add(-nonceLife - time.Second)) {
		return
	}
	oldest := now
	for _, x := range u.by {
		if x.made.Before(oldest) {
			oldest = x.made
		}
	}
	u.floor = oldest
	u.forget(oldest)
}

func (u *uses) forget(until time.Time) (some bool) {
	for nonce, x := range u.by {
		if !x.made.After(until) {
			delete(u.by, nonce)
			some = true
		}
	}
	return some
}

func (u *uses) expire(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.forget(now.Add(-nonceLife - time.Second))
}
