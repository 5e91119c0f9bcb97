package ratelimit_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
)

// A whole office behind one address registers again after a power cut.
func TestKnownSendersAreNotForgottenForStrangers(t *testing.T) {
	const keys = 1024
	e := engine(t, ratelimit.Caps{Keys: keys}, ratelimit.Limit{ID: "l/rate", Match: all, Key: []string{"source.ip"}, Rate: 0.01, Burst: 1, Verdict: call.Drop})
	ask := func(addr netip.Addr, known bool) call.Verdict {
		a := request("REGISTER", "192.0.2.1", 0)
		a.Source.Addr = netip.AddrPortFrom(addr, 5060)
		a.Source.Registered = known
		return e.Judge(a).Verdict
	}
	phones := make([]netip.Addr, 200)
	for i := range phones {
		phones[i] = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		if v := ask(phones[i], true); v != call.Abstain {
			t.Fatalf("phone %d: %s", i, v)
		}
	}
	for i := range 50_000 { // strangers
		ask(netip.AddrFrom4([4]byte{172, byte(i >> 16), byte(i >> 8), byte(i)}), false)
	}
	st := e.Stats(start)
	if st.RateKeys > st.Capacity || st.Capacity > 2*keys {
		t.Fatalf("the table grew: %+v", st)
	}
	for i, p := range phones {
		if v := ask(p, true); v != call.Drop {
			t.Fatalf("phone %d was forgotten for strangers: %s", i, v)
		}
	}
}

// Full of known senders, the table refuses strangers and still serves the known.
func TestFullTable(t *testing.T) {
	e := engine(t, ratelimit.Caps{Keys: 128}, ratelimit.Limit{ID: "l/rate", Match: all, Key: []string{"source.ip"}, Rate: 0.01, Burst: 5, Verdict: call.Drop})
	ask := func(i int, known bool) call.Verdict {
		a := request("OPTIONS", "192.0.2.1", 0)
		a.Source.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 5060)
		a.Source.Registered = known
		return e.Judge(a).Verdict
	}
	for i := range 20_000 {
		if v := ask(i, true); v != call.Abstain {
			t.Fatalf("known sender %d: %s", i, v)
		}
	}
	if v := ask(30_000, false); v != call.Drop {
		t.Errorf("a stranger pushed out a known sender: %s", v)
	}
	if st := e.Stats(start); st.RateKeys > st.Capacity {
		t.Errorf("%+v", st)
	}
}

func TestPeersCap(t *testing.T) {
	e := engine(t, ratelimit.Caps{Peers: 4, Keys: 128}, ratelimit.Limit{ID: "l/peer", Match: all, Key: []string{"peer"}, Rate: 1, Burst: 1, Verdict: call.Drop})
	for i := range 100 {
		a := request("OPTIONS", "192.0.2.1", 0)
		a.Peer, a.PeerKind = fmt.Sprint("p", i%10), call.Carrier
		if d := e.Judge(a); (d.Verdict == call.Abstain) != (i < 10) {
			t.Fatalf("%d: %s", i, d.Verdict)
		}
	}
}

// When the clock goes back, nobody is locked out for longer than a full burst.
func TestClockGoesBack(t *testing.T) {
	e := engine(t, ratelimit.Caps{}, ratelimit.Limit{ID: "l/rate", Match: all, Key: []string{"source.ip"}, Rate: 1, Burst: 2, Verdict: call.Drop})
	e.Judge(request("OPTIONS", "192.0.2.1", 24*time.Hour))
	e.Judge(request("OPTIONS", "192.0.2.1", 0))
	if d := e.Judge(request("OPTIONS", "192.0.2.1", 3*time.Second)); d.Verdict != call.Abstain {
		t.Fatalf("%+v", d)
	}
}

