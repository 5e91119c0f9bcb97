package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
)

const base = "domain: sip.example.com\npbx: \"sip:10.0.0.5\"\nhome: {country: FR}\n"

// Each text is appended to (or replaces a key of) a good configuration and
// must give exactly the first lines named; "" is no problem at all.
func TestChecks(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"nothing at all", "", "domain is missing\npbx is missing"},
		{"not yaml", "domain: [", "sequence end token ']' not found"},
		{"domain is an address", "domain: 203.0.113.9\npbx: \"sip:10.0.0.5\"\nhome: {country: FR}", "warning: domain: 203.0.113.9 is an address; a host name hides less and survives a move"},
		{"domain is the PBX", "domain: pbx.example.com\npbx: \"sip:pbx.example.com\"\ninside: {udp: [\"10.0.0.2:5060\"]}\nhome: {country: FR}", "warning: pbx main has the name of the public domain; a realm that is the PBX's host or address reaches the phones as it is"},
		{"empty domain list", "domain: []\npbx: \"sip:10.0.0.5\"\nhome: {country: FR}", "domain is empty"},
		{"empty pbx list", "domain: a.example\npbx: []\nhome: {country: FR}\nmedia: {inside: 10.0.0.2}", "pbx is empty"},
		{"PBX by name", "domain: a.example\npbx: \"sip:pbx.internal\"\nhome: {country: FR}", "inside is not set, and it cannot be derived because pbx main is given by name"},
		{"two PBX of one name", "domain: a.example\npbx: [\"sip:10.0.0.5\", \"sip:10.0.0.6\"]\nhome: {country: FR}", "pbx: the name main is already taken by pbx"},
		{"PBX has our address", base + "inside: {udp: [\"10.0.0.5:5060\"]}", "pbx main has the address of our own inside.udp"},
		{"SRTP keys in plaintext", "domain: a.example\npbx: {uri: \"sip:10.0.0.5\", srtp: required}\nhome: {country: FR}", "warning: pbx main: the SRTP keys travel in plaintext over udp"},
		{"SRTP over TLS", "domain: a.example\npbx: {uri: \"sip:10.0.0.5;transport=tls\", srtp: required, allow_wildcard: true}\nhome: {country: FR}", ""},
		{"wildcard without TLS", "domain: a.example\npbx: {uri: \"sip:10.0.0.5\", allow_wildcard: true}\nhome: {country: FR}", "allow_wildcard is for TLS, but the uri says udp"},
		{"realm of the domain", "domain: a.example\npbx: {uri: \"sip:10.0.0.5\", realm: a.example}\nhome: {country: FR}", ""},
		{"no public listener", base + "listen: {tls: []}\nmedia: {public: 203.0.113.10}", "listen: no public listener is left"},
		{"plaintext for nobody", base + "listen: {udp: \"0.0.0.0:5060\"}\ninside: {udp: \"10.0.0.2:5061\"}", "warning: listen.udp is a plaintext listener, but no peer is allowed to use it"},
		{"overlap of sides", base + "listen: {tcp: \"0.0.0.0:5060\"}\ninside: {udp: \"10.0.0.2:5060\", tcp: \"10.0.0.2:5060\"}", "warning: listen.tcp is a plaintext listener, but no peer is allowed to use it\ntcp 10.0.0.2:5060 overlaps with tcp 0.0.0.0:5060 of listen.tcp"},
		{"TLS and TCP share ports", base + "inside: {udp: \"10.0.0.2:5060\", tcp: \"10.0.0.2:5061\"}", "tcp 10.0.0.2:5061 overlaps with tls 0.0.0.0:5061 of listen.tls"},
		{"families do not overlap", base + "listen: {tls: [\"0.0.0.0:5061\", \"[::]:5061\"]}", ""},
		{"UDP and TCP do not overlap", base + "inside: {udp: \"10.0.0.2:5060\", tcp: \"10.0.0.2:5060\"}", ""},
		{"port 0", base + "listen: {tls: \"203.0.113.10:0\"}", "listen.tls: port 0 would be another one at each start"},
		{"open inside", base + "inside: {udp: \"0.0.0.0:5060\"}", "warning: inside.udp listens on every address of the machine, the public ones included"},
		{"signalling on a media port", base + "inside: {udp: \"10.0.0.2:20000\"}", "inside.udp: port 20000 is one of media.ports"},
		{"two media addresses of a family", base + "media: {public: [203.0.113.10, 203.0.113.11]}", "media.public: a second address of the same family"},
		{"private media", "domain: a.example\npbx: \"sip:10.0.0.5\"\nhome: {country: FR}\nmedia: {public: \"::\"}", "media.public: :: is not an address that audio can be sent to"},
		{"empty media", base + "media: {public: []}", "media.public is empty"},
		{"ports upside down", base + "media: {ports: 4000-3999}", "media.ports: 4000-3999 is empty"},
		{"odd ports", base + "media: {ports: 20000-20100}", "media.ports: 20000-20100 does not hold whole pairs"},
		{"few ports", base + "media: {ports: 20000-20009}", "media.ports: 20000-20009 has room for 5 calls only; at least 50 are wanted"},
		{"system ports", base + "media: {ports: 1000-1999}", "media.ports: 1000-1999 reaches into the system's ports"},
		{"no SDES", base + "media: {srtp: {sdes: false}}", "media.srtp: without SDES this version has no way to agree on a key"},
		{"dtls false", base + "media: {srtp: {dtls: false}}", ""},
		{"no suites", base + "media: {srtp: {suites: []}}", "media.srtp.suites is empty"},
		{"suite twice", base + "media: {srtp: {suites: [AEAD_AES_256_GCM, AEAD_AES_256_GCM]}}", "media.srtp.suites: AEAD_AES_256_GCM is given twice"},
		{"inactivity", base + "media: {inactivity: 1s}", "media.inactivity must be 5s to 1h"},
		{"a peer that may make more calls than its messages have room", base + "limits: {peer_packets: 400/s}\nroutes: [{peers: [a]}]\npeers: [{name: a, uri: \"sip:c.example;transport=tls\", identify: {ip: 198.51.100.1/32}, limits: {cps: 50}}]",
			"warning: limits.peer_packets: peers[0] (a) may make 50 calls a second, some of whose messages would be dropped"},
		{"a peer's budget of nothing", base + "limits: {peer_packets: 20/s}", "limits.peer_packets must be 100/s to 10000000/s"},
		{"calls beyond ports", base + "media: {ports: 20000-20199}\nlimits: {calls: 500}", "warning: limits.calls: media.ports has room for 100 calls only"},
		{"min version", base + "tls: {min_version: \"1.1\"}", "tls.min_version: \"1.1\" is not supported"},
		{"files that are never turned over", base + "alerts: [{file: a.jsonl, keep: 3}]\ncdr: [{file: c.jsonl, max_size: 4KiB}]\nevents: [{file: e.jsonl, max_size: 0}]", "keep without max_size: the file is never turned over\nmax_size: 4KiB is less than 1MiB"},
		{"bounded files", base + "alerts: [{file: a.jsonl, max_size: 64MiB, keep: 0}]\nevents: [{file: e.jsonl, keep: 101}]", "keep: 101 old files"},
		{"logs in a directory that is not there", base + "alerts: [{file: logs/a.jsonl}]\nevents: [{file: policy/e.jsonl}, {file: /var/log/rampart/e.jsonl}, {file: rampart-state/e.jsonl}]", "/etc/rampart/logs/a.jsonl: its directory: file does not exist"},
		{"logs below a file", base + "cdr: [{file: key.pem/a.jsonl}]", "/etc/rampart/key.pem/a.jsonl: /etc/rampart/key.pem is not a directory"},
		{"log is a directory", base + "cdr: [{file: policy}]", "/etc/rampart/policy is a directory"},
		{"variable in a file name", base + "cdr: [{file: \"${NOPE}/x\"}]\nstate: \"${HOME}\"", "/etc/rampart/${NOPE}/x: variables are not expanded in names of files\n/etc/rampart/${HOME}: variables are not expanded in names of files"},
		{"no certificate file", base + "tls: {certificate: {cert: a.pem, key: b.pem}}", "/etc/rampart/a.pem: file does not exist\n/etc/rampart/b.pem: file does not exist"},
		{"certificate without key", base + "tls: {certificate: {cert: fullchain.pem}}", "tls.certificate[0].key is missing"},
		{"peer without identity", base + "peers: [{name: a, identify: {}}]", "peer a: nothing identifies it"},
		{"peer without identify", base + "peers: [{name: a}]", "peers[0].identify is missing"},
		{"peer like the pbx", base + "peers: [{name: main, identify: {ip: 198.51.100.1/32}}]", "peers: the name main is already taken by pbx"},
		{"emergency with a country", base + "routes: [{match: {to: {emergency: true, country: [FR]}}, peers: a}, {peers: a}]\npeers: [{name: a, uri: \"sip:c.example;transport=tls\", identify: {ip: 198.51.100.1/32}}]", "routes: an emergency number belongs to no country and has no prefix"},
		{"no emergency", base + "routes: [{match: {to: {emergency: false}}, peers: a}]\npeers: [{name: a, uri: \"sip:c.example;transport=tls\", identify: {ip: 198.51.100.1/32}}]", "routes: emergency: false"},
		{"emergency behind all", base + "routes: [{peers: a}, {match: {to: {emergency: true}}, peers: a}]\npeers: [{name: a, uri: \"sip:c.example;transport=tls\", identify: {ip: 198.51.100.1/32}}]", ""},
		{"peers without routes", base + "peers: [{name: a, uri: \"sip:c.example;transport=tls\", identify: {ip: 198.51.100.1/32}}]", "warning: there are peers but no routes: no call goes out to a carrier"},
		{"a carrier that transfers", base + "routes: [{peers: a}]\npeers: [{name: a, allow_refer: true, uri: \"sip:c.example;transport=tls\", identify: {ip: 198.51.100.1/32}}]",
			"warning: peer a may send calls on to any number that policy allows, at your cost"},
		{"no subscription", base + "limits: {subscriptions: 0}", "limits.subscriptions must be 1 to 1000000"},
		{"plaintext without listener", base + "peers: [{name: a, allow_plaintext: true, identify: {ip: 198.51.100.1/32}}]", "warning: peer a may signal without encryption\npeer a may use plaintext, but listen.udp and listen.tcp are empty"},
		{"other listener missing", base + "listen: {tcp: \"203.0.113.10:5060\"}\nroutes: [{peers: a}]\npeers: [{name: a, allow_plaintext: true, uri: \"sip:c.example;transport=udp\", identify: {ip: 198.51.100.1/32}}]",
			"warning: peer a may signal without encryption\npeer a is reached over udp, but listen.udp is empty"},
		{"required over plaintext", base + "listen: {udp: \"203.0.113.10:5060\"}\nroutes: [{peers: a}]\npeers: [{name: a, srtp: required, allow_plaintext: true, uri: \"sip:c.example;transport=udp\", identify: {ip: 198.51.100.1/32}}]",
			"peer a: SRTP keys must not be sent over udp, so a required SRTP would refuse every call\nwarning: peer a may signal without encryption\nwarning: peer a is identified by its address alone, which anybody can forge over UDP; such calls reach DIDs and never routes"},
		{"same networks", base + "peers: [{name: a, identify: {ip: [198.51.100.0/24, \"2001:db8::/32\"]}}, {name: b, identify: {ip: \"2001:db8:1::/48\"}}]", "peer b: 2001:db8:1::/48 overlaps with 2001:db8::/32 of peer a"},
		{"route to a source", base + "peers: [{name: a, identify: {ip: 198.51.100.1/32}}]\nroutes: [{peers: [a]}]", "routes: peer a has no uri, so no call can be sent to it"},
		{"route to nobody", base + "routes: [{peers: []}]", "routes: a route to nobody"},
		{"route without peers", base + "routes: [{match: {}}]", "routes[0].peers is missing"},
		{"admin off", base + "admin: {listen: off}", ""},
		{"admin on IPv6 loopback", base + "admin: {listen: \"[::1]:8080\"}", ""},
		{"emergency", base + "state: /tmp/x", ""},
		{"extension regex too large", "domain: a.example\npbx: \"sip:10.0.0.5\"\nhome: {country: FR, extensions: \"([0-9]{1,50}[a-z]{1,50}){20}\"}", "home.extensions: the regular expression has 4004 instructions, at most 2000 are allowed: a{1,999} has as many as it repeats"},
		{"extension regex", "domain: a.example\npbx: \"sip:10.0.0.5\"\nhome: {country: FR, extensions: \"[\"}", "home.extensions: error parsing regexp: missing closing ]: `[)$`"},
		{"state is a file", base + "state: fullchain.pem", "state: /etc/rampart/fullchain.pem is not a directory"},
		{"setup below Timer C", base + "limits: {setup_timeout: 2m}", "limits.setup_timeout must be 3m to 1h (RFC 3261, Timer C)"},
		{"sinks off", base + "alerts: []\ncdr: []", ""},
		{"webhook", base + "alerts: [{webhook: \"https://x\"}]", "alerts[0]: webhook is not available in this version"},
		{"unknown sink", base + "alerts: [{fil: x}]", "unknown key \"fil\" in alerts[0]\nalerts[0].file is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, ps := Parse("/etc/rampart/rampart.yaml", []byte(c.src), fakeHost(exampleFiles()))
			var got []string
			for _, p := range ps {
				m := p.Message
				if p.Warning {
					m = "warning: " + m
				}
				got = append(got, m)
				if p.Line == 0 && c.src != "" {
					t.Errorf("no place: %s", p)
				}
			}
			if s := strings.Join(got, "\n"); s != c.want {
				t.Errorf("got\n%s\nwant\n%s", s, c.want)
			}
		})
	}
}

