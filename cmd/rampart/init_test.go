package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/config"
	rtls "github.com/rampart-sbc/rampart/tls"
)

func rampart(args ...string) (code int, stdout, stderr string) {
	var o, e bytes.Buffer
	code = execute(args, &o, &e)
	return code, o.String(), e.String()
}

// Every set of flags writes a configuration that loads without a problem.
func TestInitWritesAConfigurationThatLoads(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want func(*config.Config) bool
	}{
		{"ipv4", []string{"--country", "fr", "--media", "203.0.113.10"}, func(c *config.Config) bool {
			return c.Home.Country == "FR" && c.Home.Emergency[0] == "112" && c.Inside.UDP[0].String() == "127.0.0.1:5060" && c.Media.Inside[0].Bind.String() == "127.0.0.1"
		}},
		{"dual stack, call centre", []string{"--country=US", "--profile=call-centre", "--media=203.0.113.10", "--media=2001:db8::10", "--listen=203.0.113.10:5061", "--listen=[2001:db8::10]:5061"}, func(c *config.Config) bool {
			return c.Profile == config.CallCentre && len(c.Media.Public) == 2 && len(c.Listen.TLS) == 2 && c.Limits.Calls == 10_000
		}},
		{"inside given", []string{"--country=DE", "--media=203.0.113.10", "--inside=127.0.0.9:5080"}, func(c *config.Config) bool {
			return c.Inside.UDP[0].String() == "127.0.0.9:5080" && *c.Home.National == "0"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "rampart.yaml")
			code, out, errs := rampart(append([]string{"init", "-c", file, "--domain", "sip.example.com", "--pbx", "sip:127.0.0.1:5062"}, c.args...)...)
			if code != 0 || errs != "" || strings.Count(out, "\n") != 5 {
				t.Fatalf("exit %d, stdout %q, stderr %q", code, out, errs)
			}
			cfg, ps := config.Load(file, config.ThisHost())
			if len(ps) != 0 || !c.want(cfg) {
				t.Errorf("%v %+v", ps, cfg)
			}
			for path, mode := range map[string]os.FileMode{"rampart.yaml": 0o640, "policy/local.yaml": 0o640, "rampart-state": 0o700, "rampart-state/ca.key": 0o600, "rampart-state/server.key": 0o600} {
				fi, err := os.Stat(filepath.Join(dir, path))
				if err != nil || fi.Mode().Perm()&^mode != 0 {
					t.Errorf("%s: %v %v", path, fi, err)
				}
			}
			code, out, errs = rampart("check", "-c", file)
			if code != 0 || !strings.HasSuffix(out, "rampart.yaml: ok, 0 warnings\n") {
				t.Errorf("check: exit %d, %s%s", code, out, errs)
			}
			before, _ := os.ReadFile(file)
			code, _, errs = rampart(append([]string{"init", "-c", file, "--domain", "other.example.com", "--pbx", "sip:127.0.0.1:5062"}, c.args...)...)
			after, _ := os.ReadFile(file)
			if code != 1 || !strings.Contains(errs, "exists already") || !bytes.Equal(before, after) {
				t.Errorf("a second init: exit %d, %s", code, errs)
			}
		})
	}
}

func TestInitRefuses(t *testing.T) {
	for _, c := range []struct{ name, flag, value, want string }{
		{"pbx", "--pbx", "10.0.0.5", "must begin with sip:"},
		{"domain", "--domain", "sip:x", "is not a host name"},
		{"media", "--media", "0.0.0.0", "is not an address that audio can be sent to"},
		{"listen", "--listen", "5061", "is not an address with a port"},
		{"country", "--country", "XX", "is not a country"},
		{"inside", "--inside", "0.0.0.0", "is not an address with a port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			args := []string{"init", "-c", filepath.Join(dir, "rampart.yaml")}
			flags := map[string]string{"--domain": "sip.example.com", "--pbx": "sip:127.0.0.1", "--media": "203.0.113.10", c.flag: c.value}
			for k, v := range flags {
				args = append(args, k+"="+v)
			}
			code, _, errs := rampart(args...)
			if code != 2 || !strings.Contains(errs, c.want) {
				t.Errorf("exit %d, %s", code, errs)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("files were left: %v", left)
			}
		})
	}
}

