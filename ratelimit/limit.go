package ratelimit

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Limit is one rule that counts. Exactly one of Rate, Concurrent, Failures and
// Distinct is set, or Failures and Distinct both: so many failures, over so many
// different values.
type Limit struct {
	ID    string
	Match func(*call.Attempt) bool // which requests are counted
	// Key says per what is counted: any of source.ip (an IPv6 /64 counts as one
	// address), source.net (/24, /48), source.country, user, peer, account,
	// register.user, from, to (the number, or the name and domain),
	// from.prefix, to.prefix (without the last digits), from.country,
	// to.country, diverter (who passed the call on); empty: all together. A
	// request without one of them is not counted by a limit per it.
	Key []string
	// Exprs stand beside Key: where one is set, Key is only its name and the text
	// is asked of it. An empty text is not counted; those for which it fails are
	// counted together, as a limit refuses.
	Exprs []func(*call.Attempt) (text string, ok bool)

	Rate       float64       // requests a second
	Burst      int           // requests at once
	Concurrent int           // calls at a time
	Failures   int           // failed attempts …
	Distinct   int           // different values …
	Of         string        // … of this: to, to.prefix, to.country, from, user, …; see distinctNames
	Over       time.Duration // … within this time: of the first failure; the last, of values
	Leak       float64       // instead of Over: so many failures a second are forgotten
	Unanswered bool          // with Distinct: those whose challenge nobody answered are counted

	Verdict  call.Verdict  // Reject, Drop or Challenge; none where Act is set
	Status   int           // of a Reject
	Act      call.Act      // ActBan, of the key; ActHold
	For      time.Duration // of a ban or hold; 0: a ban that doubles with each repetition
	Shadow   bool          // counted and told, not carried out
	Severity call.Severity
	Action   call.Action     // empty: by the kind of request
	Reason   string          // empty: says what was exceeded
	Notes    []call.Evidence // told with each alert, as they are

	Peer string // of PeerLimits: whose it is; its id is shared by all peers
}

// PeerLimits makes the limits of one configured peer: calls at a time and new
// calls a second, 0 for no limit. They count calls from the peer, and calls to
// it where the gateway asks [Engine.JudgeRoute].
func PeerLimits(name string, calls int, cps float64) []Limit {
	match := func(a *call.Attempt) bool { return a.Method == "INVITE" && a.Peer == name }
	var out []Limit
	if cps > 0 {
		out = append(out, Limit{ID: "limits/peer-cps", Peer: name, Match: match, Key: []string{"peer"}, Rate: cps, Burst: max(1, int(cps)),
			Verdict: call.Reject, Status: 480, Severity: call.Medium})
	}
	if calls > 0 {
		out = append(out, Limit{ID: "limits/peer-calls", Peer: name, Match: match, Key: []string{"peer"}, Concurrent: calls,
			Verdict: call.Reject, Status: 486, Severity: call.Medium})
	}
	return out
}

// check refuses limits that could not be counted.
func (l *Limit) check() error {
	kinds := 0
	for _, set := range []bool{l.Rate != 0, l.Concurrent != 0, l.Failures != 0, l.Distinct != 0} {
		if set {
			kinds++
		}
	}
	switch {
	case l.ID == "" || l.Match == nil || kinds != 1 && !(kinds == 2 && l.Failures > 0 && l.Distinct > 0):
		return fmt.Errorf("limit %q: needs an id, a match and one of rate, concurrent, failures, distinct", l.ID)
	case l.Act == call.ActBan && len(l.Key) == 0:
		return fmt.Errorf("limit %s: a ban without a key", l.ID)
	case l.Act == call.ActHangup, l.Act != call.NoAct && l.Verdict != call.Abstain:
		return fmt.Errorf("limit %s: it bans or holds, or it has a verdict", l.ID)
	case l.Act == call.NoAct && l.Verdict != call.Reject && l.Verdict != call.Drop && l.Verdict != call.Challenge, l.Verdict == call.Reject && (l.Status < 400 || l.Status > 699):
		return fmt.Errorf("limit %s: rejects with a status of 400 to 699, or drops", l.ID)
	case l.Rate != 0 && !(l.Rate >= 1e-5 && l.Rate <= 1e9 && l.Burst >= 1 && l.Burst <= 1_000_000):
		return fmt.Errorf("limit %s: rate %v/s with a burst of %d", l.ID, l.Rate, l.Burst)
	case l.Unanswered && (l.Distinct == 0 || l.Failures > 0), l.Leak != 0 && (l.Failures == 0 || l.Distinct > 0 || l.Over > 0 || !(l.Leak >= 1e-6 && l.Leak <= 1e6)):
		return fmt.Errorf("limit %s: unanswered is of distinct, leak (%v/s) of failures without over", l.ID, l.Leak)
	case l.Concurrent < 0, l.Failures < 0, l.Failures > 0 && l.Over <= 0 && l.Leak == 0:
		return fmt.Errorf("limit %s: concurrent %d, failures %d over %s", l.ID, l.Concurrent, l.Failures, l.Over)
	case l.Distinct < 0, l.Distinct > maxDistinct, l.Distinct > 0 && l.Over <= 0, l.Distinct > 0 && !slices.Contains(distinctNames, l.Of):
		return fmt.Errorf("limit %s: distinct %d of %q over %s", l.ID, l.Distinct, l.Of, l.Over)
	}
	if l.Exprs != nil && len(l.Exprs) != len(l.Key) {
		return fmt.Errorf("limit %s: %d expressions for a key of %d", l.ID, len(l.Exprs), len(l.Key))
	}
	for i, k := range l.Key {
		if l.expr(i) != nil {
			if l.Act == call.ActBan {
				return fmt.Errorf("limit %s: a ban of an expression", l.ID)
			}
			continue
		}
		if _, ok := keyParts[k]; !ok {
			return fmt.Errorf("limit %s: unknown key %q", l.ID, k)
		}
	}
	return nil
}

