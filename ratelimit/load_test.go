package ratelimit_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/ratelimit"
)

// plant is a gateway that can do so much a second: what is let in waits in its
// queue, and refusing costs a little too. Work that was done for a call after
// its caller would have given up is no good.
type plant struct {
	load             *ratelimit.Load
	capacity, refuse float64 // calls a second; what a refusal costs of a call
	queue            float64
	now              time.Time
	due              [5]float64 // of each class
	least            time.Duration
	users            uint64
	r                *rand.Rand

	done, refused [5]int
	rates         []float64
	longest       time.Duration
	stall         func(time.Time) bool // others have the machine
}

func newPlant(capacity, refuse float64) *plant {
	return &plant{load: ratelimit.NewLoad(ratelimit.LoadConfig{}), capacity: capacity, refuse: refuse, now: start, users: 50, r: rand.New(rand.NewPCG(1, 2))}
}

func (p *plant) run(d time.Duration, offered [5]float64) {
	p.done, p.refused, p.rates, p.longest = [5]int{}, [5]int{}, nil, 0
	const step = time.Millisecond
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(step) {
		for c := range offered {
			for p.due[c] += offered[c] * step.Seconds() * (0.5 + p.r.Float64()); p.due[c] >= 1; p.due[c]-- {
				if p.load.Admit(ratelimit.LoadClass(c), ratelimit.CostCall, 1+p.r.Uint64N(p.users), p.now) {
					p.queue++
					p.done[c]++
				} else {
					p.queue += p.refuse
					p.refused[c]++
				}
			}
		}
		if p.stall == nil || !p.stall(p.now) {
			p.queue = max(0, p.queue-p.capacity*step.Seconds())
		}
		wait := time.Duration(p.queue / p.capacity * float64(time.Second))
		p.least, p.longest = min(p.least, wait), max(p.longest, wait)
		if ms := p.now.UnixMilli(); ms%100 == 0 {
			p.load.Tick(p.now, ratelimit.LoadSignals{Delay: p.least})
			p.least = time.Hour
			p.rates = append(p.rates, p.load.State().Rate)
		}
	}
}

// TestLoadGoodput: at any multiple of what can be done, nearly as much is done
// as can be, nobody waits long, and the rate does not swing.
func TestLoadGoodput(t *testing.T) {
	for _, times := range []float64{1.2, 2, 5, 10} {
		p := newPlant(500, 0.01)
		p.run(10*time.Second, [5]float64{2: times * 500})
		if p.longest > 2*time.Second {
			t.Errorf("×%v: messages waited %s when it began", times, p.longest)
		}
		p.run(30*time.Second, [5]float64{2: times * 500})
		can := 500 - 0.01*500*(times-1) // what refusing leaves
		if got := float64(p.done[2]) / 30; got < 0.95*can || got > 1.01*500 {
			t.Errorf("×%v: %.0f calls/s, want about %.0f", times, got, can)
		}
		if p.longest > 300*time.Millisecond {
			t.Errorf("×%v: messages waited up to %s", times, p.longest)
		}
		var mean, dev float64
		for _, r := range p.rates {
			mean += r / float64(len(p.rates))
		}
		for _, r := range p.rates {
			dev += (r - mean) * (r - mean) / float64(len(p.rates))
		}
		if dev = math.Sqrt(dev) / mean; dev > 0.2 {
			t.Errorf("×%v: the rate swings by %.0f %% of itself", times, 100*dev)
		}
	}
}

// TestLoadStalls: a machine that stands still now and then, for a collection of
// garbage or for others, costs the calls of that time and no more.
func TestLoadStalls(t *testing.T) {
	for _, stall := range []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond} {
		every := 10 * stall
		p := newPlant(500, 0.01)
		p.stall = func(now time.Time) bool { return now.Sub(start)%every < stall }
		p.run(10*time.Second, [5]float64{2: 5000})
		p.run(40*time.Second, [5]float64{2: 5000})
		can := 0.9*500 - 0.01*4500
		if got := float64(p.done[2]) / 40; got < 0.9*can {
			t.Errorf("stalls of %s: %.0f calls/s, want about %.0f", stall, got, can)
		}
	}
}

