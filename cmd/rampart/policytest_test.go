package main

import (
	"encoding/json"
	"encoding/xml"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/rules"
)

const goodTest = `version: 1
countries: {allow: [DE]}
tests:
  - {name: germany is open, invite: {from: "1001", to: "0049 30 123456"}, expect: allow}
  - {name: jamaica is shut, invite: {from: "1001", to: "0018765550100"}, expect: {verdict: reject, rule: countries/denied}}
`

var badTest = strings.Replace(goodTest, "rule: countries/denied", "rule: countries/class-denied", 1)

func TestPolicyTestCommand(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good, bad, broken := write("good.yaml", goodTest), write("bad.yaml", badTest), write("broken.yaml", "version: 1\ntests: [{name: x, invit: {}}]\n")
	painted := write("painted.yaml", "version: 1\ntests: [{name: \"\\e[2Jred\", invite: {from: \"1\", to: \"2\"}, expect: reject}]\n")
	junit := filepath.Join(dir, "report.xml")
	for _, c := range []struct {
		args   []string
		code   int
		out    []string // of stdout and stderr together
		absent string
	}{
		{[]string{good}, 0, []string{"ok, 2 tests"}, "FAIL"},
		{[]string{good, "--use", "base,countries"}, 0, []string{"ok, 2 tests"}, "FAIL"},
		{[]string{good, "--home", "FR", "--run", "germany"}, 0, []string{"ok, 1 test,"}, ""},
		{[]string{painted}, 1, []string{`FAIL `, `\x1b[2Jred`}, "\x1b"},
		{[]string{good, "--run", "mars"}, 1, []string{`no test has "mars" in its name`}, ""},
		{[]string{bad, "--junit", junit}, 1, []string{"bad.yaml:5: jamaica is shut", "expected: reject, by countries/class-denied", "actual:   reject 403 by countries/denied, alerts call-rejected",
			"country JM is not listed", "1 test of 2 failed"}, "germany"},
		{[]string{good, "--coverage"}, 0, []string{"coverage: 1 of 1 entries"}, "No test reached"},
		{[]string{good, "--use", "scanners", "--coverage"}, 0, []string{"No test reached:\n", "scanners:8: scanners/user-agents\n"}, ""},
		{[]string{broken}, 1, []string{"broken.yaml:2:19: unknown key \"invit\"", "did you mean invite?", "in the rules"}, ""},
		{[]string{filepath.Join(dir, "nowhere.yaml")}, 1, []string{"no such file"}, ""},
		{nil, 2, []string{"which files?"}, ""},
		{[]string{"--use", strings.Join(rules.Names(), ","), "--coverage"}, 0, []string{"coverage: ", "ok, "}, "No test reached"},
		{[]string{"--use", "bse"}, 2, []string{`no pack "bse"; there are base`}, ""},
		{[]string{good, "-c", "rampart.yaml"}, 2, []string{"-c brings its own files"}, ""},
		{[]string{good, "--home", "XX"}, 2, []string{"--home: "}, ""},
	} {
		code, stdout, stderr := rampart(append([]string{"policy", "test"}, c.args...)...)
		all := stdout + stderr
		if code != c.code {
			t.Errorf("%v: exit code %d, want %d\n%s", c.args, code, c.code, all)
		}
		for _, want := range c.out {
			if !strings.Contains(all, want) {
				t.Errorf("%v: no %q in\n%s", c.args, want, all)
			}
		}
		if c.absent != "" && strings.Contains(all, c.absent) {
			t.Errorf("%v: %q in\n%s", c.args, c.absent, all)
		}
	}
	data, err := os.ReadFile(junit)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		XMLName  xml.Name `xml:"testsuites"`
		Failures int      `xml:"failures,attr"`
	}
	if err := xml.Unmarshal(data, &report); err != nil || report.Failures != 1 {
		t.Errorf("%v, %+v in %s", err, report, data)
	}
	code, stdout, _ := rampart("policy", "test", bad, "--json", "--coverage")
	var got struct {
		OK       bool
		Tests    int
		Failed   int
		Results  []testResult
		Coverage []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 1 || got.OK || got.Tests != 2 || got.Failed != 1 || len(got.Results) != 2 ||
		!got.Results[0].Passed || got.Results[1].Line != 5 || len(got.Results[1].Failures) != 1 || len(got.Coverage) != 1 {
		t.Errorf("%v, code %d, %+v", err, code, got)
	}
}

