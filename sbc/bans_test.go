package sbc_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// withBans is a world with rules, limits and a table of bans.
func withBans(t *testing.T, bans *ratelimit.Bans, rules string, opts ...option) *world {
	t.Helper()
	return newWorld(t, append([]option{func(c *worldConfig) { rule(t, c, bans, rules) }}, opts...)...)
}

func rule(t *testing.T, c *worldConfig, bans *ratelimit.Bans, rules string) {
	t.Helper()
	set, ps := policy.Compile([]policy.Source{{Name: "p", Data: []byte("version: 1\n" + rules)}}, policy.Options{Plan: c.deps.Plan})
	if set == nil {
		t.Fatal(ps.Err())
	}
	c.deps.Bans, c.deps.Guards = bans, guards(t, set)
}

// guards are a policy and what counts for its limits.
func guards(t *testing.T, set *policy.Set) []sbc.Guard {
	t.Helper()
	var limits []ratelimit.Limit
	for _, l := range set.Limits() {
		limits = append(limits, ratelimit.Limit(l))
	}
	counts, err := ratelimit.New(limits, ratelimit.Caps{})
	if err != nil {
		t.Fatal(err)
	}
	set.Count(counts)
	return []sbc.Guard{counts, set}
}

func (r *reports) systemsOf(action call.Action) (out []call.SystemEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.systems {
		if e.Action == action {
			out = append(out, e)
		}
	}
	return out
}

func agent(name string) func(*siptest.PhoneConfig) {
	return func(c *siptest.PhoneConfig) { c.UserAgent = name }
}

func at(host string) func(*siptest.PhoneConfig) {
	return func(c *siptest.PhoneConfig) { c.Local = netip.MustParseAddr(publicNet + host) }
}

// tries connects and registers, and says whether that came about.
func (w *world) tries(user string, change ...func(*siptest.PhoneConfig)) error {
	w.t.Helper()
	p, err := siptest.NewPhone(w.ctx, w.phoneConfig(user, change...))
	if err != nil {
		return err
	}
	w.t.Cleanup(p.Close)
	return p.Register(w.ctx, time.Hour)
}

// A scanner's address is shut out before it is heard again; an address that a
// phone registered from is not, and the phone does not notice.
func TestBanOfAnAddress(t *testing.T) {
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := withBans(t, bans, `rules:
  - {id: x/scanner, on: register, match: {user_agent: sipcli}, then: ban 1h, severity: high, why: "scanner {request.user_agent}"}
`)
	if err := w.tries("1002", agent("sipcli/1.8"), at("50")); err == nil {
		t.Fatal("the scanner was let in")
	}
	told := w.rep.systemsOf(call.SourceBanned)
	if len(told) != 1 || told[0].Rule != "x/scanner" || told[0].Subject.Value != publicNet+"50" || !strings.Contains(told[0].Reason, "scanner sipcli/1.8") {
		t.Fatalf("%+v", told)
	}
	before := len(w.rep.rules())
	if err := w.tries("1002", at("50")); err == nil {
		t.Error("who was banned came in under another name")
	}
	if n := len(w.rep.rules()); n != before {
		t.Error("who is banned was heard")
	}
	if err := w.tries("1002", at("51")); err != nil {
		t.Error("another address: ", err)
	}
	// An office: one phone of it is a scanner.
	office := w.registered("1001", at("60"))
	if err := w.tries("1003", agent("sipcli/1.8"), at("60")); err == nil {
		t.Error("the scanner was let in")
	}
	if n := len(w.rep.systemsOf(call.SourceBanned)); n != 1 {
		t.Error("the office was banned")
	}
	if err := office.Register(w.ctx, time.Hour); err != nil {
		t.Error("the phone that was there lost its connection: ", err)
	}
	if err := w.tries("1003", at("60")); err != nil {
		t.Error("a colleague: ", err)
	}
	bans.Remove(call.ActBan, call.Key{Source: call.SourcePrefix(netip.MustParseAddr(publicNet+"50"), false)}, time.Now())
	if err := w.tries("1002", at("50")); err != nil {
		t.Error("after it was lifted: ", err)
	}
}

