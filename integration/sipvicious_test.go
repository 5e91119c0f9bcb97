package integration_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// SIPVicious, as anybody may download it: it finds nothing, is seen by its first
// requests, and cannot tell an extension that exists from one that does not.

// vicious runs one of its tools to its end and gives what it printed.
func (w *world) vicious(tool string, args ...string) string {
	w.tb.Helper()
	dir := w.tb.TempDir()
	p := peers.Start(w.tb, peers.Command{Name: tool, Path: tool, Args: args, Dir: dir, Env: []string{"HOME=" + dir, "COLUMNS=200"}})
	p.Wait(60 * time.Second)
	return p.Log()
}

// seen waits for an alert about one of the sources.
func (w *world) seen(action string, sources ...netip.Addr) {
	w.tb.Helper()
	peers.Eventually(w.tb, soon, fmt.Sprint("an alert ", action, " about ", sources), func() bool {
		return slices.ContainsFunc(sources, func(a netip.Addr) bool {
			return len(w.lines("alerts.jsonl", "event.action", action, "source.ip", a.String())) > 0
		})
	})
}

func TestSIPViciousOverUDP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pbx := w.pbx(peers.PBX{Unknown: 404})
	carrier := w.net.Addr(t)
	udp := netip.AddrPortFrom(w.public, 5060)
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, pbx.Addr), fmt.Sprintf(`listen: {tls: [%q], udp: [%q]}
peers: [{name: carrier, identify: {ip: [%s/32]}, uri: "sip:%[3]s:5060;transport=udp", allow_plaintext: true}]
`, w.tls(), udp, carrier))

	for _, c := range []struct {
		tool string
		args []string
		bad  []string
	}{
		{"svmap", []string{"-p", "5060"}, []string{"SIP Device", w.public.String() + ":"}},
		{"svwar", []string{"-e", "1001-1009,2001-2009", "-m", "REGISTER", "--force", "--maximumtime", "1"}, []string{"reqauth", "noauth", "Authentication"}},
		{"svwar", []string{"-e", "1001-1009,2001-2009", "-m", "INVITE", "--force", "--maximumtime", "1"}, []string{"reqauth", "noauth", "Authentication"}},
		{"svwar", []string{"-e", "1001-1009,2001-2009", "-m", "OPTIONS", "--force", "--maximumtime", "1"}, []string{"reqauth", "noauth", "Authentication"}},
		{"svcrack", []string{"-u", "1001", "-d", "-", "--maximumtime", "1"}, []string{"pw1001", "Password"}},
	} {
		from := w.net.Addr(t)
		args := append([]string{"-b", from.String()}, c.args...)
		if i := slices.Index(args, "-"); i > 0 {
			args[i] = words(t, "wrong", "pw1001")
		}
		out := w.vicious(c.tool, append(args, w.public.String())...)
		for _, bad := range c.bad {
			if strings.Contains(found(out), bad) {
				t.Errorf("%s %v found something:\n%s", c.tool, c.args, out)
			}
		}
		w.seen("plaintext-refused", from, netip.MustParseAddr("127.0.0.1")) // some of them bind to what they like
	}
	if strings.Contains(pbx.Log(), "registered") {
		t.Error("somebody registered")
	}
}

// found is what a tool printed beside its own words on itself.
func found(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "INFO:") && !strings.Contains(line, "WARNING:") && !strings.Contains(line, "ERROR:") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func words(tb testing.TB, list ...string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "words")
	if err := os.WriteFile(file, []byte(strings.Join(list, "\n")+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

// bridge carries SIPVicious, which speaks UDP only, over TLS to the gateway, and
// hides its name where it is told to.
type bridge struct {
	addr     netip.AddrPort
	from     netip.Addr // as the gateway sees it
	requests atomic.Int64
}

func (w *world) bridge(hidden bool) *bridge {
	w.tb.Helper()
	b := &bridge{addr: netip.AddrPortFrom(w.net.Addr(w.tb), 5060), from: w.net.Addr(w.tb)}
	near, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(b.addr))
	if err != nil {
		w.tb.Fatal(err)
	}
	conf := w.trust()
	var mu sync.Mutex
	var far net.Conn
	w.tb.Cleanup(func() {
		near.Close()
		mu.Lock()
		defer mu.Unlock()
		if far != nil {
			far.Close()
		}
	})
	agent := regexp.MustCompile(`(?m)^User-Agent: .*\r$`)
	go func() {
		buf := make([]byte, 65536)
		for {
			n, tool, err := near.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			m := bytes.ReplaceAll(buf[:n], []byte("SIP/2.0/UDP"), []byte("SIP/2.0/TLS"))
			if hidden {
				m = agent.ReplaceAll(m, []byte("User-Agent: Yealink SIP-T46S 66.86.0.15\r"))
			}
			b.requests.Add(1)
			mu.Lock()
			for range 2 { // the gateway may have closed the last one
				if far == nil {
					d := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: b.from.AsSlice()}, Timeout: 5 * time.Second}, Config: conf}
					c, err := d.DialContext(w.tb.Context(), "tcp", w.tls().String())
					if err != nil {
						break
					}
					far = c
					go answers(c, near, tool)
				}
				if _, err := far.Write(m); err == nil {
					break
				}
				far.Close()
				far = nil
			}
			mu.Unlock()
		}
	}()
	return b
}

