package sbc_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/admission"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// written compiles a policy and its limits over the counts of an engine; nil
// makes one.
func written(t *testing.T, text string, counts *ratelimit.Engine) (sbc.Policy, *ratelimit.Engine) {
	t.Helper()
	plan, err := number.Compile(number.Home{Country: "FR", OutsidePrefix: "0"}, number.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	set, ps := policy.Compile([]policy.Source{{Name: "test.yaml", Data: []byte(text)}}, policy.Options{Plan: plan})
	if set == nil {
		t.Fatal(ps)
	}
	var limits []ratelimit.Limit
	for _, l := range set.Limits() {
		limits = append(limits, ratelimit.Limit(l))
	}
	if counts == nil {
		counts, err = ratelimit.New(limits, ratelimit.Caps{})
	} else {
		counts, err = counts.With(limits)
	}
	if err != nil {
		t.Fatal(err)
	}
	set.Count(counts)
	return sbc.Policy{Revision: set.Revision(), Guards: []sbc.Guard{counts, set}, Plan: plan, Headers: set.Headers()}, counts
}

// TestReloadsUnderLoad swaps two policies that contradict each other 50 times a
// second while phones call. Every decision is wholly of one of them and names
// it; no call fails, one that is up stays up and counted.
func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	// Limits and rules of each policy say in every decision that they were asked.
	a, counts := written(t, `version: 1
rules:
  - {id: a/told, on: invite, then: flag}
  - {id: a/shut, on: invite, match: {direction: internal}, then: reject 480}
limits:
  - {id: a/seen, on: invite, rate: 1/d, burst: 1, then: reject 480, mode: shadow}
  - {id: x/calls, on: invite, key: [user], concurrent: 1, then: reject 486}
`, nil)
	b, _ := written(t, `version: 1
rules:
  - {id: b/told, on: invite, then: flag}
  - {id: b/open, on: invite, match: {direction: internal}, then: allow}
limits:
  - {id: b/seen, on: invite, rate: 1/d, burst: 1, then: reject 480, mode: shadow}
  - {id: x/calls, on: invite, key: [user], concurrent: 1, then: reject 486}
`, counts)
	w := newWorld(t, func(c *worldConfig) { c.deps.Guards, c.deps.Revision, c.deps.Plan = b.Guards, b.Revision, b.Plan })
	phones := []*siptest.Phone{w.registered("1001"), w.registered("1002")}
	held := w.registered("1003")
	up := w.call(held, "600") // under b, and up over all that follows

	stop := make(chan struct{})
	var swaps atomic.Int64
	var swapper sync.WaitGroup
	swapper.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := int64(1); ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				w.gw.SetPolicy([]sbc.Policy{b, a}[n%2])
				swaps.Store(n)
			}
		}
	})
	var answered, refused atomic.Int64
	var workers sync.WaitGroup
	for _, p := range phones {
		workers.Go(func() {
			for n := 0; w.ctx.Err() == nil && (n < 20 || swaps.Load() < 50 || answered.Load() < 5 || refused.Load() < 5); n++ {
				c, err := p.Invite(w.ctx, "600")
				var no *siptest.Refused
				switch {
				case err == nil:
					answered.Add(1)
					if err := c.Bye(w.ctx); err != nil {
						t.Error(err)
					}
					// The call is counted until the gateway has closed it.
					eventually(t, "the call is over", func() bool { return w.gw.Live() <= len(phones) })
				case as(err, &no) && no.Response.Code == 480:
					refused.Add(1)
				case as(err, &no) && no.Response.Code == 486: // the BYE has crossed the next INVITE
				default:
					t.Errorf("a call failed: %v", err)
				}
			}
		})
	}
	workers.Wait()
	close(stop)
	swapper.Wait()
	t.Logf("%d swaps, %d answered, %d refused", swaps.Load(), answered.Load(), refused.Load())
	w.gw.SetPolicy(a)
	w.refused(held, "600", 486) // counted before all the swaps
	got := up.Media.Stats().Received
	eventually(t, "media of the call that was up", func() bool { return up.Media.Stats().Received > got })
	if err := up.Bye(w.ctx); err != nil {
		t.Error(err)
	}
	w.quiet()
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	var seen = map[string]int{}
	for _, x := range w.rep.decisions {
		if x.a.Method != "INVITE" {
			continue
		}
		mine := "a/"
		switch x.a.Policy {
		case a.Revision:
		case b.Revision:
			mine = "b/"
		default:
			t.Fatalf("a decision of no policy: %+v %+v", x.a, x.d)
		}
		ids := append([]string{x.d.Rule}, x.d.Trace...)
		for _, also := range x.d.Also {
			ids = append(ids, also.Rule)
			ids = append(ids, also.Trace...)
		}
		for _, id := range ids {
			if id != "" && !strings.HasPrefix(id, "x/") && !strings.HasPrefix(id, mine) {
				t.Fatalf("rule %s in a decision of the other policy: %v", id, ids)
			}
			seen[id]++
		}
		if full := x.d.Rule == "x/calls"; !full && (x.d.Verdict == call.Allow) != (mine == "b/") {
			t.Fatalf("policy %s decided %+v", mine, x.d)
		}
	}
	for _, id := range []string{"a/told", "a/shut", "a/seen", "b/told", "b/open", "b/seen", "x/calls"} {
		if seen[id] == 0 {
			t.Errorf("%s was never asked: %v", id, seen)
		}
	}
	for _, r := range w.rep.records {
		p := r.Passes[0]
		if want := map[string]string{"a/shut": a.Revision, "b/open": b.Revision}[p.Rule]; p.Policy == "" || want != "" && p.Policy != want {
			t.Errorf("record of rule %s names policy %q", p.Rule, p.Policy)
		}
	}
}

