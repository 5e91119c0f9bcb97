package main

import (
	"bytes"
	"context"
	cryptotls "crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/internal/plain"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// mark stands in every hostile text, so that the test sees where it came out.
const mark = "Hx9z"

// hostileTexts are what a caller may write to move a terminal, end a line, hide
// or forge an entry, or run in somebody's browser.
var hostileTexts = map[string]string{
	"nothing":     "",
	"escape":      "\x1b[2J\x1b[31m",
	"title":       "\x1b]0;owned\x07",
	"C1":          "\u009b31m\u0085",
	"NUL":         "\x00",
	"backspace":   "\b\b\x7f",
	"tab":         "\ta",
	"escaped CR":  "%0d%0aX-Forged:%201%00%1b",
	"folded":      "\r\n X-Folded: 1",
	"bare LF":     "\n{\"forged\": true}",
	"bare CR":     "\rforged",
	"bidi":        "\u202e\u2066gnp.exe\u2069",
	"separators":  "\u2028\u2029\u00a0\u200b\ufeff\U000e0001",
	"not UTF-8":   "\xff\xfe\xc3(\xed\xa0\x80",
	"quotes":      `\"'\` + "`",
	"JSON":        `","forged":"1`,
	"markup":      "<script>alert(1)</script>&amp;<!--",
	"templates":   "{{.}}${jndi:ldap://x/}$(id)%s%n",
	"very long":   strings.Repeat("A", 3000),
	"long, moves": strings.Repeat("\x1b[1A", 300),
}

// hostileFields put a text where a caller can write one.
var hostileFields = map[string]func(m *siptest.Message, text string){
	"From's name":    func(m *siptest.Message, x string) { m.Set("From", `"`+x+`" `+m.Get("From")) },
	"From's user":    func(m *siptest.Message, x string) { m.Set("From", strings.Replace(m.Get("From"), "sip:", "sip:"+x, 1)) },
	"From's tag":     func(m *siptest.Message, x string) { m.Set("From", m.Get("From")+x) },
	"To's name":      func(m *siptest.Message, x string) { m.Set("To", `"`+x+`" `+m.Get("To")) },
	"To's user":      func(m *siptest.Message, x string) { m.Set("To", strings.Replace(m.Get("To"), "sip:", "sip:"+x, 1)) },
	"Request-URI":    func(m *siptest.Message, x string) { m.URI = strings.Replace(m.URI, "sip:", "sip:"+x, 1) },
	"method":         func(m *siptest.Message, x string) { m.Method += x },
	"User-Agent":     func(m *siptest.Message, x string) { m.Set("User-Agent", x) },
	"Call-ID":        func(m *siptest.Message, x string) { m.Set("Call-ID", m.Get("Call-ID")+x) },
	"Contact's name": func(m *siptest.Message, x string) { m.Set("Contact", `"`+x+`" `+m.Get("Contact")) },
	"Contact's user": func(m *siptest.Message, x string) {
		m.Set("Contact", strings.Replace(m.Get("Contact"), "sip:", "sip:"+x, 1))
	},
	"Subject":          func(m *siptest.Message, x string) { m.Set("Subject", x) },
	"Reason":           func(m *siptest.Message, x string) { m.Set("Reason", `SIP;cause=480;text="`+x+`"`) },
	"Diversion":        func(m *siptest.Message, x string) { m.Set("Diversion", `"`+x+`" <sip:`+x+`@example.com>;reason=`+x) },
	"P-Asserted":       func(m *siptest.Message, x string) { m.Set("P-Asserted-Identity", `"`+x+`" <sip:`+x+`@example.com>`) },
	"Via":              func(m *siptest.Message, x string) { m.Set("Via", m.Get("Via")+";x="+x) },
	"a field's name":   func(m *siptest.Message, x string) { m.Set("X-"+x, "1") },
	"a field's value":  func(m *siptest.Message, x string) { m.Set("X-Any", x) },
	"Content-Type":     func(m *siptest.Message, x string) { m.Set("Content-Type", "application/"+x) },
	"session's name":   func(m *siptest.Message, x string) { m.Body = bytes.Replace(m.Body, []byte("s=-"), []byte("s="+x), 1) },
	"session's origin": func(m *siptest.Message, x string) { m.Body = bytes.Replace(m.Body, []byte("o=-"), []byte("o="+x), 1) },
	"credentials": func(m *siptest.Message, x string) {
		m.Set("Authorization", `Digest username="`+x+`", realm="`+x+`", nonce="`+x+`", uri="sip:x", response="00000000000000000000000000000000"`)
	},
}

// hostileEnds: a PBX that answers with hostile texts, and a carrier.
type hostileEnds struct {
	s     *site
	pbx   *net.UDPConn
	peer  *net.UDPConn
	mu    sync.Mutex
	n     int
	heard map[string]int // codes that the carrier got
	up    chan struct{}  // a call was answered
}

func (h *hostileEnds) text(name string) string { return mark + hostileTexts[name] + mark }

func (h *hostileEnds) bind(host int) *net.UDPConn {
	h.s.t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(fmt.Sprintf("127.91.%d.%d:5060", h.s.net, host))))
	if err != nil {
		h.s.t.Fatal(err)
	}
	h.s.t.Cleanup(func() { c.Close() })
	return c
}

