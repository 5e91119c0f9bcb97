package integration_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// SIPVicious, as anybody may download it: it finds nothing, is seen by its first
// requests, and cannot tell an extension that exists from one that does not.

// vicious runs one of its tools to its end and gives what it printed; where there
// is something to wait for it does not wait for the end. The tools take seconds
// to give up.
func vicious(tb testing.TB, until func(), tool string, args ...string) string {
	tb.Helper()
	dir := tb.TempDir()
	p := peers.Start(tb, peers.Command{Name: tool, Path: tool, Args: args, Dir: dir, Env: []string{"HOME=" + dir, "COLUMNS=200"}})
	if until != nil {
		until()
		p.Stop()
	} else {
		p.Wait(60 * time.Second)
	}
	return p.Log()
}

// seen waits for an alert about one of the sources.
func (w *world) seen(tb testing.TB, action string, sources ...netip.Addr) {
	tb.Helper()
	peers.Eventually(tb, soon, fmt.Sprint("an alert ", action, " about ", sources), func() bool {
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
		t.Run(strings.Join(append([]string{c.tool}, c.args...), " "), func(t *testing.T) {
			t.Parallel()
			from := w.net.Addr(t)
			args := append([]string{"-b", from.String()}, c.args...)
			if i := slices.Index(args, "-"); i > 0 {
				args[i] = words(t, "wrong", "pw1001")
			}
			out := vicious(t, nil, c.tool, append(args, w.public.String())...)
			w.seen(t, "plaintext-refused", from, netip.MustParseAddr("127.0.0.1")) // some of them bind to what they like
			for _, bad := range c.bad {
				if strings.Contains(found(out), bad) {
					t.Errorf("it found something:\n%s", out)
				}
			}
		})
	}
	t.Cleanup(func() { // when all of them have ended
		if strings.Contains(pbx.Log(), "registered") {
			t.Error("somebody registered")
		}
	})
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

// early is how many requests of a tool reach the gateway: by then it has to be
// found out.
const early = 20

// bridge carries SIPVicious, which speaks UDP only, over TLS to the gateway, one
// request after the other, and no more than early. It hides the tool's name
// where it is told to, and all answers but the first from it: it would end by
// itself at the first one that it does not expect.
type bridge struct {
	addr     netip.AddrPort
	from     netip.Addr // as the gateway sees it
	requests atomic.Int64
	hidden   bool
	mute     bool
	conf     *tls.Config
	to       netip.AddrPort
	near     *net.UDPConn
}

func (w *world) bridge(tb testing.TB, hidden, mute bool) *bridge {
	tb.Helper()
	b := &bridge{addr: netip.AddrPortFrom(w.net.Addr(tb), 5060), from: w.net.Addr(tb), hidden: hidden, mute: mute, conf: w.trust(), to: w.tls()}
	var err error
	if b.near, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(b.addr)); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	tb.Cleanup(func() { b.near.Close(); <-ended })
	go func() {
		defer close(ended)
		b.run()
	}()
	return b
}

var agent = regexp.MustCompile(`(?m)^User-Agent: .*\r$`)

func (b *bridge) run() {
	var far net.Conn
	var r *bufio.Reader
	buf := make([]byte, 65536)
	hangUp := func() {
		if far != nil {
			far.Close()
			far = nil
		}
	}
	defer hangUp()
	for {
		n, tool, err := b.near.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if bytes.HasPrefix(buf[:n], []byte("ACK ")) || b.requests.Load() >= early {
			continue
		}
		m := bytes.ReplaceAll(buf[:n], []byte("SIP/2.0/UDP"), []byte("SIP/2.0/TLS"))
		if b.hidden {
			m = agent.ReplaceAll(m, []byte("User-Agent: Yealink SIP-T46S 66.86.0.15\r"))
		}
		b.requests.Add(1)
		if far == nil {
			d := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: b.from.AsSlice()}, Timeout: 5 * time.Second}, Config: b.conf}
			if far, err = d.Dial("tcp", b.to.String()); err != nil {
				far = nil // it is banned
				continue
			}
			r = bufio.NewReader(far)
		}
		far.SetDeadline(time.Now().Add(soon))
		far.Write(m)
		back, err := answerOf(r)
		switch {
		case err != nil:
			hangUp()
			continue
		case !b.mute || b.requests.Load() == 1:
			b.near.WriteToUDPAddrPort(back, tool)
		}
		if !bytes.HasPrefix(m, []byte("REGISTER ")) {
			hangUp() // strangers get one answer on each connection
		}
	}
}

