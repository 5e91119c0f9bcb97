package fraud

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// traffic makes calls of so many users in 50 accounts, in and out in turns.
type traffic struct {
	users int
	n     int
	at    time.Time
}

// placed is a call: what is asked when it begins, and what happens.
type placed struct {
	asked  call.Attempt
	events [4]call.Event
}

var abroadTo = [...]string{"+4930", "+331", "+3712", "+1212", "+23276", "+442", "+447", "+441"}

func (t *traffic) call() (p placed) {
	t.n++
	t.at = t.at.Add(5 * time.Millisecond)
	u := (t.n * 7919) % t.users
	id, user := fmt.Sprint("c", t.n), fmt.Sprint("u", u)
	far := fmt.Sprintf("%s%07d", abroadTo[u%len(abroadTo)], (u*31+t.n/t.users)%10_000_000)
	ev := call.Event{Kind: call.EventInvite, ID: id, Account: fmt.Sprint("pbx", u%50), User: user, Peer: "carrier-a", Source: "198.51.100.7", SourceCountry: "GB", Verdict: "allow"}
	p.asked = call.Attempt{At: t.at, Method: "INVITE", Account: ev.Account, User: user, Pass: 1}
	ours, theirs := call.Party{Kind: call.National, Number: "+442079460001"}, call.Party{Kind: call.International, Number: far}
	if t.n%2 == 0 {
		ev.Direction, ev.From, ev.To = "outbound", ours.Number, far
		p.asked.Direction, p.asked.From, p.asked.To = call.Outbound, ours, theirs
	} else {
		ev.Direction, ev.From, ev.To = "inbound", far, ours.Number
		p.asked.Direction, p.asked.From, p.asked.To = call.Inbound, theirs, ours
	}
	ring, talk := 4.0, 100.0
	p.events = [4]call.Event{ev, {Kind: call.EventRinging, ID: id}, {Kind: call.EventAnswer, ID: id}, {Kind: call.EventEnd, ID: id, Code: 200, EndedBy: call.ByCaller, RingSeconds: &ring, Seconds: &talk}}
	for i := range p.events {
		p.events[i].At.Time = t.at.Add(time.Duration(i) * time.Millisecond)
	}
	return p
}

func (p *placed) to(e *Engine) {
	e.Judge(&p.asked)
	for i := range p.events {
		e.Observe(p.events[i])
	}
}

// processor is what this process has used of the processors: neighbours that
// are busy change it little.
func processor() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func crowd(users int) (*Engine, *traffic) {
	c := Defaults("call-centre")
	c.Spend.User, c.Spend.Account = 50, 1e9
	e, t := New(c, DefaultRates("GB", number.Builtin())), &traffic{users: users, at: t0}
	for range 3 * users {
		p := t.call()
		p.to(e)
	}
	return e, t
}

// BenchmarkCall is what a call costs, at so many users: the question and the
// four events of a call. The collector's work is in it.
func BenchmarkCall(b *testing.B) {
	for _, users := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(users), func(b *testing.B) {
			e, t := crowd(users)
			batch := make([]placed, 1000)
			var used time.Duration
			n := 0
			for b.Loop() {
				for i := range batch {
					batch[i] = t.call()
				}
				began := processor()
				for i := range batch {
					batch[i].to(e)
				}
				used += processor() - began
				n += len(batch)
			}
			b.ReportMetric(float64(used.Nanoseconds())/1e3/float64(n)/4, "cpu-µs/event")
		})
	}
}

// BenchmarkState is how large the state of 100,000 users is, in memory and
// written, and how long writing it takes.
func BenchmarkState(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	e, _ := crowd(100_000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	size := 0
	var used time.Duration
	n := 0
	for b.Loop() {
		began := processor()
		s, err := e.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		used += processor() - began
		n++
		size = len(s)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-heap")
	b.ReportMetric(float64(size)/1e6, "MB-written")
	b.ReportMetric(used.Seconds()/float64(n), "cpu-s/write")
}
