package main

import (
	"bufio"
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/ratelimit/kernel"
)

// The whole gateway in a network namespace of its own, with a cable to another
// one, where the test itself runs on: its telephones, its PBX and its attackers.

// netGatewayEnv tells a test program that it is that gateway, and its file.
const netGatewayEnv = "RAMPART_TEST_GATEWAY"

// netCounts is what the gateway answers when it is asked.
type netCounts struct {
	Kernel map[string]uint64 // by cause, all engines
	Seen   uint64            // datagrams that reached its sockets, or were dropped there
	Calls  int
}

// netGateway runs until its input ends. It logs to its errors, and answers each
// line of its input with its counts.
func netGateway(file string) int {
	fail := func(err any) int {
		fmt.Fprintln(os.Stderr, "netgateway:", err)
		return 1
	}
	cfg, ps := config.Load(file, config.ThisHost())
	if cfg == nil {
		return fail(ps)
	}
	g, err := startGateway(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)), func(g *gateway) {
		g.kernel.emergency.After, g.kernel.emergency.Quiet = time.Second, 2*time.Second
	})
	if err != nil {
		return fail(err)
	}
	defer g.close(time.Second)
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		c := netCounts{Kernel: map[string]uint64{}, Calls: g.sbc.Active()}
		for _, d := range g.kernelView().Dropped {
			c.Kernel[d.Cause] += d.Count
		}
		v := g.gateView()
		c.Seen = v.Passed + v.Junk + v.KernelPublic
		for _, d := range v.Dropped {
			c.Seen += d.Count
		}
		if err := json.NewEncoder(os.Stdout).Encode(c); err != nil {
			return fail(err)
		}
	}
	return 0
}

// network runs a test anew in a namespace outside; inside is the other one, of
// the gateway, at 10.79.0.1. Outside has 10.79.0.2 and all of 10.80.0.0/16.
func network(t *testing.T, name string, f func(t *testing.T, inside string)) {
	const env = "RAMPART_TEST_INSIDE"
	if inside := os.Getenv(env); inside != "" {
		f(t, inside)
		return
	}
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces are made as root")
	}
	in, out := fmt.Sprintf("rg%d-%si", os.Getpid(), name), fmt.Sprintf("rg%d-%so", os.Getpid(), name)
	t.Cleanup(func() {
		for _, n := range []string{in, out} {
			exec.Command("ip", "netns", "del", n).Run()
		}
	})
	for _, line := range []string{
		"netns add " + in, "netns add " + out,
		"-n " + in + " link add eth0 type veth peer name eth0 netns " + out,
		"-n " + in + " link set lo up", "-n " + in + " link set eth0 up", "-n " + in + " addr add 10.79.0.1/24 dev eth0",
		"-n " + out + " link set lo up", "-n " + out + " link set eth0 up", "-n " + out + " addr add 10.79.0.2/24 dev eth0",
		"-n " + in + " route add 10.80.0.0/16 via 10.79.0.2", "-n " + out + " route add local 10.80.0.0/16 dev lo",
	} {
		if text, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, text)
		}
	}
	cmd := exec.Command("ip", "netns", "exec", out, os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.timeout", "4m")
	cmd.Env = append(os.Environ(), env+"="+in)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !strings.Contains(string(text), "PASS") {
		t.Fatalf("it did not run:\n%s", text)
	}
}

// netSite is the gateway of a network.
type netSite struct {
	t   *testing.T
	dir string
	log journal
	in  io.WriteCloser
	out *bufio.Scanner
	mu  sync.Mutex // of in and out
}

const somebody = 65534

