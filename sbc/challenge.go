package sbc

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Challenges of our own (then: challenge, edge authentication). Where the gateway
// knows no passwords it judges none: an answer proves that the sender gets what
// is sent to its address, and that it has a name and a password to send. Then
// the request goes on to the PBX, whose own challenge follows; that one says
// stale=true, so that phones answer it and do not take their password for
// refused. To everybody but the phone the two are one attempt.
//
// A nonce is not stored: it is a time, a random number, and an HMAC of both, the
// source address and the Call-ID.

const (
	nonceLife   = 2 * time.Minute // of a nonce, and of the attempt that answered it
	noncePlain  = "rp"            // what ours begin with
	nonceRandom = 6               // random octets in one
	maxProven   = 65_536          // attempts that are remembered to have answered; more are asked again
)

// newNonce makes one for a request.
func (g *Gateway) newNonce(r *sipx.Request) string {
	b := make([]byte, nonceRandom)
	rand.Read(b) // two of one second are two: each is counted by itself
	at := hex.EncodeToString(append([]byte(strconv.FormatInt(r.At.Unix(), 36)), b...))
	return noncePlain + at + "." + g.nonceMAC(at, r)
}

func (g *Gateway) nonceMAC(at string, r *sipx.Request) string {
	return g.mapped("nonce", at, r.Flow.Remote.Addr().String(), r.CallID())
}

// shapedLikeOurs reports a nonce that we may have made, however long ago.
func shapedLikeOurs(nonce string) bool {
	at, mac, ok := strings.Cut(strings.TrimPrefix(nonce, noncePlain), ".")
	return ok && strings.HasPrefix(nonce, noncePlain) && len(mac) == 32 && len(at) < 32 && strings.Trim(at+mac, "0123456789abcdef") == ""
}

// madeFor reports a nonce that we made for that sender and Call-ID a short
// while ago.
func (g *Gateway) madeFor(r *sipx.Request, nonce string) bool {
	at, mac, _ := strings.Cut(strings.TrimPrefix(nonce, noncePlain), ".")
	if !shapedLikeOurs(nonce) || !hmac.Equal([]byte(mac), []byte(g.nonceMAC(at, r))) {
		return false
	}
	age := r.At.Sub(madeAt(nonce))
	return age >= -time.Second && age <= nonceLife
}

