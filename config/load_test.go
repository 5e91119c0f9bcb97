package config

import (
	"errors"
	"io/fs"
	"net/netip"
	"path"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// fakeHost is a machine with the files given (names without a leading slash
// below /etc/rampart), the address 203.0.113.10 towards the world and 10.0.0.2
// towards 10/8.
func fakeHost(files fstest.MapFS) Host {
	rel := func(p string) string { return strings.TrimPrefix(p, "/etc/rampart/") }
	return Host{
		Env: func(name string) string { return map[string]string{"PASSWORD": "hunter2"}[name] },
		ReadFile: func(p string) ([]byte, error) {
			if f, ok := files[rel(p)]; ok && f.Mode.Perm() == 0 {
				return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrPermission}
			}
			return files.ReadFile(rel(p))
		},
		Stat: func(p string) (fs.FileInfo, error) {
			switch p {
			case "/etc/rampart", "/var/lib/rampart", "/var/log/rampart":
				return fstest.MapFS{}.Stat(".")
			}
			return files.Stat(rel(p))
		},
		Glob: func(p string) ([]string, error) {
			found, err := fs.Glob(files, rel(p))
			for i := range found {
				found[i] = path.Join("/etc/rampart", found[i])
			}
			return found, err
		},
		Hostname: func() (string, error) { return "sbc1.example.com", nil },
		Route: func(to netip.Addr) (netip.Addr, error) {
			switch {
			case to.Is6():
				return netip.Addr{}, errors.New("no route")
			case to.IsPrivate():
				return netip.MustParseAddr("10.0.0.2"), nil
			case to.IsLoopback():
				return netip.MustParseAddr("127.0.0.1"), nil
			}
			return netip.MustParseAddr("203.0.113.10"), nil
		},
	}
}

func pem(mode fs.FileMode) *fstest.MapFile { return &fstest.MapFile{Data: []byte("x"), Mode: mode} }

func exampleFiles() fstest.MapFS {
	return fstest.MapFS{
		"fullchain.pem": pem(0o644), "key.pem": pem(0o600), "carriers-ca.pem": pem(0o644),
		"GeoLite2-Country.mmdb": pem(0o644), "GeoLite2-ASN.mmdb": pem(0o644), "policy/local.yaml": pem(0o644),
	}
}

func parse(t *testing.T, src string, files fstest.MapFS) (*Config, string) {
	t.Helper()
	c, ps := Parse("/etc/rampart/rampart.yaml", []byte(src), fakeHost(files))
	host := fakeHost(files)
	host.ReadFile = func(string) ([]byte, error) { return []byte(src), nil }
	if c, ps := Load("x", host); (c == nil) != (ps.Err() != nil) {
		t.Fatalf("config %v beside %v", c, ps.Err())
	}
	return c, strings.ReplaceAll(ps.String(), "/etc/rampart/rampart.yaml:", "")
}

