package ratelimit_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// fanOut refuses the fourth number of a user within ten minutes.
func fanOut(n int) ratelimit.Limit {
	return ratelimit.Limit{ID: "l/fan-out", Match: all, Key: []string{"user"}, Distinct: n, Of: "to", Over: 10 * time.Minute,
		Verdict: call.Reject, Status: 480, Severity: call.Medium}
}

// text is a message of a user to a number.
func text(user, to string, after time.Duration) *call.Attempt {
	a := request("MESSAGE", "192.0.2.1", after)
	a.User, a.PeerKind = user, call.Phone
	a.To = call.Party{User: to, Number: to, Kind: call.International, Country: "GB"}
	return a
}

func TestDistinct(t *testing.T) {
	e := engine(t, ratelimit.Caps{}, fanOut(3))
	for i, c := range []struct {
		user, to string
		after    time.Duration
		want     call.Verdict
	}{
		{"alice", "+441", 0, call.Abstain},
		{"alice", "+442", 1 * time.Minute, call.Abstain},
		{"alice", "+441", 2 * time.Minute, call.Abstain}, // again: not another one
		{"alice", "+443", 3 * time.Minute, call.Abstain},
		{"alice", "+444", 4 * time.Minute, call.Reject},
		{"alice", "+443", 4 * time.Minute, call.Abstain}, // those that he has stay open
		{"bob", "+444", 4 * time.Minute, call.Abstain},
		{"alice", "+444", 10*time.Minute + 59*time.Second, call.Reject}, // +442 was last heard of at 1m
		{"alice", "+444", 11 * time.Minute, call.Abstain},
		{"alice", "+441", 11 * time.Minute, call.Abstain}, // at 2m, still within
		{"alice", "+442", 12 * time.Minute, call.Reject},
		{"alice", "+442", 14*time.Minute + 1, call.Abstain}, // +443 was at 4m
	} {
		d := e.Judge(text(c.user, c.to, c.after))
		if d.Verdict != c.want {
			t.Fatalf("%d: %s to %s after %s: %s, want %s", i, c.user, c.to, c.after, d.Verdict, c.want)
		}
		if d.Verdict == call.Reject {
			last := d.Evidence[len(d.Evidence)-1]
			if d.Rule != "l/fan-out" || d.Status != 480 || d.Subject != (call.Subject{Kind: "user", Value: "alice"}) || last.Name != "to.different" || last.Value != 3 || last.Threshold != "3 different to in 10m0s" {
				t.Errorf("%d: %+v", i, d)
			}
		}
	}
	// The same call again, further on its way, is no further number.
	a := text("carol", "+441", 0)
	for i := range 5 {
		a.To.Number, a.Pass = fmt.Sprint("+44", i), i+1
		if d := e.Judge(a); d.Verdict != call.Abstain {
			t.Errorf("pass %d: %+v", a.Pass, d)
		}
	}
}

// TestDistinctOf: what is one value and what is another.
func TestDistinctOf(t *testing.T) {
	party := func(user, number string, kind call.NumberKind, country, host string) call.Party {
		return call.Party{User: user, Number: number, Kind: kind, Country: country, Host: host}
	}
	uk1 := party("00442079460001", "+442079460001", call.International, "GB", "a")
	for _, c := range []struct {
		of    string
		a, b  call.Party
		other bool
	}{
		{"to", uk1, party("+442079460001", "+442079460001", call.International, "GB", "B"), false}, // however it is spelt
		{"to", uk1, party("x", "+442079460002", call.International, "GB", "a"), true},
		{"to", party("1001", "1001", call.Extension, "", "a.example"), party("1001", "1001", call.Extension, "", "A.example"), false},
		{"to", party("1001", "1001", call.Extension, "", "a.example"), party("1001", "1001", call.Extension, "", "b.example"), true},
		{"to", party("bob", "", call.Invalid, "", "a"), party("eve", "", call.Invalid, "", "a"), true},
		{"to.prefix", uk1, party("x", "+442079469999", call.International, "GB", "a"), false}, // of one range
		{"to.prefix", uk1, party("x", "+442079470001", call.International, "GB", "a"), true},
		{"to.prefix", uk1, party("bob", "", call.Invalid, "", "a"), false}, // no number: not counted
		{"to.country", uk1, party("x", "+447400123456", call.International, "GB", "a"), false},
		{"to.country", uk1, party("x", "+33123456789", call.International, "FR", "a"), true},
		{"from", uk1, party("x", "+442079460002", call.International, "GB", "a"), true},
		{"from.prefix", uk1, party("x", "+442079460002", call.International, "GB", "a"), false},
		{"from.country", uk1, party("x", "+33123456789", call.International, "FR", "a"), true},
	} {
		e := engine(t, ratelimit.Caps{}, ratelimit.Limit{ID: "l/x", Match: all, Distinct: 1, Of: c.of, Over: time.Minute, Verdict: call.Drop})
		judge := func(p call.Party) call.Verdict {
			a := request("INVITE", "192.0.2.1", 0)
			a.To, a.From = p, p
			return e.Judge(a).Verdict
		}
		if judge(c.a) != call.Abstain {
			t.Fatalf("%s: the first is refused", c.of)
		}
		if got := judge(c.b) != call.Abstain; got != c.other {
			t.Errorf("%s: %+v and %+v: another: %v, want %v", c.of, c.a, c.b, got, c.other)
		}
	}
	for _, of := range []string{"user", "register.user", "source.ip"} {
		e := engine(t, ratelimit.Caps{}, ratelimit.Limit{ID: "l/x", Match: all, Distinct: 1, Of: of, Over: time.Minute, Verdict: call.Drop})
		for i, addr := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2"} {
			a := request("REGISTER", addr, 0)
			a.User, a.RegisterUser = "u"+addr, "r"+addr
			if got := e.Judge(a).Verdict; (got == call.Drop) != (i == 2) {
				t.Errorf("%s: request %d: %s", of, i, got)
			}
		}
	}
}