// madeAt is when a nonce of ours was made; the zero time when it is none.
func madeAt(nonce string) time.Time {
	at, _, _ := strings.Cut(strings.TrimPrefix(nonce, noncePlain), ".")
	text, err := hex.DecodeString(at)
	if err != nil || len(text) <= nonceRandom {
		return time.Time{}
	}
	sec, err := strconv.ParseInt(string(text[:len(text)-nonceRandom]), 36, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(sec, 0)
}

// answers: the credential is one that a client made of a challenge.
func answers(c sipx.Credential) bool {
	n := len(c.Response)
	return c.Username != "" && c.URI != "" && (n == 32 || n == 64) && strings.Trim(strings.ToLower(c.Response), "0123456789abcdef") == ""
}

// proves finds the answer to a challenge of ours in a request and takes it out:
// it is nobody else's business.
func (g *Gateway) proves(r *sipx.Request) {
	if r.Flow.Side == call.Inside {
		return
	}
	all := r.Credentials()
	if len(all) == 0 && !g.proven.any() {
		return
	}
	key := g.attemptOf(r)
	r.Credentialed = len(all) > 0
	ours := false
	for _, c := range all {
		if shapedLikeOurs(c.Nonce) {
			ours = true
			if !r.Proven && answers(c) && g.madeFor(r, c.Nonce) {
				good, again := g.weigh(r, c)
				if r.Proven = good; !good && !again {
					r.Denied = c.Username
				}
			}
		}
	}
	if ours {
		r.WithoutCredentials(shapedLikeOurs)
	}
	if r.Proven {
		r.Denied = ""
		g.proven.hold(key, r.Flow.Remote.Addr(), r.At.Add(nonceLife))
		g.asked.take(key)
	}
	r.Answered = r.Proven || g.proven.has(key, r.At)
}

func (g *Gateway) attemptOf(r *sipx.Request) string {
	return g.mapped("asked", r.Flow.Remote.Addr().String(), r.CallID())
}

// challenge asks for credentials. Nothing is kept for it.
func (g *Gateway) challenge(r *sipx.Request, a *call.Attempt, d call.Decision) {
	if r.Denied != "" && a.Method != "REGISTER" { // registrations tell of their end themselves
		g.outcome(a, d.Status)
	}
	g.askCredentials(r, a, d.Status)
}

// askCredentials writes the challenge.
func (g *Gateway) askCredentials(r *sipx.Request, a *call.Attempt, code int) {
	if r.Denied != "" {
		g.Counters.Denied.Add(1)
	} else {
		g.Counters.Challenged.Add(1)
	}
	domain := g.cfg.Domains[0]
	if u := claimant(r); g.ours(u.domain) {
		domain = u.domain
	}
	realm := g.edgeRealm(domain)
	if learned := g.realms.of(g.accountFor(a)); learned != "" && g.cfg.Authentication.Realm == "" && !g.checks() {
		realm = learned
	}
	// Who sent credentials sent them for another nonce: it is asked to take this
	// one, not told that its password is wrong. Unless it is.
	r.Refuse(code, sipx.Challenges(code, realm, g.newNonce(r), r.Credentialed && r.Denied == "", g.algorithms(realm)...))
}

// passChallenge makes of a challenge of the PBX what the sender of r is told, and
// learns its realm.
func (g *Gateway) passChallenge(r *sipx.Request, pbx string, hs []sipx.HeaderField) []sipx.HeaderField {
	realm := sipx.Realm(hs)
	if realm == "" {
		return hs
	}
	if pbx != "" {
		g.realms.learn(pbx, realm)
	}
	if r.Proven {
		return sipx.Stale(hs)
	}
	return hs
}

// realms are those that PBXs challenge with, by name: as many as there are PBXs.
type realms struct {
	mu sync.RWMutex
	by map[string]string
}

// maxRealm bounds what is kept of one.
const maxRealm = 256

func (m *realms) of(pbx string) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.by[pbx]
}

func (m *realms) learn(pbx, realm string) {
	if len(realm) > maxRealm || m.of(pbx) == realm {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by == nil {
		m.by = map[string]string{}
	}
	m.by[pbx] = realm
}

// openChallenges are calls that we challenged and that have not answered yet: such a
// call is written down when its time is over, not before. Beyond maxChallenged
// it is written down at once.
type openChallenges struct {
	mu   sync.Mutex
	open map[string]askedCall
}

type askedCall struct {
	a     *call.Attempt
	d     call.Decision
	until time.Time
}

func (k *openChallenges) hold(key string, c askedCall) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.open == nil {
		k.open = map[string]askedCall{}
	}
	if _, again := k.open[key]; !again && len(k.open) >= maxChallenged {
		return false
	}
	k.open[key] = c
	return true
}

func (k *openChallenges) take(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.open, key)
}

func (k *openChallenges) expired(now time.Time) (out []askedCall) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, c := range k.open {
		if now.After(c.until) {
			out = append(out, c)
			delete(k.open, key)
		}
	}
	return out
}

// challengedCall keeps a call that was challenged until it answers.
func (g *Gateway) challengedCall(r *sipx.Request, a *call.Attempt, d call.Decision) bool {
	if d.Verdict != call.Challenge || !g.asked.hold(g.attemptOf(r), askedCall{a, d, a.At.Add(g.cfg.RetryTimeout)}) {
		return false
	}
	g.release(a.ID) // what was counted for it
	return true
}

// unproven writes down the calls that never answered.
func (g *Gateway) unproven(now time.Time) {
	for _, c := range g.asked.expired(now) {
		g.refusedRecord(c.a, c.d)
	}
}