func TestCheckFindsEverything(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("rampart.yaml", "domain: sip.example.com\npbx: \"sip:127.0.0.1:5062\"\nhome: {country: FR}\nmedia: {public: [127.0.0.1], dscp: 64}\ntls: {certificate: {cert: c.pem, key: k.pem}}\ngeoip: {country: geo.mmdb}\n", 0o644)
	write("c.pem", "not a certificate", 0o644)
	write("k.pem", "not a key", 0o600)
	write("geo.mmdb", "not a database", 0o644)
	write("policy/local.yaml", "version: 1\nrule: []\n", 0o644)
	file := filepath.Join(dir, "rampart.yaml")
	code, out, errs := rampart("check", "-c", file)
	if code != 1 || !strings.Contains(errs, "4 errors") {
		t.Errorf("exit %d, %s", code, errs)
	}
	for _, want := range []string{"rampart.yaml:4:36: media.dscp", "rampart.yaml:5:27: tls: ", "rampart.yaml:6:18: ", "local.yaml:2:1: unknown key \"rule\""} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	code, out, _ = rampart("check", "--json", "-c", file)
	var js struct {
		OK       bool
		Problems []finding
	}
	if err := json.Unmarshal([]byte(out), &js); err != nil || js.OK || code != 1 || len(js.Problems) != 4 || js.Problems[0].Severity != "error" {
		t.Errorf("%v %d %s", err, code, out)
	}
}

// A certificate for another name, and one that is about to expire, are
// warnings.
func TestCheckLooksIntoCertificates(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "rampart.yaml")
	text := "domain: sip.example.com\npbx: \"sip:127.0.0.1:5062\"\nhome: {country: FR}\nmedia: {public: 127.0.0.1}\ntls: {certificate: {cert: ca/server.pem, key: ca/server.key}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	if _, _, err := rtls.EnsureCA(filepath.Join(dir, "ca"), []string{"other.example.com"}, nil, now); err != nil {
		t.Fatal(err)
	}
	for days, want := range map[int]string{
		1:   "1:9: warning: no certificate names sip.example.com, so phones that check it will not connect\n    hint: the certificate names other.example.com",
		390: "5:27: warning: DIR/ca/server.pem expires on 2027-04-02\n    hint: renew it; the gateway takes the new file without a restart",
		400: "5:27: tls: certificate DIR/ca/server.pem: certificate expired on 2027-04-02",
	} {
		got := strings.ReplaceAll(strings.ReplaceAll(inspect(file, config.ThisHost(), now.AddDate(0, 0, days)).String(), file+":", ""), dir, "DIR")
		if !strings.Contains(got, want) {
			t.Errorf("after %d days:\n%s\nwant\n%s", days, got, want)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 0, "Commands:"},
		{[]string{"--help"}, 0, "Commands:"},
		{[]string{"init", "--help"}, 0, "Example:"},
		{[]string{"check", "--help"}, 0, "Example:"},
		{[]string{"demo", "--help"}, 0, "Example:"},
		{[]string{"run", "--help"}, 0, "Example:"},
		{[]string{"version", "--help"}, 0, "Example:"},
		{[]string{"version"}, 0, "go      go"},
		{[]string{"version", "--json"}, 0, `"libraries"`},
		{[]string{"nonsense"}, 2, "nonsense"},
		{[]string{"check", "--nonsense"}, 2, "nonsense"},
		{[]string{"init"}, 2, "--domain"},
		{[]string{"check", "-c", "/nonexistent/rampart.yaml"}, 1, "cannot be read"},
	} {
		code, out, errs := rampart(c.args...)
		if code != c.code || !strings.Contains(out+errs, c.want) || code == 2 && out != "" {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", c.args, code, out, errs)
		}
	}
}
