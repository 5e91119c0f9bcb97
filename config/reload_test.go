package config

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// What a running gateway takes from a changed file, and what it says of the rest.
func TestReloaded(t *testing.T) {
	const base = `domain: sip.example.com
pbx: "sip:10.0.0.5"
home: {country: FR}
listen: {udp: ["203.0.113.10:5060"], tls: ["203.0.113.10:5061"]}
peers:
  - {name: a, identify: {ip: [198.51.100.0/24]}, uri: "sip:198.51.100.7;transport=udp", allow_plaintext: true, limits: {calls: 3}}
routes: [{peers: [a]}]
`
	files := fstest.MapFS{"policy/local.yaml": pem(0o644), "more/x.yaml": pem(0o644)}
	load := func(src string) *Config {
		c, ps := Parse("/etc/rampart/rampart.yaml", []byte(src), fakeHost(files))
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	replace := func(old, with string) string {
		if !strings.Contains(base, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(base, old, with, 1)
	}
	old := load(base)
	for _, c := range []struct {
		what, src string
		needs     []string
		holds     func(*Config) bool
	}{
		{"the same", base, nil, func(c *Config) bool { return c.Peers[0].Limits.Calls == 3 && len(c.PolicyFiles) == 1 }},
		{"limits of a peer", replace("calls: 3", "calls: 7, cps: 2"), nil,
			func(c *Config) bool { return c.Peers[0].Limits == PeerLimits{7, 2} }},
		{"policy and drain_timeout", base + "policy: {use: [base], files: [more/*.yaml]}\ndrain_timeout: 5s\n", nil,
			func(c *Config) bool {
				return len(c.Policy.Use) == 1 && strings.HasSuffix(c.PolicyFiles[0], "more/x.yaml") && c.Drain == 5e9
			}},
		{"an address of a peer", replace("198.51.100.0/24", "192.0.2.0/24"), []string{"peers"},
			func(c *Config) bool { return c.Peers[0].Identify.IP[0].String() == "198.51.100.0/24" }},
		{"a peer is gone", base[:strings.Index(base, "peers:")], []string{"peers", "routes"},
			func(c *Config) bool { return len(c.Peers) == 1 && c.Peers[0].Limits.Calls == 3 }},
		{"the PBX", replace("10.0.0.5", "10.0.0.6"), []string{"pbx"}, nil},
		{"dialling", replace("country: FR", "country: FR, outside_prefix: \"9\""), []string{"home.outside_prefix"}, nil},
		{"many", base + "media: {public: [203.0.113.10], inside: [10.0.0.2], ports: 30000-30999, srtp: {suites: [AES_CM_128_HMAC_SHA1_80]}}\nlimits: {calls: 10}\nadmin: {listen: off}\n",
			[]string{"media.ports", "media.srtp.suites", "admin.listen", "limits.calls"},
			func(c *Config) bool { return c.Media.Ports == old.Media.Ports && c.Limits.Calls == 1000 }},
	} {
		next := load(c.src)
		now, needs := old.Reloaded(next)
		if !slices.Equal(needs, c.needs) {
			t.Errorf("%s: needs a restart: %q, want %q", c.what, needs, c.needs)
		}
		if c.holds != nil && !c.holds(now) {
			t.Errorf("%s: in force is %+v", c.what, now)
		}
	}
	if got := load(base + "admin: {listen: off}\n").Admin.Listen.String(); got != "off" {
		t.Errorf("a listener that is off is shown as %s", got)
	}
	if old.Peers[0].Limits.Calls != 3 || old.Drain != load(base).Drain {
		t.Error("the old configuration was changed")
	}
}
