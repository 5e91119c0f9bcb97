package fraud

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
	"pgregory.net/rapid"
)

// Events of one time may come in any order.
func TestOrderWithinOneTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		evs := newWorld(seed).events(8)
		for i := range evs { // much happens at once
			evs[i].At.Time = evs[i].At.Truncate(20 * time.Second)
		}
		mixed := slices.Clone(evs)
		r := rand.New(rand.NewPCG(seed, 1))
		r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		slices.SortStableFunc(mixed, func(a, b call.Event) int { return a.At.Compare(b.At.Time) })
		one, two := office(), office()
		a, b := asText(t, watch(one, evs)), asText(t, watch(two, mixed))
		if !slices.Equal(a, b) {
			t.Fatalf("%d findings in one order, %d in another", len(a), len(b))
		}
		x, _ := one.Snapshot()
		y, _ := two.Snapshot()
		if string(x) != string(y) {
			t.Fatal("what is known differs")
		}
	})
}

// The same events give the same findings and the same state again.
func TestReplaysAreEqual(t *testing.T) {
	evs := newWorld(5).events(400)
	one, two := office(), office()
	if a, b := asText(t, watch(one, evs)), asText(t, watch(two, evs)); !slices.Equal(a, b) || len(a) < 10 {
		t.Errorf("%d and %d findings", len(a), len(b))
	}
	x, _ := one.Snapshot()
	y, _ := two.Snapshot()
	if string(x) != string(y) {
		t.Error("what is known differs")
	}
}

// A clock that steps back neither stops the time of the Engine nor lets it go
// back: what is held ends after twice the time at most.
func TestClockStepsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := teller()
		e.Tick(t0)
		back := time.Duration(rapid.Int64Range(0, int64(4*365*24*time.Hour)).Draw(t, "back"))
		clock := t0.Add(-back)
		e.Tick(clock)
		was := e.now
		start := e.now
		var ran time.Duration
		for range rapid.IntRange(1, 200).Draw(t, "ticks") {
			d := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "tick"))
			clock, ran = clock.Add(d), ran+d
			e.Tick(clock)
			if e.now < was {
				t.Fatal("time went back")
			}
			was = e.now
		}
		got, slack := time.Duration(e.now-start), time.Duration(disorder)+time.Second
		if got > ran+slack || got < ran/2-slack {
			t.Fatalf("%s passed in %s after a step of %s", got, ran, back)
		}
		if back > time.Minute && ran < back && e.wall() != clock.UnixNano() {
			t.Fatalf("%d ns from the clock", e.wall()-clock.UnixNano())
		}
		if ran > 3*back+time.Minute && e.skew > int64(slack) {
			t.Fatalf("still ahead by %s", time.Duration(e.skew))
		}
	})
}

// What comes a little late is no step, and what has no time takes the Engine's.
func TestTimesThatAreNone(t *testing.T) {
	e := teller()
	e.Tick(t0)
	for _, at := range []time.Time{{}, t0.Add(-9 * time.Second), time.Unix(0, 0), time.Date(-300, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2262, 5, 1, 0, 0, 0, 0, time.UTC)} {
		e.Tick(at)
		e.Observe(call.Event{At: call.Time{Time: at}, Kind: call.EventOptions})
		e.Flush()
		if e.now != t0.UnixNano() || e.skew != 0 {
			t.Errorf("%s: now %s, ahead by %s", at, time.Unix(0, e.now).UTC(), time.Duration(e.skew))
		}
	}
}

// A clock that was in 1970 at boot does not end the first week.
func TestLeapEndsNoWeek(t *testing.T) {
	e := New(acting(), DefaultRates("GB", number.Builtin()))
	e.Tick(time.Unix(100, 0))
	e.Tick(time.Unix(200, 0))
	e.Tick(t0)
	if e.warm() || !e.shadow(IDRobo) {
		t.Error("everything is known after a minute")
	}
	e.Tick(t0.Add(25 * time.Hour))
	if !e.warm() || e.shadow(IDRobo) {
		t.Error("nothing is known after a day")
	}
}