func TestMinimal(t *testing.T) {
	c, problems := parse(t, "domain: SIP.example.com\npbx: \"sip:10.0.0.5\"\nhome: {country: FR}\n", nil)
	if problems != "" {
		t.Fatal(problems)
	}
	ap := netip.MustParseAddrPort
	a := func(s string) []Address { return []Address{{netip.MustParseAddr(s), netip.MustParseAddr(s)}} }
	zero := "0"
	want := Config{
		File:    "/etc/rampart/rampart.yaml",
		Domains: []string{"sip.example.com"},
		PBX: []PBX{{Name: "main", URI: URI{Host: "10.0.0.5", Addr: netip.MustParseAddr("10.0.0.5"), Port: 5060, Transport: "udp"},
			SRTP: SRTPOff, Health: 10 * time.Second, Weight: 1, Failover: []int{502, 503, 504}}},
		Profile: Office, Node: "sbc1",
		Listen: Listen{TLS: []netip.AddrPort{ap("0.0.0.0:5061")}},
		Inside: Listen{UDP: []netip.AddrPort{ap("10.0.0.2:5060")}},
		Media: Media{Public: a("203.0.113.10"), Inside: a("10.0.0.2"), Ports: Ports{20000, 39999},
			SRTP:       SRTP{SDES: true, Suites: []string{"AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"}},
			Inactivity: 30 * time.Second, DSCP: 46, MaxCall: 12 * time.Hour},
		Signalling: Signalling{DSCP: 24},
		TLS:        TLS{MinVersion: "1.2"},
		Phones:     Phones{Redirects: RedirectsRelay, Answers: AnswersUniform, Identity: PhoneIdentity{STIR: STIRStrip}},
		Home: Home{Country: "FR", International: []string{"00"}, National: &zero,
			Emergency: []string{"112", "114", "115", "119", "15", "17", "18", "191", "196"}},
		Policy: Policy{Use: []string{"base", "countries", "scanners", "toll-fraud", "ping-call", "messages", "callers"}, Files: []string{"policy/*.yaml"}, Watch: true},
		Store:  Store{Kind: "memory", Path: "/etc/rampart/rampart-state"},
		State:  "/etc/rampart/rampart-state",
		Alerts: []Sink{{File: "/etc/rampart/rampart-state/alerts.jsonl"}},
		CDR:    []Sink{{File: "/etc/rampart/rampart-state/cdr.jsonl"}},
		Admin:  Admin{Listen: Optional{ap("127.0.0.1:8080")}},
		Limits: Limits{Calls: 1000, Registrations: 5000, Subscriptions: 20000, UserSubs: 200, Transactions: 50000, Connections: 5000, SourceConns: 500,
			SourcePackets: 200, StrangerPackets: 2000, PhonePackets: 5000, SourceConnects: 20, StrangerShakes: 250,
			Handshakes: 1000, SourceShakes: 300, UDPBuffer: 4 << 20, SocketFilter: true, Message: 65536, Header: 8192, Headers: 128,
			Handshake: 5 * time.Second, Idle: 30 * time.Second, Read: 10 * time.Second, Setup: 3 * time.Minute, Retry: 30 * time.Second, Failover: 2 * time.Second, Session: 90 * time.Second},
		Registrations:  Registrations{Rate: 200},
		Authentication: Authentication{Algorithms: []string{"SHA-256", "MD5"}},
		Numbers:        Numbers{Forward: AsDialled, Carriers: Canonical},
		Kernel:         Kernel{Nftables: SwitchOff, XDP: XDP{Mode: XDPAuto}, Emergency: 2000, Packets: 20, Connections: 10},
		Drain:          2 * time.Minute,
		Overload:       Overload{Shed: true, Delay: 20 * time.Millisecond, CPU: 0.9, Memory: 0.9, Files: 0.9, Calls: 0.95, Transactions: 0.95, PBX: 0.5},
	}
	if got := c.Problem("pbx", "x").String(); got != "/etc/rampart/rampart.yaml:2:6: x" {
		t.Error(got)
	}
	c.at = nil
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("got  %+v\nwant %+v", *c, want)
	}
}

// contract is the documented example without the keys that this version
// refuses.
const contract = `domain: sip.example.com
profile: office
listen:
  tls: ["0.0.0.0:5061"]
  wss: []
  udp: []
  tcp: []
inside:
  udp: ["10.0.0.2:5060"]
  tcp: []
  tls: []
media:
  public: ["203.0.113.10", "2001:db8::10"]
  inside: ["10.0.0.2"]
  ports: 20000-39999
  srtp: {sdes: true, suites: [AEAD_AES_256_GCM, AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80]}
  inactivity: 30s
  dscp: 46
  max_call: 12h
tls:
  certificate: {cert: fullchain.pem, key: key.pem}
  min_version: "1.2"
  client_ca: carriers-ca.pem
pbx:
  - {name: main, uri: "sip:10.0.0.5:5060;transport=udp", health: 10s, weight: 1}
peers:
  - name: carrier-a
    identify: {certificate: sip.carrier.example}
    uri: "sip:sip.carrier.example;transport=tls"
    allow_plaintext: false
    srtp: required
    limits: {calls: 30, cps: 5}
  - name: carrier-b
    identify: {ip: [198.51.100.0/24]}
    uri: "sips:192.0.2.77:5061"
home: {country: FR, international: ["00"], national: "0", extensions: "^[1-9][0-9]{2,4}$", emergency: ["112","15","17","18"], outside_prefix: "0"}
policy: {use: [base, countries, scanners], files: ["policy/*.yaml"]}
routes:
  - {match: {to: {country: [FR]}}, peers: [carrier-a]}
  - {peers: [carrier-a, carrier-b]}
geoip: {country: GeoLite2-Country.mmdb, asn: GeoLite2-ASN.mmdb}
store: {kind: memory, path: /var/lib/rampart}
alerts:
  - {file: /var/log/rampart/alerts.jsonl}
cdr: [{file: /var/log/rampart/cdr.jsonl}]
admin: {listen: "127.0.0.1:8080"}
`