// as is the command that runs this program with capabilities.
func (s *netSite) as(caps string) []string {
	s.t.Helper()
	if caps == "" {
		return []string{os.Args[0]}
	}
	// The folders of tests and of programs under test are their owner's alone.
	program := filepath.Join(s.dir, "program")
	if err := os.Link(os.Args[0], program); err != nil && !os.IsExist(err) {
		data, err := os.ReadFile(os.Args[0])
		if err == nil {
			err = os.WriteFile(program, data, 0o755)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	for d := s.dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chown(s.dir, somebody, somebody), os.Chown(filepath.Join(s.dir, "rampart.yaml"), somebody, somebody)); err != nil {
		s.t.Fatal(err)
	}
	id := fmt.Sprint(somebody)
	out := []string{"setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--no-new-privs"}
	if caps == "none" {
		out = append(out, "--bounding-set", "-all")
	} else {
		out = append(out, "--bounding-set", "-all,"+caps, "--inh-caps", caps, "--ambient-caps", caps)
	}
	return append(out, program)
}

// startNetSite starts it as root, or as somebody else who has but these
// capabilities ("none", "+net_admin,+bpf").
func startNetSite(t *testing.T, inside, caps, more string) *netSite {
	t.Helper()
	s := &netSite{t: t, dir: t.TempDir()}
	file := filepath.Join(s.dir, "rampart.yaml")
	if err := os.WriteFile(file, []byte(`domain: sip.example.com
pbx: {name: main, uri: "sip:10.79.0.2:5060", health: 0s}
home: {country: FR}
state: state
listen: {tls: ["10.79.0.1:5061"], udp: ["10.79.0.1:5060"]}
inside: {udp: ["10.79.0.1:5070"]}
media: {public: ["10.79.0.1"], inside: ["10.79.0.1"], ports: 21000-21199}
peers:
  - {name: plain, identify: {ip: [10.80.9.0/24]}, allow_plaintext: true, uri: "sip:10.80.9.9:5060;transport=udp"}
admin: {listen: off}
`+more), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"netns", "exec", inside}, s.as(caps)...)
	cmd := exec.Command("ip", args...)
	cmd.Env, cmd.Dir, cmd.Stderr = append(os.Environ(), netGatewayEnv+"="+file), s.dir, &s.log
	var err error
	if s.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewScanner(out)
	t.Cleanup(func() {
		s.in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error("the gateway:", err)
		}
		if t.Failed() {
			t.Log(s.log.take())
		}
	})
	if !s.out.Scan() || s.out.Text() != "ready" {
		t.Fatalf("the gateway does not start: %s", s.log.take())
	}
	return s
}

func (s *netSite) counts() (c netCounts) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.in)
	if !s.out.Scan() {
		s.t.Fatal("the gateway has ended")
	}
	if err := json.Unmarshal(s.out.Bytes(), &c); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// logged waits for a line that says all of that.
func (s *netSite) logged(want string) {
	s.t.Helper()
	eventually(s.t, want+" is logged", func() bool {
		s.log.mu.Lock()
		defer s.log.mu.Unlock()
		return strings.Contains(s.log.b.String(), want)
	})
}

func (s *netSite) phone(ctx context.Context, local string) *siptest.Phone {
	s.t.Helper()
	pem, err := os.ReadFile(filepath.Join(s.dir, "state", "ca.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	p, err := siptest.NewPhone(ctx, siptest.PhoneConfig{User: "1001", Password: "secret-of-1001", Domain: "sip.example.com", Server: netip.MustParseAddrPort("10.79.0.1:5061"),
		Local: netip.MustParseAddr(local), Transport: "tls", TLS: &cryptotls.Config{RootCAs: pool, ServerName: "sip.example.com"}, SRTP: []string{"AEAD_AES_256_GCM"}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { p.Close() })
	return p
}

// strangers send datagrams from n addresses of 10.80.NET.0/24, which may be
// forged: nobody listens for an answer.
type strangers []*net.UDPConn

func newStrangers(t *testing.T, net24, n int) (all strangers) {
	t.Helper()
	for i := range n {
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(10, 80, byte(net24), byte(1+i))}, &net.UDPAddr{IP: net.IPv4(10, 79, 0, 1), Port: 5060})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		all = append(all, c)
	}
	return all
}

const strangersJunk = "\x00\x01 is nothing that the gateway ever reads"

const strangersRegister = "REGISTER sip:sip.example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"

func (ss strangers) send(each int, text string) {
	for range each {
		for _, c := range ss {
			c.Write([]byte(text))
		}
	}
}

