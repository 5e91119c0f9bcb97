package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/policy/number"
)

// journal is a log that the test reads while the gateway writes it.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

// take returns what was logged since the last time.
func (j *journal) take() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.b.String()
	j.b.Reset()
	return s
}

// all returns what was logged and not taken.
func (j *journal) all() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// site is a gateway on loopback addresses of its own, and its files.
type site struct {
	t   *testing.T
	dir string
	net int
	log journal
	g   *gateway
}

func (s *site) write(name, text string) {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) config(more string) string {
	pub, in, pbx := fmt.Sprintf("127.91.%d.1", s.net), fmt.Sprintf("127.91.%d.2", s.net), fmt.Sprintf("127.91.%d.3", s.net)
	return fmt.Sprintf(`domain: sip.example.com
pbx: {name: main, uri: "sip:%s:5060", health: 0s}
home: {country: FR}
state: state
listen: {tls: ["%s:5061"]}
inside: {udp: ["%s:5060"]}
media: {public: ["%s"], inside: ["%s"], ports: 21000-21199}
%s`, pbx, pub, in, pub, in, more)
}

// newSite starts a gateway; net makes its addresses, replace are pairs of texts
// in its configuration.
func newSite(t *testing.T, net int, more string, replace ...string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), net: net}
	s.write("rampart.yaml", strings.NewReplacer(replace...).Replace(s.config("admin: {listen: off}\n"+more)))
	s.start()
	t.Cleanup(func() { s.g.close(time.Second) })
	return s
}

