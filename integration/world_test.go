package integration_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// soon is how long anything may take that should happen at once. It is long
// because many tests share a small machine.
const soon = 15 * time.Second

// world is one gateway between its public side and its inside.
type world struct {
	tb             testing.TB
	net            *peers.Net
	dir            string
	public, inside netip.Addr
	hosts          map[string]netip.Addr // names that the gateway can resolve
	domain         string                // the key domain, when it is not peers.Domain
	media          string                // the key media, when it is not the usual one
	gw             *peers.Gateway
	sockets        int  // UDP sockets of the gateway without calls
	attacked       bool // media attacks are part of the test
}

// newWorld takes a block of addresses, two of them for the gateway.
func newWorld(tb testing.TB) *world {
	n := peers.NewNet(tb)
	return &world{tb: tb, net: n, dir: tb.TempDir(), public: n.Addr(tb), inside: n.Addr(tb)}
}

// config fills in what nearly all tests have in common. pbx is the value of
// the key pbx; more is added as it is.
func (w *world) config(pbx, more string) string {
	media := w.media
	if media == "" {
		media = fmt.Sprintf("media: {public: [%s], inside: [%s], ports: 20000-23999, inactivity: 20s}\n", quote(w.public), quote(w.inside))
	}
	c := fmt.Sprintf(`domain: %s
pbx: %s
home: {country: FR}
admin: {listen: %q}
alerts: [{file: alerts.jsonl}]
cdr: [{file: cdr.jsonl}]
events: [{file: events.jsonl}]
store: {path: state}
drain_timeout: 2s
`, cmp.Or(w.domain, peers.Domain), pbx, w.admin()) + media
	for _, key := range []struct{ key, line string }{
		{"listen:", fmt.Sprintf("listen: {tls: [%q]}\n", w.tls())},
		{"inside:", fmt.Sprintf("inside: {udp: [%q], tcp: [%[1]q]}\n", w.udp())},
		{"policy:", "policy: {use: [base, countries, scanners]}\n"},
	} {
		if !strings.Contains("\n"+more, "\n"+key.key) {
			c += key.line
		}
	}
	return c + more
}

func quote(a netip.Addr) string { return strconv.Quote(a.String()) }

func (w *world) tls() netip.AddrPort { return netip.AddrPortFrom(w.public, 5061) }
func (w *world) udp() netip.AddrPort { return netip.AddrPortFrom(w.inside, 5060) }
func (w *world) admin() string       { return netip.AddrPortFrom(w.inside, 8080).String() }

// start runs the gateway and ends it politely at the end of the test, before
// its peers go, so that it has nothing to wait for.
func (w *world) start(pbx, more string) {
	w.tb.Helper()
	w.tb.Cleanup(func() { // after the gateway has ended
		checkLines(w.tb, w.dir)
		// What real telephones, PBXs and scripts send in their calls is no attack.
		if told := w.lines("alerts.jsonl", "event.action", "media-injection"); len(told) > 0 && !w.attacked {
			w.tb.Errorf("%d alerts of media that is honest; the first: %v", len(told), told[0])
		}
	})
	w.gw = peers.StartGateway(w.tb, w.dir, w.config(pbx, more), w.hosts)
	for range 5 { // the kernel's list misses lines while others come and go
		w.sockets = max(w.sockets, w.gw.Usage(w.net).UDPSockets)
	}
	w.tb.Cleanup(func() {
		if w.tb.Failed() {
			for _, f := range []string{"alerts.jsonl", "cdr.jsonl"} {
				w.tb.Logf("end of %s:\n%s", f, last(w.read(f), 4000))
			}
		}
	})
}

// pbx starts Kamailio with the gateway as its trunk.
func (w *world) pbx(c peers.PBX) *peers.Kamailio {
	w.tb.Helper()
	c.Gateway = w.inside
	if c.Trunk == "" {
		c.Trunk = "sip:" + w.udp().String()
	}
	return peers.StartPBX(w.tb, w.net, c)
}

func (w *world) phone(c peers.Phone) *peers.Baresip {
	w.tb.Helper()
	if !c.Server.IsValid() {
		c.Server = w.tls()
	}
	c.Transport = "tls"
	if c.MediaEnc == "" {
		c.MediaEnc = "srtp-mand"
	}
	return peers.StartPhone(w.tb, w.net, c)
}