// A flood of strangers brings budgets into the kernel, in both engines. A phone
// that is known calls meanwhile, though datagrams with its address are dropped
// as those of any stranger are; when the flood is over, the budgets go.
func TestKernelEmergency(t *testing.T) {
	t.Parallel()
	network(t, "e", func(t *testing.T, inside string) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		s := startNetSite(t, inside, "", `kernel: {nftables: "on", xdp: {interface: eth0}, emergency: 100/s, source_packets: 5/s}
limits: {source_packets: 20/s, stranger_packets: 50/s, handshake_timeout: 1m}
`)
		s.logged("nftables inet rampart, xdp eth0 (native)")
		pbx, err := siptest.NewPBX(ctx, siptest.PBXConfig{Domain: "sip.example.com", Users: map[string]string{"1001": "secret-of-1001"},
			Listen: netip.MustParseAddrPort("10.79.0.2:5060"), Trunk: netip.MustParseAddrPort("10.79.0.1:5070")})
		if err != nil {
			t.Fatal(err)
		}
		defer pbx.Close()
		phone := s.phone(ctx, "10.80.0.5")
		if err := phone.Register(ctx, time.Hour); err != nil {
			t.Fatal(err)
		}

		// A thousand datagrams a second at most, for a minute at most.
		flood, stop := context.WithCancel(ctx)
		defer stop()
		var over sync.WaitGroup
		var pause sync.Mutex
		over.Go(func() {
			all := newStrangers(t, 1, 20)
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for range 600 {
				select {
				case <-flood.Done():
					return
				case <-tick.C:
					pause.Lock()
					all.send(5, strangersRegister)
					pause.Unlock()
				}
			}
		})
		s.logged("strangers get 5/s datagrams")
		eventually(t, "the kernel drops what is over the budgets", func() bool { return s.counts().Kernel[kernel.Rate] > 200 })

		// The phone's address in datagrams has a stranger's budget.
		pause.Lock()
		was := s.counts().Kernel[kernel.Rate]
		forged, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(10, 80, 0, 5)}, &net.UDPAddr{IP: net.IPv4(10, 79, 0, 1), Port: 5060})
		if err != nil {
			t.Fatal(err)
		}
		defer forged.Close()
		strangers{forged}.send(500, strangersRegister)
		eventually(t, "datagrams with the phone's address are dropped", func() bool { return s.counts().Kernel[kernel.Rate] > was+300 })
		pause.Unlock()
		up, err := phone.Invite(ctx, siptest.ExtTone)
		if err != nil {
			t.Fatal("a call in the flood:", err)
		}
		if err := up.Media.WaitTone(ctx, siptest.ToneFreq); err != nil {
			t.Fatal("its audio:", err)
		}
		if err := phone.Register(ctx, time.Hour); err != nil {
			t.Fatal("a refresh in the flood:", err)
		}

		stop()
		over.Wait()
		s.logged("the flood is over; the kernel has no budgets")
		// Strangers have no budgets in the kernel any more.
		late := newStrangers(t, 2, 1)
		eventually(t, "what was counted is still", func() bool {
			before := s.counts()
			late.send(60, strangersRegister)
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
				if now := s.counts(); now.Seen >= before.Seen+60 {
					return now.Kernel[kernel.Rate] == before.Kernel[kernel.Rate]
				}
			}
			return false
		})
		if err := up.Bye(ctx); err != nil {
			t.Error(err)
		}
	})
}

// What the filters of the sockets drop is never read, and counts all the same.
func TestKernelEmergencyOfWhatIsNeverRead(t *testing.T) {
	t.Parallel()
	network(t, "j", func(t *testing.T, inside string) {
		s := startNetSite(t, inside, "", `kernel: {nftables: "on", emergency: 100/s, source_packets: 5/s}`+"\n")
		all := newStrangers(t, 1, 20)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for range 300 { // a thousand a second, half a minute at most
			<-tick.C
			all.send(5, strangersJunk)
			if s.counts().Kernel[kernel.Rate] > 0 {
				break
			}
		}
		s.logged("strangers get 5/s datagrams")
		if s.counts().Kernel[kernel.Rate] == 0 {
			t.Error("nothing is dropped for its rate")
		}
	})
}