// A machine without a route, and one behind NAT.
func TestAddressesOfTheMachine(t *testing.T) {
	host := fakeHost(nil)
	host.Route = func(netip.Addr) (netip.Addr, error) { return netip.Addr{}, errors.New("network is unreachable") }
	_, ps := Parse("c", []byte(base), host)
	if s := ps.String(); !strings.Contains(s, "cannot be derived: network is unreachable") || !strings.Contains(s, "media.public is not set and this machine has no route") {
		t.Error(s)
	}
	host.Route = func(netip.Addr) (netip.Addr, error) { return netip.MustParseAddr("192.168.1.9"), nil }
	c, ps := Parse("c", []byte(base), host)
	if ps.Err() != nil || len(ps) != 1 || !strings.Contains(ps[0].Message, "192.168.1.9 was taken, which phones outside cannot reach") || c.Media.Public[0].Bind.String() != "192.168.1.9" {
		t.Errorf("%v", ps)
	}
	// Named listeners decide before the routing table does.
	c, ps = Parse("c", []byte(base+"listen: {tls: [\"198.51.100.9:5061\", \"[2001:db8::9]:5061\"]}\n"), host)
	if len(ps) != 0 || len(c.Media.Public) != 2 || c.Media.Public[1].Bind.String() != "2001:db8::9" {
		t.Errorf("%v %+v", ps, c)
	}
}

