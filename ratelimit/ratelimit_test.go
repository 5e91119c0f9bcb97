package ratelimit_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func all(*call.Attempt) bool { return true }

func only(method string) func(*call.Attempt) bool {
	return func(a *call.Attempt) bool { return a.Method == method }
}

func engine(t testing.TB, caps ratelimit.Caps, limits ...ratelimit.Limit) *ratelimit.Engine {
	t.Helper()
	e, err := ratelimit.New(limits, caps)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func request(method, addr string, after time.Duration) *call.Attempt {
	from, err := netip.ParseAddrPort(addr)
	if err != nil {
		from = netip.AddrPortFrom(netip.MustParseAddr(addr), 5060)
	}
	return &call.Attempt{At: start.Add(after), Method: method, Account: "main", Source: call.Source{Addr: from, Transport: "udp"}}
}

func TestRatePerSource(t *testing.T) {
	e := engine(t, ratelimit.Caps{}, ratelimit.Limit{ID: "l/rate", Match: all, Key: []string{"source.ip"}, Rate: 2, Burst: 3, Verdict: call.Drop})
	for i, c := range []struct {
		addr  string
		after time.Duration
		want  call.Verdict
	}{
		{"192.0.2.1", 0, call.Abstain},
		{"192.0.2.1", 0, call.Abstain},
		{"::ffff:192.0.2.1", 0, call.Abstain}, // the same host
		{"192.0.2.1", 0, call.Drop},
		{"192.0.2.2", 0, call.Abstain},
		{"192.0.2.1", 499 * time.Millisecond, call.Drop},
		{"192.0.2.1", 500 * time.Millisecond, call.Abstain},
		{"192.0.2.1", 501 * time.Millisecond, call.Drop},
		{"192.0.2.1", time.Hour, call.Abstain},
		{"192.0.2.1", time.Hour, call.Abstain},
		{"192.0.2.1", time.Hour, call.Abstain},
		{"192.0.2.1", time.Hour, call.Drop},
		// A /64 is one sender.
		{"2001:db8:0:1::1", 0, call.Abstain},
		{"2001:db8:0:1::2", 0, call.Abstain},
		{"2001:db8:0:1:ffff::3", 0, call.Abstain},
		{"2001:db8:0:1::4", 0, call.Drop},
		{"2001:db8:0:2::1", 0, call.Abstain},
	} {
		d := e.Judge(request("OPTIONS", c.addr, c.after))
		if d.Verdict != c.want {
			t.Errorf("%d: %s after %s: %s, want %s", i, c.addr, c.after, d.Verdict, c.want)
		}
		if d.Verdict == call.Drop && (d.Rule != "l/rate" || d.Action != call.Flood || d.Reason == "" || d.Subject.Kind != "source" || len(d.Evidence) != 2) {
			t.Errorf("%d: incomplete: %+v", i, d)
		}
	}
}

func TestSourceNet(t *testing.T) {
	e := engine(t, ratelimit.Caps{}, ratelimit.Limit{ID: "l/net", Match: all, Key: []string{"source.net"}, Rate: 1, Burst: 1, Verdict: call.Drop})
	for addr, want := range map[string]call.Verdict{"192.0.2.1": call.Abstain} {
		if d := e.Judge(request("OPTIONS", addr, 0)); d.Verdict != want {
			t.Error(addr, d.Verdict)
		}
	}
	for _, addr := range []string{"192.0.2.200"} {
		if d := e.Judge(request("OPTIONS", addr, 0)); d.Verdict != call.Drop || d.Subject.Value != "192.0.2.0" {
			t.Error(addr, d)
		}
	}
	e.Judge(request("OPTIONS", "2001:db8:1:1::1", 0))
	if d := e.Judge(request("OPTIONS", "2001:db8:1:2::1", 0)); d.Verdict != call.Drop {
		t.Error("a /48 is more than one network")
	}
}

// The engine against a bucket that is counted in the plainest way.
func TestRateAgainstNaiveBucket(t *testing.T) {
	type bucket struct {
		tokens float64
		at     time.Time
	}
	for _, c := range []struct {
		rate  float64
		burst int
		key   []string
	}{{2, 3, []string{"source.ip"}}, {0.5, 1, []string{"source.ip"}}, {100, 20, []string{"source.ip"}}, {50, 10, nil}, {4, 9, []string{"account"}}} {
		e := engine(t, ratelimit.Caps{}, ratelimit.Limit{ID: "l/x", Match: all, Key: c.key, Rate: c.rate, Burst: c.burst, Verdict: call.Drop})
		naive := map[string]*bucket{}
		rnd := rand.New(rand.NewPCG(uint64(c.burst), 1))
		now, allowed := start, 0
		for i := range 20_000 {
			// Whole multiples of a tenth of the interval keep the float exact enough.
			now = now.Add(time.Duration(float64(rnd.IntN(12)) * 0.1 / c.rate * float64(time.Second) * rnd.Float64() * 0.6).Round(time.Microsecond))
			addr := fmt.Sprintf("192.0.2.%d", rnd.IntN(4))
			key := addr
			if len(c.key) == 0 || c.key[0] == "account" {
				key = "all"
			}
			b := naive[key]
			if b == nil {
				b = &bucket{tokens: float64(c.burst), at: now}
				naive[key] = b
			}
			b.tokens = min(float64(c.burst), b.tokens+now.Sub(b.at).Seconds()*c.rate)
			b.at = now
			d := e.Judge(request("OPTIONS", addr, now.Sub(start)))
			got := d.Verdict == call.Abstain
			// Where float and integer arithmetic may honestly differ, the
			// bucket follows the engine.
			if near := b.tokens - 1; near > -1e-6 && near < 1e-6 {
				if got {
					b.tokens--
					allowed++
				}
				continue
			}
			if want := b.tokens >= 1; got != want {
				t.Fatalf("%v/s burst %d, request %d: allowed %v, want %v with %v tokens", c.rate, c.burst, i, got, want, b.tokens)
			}
			if got {
				b.tokens--
				allowed++
			}
		}
		if allowed < 1000 || allowed > 19_900 {
			t.Errorf("%v/s burst %d: a test that allows %d of 20000 shows little", c.rate, c.burst, allowed)
		}
	}
}

func TestOwnBudgetBeforeShared(t *testing.T) {
	e := engine(t, ratelimit.Caps{},
		ratelimit.Limit{ID: "l/all", Match: all, Rate: 10, Burst: 10, Verdict: call.Reject, Status: 503},
		ratelimit.Limit{ID: "l/each", Match: all, Key: []string{"source.ip"}, Rate: 1, Burst: 2, Verdict: call.Drop})
	for range 1000 { // one loud sender
		e.Judge(request("OPTIONS", "192.0.2.1", 0))
	}
	for i := range 8 {
		if d := e.Judge(request("OPTIONS", fmt.Sprintf("198.51.100.%d", i), 0)); d.Verdict != call.Abstain {
			t.Fatalf("the loud one used up what %d others share: %+v", i, d)
		}
	}
	d := e.Judge(request("OPTIONS", "198.51.100.100", 0))
	if d.Rule != "l/all" || d.Status != 503 || d.RetryAfter < time.Second || d.Subject.Kind != "account" {
		t.Fatalf("%+v", d)
	}
}

func TestStrictestAndShadow(t *testing.T) {
	e := engine(t, ratelimit.Caps{},
		ratelimit.Limit{ID: "l/shadow", Match: all, Key: []string{"source.ip"}, Rate: 1, Burst: 1, Verdict: call.Drop, Shadow: true},
		ratelimit.Limit{ID: "l/reject", Match: all, Key: []string{"source.ip"}, Rate: 1, Burst: 2, Verdict: call.Reject, Status: 480},
		ratelimit.Limit{ID: "l/drop", Match: all, Key: []string{"source.ip"}, Rate: 1, Burst: 3, Verdict: call.Drop})
	var got []string
	for range 5 {
		d := e.Judge(request("OPTIONS", "192.0.2.1", 0))
		s := d.Verdict.String() + " " + d.Rule
		for _, also := range d.Also {
			if !also.Shadow {
				t.Error("not a shadow: ", also.Rule)
			}
			s += " +" + also.Rule
		}
		got = append(got, s)
	}
	want := "abstain ; abstain  +l/shadow; reject l/reject +l/shadow; drop l/drop +l/shadow; drop l/drop +l/shadow"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// A challenge and its answer are one attempt; a used answer is not free again.
func TestChallengeIsOneAttempt(t *testing.T) {
	e := engine(t, ratelimit.Caps{}, ratelimit.Limit{ID: "l/reg", Match: only("REGISTER"), Key: []string{"source.ip"}, Rate: 1, Burst: 3, Verdict: call.Drop})
	ask := func(callID, auth, addr string) bool {
		a := request("REGISTER", addr, 0)
		a.SIPCallID, a.AuthUser = callID, auth
		return e.Judge(a).Verdict == call.Abstain
	}
	for i := range 3 {
		id := fmt.Sprint("call", i)
		if !ask(id, "", "192.0.2.1") || !ask(id, "alice", "192.0.2.1") {
			t.Fatalf("attempt %d of 3 was refused", i)
		}
	}
	if ask("call2", "alice", "192.0.2.1") {
		t.Error("an answer was free twice")
	}
	if ask("call3", "", "192.0.2.1") {
		t.Error("a fourth attempt went through")
	}
	if !ask("call0", "alice", "192.0.2.2") || !ask("x1", "a", "192.0.2.2") || !ask("x2", "a", "192.0.2.2") || ask("x3", "a", "192.0.2.2") {
		t.Error("credentials alone must not make a request free")
	}
}

func TestPassesOfACallCountOnce(t *testing.T) {
	e := engine(t, ratelimit.Caps{},
		ratelimit.Limit{ID: "l/user", Match: only("INVITE"), Key: []string{"user"}, Rate: 1, Burst: 1, Verdict: call.Drop},
		ratelimit.Limit{ID: "l/calls", Match: only("INVITE"), Key: []string{"user"}, Concurrent: 1, Verdict: call.Reject, Status: 486})
	a := request("INVITE", "192.0.2.1", 0)
	a.User, a.ID, a.Pass, a.PeerKind = "alice", "c1", 1, call.Phone
	second := *a
	second.Pass, second.PeerKind, second.Peer = 2, call.PBX, "main"
	for _, x := range []*call.Attempt{a, &second} {
		if d := e.Judge(x); d.Verdict != call.Abstain {
			t.Fatalf("pass %d: %+v", x.Pass, d)
		}
	}
	other := *a
	other.ID, other.At = "c2", start.Add(time.Minute)
	if d := e.Judge(&other); d.Rule != "l/calls" || d.Status != 486 || d.Subject.Value != "alice" {
		t.Fatalf("%+v", d)
	}
}

func TestConcurrency(t *testing.T) {
	e := engine(t, ratelimit.Caps{}, ratelimit.Limit{ID: "l/calls", Match: only("INVITE"), Key: []string{"user"}, Concurrent: 2, Verdict: call.Reject, Status: 486})
	invite := func(user, id string) call.Verdict {
		a := request("INVITE", "192.0.2.1", 0)
		a.User, a.ID, a.PeerKind = user, id, call.Phone
		return e.Judge(a).Verdict
	}
	check := func(name string, got, want call.Verdict) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	check("first", invite("alice", "1"), call.Abstain)
	check("second", invite("alice", "2"), call.Abstain)
	check("third", invite("alice", "3"), call.Reject)
	check("another user", invite("bob", "4"), call.Abstain)
	check("the first again", invite("alice", "1"), call.Abstain)
	e.Done("3") // refused: held nothing
	e.Done("nobody")
	check("still full", invite("alice", "5"), call.Reject)
	e.Done("1")
	e.Done("1")
	check("room for one", invite("alice", "6"), call.Abstain)
	check("not for two", invite("alice", "7"), call.Reject)
	for _, id := range []string{"2", "4", "6"} {
		e.Done(id)
	}
	if n := e.Stats(start).Calls; n != 0 {
		t.Errorf("%d calls leaked", n)
	}
}

// A call that another limit refuses is not counted anywhere.
func TestRefusedCallsHoldNothing(t *testing.T) {
	e := engine(t, ratelimit.Caps{},
		ratelimit.Limit{ID: "l/user", Match: only("INVITE"), Key: []string{"user"}, Concurrent: 5, Verdict: call.Reject, Status: 486},
		ratelimit.Limit{ID: "l/all", Match: only("INVITE"), Concurrent: 1, Verdict: call.Reject, Status: 486})
	for i := range 10 {
		a := request("INVITE", "192.0.2.1", 0)
		a.User, a.ID, a.PeerKind = "alice", fmt.Sprint(i), call.Phone
		if d := e.Judge(a); (d.Verdict == call.Abstain) != (i == 0) {
			t.Fatalf("%d: %+v", i, d)
		}
	}
	if n := e.Stats(start).Calls; n != 1 {
		t.Errorf("%d calls counted, want 1", n)
	}
}

func TestCallsCap(t *testing.T) {
	e := engine(t, ratelimit.Caps{Calls: 3}, ratelimit.Limit{ID: "l/user", Match: only("INVITE"), Key: []string{"user"}, Concurrent: 5, Verdict: call.Reject, Status: 486})
	for i := range 10 {
		a := request("INVITE", "192.0.2.1", 0)
		a.User, a.ID, a.PeerKind = fmt.Sprint("u", i), fmt.Sprint(i), call.Phone
		d := e.Judge(a)
		if i < 3 && d.Verdict != call.Abstain || i >= 3 && (d.Verdict != call.Reject || d.Status != 503) {
			t.Fatalf("%d: %+v", i, d)
		}
	}
	if n := e.Stats(start).Calls; n != 3 {
		t.Error(n)
	}
}

// Random calls against plain sets: never more than allowed, nothing leaks.
func TestConcurrencyAgainstNaiveSets(t *testing.T) {
	e := engine(t, ratelimit.Caps{},
		ratelimit.Limit{ID: "l/user", Match: only("INVITE"), Key: []string{"user"}, Concurrent: 3, Verdict: call.Reject, Status: 486},
		ratelimit.Limit{ID: "l/peer", Match: only("INVITE"), Key: []string{"peer"}, Concurrent: 7, Verdict: call.Reject, Status: 480})
	users, peers, live := map[string]map[string]bool{}, map[string]map[string]bool{}, []*call.Attempt{}
	add := func(m map[string]map[string]bool, key, id string) {
		if m[key] == nil {
			m[key] = map[string]bool{}
		}
		m[key][id] = true
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	for i := range 20_000 {
		if len(live) > 0 && rnd.IntN(2) == 0 {
			j := rnd.IntN(len(live))
			a := live[j]
			e.Done(a.ID)
			delete(users[a.User], a.ID)
			delete(peers[a.Peer], a.ID)
			live = append(live[:j], live[j+1:]...)
			continue
		}
		a := request("INVITE", "192.0.2.1", 0)
		a.ID, a.PeerKind = fmt.Sprint(i), call.Phone
		a.User, a.Peer = fmt.Sprint("u", rnd.IntN(5)), fmt.Sprint("p", rnd.IntN(2))
		want := len(users[a.User]) < 3 && len(peers[a.Peer]) < 7
		if got := e.Judge(a).Verdict == call.Abstain; got != want {
			t.Fatalf("%d: %v, want %v", i, got, want)
		}
		if want {
			add(users, a.User, a.ID)
			add(peers, a.Peer, a.ID)
			live = append(live, a)
		}
	}
	for _, a := range live {
		e.Done(a.ID)
	}
	if n := e.Stats(start).Calls; n != 0 {
		t.Errorf("%d calls leaked", n)
	}
}

func TestPeerLimits(t *testing.T) {
	limits := append(ratelimit.PeerLimits("carrier-a", 2, 10), ratelimit.PeerLimits("carrier-b", 1, 0)...)
	e := engine(t, ratelimit.Caps{}, limits...)
	from := func(peer, id string) call.Decision {
		a := request("INVITE", "192.0.2.1", 0)
		a.Peer, a.PeerKind, a.ID = peer, call.Carrier, id
		return e.Judge(a)
	}
	phone := request("INVITE", "192.0.2.9", 0)
	phone.User, phone.PeerKind, phone.ID = "alice", call.Phone, "out"
	if d := from("carrier-a", "1"); d.Verdict != call.Abstain {
		t.Fatal(d)
	}
	if d := e.JudgeRoute(phone, "carrier-a"); d.Verdict != call.Abstain {
		t.Fatal(d)
	}
	if d := from("carrier-a", "2"); d.Rule != "limits/peer-calls" || d.Status != 486 || d.Subject.Value != "carrier-a" {
		t.Fatalf("%+v", d)
	}
	if d := from("carrier-b", "3"); d.Verdict != call.Abstain {
		t.Fatal("one peer's calls count for another")
	}
	if d := e.JudgeRoute(phone, "carrier-b"); d.Rule != "limits/peer-calls" {
		t.Fatalf("%+v", d)
	}
	e.LeaveRoute("out", "carrier-a")
	if d := from("carrier-a", "4"); d.Verdict != call.Abstain {
		t.Fatal("the slot was not given back")
	}
	for _, id := range []string{"1", "3", "4", "out"} {
		e.Done(id)
	}
	if n := e.Stats(start).Calls; n != 0 {
		t.Errorf("%d calls leaked", n)
	}
	refused := 0
	for i := range 20 {
		d := from("carrier-a", fmt.Sprint("c", i))
		e.Done(fmt.Sprint("c", i))
		if d.Rule == "limits/peer-cps" {
			refused++
		}
	}
	if refused < 10 || refused > 14 {
		t.Errorf("%d of 20 calls in an instant were over 10/s", refused)
	}
}

func TestFailures(t *testing.T) {
	both := ratelimit.Limit{ID: "l/pair", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Failures: 3, Over: time.Minute, Verdict: call.Reject, Status: 403}
	addr := ratelimit.Limit{ID: "l/addr", Match: only("REGISTER"), Key: []string{"source.ip"}, Failures: 5, Over: time.Minute, Verdict: call.Drop}
	e := engine(t, ratelimit.Caps{}, addr, both)
	register := func(ip, user string, after time.Duration) *call.Attempt {
		a := request("REGISTER", ip, after)
		a.RegisterUser, a.AuthUser = user, user
		return a
	}
	attempts := 0
	try := func(ip, user string, after time.Duration, code int) string {
		a := register(ip, user, after)
		attempts++
		a.SIPCallID = fmt.Sprint("attempt-", attempts)
		d := e.Judge(a)
		if d.Verdict == call.Abstain {
			e.Outcome(a, code)
		}
		return d.Rule
	}
	for i := range 3 {
		if r := try("192.0.2.1", "alice", 0, 403); r != "" {
			t.Fatalf("failure %d: %s", i, r)
		}
	}
	if r := try("192.0.2.1", "alice", 59*time.Second, 200); r != "l/pair" {
		t.Error("after three failures: ", r)
	}
	if r := try("192.0.2.1", "bob", 0, 401); r != "" {
		t.Error("the office is not banned for alice: ", r)
	}
	if r := try("192.0.2.2", "alice", 0, 200); r != "" {
		t.Error("alice elsewhere is not: ", r)
	}
	if r := try("192.0.2.1", "carol", 0, 404); r != "" {
		t.Error("fifth failure: ", r)
	}
	if r := try("192.0.2.1", "dave", 0, 200); r != "l/addr" {
		t.Error("after five failures of the address: ", r)
	}
	if r := try("192.0.2.1", "alice", time.Minute, 200); r != "" {
		t.Error("after the time: ", r)
	}

	// The first challenge is no failure, a success forgets the pair's.
	e = engine(t, ratelimit.Caps{}, both, addr)
	for range 20 {
		a := register("192.0.2.1", "alice", 0)
		a.AuthUser = ""
		if d := e.Judge(a); d.Verdict != call.Abstain {
			t.Fatal("a challenge counted as failure")
		}
		e.Outcome(a, 401)
	}
	for range 2 {
		try("192.0.2.1", "alice", 0, 401)
		try("192.0.2.1", "alice", 0, 401)
		if r := try("192.0.2.1", "alice", 0, 200); r != "" {
			t.Fatal(r)
		}
	}
	if r := try("192.0.2.1", "mallory", 0, 401); r != "" {
		t.Fatal(r)
	}
	if r := try("192.0.2.1", "mallory", 0, 401); r != "l/addr" {
		t.Errorf("alice's success washed the address clean: %q", r)
	}
}

func TestEmergencyIsNeverRefused(t *testing.T) {
	e := engine(t, ratelimit.Caps{}, ratelimit.Limit{ID: "l/rate", Match: all, Rate: 0.001, Burst: 1, Verdict: call.Drop})
	a := request("INVITE", "192.0.2.1", 0)
	a.PeerKind, a.To.Kind = call.Phone, call.Emergency
	for range 10 {
		if d := e.Judge(a); d.Verdict != call.Abstain {
			t.Fatal(d)
		}
	}
}

func TestReload(t *testing.T) {
	calls := ratelimit.Limit{ID: "l/calls", Match: only("INVITE"), Key: []string{"user"}, Concurrent: 1, Verdict: call.Reject, Status: 486}
	rates := ratelimit.Limit{ID: "l/rate", Match: only("OPTIONS"), Rate: 1, Burst: 1, Verdict: call.Drop}
	e := engine(t, ratelimit.Caps{}, calls, rates)
	invite := func(id string) string {
		a := request("INVITE", "192.0.2.1", 0)
		a.User, a.ID, a.PeerKind = "alice", id, call.Phone
		return e.Judge(a).Rule
	}
	if r := invite("1"); r != "" {
		t.Fatal(r)
	}
	if d := e.Judge(request("OPTIONS", "192.0.2.1", 0)); d.Verdict != call.Abstain {
		t.Fatal(d)
	}
	rates.Rate = 1000
	before := e
	e, err := e.With([]ratelimit.Limit{rates, calls})
	if err != nil {
		t.Fatal(err)
	}
	if r := invite("2"); r != "l/calls" {
		t.Error("calls in progress were forgotten: ", r)
	}
	e.Judge(request("OPTIONS", "192.0.2.1", 5*time.Millisecond)) // from here on the budget grows at the new rate
	if d := e.Judge(request("OPTIONS", "192.0.2.1", 10*time.Millisecond)); d.Verdict != call.Abstain {
		t.Error("the new rate is not in force")
	}
	bad := calls
	bad.Status = 0
	if _, err := e.With([]ratelimit.Limit{bad}); err == nil || !strings.Contains(err.Error(), "l/calls") {
		t.Error(err)
	}
	if r := invite("3"); r != "l/calls" {
		t.Error("a refused reload changed something: ", r)
	}
	// Whoever still holds the engine before is judged by its limits, over the
	// same counts.
	before.Judge(request("OPTIONS", "192.0.2.1", 20*time.Millisecond))
	if d := before.Judge(request("OPTIONS", "192.0.2.1", 40*time.Millisecond)); d.Rule != "l/rate" {
		t.Error("the engine before has changed: ", d)
	}
	before.Done("1")
	if r := invite("4"); r != "" {
		t.Error("a call that ended under the engine before is still counted: ", r)
	}
}

func TestNewRefuses(t *testing.T) {
	ok := ratelimit.Limit{ID: "l/x", Match: all, Rate: 1, Burst: 1, Verdict: call.Drop}
	for name, edit := range map[string]func(*ratelimit.Limit){
		"id":         func(l *ratelimit.Limit) { l.ID = "" },
		"match":      func(l *ratelimit.Limit) { l.Match = nil },
		"two kinds":  func(l *ratelimit.Limit) { l.Concurrent = 1 },
		"no kind":    func(l *ratelimit.Limit) { l.Rate = 0 },
		"negative":   func(l *ratelimit.Limit) { l.Rate = -1 },
		"burst":      func(l *ratelimit.Limit) { l.Burst = 0 },
		"verdict":    func(l *ratelimit.Limit) { l.Verdict = call.Allow },
		"status":     func(l *ratelimit.Limit) { l.Verdict = call.Reject },
		"key":        func(l *ratelimit.Limit) { l.Key = []string{"call.id"} },
		"no time":    func(l *ratelimit.Limit) { l.Rate, l.Failures = 0, 3 },
		"concurrent": func(l *ratelimit.Limit) { l.Rate, l.Concurrent = 0, -1 },
	} {
		l := ok
		edit(&l)
		if _, err := ratelimit.New([]ratelimit.Limit{l}, ratelimit.Caps{}); err == nil {
			t.Error(name)
		}
	}
}

// Two hundred phones behind one address register again in the same second,
// each challenged, at a gateway that knows none of them: the numbers are those
// of the shipped pack.
func TestOfficeAfterPowerCut(t *testing.T) {
	stranger := func(a *call.Attempt) bool {
		return a.Method == "REGISTER" && a.PeerKind == call.Stranger && !a.Source.Registered
	}
	e := engine(t, ratelimit.Caps{},
		ratelimit.Limit{ID: "base/register-per-stranger", Match: stranger, Key: []string{"source.ip"}, Rate: 10, Burst: 400, Verdict: call.Drop},
		ratelimit.Limit{ID: "base/register-strangers-total", Match: stranger, Rate: 300, Burst: 3000, Verdict: call.Reject, Status: 503},
		ratelimit.Limit{ID: "base/register-per-user", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Rate: 1, Burst: 20, Verdict: call.Reject, Status: 480},
		ratelimit.Limit{ID: "base/register-failures", Match: only("REGISTER"), Key: []string{"source.ip", "register.user"}, Failures: 10, Over: 5 * time.Minute, Verdict: call.Reject, Status: 403})
	register := func(i int, auth string, registered bool) call.Decision {
		a := request("REGISTER", "203.0.113.7", time.Duration(i)*time.Millisecond)
		a.RegisterUser, a.SIPCallID, a.AuthUser = fmt.Sprint(i), fmt.Sprint("call-", i), auth
		a.Source.Registered = registered
		d := e.Judge(a)
		if d.Verdict == call.Abstain {
			code := 401
			if auth != "" {
				code = 200
			}
			e.Outcome(a, code)
		}
		return d
	}
	for _, registered := range []bool{false, true} { // then once more, known
		for i := range 200 {
			if d := register(i, "", registered); d.Verdict != call.Abstain {
				t.Fatalf("phone %d: %+v", i, d)
			}
		}
		for i := range 200 {
			if d := register(i, "u", registered); d.Verdict != call.Abstain {
				t.Fatalf("phone %d with credentials: %+v", i, d)
			}
		}
	}
}
