package fraud

import (
	"fmt"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

const (
	deskPhone = "Yealink SIP-T46U"
	softphone = "Linphone/5.2"
)

// trip is a user's day abroad while his desk phone stays registered.
func (d *desk) trip(user, country, agent string, own bool) {
	home, away := phone{user: user, country: "GB", agent: deskPhone}, phone{user: user, country: country, agent: agent}
	to := london
	if !own {
		to = "+4416132%05d"
	}
	for i := range 3 {
		d.registers(home)
		d.talks(home, fmt.Sprintf(london, i), 5*time.Second, time.Minute)
		d.pass(24*time.Hour, time.Hour)
	}
	for i := range 14 {
		d.registers(home)
		d.pass(30*time.Minute, time.Hour)
		d.registers(away)
		d.talks(away, fmt.Sprintf(to, i%3), 5*time.Second, time.Minute)
		d.pass(30*time.Minute, time.Hour)
	}
}

func TestTravellers(t *testing.T) {
	d := newDesk()
	d.trip("1001", "ES", softphone, true)
	if fs := d.of(IDTravel); len(fs) != 1 || fs[0].Subject.Value != "1001" || fs[0].Action != call.ImpossibleTravel {
		t.Fatalf("the first trip with an unknown softphone: %v", fs)
	}
	d.pass(48*time.Hour, time.Hour)
	d.trip("1002", "US", softphone, true)
	d.quiet(t, "a softphone that travelled before")
	d.trip("1003", "US", "Zoiper rv2.10", true)
	if len(d.of(IDTravel)) != 1 {
		t.Error("another softphone was not told")
	}
	d.trip("1004", "ES", deskPhone, true)
	if len(d.of(IDTravel)) != 1 {
		t.Error("a desk phone that is at home travelled")
	}
}

// Software becomes known as a traveller's by calls to numbers of the user's own:
// who only has his password does not know them.
func TestAThiefIsNoTraveller(t *testing.T) {
	d := newDesk()
	d.trip("1001", "VN", softphone, false)
	d.pass(24*time.Hour, time.Hour)
	d.registers(phone{user: "1001", country: "GB", agent: deskPhone})
	d.of(IDTravel)
	d.trip("1002", "VN", softphone, false)
	if fs := d.of(IDTravel); len(fs) != 1 {
		t.Errorf("told %d times: %v", len(fs), fs)
	}
}

func TestNeighboursAndVPNs(t *testing.T) {
	d := newDesk()
	for i := range 30 { // a network whose addresses are taken for another country's
		d.registers(phone{user: "1001", country: []string{"BE", "NL"}[i%2], agent: softphone})
		d.pass(20*time.Minute, time.Hour)
	}
	d.quiet(t, "neighbours")
	d.pass(24*time.Hour, time.Hour)
	for i := range 20 { // a VPN to far away, every day
		d.registers(phone{user: "1002", country: []string{"GB", "SG"}[i%2], agent: softphone})
		d.pass(6*time.Hour, time.Hour)
	}
	if fs := d.of(IDTravel); len(fs) != 1 {
		t.Errorf("a VPN is told %d times", len(fs))
	}
}

func TestCostlyCallsFromANewCountry(t *testing.T) {
	d := newDesk()
	for range 4 {
		d.talks(phone{user: "1001", country: "GB"}, fmt.Sprintf(london, 1), 5*time.Second, time.Minute)
		d.pass(24*time.Hour, time.Hour)
	}
	d.talks(phone{user: "1001", country: "GB"}, fmt.Sprintf(manila, 1), 5*time.Second, time.Minute)
	d.talks(phone{user: "1001", country: "VN"}, fmt.Sprintf(london, 1), 5*time.Second, time.Minute)
	d.quiet(t, "calls home, and abroad from home")
	for i := range 2 {
		d.talks(phone{user: "1001", country: "VN"}, fmt.Sprintf(manila, 2+i), 5*time.Second, time.Minute)
	}
	if fs := d.of(IDCountry); len(fs) != 1 || fs[0].Action != call.NewCountry {
		t.Fatalf("%v", fs)
	}
}

// Where a user is at home is known after two days, warm-up or not.
func TestJourneysOfTheFirstWeek(t *testing.T) {
	d := newDesk()
	d.state.begin = d.state.now
	for day := range 4 {
		d.registers(phone{user: "1001", country: "GB", agent: deskPhone})
		d.pass(10*time.Minute, time.Minute)
		if day == 0 || day == 3 {
			d.registers(phone{user: "1001", country: []string{"VN", "", "", "SG"}[day], agent: "Zoiper"})
		}
		if fs := d.of(IDTravel); len(fs) != map[int]int{3: 1}[day] {
			t.Errorf("day %d: %v", day, fs)
		}
		d.pass(24*time.Hour, time.Hour)
	}
}
