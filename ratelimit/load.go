package ratelimit

import (
	"sync"
	"sync/atomic"
	"time"
)

// LoadClass orders requests by what is given up first when there is too much
// of everything. What is in a dialog and emergency calls have no class: they
// are never asked about.
type LoadClass uint8

const (
	LoadStranger LoadClass = iota // requests of who is nobody, and do not register
	LoadUnknown                   // registrations of phones that are not known, connections that may bring them
	LoadNew                       // calls, messages, subscriptions, questions of known phones and peers
	LoadOnward                    // what a PBX sends: mostly the next pass of a call that was let in
	LoadRefresh                   // registrations of known phones: sent away, they come back as a storm
	loadClasses
)

func (c LoadClass) String() string {
	return [...]string{"stranger", "unknown", "new", "onward", "refresh"}[c]
}

// LoadClasses lists them, those that are given up first in front.
func LoadClasses() []LoadClass {
	return []LoadClass{LoadStranger, LoadUnknown, LoadNew, LoadOnward, LoadRefresh}
}

// What a request costs, in thousandths of a call.
const (
	CostCall    = 1000
	CostRequest = 400 // REGISTER, SUBSCRIBE, MESSAGE and the like
	CostQuery   = 100 // OPTIONS
	CostConn    = 500 // a TLS handshake
)

// LoadSignals are how full the gateway is. All but Delay are shares of what
// there is: 1 is all of it.
type LoadSignals struct {
	Delay        time.Duration // that messages have waited before they were handled; the least of the interval
	CPU          float64       // of the processors that the process may use
	Busy         float64       // of the time: it ran, or waited for a processor that others had; 0: not known
	Memory       float64
	Files        float64 // descriptors
	Calls        float64
	Transactions float64
	PBX          float64 // of the requests that ended there: with 503, or without an answer
}

// LoadConfig is from where on a signal is too high. Zero fields take the
// defaults, above 1 a share means nothing.
type LoadConfig struct {
	Delay        time.Duration // 20 ms
	CPU          float64       // 0.9; sheds strangers and unknown phones only
	Memory       float64       // 0.9
	Files        float64       // 0.9
	Calls        float64       // 0.95
	Transactions float64       // 0.95
	PBX          float64       // 0.5
}

// Load decides what is let in when there is too much. It follows two ideas:
// the rate of admission is steered by what is measured, as in Welsh and
// Culler, Adaptive Overload Control (USITS 2003), with the standing delay of
// a queue as the foremost signal (CoDel, RFC 8289); and requests of different
// worth draw from one bucket down to different levels (RFC 7415 §3.5.2), so
// that a lower class is never let in at a moment at which a higher is not.
//
// While nothing is short a request costs one addition. Time is an argument;
// Tick wants to be called ten times a second.
type Load struct {
	cfg LoadConfig

	busy  atomic.Bool                // somebody may be refused
	spent [loadClasses]atomic.Uint64 // thousandths that were let in, ever
	count [2][loadClasses]atomic.Uint64

	ticked atomic.Int64  // when the last Tick was, in nanoseconds
	unseen atomic.Uint64 // thousandths of new calls let in since

	mu      sync.Mutex
	patient bool      // somebody only has to wait, and not for long
	spare   regulator // for unknown phones, while that is so
	inner   regulator // for all
	outer   regulator // besides, for strangers and unknown phones: earlier
	fair    shares
	signals LoadSignals
	used    float64 // of the processors, averaged
	last    time.Time
	was     [loadClasses]uint64 // spent at the last tick
	shed    [loadClasses]uint64 // at the last tick
	since   [loadClasses]time.Time
	level   int
}

// reserve is how much of the bucket a class leaves to those above it.
var reserve = [loadClasses]float64{LoadStranger: 0.8, LoadUnknown: 0.6, LoadNew: 0.35, LoadOnward: 0.1}

// freshReserve is that of who has used nothing of its share lately: of two
// that ask, the one who had less goes first.
const freshReserve = 0.2

var outerReserve = [loadClasses]float64{LoadStranger: 0.4}

