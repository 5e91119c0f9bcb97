package fraud

import (
	"fmt"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// Calls that are answered at once, to where the user never called: told within
// a few, and the money that runs is known.
func TestStolenAccount(t *testing.T) {
	d := newDesk()
	n := 0
	for ; n < 10 && len(d.out) == 0; n++ {
		d.dial(phone{user: "1001"}, fmt.Sprintf(freetown, n), time.Second)
		d.pass(10*time.Second, time.Second)
	}
	fs := d.of(IDToll)
	if len(fs) == 0 || n > 3 {
		t.Fatalf("%d findings after %d calls", len(fs), n)
	}
	if f := fs[0]; f.Subject != (call.Subject{Kind: "user", Value: "1001"}) || f.PerMin < 1 || f.Lost <= 0 || len(f.Evidence) < 6 {
		t.Errorf("%+v", f)
	}
}

// One call alone: the money is counted while it is up.
func TestOneLongCall(t *testing.T) {
	d := newDesk()
	id := d.dial(phone{user: "1001"}, fmt.Sprintf(freetown, 1), 8*time.Second)
	begin := d.at
	for len(d.out) == 0 && d.at.Sub(begin) < 3*time.Hour {
		d.pass(10*time.Second, 10*time.Second)
	}
	rate, _ := d.rates.Look(fmt.Sprintf(freetown, 1))
	spent := d.at.Sub(begin).Minutes() * rate.PerMinute
	limit := d.cfg.Toll.Spent * (1 + d.at.Sub(begin).Hours()/24)
	if fs := d.of(IDToll); len(fs) != 1 || spent > limit+.2 || spent < d.cfg.Toll.Spent {
		t.Fatalf("%d findings after USD %.2f: %v", len(fs), spent, fs)
	}
	d.hangup(id, 200, call.ByCaller, d.at.Sub(begin))
}

// What people do is no fraud: cheap countries, a project abroad whose numbers
// ring before somebody answers, a busy fax.
func TestUsualCallsAbroad(t *testing.T) {
	d := newDesk()
	for i := range 60 {
		d.talks(phone{user: "1001"}, fmt.Sprintf(paris, i%7), time.Second, 10*time.Minute)
	}
	d.quiet(t, "a day of calls to France")
	for i := range 8 {
		d.talks(phone{user: "1002"}, fmt.Sprintf(freetown, i%3), 9*time.Second, 2*time.Minute)
		d.pass(30*time.Minute, time.Minute)
	}
	d.quiet(t, "a project in Sierra Leone")
}

// The user's own habit: after some days with people at the other end, the same
// calls are usual; calls that were all answered at once never become so.
func TestHabits(t *testing.T) {
	d := newDesk()
	week := func(user string, ring time.Duration) {
		for range 5 {
			for i := range 3 {
				d.talks(phone{user: user}, fmt.Sprintf(freetown, i), ring, time.Minute)
				d.pass(2*time.Hour, time.Hour)
			}
			d.pass(18*time.Hour, time.Hour)
		}
		d.of(IDToll)
	}
	week("1001", 9*time.Second)
	week("1002", time.Second)
	novelty := func(user string) float64 {
		far, _ := d.rates.Look(fmt.Sprintf(freetown, 99))
		return d.toll.novelty(d.Engine, &running{account: "main", user: user, to: fmt.Sprintf(freetown, 99), far: far})
	}
	if n := novelty("1001"); n != .1 {
		t.Errorf("a habit weighs %v", n)
	}
	if n := novelty("1002"); n != 1 {
		t.Errorf("calls that nobody took weigh %v", n)
	}
	if n := novelty("1003"); n != 1 {
		t.Errorf("another user's habit weighs %v", n)
	}
}

// Many users who each stay small.
func TestManyUsersTogether(t *testing.T) {
	d := newDesk()
	for i := range 40 {
		d.talks(phone{user: fmt.Sprint(1000 + i%20)}, fmt.Sprintf(freetown, i), time.Second, 30*time.Second)
	}
	for _, f := range d.of(IDToll) {
		if f.Subject.Kind == "account" {
			return
		}
	}
	t.Fatal("no finding about the account")
}

func TestForwardedCalls(t *testing.T) {
	d := newDesk()
	for i := range 2 {
		d.dial(phone{user: "1001", diverted: true}, fmt.Sprintf(freetown, i), time.Second)
	}
	fs := d.of(IDForward)
	if len(fs) == 0 || fs[0].Action != call.CallForwardFraud {
		t.Fatalf("%v", fs)
	}
}

// The least that is sure at the defaults, against a thief who knows the rules:
// docs/toll-fraud.md states these figures.
func TestMoneyThatLeaks(t *testing.T) {
	var worst float64
	how := ""
	for _, price := range []string{freetown, manila, personal, "+88161%07d"} {
		for _, talk := range []time.Duration{time.Minute, 20 * time.Minute, 90 * time.Minute} {
			for _, ring := range []time.Duration{time.Second, 9 * time.Second} {
				for _, gap := range []time.Duration{5 * time.Minute, 90 * time.Minute} {
					if usd := drip(price, talk, ring, gap); usd > worst {
						worst, how = usd, fmt.Sprint(price, talk, ring, gap)
					}
				}
			}
		}
	}
	t.Logf("USD %.2f by %s", worst, how)
	if c := Defaults("office").Toll; worst > 2*c.Spent+5 || worst < c.Spent/4 {
		t.Errorf("USD %.2f leak on the first day by %s; at most twice %.0f should", worst, how, c.Spent)
	}
}

// drip is what one user's calls cost within a day before anything is said.
func drip(to string, talk, ring, gap time.Duration) (usd float64) {
	d := newDesk()
	rate, _ := d.rates.Look(fmt.Sprintf(to, 1))
	for end := d.at.Add(24 * time.Hour); d.at.Before(end) && len(d.out) == 0; {
		id := d.dial(phone{user: "1001"}, fmt.Sprintf(to, d.n), ring)
		begin := d.at
		for d.at.Sub(begin) < talk && len(d.out) == 0 {
			d.pass(30*time.Second, 30*time.Second)
			usd += rate.PerMinute / 2
		}
		if len(d.out) > 0 {
			break
		}
		d.hangup(id, 200, call.ByCaller, talk)
		d.pass(gap, gap)
	}
	return usd
}

// A thief who spends a little more every day moves what is usual, but not far:
// four times the limit.
func TestSlowGrowthEnds(t *testing.T) {
	d := newDesk()
	rate, _ := d.rates.Look(fmt.Sprintf(freetown, 1))
	most := 0.0
	for range 60 {
		var usual float64
		if u := d.toll.users.peek(userKey{"main", "1001"}, d.state.now); u != nil {
			usual = u.usual
		}
		today := .9 * (d.cfg.Toll.Spent + 3*usual)
		per := time.Duration(today / 3 / rate.PerMinute * float64(time.Minute)).Truncate(time.Second)
		for i := range 3 {
			d.talks(phone{user: "1001"}, fmt.Sprintf(freetown, i), 9*time.Second, per)
			d.pass(time.Hour, time.Hour)
		}
		d.pass(24*time.Hour-3*(per+time.Hour), time.Hour)
		most = max(most, today)
		if fs := d.of(IDToll); len(fs) > 0 {
			break
		}
	}
	t.Logf("USD %.0f a day at the end", most)
	if most > 4*d.cfg.Toll.Spent {
		t.Errorf("USD %.0f a day without a word", most)
	}
}

// Everything an attacker can grow has an end.
func TestCapsOfToll(t *testing.T) {
	d := newDesk(func(c *Config) { c.MaxKeys, c.MaxCalls = 50, 50 })
	for i := range 3000 {
		u := phone{user: fmt.Sprint(i), country: []string{"GB", "VN", "FR"}[i%3], agent: fmt.Sprint("agent", i)}
		d.registers(u)
		d.dial(u, fmt.Sprintf(freetown, i), time.Second)
		d.dial(u, fmt.Sprintf(personal, i), time.Second)
		d.out = nil
	}
	parts, err := d.state.parts()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if p.table == nil {
			continue
		}
		if most, _ := p.table.limits(); p.table.len() > most || most > 10_000 {
			t.Errorf("%s has %d of %d", p.name, p.table.len(), most)
		}
	}
	if a := d.toll.accounts.peek("main", d.state.now); max(len(a.who), len(a.paid), len(a.paidTo)) > 64 {
		t.Errorf("%d users of an account", len(a.who))
	}
}