// TestLoadLess: a machine that can suddenly do only a part is not kept at what
// was possible before.
func TestLoadLess(t *testing.T) {
	p := newPlant(500, 0.01)
	p.run(30*time.Second, [5]float64{2: 1000})
	p.capacity = 100
	p.run(10*time.Second, [5]float64{2: 1000})
	if p.longest > 5*time.Second {
		t.Errorf("messages waited %s", p.longest)
	}
	p.run(20*time.Second, [5]float64{2: 1000})
	if got := float64(p.done[2]) / 20; got < 0.9*91 || got > 1.02*100 || p.longest > time.Second {
		t.Errorf("%.0f calls/s, want about 91; messages waited up to %s", got, p.longest)
	}
}

// TestLoadHouse: while there is more to do than can be done, a house of unknown
// phones whose power comes back is let in at once, and of endlessly many so few
// a second that calls do not suffer; registrations of the known only wait. When
// memory is short there is no such mercy.
func TestLoadHouse(t *testing.T) {
	over := func(s ratelimit.LoadSignals) (l *ratelimit.Load, now time.Time) {
		l, now = ratelimit.NewLoad(ratelimit.LoadConfig{}), start
		for range 50 {
			now = now.Add(100 * time.Millisecond)
			l.Admit(ratelimit.LoadNew, ratelimit.CostCall, 1, now)
			l.Tick(now, s)
		}
		return l, now
	}
	l, now := over(ratelimit.LoadSignals{CPU: 1, Delay: time.Second})
	for i := range 400 {
		if !l.Admit(ratelimit.LoadRefresh, ratelimit.CostRequest, 0, now) {
			t.Fatalf("registration %d of a known phone is refused", i)
		}
	}
	for i := range 250 {
		if !l.Admit(ratelimit.LoadUnknown, ratelimit.CostConn, 0, now) {
			t.Fatalf("phone %d is refused", i)
		}
	}
	in := 0
	for range 20_000 {
		now = now.Add(time.Millisecond)
		if l.Admit(ratelimit.LoadUnknown, ratelimit.CostConn, 0, now) {
			in++
		}
	}
	if in > 20*60 {
		t.Errorf("%d connections of unknown phones in 20 s", in)
	}
	for _, s := range []ratelimit.LoadSignals{{Memory: 1}, {Files: 1}, {Transactions: 1}, {CPU: 1, Delay: 10 * time.Second}} {
		l, now := over(s)
		in := 0
		for range 200 {
			if l.Admit(ratelimit.LoadUnknown, ratelimit.CostConn, 0, now) {
				in++
			}
		}
		if in > 30 {
			t.Errorf("%+v: %d of 200 unknown phones are let in", s, in)
		}
	}
}

// TestLoadBlind: when nobody measures, for the flood itself keeps him from it,
// no more calls than a few hundred are let in; and all are before the first
// measurement, and as long as it comes in time.
func TestLoadBlind(t *testing.T) {
	l, now := ratelimit.NewLoad(ratelimit.LoadConfig{}), start
	in := func(d time.Duration) (n int) {
		for range 5000 {
			now = now.Add(d / 5000)
			if l.Admit(ratelimit.LoadNew, ratelimit.CostCall, 1, now) {
				n++
			}
		}
		return n
	}
	if n := in(time.Second); n != 5000 {
		t.Errorf("%d of 5000 before it is measured", n)
	}
	l.Tick(now, ratelimit.LoadSignals{})
	if n := in(200 * time.Millisecond); n != 5000 {
		t.Errorf("%d of 5000 between two measurements", n)
	}
	l.Tick(now, ratelimit.LoadSignals{})
	now = now.Add(400 * time.Millisecond)
	if n := in(time.Second); n != 200 {
		t.Errorf("%d of 5000 while nobody measures, want 200", n)
	}
	if !l.Admit(ratelimit.LoadRefresh, ratelimit.CostRequest, 1, now) || !l.Admit(ratelimit.LoadOnward, ratelimit.CostCall, 0, now) {
		t.Error("what is no new call is refused")
	}
	l.Tick(now, ratelimit.LoadSignals{})
	if n := in(100 * time.Millisecond); n != 5000 {
		t.Errorf("%d of 5000 when it is measured again", n)
	}
}