func (h *hostileEnds) serve(c *net.UDPConn, got func(m *siptest.Message) []byte) {
	b := make([]byte, 65536)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if m, _, err := siptest.Parse(b[:n], true); err == nil {
			if out := got(m); out != nil {
				c.WriteToUDPAddrPort(out, from)
			}
		}
	}
}

// answer is the PBX: each refusal has a text of its own in all its fields.
func (h *hostileEnds) answer(m *siptest.Message) []byte {
	if m.Method == "" || m.Method == "ACK" {
		return nil
	}
	h.mu.Lock()
	h.n++
	n := h.n
	h.mu.Unlock()
	r := &siptest.Message{Code: 603, Reason: mark}
	for _, v := range m.All("Via") {
		r.Add("Via", v)
	}
	for _, name := range []string{"From", "To", "Call-ID", "CSeq"} {
		r.Add(name, m.Get(name))
	}
	if siptest.Param(m.Get("To"), "tag") == "" {
		r.Set("To", m.Get("To")+";tag=t")
	}
	i := 0
	for name := range hostileTexts {
		if i++; i == 1+n%len(hostileTexts) {
			x := h.text(name)
			r.Reason = x
			for _, f := range []string{"Server", "Subject"} {
				r.Add(f, x)
			}
			r.Add("Reason", `Q.850;cause=21;text="`+x+`"`)
			r.Add("Warning", `399 pbx "`+x+`"`)
		}
	}
	switch {
	case m.Method == "REGISTER":
		r.Code = 200
		r.Add("Contact", "<"+siptest.URIOf(m.Get("Contact"))+">;expires=600")
	case m.Method == "INVITE" && strings.Contains(m.URI, "33199000600"):
		r.Code = 200
		at := fmt.Sprintf("127.91.%d.3", h.s.net)
		r.Add("Contact", "<sip:"+mark+"@"+at+">")
		r.Add("Content-Type", "application/sdp")
		r.Body = []byte("v=0\r\no=- 1 1 IN IP4 " + at + "\r\ns=" + mark + "\r\nc=IN IP4 " + at + "\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n")
	case m.Method == "BYE" || m.Method == "CANCEL":
		r.Code = 200
	}
	return r.Bytes()
}

