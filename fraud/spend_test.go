package fraud

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// deck is a rate deck with round prices.
const deck = "prefix,code,usd_per_min,class\n371,LV,1.5,high\n44,GB,0.01,home\n49,DE,0.05,low\n8816,IRIDIUM,6,satellite\n960,MV,3,high\n4490,GB-premium,1.2,premium\n"

func priced(t testing.TB) *Rates {
	t.Helper()
	r, err := DefaultRates("GB", number.Builtin()).ReadDeck("deck", strings.NewReader(deck))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// money is an engine that enforces spend-cap and nothing else.
func money(t testing.TB, c SpendConfig) *Engine {
	cfg := Defaults("office")
	c.Over = 24 * time.Hour
	cfg.Spend, cfg.Rules = c, map[string]Rule{IDSpend: {Mode: Enforce, Then: Then{Verdict: call.Reject, Status: 403, Act: call.ActHangup}}}
	return New(cfg, priced(t))
}

// A tape plays events to an engine and keeps what was found, by detector.
type tape struct {
	e     *Engine
	only  string
	found []Finding
}

func (p *tape) keep(fs []Finding) {
	for _, f := range fs {
		if f.Detector == p.only && !f.Grown {
			p.found = append(p.found, f)
		}
	}
}

func (p *tape) play(ev call.Event) { p.keep(p.e.Observe(ev)) }

// up begins a call that is answered at once.
func (p *tape) up(at time.Duration, id, user, to string) {
	p.play(outward(at, id, user, to))
	p.play(call.Event{At: call.Time{Time: t0.Add(at)}, Kind: call.EventAnswer, ID: id, Peer: "carrier"})
}

func (p *tape) down(at time.Duration, id string) {
	secs := 0.0
	p.play(call.Event{At: call.Time{Time: t0.Add(at)}, Kind: call.EventEnd, ID: id, Code: 200, EndedBy: call.ByCaller, Seconds: &secs})
}

func (p *tape) until(at time.Duration) []Finding {
	p.keep(p.e.Tick(t0.Add(at)))
	return p.found
}

func outward(at time.Duration, id, user, to string) call.Event {
	return call.Event{At: call.Time{Time: t0.Add(at)}, Kind: call.EventInvite, ID: id, Direction: "outbound", Account: "main", User: user, From: user, To: to, Verdict: "allow"}
}

func attempt(at time.Duration, user, to string) *call.Attempt {
	return &call.Attempt{At: t0.Add(at), On: call.Request, Method: "INVITE", Direction: call.Outbound, Account: "main", User: user, Pass: 1,
		To: call.Party{Kind: call.International, Number: to}}
}

// Calls that run side by side share a budget, and end at the millisecond at
// which it is used up: with three of USD 1.50 a minute and USD 5.00, after
// 66.667 seconds, at 5.00 to the cent.
func TestSpendCapIsExact(t *testing.T) {
	p := &tape{e: money(t, SpendConfig{User: 5}), only: IDSpend}
	for i := range 3 {
		p.up(0, fmt.Sprint("c", i), "1001", fmt.Sprintf("+3712000000%d", i))
	}
	p.up(0, "cheap", "1001", "+442079460000")
	p.up(0, "other", "1002", "+37120000009")
	if due := p.e.Due(); !due.IsZero() {
		t.Errorf("due before the millisecond is over: %s", due.Sub(t0))
	}
	p.keep(p.e.Flush())
	want := time.Duration(math.Ceil(5/4.5*60_000)) * time.Millisecond
	if due := p.e.Due().Sub(t0); due > want || !slices.ContainsFunc(p.e.due, func(a alarm) bool { return a.purse != nil && a.at == t0.Add(want).UnixNano() }) {
		t.Errorf("due after %s, want %s; %+v", due, want, p.e.due)
	}
	if f := p.until(want - time.Millisecond); len(f) != 0 {
		t.Fatalf("too early: %+v", f)
	}
	f := p.until(2 * time.Minute)
	if len(f) != 1 || f[0].At.Sub(t0) != want || cents(f[0].Lost) != 5 || math.Abs(f[0].Lost-5) > .001 || f[0].PerMin != 4.5 ||
		f[0].Subject != (call.Subject{Kind: "user", Value: "1001"}) || f[0].Action != call.SpendCap {
		t.Fatalf("%+v", f)
	}
	if d := f[0].Do; len(d) != 1 || d[0].Act != call.ActHangup || !slices.Equal(d[0].Calls, []string{"c0", "c1", "c2"}) || d[0].Shadow || d[0].Rule != IDSpend {
		t.Errorf("%+v", d)
	}
	// What comes now is refused, but not at home, and not of others.
	for _, x := range []struct {
		user, to string
		want     call.Verdict
	}{{"1001", "+37120000001", call.Reject}, {"1001", "+4915112345678", call.Reject}, {"1001", "+442079460000", call.Abstain}, {"1002", "+37120000001", call.Abstain}} {
		if d := p.e.Judge(attempt(2*time.Minute, x.user, x.to)); d.Verdict != x.want || x.want == call.Reject && (d.Rule != IDSpend || d.Status != 403) {
			t.Errorf("%s to %s: %+v", x.user, x.to, d)
		}
	}
	// One that was on its way gets through to the answer and is ended then.
	p.up(3*time.Minute, "late", "1001", "+37120000008")
	if f := p.until(3*time.Minute + time.Second); len(f) != 2 || !slices.Equal(f[1].Do[0].Calls, []string{"late"}) {
		t.Errorf("%+v", f)
	}
}

// Whether somebody ticks, and how often, changes nothing: what becomes due is
// found at its own time, before the event that shows that it has passed.
func TestSpendCapNeedsNoTicks(t *testing.T) {
	play := func(tick time.Duration) (out []string) {
		p := &tape{e: money(t, SpendConfig{User: 5, Account: 7, Peer: 6.5, Destination: 3}), only: IDSpend}
		p.up(0, "a", "1001", "+37120000001")
		p.up(20*time.Second, "b", "1002", "+9607000001")
		p.up(40*time.Second, "c", "1001", "+9607000002")
		if tick > 0 {
			for at := 41 * time.Second; at < 3*time.Minute; at += tick {
				p.until(at)
			}
		}
		p.down(3*time.Minute, "a")
		p.until(10 * time.Minute)
		for _, f := range p.found {
			out = append(out, fmt.Sprint(f.At.Sub(t0), f.Subject, cents(f.Lost), f.Do))
		}
		return out
	}
	want := play(0)
	if len(want) != 6 {
		t.Errorf("%d findings: %q", len(want), want)
	}
	for _, tick := range []time.Duration{7 * time.Millisecond, time.Second, 33 * time.Second} {
		if got := play(tick); !slices.Equal(got, want) {
			t.Errorf("every %s:\n%q, want\n%q", tick, got, want)
		}
	}
}

// The window rolls: what was spent a day ago is free again, what is younger is
// not.
func TestSpendCapRolls(t *testing.T) {
	p := &tape{e: money(t, SpendConfig{User: 5}), only: IDSpend}
	p.up(0, "a", "1001", "+37120000001")
	p.down(2*time.Minute, "a") // 3.00
	p.up(12*time.Hour, "b", "1001", "+37120000001")
	p.down(12*time.Hour+time.Minute, "b") // 1.50
	if f := p.until(23 * time.Hour); len(f) != 0 {
		t.Fatalf("%+v", f)
	}
	p.up(23*time.Hour, "c", "1001", "+37120000001")
	if f := p.until(23*time.Hour + 20500*time.Millisecond); len(f) != 1 || f[0].At.Sub(t0) != 23*time.Hour+20*time.Second {
		t.Fatalf("%+v", f)
	}
	p.down(23*time.Hour+21*time.Second, "c")
	refused := func(at time.Duration) bool {
		p.until(at)
		return p.e.Judge(attempt(at, "1001", "+37120000001")).Verdict == call.Reject
	}
	if !refused(24*time.Hour) || refused(24*time.Hour+20*time.Minute) {
		t.Error("the first call counts for a day and a quarter of an hour")
	}
	p.up(25*time.Hour, "d", "1001", "+37120000001") // 5.00 - 1.50 - 0.53 are left
	want := 25*time.Hour + time.Duration(math.Ceil((5-1.5-1.5*21/60)/1.5*60_000))*time.Millisecond
	if f := p.until(26 * time.Hour); len(f) != 2 || f[1].At.Sub(t0) != want {
		t.Errorf("want %s: %+v", want, f[1:])
	}
}

// Whoever ends calls at the cap lets none begin beyond it; a flag lets all.
func TestSpendCapRefusesWhereItEnds(t *testing.T) {
	for _, x := range []struct {
		then Then
		want call.Verdict
		code int
	}{{Then{Act: call.ActHangup}, call.Reject, 403}, {Then{Act: call.ActHold, For: time.Hour}, call.Reject, 403}, {Then{}, call.Abstain, 0}, {Then{Verdict: call.Reject, Status: 480}, call.Reject, 480}} {
		p := &tape{e: money(t, SpendConfig{User: 1}), only: IDSpend}
		p.e.cfg.Rules[IDSpend] = Rule{Mode: Enforce, Then: x.then}
		p.up(0, "a", "1001", "+37120000001")
		p.until(time.Minute)
		if d := p.e.Judge(attempt(time.Minute, "1001", "+37120000001")); d.Verdict != x.want || d.Status != x.code {
			t.Errorf("%+v: %+v", x.then, d)
		}
	}
}

// A trunk whose budget is used up takes no more costly calls; others do.
func TestSpendCapOfTrunk(t *testing.T) {
	p := &tape{e: money(t, SpendConfig{Peer: 1}), only: IDSpend}
	p.up(0, "a", "1001", "+37120000001")
	f := p.until(time.Minute)
	if len(f) != 1 || f[0].Subject != (call.Subject{Kind: "peer", Value: "carrier"}) {
		t.Fatalf("%+v", f)
	}
	for _, x := range []struct {
		peer, to string
		want     call.Verdict
	}{{"carrier", "+37120000001", call.Reject}, {"carrier", "+442079460000", call.Abstain}, {"other", "+37120000001", call.Abstain}} {
		if d := p.e.JudgeRoute(attempt(time.Minute, "1002", x.to), x.peer); d.Verdict != x.want {
			t.Errorf("%s to %s: %+v", x.peer, x.to, d)
		}
	}
	if d := p.e.Judge(attempt(time.Minute, "1002", "+37120000001")); d.Verdict != call.Abstain {
		t.Errorf("it is the trunk's budget: %+v", d)
	}
}

// In shadow everything is told and nothing is done, for the first week; then it
// is.
func TestSpendCapInShadow(t *testing.T) {
	e := money(t, SpendConfig{User: 1})
	r := e.cfg.Rules[IDSpend]
	r.Mode = FirstShadow
	e.cfg.Rules[IDSpend] = r
	p := &tape{e: e, only: IDSpend}
	p.up(0, "a", "1001", "+37120000001")
	f := p.until(2 * time.Minute)
	if len(f) != 1 || !f[0].Do[0].Shadow {
		t.Errorf("%+v", f)
	}
	if d := e.Judge(attempt(3*time.Minute, "1001", "+37120000001")); d.Verdict != call.Abstain || len(d.Also) != 1 || !d.Also[0].Shadow || d.Also[0].Verdict != call.Reject {
		t.Errorf("%+v", d)
	}
	p.down(4*time.Minute, "a")
	p.up(8*24*time.Hour, "b", "1001", "+37120000001")
	if f := p.until(8*24*time.Hour + time.Hour); len(f) != 2 || f[1].Do[0].Shadow {
		t.Errorf("%+v", f)
	}
}

// A call for help costs nothing and is never among those to be ended; nor are
// internal and inbound calls.
func TestSpendCapSparesHelp(t *testing.T) {
	p := &tape{e: money(t, SpendConfig{User: .01, Account: .01}), only: IDSpend}
	for i, change := range []func(*call.Event){
		func(ev *call.Event) { ev.Rule = "base/emergency" },
		func(ev *call.Event) { ev.Direction = "internal" },
		func(ev *call.Event) { ev.Direction = "inbound" },
	} {
		ev := outward(0, fmt.Sprint(i), "1001", "+37120000001")
		change(&ev)
		p.play(ev)
		p.play(call.Event{At: ev.At, Kind: call.EventAnswer, ID: ev.ID})
	}
	if f := p.until(time.Hour); len(f) != 0 || len(p.e.due) != 0 {
		t.Errorf("%+v", f)
	}
}

// The table has a cap; a purse that gives way takes its alarm along, and calls
// whose ends were lost stop counting when they give way.
func TestSpendCaps(t *testing.T) {
	cfg := Defaults("office")
	cfg.MaxKeys, cfg.MaxCalls, cfg.Spend = 50, 200, SpendConfig{User: 1000, Over: 24 * time.Hour}
	e := New(cfg, priced(t))
	p := &tape{e: e, only: IDSpend}
	for i := range 1000 {
		p.up(time.Duration(i)*time.Second, fmt.Sprint("c", i), fmt.Sprint("u", i), "+37120000001")
	}
	e.Flush()
	if e.spend.purses.len() > 50 || len(e.due) > 250 || e.calls.len() != 200 {
		t.Errorf("%d purses, %d due, %d calls", e.spend.purses.len(), len(e.due), e.calls.len())
	}
	for i, a := range e.due {
		if *a.place != i+1 || a.purse != nil && a.purse.key.name == "" || a.call != nil && a.call.id == "" {
			t.Fatalf("%d: %+v", i, a)
		}
	}
	acct := e.spend.purses.peek(purseKey{ofAccount, "main", ""}, e.now)
	if acct.calls != 200 || math.Abs(acct.perMin-300) > 1e-6 {
		t.Errorf("%d calls at USD %.2f a minute are up", acct.calls, acct.perMin)
	}
	if n := len(acct.parts); n > partsOf+2 {
		t.Errorf("%d parts", n)
	}
}

// The parts of a window have a cap however long it is used.
func TestSpendParts(t *testing.T) {
	p := spending{perMin: 1}
	p.pay(t0.UnixNano(), 24*time.Hour)
	for at := time.Duration(0); at < 100*time.Hour; at += 7 * time.Minute {
		p.pay(t0.Add(at).UnixNano(), 24*time.Hour)
		if len(p.parts) > partsOf+2 {
			t.Fatalf("%d parts", len(p.parts))
		}
	}
	if s := p.sum(); s < 24*60 || s > 24*60+16 {
		t.Errorf("USD %.2f in a day", s)
	}
	p.pay(t0.Add(1e5*time.Hour).UnixNano(), 24*time.Hour)
	if s := p.sum(); s < 24*60 || s > 24*60+16 || len(p.parts) > partsOf+2 {
		t.Errorf("USD %.2f in a day after years", s)
	}
}

// Other parameters count at once, also for calls that are up.
func TestSpendCapChanges(t *testing.T) {
	p := &tape{e: money(t, SpendConfig{User: 100}), only: IDSpend}
	p.up(0, "a", "1001", "+37120000001")
	p.until(10 * time.Minute)
	cfg := p.e.cfg
	cfg.Spend.User = 16.5
	p.e.Configure(cfg, p.e.rates)
	if f := p.until(12 * time.Minute); len(f) != 1 || f[0].At.Sub(t0) != 11*time.Minute {
		t.Errorf("%+v", f)
	}
}

// The heap gives what is due in order, whatever was put in and taken out.
func TestAlarms(t *testing.T) {
	var h alarms
	places := make([]int, 200)
	times := map[int]int64{}
	for i := range 2000 {
		j := i * 7919 % 200
		if i%3 == 0 {
			h.drop(&places[j])
			delete(times, j)
			continue
		}
		at := int64(i * 104729 % 1000)
		h.set(alarm{at: at, place: &places[j], call: &running{id: fmt.Sprint(j)}})
		times[j] = at
	}
	if len(h) != len(times) {
		t.Fatalf("%d, want %d", len(h), len(times))
	}
	last := int64(-1)
	for a := h.next(1e9); a != nil; a = h.next(1e9) {
		if a.at < last {
			t.Fatalf("%d after %d", a.at, last)
		}
		last = a.at
		h.drop(a.place)
	}
	if h.next(1e9) != nil || slices.ContainsFunc(places, func(p int) bool { return p != 0 }) {
		t.Error("not empty")
	}
}

// costly-calls-cap flags: the third costly call at a time is told, no matter who
// makes it; with a verdict the third is refused.
func TestCostlyCalls(t *testing.T) {
	cfg := Defaults("office")
	cfg.Costly.PerMinute, cfg.Costly.Calls = 1, 2
	p := &tape{e: New(cfg, priced(t)), only: IDCostly}
	p.up(0, "a", "1001", "+37120000001")
	p.up(time.Second, "cheap", "1002", "+4915112345678")
	p.up(2*time.Second, "b", "1002", "+9607000001")
	p.play(outward(3*time.Second, "c", "1003", "+37120000002"))
	if f := p.until(4 * time.Second); len(f) != 0 {
		t.Errorf("%+v", f)
	}
	d := p.e.Judge(attempt(5*time.Second, "1004", "+37120000001"))
	if d.Verdict != call.Abstain || len(d.Also) != 0 {
		t.Errorf("it only flags: %+v", d)
	}
	p.e.cfg.Rules[IDCostly] = Rule{Mode: Enforce, Then: Then{Verdict: call.Reject, Status: 486}}
	if d := p.e.Judge(attempt(5*time.Second, "1004", "+37120000001")); d.Verdict != call.Reject || d.Status != 486 || d.Rule != IDCostly {
		t.Errorf("%+v", d)
	}
	if d := p.e.Judge(attempt(5*time.Second, "1004", "+4915112345678")); d.Verdict != call.Abstain {
		t.Errorf("a cheap one: %+v", d)
	}
	p.play(call.Event{At: call.Time{Time: t0.Add(6 * time.Second)}, Kind: call.EventAnswer, ID: "c"})
	f := p.until(7 * time.Second)
	if len(f) != 1 || f[0].Subject != (call.Subject{Kind: "account", Value: "main"}) || f[0].Action != call.CostlyCallsCap {
		t.Fatalf("%+v", f)
	}
	for i, id := range []string{"a", "b", "c"} {
		p.down(time.Duration(10+i)*time.Second, id)
	}
	p.until(time.Minute)
	if d := p.e.Judge(attempt(time.Minute, "1004", "+37120000001")); d.Verdict != call.Abstain {
		t.Errorf("they are over: %+v", d)
	}
}

// A costly call has a longest duration by its price class.
func TestLongestCalls(t *testing.T) {
	cfg := Defaults("office")
	cfg.Costly = CostlyConfig{High: time.Hour, Satellite: 10 * time.Minute}
	cfg.Rules[IDCostly] = Rule{Mode: Enforce, Then: Then{Act: call.ActHangup}}
	p := &tape{e: New(cfg, priced(t)), only: IDCostly}
	p.up(0, "high", "1001", "+37120000001")
	p.up(0, "sat", "1002", "+881612345678")
	p.up(0, "low", "1003", "+4915112345678")
	p.up(0, "over", "1004", "+37120000001")
	p.down(59*time.Minute, "over")
	f := p.until(5 * time.Hour)
	if len(f) != 2 || f[0].CallID != "sat" || f[0].At.Sub(t0) != 10*time.Minute || cents(f[0].Lost) != 60 || f[1].CallID != "high" || f[1].At.Sub(t0) != time.Hour {
		t.Fatalf("%+v", f)
	}
	if d := f[1].Do; len(d) != 1 || !slices.Equal(d[0].Calls, []string{"high"}) {
		t.Errorf("%+v", d)
	}
}
