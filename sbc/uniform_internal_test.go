package sbc

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

// Times tell nothing: when strangers are answered for users that there are, and
// for users that there are not and take the PBX longer or shorter, the two
// cannot be told apart by a test that tells the PBX's own times apart at once.
func TestTimesTellNothing(t *testing.T) {
	const n = 2000
	r := rand.New(rand.NewPCG(1, 2))
	about := func(d time.Duration) time.Duration {
		return time.Duration(float64(d) * (0.9 + 0.2*r.Float64())) // a database, a hash: 10 % either way
	}
	for name, pbx := range map[string]struct{ there, nobody time.Duration }{
		"a PBX that looks up the password only of those that there are": {6 * time.Millisecond, 2 * time.Millisecond},
		"asked twice for those that there are not":                      {3 * time.Millisecond, 6 * time.Millisecond},
		"a slow one": {180 * time.Millisecond, 240 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			var clock evenClock
			var raw, even [2][]float64
			for range round { // it has to learn how slow the PBX is
				clock.took(about(pbx.there))
			}
			for i := range n {
				who, d := i%2, about(pbx.there)
				if who == 1 {
					d = about(pbx.nobody)
				}
				clock.took(d)
				raw[who] = append(raw[who], float64(d))
				even[who] = append(even[who], float64(d+clock.wait(d)))
			}
			// Two samples are the same up to chance when the distance between
			// their distributions is under 1.95·√(2/n): p = 0.001.
			most := 1.95 * math.Sqrt(2/float64(n/2))
			if d := distance(raw[0], raw[1]); d < 2*most {
				t.Fatalf("the test could not tell the PBX's own times apart: %v", d)
			}
			if d := distance(even[0], even[1]); d > most {
				t.Errorf("the distance between the times of answers is %.3f, by chance at most %.3f", d, most)
			}
		})
	}
}

// distance is that of Kolmogorov and Smirnov: the largest between two empirical
// distributions.
func distance(a, b []float64) (most float64) {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	for _, x := range append(slices.Clone(a), b...) {
		below := func(s []float64) float64 {
			i, _ := slices.BinarySearch(s, math.Nextafter(x, math.Inf(1)))
			return float64(i) / float64(len(s))
		}
		most = max(most, math.Abs(below(a)-below(b)))
	}
	return most
}

func TestEvenClock(t *testing.T) {
	var c evenClock
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	if got := c.step(); got != leastStep {
		t.Errorf("a step is %v at first", got)
	}
	c.took(ms(40))
	for past, want := range map[time.Duration]time.Duration{0: ms(80), ms(40): ms(40), ms(80): ms(80), ms(100): ms(60), -ms(5): ms(80)} {
		if got := c.wait(past); got != want {
			t.Errorf("after %v it waits %v, want %v", past, got, want)
		}
	}
	c.took(time.Hour)
	if got := c.step(); got != mostStep {
		t.Errorf("a step is %v after an hour", got)
	}
	for range 2 * round {
		c.took(ms(1))
	}
	if got := c.step(); got != leastStep {
		t.Errorf("a step is %v when the slow answers are long ago", got)
	}
	c.most = 2
	if !c.enter() || !c.enter() || c.enter() {
		t.Error("there are other than two places")
	}
	c.leave()
	if !c.enter() {
		t.Error("a place that was given back is not there")
	}
}

func TestDecoys(t *testing.T) {
	var k decoys
	if _, ok := k.of("a"); ok {
		t.Error("a decoy from nowhere")
	}
	x, y, z := aor{"x", "d"}, aor{"y", "d"}, aor{"z", "d"}
	k.learn("a", x, false)
	k.learn("a", y, true)
	k.learn("a", z, true)
	k.learn("a", z, false)
	if who, _ := k.of("a"); who != y {
		t.Errorf("%v, want the first that was proven", who)
	}
	k.forget("a", x)
	if _, ok := k.of("a"); !ok {
		t.Error("another was forgotten")
	}
	k.forget("a", y)
	if _, ok := k.of("a"); ok {
		t.Error("it is still there")
	}
}

func TestWhatTells(t *testing.T) {
	for code, want := range map[int]bool{302: true, 400: false, 401: false, 403: true, 404: true, 407: false, 410: true, 423: false, 480: true,
		486: true, 500: false, 503: false, 603: true, 604: true} {
		if tells(code) != want {
			t.Errorf("tells(%d) = %v", code, !want)
		}
	}
}

// Where nobody is noted whom the PBX challenges, one who is registered will do.
func TestRegisteredAt(t *testing.T) {
	var b bindings
	b.init(1000)
	if who, ok := b.registeredAt("main"); ok {
		t.Errorf("nobody is registered, and it is %s", who)
	}
	at := time.Now()
	for i := range 200 {
		b.put(binding{token: strconv.Itoa(i), aor: aor{strconv.Itoa(i), "example.test"}, account: "main", expires: at.Add(time.Hour), asked: at})
	}
	if who, ok := b.registeredAt("main"); !ok || who.domain != "example.test" {
		t.Errorf("%s, %v", who, ok)
	}
	if who, ok := b.registeredAt("other"); ok {
		t.Errorf("of another PBX: %s", who)
	}
}