// TestLoadIdle: nobody is refused below what can be done, and after an overload
// everybody is let in again.
func TestLoadIdle(t *testing.T) {
	p := newPlant(500, 0.01)
	p.run(20*time.Second, [5]float64{50, 50, 250, 50, 50})
	if p.refused != [5]int{} || p.load.Busy() {
		t.Fatalf("refused %v at 90 %%", p.refused)
	}
	p.run(10*time.Second, [5]float64{2: 2500})
	if p.refused[2] == 0 || p.load.State().Level != 3 {
		t.Fatalf("level %d, refused %v", p.load.State().Level, p.refused)
	}
	p.run(15*time.Second, [5]float64{2: 300})
	p.run(5*time.Second, [5]float64{2: 300})
	if p.refused != [5]int{} || p.load.Busy() || p.load.State().Level != 0 || p.load.State().Rate != 0 {
		t.Errorf("after it: refused %v, %+v", p.refused, p.load.State())
	}
}

// TestLoadRamp: the more comes, the higher the classes that are refused.
func TestLoadRamp(t *testing.T) {
	each := func(n float64) [5]float64 { return [5]float64{n, n, n, n, n} }
	for _, c := range []struct {
		offered [5]float64
		all     []int // that are let in whole, nearly
		none    []int // of which hardly any is
	}{
		{each(90), []int{0, 1, 2, 3, 4}, nil},
		{each(130), []int{2, 3, 4}, nil},
		{each(160), []int{3, 4}, []int{0}},
		{each(230), []int{3, 4}, []int{0, 1}},
		{each(400), []int{4}, []int{0, 1, 2}},
		{[5]float64{5000, 100, 100, 100, 100}, []int{2, 3, 4}, nil},
	} {
		p := newPlant(500, 0.005)
		p.run(15*time.Second, c.offered)
		p.run(20*time.Second, c.offered)
		share := func(i int) float64 { return float64(p.done[i]) / float64(p.done[i]+p.refused[i]) }
		for _, i := range c.all {
			if share(i) < 0.96 {
				t.Errorf("%v: %.0f %% of %s let in", c.offered, 100*share(i), ratelimit.LoadClass(i))
			}
		}
		for _, i := range c.none {
			if share(i) > 0.15 {
				t.Errorf("%v: %.0f %% of %s let in", c.offered, 100*share(i), ratelimit.LoadClass(i))
			}
		}
	}
}