// answerOf takes the next final answer out of a stream.
func answerOf(r *bufio.Reader) ([]byte, error) {
	for {
		first, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		m := bytes.NewBufferString(first)
		size := 0
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return nil, err
			}
			m.WriteString(strings.ReplaceAll(line, "SIP/2.0/TLS", "SIP/2.0/UDP"))
			if name, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "Content-Length") {
				size, _ = strconv.Atoi(strings.TrimSpace(v))
			}
			if line == "\r\n" {
				break
			}
		}
		if _, err := io.CopyN(m, r, int64(size)); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(first, "SIP/2.0 1") {
			return m.Bytes(), nil
		}
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
// there. Of each no more than twenty requests reach the gateway.
func TestSIPViciousOverTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pbx := w.pbx(peers.PBX{Unknown: 404})
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, pbx.Addr), "")
	w.registered(peers.Phone{User: "1009"}).Stop() // the PBX is known by one that it challenges
	t.Run("tools", func(t *testing.T) { w.tools(t, pbx) })
	// The user whose password was guessed registers as ever.
	w.registered(peers.Phone{User: "1001"})
}

func (w *world) tools(t *testing.T, pbx *peers.Kamailio) {
	domain := []string{"--maximumtime", "30", "--domain", peers.Domain}
	war := func(extensions, method string) []string {
		return append([]string{"svwar", "-p", "5060", "-e", extensions, "-m", method, "--force"}, domain...)
	}
	const pairs = "1001-1008,2001-2008,3001-3010" // the first are there, the others not

	for _, c := range [][]string{{"svmap", "-p", "5060"}, war("1001-1009,2001-2009", "REGISTER"), war("1001-1009,2001-2009", "INVITE"), war("1001-1009,2001-2009", "OPTIONS"),
		append([]string{"svcrack", "-p", "5060", "-u", "1001", "-d", words(t, "wrong", "pw1001")}, domain...)} {
		t.Run(strings.Join(c[:min(len(c), 7)], " ")+", under its own name", func(t *testing.T) {
			t.Parallel()
			b := w.bridge(t, false, false)
			seen := func() { w.seen(t, "enumeration", b.from) }
			until := seen
			if c[0] == "svmap" || slices.Contains(c, "REGISTER") {
				until = nil
			}
			out := vicious(t, until, c[0], append(c[1:], b.addr.Addr().String())...)
			seen()
			if got := found(out); strings.Contains(got, "1001") || strings.Contains(got, "2001") || strings.Contains(got, b.addr.Addr().String()) {
				t.Errorf("it found something:\n%s", out)
			}
		})
	}
	for _, method := range []string{"REGISTER", "INVITE", "OPTIONS"} {
		t.Run("svwar "+method+", under a telephone's name", func(t *testing.T) {
			t.Parallel()
			b := w.bridge(t, true, false)
			c := war(pairs, method)
			out := vicious(t, nil, c[0], append(c[1:], b.addr.Addr().String())...)
			got := extensions(out)
			for i := 1; i <= 8; i++ {
				there, nobody := fmt.Sprint(1000+i), fmt.Sprint(2000+i)
				if got[there] != got[nobody] {
					t.Errorf("%s is %q, %s is %q:\n%s", there, got[there], nobody, got[nobody], out)
				}
			}
		})
		t.Run("svwar "+method+", under a telephone's name and not to be stopped", func(t *testing.T) {
			t.Parallel()
			b := w.bridge(t, true, true)
			c := war(pairs, method)
			vicious(t, func() { w.seen(t, "enumeration", b.from) }, c[0], append(c[1:], b.addr.Addr().String())...)
			if n := b.requests.Load(); n > early {
				t.Errorf("after %d requests", n)
			}
		})
	}
	// What it would find where nobody stands between: the test can fail.
	t.Run("svwar at the PBX itself", func(t *testing.T) {
		t.Parallel()
		c := war(pairs, "REGISTER")
		out := vicious(t, nil, c[0], append(c[1:], pbx.Addr.Addr().String())...)
		if got := extensions(out); got["1001"] != "reqauth" || got["1008"] != "reqauth" || got["2001"] != "" {
			t.Errorf("it lists %v:\n%s", got, out)
		}
	})
	t.Run("svcrack, under a telephone's name", func(t *testing.T) {
		t.Parallel()
		list := make([]string, early)
		for i := range list {
			list[i] = fmt.Sprint("wrong", i)
		}
		b := w.bridge(t, true, false)
		out := vicious(t, func() { w.seen(t, "registration-bruteforce", b.from) }, "svcrack",
			append(append([]string{"-p", "5060", "-u", "1001", "-d", words(t, append(list, "pw1001")...), "-t", "0.02"}, domain...), b.addr.Addr().String())...)
		if strings.Contains(out, "pw1001") {
			t.Errorf("it found the password:\n%s", out)
		}
		peers.Eventually(t, soon, "the finding in the event stream", func() bool {
			return len(w.lines("events.jsonl", "event", "finding", "action", "registration-bruteforce", "source", b.from.String())) > 0
		})
	})
}