// start starts it, again after it was closed.
func (s *site) start() {
	s.t.Helper()
	cfg, ps := config.Load(filepath.Join(s.dir, "rampart.yaml"), config.ThisHost())
	if cfg == nil {
		s.t.Fatal(ps)
	}
	g, err := startGateway(cfg, slog.New(slog.NewTextHandler(&s.log, nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.g = g
}

// reload returns what it logs, and the revision of the rules then in force.
func (s *site) reload() (log, revision string) {
	s.log.take()
	s.g.reload()
	return s.log.take(), s.g.rep.meta.Load().PolicyRevision
}

// alerts are the failures told of so far, as rule and reason.
func (s *site) alerts() (out []string) {
	b, err := os.ReadFile(filepath.Join(s.dir, "state/alerts.jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var e struct {
			Event struct{ Outcome, Reason string }
			Rule  struct{ ID string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatal(err)
		}
		if e.Event.Outcome == "failure" {
			out = append(out, e.Rule.ID+" "+e.Event.Reason)
		}
	}
	return out
}

// waitAlert polls for a failure that says all of that.
func (s *site) waitAlert(want ...string) {
	s.t.Helper()
	var got []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		got = s.alerts()
	next:
		for _, a := range got {
			for _, w := range want {
				if !strings.Contains(a, w) {
					continue next
				}
			}
			return
		}
	}
	s.t.Errorf("no alert says %q; there are %q", want, got)
}

// Rule files that come, go and break are found by a reload.
func TestReloadFindsRuleFiles(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, "")
	first := s.g.rep.meta.Load().PolicyRevision
	s.write("policy/a.yaml", "version: 1\ncountries: {allow: [GB]}\n")
	log, second := s.reload()
	if second == first || !strings.Contains(log, "policy loaded") {
		t.Errorf("a file was added: revision %s, was %s\n%s", second, first, log)
	}
	s.write("policy/b.yaml", "version: 1\ncountrys: {}\n")
	log, broken := s.reload()
	if broken != second || !strings.Contains(log, "policy not loaded") || !strings.Contains(log, "b.yaml:2:1") {
		t.Errorf("a broken file was added: revision %s, was %s\n%s", broken, second, log)
	}
	s.waitAlert("policy/not-loaded", "b.yaml:2:1")
	if err := os.Remove(filepath.Join(s.dir, "policy", "b.yaml")); err != nil {
		t.Fatal(err)
	}
	s.write("policy/c.yaml", "version: 1\ncountries: {allow: [DE]}\n")
	if err := os.Remove(filepath.Join(s.dir, "policy", "a.yaml")); err != nil {
		t.Fatal(err)
	}
	if log, last := s.reload(); last == first || last == second || !strings.Contains(log, "policy loaded") {
		t.Errorf("two files were removed and one added: revision %s\n%s", last, log)
	}
}

// The configuration is read again: what can be applied is, the rest is told.
func TestReloadReadsConfiguration(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2, "")
	first := s.g.rep.meta.Load().PolicyRevision
	rewrite := func(text string) { s.write("rampart.yaml", text) }

	rewrite(s.config("admin: {listen: off}\ndrain_timeuot: 1s\npolicy: {use: [base]}\n"))
	log, rev := s.reload()
	if rev != first || strings.Contains(log, "policy loaded") || !strings.Contains(log, "drain_timeuot") {
		t.Errorf("an unknown key: revision %s, was %s\n%s", rev, first, log)
	}
	s.waitAlert("policy/not-loaded", "drain_timeuot")

	s.write("more/x.yaml", "version: 1\ncountries: {allow: [GB]}\n")
	rewrite(s.config("admin: {listen: off}\npolicy: {files: [more/*.yaml]}\ndrain_timeout: 7s\n"))
	log, rev = s.reload()
	if rev == first || s.g.drainTime() != 7*time.Second || strings.Contains(log, "restart") {
		t.Errorf("other rules: revision %s, was %s, drain %s\n%s", rev, first, s.g.drainTime(), log)
	}

	rewrite(strings.Replace(s.config("policy: {use: [base]}\n"), "21000-21199", "22000-22199", 1))
	log, last := s.reload()
	if last == rev || !strings.Contains(log, "media.ports, admin.listen") || !strings.Contains(log, "restart") {
		t.Errorf("keys for a restart: revision %s, was %s\n%s", last, rev, log)
	}
	s.waitAlert("policy/needs-restart", "media.ports, admin.listen")

	if err := os.Remove(filepath.Join(s.dir, "rampart.yaml")); err != nil {
		t.Fatal(err)
	}
	if log, rev := s.reload(); rev != last || !strings.Contains(log, "policy not loaded") {
		t.Errorf("no configuration: revision %s, was %s\n%s", rev, last, log)
	}
}

// The limits of a peer are those of the file as last read.
func TestReloadLimitsOfPeers(t *testing.T) {
	t.Parallel()
	peer := func(calls int) string {
		return fmt.Sprintf("peers: [{name: a, identify: {ip: [127.91.3.9/32]}, uri: \"sip:127.91.3.9\", limits: {calls: %d}}]\nroutes: [{peers: [a]}]\n", calls)
	}
	s := newSite(t, 3, peer(1))
	refused := func(id string) bool {
		return s.g.counts.JudgeRoute(&call.Attempt{ID: id, Method: "INVITE", At: time.Now()}, "a").Verdict == call.Reject
	}
	if refused("one") || !refused("two") {
		t.Error("the limit of one call does not count")
	}
	s.write("rampart.yaml", s.config("admin: {listen: off}\n"+peer(2)))
	if log, _ := s.reload(); strings.Contains(log, "restart") {
		t.Error(log)
	}
	if refused("three") || !refused("four") {
		t.Error("the limit of two calls does not count")
	}
}

// What cannot be opened again is told to more than the log.
func TestReloadFailuresAreAlerts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "country.mmdb")
	empty, err := os.ReadFile("testdata/empty-country.mmdb")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(db, empty, 0o600); err != nil {
		t.Fatal(err)
	}
	logs := filepath.Join(dir, "logs")
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, 4, fmt.Sprintf("geoip: {country: %s}\nevents: [{file: %s/events.jsonl}]\n", db, logs))
	if err := os.WriteFile(db, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	events := filepath.Join(logs, "events.jsonl")
	if err := os.Remove(events); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("events.jsonl", events); err != nil { // a name that cannot be opened
		t.Fatal(err)
	}
	s.reload()
	s.waitAlert("geoip/not-loaded", "country.mmdb")
	s.waitAlert("sinks/not-reopened", "events.jsonl")
}

// Numbering data is read again with the rules; a broken file leaves all as it was.
func TestReloadReadsNumberingData(t *testing.T) {
	t.Parallel()
	s := newSite(t, 31, "")
	table, err := os.ReadFile("../../policy/number/table.bin")
	if err != nil {
		t.Fatal(err)
	}
	old := number.Builtin().Version()
	next := strings.Repeat("9", len(old))
	data := func() string { return s.g.rep.meta.Load().NumberData }
	if data() != old {
		t.Fatalf("alerts name the data %q, want %q", data(), old)
	}
	s.write("numbers.bin", strings.Replace(string(table), old, next, 1))
	s.write("rampart.yaml", strings.Replace(s.config("admin: {listen: off}\n"), "home: {", "home: {numbering: numbers.bin, ", 1))
	if log, _ := s.reload(); data() != next || strings.Contains(log, "needs a restart") {
		t.Fatalf("data %q after a reload, want %q\n%s", data(), next, log)
	}
	s.write("numbers.bin", string(table[:1000]))
	if log, _ := s.reload(); data() != next || !strings.Contains(log, "numbers.bin") {
		t.Fatalf("data %q after a reload of a broken file, want %q\n%s", data(), next, log)
	}
	s.waitAlert("policy/not-loaded", "home.numbering")
}