func TestURI(t *testing.T) {
	for in, want := range map[string]string{
		"sip:10.0.0.5": "sip:10.0.0.5", "SIP:PBX.Example.:5062;transport=TCP": "sip:pbx.example:5062;transport=tcp",
		"sips:a.example": "sip:a.example;transport=tls", "sip:[2001:DB8::1]:5060": "sip:[2001:db8::1]:5060",
		"sip:[::ffff:10.0.0.5]": "sip:10.0.0.5", "sips:a.example;transport=tcp": "sip:a.example;transport=tls",
	} {
		u, err := ParseURI(in)
		if err != nil || u.String() != want {
			t.Errorf("%s: %s %v", in, u, err)
		}
	}
	for _, in := range []string{"", "sip:", "10.0.0.5", "tel:+33", "http://x", "sip:user@host", "sip:a b", "sip:host:", "sip:host:0", "sip:host:65536",
		"sip:2001:db8::1", "sip:[2001:db8::1", "sip:[10.0.0.1]", "sip:[fe80::1%eth0]", "sip:h;transport=sctp", "sip:h;lr", "sip:h;transport=udp;lr",
		"sips:h;transport=udp", "sip:1.2.3", "sip:-x", "sip:0.0.0.0", "sip:[::]", "sip:h?x=y", "sip:[2001:db8::1]5060"} {
		if u, err := ParseURI(in); err == nil {
			t.Errorf("%s is accepted as %s", in, u)
		}
	}
}

