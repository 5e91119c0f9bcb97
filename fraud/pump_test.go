package fraud

import (
	"fmt"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

const shared = "+44844%07d" // costs a little, at home

func TestPumpedNumbers(t *testing.T) {
	for name, c := range map[string]struct {
		numbers, users, most int
		talk                 func(i int) time.Duration
	}{
		"of equal length":         {2, 5, 20, func(i int) time.Duration { return time.Duration(118+i%5) * time.Second }},
		"of any length":           {1, 3, 12, func(i int) time.Duration { return time.Duration(20+53*i%400) * time.Second }},
		"another number each":     {1000, 3, 20, func(i int) time.Duration { return time.Duration(118+i%5) * time.Second }},
		"another number, any way": {1000, 3, 20, func(i int) time.Duration { return time.Duration(20+53*i%400) * time.Second }},
	} {
		d := newDesk()
		n := 0
		for ; n < 40 && len(d.of(IDPump)) == 0; n++ {
			d.talks(phone{user: fmt.Sprint(1000 + n%c.users)}, fmt.Sprintf(shared, 54321*(n%c.numbers)), time.Second, c.talk(n))
			d.pass(5*time.Minute, time.Minute)
		}
		if n > c.most {
			t.Errorf("%s: %d calls until told", name, n)
		}
	}
}

func TestConferenceBridges(t *testing.T) {
	d := newDesk()
	var up []string
	for i := range 30 { // thirty people, one call each, about an hour
		id := d.dial(phone{user: fmt.Sprint(1000 + i)}, fmt.Sprintf(shared, 1), 2*time.Second)
		up = append(up, id)
	}
	d.pass(20*time.Minute, time.Minute)
	for _, id := range up {
		d.hangup(id, 200, call.ByCaller, 20*time.Minute)
	}
	d.quiet(t, "a conference")
	for n := range 5 { // a number that is called every day
		for i := range 5 {
			d.talks(phone{user: "2000"}, fmt.Sprintf(shared, 2), 8*time.Second, time.Duration(i+1)*50*time.Second)
		}
		d.pass(24*time.Hour, time.Hour)
		d.quiet(t, fmt.Sprint("day ", n))
	}
	for range 30 {
		d.talks(phone{user: "2000"}, fmt.Sprintf(shared, 2), 8*time.Second, 10*time.Second)
	}
	d.quiet(t, "a number that is known")
}

// TestPumpedNumberIsMeantAlone: who called a pumped number and then calls another
// of that kind has not found a second one.
func TestPumpedNumberIsMeantAlone(t *testing.T) {
	d := newDesk()
	for n := range 30 {
		d.talks(phone{user: fmt.Sprint(1000 + n%3)}, fmt.Sprintf(shared, 1), time.Second, time.Duration(20+53*n%400)*time.Second)
		d.pass(5*time.Minute, time.Minute)
	}
	if len(d.of(IDPump)) == 0 {
		t.Fatal("nothing is found")
	}
	d.talks(phone{user: "1000"}, fmt.Sprintf(shared, 77777), 8*time.Second, time.Minute)
	for _, f := range d.of(IDPump) {
		if f.Subject.Value == fmt.Sprintf(shared, 77777) {
			t.Errorf("%s: %s", f.Subject.Value, f.Reason)
		}
	}
}

// TestPumpOfOneNameForAll: a PBX that gives its main number as the user of every
// call makes of a conference a user who calls often.
func TestPumpOfOneNameForAll(t *testing.T) {
	d := newDesk()
	for i := range 30 {
		d.talks(phone{user: "+442079460000"}, fmt.Sprintf(shared, 1), 3*time.Second, time.Duration(200+97*i%1500)*time.Second)
		d.pass(2*time.Minute, time.Minute)
	}
	if fs := d.of(IDPump); len(fs) > 0 {
		t.Errorf("a conference: %s", fs[0].Reason)
	}
	for i := range 12 {
		d.talks(phone{user: "+442079460000"}, fmt.Sprintf(shared, 2), time.Second, time.Duration(118+i%5)*time.Second)
		d.pass(5*time.Minute, time.Minute)
	}
	if len(d.of(IDPump)) == 0 {
		t.Error("calls of one length are not found")
	}
}

// calls that come in.
func (d *desk) comes(from, to string, talk time.Duration) {
	d.n++
	id := fmt.Sprint("c", d.n)
	d.event(call.Event{Kind: call.EventInvite, ID: id, Direction: call.Inbound.String(), From: from, To: to, Peer: "carrier-a"})
	d.at = d.at.Add(100 * time.Millisecond)
	d.event(call.Event{Kind: call.EventAnswer, ID: id})
	d.at = d.at.Add(talk)
	d.hangup(id, 200, call.ByCaller, talk)
	d.pass(10*time.Second, 10*time.Second)
}

func TestPumpedTollFreeNumbers(t *testing.T) {
	d := newDesk()
	for i := range 6 {
		d.comes("+447911123456", "+448001111111", time.Duration(240+i)*time.Second)
	}
	if fs := d.of(IDFree); len(fs) != 1 || fs[0].Subject.Kind != "from" {
		t.Fatalf("%v", fs)
	}
	for i := range 12 {
		d.comes(fmt.Sprintf("+441632960%03d", 37*i), "+448001111111", time.Duration(60+i%5)*time.Second)
	}
	if fs := d.of(IDFree); len(fs) == 0 || fs[0].Subject.Kind != "from_prefix" {
		t.Fatalf("%v", fs)
	}
	for i := range 30 {
		d.comes("+447911999999", "+448001111111", time.Duration(30+i*i*3)*time.Second)
	}
	d.quiet(t, "a customer who calls often")
}

func TestFalseAnswers(t *testing.T) {
	d := newDesk()
	give := func(n int, bad func(i int) bool) {
		for i := range n {
			p := phone{user: fmt.Sprint(1000 + i%20), peer: "carrier-b"}
			if bad(i) {
				d.talks(p, fmt.Sprintf(paris, i), 100*time.Millisecond, 9*time.Second)
			} else {
				d.talks(p, fmt.Sprintf(paris, i), 6*time.Second, 2*time.Minute)
			}
		}
	}
	give(60, func(i int) bool { return i%5 == 0 })
	d.quiet(t, "some mailboxes")
	give(16, func(i int) bool { return i%4 != 0 })
	if fs := d.of(IDAnswer); len(fs) == 0 || fs[0].Subject != (call.Subject{Kind: "peer", Value: "carrier-b"}) {
		t.Fatalf("%v", fs)
	}
	var by *table[userCode, route]
	for _, x := range d.detectors {
		if a, ok := x.(*answer); ok {
			by = a.by
		}
	}
	usual := by.peek(userCode{"main", "carrier-b", "FR"}, d.state.now).usual
	if usual > .3 {
		t.Errorf("%.2f of the false answers were learned", usual)
	}
}
