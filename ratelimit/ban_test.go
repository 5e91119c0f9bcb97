package ratelimit_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/ratelimit"
)

var day = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func source(i int) call.Key {
	return call.Key{Source: call.SourcePrefix(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), false)}
}

func stranger(addr string, change ...func(*call.Attempt)) *call.Attempt {
	a := &call.Attempt{At: day, Method: "REGISTER", Source: call.Source{Addr: netip.MustParseAddrPort(addr), Transport: "tls"}, RegisterUser: "1001"}
	for _, f := range change {
		f(a)
	}
	return a
}

// Bans without a time double while they follow each other; who stays quiet for
// a day, or is lifted by hand, begins anew.
func TestBansDouble(t *testing.T) {
	b := ratelimit.NewBans(ratelimit.BanCaps{})
	now, want := day, 5*time.Minute
	for i := 1; i <= 12; i++ {
		n, again, ok := b.Add(call.Ban{Act: call.ActBan, Key: source(1), Since: now}, 0)
		if !ok || again || n.Times != i || n.Until.Sub(now) != want {
			t.Fatalf("ban %d: %+v, want %s", i, n, want)
		}
		now = n.Until
		want = min(2*want, 12*time.Hour)
	}
	n, again, _ := b.Add(call.Ban{Act: call.ActBan, Key: source(1), Since: now.Add(-time.Minute)}, 0)
	if !again || n.Times != 12 {
		t.Errorf("asked again while in force: %+v", n)
	}
	if n, _, _ := b.Add(call.Ban{Act: call.ActBan, Key: source(1), Since: n.Until.Add(25 * time.Hour)}, 0); n.Times != 1 || n.Until.Sub(n.Since) != 5*time.Minute {
		t.Errorf("after a quiet day: %+v", n)
	}
	b.Remove(call.ActBan, source(1), now)
	if n, _, _ := b.Add(call.Ban{Act: call.ActBan, Key: source(1), Since: now}, 0); n.Times != 1 {
		t.Errorf("after it was lifted: %+v", n)
	}
	// A ban that is renewed is never shortened.
	b.Add(call.Ban{Act: call.ActBan, Key: source(2), Since: day}, time.Hour)
	if n, again, _ := b.Add(call.Ban{Act: call.ActBan, Key: source(2), Since: day}, time.Minute); !again || n.Until.Sub(day) != time.Hour {
		t.Errorf("%+v", n)
	}
}

// The table never grows beyond its caps, and what strangers bring upon
// themselves never takes the place of anybody else's.
func TestBanCaps(t *testing.T) {
	b := ratelimit.NewBans(ratelimit.BanCaps{Strangers: 100, Known: 3})
	hand := call.Ban{Act: call.ActBan, Key: call.Key{User: "bad"}, Since: day, Manual: true}
	b.Add(hand, time.Minute)
	b.Add(call.Ban{Act: call.ActHold, Key: call.Key{User: "1001"}, Since: day, Known: true}, time.Minute)
	for i := range 10_000 {
		if _, _, ok := b.Add(call.Ban{Act: call.ActBan, Key: source(i), Since: day.Add(time.Duration(i) * time.Millisecond)}, time.Hour); !ok {
			t.Fatal("a full table of strangers takes no newer one")
		}
	}
	all := b.List(day.Add(30 * time.Second))
	if len(all) != 102 {
		t.Fatalf("%d entries", len(all))
	}
	if all[0].Key.User == "" || all[1].Key.User == "" || all[2].Key != source(9900) {
		t.Errorf("who gave way: %v %v %v", all[0].Key, all[1].Key, all[2].Key)
	}
	for i := range 50 { // holds give way to newer holds, not what was made by hand
		b.Add(call.Ban{Act: call.ActHold, Key: call.Key{User: fmt.Sprint(i)}, Since: day, Known: true}, time.Hour)
	}
	if _, ok := b.Remove(call.ActBan, hand.Key, day); !ok {
		t.Error("what was made by hand is gone")
	}
	full := ratelimit.NewBans(ratelimit.BanCaps{Known: 2})
	for i := range 2 {
		full.Add(call.Ban{Act: call.ActBan, Key: source(i), Since: day, Manual: true}, time.Hour)
	}
	if _, _, ok := full.Add(call.Ban{Act: call.ActHold, Key: call.Key{User: "1"}, Since: day, Known: true}, time.Hour); ok {
		t.Error("a hold took the place of a ban that was made by hand")
	}
	b.Expire(day.Add(100 * time.Hour))
	if n := len(b.Remembered()); n != 0 {
		t.Errorf("%d are remembered for ever", n)
	}
}