func TestScalars(t *testing.T) {
	for in, want := range map[string]float64{"20/s": 20, "90/m": 1.5, "3600/h": 1, "0.5/s": 0.5, "": -1, "20": -1, "0/s": -1, "-1/s": -1, "1/d": -1, "NaN/s": -1, "Inf/s": -1, "x/s": -1} {
		var r Rate
		if err := r.UnmarshalScalar(in, false); (err != nil) != (want < 0) || err == nil && float64(r) != want {
			t.Errorf("rate %q: %v %v", in, r, err)
		}
	}
	for in, want := range map[string]int64{"64KiB": 65536, "1MiB": 1 << 20, "1kB": 1000, "12": 12, "12B": 12, "": -1, "KiB": -1, "-1": -1, "1.5MiB": -1, "9999999999GiB": -1, "1 MiB": -1} {
		var s Size
		if err := s.UnmarshalScalar(in, false); (err != nil) != (want < 0) || err == nil && int64(s) != want {
			t.Errorf("size %q: %v %v", in, s, err)
		}
	}
	for in, want := range map[string]Ports{"1-2": {1, 2}, "20000 - 39999": {20000, 39999}, "": {}, "1": {}, "1-70000": {}, "-5": {}, "a-b": {}} {
		var p Ports
		if err := p.UnmarshalScalar(in, false); (err != nil) != (want == Ports{}) || p != want {
			t.Errorf("ports %q: %v %v", in, p, err)
		}
	}
}

