package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/config"
	rtls "github.com/rampart-sbc/rampart/tls"
)

// schemaKeys are the keys of the configuration, as editors know them.
func schemaKeys(t *testing.T) []string {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(config.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var walk func(n any, path string)
	walk = func(n any, path string) {
		m, ok := n.(map[string]any)
		if !ok {
			return
		}
		for _, k := range []string{"anyOf", "oneOf"} {
			all, _ := m[k].([]any)
			for _, x := range all {
				walk(x, path)
			}
		}
		if items, ok := m["items"]; ok {
			walk(items, path)
			return
		}
		if ps, ok := m["properties"].(map[string]any); ok {
			for name, x := range ps {
				walk(x, strings.TrimPrefix(path+"."+name, "."))
			}
			return
		}
		if x, ok := m["additionalProperties"].(map[string]any); ok {
			walk(x, path+".*")
			return
		}
		if path != "" && m["anyOf"] == nil && m["oneOf"] == nil {
			seen[path] = true
		}
	}
	walk(root, "")
	return sortedKeys(seen)
}

// Every key of the configuration was judged: it is a relaxation or harmless, and
// nothing is judged that does not exist.
func TestDoctorJudgesEveryKey(t *testing.T) {
	keys := schemaKeys(t)
	if len(keys) < 100 {
		t.Fatalf("only %d keys were found", len(keys))
	}
	judged := map[string]bool{}
	for _, k := range harmless {
		judged[k] = true
	}
	for _, r := range openings {
		if judged[r.key] && slices.Contains(harmless, r.key) {
			t.Errorf("%s is a relaxation and harmless", r.key)
		}
		judged[r.key] = true
	}
	for _, k := range keys {
		if !judged[k] {
			t.Errorf("rampart doctor has no opinion on %s: can it make the gateway less safe than its default? Put it into the table in doctor_relax.go, or among the harmless", k)
		}
		delete(judged, k)
	}
	for k := range judged {
		if !strings.HasSuffix(k, "wss") && k != "tls.acme" && k != "store.url" { // reserved: in no schema
			t.Errorf("%s is judged, but does not exist", k)
		}
	}
}

// patient is a configuration of loopback addresses of its own.
func patient(t *testing.T, n int, more string) (file, dir string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(dir, "rampart.yaml")
	text := "domain: sip.example.com\n"
	for _, key := range []struct{ name, line string }{
		{"pbx:", fmt.Sprintf("pbx: \"sip:127.92.%d.3:5060\"\n", n)},
		{"home:", "home: {country: FR}\n"},
		{"listen:", fmt.Sprintf("listen: {tls: [\"127.92.%d.1:5061\"]}\n", n)},
		{"inside:", fmt.Sprintf("inside: {udp: [\"127.92.%d.2:5060\"], tcp: [\"127.92.%[1]d.2:5060\"]}\n", n)},
		{"media:", fmt.Sprintf("media: {public: [\"127.92.%d.1\"], inside: [\"127.92.%[1]d.2\"], ports: 21000-21199}\n", n)},
		{"admin:", "admin: {listen: off}\n"},
	} {
		if !strings.Contains("\n"+more, "\n"+key.name) {
			text += key.line
		}
	}
	if err := os.WriteFile(file, []byte(text+more), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return file, dir
}

// look examines some areas.
func lookAt(t *testing.T, file, proc string, only ...string) (out []symptom) {
	t.Helper()
	cfg, ps := config.Inspect(file, config.ThisHost())
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, a := range areas {
		if slices.Contains(only, a.name) {
			x := &examination{cfg: cfg, host: config.ThisHost(), proc: proc, guess: time.Minute, now: time.Now(), area: a.name}
			a.look(x, ctx)
			out = append(out, x.symptoms...)
		}
	}
	return out
}

func found(all []symptom, l level, text string) bool {
	return slices.ContainsFunc(all, func(s symptom) bool { return s.Level == l && strings.Contains(s.Message+" "+s.Hint, text) })
}

func expect(t *testing.T, all []symptom, l level, text string) {
	t.Helper()
	if !found(all, l, text) {
		t.Errorf("no %s with %q in\n%+v", l, text, all)
	}
}

// Each relaxation is found in the configuration that has it, and only there.
func TestDoctorRelaxations(t *testing.T) {
	const peer = "routes: [{peers: a}]\npeers: [{name: a, uri: \"sip:198.51.100.1;transport=tls\", identify: {ip: 198.51.100.1/32}"
	for n, c := range []struct{ more, want string }{
		{"", ""},
		{"listen: {tls: [\"127.92.1.1:5061\"], udp: [\"127.92.1.1:5080\"]}\n" + peer + ", allow_plaintext: true}]\n", "plaintext over UDP; may signal without; known by its address alone"},
		{"inside: {udp: [\"0.0.0.0:5060\"]}\n", "inside.udp listens on every"},
		{peer + ", srtp: optional}]\n", "srtp is optional"},
		{strings.Replace(peer, "198.51.100.1/32", "198.0.0.0/8", 1) + "}]\n", "very large network"},
		{peer + ", allow_wildcard: true, allow_refer: true, nat: true, redirects: follow, bodies: [application/isup], identity: {trust: true}}]\n",
			"wildcard; transfer calls; elsewhere than it says; redirects are followed; application/isup; is believed"},
		{"pbx: {uri: \"sip:198.51.100.9\", redirects: follow}\n", "is at a public address, in plaintext over udp; srtp is off; redirects are followed"},
		{"phones: {redirects: follow, answers: as-given, identity: {stir: pass}}\n", "redirects of phones; as-given; signatures that phones make"},
		{"media: {public: [\"127.92.1.1\"], inside: [\"127.92.1.2\"], ports: 21000-21199, max_call: 1d, inactivity: 1h, srtp: {suites: [AES_CM_128_HMAC_SHA1_32]}}\n",
			"tags of 32 bits; calls may take 24h; without audio"},
		{"policy: {use: [base]}\n", "the shipped pack scanners is not in use; countries; toll-fraud"},
		{"home: {}\n", "home.country is not set"},
		{"registrations: {rate: 5000/s}\n", "5000/s REGISTERs"},
		{"alerts: []\ncdr: []\n", "alerts go nowhere; not written down"},
		{"events: [{file: e.jsonl, max_size: 0}]\n", "no bound"},
		{"limits: {connections: 50000, stranger_packets: 10000/s, idle_timeout: 1h}\n", "limits.connections is 10 times; stranger_packets is 5 times; idle_timeout is 120 times"},
		{"authentication: {file: users.digest, algorithms: [MD5]}\n", "with MD5 alone"},
		{"overload: {shed: false}\n", "overload.shed is off"},
		{"overload: {delay: 1s}\n", "overload.delay is"},
		{"limits: {peer_packets: 1000000/s}\nlisten: {tls: [\"127.92.1.1:5061\"], udp: [\"127.92.1.1:5080\"]}\n" + peer + ", allow_plaintext: true}]\n", "peer_packets is 1000000/s, and the processors"},
		{"limits: {peer_packets: 4000/s}\n", ""},
		{"limits: {connections: 50, idle_timeout: 10s}\n", ""},
	} {
		file, dir := patient(t, 100+n, c.more)
		writeTree(t, dir, "users.digest", "1001:sip.example.com:MD5:"+md5Of("x")+"\n")
		got := lookAt(t, file, "/proc", "relaxations")
		if c.want == "" {
			expect(t, got, healthy, "nothing is less safe")
			continue
		}
		for want := range strings.SplitSeq(c.want, "; ") {
			expect(t, got, relaxed, want)
		}
		for _, s := range got {
			if s.Risk == "" || s.Hint == "" {
				t.Errorf("%q has no risk or no hint", s.Message)
			}
		}
	}
}

// answering is a PBX that has one thing to say, over UDP and TCP.
func answering(t *testing.T, at, status string) {
	t.Helper()
	say := func(in []byte) []byte {
		lines := strings.Split(string(in), "\r\n")
		out := []string{status}
		for _, l := range lines {
			for _, name := range []string{"Via:", "From:", "To:", "Call-ID:", "CSeq:"} {
				if strings.HasPrefix(l, name) {
					out = append(out, l)
				}
			}
		}
		return []byte(strings.Join(append(out, "Content-Length: 0", "", ""), "\r\n"))
	}
	u, err := net.ListenPacket("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close(); l.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			u.WriteTo(say(b[:n]), from)
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 4096)
			n, _ := c.Read(b)
			c.Write(say(b[:n]))
			c.Close()
		}
	}()
}