// Calls whose end nobody told are over all the same: pushed out, too old, with
// a name that comes again, or because the gateway was gone.
func TestLostEnds(t *testing.T) {
	for name, lose := range map[string]func(e *Engine){
		"pushed out": func(e *Engine) {
			for i := range 200 {
				e.Observe(call.Event{At: call.Time{Time: t0.Add(time.Second)}, Kind: call.EventInvite, ID: fmt.Sprint("in", i), Direction: "inbound", From: near})
			}
			e.Flush()
		},
		"too old": func(e *Engine) {
			for h := range 60 {
				e.Tick(t0.Add(time.Duration(h) * time.Hour))
			}
		},
		"again": func(e *Engine) {
			for i := range 30 {
				e.Observe(call.Event{At: call.Time{Time: t0.Add(time.Second)}, Kind: call.EventInvite, ID: fmt.Sprint("c", i), Direction: "inbound", From: near})
			}
			e.Flush()
		},
		"gone": func(e *Engine) { e.Interrupted() },
	} {
		c := acting()
		c.MaxCalls = 100
		c.Spend.User, c.Spend.Over, c.Costly.Calls = 1e6, 24*time.Hour, 1000
		e := New(c, DefaultRates("GB", number.Builtin()))
		for i := range 30 {
			id := fmt.Sprint("c", i)
			e.Observe(call.Event{At: call.Time{Time: t0}, Kind: call.EventInvite, ID: id, Direction: "outbound", Account: "main", User: "1001", To: far, Verdict: "allow"})
			e.Observe(call.Event{At: call.Time{Time: t0}, Kind: call.EventAnswer, ID: id})
		}
		e.Flush()
		u := e.toll.users.peek(userKey{"main", "1001"}, e.now)
		if u.running != 30 {
			t.Fatalf("%s: %d are up", name, u.running)
		}
		lose(e)
		if e.failed != 0 {
			t.Errorf("%s: %d failed", name, e.failed)
		}
		if u := e.toll.users.peek(userKey{"main", "1001"}, e.now); u.running != 0 || u.perMin != 0 {
			t.Errorf("%s: %d calls and %.2f a minute go on for ever", name, u.running, u.perMin)
		}
		if a := e.costly.up.peek("main", e.now); a != nil && (a.set != 0 || a.talks != 0) {
			t.Errorf("%s: costly calls %+v", name, *a)
		}
	}
}

// garbage makes events that no gateway would: anybody's text in every field.
func garbage(r *rand.Rand, distinct int) call.Event {
	word := func() string {
		switch r.IntN(8) {
		case 0:
			return ""
		case 1:
			return strings.Repeat("\xff\x00é", r.IntN(100))
		case 2:
			return fmt.Sprint("+", r.IntN(distinct))
		}
		return fmt.Sprintf("+44207%07d", r.IntN(distinct))
	}
	num := func() *float64 {
		x := []float64{0, -1, 3, 60, 1e300, math.NaN(), math.Inf(1), math.Inf(-1)}[r.IntN(8)]
		if r.IntN(4) == 0 {
			return nil
		}
		return &x
	}
	kinds := []call.EventKind{call.EventInvite, call.EventInvite, call.EventRinging, call.EventAnswer, call.EventAnswer, call.EventEnd, call.EventRegister, call.EventOptions, call.EventMessage, call.EventFinding, "other", ""}
	ev := call.Event{Kind: kinds[r.IntN(len(kinds))], ID: fmt.Sprint(r.IntN(distinct)), Direction: []string{"inbound", "outbound", "internal", "\x00"}[r.IntN(4)], Account: []string{"main", "", word()}[r.IntN(3)],
		Peer: word(), User: word(), From: word(), To: word(), Dialled: word(), Source: word(), SourceCountry: []string{"GB", "VN", word()}[r.IntN(3)], UserAgent: word(), Verdict: []string{"", "allow", "reject", word()}[r.IntN(4)],
		Rule: word(), Code: []int{0, 200, 404, 487, -5, 1 << 40}[r.IntN(6)], EndedBy: []call.EndedBy{"", call.ByCaller, call.ByCallee, "x"}[r.IntN(4)], RingSeconds: num(), Seconds: num(), Action: call.Action(word()), Count: r.IntN(1 << 40)}
	if r.IntN(2) == 0 {
		ev.Subject = &call.Subject{Kind: []string{"user", "source", word()}[r.IntN(3)], Value: word()}
	}
	ev.At.Time = t0.Add(time.Duration(r.Int64N(int64(48 * time.Hour))))
	if r.IntN(100) == 0 {
		ev.At.Time = time.Unix(r.Int64()-r.Int64(), 0)
	}
	return ev
}

