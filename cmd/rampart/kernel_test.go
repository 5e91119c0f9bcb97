package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A ban by hand is in the kernel at once: its counters show what it drops, and
// the address gets no connection. When the ban is lifted, it does.
func TestKernelDropsBanned(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("tables of the kernel are tested as root")
	}
	s := newSite(t, 57, "kernel: {nftables: \"on\"}\n", "admin: {listen: off}", "admin: {listen: \"127.91.57.8:18157\"}")
	if log := s.log.take(); !strings.Contains(log, "dropped by the kernel") || !strings.Contains(log, "nftables inet rampart") {
		t.Fatalf("no line says what is in force:\n%s", log)
	}
	command := func(args ...string) {
		t.Helper()
		var out bytes.Buffer
		if code := execute(append(args, "-c", filepath.Join(s.dir, "rampart.yaml")), &out, &out); code != 0 {
			t.Fatalf("%q: exit %d: %s", args, code, out.String())
		}
	}
	to := s.g.sbc.Addrs(0, "tls")[0].String()
	connects := func(from string, patience time.Duration) bool {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
		c, err := d.Dial("tcp", to)
		if err != nil {
			return false
		}
		c.Close()
		return true
	}
	const long, short = 20 * time.Second, 200 * time.Millisecond
	if !connects("127.91.57.66", long) {
		t.Fatal("no connection before the ban")
	}
	command("bans", "add", "127.91.57.66")
	// While the kernel does not know yet, the gateway accepts and closes.
	eventually(t, "the kernel drops it", func() bool { return !connects("127.91.57.66", short) && s.kernelDropped("banned") > 0 })
	if !connects("127.91.57.67", long) {
		t.Error("another address gets no connection")
	}
	command("bans", "remove", "127.91.57.66")
	eventually(t, "it connects again", func() bool { return connects("127.91.57.66", short) })

	s.g.close(time.Second)
	if len(s.g.kernel.engines) != 0 {
		t.Error("an engine is left")
	}
}

// kernelDropped reads the metric of a cause.
func (s *site) kernelDropped(cause string) int {
	s.t.Helper()
	m := s.metric(`rampart_kernel_dropped_total\{cause="` + cause + `",engine="nftables"\} (\d+)`)
	if len(m) == 0 {
		return -1
	}
	n, err := strconv.Atoi(m[0][1])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// metric finds lines of /metrics, each with what its groups matched.
func (s *site) metric(pattern string) [][]string {
	s.t.Helper()
	r, err := http.Get("http://" + s.g.admin.Addr().String() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return regexp.MustCompile(pattern).FindAllStringSubmatch(string(body), -1)
}

// What cannot be set up is told in one line, and the gateway runs.
func TestKernelNotThere(t *testing.T) {
	t.Parallel()
	s := newSite(t, 58, "kernel: {xdp: {interface: no-such0}}\n")
	if log := s.log.take(); strings.Count(log, "no-such0") != 1 || !strings.Contains(log, "the gateway drops packets itself") {
		t.Errorf("log:\n%s", log)
	}
}

// PBXs are among the known, so nothing in the kernel can shut them out. Peers
// that may use plaintext are; of others only the connections.
func TestKernelKnowsThePBX(t *testing.T) {
	t.Parallel()
	s := newSite(t, 59, `peers:
  - {name: carrier, identify: {ip: [198.51.100.0/24]}, uri: "sip:198.51.100.7;transport=tls"}
  - {name: plain, identify: {ip: [203.0.113.0/24]}, allow_plaintext: true, uri: "sip:203.0.113.7;transport=udp"}
`, `["127.91.59.1:5061"]`, `["127.91.59.1:5061"], udp: ["127.91.59.1:5060"]`)
	eventually(t, "the PBX and the peers are known", func() bool {
		k := s.g.sbc.Known()
		return slices.Contains(k.Addrs, netip.MustParseAddr("127.91.59.3")) && slices.Contains(k.Addrs, netip.MustParseAddr("203.0.113.7")) &&
			slices.Contains(k.ConnectedAddrs, netip.MustParseAddr("198.51.100.7")) && !slices.Contains(k.Addrs, netip.MustParseAddr("198.51.100.7")) &&
			slices.Equal(k.Networks, []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}) && slices.Equal(k.ConnectedNetworks, []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")})
	})
}

// The doctor says nothing against a kernel that is asked for nothing, and finds an
// interface that is not there, or that nobody reaches the gateway by.
func TestDoctorKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("what root may is looked at as root")
	}
	for _, c := range []struct {
		more string
		want []string
	}{
		{"", []string{"ok the kernel is not asked to drop anything"}},
		{"kernel: {nftables: auto}\n", []string{"ok this shell has the capabilities to drop packets in the kernel"}},
		{"kernel: {xdp: {interface: no-such0}}\n", []string{"ok this shell has the capabilities", "warning kernel.xdp.interface: no-such0: "}},
		{"kernel: {xdp: {interface: lo}}\n", []string{"ok this shell has the capabilities", "warning kernel.xdp.interface: lo has none of the addresses"}},
		{"kernel: {xdp: {interface: lo}}\nlisten: {tls: [\"127.0.0.1:15861\"]}\n", []string{"ok this shell has the capabilities", "ok lo is up and has addresses"}},
	} {
		file, _ := patient(t, 47, c.more)
		got := lookAt(t, file, "/proc", "kernel")
		if len(got) != len(c.want) {
			t.Errorf("%q: %+v", c.more, got)
			continue
		}
		for i, s := range got {
			if text := string(s.Level) + " " + s.Message; !strings.HasPrefix(text, c.want[i]) {
				t.Errorf("%q: %q, want %q", c.more, text, c.want[i])
			}
		}
	}
}
