package alert

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func TestCoalescer(t *testing.T) {
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	c := newCoalescer[string](10*time.Second, 1, 2, func(acc *int, more int) { *acc += more })
	add := func(s int, k string, want room) {
		t.Helper()
		if got := c.add(at(s), k, 1, false); got != want {
			t.Fatalf("at %ds %q: got %d, want %d", s, k, got, want)
		}
	}
	due := func(s int, want string) {
		t.Helper()
		var got string
		c.due(at(s), func(v, n int) { got += fmt.Sprintf("%d/%d ", v, n) })
		if got != want {
			t.Fatalf("due at %ds: %q, want %q", s, got, want)
		}
	}
	add(0, "a", pass)
	add(1, "a", folded)
	add(2, "b", pass)
	add(3, "c", full)
	add(4, "a", folded)
	due(9, "")
	due(10, "2/2 ")      // a; its next window begins at 10
	add(11, "a", folded) // still under fire: no second burst
	due(12, "")          // b was alone: forgotten
	add(13, "c", pass)   // its place is free
	due(20, "1/1 ")
	due(30, "") // a and c were silent for a window
	add(31, "a", pass)
	if n := len(c.keys); n != 1 || c.order.Len() != 1 {
		t.Fatalf("%d keys remain", n)
	}
}

func TestCoalescerReserveHasACap(t *testing.T) {
	c := newCoalescer[int](time.Second, 1, 4, func(*int, int) {})
	for i := range 10_000 {
		if got := c.add(t0, i, 1, false); got == full {
			c.add(t0, -i, 1, true)
		}
	}
	if n := len(c.keys); n != 4+c.maxForc {
		t.Fatalf("%d keys, want %d", n, 4+c.maxForc)
	}
	c.due(t0.Add(time.Second), func(int, int) {})
	if len(c.keys) != 0 || c.forced != 0 {
		t.Fatalf("%d keys, %d forced after the window", len(c.keys), c.forced)
	}
}

// naive keeps every value and looks at all of them: what a coalescer without
// a limit on keys has to agree with.
type naive struct {
	window time.Duration
	burst  int
	keys   []*naiveKey
}

type naiveKey struct {
	k      int
	ends   time.Time
	passed int
	held   []int
}

func (n *naive) add(now time.Time, k, v int) room {
	for _, e := range n.keys {
		if e.k == k {
			if e.passed < n.burst {
				e.passed++
				return pass
			}
			e.held = append(e.held, v)
			return folded
		}
	}
	n.keys = append(n.keys, &naiveKey{k: k, ends: now.Add(n.window), passed: 1})
	return pass
}

func (n *naive) due(now time.Time) (sum, num int) {
	var keep []*naiveKey
	for _, e := range n.keys {
		if !e.ends.After(now) {
			if len(e.held) == 0 {
				continue
			}
			for _, v := range e.held {
				sum += v
			}
			num += len(e.held)
			e.held, e.passed, e.ends = nil, n.burst, now.Add(n.window)
		}
		keep = append(keep, e)
	}
	n.keys = keep
	return sum, num
}

func TestCoalescerAgainstNaive(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		burst := 1 + r.IntN(3)
		c := newCoalescer[int](10*time.Second, burst, 1000, func(acc *int, more int) { *acc += more })
		n := &naive{window: 10 * time.Second, burst: burst}
		now, in, out := t0, 0, 0
		for range 2000 {
			now = now.Add(time.Duration(r.IntN(900)) * time.Millisecond)
			sum, num := 0, 0
			c.due(now, func(v, n int) { sum += v; num += n })
			ws, wn := n.due(now)
			if sum != ws || num != wn {
				t.Fatalf("seed %d at %v: due %d/%d, want %d/%d", seed, now.Sub(t0), sum, num, ws, wn)
			}
			out += num
			k, v := r.IntN(12), r.IntN(5)
			got, want := c.add(now, k, v, false), n.add(now, k, v)
			if got != want {
				t.Fatalf("seed %d at %v key %d: %d, want %d", seed, now.Sub(t0), k, got, want)
			}
			in++
			if got == pass {
				out++
			}
		}
		c.drain(func(_, n int) { out += n })
		if in != out {
			t.Fatalf("seed %d: %d values in, %d out", seed, in, out)
		}
	}
}
