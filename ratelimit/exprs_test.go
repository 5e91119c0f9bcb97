package ratelimit_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// byPrefix is a key of an expression: the first digits of the number, nothing
// for names; "x…" cannot be evaluated.
func byPrefix(a *call.Attempt) (string, bool) {
	if len(a.To.User) > 0 && a.To.User[0] == 'x' {
		return "", false
	}
	if len(a.To.User) < 3 {
		return "", true
	}
	return a.To.User[:3], true
}

func prefixLimit(l ratelimit.Limit) ratelimit.Limit {
	l.ID, l.Match, l.Verdict, l.Status = "l/prefix", all, call.Reject, 480
	l.Key = []string{"user", "call.to.number.substring(0, 3)"}
	l.Exprs = []func(*call.Attempt) (string, bool){nil, byPrefix}
	return l
}

// An expression is a part of the key like any other. What it says nothing of is
// not counted, and all for which it fails have one budget together.
func TestKeyOfAnExpression(t *testing.T) {
	e := engine(t, ratelimit.Caps{}, prefixLimit(ratelimit.Limit{Rate: 0.001, Burst: 2}))
	judge := func(user, to string) call.Decision {
		a := text(user, to, 0)
		a.To = call.Party{User: to}
		return e.Judge(a)
	}
	for i, c := range []struct {
		user, to string
		refused  bool
	}{
		{"alice", "4411", false}, {"alice", "4412", false}, {"alice", "4413", true}, // one prefix
		{"alice", "4511", false}, {"alice", "4512", false}, {"alice", "4513", true},
		{"bob", "4411", false},
		{"alice", "1", false}, {"alice", "1", false}, {"alice", "1", false},
		{"alice", "x1", false}, {"alice", "x2", false}, {"alice", "x3", true},
	} {
		d := judge(c.user, c.to)
		if (d.Verdict == call.Reject) != c.refused {
			t.Errorf("%d: %s to %s: %+v", i, c.user, c.to, d)
		}
	}
	d := judge("alice", "44199")
	if d.Verdict != call.Reject || d.Evidence[1].Name != "call.to.number.substring(0, 3)" || d.Evidence[1].Value != "441" {
		t.Errorf("%+v", d)
	}
	// The same after a reload; another expression counts for itself.
	again, err := e.With([]ratelimit.Limit{prefixLimit(ratelimit.Limit{Rate: 0.001, Burst: 2})})
	if err != nil {
		t.Fatal(err)
	}
	a := text("alice", "", 0)
	a.To = call.Party{User: "44177"}
	if d := again.Judge(a); d.Verdict != call.Reject {
		t.Errorf("after a reload: %+v", d)
	}
	if n, ok := again.Counter("l/prefix", a); !ok || n != 2 {
		t.Errorf("the counter says %d", n)
	}
	other := prefixLimit(ratelimit.Limit{Rate: 0.001, Burst: 2})
	other.Key = []string{"user", "call.to.user"}
	if again, err = e.With([]ratelimit.Limit{other}); err != nil || again.Judge(a).Verdict != call.Abstain {
		t.Error("another expression is refused", err)
	}
	for _, bad := range []ratelimit.Limit{
		func() ratelimit.Limit {
			l := prefixLimit(ratelimit.Limit{Rate: 1, Burst: 1})
			l.Act, l.Verdict = call.ActBan, call.Abstain
			return l
		}(),
		func() ratelimit.Limit {
			l := prefixLimit(ratelimit.Limit{Rate: 1, Burst: 1})
			l.Exprs = l.Exprs[:1]
			return l
		}(),
	} {
		if _, err := ratelimit.New([]ratelimit.Limit{bad}, ratelimit.Caps{}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// Every kind of limit is exact when many ask in the same moment: exactly as
// many pass as may, with every kind of key.
func TestExactUnderConcurrency(t *testing.T) {
	const may, workers, each = 25, 16, 40
	keys := map[string]ratelimit.Limit{
		"one address": {Key: []string{"source.ip"}}, "all together": {}, "a peer": {Key: []string{"peer"}},
		"an expression": {Key: []string{"source.ip", "e"}, Exprs: []func(*call.Attempt) (string, bool){nil, func(a *call.Attempt) (string, bool) { return a.User, true }}},
	}
	kinds := map[string]func(*ratelimit.Limit){
		"rate":       func(l *ratelimit.Limit) { l.Rate, l.Burst = 0.001, may },
		"concurrent": func(l *ratelimit.Limit) { l.Concurrent = may },
		"distinct":   func(l *ratelimit.Limit) { l.Distinct, l.Of, l.Over = may, "to", time.Hour },
	}
	for keyed, l := range keys {
		for kind, set := range kinds {
			l.ID, l.Match, l.Verdict, l.Status = "l/x", all, call.Reject, 486
			l.Rate, l.Burst, l.Concurrent, l.Distinct, l.Of, l.Over = 0, 0, 0, 0, "", 0
			set(&l)
			e := engine(t, ratelimit.Caps{}, l)
			var passed atomic.Int32
			var wg sync.WaitGroup
			var mu sync.Mutex
			var up []string
			for w := range workers {
				wg.Go(func() {
					for i := range each {
						a := request("INVITE", "192.0.2.1", 0)
						a.ID, a.SIPCallID = fmt.Sprint(w, "-", i), fmt.Sprint(w, "-", i)
						a.User, a.Peer, a.PeerKind, a.Pass = "u", "p", call.Carrier, 1
						a.To = call.Party{Kind: call.International, Number: fmt.Sprintf("+44207%03d%03d", w, i)}
						if e.Judge(a).Verdict == call.Abstain {
							passed.Add(1)
							mu.Lock()
							up = append(up, a.ID)
							mu.Unlock()
						}
					}
				})
			}
			wg.Wait()
			if n := passed.Load(); n != may {
				t.Errorf("%s per %s: %d of %d passed, want exactly %d", kind, keyed, n, workers*each, may)
			}
			for _, id := range up { // given back twice, in any order: nothing is left, nothing is below zero
				wg.Go(func() { e.Done(id); e.Done(id) })
			}
			wg.Wait()
			if n := e.Stats(start).Calls; n != 0 {
				t.Errorf("%s per %s: %d calls are counted after all have ended", kind, keyed, n)
			}
		}
	}
}

// The limits of peers have one id; a counter tells that of the request's own.
func TestCounterOfPeers(t *testing.T) {
	var ls []ratelimit.Limit
	for _, n := range []string{"a", "b"} {
		ls = append(ls, ratelimit.PeerLimits(n, 10, 5)...)
	}
	e := engine(t, ratelimit.Caps{}, ls...)
	from := func(peer string, i int) *call.Attempt {
		a := request("INVITE", "192.0.2.1", 0)
		a.Peer, a.PeerKind, a.Pass, a.ID, a.SIPCallID = peer, call.Carrier, 1, fmt.Sprint(peer, i), fmt.Sprint(peer, i)
		return a
	}
	for i := range 3 {
		e.Judge(from("b", i))
	}
	for id, want := range map[string]int64{"limits/peer-calls": 3, "limits/peer-cps": 3} {
		if n, ok := e.Counter(id, from("b", 9)); !ok || n != want {
			t.Errorf("%s of b: %d %v", id, n, ok)
		}
		if n, ok := e.Counter(id, from("a", 9)); !ok || n != 0 {
			t.Errorf("%s of a: %d %v", id, n, ok)
		}
		if n, ok := e.Counter(id, from("c", 9)); ok || n != 0 {
			t.Errorf("%s of a peer without limits: %d %v", id, n, ok)
		}
	}
}
