package policy

import (
	"strings"
	"testing"
	"time"
)

func TestHours(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04", text, paris)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	// 2026-11-23 is a Monday.
	for _, c := range []struct {
		text    string
		in, out []string
	}{
		{"09:00-17:00 Europe/Paris", []string{"2026-11-23 09:00", "2026-11-23 16:59"}, []string{"2026-11-23 08:59", "2026-11-23 17:00"}},
		{"22:00-06:00 Europe/Paris", []string{"2026-11-23 22:00", "2026-11-23 23:59", "2026-11-24 00:00", "2026-11-24 05:59"}, []string{"2026-11-23 21:59", "2026-11-23 06:00"}},
		{"Mon-Fri 22:00-06:00 Europe/Paris", []string{"2026-11-23 22:00", "2026-11-28 05:59"}, // Saturday morning belongs to Friday
			[]string{"2026-11-23 05:59", "2026-11-28 22:00", "2026-11-29 03:00"}},
		{"Sat-Sun Europe/Paris", []string{"2026-11-28 00:00", "2026-11-29 23:59"}, []string{"2026-11-27 23:59", "2026-11-30 00:00"}},
		{"Fri-Mon 10:00-11:00 Europe/Paris", []string{"2026-11-27 10:00", "2026-11-29 10:30", "2026-11-23 10:00"}, []string{"2026-11-24 10:00", "2026-11-26 10:00"}},
		{"mon,WED 00:00-24:00 Europe/Paris", []string{"2026-11-23 00:00", "2026-11-25 23:59"}, []string{"2026-11-24 12:00"}},
		{"Sun-Sat Europe/Paris", []string{"2026-11-23 00:00"}, nil},
	} {
		h, err := parseHours(c.text)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range c.in {
			if !h.holds(at(in).UTC()) {
				t.Errorf("%s is not in %s", in, c.text)
			}
		}
		for _, out := range c.out {
			if h.holds(at(out).UTC()) {
				t.Errorf("%s is in %s", out, c.text)
			}
		}
	}
}

// The nights in which Paris changes its clocks: 29 March 2026, 02:00 to 03:00,
// and 25 October 2026, 03:00 back to 02:00.
func TestHoursWhenClocksChange(t *testing.T) {
	h, err := parseHours("02:00-03:00 Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	count := func(from time.Time) (minutes int) {
		for i := range 24 * 60 {
			if h.holds(from.Add(time.Duration(i) * time.Minute)) {
				minutes++
			}
		}
		return minutes
	}
	for day, want := range map[string]int{"2026-03-28": 0, "2026-10-24": 120, "2026-06-01": 60} {
		from, _ := time.Parse(time.RFC3339, day+"T12:00:00Z")
		if got := count(from); got != want {
			t.Errorf("the night after %s: %d minutes, want %d", day, got, want)
		}
	}
	night, err := parseHours("22:00-06:00 Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]bool{
		"2026-07-01T20:30:00Z": true, "2026-12-01T20:30:00Z": false, // 22:30 in summer, 21:30 in winter
		"2026-07-01T04:30:00Z": false, "2026-12-01T04:30:00Z": true,
	} {
		if v, _ := time.Parse(time.RFC3339, at); night.holds(v) != want {
			t.Errorf("%s: %v", at, !want)
		}
	}
}

func TestHoursProblems(t *testing.T) {
	for text, want := range map[string]string{
		"22:00-06:00":                   "no time zone",
		"22:00-06:00 Europe/Pariss":     "Europe/Pariss is not the name of a time zone",
		"22:00-06:00 Local":             "Local is not the name of a time zone",
		"22:00-25:00 UTC":               "25:00 is not a time of day",
		"22:60-23:00 UTC":               "22:60 is not a time of day",
		"9:00-17:00 UTC":                "9:00 is not a time of day",
		"10:00-10:00 UTC":               "no time at all",
		"24:00-06:00 UTC":               "no time at all",
		"22:00 UTC":                     "has no end",
		"Mo-Fri 22:00-06:00 UTC":        "Mo-Fri is not a day",
		"Mon-Fri 22:00-06:00 UTC extra": "not a time of day and a time zone",
		"":                              "not a time of day and a time zone",
		"UTC":                           "not a time of day and a time zone",
	} {
		if _, err := parseHours(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