// Whom a ban may be about, and whom it reaches.
func TestBansSpare(t *testing.T) {
	ip := call.Key{Source: call.SourcePrefix(netip.MustParseAddr("192.0.2.7"), false)}
	pair := call.Key{Source: ip.Source, RegisterUser: "1001"}
	enact := func(k call.Key, change func(*call.Attempt), inUse bool) bool {
		b := ratelimit.NewBans(ratelimit.BanCaps{})
		a := stranger("192.0.2.7:4000", change)
		return len(b.Enact(a, []call.Effect{{Act: call.ActBan, Key: k, Rule: "x/y"}}, func(netip.Prefix) bool { return inUse })) == 1
	}
	none := func(*call.Attempt) {}
	udp := func(a *call.Attempt) { a.Source.Transport = "udp" }
	for _, c := range []struct {
		name   string
		key    call.Key
		change func(*call.Attempt)
		inUse  bool
		want   bool
	}{
		{"a stranger on TLS", ip, none, false, true},
		{"a stranger on UDP", ip, udp, false, false},
		{"a pair on UDP", pair, udp, false, false},
		{"one that answered a challenge", ip, func(a *call.Attempt) { a.Source.Transport, a.Source.Answered = "udp", true }, false, true},
		{"a good registration from there", ip, func(a *call.Attempt) { a.Source.Registered = true }, false, false},
		{"a user at an office with good registrations", pair, func(a *call.Attempt) { a.Source.Registered = true }, true, true},
		{"a neighbour in the network", ip, none, true, false},
		{"a peer", ip, func(a *call.Attempt) { a.PeerKind, a.Peer = call.Carrier, "x" }, false, false},
		{"an address of a peer without its certificate", ip, func(a *call.Attempt) { a.Source.Configured = true }, false, false},
		{"a PBX", ip, func(a *call.Attempt) { a.PeerKind, a.Side = call.PBX, call.Inside }, false, false},
		{"somebody on the inside", ip, func(a *call.Attempt) { a.Side = call.Inside }, false, false},
		{"nobody", call.Key{}, none, false, false},
	} {
		if got := enact(c.key, c.change, c.inUse); got != c.want {
			t.Errorf("%s: banned %v, want %v", c.name, got, c.want)
		}
	}
	b := ratelimit.NewBans(ratelimit.BanCaps{})
	b.Add(call.Ban{Act: call.ActBan, Key: ip, Rule: "x/y", Since: day}, time.Hour)
	b.Add(call.Ban{Act: call.ActBan, Key: call.Key{User: "1002"}, Rule: "x/z", Since: day, Known: true}, time.Hour)
	phone := func(user string, change ...func(*call.Attempt)) *call.Attempt {
		return stranger("198.51.100.1:4000", append([]func(*call.Attempt){func(a *call.Attempt) {
			a.Method, a.PeerKind, a.User, a.Source.Registered = "INVITE", call.Phone, user, true
		}}, change...)...)
	}
	for _, c := range []struct {
		name string
		a    *call.Attempt
		want call.Verdict
	}{
		{"the address", stranger("192.0.2.7:5000"), call.Drop},
		{"v4 in v6", stranger("[::ffff:192.0.2.7]:5000"), call.Drop},
		{"another address", stranger("192.0.2.8:5000"), call.Abstain},
		{"a phone that registered from there", stranger("192.0.2.7:5000", func(a *call.Attempt) { a.PeerKind, a.Source.Registered = call.Phone, true }), call.Abstain},
		{"a peer from there", stranger("192.0.2.7:5000", func(a *call.Attempt) { a.PeerKind = call.Carrier }), call.Abstain},
		{"the user", phone("1002"), call.Reject},
		{"another user", phone("1003"), call.Abstain},
		{"the user in need", phone("1002", func(a *call.Attempt) { a.To.Kind = call.Emergency }), call.Abstain},
		{"when it is over", phone("1002", func(a *call.Attempt) { a.At = day.Add(time.Hour) }), call.Abstain},
	} {
		if d := b.Judge(c.a); d.Verdict != c.want {
			t.Errorf("%s: %+v, want %s", c.name, d, c.want)
		}
	}
	if !b.Shut(netip.MustParseAddr("::ffff:192.0.2.7"), day) || b.Shut(netip.MustParseAddr("192.0.2.8"), day) || b.Shut(netip.MustParseAddr("192.0.2.7"), day.Add(time.Hour)) {
		t.Error("the gate")
	}
	a := phone("1003")
	if n := testing.AllocsPerRun(100, func() { b.Judge(a); b.Shut(a.Source.Addr.Addr(), day) }); n != 0 {
		t.Errorf("%v allocations for somebody who is not banned", n)
	}
}