// Garbage makes no detector fail, and no table grow beyond its cap, be the keys
// few or many; nor does what is kept of one key grow for ever.
func TestGarbage(t *testing.T) {
	c := acting()
	c.MaxCalls, c.MaxKeys = 300, 300
	for _, distinct := range []int{4, 5000} {
		e := New(c, DefaultRates("GB", number.Builtin()))
		r := rand.New(rand.NewPCG(11, 12))
		eat := func(n int) map[string]int { // octets of each key of a table
			for range n {
				e.Observe(garbage(r, distinct))
				if r.IntN(500) == 0 {
					e.Tick(t0.Add(time.Duration(r.Int64N(int64(48 * time.Hour)))))
				}
			}
			all, err := e.parts()
			if err != nil {
				t.Fatal(err)
			}
			size := map[string]int{}
			for _, p := range all {
				if p.table == nil {
					continue
				}
				if most, ttl := p.table.limits(); p.table.len() > most || most > 10_000 || ttl <= 0 {
					t.Errorf("%s: %d of %d, for %s", p.name, p.table.len(), most, time.Duration(ttl))
				}
				b, err := p.table.save(nil)
				if err != nil {
					t.Fatal(err)
				}
				size[p.name] = len(b) / max(1, p.table.len())
			}
			return size
		}
		first := eat(8_000)
		for name, size := range eat(8_000) {
			if size > first[name]*3/2+200 {
				t.Errorf("%s: %d octets a key, and twice as much garbage makes it %d", name, first[name], size)
			}
		}
		if e.failed != 0 {
			t.Errorf("%d events made a detector fail", e.failed)
		}
		if _, err := e.Snapshot(); err != nil {
			t.Error(err)
		}
	}
}

// A table with a million keys that came and went keeps the last ones, and
// takes no more memory for it.
func TestTableOfManyKeys(t *testing.T) {
	tab := newTable[int, int64](1000, int64(time.Hour), nil)
	for i := range 1_000_000 {
		*tab.get(i, int64(i)) = int64(i)
		tab.get(7, int64(i)) // one that is in use stays
	}
	if tab.len() != 1000 || tab.peek(7, 1_000_000) == nil || tab.peek(999_500, 1_000_000) == nil || tab.peek(500_000, 1_000_000) != nil {
		t.Errorf("%d keys", tab.len())
	}
	n := 1_000_000
	if a := testing.AllocsPerRun(1000, func() { n++; tab.get(n, int64(n)) }); a > 0 {
		t.Errorf("%.1f allocations for a new key", a)
	}
}

// Other parameters: what is known stays, caps and thresholds are the new ones.
func TestConfigureKeepsState(t *testing.T) {
	e := office()
	evs := newWorld(9).events(300)
	watch(e, evs[:len(evs)/2])
	b, _ := e.Snapshot()
	e.Configure(acting(), DefaultRates("GB", number.Builtin()))
	if after, _ := e.Snapshot(); string(after) != string(b) {
		t.Error("the same parameters changed something")
	}
	other := acting()
	other.MaxKeys, other.MaxCalls = 5, 3
	other.Rules = map[string]Rule{IDPing: {Off: true}}
	e.Configure(other, DefaultRates("FR", number.Builtin()))
	if e.calls.len() > 3 || e.open.len() > 5 || e.toll.users.len() > 5 || e.toll.users.len() == 0 {
		t.Errorf("%d calls, %d incidents, %d users", e.calls.len(), e.open.len(), e.toll.users.len())
	}
	for _, f := range watch(e, evs[len(evs)/2:]) {
		if f.Detector == IDPing {
			t.Error("a detector that is off told something")
		}
	}
	if e.failed != 0 {
		t.Errorf("%d failed", e.failed)
	}
}

// A detector that panics loses an event, not the Engine.
func TestDetectorThatFails(t *testing.T) {
	e := office()
	e.detectors = append([]detector{&breaks{}}, e.detectors...)
	e.Observe(call.Event{At: call.Time{Time: t0}, Kind: call.EventRegister, User: "1"})
	e.Observe(call.Event{At: call.Time{Time: t0.Add(time.Second)}, Kind: call.EventOptions})
	e.Tick(t0.Add(2 * time.Second))
	if e.failed != 2 || e.Failed() != 2 {
		t.Errorf("%d failed", e.failed)
	}
	e.Judge(calls("1", far, call.International))
}

type breaks struct{ blind }

func (*breaks) register(*Engine, *call.Event) { panic("broken") }
func (*breaks) tick(*Engine)                  { panic("broken") }

// A budget beyond all measure is no reason to stand still.
func TestHugeBudget(t *testing.T) {
	for _, usd := range []float64{1e6, 1e9, 1e18, math.MaxFloat64, math.Inf(1)} {
		e := money(t, SpendConfig{User: usd, Account: usd})
		p := &tape{e: e, only: IDSpend}
		p.up(0, "a", "1001", "+49301234567")
		for d := range 3 {
			if f := p.until(time.Duration(d) * 300 * 24 * time.Hour); len(f) > 0 {
				t.Errorf("%g: %+v", usd, f)
			}
		}
	}
}