// part is one component of a key.
type part uint8

const (
	sourceIP part = iota
	sourceNet
	user
	peer
	account
	registerUser
	sourceCountry
	from
	fromPrefix
	fromCountry
	to
	toPrefix
	toCountry
	diverter // who passed the call on
	computed // by an expression
)

// expr is the expression of a part of the key, nil where it is a name.
func (l *Limit) expr(i int) func(*call.Attempt) (string, bool) {
	if l.Exprs == nil {
		return nil
	}
	return l.Exprs[i]
}

// text is what part i of the key is in a request.
func (l *limit) text(i int, a *call.Attempt) string {
	if f := l.expr(i); f != nil {
		v, _ := f(a)
		return v
	}
	return l.parts[i].text(a)
}

var keyParts = map[string]part{"source.ip": sourceIP, "source.net": sourceNet, "user": user, "peer": peer,
	"account": account, "register.user": registerUser, "source.country": sourceCountry,
	"from": from, "from.prefix": fromPrefix, "from.country": fromCountry, "to": to, "to.prefix": toPrefix, "to.country": toCountry, "diverter": diverter}

// text is what stands for a part in a request: of a number its canonical form,
// else the user and the domain as they came.
func (p part) text(a *call.Attempt) string {
	switch p {
	case sourceIP, sourceNet:
		return network(a.Source.Addr.Addr(), p).String()
	case user:
		return a.User
	case peer:
		return a.Peer
	case account:
		return a.Account
	case registerUser:
		return a.RegisterUser
	case sourceCountry:
		return a.Source.Country
	case from:
		return nameOf(&a.From)
	case fromPrefix:
		return rangeOf(a.From.E164())
	case fromCountry:
		return a.From.Country
	case to:
		return nameOf(&a.To)
	case toPrefix:
		return rangeOf(a.To.E164())
	case toCountry:
		return a.To.Country
	case diverter:
		return a.Diversion
	}
	return ""
}

// nameOf is whom a party is: a public number, else an extension or name in its
// domain.
func nameOf(p *call.Party) string {
	if n := p.E164(); n != "" {
		return n
	}
	name := p.Number
	if name == "" {
		name = p.User
	}
	if name == "" {
		return ""
	}
	return name + "@" + strings.ToLower(p.Host)
}

// optional parts make a request without them uncounted, instead of one with an
// empty text.
func (p part) optional() bool { return p != account && p != registerUser }

// limit is a Limit ready to count.
type limit struct {
	Limit
	parts []part
	salt  uint64 // tells the keys of limits apart
	every int64  // ns between requests at Rate
	order uint8  // see [newLimits]
}

// key hashes what a request is counted by. Parts are written with their
// length, so that no two keys look alike. ok is false when the request has no
// such key. It is about the user that a registration is for, or about as, where
// that is another.
func (l *limit) key(seed Seed, a *call.Attempt, as string) (key uint64, ok bool) {
	h := newHasher(seed)
	h.word(l.salt)
	for i, p := range l.parts {
		switch p {
		case sourceIP, sourceNet:
			h.octets(network(a.Source.Addr.Addr(), p).As16())
			continue
		case computed:
			v, good := l.Exprs[i](a)
			if good && v == "" {
				return 0, false
			}
			if !good {
				h.word(math.MaxUint64) // one key: no text is so long
				continue
			}
			h.text(v)
			continue
		case registerUser:
			h.text(cmp.Or(as, a.RegisterUser))
			if a.RegisterDomain != "" {
				h.text(a.RegisterDomain)
			}
			writeShown(&h, a, as)
			continue
		}
		v := p.text(a)
		if v == "" && p.optional() {
			return 0, false
		}
		h.text(v)
	}
	return h.sum(), true
}