// What many spend together is told, but not that they confer.
func TestMoneyOfAnAccount(t *testing.T) {
	confer := func(to string) []Finding {
		d := newDesk()
		var up []string
		for i := range 25 {
			up = append(up, d.dial(phone{user: fmt.Sprint(1000 + i)}, fmt.Sprintf(to, i%3), 9*time.Second))
		}
		d.pass(100*time.Minute, time.Minute)
		for _, id := range up {
			d.hangup(id, 200, call.ByCaller, 100*time.Minute)
		}
		var fs []Finding
		for _, f := range d.of(IDToll) {
			if f.Subject.Kind == "account" && f.Evidence[0].Name == "usd_spent_day" {
				fs = append(fs, f)
			}
		}
		return fs
	}
	if fs := confer(shared); len(fs) != 0 {
		t.Errorf("a conference: %v", fs)
	}
	if fs := confer(manila); len(fs) == 0 {
		t.Error("USD 500 of an account were not told")
	}
}

// Three users who begin with a costly country on one day are told when it has
// cost half of what they may put at risk, though somebody lifts a receiver; a
// project of two is not.
func TestMoneyOfSeveralWhereNobodyCalled(t *testing.T) {
	told := func(users, numbers int) (spent float64) {
		d := newDesk()
		rate, _ := d.rates.Look(fmt.Sprintf(freetown, 1))
		for i := range 6 {
			id := d.dial(phone{user: fmt.Sprint(1000 + i%users)}, fmt.Sprintf(freetown, i%numbers), 9*time.Second)
			for range 8 * 6 {
				d.pass(10*time.Second, time.Second)
				spent += rate.PerMinute / 6
				for _, f := range d.of(IDToll) {
					if f.Subject.Kind != "account" || f.Lost <= 0 {
						t.Errorf("%+v", f)
					}
					return spent
				}
			}
			d.hangup(id, 200, call.ByCaller, 8*time.Minute)
			d.pass(10*time.Minute, time.Minute)
		}
		return -1
	}
	limit := Defaults("office").Toll.Account / 2
	if usd := told(3, 6); usd < limit || usd > limit*1.5 {
		t.Errorf("three users: told at USD %.2f", usd)
	}
	if usd := told(2, 6); usd != -1 {
		t.Errorf("two users: told at USD %.2f", usd)
	}
	if usd := told(3, 2); usd != -1 {
		t.Errorf("a partner with two numbers: told at USD %.2f", usd)
	}
}