// FuzzParse: no panic; what has no error has everything the wiring relies on.
func FuzzParse(f *testing.F) {
	f.Add([]byte(contract))
	f.Add([]byte(base))
	f.Add([]byte(base + "listen: {udp: \"203.0.113.10:5060\"}\npeers: [{name: a, allow_plaintext: true, uri: \"sip:c.example\", identify: {ip: 198.51.100.1/32}}]"))
	f.Add([]byte("domain:\npbx: [{}]\npeers: [{}]\nroutes: [{}]\nalerts: [{}]\nmedia: {public: [{}]}\ntls: {certificate: {}}"))
	files := fstest.MapFS{"fullchain.pem": pem(0o644), "key.pem": pem(0o600)}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, ps := Parse("/etc/rampart/rampart.yaml", data, fakeHost(files))
		if ps.Err() != nil {
			return
		}
		if len(c.Domains) == 0 || len(c.PBX) == 0 || len(c.Media.Public) == 0 || len(c.Media.Inside) == 0 || c.State == "" {
			t.Fatalf("incomplete: %+v", c)
		}
		for _, p := range c.PBX {
			if p.URI.IsZero() || p.URI.Port == 0 || len(c.Inside.Of(p.URI.Transport)) == 0 || p.Name == "" || p.SRTP == "" {
				t.Fatalf("pbx: %+v", p)
			}
		}
		for _, p := range c.Peers {
			if p.Name == "" || p.SRTP == "" || p.Identify.Certificate == "" && len(p.Identify.IP) == 0 {
				t.Fatalf("peer: %+v", p)
			}
		}
		for _, m := range append(c.Media.Public, c.Media.Inside...) {
			if !m.Bind.IsValid() || m.Bind.IsUnspecified() || !m.Advertise.IsValid() {
				t.Fatalf("media: %+v", m)
			}
		}
		for _, s := range append(append(c.Alerts, c.CDR...), c.Events...) {
			if s.File == "" {
				t.Fatal("a sink without a file")
			}
		}
	})
}

func TestFailoverCodes(t *testing.T) {
	for codes, ok := range map[string]bool{"[503]": true, "486": true, "[]": true, "[401]": false, "[407]": false, "[487]": false, "[200]": false, "[603]": false} {
		for _, where := range []string{"pbx: {uri: \"sip:10.0.0.5:5060\", failover: " + codes + "}\n",
			"pbx: \"sip:10.0.0.5:5060\"\npeers: [{name: a, identify: {ip: 198.51.100.1/32}, failover: " + codes + "}]\n"} {
			_, ps := Parse("x.yaml", []byte("domain: sip.example.com\nhome: {country: FR}\n"+where), fakeHost(nil))
			if got := ps.Err() == nil; got != ok {
				t.Errorf("failover: %s: %v", codes, ps)
			}
		}
	}
}