// network is what of an address counts as one sender: an IPv6 host has a whole
// /64 to itself, so its addresses are one.
func network(a netip.Addr, p part) netip.Addr {
	a = a.Unmap().WithZone("")
	length := a.BitLen()
	switch {
	case a.Is4() && p == sourceNet:
		length = 24
	case a.Is6() && p == sourceNet:
		length = 48
	case a.Is6():
		length = 64
	}
	if n, err := a.Prefix(length); err == nil {
		return n.Addr()
	}
	return a
}

// subjectKinds are the parts that say whom an alert is about.
var subjectKinds = map[part]string{diverter: "user", sourceIP: "source", sourceNet: "source", from: "from", fromPrefix: "from_prefix", to: "to", toPrefix: "to_prefix"}

// subject says who exceeded a limit, for alerts.
func (l *limit) subject(a *call.Attempt) call.Subject {
	for _, p := range l.parts {
		switch p {
		case user:
			return call.Subject{Kind: "user", Value: a.User}
		case peer:
			return call.Subject{Kind: "peer", Value: a.Peer}
		case registerUser:
			if !slices.Contains(l.parts, sourceIP) {
				return call.Subject{Kind: "user", Value: a.RegisterUser}
			}
		}
	}
	if a.Account == "" && slices.Contains(l.parts, computed) && a.Stranger() {
		return call.Subject{Kind: "source", Value: sourceIP.text(a)}
	}
	for _, p := range l.parts {
		if kind := subjectKinds[p]; kind != "" {
			return call.Subject{Kind: kind, Value: p.text(a)}
		}
	}
	return call.Subject{Kind: "account", Value: a.Account}
}

// evidence of the key parts.
func (l *limit) evidence(a *call.Attempt) (out []call.Evidence) {
	for i := range l.parts {
		out = append(out, call.Evidence{Name: l.Key[i], Value: l.text(i, a)})
	}
	return out
}

// threshold says the limit in words.
func (l *limit) threshold() string {
	switch {
	case l.Concurrent > 0:
		return strconv.Itoa(l.Concurrent) + " calls"
	case l.Unanswered:
		return strconv.Itoa(l.Distinct) + " different " + l.Of + " without an answer to the challenge in " + l.Over.String()
	case l.Failures > 0 && l.Distinct > 0:
		return strconv.Itoa(l.Failures) + " failures over " + strconv.Itoa(l.Distinct) + " different " + l.Of + " in " + l.Over.String()
	case l.Leak > 0:
		return strconv.Itoa(l.Failures) + " failures, " + call.RateText(l.Leak) + " forgotten"
	case l.Failures > 0:
		return strconv.Itoa(l.Failures) + " failures in " + l.Over.String()
	case l.Distinct > 0:
		return strconv.Itoa(l.Distinct) + " different " + l.Of + " in " + l.Over.String()
	}
	return call.RateText(l.Rate) + ", burst " + strconv.Itoa(l.Burst)
}

// counts names what a limit on past attempts counts.
func (l *limit) counts() string {
	if l.Unanswered {
		return l.Of + ".unanswered"
	}
	return "failures"
}

// decide makes the Decision of a limit that is exceeded.
func (l *limit) decide(a *call.Attempt, name string, value any, wait time.Duration) call.Decision {
	reason := l.Reason
	if reason == "" {
		per := "in total"
		if len(l.Key) > 0 {
			per = "per " + strings.Join(l.Key, " and ")
		}
		reason = "more than " + l.threshold() + " " + per
	}
	verdict, status := l.verdictOn(a)
	d := call.Decision{Verdict: verdict, Status: status, Rule: l.ID, Reason: reason, Severity: l.Severity, Action: l.Action,
		Subject: l.subject(a), Shadow: l.Shadow, Trace: []string{l.ID},
		Evidence: append(l.evidence(a), call.Evidence{Name: name, Value: value, Threshold: l.threshold()})}
	d.Evidence = append(d.Evidence, l.Notes...)
	if l.Status == 503 {
		d.RetryAfter = max(wait, time.Second)
	}
	d.Effects = l.effects(a, &d)
	switch {
	case d.Action != "" || verdict == call.Challenge:
	case verdict == call.Abstain: // the hold tells of itself
	case l.Verdict == call.Drop:
		d.Action = call.Flood
	case a.Method != "INVITE":
		d.Action = call.RequestRejected
	case l.Shadow:
		d.Action = call.CallWouldReject
	default:
		d.Action = call.CallRejected
	}
	return d
}