// A machine that answers at once puts more at risk the longer it talks. A call
// that rang does not, nor one to where calls cost little.
func TestLongCallThatWasAnsweredAtOnce(t *testing.T) {
	for _, c := range []struct {
		to   string
		ring time.Duration
		want int
	}{{freetown, time.Second, 1}, {freetown, 9 * time.Second, 0}, {paris, time.Second, 0}} {
		d := newDesk()
		d.dial(phone{user: "1001"}, fmt.Sprintf(c.to, 1), c.ring)
		d.pass(15*time.Minute, time.Second)
		fs := d.of(IDToll)
		if n := min(len(fs), 1); n != c.want || n == 1 && fs[0].Lost > 9 {
			t.Errorf("%s after %v: %v", c.to, c.ring, fs)
		}
	}
}

// At night, to where nobody called, half as much money is enough.
func TestMoneyInAQuietHour(t *testing.T) {
	d := newDesk()
	for range 5 * 7 * 24 { // office hours, for weeks
		if h := d.at.Hour(); d.at.Weekday() != time.Saturday && d.at.Weekday() != time.Sunday && h >= 8 && h < 18 {
			for i := range 20 {
				d.talks(phone{user: fmt.Sprint(1000 + i)}, fmt.Sprintf(london, i), 9*time.Second, time.Minute)
			}
		}
		d.at = d.at.Truncate(time.Hour)
		d.pass(time.Hour, time.Hour)
	}
	d.quiet(t, "calls at home")
	for d.at.Hour() != 2 {
		d.pass(time.Hour, time.Hour)
	}
	rate, _ := d.rates.Look(fmt.Sprintf(freetown, 1))
	d.dial(phone{user: "1001"}, fmt.Sprintf(freetown, 1), 9*time.Second)
	begin := d.at
	for len(d.out) == 0 && d.at.Sub(begin) < 2*time.Hour {
		d.pass(10*time.Second, 10*time.Second)
	}
	if usd, half := d.at.Sub(begin).Minutes()*rate.PerMinute, d.cfg.Toll.Spent/2; len(d.of(IDToll)) == 0 || usd < half || usd > half*1.1 {
		t.Errorf("told after USD %.2f", usd)
	}
}
