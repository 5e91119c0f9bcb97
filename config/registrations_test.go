package config

import (
	"strings"
	"testing"
)

func TestRegistrations(t *testing.T) {
	for src, want := range map[string]string{
		"{phone_interval: 1m, pbx_interval: 1h, minimum: 30s, rate: 6000/m, queue: 500}": "",
		"{phone_interval: 1s}":                    "registrations.phone_interval must be 0s (as the PBX grants), or 10s to 1d",
		"{pbx_interval: 10s}":                     "registrations.pbx_interval must be 0s (off), or 1m to 1d",
		"{minimum: 2h}":                           "registrations.minimum must be 0s (none) to 1h",
		"{phone_interval: 1m, minimum: 2m}":       "registrations: phones are granted 1m0s and may not ask for less than 2m0s",
		"{phone_interval: 1h, pbx_interval: 90m}": "registrations: phones come so seldom that nearly every refresh goes to the PBX",
		"{rate: 1/h}":                             "registrations.rate must be 1/s to 1000000/s",
		"{queue: 2000, rate: 100/s}":              "registrations: the last of 2000 would wait for 20 s at 100/s, and phones give up after 32 s",
		"{queue: 2000000}":                        "registrations.queue must be 0 (ten seconds' worth) to 1000000",
	} {
		_, ps := Parse("/etc/rampart/rampart.yaml", []byte(base+"registrations: "+src), fakeHost(exampleFiles()))
		var got []string
		for _, p := range ps {
			got = append(got, p.Message)
		}
		if s := strings.Join(got, "\n"); s != want {
			t.Errorf("%s: got\n%s\nwant\n%s", src, s, want)
		}
	}
}
