package ratelimit_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// again is the same engine after a restart: what it was goes through a file.
func again(t *testing.T, e *ratelimit.Engine, after time.Duration, limits ...ratelimit.Limit) *ratelimit.Engine {
	t.Helper()
	b, err := json.Marshal(e.Kept(start.Add(after)))
	if err != nil {
		t.Fatal(err)
	}
	var k ratelimit.Kept
	if err := json.Unmarshal(b, &k); err != nil {
		t.Fatal(err)
	}
	n := engine(t, ratelimit.Caps{Seed: k.Seed}, limits...)
	n.Restore(k, start.Add(after))
	return n
}

// A restart lets nobody off: whoever is one failure away from a limit is one
// failure away from it afterwards.
func TestFailuresOutliveARestart(t *testing.T) {
	per := ratelimit.Limit{ID: "l/user", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Failures: 10, Over: 5 * time.Minute, Verdict: call.Reject, Status: 403}
	for name, c := range map[string]struct {
		limit ratelimit.Limit
		try   func(g *guesser, i int) string
		at    time.Duration // between tries
		most  int           // tries that are let through
	}{
		"one user": {per, func(g *guesser, i int) string { return g.guesses("192.0.2.1", "1001", time.Duration(i)*time.Second) }, time.Second, 10},
		"many users": {spread, func(g *guesser, i int) string {
			return g.guesses("192.0.2.1", fmt.Sprint(i%7), time.Duration(i)*time.Second)
		}, time.Second, 25},
		"many sources": {sources, func(g *guesser, i int) string {
			return g.guesses(fmt.Sprint("192.0.2.", i), "1001", time.Duration(i)*time.Minute)
		}, time.Minute, 10},
		"slowly": {slow, func(g *guesser, i int) string { return g.guesses("192.0.2.1", "1001", time.Duration(i)*time.Second) }, time.Second, 30},
		"asks only": {unanswered, func(g *guesser, i int) string {
			return g.asks("192.0.2.1", fmt.Sprint(i), time.Duration(i)*time.Second)
		}, time.Second, 19},
	} {
		g := guesser{t: t, e: engine(t, ratelimit.Caps{}, c.limit)}
		for i := range c.most {
			if rule := c.try(&g, i); rule != "" {
				t.Fatalf("%s: try %d is refused", name, i)
			}
			if i%5 == 4 || i == c.most-1 {
				g.e = again(t, g.e, time.Duration(i)*c.at, c.limit)
			}
		}
		if rule := c.try(&g, c.most); rule != c.limit.ID {
			t.Errorf("%s: forgotten by a restart", name)
		}
		late := again(t, g.e, 48*time.Hour, c.limit)
		if s := late.Stats(start.Add(48 * time.Hour)); s.FailureKeys != 0 || s.Values != 0 {
			t.Errorf("%s: %+v after two days", name, s)
		}
	}
}

// A keeper writes when there is something new: not for challenges and answers of
// honest phones.
func TestWhatIsWorthWriting(t *testing.T) {
	g := guesser{t: t, e: engine(t, ratelimit.Caps{}, slow)}
	for i, step := range []struct {
		what string
		do   func() string
		want uint64
	}{
		{"a registration", func() string { g.asks("192.0.2.1", "1001", 0); return g.answers("192.0.2.1", "1001", 0, 200) }, 0},
		{"a failure", func() string { return g.guesses("192.0.2.1", "1001", 0) }, 1},
		{"a success after it", func() string { return g.answers("192.0.2.1", "1001", 0, 200) }, 2},
		{"one more", func() string { return g.answers("192.0.2.1", "1001", 0, 200) }, 2},
	} {
		if step.do(); g.e.Changes() != step.want {
			t.Errorf("%d, %s: %d changes, want %d", i, step.what, g.e.Changes(), step.want)
		}
	}
}

// What a file says is believed within bounds.
func TestRestoreIsBounded(t *testing.T) {
	now := start
	k := ratelimit.Kept{Seed: ratelimit.Seed{1, 2}}
	for i := range uint64(5000) {
		k.Failures = append(k.Failures, ratelimit.KeptCount{Key: i * 0x9e3779b97f4a7c15, Until: now.Add(time.Minute).UnixNano(), Count: 3})
		k.Tries = append(k.Tries, ratelimit.KeptSet{Key: i, Until: now.Add(time.Minute).UnixNano(), Seen: []ratelimit.KeptValue{{Value: 1, At: now.UnixNano()}, {Value: 2, At: now.Add(1000 * time.Hour).UnixNano()}}})
	}
	k.Failures = append(k.Failures, ratelimit.KeptCount{Key: 7, Until: now.Add(1000 * time.Hour * 24).UnixNano()}, ratelimit.KeptCount{Key: 8, Until: -1}, ratelimit.KeptCount{Key: 9, Until: now.Add(time.Hour).UnixNano(), Count: -5})
	k.Tries = append(k.Tries, ratelimit.KeptSet{Key: 99_999, Until: now.Add(time.Minute).UnixNano(), Seen: make([]ratelimit.KeptValue, 2_000_000)})
	e := engine(t, ratelimit.Caps{Keys: 256, Values: 100, Seed: k.Seed}, spread)
	e.Restore(k, now)
	if s := e.Stats(now); s.FailureKeys == 0 || s.FailureKeys > s.Capacity || s.Values != 100 {
		t.Errorf("%+v", s)
	}
	for what, x := range map[string]ratelimit.KeptCount{"a clock that was wrong": {Key: 7, Until: now.Add(1000 * time.Hour).UnixNano()}, "what is over": {Key: 8, Until: now.UnixNano()}} {
		if n := engine(t, ratelimit.Caps{Seed: k.Seed}).Restore(ratelimit.Kept{Seed: k.Seed, Failures: []ratelimit.KeptCount{x}}, now); n != 0 {
			t.Errorf("%s is believed", what)
		}
	}
	// Those of known senders give way to no stranger's, as before.
	var known, strangers []ratelimit.KeptCount
	for i := range uint64(4000) {
		x := ratelimit.KeptCount{Key: (i + 1) * 0x9e3779b97f4a7c15, Until: now.Add(time.Minute).UnixNano(), Count: 3, Known: true}
		known = append(known, x)
		x.Key, x.Known = x.Key^0xabcdef, false
		strangers = append(strangers, x)
	}
	full := engine(t, ratelimit.Caps{Keys: 256, Seed: k.Seed})
	full.Restore(ratelimit.Kept{Seed: k.Seed, Failures: known}, now)
	if n := full.Restore(ratelimit.Kept{Seed: k.Seed, Failures: strangers}, now); n != 0 {
		t.Errorf("%d strangers took the place of known senders", n)
	}
	other := engine(t, ratelimit.Caps{Seed: ratelimit.Seed{3, 4}}, spread)
	if n := other.Restore(k, now); n != 0 {
		t.Errorf("%d keys of another seed", n)
	}
}