// Without privileges one line says what is missing, and the gateway works. With
// them, and no others, the kernel drops; nobody has to be root.
func TestKernelPrivileges(t *testing.T) {
	t.Parallel()
	network(t, "p", func(t *testing.T, inside string) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		pbx, err := siptest.NewPBX(ctx, siptest.PBXConfig{Domain: "sip.example.com", Users: map[string]string{"1001": "secret-of-1001"},
			Listen: netip.MustParseAddrPort("10.79.0.2:5060"), Trunk: netip.MustParseAddrPort("10.79.0.1:5070")})
		if err != nil {
			t.Fatal(err)
		}
		defer pbx.Close()
		const refused = "not set up in the kernel for want of privileges"
		for _, c := range []struct{ caps, kernel, lacks, inForce string }{
			{"none", `{nftables: "on", xdp: {interface: eth0}}`, "CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON", ""},
			{"none", `{nftables: auto}`, "CAP_NET_ADMIN", ""},
			{"+net_admin", `{nftables: "on", xdp: {interface: eth0}}`, "CAP_BPF, CAP_PERFMON", `by="nftables inet rampart"`},
			{"+net_admin,+bpf,+perfmon", `{nftables: "on", xdp: {interface: eth0}}`, "", `by="nftables inet rampart, xdp eth0 (native)"`},
		} {
			t.Run(c.caps+c.kernel, func(t *testing.T) {
				s := startNetSite(t, inside, c.caps, "kernel: "+c.kernel+"\nlimits: {handshake_timeout: 1m}\n")
				phone := s.phone(ctx, "10.80.0.5")
				if err := phone.Register(ctx, time.Hour); err != nil {
					t.Fatal(err)
				}
				log := s.log.take()
				want := 0
				if c.lacks != "" {
					want = 1
				}
				if n := strings.Count(log, refused); n != want || strings.Count(log, "CAP_") != strings.Count(c.lacks, "CAP_") || !strings.Contains(log, c.lacks) {
					t.Errorf("%d lines, want %d with %q:\n%s", n, want, c.lacks, log)
				}
				if strings.Contains(log, "dropped by the kernel") != (c.inForce != "") || !strings.Contains(log, c.inForce) {
					t.Errorf("want %q in force:\n%s", c.inForce, log)
				}
				if noisy := strings.Contains(log, "level=ERROR"); noisy != (want == 1 && !strings.Contains(c.kernel, "auto")) {
					t.Errorf("an error, or none:\n%s", log)
				}

				// check says the same, in one line, before anything is started.
				cmd := exec.Command(s.as(c.caps)[0], append(s.as(c.caps)[1:], "check", "-c", filepath.Join(s.dir, "rampart.yaml"))...)
				cmd.Env = append(os.Environ(), sandboxEnv+"=1")
				text, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("check: %v: %s", err, text)
				}
				if n := strings.Count(string(text), "warning: kernel: this process lacks"); n != want || !strings.Contains(string(text), c.lacks) {
					t.Errorf("check, want %d warnings with %q:\n%s", want, c.lacks, text)
				}
			})
		}
	})
}

// An interface that is not there yet, that goes, and that comes back, and an
// administrator who empties the firewall: each is told once, and what has to be in
// force is again.
func TestKernelInterfaceComesAndGoes(t *testing.T) {
	t.Parallel()
	network(t, "v", func(t *testing.T, inside string) {
		s := startNetSite(t, inside, "", `kernel: {nftables: "on", xdp: {interface: eth1}}`+"\n")
		ip := func(line string) {
			t.Helper()
			if text, err := exec.Command("ip", strings.Fields("-n "+inside+" "+line)...).CombinedOutput(); err != nil {
				t.Fatalf("ip %s: %v: %s", line, err, text)
			}
		}
		causes := func() int { return len(s.counts().Kernel) }
		s.logged("interface eth1")
		table := causes()
		ip("link add eth1 type veth peer name eth2")
		s.logged(`dropped by the kernel now" by="xdp eth1 (native)"`)
		if causes() <= table { // XDP counts not_sip, too
			t.Error("the program does not count")
		}
		ip("link del eth1")
		s.logged("the program is not on it any more")
		ip("link add eth1 type veth peer name eth2")
		s.logged(`the kernel drops again what it has to" by="xdp eth1 (native)"`)

		if text, err := exec.Command("ip", "netns", "exec", inside, "nft", "flush", "ruleset").CombinedOutput(); err != nil {
			t.Fatalf("nft: %v: %s", err, text)
		}
		if n := causes(); n <= table {
			t.Errorf("%d causes are counted after the firewall was emptied", n)
		}
		log := s.log.take()
		for _, once := range []string{"not set up in the kernel", "not on it any more", "drops again", "by the kernel now"} {
			if n := strings.Count(log, once); n != 1 {
				t.Errorf("%q is told %d times:\n%s", once, n, log)
			}
		}
	})
}