// message is one of the carrier's, or of a stranger.
func (h *hostileEnds) message(method, to, via string, n int) *siptest.Message {
	gw := fmt.Sprintf("127.91.%d.1", h.s.net)
	at := fmt.Sprintf("127.91.%d.60", h.s.net)
	m := &siptest.Message{Method: method, URI: "sip:" + to + "@" + gw}
	for _, f := range [][2]string{{"Via", "SIP/2.0/" + via + " " + at + ":5060;rport;branch=z9hG4bK" + fmt.Sprint("h", n)}, {"Max-Forwards", "70"},
		{"From", fmt.Sprintf("<sip:+33199001234@%s>;tag=f%d", at, n)}, {"To", "<sip:" + to + "@" + gw + ">"}, {"Call-ID", fmt.Sprint("hostile", n)},
		{"CSeq", "1 " + method}, {"Contact", "<sip:raw@" + at + ":5060>"}, {"User-Agent", "x"}} {
		m.Add(f[0], f[1])
	}
	if method == "INVITE" {
		m.Add("Content-Type", "application/sdp")
		m.Body = []byte("v=0\r\no=- 1 1 IN IP4 " + at + "\r\ns=-\r\nc=IN IP4 " + at + "\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n")
	}
	return m
}

// both writes a log as text and as JSON, as `rampart run` does.
type both struct{ text, json slog.Handler }

func (b both) Enabled(context.Context, slog.Level) bool { return true }
func (b both) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(b.text.Handle(ctx, r), b.json.Handle(ctx, r))
}
func (b both) WithAttrs(as []slog.Attr) slog.Handler {
	return both{b.text.WithAttrs(as), b.json.WithAttrs(as)}
}
func (b both) WithGroup(n string) slog.Handler { return both{b.text.WithGroup(n), b.json.WithGroup(n)} }

