package fraud

import (
	"fmt"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// traffic is a call of each of so many users, in and out in turns: five events
// a call, two of them in Judge and Observe of the beginning.
type traffic struct {
	e     *Engine
	users int
	n     int
	at    time.Time
}

func newTraffic(users int) *traffic {
	c := Defaults("call-centre")
	c.Spend.User, c.Spend.Account = 50, 1e9
	return &traffic{e: New(c, DefaultRates("GB", number.Builtin())), users: users, at: t0}
}

var abroadTo = [...]string{"+4930", "+331", "+3712", "+1212", "+23276", "+442", "+447", "+441"}

// call is one call, with what is asked and told about it.
func (t *traffic) call() {
	t.n++
	t.at = t.at.Add(3 * time.Millisecond)
	u := (t.n * 7919) % t.users
	id, user := fmt.Sprint("c", t.n), fmt.Sprint("u", u)
	far := fmt.Sprintf("%s%07d", abroadTo[u%len(abroadTo)], (u*31+t.n/t.users)%10_000_000)
	ev := call.Event{Kind: call.EventInvite, ID: id, Account: fmt.Sprint("pbx", u%50), User: user, Peer: "carrier-a", Source: "198.51.100.7", SourceCountry: "GB", Verdict: "allow"}
	a := call.Attempt{At: t.at, Method: "INVITE", Account: ev.Account, User: user, Pass: 1}
	if t.n%2 == 0 {
		ev.Direction, ev.From, ev.To = "outbound", "+442079460001", far
		a.Direction, a.From, a.To = call.Outbound, call.Party{Kind: call.National, Number: ev.From}, call.Party{Kind: call.International, Number: far}
	} else {
		ev.Direction, ev.From, ev.To = "inbound", far, "+442079460001"
		a.Direction, a.From, a.To = call.Inbound, call.Party{Kind: call.International, Number: far}, call.Party{Kind: call.National, Number: ev.To}
	}
	ring, talk := 4.0, 100.0
	t.e.Judge(&a)
	for i, x := range []call.Event{ev, {Kind: call.EventRinging, ID: id}, {Kind: call.EventAnswer, ID: id}, {Kind: call.EventEnd, ID: id, Code: 200, EndedBy: call.ByCaller, RingSeconds: &ring, Seconds: &talk}} {
		x.At.Time = t.at.Add(time.Duration(i) * time.Millisecond)
		t.e.Observe(x)
	}
}

// BenchmarkCall is what a call costs, at so many users whose tables are full.
func BenchmarkCall(b *testing.B) {
	for _, users := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(users), func(b *testing.B) {
			t := newTraffic(users)
			for range 3 * users {
				t.call()
			}
			b.ReportAllocs()
			b.ResetTimer()
			began := time.Now()
			for b.Loop() {
				t.call()
			}
			b.ReportMetric(float64(time.Since(began).Microseconds())/float64(b.N)/5, "µs/event")
		})
	}
}

// BenchmarkSnapshot is how long a full state takes to write, and its size.
func BenchmarkSnapshot(b *testing.B) {
	t := newTraffic(100_000)
	for range 300_000 {
		t.call()
	}
	size := 0
	for b.Loop() {
		s, err := t.e.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		size = len(s)
	}
	b.ReportMetric(float64(size)/1e6, "MB")
}
