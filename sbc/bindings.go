package sbc

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// binding is one phone as the PBX knows it: a token that stands for the
// phone's contact and the flow to reach it by (RFC 5626 §5.3).
type binding struct {
	token     string
	aor       aor
	contact   string // the URI the phone gave
	account   string
	flow      *sipx.Flow // nil once the connection is gone
	source    netip.Addr // where it registered from; stays when the connection goes
	expires   time.Time
	asked     time.Time // when the REGISTER came that it stands for
	userAgent string

	// What refreshes are measured by (throttle.go). The phone was told until
	// when it stands, the PBX granted it for longer.
	cseq        uint32
	print       [16]byte
	phone       [16]byte // the Call-ID that it registers with
	leaving     bool     // a REGISTER that lets it go is on its way, or the PBX refused it
	interval    time.Duration
	told        time.Time
	half, until time.Time // of what the PBX granted
}

// maxContacts bounds the bindings of one AoR; the PBX has its own limit below.
const maxContacts = 20

// maxGrant bounds how long a registration stands here, whatever the PBX
// grants: a phone that was forgotten does not stay known for years.
const maxGrant = 24 * time.Hour

// bindings is the table of registered phones, by token. Only registrations
// that a PBX accepted are in it. The addresses that good registrations came
// from are those of its entries: they are as many at most, and go with them.
type bindings struct {
	mu      sync.Mutex
	max     int
	byToken map[string]*binding
	byAoR   map[aor][]*binding

	sourceMu sync.RWMutex // read for every packet
	sources  map[netip.Addr]int
	before   before
}

func (b *bindings) init(max int) {
	b.max = max
	b.byToken = map[string]*binding{}
	b.byAoR = map[aor][]*binding{}
	b.sources = map[netip.Addr]int{}
}

// count adds or takes off one entry of an address.
func (b *bindings) count(a netip.Addr, n int) {
	b.sourceMu.Lock()
	defer b.sourceMu.Unlock()
	was := b.sources[a]
	if b.sources[a] += n; b.sources[a] <= 0 {
		delete(b.sources, a)
	}
	if was <= 0 || was+n <= 0 {
		b.before.changes++
	}
}

// knows reports whether a user has registered from that address.
func (b *bindings) knows(who aor, a netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.byAoR[who], func(p *binding) bool { return p.source == a })
}

// returning reports whether a registration is of a device that has registered the
// user: by its token, or by its Call-ID, which phones keep (RFC 3261 §10.2).
func (b *bindings) returning(q *registration) bool {
	var some [maxContacts]binding
	of := b.devices(q.aor, some[:0])
	if len(of) == 0 {
		return false
	}
	phone, tokens := phoneOf(q.r), q.tokens()
	return slices.ContainsFunc(of, func(p binding) bool { return p.phone == phone || slices.Contains(tokens, p.token) })
}

// phoneOf stands for the Call-ID that a phone registers with.
func phoneOf(r *sipx.Request) (sum [16]byte) {
	full := sha256.Sum256([]byte(r.CallID()))
	copy(sum[:], full[:])
	return sum
}

// devices appends the bindings of a user, those too that are out of date.
func (b *bindings) devices(who aor, out []binding) []binding {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.byAoR[who] {
		out = append(out, *p)
	}
	return out
}

// registeredAt is one of those who have registered with a PBX, false when none is
// found among the first that are looked at.
func (b *bindings) registeredAt(pbx string) (who aor, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, p := range b.byToken {
		if p.account == pbx {
			return p.aor, true
		}
		if n++; n == 64 {
			break
		}
	}
	return aor{}, false
}

// from reports whether a registered phone has that address, or had it before a
// restart that was lately.
func (b *bindings) from(a netip.Addr) bool {
	b.sourceMu.RLock()
	defer b.sourceMu.RUnlock()
	return b.sources[a] > 0 || b.before.has(a)
}

// token names one contact of one AoR, the same after a reconnect or restart:
// derived from the AoR and the instance (RFC 5626 §4.1), else the contact.
func (g *Gateway) token(a aor, c sipx.NameAddr) string {
	m := hmac.New(sha256.New, g.cfg.TokenKey)
	m.Write([]byte("contact\x00" + a.user + "\x00" + a.domain + "\x00"))
	if inst := c.Get("+sip.instance"); inst != "" {
		m.Write([]byte("instance\x00" + inst + "\x00" + c.Get("reg-id")))
	} else {
		m.Write([]byte("uri\x00" + c.URI.User + "\x00" + strings.ToLower(c.URI.Host)))
	}
	return "rp" + hex.EncodeToString(m.Sum(nil)[:12])
}

// madeHere reports whether a user has the shape of what token makes.
func madeHere(user string) bool {
	hexed, ok := strings.CutPrefix(user, "rp")
	return ok && len(hexed) == 24 && strings.Trim(hexed, "0123456789abcdef") == ""
}