// TestHostileAlphabet: whatever a caller, a PBX or a carrier writes, in whatever
// field, every file, log line, page and command shows it as harmless text: no
// control, no character that turns the direction, no line that is not ours.
func TestHostileAlphabet(t *testing.T) {
	t.Parallel()
	s := &site{t: t, dir: t.TempDir(), net: 81}
	s.write("rampart.yaml", strings.NewReplacer("admin: {listen: off}", `admin: {listen: "127.91.81.8:18181"}`, "listen: {tls:", `listen: {udp: ["127.91.81.1:5060"], tls:`, "ports: 21000-21199", "ports: 21000-21199, inactivity: 10m").Replace(s.config(`admin: {listen: off}
cdr: [{file: state/cdr.jsonl}]
events: [{file: state/events.jsonl}]
alerts: [{file: state/alerts.jsonl}]
peers:
  - {name: carrier, identify: {ip: [127.91.81.60/32]}, uri: "sip:127.91.81.60;transport=udp", allow_plaintext: true, srtp: off, identity: {trust: true, present: pai}}
policy: {use: [base, scanners], files: ["policy/*.yaml"]}
`)))
	s.write("policy/a.yaml", `version: 1
countries: {default: allow}
rules:
  - {id: site/told, on: any, then: flag, why: "{request.user_agent} {request.uri} {call.from.user}"}
`)
	var jsonLog journal
	cfg, ps := config.Load(filepath.Join(s.dir, "rampart.yaml"), config.ThisHost())
	if cfg == nil {
		t.Fatal(ps)
	}
	debug := &slog.HandlerOptions{Level: slog.LevelDebug}
	g, err := startGateway(cfg, slog.New(plain.NewHandler(both{slog.NewTextHandler(&s.log, debug), slog.NewJSONHandler(plain.Writer(&jsonLog), debug)}, plain.Options{Burst: 1000})))
	if err != nil {
		t.Fatal(err)
	}
	s.g = g
	t.Cleanup(func() { s.g.close(time.Second) })
	h := &hostileEnds{s: s, heard: map[string]int{}, up: make(chan struct{}, 1)}
	h.pbx, h.peer = h.bind(3), h.bind(60)
	go h.serve(h.pbx, h.answer)
	gw := netip.MustParseAddrPort("127.91.81.1:5060")
	up := h.message("INVITE", "+33199000600", "UDP", 0)
	up.Set("From", `"`+mark+"\u202e\u009b%0a<script>"+`" `+up.Get("From"))
	up.Set("User-Agent", h.text("bidi"))
	go h.serve(h.peer, func(m *siptest.Message) []byte {
		if m.Code == 200 && m.Get("Call-ID") == "hostile0" {
			ack := h.message("ACK", "+33199000600", "UDP", 1)
			ack.URI = siptest.URIOf(m.Get("Contact"))
			for _, f := range []string{"From", "To", "Call-ID"} {
				ack.Set(f, m.Get(f))
			}
			select {
			case h.up <- struct{}{}:
			default:
			}
			return ack.Bytes()
		}
		return nil
	})
	h.peer.WriteToUDPAddrPort(up.Bytes(), gw)
	select {
	case <-h.up:
	case <-time.After(20 * time.Second):
		t.Fatalf("no call is up\n%s", s.log.all())
	}
	n := 100
	for field, put := range hostileFields {
		for name := range hostileTexts {
			for _, method := range []string{"INVITE", "MESSAGE", "REGISTER"} {
				n++
				m := h.message(method, "+33199001001", "UDP", n)
				put(m, h.text(name))
				if _, err := h.peer.WriteToUDPAddrPort(m.Bytes(), gw); err != nil && !strings.Contains(err.Error(), "message too long") {
					t.Fatal(field, name, err)
				}
			}
		}
	}
	h.strangers()
	api := "http://" + s.g.admin.Addr().String()
	body, _ := json.Marshal(map[string]string{"register_user": h.text("bidi"), "user": "", "why": h.text("escape")})
	s.ask("POST", "/api/v1/bans", string(body), "Content-Type", "application/json")
	eventually(t, "hostile texts in every file", func() bool {
		for _, name := range []string{"cdr.jsonl", "events.jsonl", "alerts.jsonl"} {
			if b, _ := os.ReadFile(filepath.Join(s.dir, "state", name)); !bytes.Contains(b, []byte(mark)) {
				return false
			}
		}
		return true
	})

	// Everything that prints, while the call is up.
	conf := filepath.Join(s.dir, "rampart.yaml")
	ids := []string{"hostile0"}
	for _, args := range [][]string{{"calls", "list"}, {"calls", "list", "--json"}, {"calls", "show", ids[0]}, {"calls", "show", ids[0], "--json"},
		{"calls", "explain", ids[0]}, {"calls", "explain", ids[0], "--json"}, {"calls", "explain", "hostile" + fmt.Sprint(n)}, {"bans", "list"}, {"bans", "list", "--json"}} {
		code, stdout, stderr := rampart(append(args, "-c", conf)...)
		showsOnly(t, strings.Join(args, " "), []byte(stdout+stderr))
		if code != 0 && len(args) > 2 && args[2] == ids[0] {
			t.Errorf("%v: %d %s", args, code, stderr)
		}
		if args[1] == "list" && len(args) == 2 && args[0] == "calls" && !regexp.MustCompile(`^ID .*\n([0-9a-f]{24}  .*\n)+$`).MatchString(stdout) {
			t.Errorf("calls list: a call is not one line:\n%q", stdout)
		}
	}
	if _, out, _ := rampart("calls", "explain", "hostile0", "-c", conf); !strings.Contains(out, mark) {
		t.Errorf("calls explain shows nothing of the caller's: %s", out)
	}
	for name := range hostileTexts {
		if name == "NUL" || name == "tab" {
			continue // no argument can hold the one, and who types the other sees it
		}
		x := h.text(name)
		for _, args := range [][]string{{"policy", "explain", "--from", "1001", "--to", x, "--user-agent", x, "--header", "X-A: " + x, "--user", x, "--diverted", x}, {"policy", "explain", "--from", x, "--to", x, "--json"},
			{"bans", "add", x}, {"bans", "remove", "--user", x}, {"bans", "add", "--register-user", x, "--why", x}, {"calls", "show", x}, {"calls", "explain", x}, {"calls", "explain", x, "--cdr", filepath.Join(s.dir, "state/cdr.jsonl")}} {
			_, stdout, stderr := rampart(append(args, "-c", conf)...)
			showsOnly(t, strings.Join(args[:2], " ")+" with "+name, []byte(stdout+stderr))
		}
	}
	_, list, _ := rampart("bans", "list", "-c", conf)
	showsOnly(t, "bans list", []byte(list))
	if !strings.Contains(list, mark) {
		t.Errorf("no ban has a hostile text: %s", list)
	}
	for _, path := range []string{"/api/v1/calls", "/api/v1/bans", "/api/v1/peers", "/api/v1/policy", "/api/v1/policy/history", "/api/v1/registrations", "/api/v1/calls/hostile0/explain", "/api/v1/" + mark + "%1b%0a%E2%80%AE", "/metrics", "/healthz", "/readyz", "/"} {
		r, err := http.Get(api + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		showsOnly(t, path, b)
		if kind := r.Header.Get("Content-Type"); strings.Contains(kind, "html") && bytes.Contains(b, []byte("<script>alert")) || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s", path, kind)
		}
		if path == "/metrics" {
			for line := range strings.Lines(string(b)) {
				if strings.Contains(line, mark) || !regexp.MustCompile(`^(# (HELP|TYPE) |[a-z_]+(\{[^}]*\})? [0-9.eE+-]+\n)`).MatchString(line) {
					t.Errorf("metrics: %q", line)
				}
			}
		}
	}
	s.g.close(time.Second)
	told := map[string][]byte{"the log as JSON": []byte(jsonLog.all())}
	for _, name := range []string{"cdr.jsonl", "events.jsonl", "alerts.jsonl"} {
		b, err := os.ReadFile(filepath.Join(s.dir, "state", name))
		if err != nil {
			t.Fatal(err)
		}
		told[name] = b
	}
	for name, b := range told {
		showsOnly(t, name, b)
		for line := range bytes.Lines(b) {
			var v map[string]any
			if err := json.Unmarshal(line, &v); err != nil || v["forged"] != nil {
				t.Errorf("%s: not a line of ours (%v): %.300q", name, err, line)
			}
			if name != "the log as JSON" { // what a reader decodes is shown on a screen, too
				texts(v, func(x string) { showsOnly(t, name+", decoded", []byte(x)) })
			}
			if len(line) > 48<<10 {
				t.Errorf("%s: a line of %d bytes", name, len(line))
			}
		}
	}
	text := s.log.all()
	showsOnly(t, "the log", []byte(text))
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("the log has a line that is not ours: %q", line)
		}
	}
}