// NewLoad makes one.
func NewLoad(c LoadConfig) *Load {
	def := func(v *float64, d float64) {
		if !(*v > 0) {
			*v = d
		}
	}
	if c.Delay <= 0 {
		c.Delay = 20 * time.Millisecond
	}
	def(&c.CPU, 0.9)
	def(&c.Memory, 0.9)
	def(&c.Files, 0.9)
	def(&c.Calls, 0.95)
	def(&c.Transactions, 0.95)
	def(&c.PBX, 0.5)
	return &Load{cfg: c}
}

// Busy reports whether anybody may be refused at the moment.
func (l *Load) Busy() bool { return l.busy.Load() }

// Admit asks for a request of a class. who is whose share it is: a phone's
// user, a peer, a PBX, as a hash with a secret seed; 0 when it is nobody's.
func (l *Load) Admit(c LoadClass, cost uint32, who uint64, now time.Time) bool {
	ok := c != LoadNew || !l.blind(cost, now)
	if ok && l.busy.Load() {
		ok = l.take(c, float64(cost)/CostCall, who, now)
	}
	if ok {
		l.spent[c].Add(uint64(cost))
		l.count[1][c].Add(1)
	} else {
		l.count[0][c].Add(1)
	}
	return ok
}

// Note counts what was let in without being asked about.
func (l *Load) Note(c LoadClass, cost uint32) {
	l.spent[c].Add(uint64(cost))
	l.count[1][c].Add(1)
}

// A flood that begins may keep whoever measures from running: until then so
// many calls are let in, and no more.
const (
	blindAfter = 300 * time.Millisecond // without a Tick
	blindCalls = 200
)

func (l *Load) blind(cost uint32, now time.Time) bool {
	n := l.unseen.Add(uint64(cost))
	if n <= blindCalls*CostCall {
		return false
	}
	at := l.ticked.Load()
	return at != 0 && now.UnixNano()-at > int64(blindAfter)
}

// Peek reports whether Admit would let a class in, and takes nothing.
func (l *Load) Peek(c LoadClass, now time.Time) bool {
	if !l.busy.Load() {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inner.fill(now)
	l.outer.fill(now)
	return l.inner.has(1, reserve[c]) && (c > LoadUnknown || l.outer.has(1, outerReserve[c]))
}

func (l *Load) take(c LoadClass, cost float64, who uint64, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inner.fill(now)
	l.outer.fill(now)
	if l.patient && (c == LoadRefresh || c == LoadUnknown && l.spared(cost, now)) {
		l.inner.owe(cost)
		return true
	}
	leave := reserve[c]
	if c == LoadNew {
		l.fair.wants(who, cost)
		if l.fair.fresh(who, now) {
			leave = freshReserve
		}
	}
	if !l.inner.has(cost, leave) || c <= LoadUnknown && !l.outer.has(cost, outerReserve[c]) {
		return false
	}
	// Shares count while the classes below get nothing: before that there is
	// enough for everybody.
	if c == LoadNew && !l.inner.has(cost, reserve[LoadUnknown]) && !l.fair.take(who, cost, now) {
		return false
	}
	l.inner.spend(cost)
	if c <= LoadUnknown {
		l.outer.spend(cost)
	}
	return true
}

// spareConns are the connections of unknown phones a second that are let in
// whatever else there is to do, and spareBurst is how many at once: a house whose
// power comes back. A handshake costs a millisecond or two.
const (
	spareConns = 40
	spareBurst = 400
)

func (l *Load) spared(cost float64, now time.Time) bool {
	b := &l.spare
	if dt := now.Sub(b.at).Seconds(); dt > 0 {
		b.saved = min(spareBurst*CostConn/CostCall, b.saved+dt*spareConns*CostConn/CostCall)
	}
	if b.at = now; b.saved < cost {
		return false
	}
	b.saved -= cost
	return true
}

// Tick takes what was measured since the last one.
func (l *Load) Tick(now time.Time, s LoadSignals) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ticked.Store(now.UnixNano())
	l.unseen.Store(0)
	dt := now.Sub(l.last).Seconds()
	if l.last.IsZero() || dt <= 0 || dt > 10 {
		l.last, dt = now, 0.1
	}
	l.last, l.signals = now, s
	var flow, low, above float64
	for c := range loadClasses {
		n := l.spent[c].Load()
		v := float64(n-l.was[c]) / CostCall
		l.was[c] = n
		flow += v
		switch {
		case c <= LoadUnknown:
			low += v
		case c > LoadNew:
			above += v
		}
	}
	shedLow := l.refusals(LoadStranger, now) + l.refusals(LoadUnknown, now)
	shedHigh := l.refusals(LoadNew, now) + l.refusals(LoadOnward, now) + l.refusals(LoadRefresh, now)
	p := l.cfg.pressure(s)
	l.patient = p.full <= 1 && p.wait*float64(l.cfg.Delay) < float64(loadPatience)
	l.used += (max(s.CPU, s.Busy) - l.used) * min(1, dt/usedOver)
	l.inner.tick(now, dt, p.wait, p.full, l.used, flow, shedHigh > 0 || shedLow > 0)
	l.outer.tick(now, dt, 2*p.wait, p.soon, l.used, low, shedLow > 0)
	l.fair.tick(now, l.inner.rate-above/dt)
	l.busy.Store(l.inner.rate > 0 || l.outer.rate > 0)
	l.level = 0
	for c := range loadClasses {
		if l.busy.Load() && now.Sub(l.since[c]) < levelHolds && !l.since[c].IsZero() {
			l.level = int(c) + 1
		}
	}
}