// A PBX that answers, whatever it says, is there; one that is not, one that
// speaks something else, and one that says nothing are not.
func TestDoctorAsksThePBX(t *testing.T) {
	answering(t, "127.92.20.3:5060", "SIP/2.0 200 OK")
	answering(t, "127.92.20.4:5060", "SIP/2.0 403 Forbidden")
	answering(t, "127.92.20.5:5060", "HTTP/1.1 400 Bad Request")
	silent, err := net.ListenPacket("udp4", "127.92.20.6:5060")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, transport := range []string{"udp", "tcp"} {
		pbx := "pbx:\n"
		for i := 3; i <= 7; i++ {
			if i == 6 && transport == "tcp" {
				continue
			}
			pbx += fmt.Sprintf("  - {name: p%d, uri: \"sip:127.92.20.%[1]d:5060;transport=%s\"}\n", i, transport)
		}
		file, _ := patient(t, 20, pbx)
		got := lookAt(t, file, "/proc", "pbx")
		expect(t, got, healthy, "pbx p3 at 127.92.20.3:5060 over "+transport+" answers OPTIONS with 200")
		expect(t, got, healthy, "pbx p4 at 127.92.20.4:5060 over "+transport+" answers OPTIONS with 403")
		expect(t, got, broken, "pbx p5 at 127.92.20.5:5060 over "+transport+": what answers there does not speak SIP")
		expect(t, got, broken, "pbx p7 at 127.92.20.7:5060 over "+transport+": connection refused")
		if transport == "udp" {
			expect(t, got, broken, "pbx p6 at 127.92.20.6:5060 over udp does not answer OPTIONS")
		}
	}
}

