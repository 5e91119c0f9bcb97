package sbc_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
)

// TestRandomWalkOut is TestRandomWalk outwards, where there is more to go
// wrong: two carriers, of which the first may be silent, challenge, or pass
// the call on.
func TestRandomWalkOut(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const port = 16096
	w := newRawWorld(t, account(), udpCarrier("second", carrierIP, port), redirects(sbc.RefuseRedirects, sbc.FollowRedirects, sbc.RefuseRedirects), func(c *worldConfig) {
		c.sbc.MaxCall, c.sbc.SetupTimeout, c.sbc.RetryTimeout = time.Second, 600*time.Millisecond, 600*time.Millisecond
		c.sbc.FailoverAfter = 100 * time.Millisecond
		c.sbc.Stack.T1 = 50 * time.Millisecond
		c.sbc.Peers[1].Redirects = sbc.FollowRedirects
	})
	c := newRaw(t, fmt.Sprint(carrierIP, ":", port))
	c.gw = w.a.gw
	w.grant("600")
	a := &walker{raw: w.b, rnd: rand.New(rand.NewPCG(seed, 1)), first: rand.New(rand.NewPCG(seed, 3)), finals: map[string]int{}}
	ends := []*walker{a}
	for i, r := range []*raw{w.a, c} {
		ends = append(ends, &walker{raw: r, rnd: rand.New(rand.NewPCG(seed, uint64(4+i))), finals: map[string]int{}, pbx: true})
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, e := range ends {
		wg.Go(func() { e.run(done) })
	}
	const calls = 300
	var ids []string
	for i := range calls {
		change := []func(*siptest.Message){}
		if a.first.IntN(100) < 60 {
			change = append(change, rel)
		}
		if a.first.IntN(100) < 30 {
			change = append(change, bare)
		}
		ids = append(ids, w.b.invite(fmt.Sprintf("+3319900%04d", i), change...).Branch())
		if (i+1)%30 == 0 {
			eventually(t, fmt.Sprint(i+1, " calls begun"), func() bool { return w.rep.count(call.EventInvite) > i })
		}
	}
	w.quiet()
	eventually(t, "every final answer", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, id := range ids {
			if _, ok := a.finals[id]; !ok {
				return false
			}
		}
		return true
	})
	close(done)
	wg.Wait()
	if len(a.twice) > 0 {
		t.Errorf("two final answers: %v", a.twice)
	}
	w.rep.mu.Lock()
	codes, over := map[int]int{}, 0
	for _, r := range w.rep.records {
		codes[r.Code]++
		if len(r.Passes[0].FailedOver) > 0 {
			over++
		}
	}
	for _, e := range w.rep.systems {
		if e.Action == call.CallFailed {
			t.Errorf("alert %+v", e)
		}
	}
	w.rep.mu.Unlock()
	t.Logf("by final code: %v; %d failed over", codes, over)
	if s := w.b.saw(); strings.Contains(s, publicNet) {
		t.Errorf("the inside saw the public side:\n%s", around(s, publicNet))
	}
	if s := w.a.saw() + c.saw(); strings.Contains(s, insideNet) {
		t.Errorf("the public side saw the inside:\n%s", around(s, insideNet))
	}
}