// mapped derives an identifier of ours from one of theirs: the same for a
// retry and a refresh, and telling nothing.
func (g *Gateway) mapped(kind string, parts ...string) string {
	m := hmac.New(sha256.New, g.cfg.TokenKey)
	m.Write([]byte(kind))
	for _, p := range parts {
		m.Write([]byte{0})
		m.Write([]byte(p))
	}
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// put stores or refreshes a binding; false when the table or the AoR is full.
// An answer that comes late, after the phone has registered again or has lost
// its connection, must not take the phone's newer connection away.
func (b *bindings) put(n binding) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.flow != nil && !n.flow.Alive() {
		n.flow = nil
	}
	if old := b.byToken[n.token]; old != nil {
		if old.asked.After(n.asked) || n.flow == nil && old.flow != nil && old.flow.Alive() {
			return true
		}
		b.count(n.source, 1)
		b.count(old.source, -1)
		*old = n
		return true
	}
	if len(b.byToken) >= b.max || len(b.byAoR[n.aor]) >= maxContacts {
		return false
	}
	p := &n
	b.count(p.source, 1)
	b.byToken[n.token] = p
	b.byAoR[n.aor] = append(b.byAoR[n.aor], p)
	return true
}

// remove forgets a binding and returns the connection that the AoR has no
// binding on any more, or nil.
func (b *bindings) remove(token string) *sipx.Flow {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.byToken[token]
	b.drop(p)
	if p == nil || p.flow == nil {
		return nil
	}
	for _, q := range b.byAoR[p.aor] {
		if q.flow == p.flow {
			return nil
		}
	}
	return p.flow
}

// on names the binding that an AoR has on a connection; "" for none or several.
func (b *bindings) on(f *sipx.Flow, a aor) (token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.byAoR[a] {
		if p.flow == f {
			if token != "" {
				return ""
			}
			token = p.token
		}
	}
	return token
}

func (b *bindings) drop(p *binding) {
	if p == nil {
		return
	}
	delete(b.byToken, p.token)
	b.count(p.source, -1)
	rest := slices.DeleteFunc(b.byAoR[p.aor], func(q *binding) bool { return q == p })
	if len(rest) == 0 {
		delete(b.byAoR, p.aor)
	} else {
		b.byAoR[p.aor] = rest
	}
}

// get returns the live binding of a token.
func (b *bindings) get(token string, now time.Time) (binding, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.byToken[token]
	if p == nil || now.After(p.expires) {
		return binding{}, false
	}
	return *p, true
}

// named is get for a token that stands in a document; nobody is sent there.
func (b *bindings) named(token string) (binding, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.byToken[token]; p != nil {
		return *p, true
	}
	return binding{}, false
}

// of lists the live bindings of an AoR, those with a connection first.
func (b *bindings) of(a aor, now time.Time) (out []binding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.byAoR[a] {
		if now.Before(p.expires) {
			out = append(out, *p)
		}
	}
	slices.SortStableFunc(out, func(x, y binding) int {
		alive := func(q binding) int {
			if q.flow != nil && q.flow.Alive() {
				return 0
			}
			return 1
		}
		return cmp.Compare(alive(x), alive(y))
	})
	return out
}

// closed takes the connection from its bindings; they stay until they expire,
// so that a call for them is told that the flow failed.
// Only the AoRs that the flow had registered are looked at: a whole office may
// lose its connections at once.
func (b *bindings) closed(f *sipx.Flow, who []aor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range who {
		for _, p := range b.byAoR[a] {
			if p.flow == f {
				p.flow = nil
			}
		}
	}
}

func (b *bindings) expire(now time.Time) {
	b.expireBefore(now)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.byToken {
		if now.After(p.expires) {
			b.drop(p)
		}
	}
}

func (b *bindings) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.byToken)
}

// Registration is one binding as the admin sees it.
type Registration struct {
	User, Domain, Account, Source, Transport, UserAgent string
	Connected                                           bool
	Expires                                             time.Time
}

// all copies the table, so that nobody waits while it is looked at.
func (b *bindings) all() []binding {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]binding, 0, len(b.byToken))
	for _, p := range b.byToken {
		out = append(out, *p)
	}
	return out
}

// Registrations lists what is registered, ordered by user.
func (g *Gateway) Registrations() (out []Registration) {
	for _, p := range g.bindings.all() {
		r := Registration{User: p.aor.user, Domain: p.aor.domain, Account: p.account, UserAgent: p.userAgent, Expires: p.expires}
		if p.flow != nil {
			r.Connected, r.Source, r.Transport = p.flow.Alive(), p.flow.Remote.String(), p.flow.Transport
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(x, y Registration) int {
		return cmp.Or(cmp.Compare(x.User, y.User), cmp.Compare(x.Source, y.Source))
	})
	return out
}
