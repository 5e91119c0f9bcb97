package fraud

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// costly begins and answers a call to Latvia that belongs to an incident.
func (e *Engine) costlyCall(id string, perMin float64) *running {
	c := e.calls.get(id, e.now)
	*c = running{id: id, account: "main", user: "1001", to: "+37120000001", outbound: true, paid: true, far: Rate{Code: "LV", Class: HighRisk, PerMinute: perMin}, start: e.now}
	e.tell(userFinding("1001"), c)
	c.answered = e.now
	return c
}

func (e *Engine) ended(id string) {
	c := e.calls.peek(id, e.now)
	x := ended{running: c, at: e.now}
	e.ledger.end(e, &x)
	e.calls.remove(id)
}

// An incident is told again while its calls cost money, and once more when they
// are over, without another finding. Who ticks, and when, changes nothing.
func TestBill(t *testing.T) {
	play := func(tick time.Duration) (out []string) {
		e := teller()
		var id string
		until := func(d time.Duration) {
			for at := time.Unix(0, e.now).Sub(t0) + tick; tick > 0 && at < d; at += tick {
				e.passes(t0.Add(at).UnixNano())
			}
			e.passes(t0.Add(d).UnixNano())
			for _, f := range e.given() {
				out = append(out, fmt.Sprintf("%s %.2f %.2f %v", f.At.Sub(t0), f.Lost, f.PerMin, f.Grown))
				if id == "" {
					id = f.Incident
				}
				if f.Incident != id || f.Detector != IDToll || f.Action != call.TollFraud || f.User != "1001" || f.Account != "main" {
					t.Errorf("%+v", f)
				}
			}
		}
		e.costlyCall("a", 1)
		until(90 * time.Second)
		e.costlyCall("b", 2)
		until(6 * time.Minute)
		e.ended("b")
		until(3 * time.Hour)
		e.ended("a")
		until(30 * time.Hour)
		if e.ledger.calls.len() != 0 || len(e.due) != 0 {
			t.Errorf("%d calls, %d due", e.ledger.calls.len(), len(e.due))
		}
		return out
	}
	want := []string{"0s 0.00 0.00 false", "1m0s 1.00 1.00 true", "5m0s 12.00 3.00 true", "21m0s 30.00 1.00 true", "1h20m0s 89.00 1.00 true", "2h19m0s 148.00 1.00 true", "3h18m0s 189.00 0.00 true"}
	for _, tick := range []time.Duration{0, time.Second, 17 * time.Minute} {
		if got := play(tick); !slices.Equal(got, want) {
			t.Errorf("every %s:\n%q, want\n%q", tick, got, want)
		}
	}
}

// The last word is what all of it cost, to the cent; calls whose end was lost
// hold nothing up.
func TestBillIsSettled(t *testing.T) {
	e := teller()
	for i := range 20 {
		e.costlyCall(fmt.Sprint("c", i), .25)
	}
	e.costlyCall("lost", .25)
	e.given()
	e.at(10*time.Minute + 30*time.Second)
	for i := range 20 {
		e.ended(fmt.Sprint("c", i))
	}
	e.calls.remove("lost")
	e.passes(t0.Add(3 * time.Hour).UnixNano())
	f := e.given()
	if len(f) == 0 || math.Abs(f[len(f)-1].Lost-52.5) > .001 || f[len(f)-1].PerMin != 0 {
		t.Fatalf("%+v", f)
	}
	e.passes(t0.Add(9 * time.Hour).UnixNano())
	if f := e.given(); len(f) != 0 || len(e.due) != 0 {
		t.Errorf("told twice: %+v", f)
	}
}

// What the detector knows beyond the calls of its findings is part of the cost.
func TestBillOfBefore(t *testing.T) {
	e := teller()
	c := e.calls.get("a", e.now)
	*c = running{id: "a", account: "main", user: "1001", outbound: true, paid: true, far: Rate{PerMinute: 1}, answered: e.now}
	f := userFinding("1001")
	f.Lost = 7
	e.tell(f, c)
	e.given()
	e.passes(t0.Add(2 * time.Minute).UnixNano())
	if f := e.given(); len(f) != 1 || math.Abs(f[0].Lost-8) > .001 {
		t.Errorf("%+v", f)
	}
}

// Calls and incidents on bills have a cap; refused and free calls are on none.
func TestBillsHaveACap(t *testing.T) {
	e := teller()
	for i := range 3 * maxOnBill {
		e.costlyCall(fmt.Sprint("c", i), 1)
	}
	in := e.open.peek(topic{IDToll, "main", call.Subject{Kind: "user", Value: "1001"}}, e.now)
	if len(in.Bill.Up) != maxOnBill {
		t.Errorf("%d", len(in.Bill.Up))
	}
	for _, c := range []running{{id: "refused", paid: true, refused: true, far: Rate{PerMinute: 1}}, {id: "free", paid: true}, {id: "theirs", far: Rate{PerMinute: 1}}} {
		e.tell(userFinding("1002"), &c)
	}
	if n := len(e.open.peek(topic{IDToll, "", call.Subject{Kind: "user", Value: "1002"}}, e.now).Bill.Up); n != 0 {
		t.Errorf("%d", n)
	}
	c := running{id: "many", account: "main", outbound: true, paid: true, far: Rate{PerMinute: 1}}
	for i := range 10 {
		e.tell(userFinding(fmt.Sprint("u", i)), &c)
	}
	e.calls.remove("many")
	if len(e.due) > 12 {
		t.Errorf("%d due", len(e.due))
	}
}

// An incident that gives way takes its alarm with it.
func TestBillsOfLostIncidents(t *testing.T) {
	cfg := Defaults("office")
	cfg.MaxKeys = 10
	e := New(cfg, DefaultRates("GB", number.Builtin()))
	e.now, e.begin = t0.UnixNano(), t0.UnixNano()
	for i := range 100 {
		c := e.calls.get(fmt.Sprint("c", i), e.now)
		*c = running{id: fmt.Sprint("c", i), account: "main", outbound: true, paid: true, far: Rate{PerMinute: 1}, answered: e.now}
		e.tell(userFinding(fmt.Sprint("u", i)), c)
	}
	if len(e.due) > 10 {
		t.Errorf("%d due", len(e.due))
	}
	e.passes(t0.Add(48 * time.Hour).UnixNano())
}

// What an incident costs by now is known between two alerts, too.
func TestCosts(t *testing.T) {
	e := teller()
	e.costlyCall("a", 1)
	e.costlyCall("b", 2)
	id := e.given()[0].Incident
	for _, c := range []struct {
		at   time.Duration
		do   func()
		want Cost
	}{
		{20 * time.Second, func() {}, Cost{1, 3}},
		{40 * time.Second, func() { e.ended("b") }, Cost{2, 1}},
		{50 * time.Second, func() { e.ended("a") }, Cost{2 + 1./6, 0}},
		{55 * time.Second, func() {}, Cost{2 + 1./6, 0}},
	} {
		e.passes(t0.Add(c.at).UnixNano())
		c.do()
		got := e.Costs()
		if x := got[id]; len(got) != 1 || math.Abs(x.Lost-c.want.Lost) > .001 || x.PerMin != c.want.PerMin {
			t.Errorf("after %s: %+v, want %+v", c.at, got, c.want)
		}
	}
}