// A limit bans its key: one user at one address, not the office, and not the
// user elsewhere.
func TestBanOfAKey(t *testing.T) {
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := withBans(t, bans, `limits:
  - {id: x/failures, on: register, key: [source.ip, register.user], failures: 2, over: 5m, then: ban}
`)
	wrong := func(c *siptest.PhoneConfig) { c.Password = "wrong" }
	for range 3 {
		w.tries("1001", wrong, at("70"))
	}
	told := w.rep.systemsOf(call.SourceBanned)
	if len(told) != 1 || !strings.Contains(told[0].Reason, "register.user=1001") || !strings.Contains(told[0].Reason, "5m0s") {
		t.Fatalf("%+v", told)
	}
	if err := w.tries("1001", at("70")); err == nil {
		t.Error("the pair is not banned")
	}
	if err := w.tries("1002", at("70")); err != nil {
		t.Error("the office: ", err)
	}
	if err := w.tries("1001", at("71")); err != nil {
		t.Error("the user elsewhere: ", err)
	}
}

// Failures are answers of others: what the policy refused itself is none.
func TestRefusalsAreNoFailures(t *testing.T) {
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := withBans(t, bans, `rules:
  - {id: x/closed, on: invite, match: {to: {country: [JM]}}, then: reject 403}
limits:
  - {id: x/failures, on: invite, key: [user], failures: 2, over: 5m, then: reject 480}
`)
	a := w.registered("1001")
	code := func(number string) int {
		t.Helper()
		call, err := a.Invite(w.ctx, number)
		if err == nil {
			call.Bye(w.ctx)
			return 200
		}
		var refused *siptest.Refused
		if !errors.As(err, &refused) {
			t.Fatal(err)
		}
		return refused.Response.Code
	}
	for range 4 {
		if got := code("+18765550100"); got != 403 {
			t.Fatalf("a closed country: %d", got)
		}
	}
	for range 2 {
		if got := code("1999"); got != 404 { // nobody
			t.Fatalf("a number that is not there: %d", got)
		}
	}
	// The answer is with the phone before it is counted.
	eventually(t, "an end of it", func() bool { return code("1999") == 480 })
}

// A shadow ban is told and bans nobody.
func TestShadowBan(t *testing.T) {
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := withBans(t, bans, `rules:
  - {id: x/scanner, on: register, match: {user_agent: sipcli}, then: ban, mode: shadow}
`)
	if err := w.tries("1002", agent("sipcli/1.8")); err != nil {
		t.Error(err)
	}
	if n := len(bans.List(time.Now())); n != 0 || len(w.rep.systemsOf(call.SourceBanned)) != 0 {
		t.Error("somebody was banned")
	}
}

// A held account makes plain calls and calls for help, and none that cost. A
// banned user may call for help.
func TestHoldAndEmergency(t *testing.T) {
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	w := withBans(t, bans, `rules:
  - {id: x/burst, on: invite, match: {to: {country: [JM]}}, then: hold 1h, why: "{call.to.e164}"}
  - {id: x/out, on: invite, match: {to: {country: [CU]}}, key: [user], then: ban 1h}
`)
	a := w.registered("1001")
	b := w.registered("1002", tone(880))
	if r := w.refused(a, "0018765550100", 403); !strings.Contains(r.Get("Warning"), "x/burst") {
		t.Error(r.Get("Warning"))
	}
	if r := w.refused(a, "00442079460000", 403); !strings.Contains(r.Get("Warning"), "holds/costly-calls") {
		t.Error(r.Get("Warning"))
	}
	w.refused(a, "00442079460000", 403)
	told := w.rep.systemsOf(call.AccountHeld)
	if len(told) != 1 || told[0].Subject != (call.Subject{Kind: "user", Value: "1001"}) {
		t.Errorf("%+v", told)
	}
	c := w.call(a, "1002")
	c.Bye(w.ctx)
	w.quiet()
	// Now the other one is banned by his user.
	w.refused(b, "005378001234", 403)
	if r := w.refused(b, "1001", 403); !strings.Contains(r.Get("Warning"), "bans/banned") {
		t.Error(r.Get("Warning"))
	}
	for _, p := range []*siptest.Phone{a, b} {
		if c, err := p.Invite(w.ctx, "112"); err == nil {
			c.Bye(w.ctx)
		}
	}
	helped := 0
	for _, id := range w.rep.rules() {
		if id == "base/emergency" {
			helped++
		}
	}
	if helped < 2 {
		t.Errorf("%d calls for help were permitted: %v", helped, w.rep.rules())
	}
	w.quiet()
}