// TestDistinctAgainstNaiveSets: the engine beside the plainest way to count.
func TestDistinctAgainstNaiveSets(t *testing.T) {
	const most, over = 5, 10 * time.Minute
	e := engine(t, ratelimit.Caps{}, fanOut(most))
	naive := map[string]map[string]time.Duration{"a": {}, "b": {}, "c": {}}
	rnd := rand.New(rand.NewPCG(7, 7))
	refused := 0
	for now := time.Duration(0); now < 300*time.Hour; now += time.Duration(rnd.IntN(80)) * time.Second {
		user, to := string(rune('a'+rnd.IntN(3))), fmt.Sprint("+4420794600", 10+rnd.IntN(9))
		have, within := naive[user], 0
		for _, at := range have {
			if at > now-over {
				within++
			}
		}
		at, there := have[to]
		want := there && at > now-over || within < most
		if want {
			have[to] = now
		} else {
			refused++
		}
		if got := e.Judge(text(user, to, now)).Verdict == call.Abstain; got != want {
			t.Fatalf("after %s %s to %s: %v, want %v of %v", now, user, to, got, want, have)
		}
	}
	if refused < 100 {
		t.Errorf("%d refused: nothing was tested", refused)
	}
}

// TestDistinctRace: of many at the same time exactly as many get through.
func TestDistinctRace(t *testing.T) {
	e := engine(t, ratelimit.Caps{}, fanOut(7))
	var through atomic.Int32
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 4 { // each value four times: it counts once
				if e.Judge(text("alice", fmt.Sprint("+44207946", i), time.Duration(j))).Verdict == call.Abstain {
					through.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := through.Load(); n != 7*4 {
		t.Errorf("%d got through, want the same seven four times", n)
	}
}

// TestDistinctCap: what is remembered has an end, and strangers find it first.
// The other tables are small: Stats walks them, and is asked each time.
func TestDistinctCap(t *testing.T) {
	e := engine(t, ratelimit.Caps{Values: 100, Keys: 128}, fanOut(10),
		ratelimit.Limit{ID: "l/scan", Match: only("OPTIONS"), Key: []string{"source.ip"}, Distinct: 50, Of: "to", Over: time.Hour, Verdict: call.Drop})
	remembered := func() int { return e.Stats(start).Values }
	for i := range 10_000 { // strangers, each from elsewhere
		a := request("OPTIONS", fmt.Sprintf("10.%d.%d.1", i/250, i%250), time.Duration(i))
		a.To.User = "x"
		e.Judge(a)
		if n := remembered(); n > 100 {
			t.Fatalf("%d values", n)
		}
	}
	for i := range 10 {
		for j := range 10 {
			if d := e.Judge(text(fmt.Sprint("u", i), fmt.Sprint("+44", j), 0)); d.Verdict != call.Abstain {
				t.Fatalf("a known sender among strangers: %+v", d)
			}
		}
	}
	if n := remembered(); n != 100 {
		t.Fatalf("%d values, want 100", n)
	}
	// Now all is taken by the known: a stranger is refused, and takes nothing.
	a := request("OPTIONS", "10.99.0.1", 0)
	a.To.User = "x"
	if d := e.Judge(a); d.Verdict != call.Drop {
		t.Errorf("a stranger where there is no room: %+v", d)
	}
	if d := e.Judge(text("u0", "+4499", 0)); d.Verdict != call.Reject {
		t.Errorf("a stranger washed a known sender clean: %+v", d)
	}
	// Somebody else who is known takes the place of who was silent longest.
	if d := e.Judge(text("new", "+441", 0)); d.Verdict != call.Abstain || remembered() > 100 {
		t.Errorf("%+v, %d values", d, remembered())
	}
}

// TestDistinctForgetsLittleFirst: whoever is at his limit cannot be washed
// clean by coming from many other addresses; what is out of its window goes
// before anything else.
func TestDistinctForgetsLittleFirst(t *testing.T) {
	e := engine(t, ratelimit.Caps{Values: 200, Keys: 128},
		ratelimit.Limit{ID: "l/scan", Match: only("OPTIONS"), Key: []string{"source.ip"}, Distinct: 20, Of: "to", Over: time.Hour, Verdict: call.Drop})
	scan := func(from string, to int, at time.Duration) call.Verdict {
		a := request("OPTIONS", from, at)
		a.To.User = fmt.Sprint("x", to)
		return e.Judge(a).Verdict
	}
	for i := range 20 {
		if scan("192.0.2.1", i, 0) != call.Abstain {
			t.Fatal("refused too soon")
		}
	}
	for i := range 20_000 { // he knows the size of the table
		scan(fmt.Sprintf("10.%d.%d.1", i/250, i%250), i, time.Duration(i)*time.Millisecond)
		if n := e.Stats(start).Values; n > 200 {
			t.Fatalf("%d values", n)
		}
	}
	if scan("192.0.2.1", 21, time.Minute) != call.Drop {
		t.Error("the scanner was washed clean")
	}
	for i := range 200 { // an hour later he is what goes first: none of these has to
		scan(fmt.Sprintf("10.200.%d.1", i), 0, 2*time.Hour)
	}
	for i := range 200 {
		if n, _ := e.Counter("l/scan", request("OPTIONS", fmt.Sprintf("10.200.%d.1", i), 2*time.Hour)); n != 1 {
			t.Fatalf("address %d has %d values: it gave way to what is over", i, n)
		}
	}
}

// TestDistinctReload: a limit goes on with what it counted.
func TestDistinctReload(t *testing.T) {
	e := engine(t, ratelimit.Caps{}, fanOut(2))
	e.Judge(text("alice", "+441", 0))
	e.Judge(text("alice", "+442", 0))
	wider, err := e.With([]ratelimit.Limit{fanOut(3)})
	if err != nil {
		t.Fatal(err)
	}
	if d := wider.Judge(text("alice", "+443", 0)); d.Verdict != call.Abstain {
		t.Errorf("%+v", d)
	}
	if d := wider.Judge(text("alice", "+444", 0)); d.Verdict != call.Reject {
		t.Errorf("%+v", d)
	}
	for _, l := range []ratelimit.Limit{
		{ID: "l/x", Match: all, Distinct: 1, Of: "shoe.size", Over: time.Minute, Verdict: call.Drop},
		{ID: "l/x", Match: all, Distinct: 1, Of: "to", Verdict: call.Drop},
		{ID: "l/x", Match: all, Distinct: 10_001, Of: "to", Over: time.Minute, Verdict: call.Drop},
		{ID: "l/x", Match: all, Distinct: 1, Of: "to", Over: time.Minute, Rate: 1, Burst: 1, Verdict: call.Drop},
	} {
		if _, err := ratelimit.New([]ratelimit.Limit{l}, ratelimit.Caps{}); err == nil {
			t.Errorf("%+v is taken", l)
		}
	}
}

// TestDistinctShadow: told, not refused.
func TestDistinctShadow(t *testing.T) {
	l := fanOut(1)
	l.Shadow = true
	e := engine(t, ratelimit.Caps{}, l)
	e.Judge(text("alice", "+441", 0))
	d := e.Judge(text("alice", "+442", 0))
	if d.Verdict != call.Abstain || len(d.Also) != 1 || !d.Also[0].Shadow || d.Also[0].Rule != "l/fan-out" {
		t.Errorf("%+v", d)
	}
}

func TestDistinctDoesNotAllocate(t *testing.T) {
	e := engine(t, ratelimit.Caps{}, fanOut(10))
	a := text("alice", "+442079460000", 0)
	if n := testing.AllocsPerRun(100, func() { e.Judge(a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
