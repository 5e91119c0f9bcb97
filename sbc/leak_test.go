package sbc_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// Two policies over the same counts; each refuses, challenges and holds some.
const (
	leakRules = `version: 1
rules:
  - {id: x/denied, on: invite, match: {to: {prefix: ["+33199009"]}}, then: reject 403}
  - {id: x/silent, on: invite, match: {to: {prefix: ["+33199008"]}}, then: drop}
  - {id: x/asked, on: invite, match: {to: {prefix: ["+33199007"]}}, then: challenge}
  - {id: x/held, on: invite, match: {to: {prefix: ["+33899"]}}, then: hold 1s}
limits:
  - {id: x/user, on: invite, key: [user], concurrent: %d, then: reject 486}
  - {id: x/to, on: invite, key: [to], concurrent: 25, then: reject 486}
  - {id: x/all, on: invite, concurrent: %d, then: reject 480}
`
	leakMore = `  - {id: x/peer, on: invite, key: [peer], concurrent: 20, then: reject 486}
`
)

// TestNothingLeaks: whatever becomes of calls (cancelled, refused, failed over,
// transferred, cut off with their connection or their PBX, refused for an
// overload, judged by a policy that is gone), no count of them stays.
func TestNothingLeaks(t *testing.T) {
	for range 2 {
		seed := uint64(time.Now().UnixNano())
		t.Run(fmt.Sprint(seed), func(t *testing.T) { walkForLeaks(t, seed) })
	}
}

// leakWalk is a gateway whose ends do as they like.
type leakWalk struct {
	*rawWorld
	rnd      *rand.Rand
	load     strained
	counts   *ratelimit.Engine
	policies []sbc.Policy
	a, b     *walker
	phones   []*walker
	done     chan struct{}
	ends     sync.WaitGroup
	seed     uint64
}

func walkForLeaks(t *testing.T, seed uint64) {
	const peerCalls = 30
	w := &leakWalk{rnd: rand.New(rand.NewPCG(seed, 0)), seed: seed, done: make(chan struct{})}
	bans := ratelimit.NewBans(ratelimit.BanCaps{})
	first, counts := written(t, fmt.Sprintf(leakRules, 25, 60)+leakMore, nil)
	second, _ := written(t, fmt.Sprintf(leakRules, 10, 30), counts)
	// The limits of a peer, as its configuration makes them, come with a reload and go.
	trunk, err := counts.With(ratelimit.PeerLimits("raw", peerCalls, 0))
	if err != nil {
		t.Fatal(err)
	}
	w.counts, w.policies = counts, []sbc.Policy{first, second, {Revision: "x", Guards: append([]sbc.Guard{trunk}, second.Guards...), Plan: second.Plan}}
	dead := deadPort(t)
	w.rawWorld = newRawWorld(t, udpCarrier("dead", publicNet+"67", dead), redirects(sbc.FollowRedirects, sbc.FollowRedirects, sbc.FollowRedirects), w.load.option, func(c *worldConfig) {
		c.sbc.MaxCall, c.sbc.SetupTimeout, c.sbc.RetryTimeout = 700*time.Millisecond, 400*time.Millisecond, 400*time.Millisecond
		c.sbc.FailoverAfter, c.sbc.Stack.T1 = 50*time.Millisecond, 20*time.Millisecond
		c.sbc.PBXs[0].Health = 50 * time.Millisecond
		c.sbc.Routes[0].Peers = []string{"dead", "raw"}
		c.deps.Bans, c.deps.Guards, c.deps.Revision, c.deps.Plan = bans, first.Guards, first.Revision, first.Plan
	})
	sockets := udpSockets(t)
	w.a, w.b = w.walker(w.rawWorld.a, 1), w.walker(w.rawWorld.b, 2)
	w.b.pbx = true
	w.start(w.a, w.b)
	for i := range 3 {
		w.plugIn(i)
	}
	for i := range 200 {
		if i == 160 {
			w.load.delay.Store(int64(100 * time.Hour)) // the last calls come under overload
		}
		w.step()
		if i%20 == 19 {
			eventually(t, "room for more", func() bool { return w.gw.Live() < 50 })
		}
	}
	// Everybody is well again, so that what is left is what was forgotten.
	w.load.delay.Store(0)
	w.a.mute.Store(false)
	w.b.mute.Store(false)
	w.quiet()
	defer func() {
		if t.Failed() {
			t.Logf("left: %s", w.left())
		}
	}()
	eventually(t, "every table empty", func() bool { return w.left() == "" })
	close(w.done)
	w.ends.Wait()
	for _, p := range w.phones {
		p.close()
	}
	eventually(t, "no connection", func() bool { return w.gw.Connections() == 0 && w.gw.Tables()["flows"] == 0 })
	if n := udpSockets(t); n != sockets {
		t.Errorf("%d UDP sockets, %d before the calls", n, sockets)
	}
	w.told()
}