// A policy whose tests fail is a problem to check, is not loaded at start nor
// by a reload, and is with the flag, which is told.
func TestFailingTestsKeepAPolicyOut(t *testing.T) {
	t.Parallel()
	s := newSite(t, 71, "policy: {use: [base, countries]}\n")
	s.write("rules/site.yaml", goodTest)
	s.write("rampart.yaml", s.config("admin: {listen: off}\npolicy: {use: [base, countries], files: [\"rules/*.yaml\"]}\n"))
	log, good := s.reload()
	if !strings.Contains(log, "policy loaded") {
		t.Fatal(log)
	}
	s.write("rules/site.yaml", badTest)
	log, after := s.reload()
	if after != good || !strings.Contains(log, "jamaica is shut") || !strings.Contains(log, "site.yaml:5:") {
		t.Errorf("revision %s after %s:\n%s", after, good, log)
	}
	s.waitAlert("policy/not-loaded", "1 error in the tests of the rules", "jamaica is shut")

	file := filepath.Join(s.dir, "rampart.yaml")
	if code, stdout, _ := rampart("check", "-c", file); code != 1 || !strings.Contains(stdout, `site.yaml:5:`) || !strings.Contains(stdout, `test "jamaica is shut" failed: expected rule countries/class-denied, but got countries/denied`) {
		t.Errorf("check: %d\n%s", code, stdout)
	}
	if code, stdout, stderr := rampart("policy", "test", "-c", file); code != 1 || !strings.Contains(stdout, "jamaica is shut") {
		t.Errorf("policy test -c: %d\n%s%s", code, stdout, stderr)
	}
	cfg, ps := config.Load(file, config.ThisHost())
	if cfg == nil {
		t.Fatal(ps)
	}
	if g, err := startGateway(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "jamaica is shut") {
		t.Errorf("start: %v", err)
		if g != nil {
			g.close(time.Second)
		}
	}

	s.g.allowFailing = true
	log, after = s.reload()
	if after == good || !strings.Contains(log, "although its tests fail") {
		t.Errorf("revision %s:\n%s", after, log)
	}
	s.waitAlert("policy/tests-failing", "jamaica is shut")
	s.write("rules/site.yaml", goodTest)
	if log, after = s.reload(); after != good || strings.Contains(log, "although") {
		t.Errorf("revision %s after %s:\n%s", after, good, log)
	}
}

// At start, too, the flag lets a policy in whose tests fail.
func TestStartWithFailingTests(t *testing.T) {
	t.Parallel()
	s := &site{t: t, dir: t.TempDir(), net: 72}
	s.write("rampart.yaml", s.config("admin: {listen: off}\npolicy: {use: [base, countries], files: [\"rules/*.yaml\"]}\n"))
	s.write("rules/site.yaml", badTest)
	cfg, ps := config.Load(filepath.Join(s.dir, "rampart.yaml"), config.ThisHost())
	if cfg == nil {
		t.Fatal(ps)
	}
	g, err := startGateway(cfg, slog.New(slog.NewTextHandler(&s.log, nil)), func(g *gateway) { g.allowFailing = true })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.close(time.Second) })
	s.waitAlert("policy/tests-failing", "jamaica is shut")
	if log := s.log.take(); !strings.Contains(log, "although its tests fail") {
		t.Error(log)
	}
}

// With nothing said, the rules are those of the configuration here; and what
// was mistyped leads to the help of the command, not to that of the program.
func TestPolicyTestFindsTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if code, stdout, stderr := rampart("init", "--domain", "sip.example.com", "--pbx", "sip:127.0.0.1:5070", "--country", "FR", "--listen", "127.0.0.1:5061"); code != 0 {
		t.Fatal(code, stdout, stderr)
	}
	if code, stdout, stderr := rampart("policy", "test"); code != 0 || !strings.Contains(stdout, "ok, 1 test,") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	if code, _, stderr := rampart("policy", "explain"); code != 2 || !strings.Contains(stderr, "Try: rampart policy explain --help") {
		t.Errorf("%d %s", code, stderr)
	}
	// A revision names the same files however -c spells the way to them.
	revision := func(config string) string {
		t.Helper()
		code, stdout, stderr := rampart("policy", "explain", "-c", config, "--from", "1001", "--to", "0018765550100", "--json")
		var v struct {
			Policy string `json:"policy_revision"`
		}
		if err := json.Unmarshal([]byte(stdout), &v); code != 0 || err != nil {
			t.Fatal(code, err, stdout, stderr)
		}
		return v.Policy
	}
	if here, there := revision("rampart.yaml"), revision(filepath.Join(dir, "rampart.yaml")); here == "" || here != there {
		t.Errorf("two names of one policy: %q, %q", here, there)
	}
}