func TestRegisterOfPeer(t *testing.T) {
	host := fakeHost(fstest.MapFS{"p.secret": {Data: []byte("from-file\n"), Mode: 0o600}, "open.secret": {Data: []byte("x"), Mode: 0o644}})
	host.Env = func(n string) string { return map[string]string{"PW": "from-env"}[n] }
	for _, c := range []struct{ register, password, want string }{
		{`{user: "4711", password: "plain"}`, "plain", ""},
		{`{user: "4711", password: "file:p.secret", realm: r, expires: 10m, contact: abc}`, "from-file", ""},
		{`{user: "4711", password: "${PW}"}`, "from-env", ""},
		{`{user: "4711", password: "${NONE}"}`, "", "NONE is empty or not set"},
		{`{user: "4711", password: "file:open.secret"}`, "", "mode 0644"},
		{`{user: "4711", password: "file:gone.secret"}`, "", "does not exist"},
		{`{user: "4711"}`, "", "password is missing"},
		{`{password: "x"}`, "", "user is missing"},
		{`{user: "a@b", password: "x"}`, "", `"a@b" cannot be the user`},
		{`{user: "a", password: "x", contact: "b c"}`, "", `"b c" cannot be the user`},
		{`{user: "a", password: "x", expires: 10s}`, "", "1m to 1d"},
		{`{user: "a", password: "x", realm: 'a"b'}`, "", "cannot be a realm"},
	} {
		src := base + "routes: [{peers: a}]\npeers: [{name: a, uri: \"sip:c.example;transport=tls\", register: " + c.register + "}]\n"
		cfg, ps := Parse("/etc/rampart/rampart.yaml", []byte(src), host)
		if all := fmt.Sprint(ps); (ps.Err() == nil) != (c.want == "") || !strings.Contains(all, c.want) {
			t.Errorf("%s: %v, want %q", c.register, ps, c.want)
		} else if c.want == "" && cfg.Peers[0].Register.Password.Reveal() != c.password {
			t.Errorf("%s: another password", c.register)
		}
	}
	for src, want := range map[string]string{
		"peers: [{name: a, register: {user: u, password: p}}]\n": "no uri to register with",
		"listen: {udp: \"203.0.113.10:5060\"}\nroutes: [{peers: a}]\npeers: [{name: a, uri: \"sip:c.example;transport=udp\", allow_plaintext: true, register: {user: u, password: p}}]\n": "guess at the password",
	} {
		if _, ps := Parse("/etc/rampart/rampart.yaml", []byte(base+src), host); !strings.Contains(fmt.Sprint(ps), want) {
			t.Errorf("%s: %v, want %q", src, ps, want)
		}
	}
}

func TestWeightAndDomains(t *testing.T) {
	for src, want := range map[string]string{
		"domain: [a.example, b.example]\npbx: [{name: x, uri: \"sip:10.0.0.5\", weight: 3, domains: [A.example]}, {name: y, uri: \"sip:10.0.0.6\", domains: b.example}]\n": "",
		"domain: [a.example, b.example]\npbx: [{name: x, uri: \"sip:10.0.0.5\", domains: [a.example]}]\n":                                                                  "domain b.example: no pbx serves it",
		"domain: a.example\npbx: {uri: \"sip:10.0.0.5\", domains: [c.example]}\n":                                                                                          "c.example is not one of the domains",
		"domain: a.example\npbx: {uri: \"sip:10.0.0.5\", weight: 0}\n":                                                                                                     "1 to 1000",
		"domain: a.example\npbx: {uri: \"sip:10.0.0.5\", weight: 1001}\n":                                                                                                  "1 to 1000",
	} {
		if _, ps := Parse("x.yaml", []byte(src+"home: {country: FR}\n"), fakeHost(nil)); (ps.Err() == nil) != (want == "") || !strings.Contains(fmt.Sprint(ps), want) {
			t.Errorf("%s: %v, want %q", src, ps, want)
		}
	}
}

func TestSignallingAndDNS(t *testing.T) {
	for src, want := range map[string]string{
		"signalling: {dscp: 0}\ndns: {servers: [\"10.0.0.53\", \"[2001:db8::53]:5353\"]}\n": "",
		"signalling: {dscp: 64}\n":                                        "signalling.dscp: 64 is not 0 to 63",
		"signalling: {dscp: -1}\n":                                        "signalling.dscp: -1 is not 0 to 63",
		"dns: {servers: [\"dns.example\"]}\n":                             "is not an address such as",
		"dns: {servers: [\"0.0.0.0\"]}\n":                                 "cannot be asked",
		"dns: {servers: [\"10.0.0.1:0\"]}\n":                              "is not an address such as",
		"dns: {servers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4, 1.1.1.5]}\n": "only four",
	} {
		c, ps := Parse("x.yaml", []byte(base+src), fakeHost(nil))
		if (ps.Err() == nil) != (want == "") || !strings.Contains(fmt.Sprint(ps), want) {
			t.Errorf("%s: %v, want %q", src, ps, want)
		}
		if want == "" && c.DNS.Servers[0].String() != "10.0.0.53:53" {
			t.Errorf("%v", c.DNS.Servers)
		}
	}
}