// TestPoliciesShareOnlyCounts judges in many goroutines while policies over the
// same counts are made and swapped: each decision is of one, none is disturbed
// by the making of another, and the counts are those of all.
func TestPoliciesShareOnlyCounts(t *testing.T) {
	t.Parallel()
	texts := []string{`version: 1
rules: [{id: a/shut, on: invite, match: {direction: outbound}, then: reject 480}]
limits:
  - {id: a/seen, on: invite, rate: 1/d, burst: 1, then: reject 480, mode: shadow}
  - {id: x/calls, on: invite, key: [user], concurrent: 3, then: reject 486}
`, `version: 1
rules: [{id: b/open, on: invite, match: {direction: outbound}, then: allow}]
limits:
  - {id: b/seen, on: invite, rate: 1/d, burst: 1, then: reject 480, mode: shadow}
  - {id: x/calls, on: invite, key: [user], concurrent: 3, then: reject 486}
`}
	first, counts := written(t, texts[1], nil)
	other, _ := written(t, texts[0], counts)
	prefix := map[string]string{other.Revision: "a/", first.Revision: "b/"}
	var now atomic.Pointer[sbc.Policy]
	now.Store(&first)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	invite := func(user, id string) *call.Attempt {
		return &call.Attempt{At: at, Method: "INVITE", PeerKind: call.Phone, User: user, ID: id, Pass: 1, SIPCallID: id, Direction: call.Outbound,
			To: call.Party{User: "00442079460000", Number: "+442079460000", Kind: call.International, Country: "GB"}}
	}
	for n := range 3 { // three calls are up before and after all swaps
		admission.Decide(first.Guards, invite("held", fmt.Sprint("held", n)))
	}
	done := make(chan struct{})
	var judges sync.WaitGroup
	var judged atomic.Int64
	for g := range 4 {
		judges.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				p, id := now.Load(), fmt.Sprint(g, "-", n)
				d := admission.Decide(p.Guards, invite("u"+fmt.Sprint(g), id))
				mine := prefix[p.Revision]
				for _, x := range append([]call.Decision{d}, d.Also...) {
					if !strings.HasPrefix(x.Rule, mine) {
						t.Errorf("policy %s decided %+v", mine, x)
						return
					}
				}
				if (d.Verdict == call.Allow) != (mine == "b/") {
					t.Errorf("policy %s: %+v", mine, d)
					return
				}
				admission.Done(p.Guards, id)
				judged.Add(1)
			}
		})
	}
	for n := 0; n < 50 || judged.Load() < 1000; n++ {
		p, _ := written(t, texts[n%2], counts)
		now.Store(&p)
		if t.Failed() {
			break
		}
	}
	close(done)
	judges.Wait()
	if d := admission.Decide(now.Load().Guards, invite("held", "one more")); now.Load().Revision == first.Revision && d.Rule != "x/calls" {
		t.Errorf("calls that were up are forgotten: %+v", d)
	}
	if n := counts.Stats(at).Calls; n < 3 {
		t.Errorf("%d calls are counted, want the 3 that are up", n)
	}
}