// TestLoadOrder: at no moment is a class let in while one above it is not, of
// senders that have not had their share.
func TestLoadOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	now, refused := start, 0
	l := ratelimit.NewLoad(ratelimit.LoadConfig{})
	for range 200_000 {
		now = now.Add(time.Duration(r.IntN(4)) * time.Millisecond)
		switch r.IntN(20) {
		case 0:
			l.Tick(now, ratelimit.LoadSignals{Delay: time.Duration(r.IntN(60)) * time.Millisecond, CPU: r.Float64(), Memory: r.Float64()})
		case 1:
			was := true
			for _, c := range ratelimit.LoadClasses() {
				is := l.Peek(c, now)
				if was && !is && c > ratelimit.LoadStranger {
					t.Fatalf("%s is refused at a moment at which %s is let in", c, c-1)
				}
				was = is
			}
		default:
			if !l.Admit(ratelimit.LoadClass(r.IntN(5)), ratelimit.CostCall, 0, now) {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// TestLoadCPU: full processors shut strangers and unknown phones out, and
// nobody else: a queue tells better what the known may still do.
func TestLoadCPU(t *testing.T) {
	l, now := ratelimit.NewLoad(ratelimit.LoadConfig{}), start
	var got [5]int
	for range 3000 {
		now = now.Add(10 * time.Millisecond)
		if now.UnixMilli()%100 == 0 {
			l.Tick(now, ratelimit.LoadSignals{CPU: 1})
		}
		for c := range got {
			if l.Admit(ratelimit.LoadClass(c), ratelimit.CostCall, 9, now) {
				got[c]++
			}
		}
	}
	if got[2] != 3000 || got[3] != 3000 || got[4] != 3000 || got[0] > 600 || got[1] > 1500 {
		t.Errorf("let in by class %v", got)
	}
}

// TestLoadSignals: each signal by itself refuses calls above its threshold, and
// not below.
func TestLoadSignals(t *testing.T) {
	for name, s := range map[string]func(x float64) ratelimit.LoadSignals{
		"memory":       func(x float64) ratelimit.LoadSignals { return ratelimit.LoadSignals{Memory: 0.9 * x} },
		"files":        func(x float64) ratelimit.LoadSignals { return ratelimit.LoadSignals{Files: 0.9 * x} },
		"calls":        func(x float64) ratelimit.LoadSignals { return ratelimit.LoadSignals{Calls: 0.95 * x} },
		"transactions": func(x float64) ratelimit.LoadSignals { return ratelimit.LoadSignals{Transactions: 0.95 * x} },
		"pbx":          func(x float64) ratelimit.LoadSignals { return ratelimit.LoadSignals{PBX: 0.5 * x} },
		"delay": func(x float64) ratelimit.LoadSignals {
			return ratelimit.LoadSignals{Delay: time.Duration(x * float64(20*time.Millisecond))}
		},
	} {
		for _, c := range []struct {
			at   float64
			shed bool
		}{{0.98, false}, {1.1, true}} {
			l, now := ratelimit.NewLoad(ratelimit.LoadConfig{}), start
			for range 1500 {
				now = now.Add(10 * time.Millisecond)
				if now.UnixMilli()%100 == 0 {
					l.Tick(now, s(c.at))
				}
				l.Admit(ratelimit.LoadNew, ratelimit.CostCall, 7, now)
			}
			if shed := l.State().Shed[ratelimit.LoadNew] > 0; shed != c.shed {
				t.Errorf("%s at %.2f of its threshold: calls refused: %v", name, c.at, shed)
			}
		}
	}
}

// TestLoadOthers: messages that wait because others have the machine are no
// overload: while the process is idle at times, it could do more.
func TestLoadOthers(t *testing.T) {
	for _, c := range []struct {
		busy float64
		shed bool
	}{{0.3, false}, {0.69, false}, {0.95, true}, {1, true}, {0, true}} {
		l, now := ratelimit.NewLoad(ratelimit.LoadConfig{}), start
		for range 50 {
			now = now.Add(100 * time.Millisecond)
			l.Tick(now, ratelimit.LoadSignals{Delay: 70 * time.Millisecond, CPU: 0.2, Busy: c.busy})
		}
		if l.Busy() != c.shed {
			t.Errorf("busy for %.2f of the time: requests are refused %v", c.busy, l.Busy())
		}
	}
}

// TestLoadBurst: one bad tick is no overload.
func TestLoadBurst(t *testing.T) {
	l, now := ratelimit.NewLoad(ratelimit.LoadConfig{}), start
	for i := range 100 {
		now = now.Add(100 * time.Millisecond)
		s := ratelimit.LoadSignals{Delay: time.Millisecond}
		if i%5 == 0 {
			s.Delay = 90 * time.Millisecond
		}
		if l.Tick(now, s); l.Busy() {
			t.Fatal("a burst counts as overload")
		}
	}
}

// TestLoadFair: under overload a loud user gets what the others leave, and
// they get all they want.
func TestLoadFair(t *testing.T) {
	l, now := ratelimit.NewLoad(ratelimit.LoadConfig{}), start
	var wanted, got [20]int
	r := rand.New(rand.NewPCG(5, 6))
	queue := 0.0
	for i := range 40_000 {
		now = now.Add(time.Millisecond)
		if i == 20_000 {
			wanted, got = [20]int{}, [20]int{}
		}
		for u := range 20 {
			rate := 2.0 // calls a second
			if u == 0 {
				rate = 1000
			}
			if r.Float64() >= rate/1000 {
				continue
			}
			wanted[u]++
			if l.Admit(ratelimit.LoadNew, ratelimit.CostCall, uint64(u+1), now) {
				got[u]++
				queue++
			}
		}
		queue = max(0, queue-0.1) // 100 calls a second
		if i%100 == 0 {
			l.Tick(now, ratelimit.LoadSignals{Delay: time.Duration(queue * 10 * float64(time.Millisecond))})
		}
	}
	small, all := 0, 0
	for u := 1; u < 20; u++ {
		small += got[u]
		all += wanted[u]
	}
	if float64(small) < 0.9*float64(all) {
		t.Errorf("of those who want little %d of %d calls were let in beside a loud one", small, all)
	}
	if got[0] < 600 || got[0] > 1600 {
		t.Errorf("the loud one had %d calls in 20 s, want about what the others leave of 2000: 1240", got[0])
	}
}

// TestLoadSharesCapAllocs: a million users need no more room than one.
func TestLoadSharesCapAllocs(t *testing.T) {
	l, now := ratelimit.NewLoad(ratelimit.LoadConfig{}), start
	for range 20 {
		now = now.Add(100 * time.Millisecond)
		l.Admit(ratelimit.LoadNew, ratelimit.CostCall, 1, now)
		l.Tick(now, ratelimit.LoadSignals{Delay: time.Second})
	}
	if !l.Busy() {
		t.Fatal("no overload")
	}
	n := uint64(0)
	if a := testing.AllocsPerRun(100_000, func() {
		n++
		now = now.Add(10 * time.Microsecond)
		l.Admit(ratelimit.LoadNew, ratelimit.CostCall, n*0x9e3779b97f4a7c15, now)
		if n%10_000 == 0 {
			l.Tick(now, ratelimit.LoadSignals{Delay: time.Second})
		}
	}); a != 0 {
		t.Errorf("%v allocations a request", a)
	}
}

// TestLoadClock: a clock that jumps does no harm.
func TestLoadClock(t *testing.T) {
	l, now := ratelimit.NewLoad(ratelimit.LoadConfig{}), start
	for i := range 300 {
		now = now.Add(100 * time.Millisecond)
		switch i {
		case 50:
			now = now.Add(-24 * time.Hour)
		case 90:
			now = now.Add(48 * time.Hour)
		}
		d := time.Second
		if i > 120 {
			d = 0
		}
		l.Tick(now, ratelimit.LoadSignals{Delay: d})
		l.Admit(ratelimit.LoadNew, ratelimit.CostCall, 3, now)
	}
	if s := l.State(); l.Busy() || math.IsNaN(s.Rate) || math.IsInf(s.Rate, 0) {
		t.Errorf("%+v", s)
	}
}

func BenchmarkLoadAdmitIdle(b *testing.B) {
	l := ratelimit.NewLoad(ratelimit.LoadConfig{})
	for b.Loop() {
		l.Admit(ratelimit.LoadNew, ratelimit.CostCall, 1, start)
	}
}

func BenchmarkLoadAdmitBusy(b *testing.B) {
	l, now := ratelimit.NewLoad(ratelimit.LoadConfig{}), start
	for range 3 {
		now = now.Add(100 * time.Millisecond)
		l.Tick(now, ratelimit.LoadSignals{Delay: time.Second})
	}
	for i := uint64(1); b.Loop(); i++ {
		now = now.Add(time.Microsecond)
		l.Admit(ratelimit.LoadNew, ratelimit.CostCall, i, now)
	}
}
