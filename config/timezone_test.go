package config

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func TestZone(t *testing.T) {
	for country := range zones {
		if at, err := (Home{Country: country}).Zone(); err != nil || at == time.Local {
			t.Errorf("%s: %v", country, err)
		}
		if _, known := habits[country]; !known {
			t.Errorf("%s has no other habits", country)
		}
	}
	for _, c := range []struct {
		h    Home
		want string
	}{
		{Home{}, time.Local.String()},
		{Home{Country: "US"}, time.Local.String()}, // several, and nobody knows which
		{Home{Country: "FR"}, "Europe/Paris"},
		{Home{Country: "FR", Timezone: "Indian/Reunion"}, "Indian/Reunion"},
		{Home{Country: "US", Timezone: "America/Chicago"}, "America/Chicago"},
	} {
		if at, err := c.h.Zone(); err != nil || at.String() != c.want {
			t.Errorf("%+v: %v %v", c.h, at, err)
		}
	}
	for _, bad := range []string{"Paris", "Local", "../etc/passwd", "+01:00"} {
		if _, err := (Home{Timezone: bad}).Zone(); err == nil {
			t.Errorf("%s is a zone", bad)
		}
	}
}

func TestZoneIsChecked(t *testing.T) {
	_, got := parse(t, "domain: a.example\npbx: \"sip:10.0.0.5\"\nhome: {country: FR, timezone: Paris}\n", nil)
	if !strings.Contains(got, "3:31:") || !strings.Contains(got, "Europe/Paris") {
		t.Error(got)
	}
}
