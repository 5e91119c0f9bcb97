package integration_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// What stops the gateway from starting is one clear line and exit code 1.
func TestStartFails(t *testing.T) {
	t.Parallel()
	ca := peers.NewCA(t, "own")
	good := ca.Issue(peers.Leaf{DNS: []string{peers.Domain}})
	old := ca.Issue(peers.Leaf{DNS: []string{peers.Domain}, From: time.Now().AddDate(0, -2, 0), To: time.Now().AddDate(0, -1, 0)})
	open := filepath.Join(t.TempDir(), "open.key")
	b, err := os.ReadFile(good.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	certificate := func(cert, key string) string {
		return fmt.Sprintf("tls: {certificate: {cert: %q, key: %q}}\n", cert, key)
	}
	for name, c := range map[string]struct {
		more   string
		change func(string) string // of the whole file
		take   string              // "tcp", "udp" or "admin": an address that is in use
		want   []string            // in the one line
	}{
		"TLS port in use":      {take: "tcp", want: []string{"listen", "127.", ":5061", "address already in use"}},
		"UDP port in use":      {take: "udp", want: []string{"listen", "127.", ":5060", "address already in use"}},
		"admin port in use":    {take: "admin", want: []string{"admin", ":8080", "address already in use"}},
		"key open to everyone": {more: certificate(good.CertFile, open), want: []string{"open.key", "chmod 600"}},
		"expired certificate":  {more: certificate(old.CertFile, old.KeyFile), want: []string{filepath.Base(old.CertFile), "expired"}},
		"key of another":       {more: certificate(good.CertFile, old.KeyFile), want: []string{filepath.Base(old.KeyFile), "does not belong"}},
		"no such certificate":  {more: certificate("none.pem", good.KeyFile), want: []string{"none.pem", "no such file"}},
		"unknown key":          {more: "lisen: {}\n", want: []string{"rampart.yaml:14:1: ", "unknown key", "lisen"}},
		"broken YAML":          {more: "peers: [\n", want: []string{"rampart.yaml:"}},
		"wrong rule":           {more: "policy: {use: [base, countries, scanners], files: [\"policy/*.yaml\"]}\n", want: []string{"site.yaml:2:", "XX"}},
		"no PBX":               {change: func(s string) string { return regexp.MustCompile(`(?m)^pbx:.*\n`).ReplaceAllString(s, "") }, want: []string{"rampart.yaml:", "pbx"}},
		"address of others":    {more: "inside: {udp: [\"192.0.2.77:5060\"]}\n", want: []string{"192.0.2.77:5060", "cannot assign"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if name == "wrong rule" {
				w.write("policy/site.yaml", "version: 1\ncountries: {allow: [XX]}\n")
			}
			config := w.config(`"sip:127.0.0.1:5999;transport=udp"`, c.more)
			if c.change != nil {
				config = c.change(config)
			}
			var err error
			var taken interface{ Close() error }
			switch c.take {
			case "tcp":
				taken, err = net.Listen("tcp", w.tls().String())
			case "udp":
				taken, err = net.ListenPacket("udp", w.udp().String())
			case "admin":
				taken, err = net.Listen("tcp", w.admin())
			}
			if err != nil {
				t.Fatal(err)
			}
			if taken != nil {
				t.Cleanup(func() { taken.Close() })
			}
			out, code := rampart(t, "run", "-c", w.write("rampart.yaml", config))
			if code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			var found []string
			for line := range strings.Lines(out) {
				line = strings.TrimSpace(line)
				all := true
				for _, x := range c.want {
					all = all && strings.Contains(line, x)
				}
				if all {
					found = append(found, line)
				}
			}
			if len(found) != 1 {
				t.Errorf("%d lines say %q:\n%s", len(found), c.want, out)
			}
			if strings.Contains(out, "goroutine ") || strings.Count(out, "\n") > 8 {
				t.Errorf("that is not clear:\n%s", out)
			}
		})
	}
}

// A PBX that does not answer is said once, the gateway waits for it, and calls
// are refused until it comes.
func TestPBXIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := w.net.Addr(t)
	w.start(fmt.Sprintf(`{name: main, uri: "sip:%s:5060;transport=udp", health: 1s}`, addr), "")
	w.gw.WaitLog(`level=(WARN|ERROR).*PBX.*main`, 40*time.Second)
	if code := w.status("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz without a PBX: %d, want 503", code)
	}
	if code := w.status("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz without a PBX: %d, want 200", code)
	}
	w.pbx(peers.PBX{Addr: addr})
	w.gw.WaitLog(`PBX answers`, 40*time.Second)
	peers.Eventually(t, soon, "a gateway that is ready", func() bool { return w.status("/readyz") == http.StatusOK })
	w.registered(peers.Phone{User: "1001"})
	if n := regexp.MustCompile(`level=(WARN|ERROR).*PBX`).FindAllString(w.gw.Log(), -1); len(n) != 1 {
		t.Errorf("the log says it %d times: %q", len(n), n)
	}
}