func (w *leakWalk) walker(r *raw, n uint64) *walker {
	return &walker{raw: r, rnd: rand.New(rand.NewPCG(w.seed, n)), finals: map[string]int{}, wild: true}
}

func (w *leakWalk) start(all ...*walker) {
	for _, e := range all {
		w.ends.Go(func() { e.run(w.done) })
	}
}

// plugIn connects the telephone of a place, and cuts off the one there was.
func (w *leakWalk) plugIn(i int) {
	p, err := w.tryPlug(fmt.Sprint(1001 + i))
	if err != nil { // under overload a stranger's connection is refused
		return
	}
	out := p.out
	p.out = func(b []byte) error { out(b); return nil } // it may be cut off meanwhile
	e := w.walker(p.raw, uint64(10+w.rnd.IntN(1000)))
	e.crypto = "1"
	if i < len(w.phones) {
		w.phones[i].close()
		w.phones[i] = e
	} else {
		w.phones = append(w.phones, e)
	}
	w.start(e)
	m := p.outside("REGISTER", "sip:"+domain)
	m.Set("To", "<sip:"+p.user+"@"+domain+">")
	m.Add("Expires", "3600")
	p.send(m)
}

// step is one thing that happens.
func (w *leakWalk) step() {
	number := fmt.Sprintf("+3319900%d%03d", w.rnd.IntN(10), w.rnd.IntN(1000))
	change := func(m *siptest.Message) {
		if w.rnd.IntN(100) < 50 {
			rel(m)
		}
		if w.rnd.IntN(100) < 20 {
			bare(m)
		}
		if w.rnd.IntN(100) < 10 {
			m.Set("To", strings.Replace(m.Get("To"), number, "+33899123456", 1))
			m.URI = strings.Replace(m.URI, number, "+33899123456", 1)
		}
	}
	switch n := w.rnd.IntN(100); {
	case n < 35: // in
		inv := w.a.invite("+33123456789", change)
		if w.rnd.IntN(4) == 0 { // before anything was heard of it
			w.a.cancel(inv)
		}
	case n < 60: // out, over the carrier that is not there
		w.rawWorld.b.invite(number, change)
	case n < 80:
		user := 1001 + w.rnd.IntN(3)
		p := w.phones[user-1001]
		to := []string{"1002", number, "600"}[w.rnd.IntN(3)]
		m := (&rawPhone{raw: p.raw, user: fmt.Sprint(user)}).outside("INVITE", "sip:"+to+"@"+domain, func(m *siptest.Message) { withSDP(m, p.sdpAt(40000)) })
		p.send(m)
		if w.rnd.IntN(4) == 0 {
			p.cancel(m)
		}
	case n < 86:
		w.plugIn(w.rnd.IntN(3))
	case n < 92:
		w.gw.SetPolicy(w.policies[w.rnd.IntN(len(w.policies))])
	case n < 95:
		w.b.mute.Store(w.rnd.IntN(2) == 0)
	default:
		w.a.mute.Store(w.rnd.IntN(2) == 0)
	}
}

// left is what is not empty.
func (w *leakWalk) left() string {
	var out []string
	for name, n := range w.gw.Tables() {
		// What is registered stays, and who sent it is known.
		if n != 0 && name != "bindings" && name != "flows" && name != "addresses" {
			out = append(out, fmt.Sprint(name, " ", n))
		}
	}
	if s := w.counts.Stats(time.Now()); s.Calls != 0 || s.Places != 0 {
		out = append(out, fmt.Sprintf("%d counted calls in %d places", s.Calls, s.Places))
	}
	s := w.plane.Stats()
	if s.Sessions != 0 || s.Streams != 0 || s.Ports != 0 {
		out = append(out, fmt.Sprintf("media %+v", s))
	}
	return strings.Join(out, ", ")
}

// told: what became of the calls, so that a walk in which nothing happens is
// seen; each has one begin, one end and one record.
func (w *leakWalk) told() {
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	began, over, codes := map[string]int{}, map[string]int{}, map[int]int{}
	for _, e := range w.rep.events {
		switch e.Kind {
		case call.EventInvite:
			began[e.ID]++
		case call.EventEnd:
			over[e.ID]++
		}
	}
	for _, r := range w.rep.records {
		codes[r.Code]++
	}
	for id := range began {
		if began[id] != 1 || over[id] != 1 {
			w.t.Errorf("call %s: %d begun, %d ended", id, began[id], over[id])
		}
	}
	w.t.Logf("%d calls by final code: %v", len(w.rep.records), codes)
	if len(codes) < 3 { // on a slow machine most end in a time-out
		w.t.Errorf("too little happened: %v", codes)
	}
}

// deadPort is a UDP port where nobody listens.
func deadPort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(publicNet + "67")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return uint16(c.LocalAddr().(*net.UDPAddr).Port)
}

// udpSockets is how many this process has open.
func udpSockets(t *testing.T) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	udp := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 9 {
			udp["socket:["+f[9]+"]"] = true
		}
	}
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && udp[to] {
			n++
		}
	}
	return n
}