// strangers: what nobody knows, over TLS, each text on a connection of its own
// as most of them end it.
func (h *hostileEnds) strangers() {
	h.s.t.Helper()
	roots := h.s.office(50).roots
	n := 100_000
	var all sync.WaitGroup
	for i, field := range []string{"From's name", "To's user", "Call-ID", "User-Agent", "method", "credentials"} {
		for name := range hostileTexts {
			n++
			m := h.message("REGISTER", "1001", "TLS", n)
			hostileFields[field](m, h.text(name))
			all.Go(func() {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf("127.91.%d.%d", h.s.net, 50+i))}}
				c, err := cryptotls.DialWithDialer(&d, "tcp", fmt.Sprintf("127.91.%d.1:5061", h.s.net), &cryptotls.Config{RootCAs: roots, ServerName: "sip.example.com"})
				if err != nil {
					return // it is banned by now, or one too many
				}
				defer c.Close()
				c.Write(m.Bytes())
				c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				io.Copy(io.Discard, c)
			})
		}
		all.Wait()
	}
}

// texts gives every string of a decoded value.
func texts(v any, each func(string)) {
	switch x := v.(type) {
	case string:
		each(x)
	case []any:
		for _, e := range x {
			texts(e, each)
		}
	case map[string]any:
		for k, e := range x {
			each(k)
			texts(e, each)
		}
	}
}

// showsOnly fails when a terminal would do more than show it.
func showsOnly(t *testing.T, where string, b []byte) {
	t.Helper()
	if !utf8.Valid(b) {
		t.Errorf("%s: invalid UTF-8: %.300q", where, b)
	}
	for i, r := range string(b) {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%s: %U stands raw in %.100q", where, r, b[max(0, i-40):])
			return
		}
	}
}