// Of calls that race for the last slots exactly as many get one.
func TestRace(t *testing.T) {
	e := engine(t, ratelimit.Caps{Keys: 256},
		ratelimit.Limit{ID: "l/calls", Match: only("INVITE"), Key: []string{"user"}, Concurrent: 7, Verdict: call.Reject, Status: 486},
		ratelimit.Limit{ID: "l/rate", Match: all, Key: []string{"source.ip"}, Rate: 1, Burst: 50, Verdict: call.Drop},
		ratelimit.Limit{ID: "l/fail", Match: all, Key: []string{"source.net"}, Failures: 1000, Over: time.Minute, Verdict: call.Drop},
		ratelimit.Limit{ID: "l/all", Match: all, Rate: 1e6, Burst: 1_000_000, Verdict: call.Drop})
	var wg sync.WaitGroup
	var mu sync.Mutex
	admitted, passed := 0, 0
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				a := request("INVITE", fmt.Sprintf("192.0.%d.%d", g, i), 0)
				a.User, a.ID, a.PeerKind = "alice", fmt.Sprint(g, "-", i), call.Phone
				o := request("OPTIONS", "203.0.113.1", 0)
				inv, opt := e.Judge(a), e.Judge(o)
				e.Outcome(o, 404)
				e.Stats(start)
				mu.Lock()
				if inv.Verdict == call.Abstain {
					admitted++
				}
				if opt.Verdict == call.Abstain {
					passed++
				}
				mu.Unlock()
				if i == 50 && g == 0 {
					if _, err := e.With([]ratelimit.Limit{
						{ID: "l/calls", Match: only("INVITE"), Key: []string{"user"}, Concurrent: 7, Verdict: call.Reject, Status: 486},
						{ID: "l/rate", Match: all, Key: []string{"source.ip"}, Rate: 1, Burst: 50, Verdict: call.Drop}}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if admitted != 7 || passed != 50 {
		t.Errorf("%d calls admitted, want 7; %d requests passed, want 50", admitted, passed)
	}
}

func TestJudgeDoesNotAllocate(t *testing.T) {
	e := engine(t, ratelimit.Caps{},
		ratelimit.Limit{ID: "l/a", Match: all, Key: []string{"source.ip"}, Rate: 1e6, Burst: 1_000_000, Verdict: call.Drop},
		ratelimit.Limit{ID: "l/b", Match: all, Key: []string{"source.ip", "register.user"}, Failures: 3, Over: time.Minute, Verdict: call.Drop},
		ratelimit.Limit{ID: "l/c", Match: all, Key: []string{"peer"}, Rate: 1e6, Burst: 1_000_000, Verdict: call.Drop},
		ratelimit.Limit{ID: "l/d", Match: all, Rate: 1e6, Burst: 1_000_000, Verdict: call.Drop},
		ratelimit.Limit{ID: "l/e", Match: only("INVITE"), Key: []string{"user"}, Concurrent: 10, Verdict: call.Reject, Status: 486})
	for _, method := range []string{"REGISTER", "OPTIONS", "INVITE"} {
		a := request(method, "2001:db8::1", 0)
		a.Peer, a.RegisterUser, a.SIPCallID, a.User, a.ID = "carrier-a", "alice", "abc@def", "alice", "c1"
		if n := testing.AllocsPerRun(100, func() {
			if d := e.Judge(a); d.Verdict != call.Abstain {
				t.Fatal(d)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", method, n)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	e := engine(b, ratelimit.Caps{},
		ratelimit.Limit{ID: "l/a", Match: all, Key: []string{"source.ip"}, Rate: 1e6, Burst: 1_000_000, Verdict: call.Drop},
		ratelimit.Limit{ID: "l/d", Match: all, Rate: 1e6, Burst: 1_000_000, Verdict: call.Drop})
	a := request("OPTIONS", "192.0.2.1", 0)
	b.ReportAllocs()
	for b.Loop() {
		a.At = a.At.Add(time.Microsecond)
		e.Judge(a)
	}
}

func BenchmarkRefuse(b *testing.B) {
	e := engine(b, ratelimit.Caps{}, ratelimit.Limit{ID: "l/a", Match: all, Key: []string{"source.ip"}, Rate: 0.001, Burst: 1, Verdict: call.Drop})
	a := request("OPTIONS", "192.0.2.1", 0)
	b.ReportAllocs()
	for b.Loop() {
		e.Judge(a)
	}
}