// answers takes messages out of a stream, one datagram each.
func answers(c net.Conn, near *net.UDPConn, tool netip.AddrPort) {
	r := bufio.NewReader(c)
	for {
		first, err := r.ReadString('\n')
		if err != nil {
			return
		}
		h, err := textproto.NewReader(r).ReadMIMEHeader()
		if err != nil {
			return
		}
		size, _ := strconv.Atoi(h.Get("Content-Length"))
		body := make([]byte, size)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		var m bytes.Buffer
		m.WriteString(first)
		for name, values := range h {
			switch name {
			case "Call-Id":
				name = "Call-ID"
			case "Cseq":
				name = "CSeq"
			case "Www-Authenticate":
				name = "WWW-Authenticate"
			}
			for _, v := range values {
				fmt.Fprintf(&m, "%s: %s\r\n", name, strings.ReplaceAll(v, "SIP/2.0/TLS", "SIP/2.0/UDP"))
			}
		}
		m.WriteString("\r\n")
		m.Write(body)
		near.WriteToUDPAddrPort(m.Bytes(), tool)
	}
}

// extensions that svwar lists, with what it says of each.
func extensions(out string) map[string]string {
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^[|│]\s*(\d{3,5})\s*[|│]\s*(\w+)`).FindAllStringSubmatch(out, -1) {
		all[m[1]] = m[2]
	}
	return all
}

// The same tools over TLS, against a PBX that says 404 for users that are not
// there.
func TestSIPViciousOverTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pbx := w.pbx(peers.PBX{Unknown: 404})
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, pbx.Addr), "")
	w.registered(peers.Phone{User: "1009"}).Stop() // the PBX is known by one that it challenges

	t.Run("under its own name", func(t *testing.T) {
		for _, c := range [][]string{{"svmap"}, {"svwar", "-e", "1001-1009,2001-2009", "--force", "--maximumtime", "1", "--domain", peers.Domain},
			{"svcrack", "-u", "1001", "-d", words(t, "wrong", "pw1001"), "--maximumtime", "1", "--domain", peers.Domain}} {
			b := w.bridge(false)
			out := w.vicious(c[0], append(append([]string{"-p", "5060"}, c[1:]...), b.addr.Addr().String())...)
			if got := found(out); strings.Contains(got, "1001") || strings.Contains(got, "2001") || strings.Contains(got, b.addr.Addr().String()) {
				t.Errorf("%v found something:\n%s", c, out)
			}
			w.seen("scanner", b.from)
		}
	})

	t.Run("svwar under a telephone's name", func(t *testing.T) {
		for _, method := range []string{"REGISTER", "INVITE", "OPTIONS"} {
			b := w.bridge(true)
			out := w.vicious("svwar", "-p", "5060", "-e", "1001-1008,2001-2008", "-m", method, "--force", "--maximumtime", "1", "--domain", peers.Domain, b.addr.Addr().String())
			got := extensions(out)
			for i := 1; i <= 8; i++ {
				there, nobody := fmt.Sprint(1000+i), fmt.Sprint(2000+i)
				if got[there] != got[nobody] {
					t.Errorf("%s: %s is %q, %s is %q:\n%s", method, there, got[there], nobody, got[nobody], out)
				}
			}
			t.Logf("%s: %d requests, it lists %d", method, b.requests.Load(), len(got))
		}
	})

	// What it would find where nobody stands between: the test can fail.
	t.Run("svwar at the PBX itself", func(t *testing.T) {
		out := w.vicious("svwar", "-p", "5060", "-e", "1001-1008,2001-2008", "--force", "--maximumtime", "1", "--domain", peers.Domain, pbx.Addr.Addr().String())
		if got := extensions(out); got["1001"] != "reqauth" || got["1008"] != "reqauth" || got["2001"] != "" {
			t.Errorf("it lists %v:\n%s", got, out)
		}
	})

	t.Run("one extension after the other", func(t *testing.T) {
		b := w.bridge(true)
		c, err := net.Dial("udp", b.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		n := 0
		peers.Eventually(t, soon, "an alert about enumeration", func() bool {
			n++
			fmt.Fprintf(c, "REGISTER sip:%[1]s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKe%[2]d\r\nMax-Forwards: 70\r\n"+
				"From: <sip:%[2]d@%[1]s>;tag=%[2]d\r\nTo: <sip:%[2]d@%[1]s>\r\nCall-ID: e%[2]d\r\nCSeq: 1 REGISTER\r\nContact: <sip:%[2]d@127.0.0.1>\r\n"+
				"User-Agent: x\r\nContent-Length: 0\r\n\r\n", peers.Domain, 3000+n)
			return len(w.lines("alerts.jsonl", "event.action", "enumeration", "source.ip", b.from.String())) > 0
		})
		t.Logf("told after %d requests", n)
	})

	t.Run("svcrack under a telephone's name", func(t *testing.T) {
		list := make([]string, 40)
		for i := range list {
			list[i] = fmt.Sprint("wrong", i)
		}
		b := w.bridge(true)
		out := w.vicious("svcrack", "-p", "5060", "-u", "1001", "-d", words(t, append(list, "pw1001")...), "-t", "0.02", "--maximumtime", "1", "--domain", peers.Domain, b.addr.Addr().String())
		if strings.Contains(out, "pw1001") {
			t.Errorf("it found the password:\n%s", out)
		}
		w.seen("registration-bruteforce", b.from)
		if len(w.lines("events.jsonl", "event", "finding", "action", "registration-bruteforce", "source", b.from.String())) == 0 {
			t.Error("the finding is not in the event stream")
		}
		t.Logf("%d requests\n%s", b.requests.Load(), out)
	})
	// The user whose password was guessed registers as ever.
	w.registered(peers.Phone{User: "1001"})
}
