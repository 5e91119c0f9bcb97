package sbc

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// Tables counts the entries of every table of the gateway, for tests of what
// is left behind.
func (g *Gateway) Tables() map[string]int {
	c := &g.calls
	c.mu.Lock()
	out := map[string]int{"attempts": len(c.attempts), "dialogs": len(c.dialogs), "sessions": len(c.all), "groups": len(c.groups),
		"inside": len(c.inside), "session-ids": len(c.sessID), "recent": len(c.recent), "callers": len(c.callers)}
	c.mu.Unlock()
	g.ids.mu.Lock()
	out["flows"] = len(g.ids.flows)
	g.ids.mu.Unlock()
	g.bindings.sourceMu.Lock()
	out["addresses"] = len(g.bindings.sources)
	g.bindings.sourceMu.Unlock()
	g.challenges.mu.Lock()
	out["challenges"] = len(g.challenges.open)
	g.challenges.mu.Unlock()
	g.turns.mu.Lock()
	out["turns"] = len(g.turns.last)
	g.turns.mu.Unlock()
	g.subs.mu.Lock()
	out["subscriptions"], out["subscription-ends"], out["subscribers"] = len(g.subs.all), len(g.subs.ends), len(g.subs.users)
	g.subs.mu.Unlock()
	g.relays.mu.Lock()
	out["challenged"] = len(g.relays.until)
	g.relays.mu.Unlock()
	out["bindings"] = g.bindings.len()
	out["transactions"] = g.Transactions()
	return out
}

// Connections is how much is counted of accepted connections.
func (g *Gateway) Connections() int { return g.stack.Counted() }

// ReferTo is how a Refer-To reads at a phone of sip.example.test, after the
// gate that every message passes, and its Replaces.
func ReferTo(v string) (out, rep string, ok bool) {
	msg := "REFER sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP b;branch=z9hG4bKx\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=x\r\nTo: <sip:a@b>\r\n" +
		"Call-ID: x\r\nCSeq: 1 REFER\r\nContact: <sip:a@b>\r\nRefer-To: " + v + "\r\nContent-Length: 0\r\n\r\n"
	if _, bad := sipx.Check([]byte(msg), false, sipx.Limits{}); bad != nil {
		return "", "", false
	}
	t, code := readReferTo(strings.TrimSpace(v))
	if code != 0 {
		return "", "", false
	}
	if t.replaces != "" {
		p, ok := readReplaces(t.replaces)
		if !ok {
			return "", "", false
		}
		rep = p.String()
	}
	plan, err := number.Compile(number.Home{Country: "FR"}, number.Builtin())
	if err != nil {
		panic(err)
	}
	g := &Gateway{cfg: Config{Domains: []string{"sip.example.test"}, EmergencyNumber: "112"}, deps: Deps{Plan: plan}}
	return g.referTo(&t, &leg{kind: call.Phone}, rep), rep, true
}

// ExpireSubscriptions does what the janitor does at that time.
func (g *Gateway) ExpireSubscriptions(at time.Time) { g.subs.expire(at) }

// Sealed and Unsealed are how an identifier of one side stands on the other.
func (g *Gateway) Sealed(v string) string           { return g.sealed(v) }
func (g *Gateway) Unsealed(v string) (string, bool) { return g.unsealed(v) }

// HoldAttempts holds n challenged attempts and reports how many are held.
func (g *Gateway) HoldAttempts(n int, until time.Time) int {
	for i := range n {
		g.relays.hold(strconv.Itoa(i), netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), until)
	}
	g.relays.mu.Lock()
	defer g.relays.mu.Unlock()
	return len(g.relays.until)
}

// ForgetAttempts does what the janitor does at that time.
func (g *Gateway) ForgetAttempts(at time.Time) { g.relays.expire(at) }

// MaxChallenged is the cap of challenged attempts.
const MaxChallenged = maxChallenged

// MaxChallenges is the cap of challenges without an answer.
const MaxChallenges = maxChallenges

// Reason and Display are what may cross of such text.
func Reason(v string) string  { return reason(v) }
func Display(v string) string { return display(v) }

// Asserted is the user of P-Asserted-Identity lines.
func Asserted(lines ...string) string { return asserted(lines) }

// HoldChallenges holds n challenges and reports how many there was room for.
func (g *Gateway) HoldChallenges(n int) (held int) {
	for i := range n {
		if g.challenges.hold(strconv.Itoa(i), call.Event{Kind: call.EventRegister}) {
			held++
		}
	}
	return held
}

// Assertions is what becomes of P-Asserted-Identity lines towards a host.
func (g *Gateway) Assertions(host string, lines ...string) (out []string) {
	for _, n := range assertedIn(lines) {
		out = append(out, g.assertion(route{}, n, host))
	}
	return out
}

// Transfers is how many REFERs are remembered; Transferred notes one that sent a
// phone to call a number.
func (g *Gateway) Transfers() int {
	g.transfers.mu.Lock()
	defer g.transfers.mu.Unlock()
	return len(g.transfers.until)
}

func (g *Gateway) Transferred(user, number string, at time.Time) {
	g.transfers.note(&leg{kind: call.Phone, aor: aor{user: user}}, &call.Attempt{At: at, To: call.Party{Number: number}})
}

func (g *Gateway) ExpireTransfers(at time.Time) { g.transfers.expire(at) }

func (g *Gateway) LedByTransfer(a *call.Attempt) bool { return g.transfers.led(a) }

// HeldAnswers is how many answers to strangers wait for their time.
func (g *Gateway) HeldAnswers() int {
	g.even.mu.Lock()
	defer g.even.mu.Unlock()
	return g.even.waiting
}

// FillHeldAnswers leaves no place for another.
func (g *Gateway) FillHeldAnswers() {
	for g.even.enter() {
	}
}

// Circles is what circles holds.
func (g *Gateway) Circles() (in, out, full int) {
	g.calls.mu.Lock()
	defer g.calls.mu.Unlock()
	return len(g.calls.circles.in), len(g.calls.circles.out), len(g.calls.circles.full)
}

// Thinnable is how many calls were read that the kernel may drop a part of.
func (g *Gateway) Thinnable() uint64 { return g.overload.calls.Load() }

// SeemThinnable has n calls more look as if they had been read.
func (g *Gateway) SeemThinnable(n uint64) { g.overload.calls.Add(n) }

// Thinning: the kernel drops calls.
func (g *Gateway) Thinning() bool {
	g.overload.unread.mu.Lock()
	defer g.overload.unread.mu.Unlock()
	return g.overload.unread.thinned
}