// Over TLS the PBX's certificate is verified as the gateway verifies it.
func TestDoctorVerifiesThePBX(t *testing.T) {
	dir := t.TempDir()
	paths, _, err := rtls.EnsureCA(dir, []string{"pbx.example.com"}, []netip.Addr{netip.MustParseAddr("127.92.21.3")}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s, err := rtls.Open(rtls.Settings{Certificates: []rtls.Pair{{Cert: paths.Cert, Key: paths.Key}}}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.92.21.3:5061")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go serveTLS(l, s)
	for ca, want := range map[string]struct {
		l    level
		text string
	}{"": {broken, "name the CA of its certificate in pbx.ca"}, fmt.Sprintf(", ca: %q", paths.CA): {healthy, "answers OPTIONS with 200"}} {
		file, _ := patient(t, 21, fmt.Sprintf("pbx: {uri: \"sip:127.92.21.3:5061;transport=tls\"%s}\ninside: {tls: [\"127.92.21.2:5071\"]}\n", ca))
		expect(t, lookAt(t, file, "/proc", "pbx"), want.l, want.text)
	}
}

// Ports: free, held by somebody, of an address that is not ours; and those that
// the kernel gives away.
func TestDoctorPorts(t *testing.T) {
	l, err := net.Listen("tcp4", "127.92.22.1:5061")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := net.ListenPacket("udp4", "127.92.22.2:5060")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	file, _ := patient(t, 22, "listen: {tls: [\"127.92.22.1:5061\", \"203.0.113.77:5061\"]}\n")
	got := lookAt(t, file, "/proc", "ports")
	me := fmt.Sprintf("(process %d)", os.Getpid())
	expect(t, got, broken, "public tls 127.92.22.1:5061 is held by")
	expect(t, got, broken, me)
	expect(t, got, broken, "inside udp 127.92.22.2:5060 is held by")
	expect(t, got, healthy, "inside tcp 127.92.22.2:5060 is free")
	expect(t, got, broken, "203.0.113.77:5061: this host does not have that address")

	// The gateway itself may hold its ports: the process has another name here.
	proc := filepath.Join(t.TempDir(), "proc")
	for name, text := range map[string]string{"net/tcp": tcpTable(t, "127.92.22.1:5061", 4711), "99/comm": "rampart\n",
		"sys/net/ipv4/ip_local_port_range": "21000 60999\n", "sys/net/ipv4/ip_local_reserved_ports": "5060,22000-23000\n"} {
		writeTree(t, proc, name, text)
	}
	if err := os.MkdirAll(filepath.Join(proc, "99/fd"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[4711]", filepath.Join(proc, "99/fd/3")); err != nil {
		t.Fatal(err)
	}
	got = lookAt(t, file, proc, "ports")
	expect(t, got, healthy, "public tls 127.92.22.1:5061 is held by the running gateway (process 99)")
	expect(t, got, warning, "media.ports 21000-21199 overlap")
	writeTree(t, proc, "sys/net/ipv4/ip_local_port_range", "21150 60999\n")
	expect(t, lookAt(t, file, proc, "ports"), healthy, "(21150-60999): a call that finds one taken takes another")
	writeTree(t, proc, "sys/net/ipv4/ip_local_reserved_ports", "20000-39999\n")
	if found(lookAt(t, file, proc, "ports"), warning, "overlap") {
		t.Error("reserved ports are said to be given away")
	}
}

// What the kernel tells is compared with what the configuration needs.
func TestDoctorReadsTheKernel(t *testing.T) {
	file, _ := patient(t, 23, "")
	proc := t.TempDir()
	writeTree(t, proc, "sys/net/core/rmem_max", "212992\n")
	expect(t, lookAt(t, file, proc, "buffers"), warning, "net.core.rmem_max is 212992")
	writeTree(t, proc, "sys/net/core/rmem_max", "8388608\n")
	expect(t, lookAt(t, file, proc, "buffers"), healthy, "8388608")

	writeTree(t, proc, "net/tcp", tcpTable(t, "127.92.23.1:5061", 12))
	writeTree(t, proc, "98/comm", "rampart\n")
	writeTree(t, proc, "98/limits", "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 4096                 files\n")
	if err := os.MkdirAll(filepath.Join(proc, "98/fd"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[12]", filepath.Join(proc, "98/fd/9")); err != nil {
		t.Fatal(err)
	}
	expect(t, lookAt(t, file, proc, "limits"), warning, "4096 files may be open for the running gateway (process 98)")
	if got := lookAt(t, file, "/proc", "clock", "limits", "disk"); len(got) < 3 {
		t.Errorf("%+v", got)
	}
}

// Modes of files, passwords in the open, passwords that are guessed.
func TestDoctorFilesAndPasswords(t *testing.T) {
	file, dir := patient(t, 24, `authentication: {file: users.digest}
policy: {files: ["rules.yaml"]}
routes: [{peers: a}]
peers: [{name: a, uri: "sip:198.51.100.1;transport=tls", identify: {ip: 198.51.100.1/32}, register: {user: "4711", password: "4711pass"}}]
`)
	users := filepath.Join(dir, "users.digest")
	if _, err := addUser(users, "1001", "sip.example.com", ""); err != nil {
		t.Fatal(err)
	}
	writeTree(t, dir, "rules.yaml", "version: 1\n")
	got := lookAt(t, file, "/proc", "files", "passwords")
	expect(t, got, healthy, "can be written by their owner alone")
	expect(t, got, healthy, "the file of users")
	expect(t, got, healthy, "no password of 1 user is among the first")
	expect(t, got, warning, "the password for peer a is guessed")

	text, _ := os.ReadFile(users)
	weak := strings.Replace(string(text), "1001:sip.example.com:MD5", "1002:sip.example.com:MD5", 1)
	if err := os.WriteFile(users, []byte(weak), 0o600); err != nil {
		t.Fatal(err)
	}
	writeTree(t, dir, "users.digest", "1001:sip.example.com:MD5:"+md5Of("1001:sip.example.com:1001")+"\n1002:sip.example.com:MD5:"+md5Of("1002:sip.example.com:311299")+"\n")
	for _, f := range []string{file, filepath.Join(dir, "rules.yaml")} {
		if err := os.Chmod(f, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	writeTree(t, dir, "rampart-state/registration.key", strings.Repeat("k", 32))
	if err := os.Chmod(filepath.Join(dir, "rampart-state/registration.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	got = lookAt(t, file, "/proc", "files", "passwords")
	expect(t, got, broken, "rampart.yaml has mode 0666")
	expect(t, got, broken, "rules.yaml has mode 0666")
	expect(t, got, broken, "registration.key has mode 0644")
	expect(t, got, warning, "the password for peer a stands in")
	expect(t, got, broken, "user 1001 of realm sip.example.com (line 1): the user's name or extension")
	expect(t, got, broken, "user 1002 of realm sip.example.com (line 2): a date of six digits")
	expect(t, got, warning, "not every user has a line for SHA-256")
	for _, s := range got {
		if strings.Contains(s.Message, "4711pass") || strings.Contains(s.Message, "311299") {
			t.Errorf("a password is shown: %s", s.Message)
		}
	}
}

// Certificates: made later, good, of the wrong name, about to end.
func TestDoctorCertificates(t *testing.T) {
	file, dir := patient(t, 25, "")
	expect(t, lookAt(t, file, "/proc", "certificates"), healthy, "made at the first start")
	other := t.TempDir()
	paths, _, err := rtls.EnsureCA(other, []string{"other.example.com"}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := rtls.EnsureCA(filepath.Join(dir, "rampart-state"), []string{"sip.example.com"}, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	got := lookAt(t, file, "/proc", "certificates")
	expect(t, got, healthy, "a certificate names sip.example.com")
	file, _ = patient(t, 25, fmt.Sprintf("tls: {certificate: {cert: %q, key: %q}}\n", paths.Cert, paths.Key))
	got = lookAt(t, file, "/proc", "certificates")
	expect(t, got, broken, "no certificate names sip.example.com")
	expect(t, got, warning, "leads to no CA that this host trusts")
	cfg, _ := config.Inspect(file, config.ThisHost())
	for _, later := range []struct {
		days int
		l    level
	}{{0, healthy}, {380, warning}, {9000, broken}} {
		x := &examination{cfg: cfg, host: config.ThisHost(), now: time.Now().AddDate(0, 0, later.days), area: "certificates"}
		x.certificates(t.Context())
		if !slices.ContainsFunc(x.symptoms, func(s symptom) bool {
			return s.Level == later.l && (strings.Contains(s.Message, "good for") || strings.Contains(s.Message, "expire"))
		}) {
			t.Errorf("after %d days: %+v", later.days, x.symptoms)
		}
	}
}

// The command: text, JSON, exit codes, and a terminal that nobody else speaks to.
func TestDoctorCommand(t *testing.T) {
	answering(t, "127.92.26.3:5060", "SIP/2.0 200 OK")
	file, _ := patient(t, 26, "")
	code, out, errs := rampart("doctor", "-c", file)
	if code != 0 || !strings.Contains(out, "answers OPTIONS with 200") || !strings.Contains(out, "0 broken, 0 relaxations of the safe defaults") {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	code, out, _ = rampart("doctor", "-c", file, "--json")
	var report struct {
		OK       bool
		Symptoms []symptom
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || !report.OK || len(report.Symptoms) < 10 {
		t.Errorf("%d %v\n%s", code, err, out)
	}
	file, _ = patient(t, 27, "")
	if code, out, errs := rampart("doctor", "-c", file); code != 1 || !strings.Contains(out, "FAIL pbx main") || !strings.Contains(errs, "1 thing broken") {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	if code, _, errs := rampart("doctor", "-c", filepath.Join(t.TempDir(), "gone.yaml")); code != 1 || !strings.Contains(errs, "cannot be read") {
		t.Error(code, errs)
	}
	if code, _, _ := rampart("doctor", "--nonsense"); code != 2 {
		t.Error(code)
	}
	if got := clean("a\x1b[2Jb\u009bc\n"); strings.ContainsAny(got, "\x1b\u009b\n") {
		t.Errorf("%q", got)
	}
}
