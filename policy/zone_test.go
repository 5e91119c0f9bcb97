package policy_test

import (
	"fmt"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
)

// home is the zone of the options, else of the file, else UTC.
func TestHoursAtHome(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	const night = "version: 1\n%srules: [{id: a/night, on: invite, match: {hours: \"22:00-06:00 home\"}, then: reject 403}]\n"
	at := time.Date(2026, 11, 23, 21, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		home string
		zone *time.Location
		want bool
	}{
		{"", nil, false},
		{"", paris, true},
		{"home: {timezone: Europe/Paris}\n", nil, true},
		{"home: {timezone: America/Chicago}\n", nil, false},
		{"home: {timezone: America/Chicago}\n", paris, true},
	} {
		s, ps := policy.Compile([]policy.Source{file("a.yaml", fmt.Sprintf(night, c.home))}, policy.Options{Zone: c.zone})
		if s == nil {
			t.Fatal(ps)
		}
		a := &call.Attempt{At: at, Method: "INVITE"}
		if got := s.Judge(a).Rule == "a/night"; got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if _, ps := policy.Compile([]policy.Source{file("a.yaml", fmt.Sprintf(night, "home: {timezone: Paris}\n"))}, policy.Options{}); ps.Err() == nil {
		t.Error("Paris is a zone")
	}
}