func (w *world) registered(c peers.Phone) *peers.Baresip {
	w.tb.Helper()
	p := w.phone(c)
	p.WaitRegistered(soon)
	return p
}

// trust is the TLS configuration of a client that trusts the private CA of the
// gateway.
func (w *world) trust(cert ...tls.Certificate) *tls.Config {
	w.tb.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "state", "ca.pem"))
	if err != nil {
		w.tb.Fatalf("the gateway's CA: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	return &tls.Config{RootCAs: pool, ServerName: peers.Domain, Certificates: cert}
}

func (w *world) read(file string) string {
	b, err := os.ReadFile(filepath.Join(w.dir, file))
	if err != nil {
		return ""
	}
	return string(b)
}

// record is a line of alerts.jsonl, cdr.jsonl or events.jsonl.
type record map[string]any

// str reads a value by its path, "rule.id", "passes.0.code"; what is no text is shown as JSON.
func (r record) str(path string) string {
	var v any = map[string]any(r)
	for name := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(x) {
				return ""
			}
			v = x[i]
		default:
			return ""
		}
	}
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// is says whether each pair of path and value holds.
func (r record) is(want ...string) bool {
	for i := 0; i+1 < len(want); i += 2 {
		if r.str(want[i]) != want[i+1] {
			return false
		}
	}
	return true
}

// lines are the records of a file for which the pairs of path and value hold.
func (w *world) lines(file string, want ...string) (out []record) {
	w.tb.Helper()
	text := w.read(file)
	for line := range strings.Lines(text) {
		var r record
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			w.tb.Fatalf("%s: %v in %s", file, err, line)
		}
		if r.is(want...) {
			out = append(out, r)
		}
	}
	return out
}

// waitLine waits for a record.
func (w *world) waitLine(file string, want ...string) record {
	w.tb.Helper()
	var got []record
	peers.Eventually(w.tb, soon, fmt.Sprintf("a line of %s with %q", file, want), func() bool {
		got = w.lines(file, want...)
		return len(got) > 0
	})
	return got[len(got)-1]
}

// get asks the admin listener.
func (w *world) get(path string) string {
	w.tb.Helper()
	c := http.Client{Timeout: 5 * time.Second}
	r, err := c.Get("http://" + w.admin() + path)
	if err != nil {
		w.tb.Fatalf("GET %s: %v", path, err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		w.tb.Fatalf("GET %s: %s, %v\n%s", path, r.Status, err, b)
	}
	return string(b)
}

// idle waits until no call is left anywhere in the gateway, longer than a BYE
// that nobody answers (Timer F, 32 s).
func (w *world) idle() { w.tb.Helper(); w.idleIn(45 * time.Second) }

func (w *world) idleIn(limit time.Duration) {
	w.tb.Helper()
	var calls, media string
	var sockets int
	w.tb.Cleanup(func() {
		if w.tb.Failed() && (sockets > w.sockets || !strings.Contains(calls, `"total":0`)) {
			w.tb.Logf("not idle: %d UDP sockets, media metrics:%s, calls %s", sockets, media, last(calls, 2000))
		}
	})
	peers.Eventually(w.tb, limit, "a gateway without calls", func() bool {
		var list struct{ Items []any }
		calls = w.get("/api/v1/calls")
		if err := json.Unmarshal([]byte(calls), &list); err != nil {
			w.tb.Fatalf("/api/v1/calls: %v", err)
		}
		sockets = w.gw.Usage(w.net).UDPSockets
		if sockets > w.sockets {
			media = ""
			for line := range strings.Lines(w.get("/metrics")) {
				if strings.HasPrefix(line, "rampart_media_") && strings.Contains(line, "_active") {
					media += " " + strings.TrimSpace(line)
				}
			}
		}
		return len(list.Items) == 0 && sockets <= w.sockets
	})
}

// limited is a context for one step.
func limited(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }

// script copies one of the scripts of peers with replacements, for Scenario.
func (w *world) script(name string, replace ...string) string {
	w.tb.Helper()
	b, err := os.ReadFile(filepath.Join("..", "internal", "peers", "sipp", name+".xml"))
	if err != nil {
		w.tb.Fatalf("a script: %v", err)
	}
	file := filepath.Join(w.tb.TempDir(), name+".xml")
	if err := os.WriteFile(file, []byte(strings.NewReplacer(replace...).Replace(string(b))), 0o600); err != nil {
		w.tb.Fatalf("a script: %v", err)
	}
	return file
}