// A scanner of nobody's making, over TCP and TLS: it hears the same of those who
// are there and those who are not, to the byte but for what is drawn anew each
// time, and is found out by its twentieth request.
func TestScannerOverStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pbx := w.pbx(peers.PBX{Unknown: 404})
	tcp := netip.AddrPortFrom(w.public, 5060)
	w.start(fmt.Sprintf(`"sip:%s;transport=udp"`, pbx.Addr), fmt.Sprintf("listen: {tls: [%q], tcp: [%q]}\n", w.tls(), tcp))
	w.registered(peers.Phone{User: "1009"}).Stop()
	for name, open := range map[string]func(net.Dialer) (net.Conn, error){
		"TLS": func(d net.Dialer) (net.Conn, error) {
			return (&tls.Dialer{NetDialer: &d, Config: w.trust()}).DialContext(t.Context(), "tcp", w.tls().String())
		},
		"TCP": func(d net.Dialer) (net.Conn, error) { return d.DialContext(t.Context(), "tcp", tcp.String()) },
	} {
		s := scanner{w: w, open: open, transport: name}
		for _, method := range []string{"REGISTER", "REGISTER with a password", "OPTIONS", "INVITE", "SUBSCRIBE", "MESSAGE"} {
			there, nobody := s.hears(method, "1001"), s.hears(method, "2001")
			if there != nobody {
				t.Errorf("%s over %s: one that is there hears\n%s\nand one that is not\n%s", method, name, there, nobody)
			}
			if !strings.HasPrefix(there, "SIP/2.0 40") {
				t.Errorf("%s over %s: %q", method, name, there)
			}
		}
		for _, method := range []string{"REGISTER", "OPTIONS", "INVITE"} {
			s.from = w.net.Addr(t)
			for i := range early {
				s.asks(method, fmt.Sprint(3000+i))
			}
			s.hangUp()
			if name == "TLS" {
				w.seen(t, "enumeration", s.from)
			} else {
				w.seen(t, "plaintext-refused", s.from)
			}
		}
	}
}

// scanner asks one thing after the other, and connects again where it must.
type scanner struct {
	w         *world
	open      func(net.Dialer) (net.Conn, error)
	transport string
	from      netip.Addr
	n         int
	c         net.Conn
	r         *bufio.Reader
}

func (s *scanner) hangUp() {
	if s.c != nil {
		s.c.Close()
		s.c = nil
	}
}

// asks sends a request and gives the answer, nothing where there is none.
func (s *scanner) asks(method, user string) string {
	if s.c == nil {
		c, err := s.open(net.Dialer{LocalAddr: &net.TCPAddr{IP: s.from.AsSlice()}, Timeout: soon})
		if err != nil {
			return ""
		}
		s.c, s.r = c, bufio.NewReader(c)
	}
	s.n++
	s.c.SetDeadline(time.Now().Add(soon))
	m, password, _ := strings.Cut(method, " ")
	uri, more := fmt.Sprintf("sip:%s@%s", user, peers.Domain), ""
	switch m {
	case "REGISTER":
		uri, more = "sip:"+peers.Domain, "Contact: <sip:1@192.0.2.1;transport=tcp>\r\n"
	case "INVITE":
		more = "Contact: <sip:1@192.0.2.1;transport=tcp>\r\n"
	case "SUBSCRIBE":
		more = "Contact: <sip:1@192.0.2.1;transport=tcp>\r\nEvent: presence\r\n"
	}
	if password != "" {
		more += fmt.Sprintf("Authorization: Digest username=%q, realm=%q, nonce=\"0123456789abcdef\", uri=\"sip:%s\", response=\"%032x\"\r\n", user, peers.Domain, peers.Domain, 7)
	}
	fmt.Fprintf(s.c, "%s %s SIP/2.0\r\nVia: SIP/2.0/%s 192.0.2.1;branch=z9hG4bK%08d\r\nMax-Forwards: 70\r\nFrom: <sip:%s@%s>;tag=%08[4]d\r\nTo: <sip:%[5]s@%[6]s>\r\n"+
		"Call-ID: %08[4]d\r\nCSeq: 1 %[1]s\r\n%[7]sUser-Agent: Yealink SIP-T46S 66.86.0.15\r\nContent-Length: 0\r\n\r\n",
		m, uri, s.transport, s.n, user, peers.Domain, more)
	back, err := answerOf(s.r)
	if err != nil || m != "REGISTER" {
		s.hangUp()
	}
	return string(back)
}

// drawn are the parts of an answer that are drawn anew each time, or are the
// sender's own.
var drawn = regexp.MustCompile(`((?:tag|branch|nonce|received|rport)="?)([^";,\r\n]*)|(Call-ID: )(\d+)`)

// hears gives what somebody hears that was never heard of before, with what is
// drawn anew as long as it was.
func (s *scanner) hears(method, user string) string {
	s.hangUp()
	s.from = s.w.net.Addr(s.w.tb)
	back := drawn.ReplaceAllStringFunc(s.asks(method, user), func(x string) string {
		part := drawn.FindStringSubmatch(x)
		if strings.HasPrefix(x, "received") || strings.HasPrefix(x, "rport") {
			return part[1] + "…"
		}
		return part[1] + part[3] + strings.Repeat("x", len(part[2])+len(part[4]))
	})
	return strings.ReplaceAll(back, "sip:"+user+"@", "sip:user@")
}