// usedOver is the seconds that the use of the processors is averaged over: of a
// tick alone it jumps.
const usedOver = 0.4

// loadPatience is how long registrations may have to wait: they have no caller who
// hears nothing, and if they are sent away they come again as a storm.
const loadPatience = 2 * time.Second

// levelHolds is how long a level stands after the last request of its class
// was refused.
const levelHolds = 3 * time.Second

// refusals of a class since the last tick.
func (l *Load) refusals(c LoadClass, now time.Time) uint64 {
	n := l.count[0][c].Load()
	d := n - l.shed[c]
	l.shed[c] = n
	if d > 0 {
		l.since[c] = now
	}
	return d
}

// pressures are how far signals are from where they should be: 1 is there.
type pressures struct {
	wait float64 // of the queue
	full float64 // of the worst of all else
	soon float64 // the same, for those who are given up first
}

func (c *LoadConfig) pressure(s LoadSignals) (p pressures) {
	p.wait = float64(s.Delay) / float64(c.Delay) * s.own()
	p.soon = strain(s.CPU, c.CPU)
	for _, x := range [...][2]float64{{s.Memory, c.Memory}, {s.Files, c.Files}, {s.Calls, c.Calls}, {s.Transactions, c.Transactions}, {s.PBX, c.PBX}} {
		p.full, p.soon = max(p.full, strain(x[0], x[1])), max(p.soon, strain(x[0], 0.9*x[1]))
	}
	return p
}

// own is how much of a delay is a queue of ours. Who is idle at times has none:
// then it is others on the machine who make messages wait, and to let less in
// would not shorten that.
func (s *LoadSignals) own() float64 {
	const idle, full = 0.7, 0.95
	if s.Busy <= 0 {
		return 1
	}
	return min(1, max(0, (s.Busy-idle)/(full-idle)))
}

// strain makes a pressure of a share: the last few per cent before what there
// is has been used up are what a doubled delay is.
func strain(share, most float64) float64 { return max(0, 1+20*(share/most-1)) }

// LoadState is how a Load stands.
type LoadState struct {
	Level    int     // 0: all are let in; else 1 + the highest class of which some were refused
	Rate     float64 // calls a second that are let in; 0: without limit
	Share    float64 // of one user or peer; 0: without limit
	Proven   float64 // calls a second that were let in lately without a wait
	Pressure float64
	Signals  LoadSignals
	Limits   LoadConfig
	Admitted [loadClasses]uint64
	Shed     [loadClasses]uint64
}

// State may be asked at any time.
func (l *Load) State() (s LoadState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s = LoadState{Level: l.level, Rate: l.inner.rate, Share: l.fair.share, Proven: l.inner.proven, Signals: l.signals, Limits: l.cfg}
	p := l.cfg.pressure(l.signals)
	s.Pressure = max(p.wait, p.full)
	for c := range loadClasses {
		s.Shed[c], s.Admitted[c] = l.count[0][c].Load(), l.count[1][c].Load()
	}
	return s
}
