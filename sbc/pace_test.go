package sbc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/sbc/sipx"
)

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// TestPacerTakesTurns: users of a line take turns, known ones go before
// strangers, and strangers are not forgotten.
func TestPacerTakesTurns(t *testing.T) {
	var p pacer
	p.init(10, 100)
	var did []string
	ask := func(key string, known bool, n int) {
		for i := range n {
			name := fmt.Sprint(key, i)
			if now, _ := p.pass(noon, key, known, func() { did = append(did, name) }); now {
				did = append(did, name)
			}
		}
	}
	ask("first", true, 10) // the burst: nobody waits
	if len(did) != 10 || p.waiting() != 0 {
		t.Fatalf("at once: %v, %d wait", did, p.waiting())
	}
	did = nil
	ask("s", false, 2)
	ask("greedy", true, 6)
	ask("a", true, 1)
	ask("b", true, 1)
	at, waits := noon, 0
	for p.waiting() > 0 {
		do, wait := p.next(at)
		if do == nil {
			if wait < time.Millisecond || wait > 100*time.Millisecond {
				t.Fatalf("wait %v", wait)
			}
			at = at.Add(wait)
			waits++
			continue
		}
		do()
	}
	want := []string{"greedy0", "a0", "b0", "greedy1", "s0", "greedy2", "greedy3", "greedy4", "greedy5", "s1"}
	if !slices.Equal(did, want) {
		t.Errorf("order %v, want %v", did, want)
	}
	if took := at.Sub(noon); took < 900*time.Millisecond || took > 1100*time.Millisecond {
		t.Errorf("ten of them took %v, want 1 s", took)
	}
	if do, wait := p.next(at); do != nil || wait != 0 {
		t.Errorf("nothing waits, and next says %v", wait)
	}
}

// TestPacerIsBounded: a user has room for so many, strangers never take the
// room of the known, and who is sent away is told different times.
func TestPacerIsBounded(t *testing.T) {
	var p pacer
	p.init(1, 1000)
	p.pass(noon, "x", true, nil)
	count := func(known bool, n int, key func(i int) string) (in int) {
		for i := range n {
			if now, full := p.pass(noon, key(i), known, func() {}); !now && !full {
				in++
			}
		}
		return in
	}
	if n := count(true, 1000, func(int) string { return "one user" }); n != maxContacts {
		t.Errorf("one user has %d places, want %d", n, maxContacts)
	}
	if n := count(false, 10000, func(int) string { return "one address" }); n != 125 {
		t.Errorf("one stranger has %d places, want 125", n)
	}
	if n := count(false, 10000, func(i int) string { return fmt.Sprint(i) }); n != 250-125 {
		t.Errorf("strangers have %d more places, want %d", n, 250-125)
	}
	if n := count(true, 10000, func(i int) string { return fmt.Sprint(i) }); n != 1000-maxContacts {
		t.Errorf("the known have %d more places, want %d", n, 1000-maxContacts)
	}
	seen := map[time.Duration]bool{}
	for range 100 {
		d := p.retryAfter()
		if d < 1250*time.Second || d > 2510*time.Second {
			t.Fatalf("Retry-After %v with %d waiting", d, p.waiting())
		}
		seen[d.Truncate(time.Second)] = true
	}
	if len(seen) < 50 {
		t.Errorf("only %d different times", len(seen))
	}
	for p.waiting() > 0 {
		do, _ := p.next(noon.Add(time.Hour))
		if do == nil {
			p.tokens = 1000
		}
	}
	if len(p.known.by)+len(p.strange.by)+len(p.known.order)+len(p.strange.order) != 0 {
		t.Errorf("left behind: %+v %+v", p.known, p.strange)
	}
}