func TestContractExample(t *testing.T) {
	c, problems := parse(t, contract, exampleFiles())
	if problems != "" {
		t.Fatal(problems)
	}
	if c.State != "/var/lib/rampart" || c.PolicyFiles[0] != "/etc/rampart/policy/local.yaml" || c.TLS.Certificates[0].Key != "/etc/rampart/key.pem" {
		t.Errorf("paths: %+v", c)
	}
	if got := c.Peers[1].URI.String(); got != "sip:192.0.2.77:5061;transport=tls" {
		t.Error(got)
	}
	if c.Peers[1].SRTP != SRTPRequired || len(c.Media.Public) != 2 || *c.Home.National != "0" || c.Peers[0].Limits.CPS != 5 {
		t.Errorf("%+v", c)
	}
}

func TestCallCentre(t *testing.T) {
	c, problems := parse(t, "domain: a.example\npbx: [\"sip:10.0.0.5;transport=tls\", {name: two, uri: \"sip:10.0.0.6:5062\"}]\nhome: {country: US}\nprofile: call-centre\nlimits: {calls: 7}\n", nil)
	if problems != "" {
		t.Fatal(problems)
	}
	if c.Limits.Calls != 7 || c.Limits.Registrations != 20_000 || c.Media.MaxCall != 4*time.Hour {
		t.Errorf("%+v", c.Limits)
	}
	if len(c.Inside.TLS) != 1 || c.Inside.TLS[0].Port() != 5071 || len(c.Inside.UDP) != 1 || c.Inside.UDP[0].Port() != 5060 {
		t.Errorf("%+v", c.Inside)
	}
}

func TestInsideBesideThePBX(t *testing.T) {
	c, problems := parse(t, "domain: a.example\npbx: \"sip:127.0.0.1:5060\"\nhome: {country: US}\n", nil)
	if problems != "" || c.Inside.UDP[0].String() != "127.0.0.1:5070" || c.Media.Inside[0].Bind.String() != "127.0.0.1" {
		t.Fatalf("%s %+v", problems, c)
	}
}

func TestMissingFile(t *testing.T) {
	c, ps := Load("/etc/rampart/rampart.yaml", fakeHost(nil))
	if c != nil || ps.String() != "/etc/rampart/rampart.yaml: the configuration cannot be read: file does not exist\n    hint: rampart init writes one; -c names another file" {
		t.Error(ps)
	}
}

func TestSecret(t *testing.T) {
	host := fakeHost(fstest.MapFS{"s": {Data: []byte("swordfish\n"), Mode: 0o600}, "open": {Data: []byte("x"), Mode: 0o644}, "empty": {Mode: 0o600}})
	abs := func(p string) string { return "/etc/rampart/" + p }
	for in, want := range map[string]string{"plain": "plain", "${PASSWORD}": "hunter2", "file:s": "swordfish"} {
		s, err := secret(in, host, abs)
		if err != nil || s.Reveal() != want {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, in := range []string{"${NOTHING}", "file:none", "file:open", "file:empty"} {
		if _, err := secret(in, host, abs); err == nil {
			t.Errorf("%s is accepted", in)
		}
	}
}