// A hold refuses costly calls of its account and nothing else; the first
// refusal is told.
func TestHold(t *testing.T) {
	b := ratelimit.NewBans(ratelimit.BanCaps{})
	b.Add(call.Ban{Act: call.ActHold, Key: call.Key{User: "1001"}, Rule: "toll/burst", Since: day, Known: true}, time.Hour)
	try := func(user string, to call.Party, change ...func(*call.Attempt)) call.Decision {
		a := &call.Attempt{At: day, Method: "INVITE", PeerKind: call.Phone, User: user, To: to}
		for _, f := range change {
			f(a)
		}
		return b.Judge(a)
	}
	abroad := call.Party{Kind: call.International, Country: "JM"}
	if d := try("1001", abroad); d.Verdict != call.Reject || d.Status != 403 || d.Rule != "holds/costly-calls" || d.Action != call.CallRejected {
		t.Errorf("%+v", d)
	}
	if d := try("1001", call.Party{Kind: call.National, Class: "premium_rate"}); d.Verdict != call.Reject || d.Action != "" {
		t.Errorf("the second is told too, or passes: %+v", d)
	}
	if d := try("1001", abroad, func(a *call.Attempt) { a.PeerKind, a.Side, a.Peer = call.PBX, call.Inside, "main" }); d.Verdict != call.Reject {
		t.Errorf("the way through the PBX is open: %+v", d)
	}
	for name, d := range map[string]call.Decision{
		"a plain call":    try("1001", call.Party{Kind: call.National, Class: "mobile"}),
		"a colleague":     try("1001", call.Party{Kind: call.Extension}),
		"an emergency":    try("1001", call.Party{Kind: call.Emergency}),
		"somebody else":   try("1002", abroad),
		"a text":          try("1001", abroad, func(a *call.Attempt) { a.Method = "MESSAGE" }),
		"a call that was": try("1001", abroad, func(a *call.Attempt) { a.On = call.Progress }),
		"when it is over": try("1001", abroad, func(a *call.Attempt) { a.At = day.Add(2 * time.Hour) }),
	} {
		if d.Verdict != call.Abstain {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// A limit's ban is of its key, and when it was carried out the failures that led
// to it are paid for.
func TestLimitBans(t *testing.T) {
	e, err := ratelimit.New([]ratelimit.Limit{{ID: "l/failures", Match: func(a *call.Attempt) bool { return a.Method == "REGISTER" },
		Key: []string{"source.ip", "register.user"}, Failures: 2, Over: time.Hour, Act: call.ActBan}}, ratelimit.Caps{})
	if err != nil {
		t.Fatal(err)
	}
	a := stranger("192.0.2.7:4000", func(a *call.Attempt) { a.AuthUser = "1001" })
	for range 2 {
		if d := e.Judge(a); d.Verdict != call.Abstain {
			t.Fatalf("%+v", d)
		}
		e.Outcome(a, 403)
	}
	d := e.Judge(a)
	if d.Verdict != call.Drop || len(d.Effects) != 1 || d.Effects[0].Key != (call.Key{Source: call.SourcePrefix(a.Source.Addr.Addr(), false), RegisterUser: "1001"}) {
		t.Fatalf("%+v", d)
	}
	other := stranger("192.0.2.7:4000", func(a *call.Attempt) { a.RegisterUser = "1002" })
	if d := e.Judge(other); d.Verdict != call.Abstain {
		t.Errorf("the office was banned: %+v", d)
	}
	e.Banned(a, "l/failures")
	if d := e.Judge(a); d.Verdict != call.Abstain {
		t.Errorf("banned again for the same failures: %+v", d)
	}
	for _, bad := range []ratelimit.Limit{
		{ID: "l/x", Match: func(*call.Attempt) bool { return true }, Rate: 1, Burst: 1, Act: call.ActBan},
		{ID: "l/x", Match: func(*call.Attempt) bool { return true }, Rate: 1, Burst: 1, Act: call.ActHangup},
		{ID: "l/x", Match: func(*call.Attempt) bool { return true }, Rate: 1, Burst: 1, Act: call.ActHold, Verdict: call.Drop},
	} {
		if _, err := ratelimit.New([]ratelimit.Limit{bad}, ratelimit.Caps{}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// So are failures over different users, challenges that nobody answered, and what
// was counted for the user whose password was shown; a restart knows it.
func TestBansArePaidFor(t *testing.T) {
	over, silent, per := spread, unanswered, ratelimit.Limit{ID: "l/user", Match: only("REGISTER"), Key: []string{"register.user"}, Failures: 10, Over: time.Hour}
	for name, l := range map[string]*ratelimit.Limit{"many users": &over, "no answers": &silent, "the user of the password": &per} {
		l.Over, l.Verdict, l.Act = time.Hour, 0, call.ActBan
		e := engine(t, ratelimit.Caps{}, *l)
		try := func(i int) (*call.Attempt, call.Decision) {
			a := request("REGISTER", "192.0.2.1", time.Duration(i)*10*time.Second)
			a.RegisterUser, a.SIPCallID = strconv.Itoa(i), strconv.Itoa(i)
			if !l.Unanswered {
				a.AuthUser = "1001"
			}
			d := e.Judge(a)
			if d.Rule == "" {
				e.Outcome(a, 401)
			}
			return a, d
		}
		i := 0
		a, d := try(i)
		for ; d.Rule == "" && i < 100; a, d = try(i) {
			i++
		}
		if d.Rule != l.ID || len(d.Effects) != 1 {
			t.Fatalf("%s: %+v", name, d)
		}
		was := e.Changes()
		e.Banned(a, l.ID)
		if e.Changes() == was {
			t.Errorf("%s: a restart does not know", name)
		}
		if _, d := try(i + 1); d.Rule != "" {
			t.Errorf("%s: banned again: %s", name, d.Reason)
		}
	}
}

// What is remembered comes back as it was; what cannot be a ban does not.
func TestBansComeBack(t *testing.T) {
	b := ratelimit.NewBans(ratelimit.BanCaps{})
	b.Add(call.Ban{Act: call.ActBan, Key: source(1), Rule: "x/y", Reason: "why", Since: day}, 0)
	b.Add(call.Ban{Act: call.ActHold, Key: call.Key{User: "1001"}, Rule: "x/z", Since: day, Known: true}, time.Hour)
	all := b.Remembered()
	c := ratelimit.NewBans(ratelimit.BanCaps{})
	junk := []call.Ban{{}, {Act: call.ActHangup, Key: source(2), Times: 1, Until: day.Add(time.Hour)}, {Act: call.ActBan, Times: 1, Until: day.Add(time.Hour)},
		{Act: call.ActBan, Key: source(3), Times: 1, Until: day.Add(-48 * time.Hour)}}
	if n := c.Restore(append(all, junk...), day); n != 2 {
		t.Errorf("%d taken", n)
	}
	if got := c.Remembered(); !reflect.DeepEqual(got, all) {
		t.Errorf("%+v\nwant\n%+v", got, all)
	}
	if n, _, _ := c.Add(call.Ban{Act: call.ActBan, Key: source(1), Since: day.Add(time.Hour)}, 0); n.Times != 2 {
		t.Errorf("the ban before the restart is forgotten: %+v", n)
	}
	if bans, holds := c.Count(day); bans != 0 && holds != 1 {
		t.Error(bans, holds)
	}
	small := ratelimit.NewBans(ratelimit.BanCaps{Strangers: 10})
	var many []call.Ban
	for i := range 100 {
		many = append(many, call.Ban{Act: call.ActBan, Key: source(i), Times: 1, Since: day, Until: day.Add(time.Hour)})
	}
	if n := small.Restore(many, day); n != 10 {
		t.Errorf("a large file fills the table beyond its cap: %d", n)
	}
}

// A success forgets what went before for the user, not for the address.
func TestSuccessForgives(t *testing.T) {
	b := ratelimit.NewBans(ratelimit.BanCaps{})
	a := stranger("192.0.2.7:4000", func(a *call.Attempt) { a.AuthUser = "1001" })
	ip, _ := call.KeyOf(a, call.ShapeIP)
	pair, _ := call.KeyOf(a, call.ShapeIP|call.ShapeRegisterUser)
	for _, k := range []call.Key{ip, pair} {
		b.Add(call.Ban{Act: call.ActBan, Key: k, Since: day.Add(-time.Hour)}, 0)
	}
	b.Outcome(a, 200)
	for k, want := range map[call.Key]int{ip: 2, pair: 1} {
		if n, _, _ := b.Add(call.Ban{Act: call.ActBan, Key: k, Since: day}, 0); n.Times != want {
			t.Errorf("%s: %d, want %d", k, n.Times, want)
		}
	}
}

func TestBansRace(t *testing.T) {
	b := ratelimit.NewBans(ratelimit.BanCaps{Strangers: 50})
	b.Add(call.Ban{Act: call.ActHold, Key: call.Key{User: "1001"}, Rule: "x", Since: day, Known: true}, time.Hour)
	told := make(chan bool, 1000)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				b.Add(call.Ban{Act: call.ActBan, Key: source(g*1000 + i), Since: day}, time.Minute)
				b.Shut(netip.MustParseAddr("192.0.2.7"), day)
				d := b.Judge(&call.Attempt{At: day, Method: "INVITE", PeerKind: call.Phone, User: "1001", To: call.Party{Kind: call.International}})
				told <- d.Action != ""
				b.List(day)
				b.Expire(day.Add(time.Duration(i) * time.Second))
			}
		})
	}
	wg.Wait()
	close(told)
	n := 0
	for x := range told {
		if x {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the hold was told %d times", n)
	}
}