func (w *world) status(path string) int {
	w.tb.Helper()
	c := http.Client{Timeout: 5 * time.Second}
	r, err := c.Get("http://" + w.admin() + path)
	if err != nil {
		w.tb.Fatalf("GET %s: %v", path, err)
	}
	r.Body.Close()
	return r.StatusCode
}

// metric reads one sample of /metrics, all labels of a name added up.
func (w *world) metric(name string) float64 {
	w.tb.Helper()
	sum, found := 0.0, false
	text := w.get("/metrics")
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			f := strings.Fields(line)
			v, err := strconv.ParseFloat(f[len(f)-1], 64)
			if err != nil {
				w.tb.Fatalf("/metrics: %s", line)
			}
			sum, found = sum+v, true
		}
	}
	if !found {
		w.tb.Fatalf("/metrics has no %s:\n%s", name, text)
	}
	return sum
}

// What the admin listener shows while a call is up, which passes twice.
func TestAdminShowsCall(t *testing.T) {
	t.Parallel()
	w := newSuburb(t, "", nil, nil)
	phone := w.telephone("1001")
	call := w.dial(phone, "+33123456789")
	w.hears(call, siptest.CarrierTone)
	var calls struct {
		Total int
		Items []struct {
			ID, Direction, From, To, User, Account, State, Source string
			Media                                                 []string
			Passes                                                int
		}
	}
	if err := json.Unmarshal([]byte(w.get("/api/v1/calls")), &calls); err != nil {
		t.Fatal(err)
	}
	if calls.Total != 1 || len(calls.Items) != 1 {
		t.Fatalf("one call that passes twice is shown as %+v", calls)
	}
	c := calls.Items[0]
	if c.Direction != "outbound" || c.User != "1001" || c.Account != "main" || c.Passes != 2 || !strings.HasPrefix(c.Source, "127.0.0.1:") || c.State == "" ||
		len(c.Media) != 4 || c.Media[0] != "public:"+siptest.SuiteGCM || c.Media[3] != "public:RTP" {
		t.Errorf("the call: %+v", c)
	}
	if w.status("/healthz") != 200 || w.status("/readyz") != 200 {
		t.Error("not healthy or not ready during a call")
	}
	var regs struct{ Items []record }
	if err := json.Unmarshal([]byte(w.get("/api/v1/registrations")), &regs); err != nil || len(regs.Items) != 1 || !regs.Items[0].is("user", "1001", "connected", "true", "user_agent", "Hallway Handset 7") {
		t.Errorf("registrations: %v, %v", regs, err)
	}
	if n := w.metric("rampart_media_ports_active"); n == 0 {
		t.Error("no port is in use during a call")
	}
	if text := w.get("/metrics"); strings.Contains(text, "1001") && strings.Contains(text, `"1001"`) || strings.Contains(text, "+3312") || strings.Contains(text, call.ID()) {
		t.Error("/metrics tells who calls whom")
	}
	w.must("BYE", call.Bye)
	w.idle()
	if n := w.metric("rampart_media_ports_active"); n != 0 {
		t.Errorf("%v ports are in use after the call", n)
	}
	cdr := w.waitLine("cdr.jsonl", "code", "200")
	if cdr.str("user") != "1001" || cdr.str("passes.1.routed_to") != "carrier" || cdr.str("ended_by") != "caller" {
		t.Errorf("the CDR: %v", cdr)
	}
}
