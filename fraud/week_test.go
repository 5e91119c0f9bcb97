package fraud

import (
	"fmt"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/rampart-sbc/rampart/policy/number"
)

// learn lets a week see calls in office hours of local time for some days.
func (w *week) office(from time.Time, days int, count func(d int) int) time.Time {
	for d := range days {
		for h := range 24 {
			at := time.Date(from.Year(), from.Month(), from.Day()+d, h, 30, 0, 0, from.Location())
			if h >= 9 && h < 17 && at.Weekday() != time.Sunday {
				for range count(d) {
					w.add(at.UnixNano(), offset(from.Location(), at.UnixNano()))
				}
			}
			w.roll(at.UnixNano(), offset(from.Location(), at.UnixNano()))
		}
	}
	return from.AddDate(0, 0, days)
}

func TestWeekIsLocalAndSurvivesClockChanges(t *testing.T) {
	ny, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	var w week
	from := time.Date(2026, 2, 2, 0, 0, 0, 0, ny) // Monday; clocks change on March 8
	if w.known() {
		t.Error("known at once")
	}
	end := w.office(from, 50, func(int) int { return 10 })
	if !w.known() {
		t.Fatal("not known after seven weeks")
	}
	for _, c := range []struct {
		hour int
		busy bool
	}{{8, false}, {9, true}, {16, true}, {17, false}, {2, false}} {
		at := time.Date(end.Year(), end.Month(), end.Day()+1, c.hour, 10, 0, 0, ny)
		hour, mean := w.expect(at.UnixNano(), offset(ny, at.UnixNano()))
		if (hour > mean) != c.busy {
			t.Errorf("%d:10: %.1f usual, %.1f on average", c.hour, hour, mean)
		}
	}
}

func TestHolidaysAndAlarmedDaysAreNotLearned(t *testing.T) {
	from := time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)
	noon := func(w *week) float64 { return float64(w.mean[2*24+12]) } // Wednesday
	var usual, holiday, alarmed week
	usual.office(from, 28, func(int) int { return 20 })
	holiday.office(from, 28, func(d int) int {
		if d == 23 { // the last Wednesday
			return 1
		}
		return 20
	})
	if noon(&holiday) != noon(&usual) {
		t.Errorf("a holiday makes %.2f of %.2f", noon(&holiday), noon(&usual))
	}
	next := alarmed.office(from, 23, func(int) int { return 20 })
	alarmed.office(next, 1, func(int) int { alarmed.quiet = true; return 500 })
	alarmed.office(next.AddDate(0, 0, 1), 5, func(int) int { return 20 })
	if noon(&alarmed) != noon(&usual) {
		t.Errorf("an alarmed day makes %.2f of %.2f", noon(&alarmed), noon(&usual))
	}
}

func TestHabitsCountLocalDays(t *testing.T) {
	la, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	c := Defaults("office")
	c.Zone = la
	e := New(c, DefaultRates("US", number.Builtin()))
	days := map[int32]bool{}
	for h := 8; h < 20; h++ { // midnight of UTC is in the afternoon
		e.state.now = time.Date(2026, 6, 1, h, 0, 0, 0, la).UnixNano()
		days[e.localDay()] = true
	}
	if len(days) != 1 {
		t.Errorf("a working day is %d days", len(days))
	}
}

func TestEveryCountryHasACentre(t *testing.T) {
	d := number.Builtin()
	r := DefaultRates("GB", d)
	for _, c := range d.Countries() {
		la, lo, ok := r.Centre(c)
		if !ok || la < -90 || la > 90 || lo < -180 || lo > 180 {
			t.Errorf("%s: %v %v %v", c, la, lo, ok)
		}
	}
	for _, x := range []struct {
		a, b     string
		from, to float64
	}{{"GB", "FR", 500, 1000}, {"NZ", "ES", 18000, 20016}, {"FJ", "WS", 800, 1300}, {"US", "AU", 13000, 16000}, {"SG", "MY", 300, 700}} {
		if km, ok := r.distance(x.a, x.b); !ok || km < x.from || km > x.to {
			t.Errorf("%s to %s: %.0f km", x.a, x.b, km)
		}
	}
}

// What a suspected user does is no habit of the house, and a day on which the house
// itself is suspected teaches nothing.
func TestWeekLearnsNoAlarm(t *testing.T) {
	for name, c := range map[string]struct {
		account, user bool
		want          float32
	}{"calm": {want: 6}, "a user": {user: true, want: 4}, "the account": {account: true, want: 4}} {
		var w week
		monday := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
		w.observe(monday.UnixNano(), 0, false, false)
		for d := range 15 { // from the second week on there are twice as many
			for i := range 8 {
				at := monday.AddDate(0, 0, d).Add(10*time.Hour + time.Duration(i)*time.Minute)
				if more := i >= 4; !more || d >= 7 {
					w.observe(at.UnixNano(), 0, c.account && more, c.user && more)
				}
			}
		}
		if got := w.mean[10]; got != c.want {
			t.Errorf("%s: Mondays at ten have %v calls, want %v", name, got, c.want)
		}
	}
}

// TestSuspectsTeachNothing: it is the user who calls that is asked about, and his
// account.
func TestSuspectsTeachNothing(t *testing.T) {
	for name, c := range map[string]struct {
		suspect func(*toll, *desk)
		counted float32
		learned bool
	}{
		"nobody": {func(*toll, *desk) {}, 2, true},
		"the user": {func(l *toll, d *desk) {
			l.users.get(userKey{"main", "1001"}, d.now).alarm = d.now + day
		}, 1, true},
		"the account": {func(l *toll, d *desk) { l.accounts.get("main", d.now).alarm = d.now + day }, 2, false},
	} {
		d := newDesk()
		d.talks(phone{user: "1002"}, fmt.Sprintf(london, 2), 9*time.Second, time.Minute)
		l := d.toll
		w := &l.accounts.get("main", d.now).week
		w.quiet = false
		c.suspect(l, d)
		d.talks(phone{user: "1001"}, fmt.Sprintf(london, 1), 9*time.Second, time.Minute)
		var n float32
		for _, x := range w.today {
			n += x
		}
		if n != c.counted || w.quiet == c.learned {
			t.Errorf("%s is suspected: %v calls counted, the day is learned: %v", name, n, !w.quiet)
		}
	}
}