// TestRefreshOfBinding: what the PBX granted is the measure of all answers in
// its place.
func TestRefreshOfBinding(t *testing.T) {
	flow, other := &sipx.Flow{Transport: "tls"}, &sipx.Flow{Transport: "tls"}
	stored := binding{token: "t", aor: aor{"1001", "x"}, flow: flow, print: [16]byte{1}, cseq: 5, asked: noon, interval: time.Minute,
		told: noon.Add(time.Minute), expires: noon.Add(time.Minute + late), half: noon.Add(30 * time.Minute), until: noon.Add(time.Hour)}
	good := refresh{token: "t", flow: flow, print: [16]byte{1}, cseq: 6, at: noon.Add(time.Minute), want: time.Minute}
	for _, c := range []struct {
		name   string
		change func(*binding, *refresh)
		ok     bool
		told   time.Duration // from when it was asked
	}{
		{"the same again", func(*binding, *refresh) {}, true, time.Minute},
		{"as before", func(_ *binding, x *refresh) { x.want = 0 }, true, time.Minute},
		{"no number above", func(_ *binding, x *refresh) { x.cseq = 5 }, false, 0},
		{"it is let go", func(b *binding, _ *refresh) { b.leaving = true }, false, 0},
		{"busy, and it is let go", func(b *binding, x *refresh) { b.leaving, x.squeezed = true, true }, false, 0},
		{"another connection", func(_ *binding, x *refresh) { x.flow = other }, false, 0},
		{"a lost connection", func(b *binding, _ *refresh) { b.flow = nil }, false, 0},
		{"something changed", func(_ *binding, x *refresh) { x.print[0] = 2 }, false, 0},
		{"another contact", func(_ *binding, x *refresh) { x.token = "u" }, false, 0},
		{"too late", func(_ *binding, x *refresh) { x.at = noon.Add(2 * time.Minute) }, false, 0},
		{"half is over", func(b *binding, x *refresh) { x.at = b.half; b.expires = b.until }, false, 0},
		{"just before", func(b *binding, x *refresh) { x.at = b.half.Add(-1); b.expires = b.until }, true, time.Minute},
		{"never beyond the grant", func(b *binding, x *refresh) { x.want = 2 * time.Hour }, true, 59 * time.Minute},
		{"the PBX was away since", func(_ *binding, x *refresh) { x.back = noon.Add(time.Second) }, false, 0},
		{"the PBX was away before", func(_ *binding, x *refresh) { x.back = noon.Add(-time.Second) }, true, time.Minute},
		{"busy, half is over", func(b *binding, x *refresh) {
			x.at = noon.Add(58 * time.Minute)
			b.expires = b.until
			x.squeezed = true
		}, true, leastLeft},
		{"busy, nearly all over", func(b *binding, x *refresh) {
			x.at = noon.Add(59*time.Minute + time.Second)
			b.expires = b.until
			x.squeezed = true
		}, false, 0},
		{"busy, and the PBX was away", func(_ *binding, x *refresh) { x.back, x.squeezed = noon.Add(time.Second), true }, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var bs bindings
			bs.init(10)
			b, x := stored, good
			c.change(&b, &x)
			bs.byToken["t"] = &b
			before := b
			got, ok := bs.refresh(x)
			if ok != c.ok || ok && got.told.Sub(x.at) != c.told {
				t.Fatalf("%v, told %v", ok, got.told.Sub(x.at))
			}
			if ok && (got.expires.After(b.until) || got.expires.Before(got.told) || got.cseq != x.cseq || !got.asked.Equal(x.at)) {
				t.Errorf("now %+v", got)
			}
			if !ok && b != before {
				t.Errorf("a refusal changed it: %+v", b)
			}
		})
	}
}

// BenchmarkBinding is the memory of one registered phone.
func BenchmarkBinding(b *testing.B) {
	var bs bindings
	bs.init(b.N)
	b.ReportAllocs()
	now := time.Now()
	for i := range b.N {
		user := fmt.Sprintf("%06d", i)
		bs.put(binding{token: "rp" + strings.Repeat("0", 18) + user, aor: aor{user, "sip.example.com"}, contact: "sip:" + user + "@192.168.100.100:50610;transport=tls",
			account: "main", flow: &sipx.Flow{Transport: "tls"}, expires: now.Add(time.Hour), asked: now, userAgent: "phone/1.0"})
	}
}

// BenchmarkExpire is one round of the janitor over 20,000 phones of which none
// has expired.
func BenchmarkExpire(b *testing.B) {
	var bs bindings
	bs.init(20000)
	now := time.Now()
	for i := range 20000 {
		user := fmt.Sprintf("%06d", i)
		bs.put(binding{token: user, aor: aor{user, "x"}, expires: now.Add(time.Hour)})
	}
	for b.Loop() {
		bs.expire(now)
	}
}
