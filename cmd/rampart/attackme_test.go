package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/attack"
)

// TestMain lets this program be the gateway of a sandbox too.
func TestMain(m *testing.M) {
	if file := os.Getenv(netGatewayEnv); file != "" {
		os.Exit(netGateway(file))
	}
	if os.Getenv(sandboxEnv) != "" {
		os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// card runs attack-me over a configuration and reads its report card.
func card(t *testing.T, config string, only ...string) (code int, outcomes map[string]attack.Result) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rampart.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	code = execute([]string{"attack-me", "-c", file, "--json", "--only", strings.Join(only, ",")}, &out, &errs)
	var got struct {
		Held, Broke, Skipped int
		Attacks              []attack.Result
	}
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out.String(), errs.String())
	}
	outcomes = map[string]attack.Result{}
	for _, r := range got.Attacks {
		outcomes[r.Name] = r
	}
	if len(outcomes) != len(only) || got.Held+got.Broke+got.Skipped != len(only) {
		t.Fatalf("%d of %d attacks are on the card: %s", len(outcomes), len(only), out.String())
	}
	return code, outcomes
}

const attackedConfig = `domain: sip.example.com
listen: {tls: ["127.0.0.1:5061"], udp: ["127.0.0.1:5060"]}
inside: {udp: ["127.0.0.1:5070"]}
media: {public: ["127.0.0.1"], inside: ["127.0.0.1"]}
pbx: "sip:127.0.0.1:5080;transport=udp"
home: {country: GB}
peers:
  - {name: old-trunk, identify: {ip: ["192.0.2.7/32"]}, allow_plaintext: true, srtp: off}
routes: []
`

// The whole repertoire is played by ./test, with the program that ships.
func TestAttackMe(t *testing.T) {
	t.Parallel()
	only := []string{"hidden", "scanner", "identity", "denied-numbers", "rtp-inject"}
	code, got := card(t, attackedConfig, only...)
	for _, name := range only {
		if r := got[name]; r.Outcome != attack.Held {
			t.Errorf("%s: %s %v", name, r.Outcome, r.Wrong)
		}
	}
	if code != 0 && !t.Failed() {
		t.Errorf("exit %d", code)
	}
}

// Passwords that the gateway checks itself are the sandbox's own, too.
func TestAttackMeWithUsers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users.digest")
	if _, err := addUser(file, "1001", "sip.example.com", ""); err != nil {
		t.Fatal(err)
	}
	code, got := card(t, attackedConfig+"authentication: {file: "+file+"}\n", "hidden", "stranger-calls")
	for _, name := range []string{"hidden", "stranger-calls"} {
		if r := got[name]; r.Outcome != attack.Held {
			t.Errorf("%s: %s %v", name, r.Outcome, r.Wrong)
		}
	}
	if code != 0 && !t.Failed() {
		t.Errorf("exit %d", code)
	}
}

// A policy that protects from nothing must show on the card, or the card says
// nothing of the others.
func TestAttackMeFindsHoles(t *testing.T) {
	t.Parallel()
	weak := attackedConfig + "policy: {use: [], files: [\"weak.yaml\"]}\n"
	dir := t.TempDir()
	rules := filepath.Join(dir, "weak.yaml")
	if err := os.WriteFile(rules, []byte("version: 1\ncountries: {default: allow}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, got := card(t, strings.Replace(weak, "weak.yaml", rules, 1), "scanner", "denied-numbers", "malformed")
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	for _, name := range []string{"scanner", "denied-numbers"} {
		if r := got[name]; r.Outcome != attack.Broke || r.Advice == "" {
			t.Errorf("%s: %s, advice %q", name, r.Outcome, r.Advice)
		}
	}
	if r := got["malformed"]; r.Outcome != attack.Held {
		t.Errorf("no policy is needed against what is malformed: %v", r.Wrong)
	}
}

func TestAttackMeUsage(t *testing.T) {
	var out, errs strings.Builder
	if code := execute([]string{"attack-me", "--list"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "rtp-inject") {
		t.Errorf("--list: %d %s", code, out.String())
	}
	file := filepath.Join(t.TempDir(), "rampart.yaml")
	if err := os.WriteFile(file, []byte(attackedConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := execute([]string{"attack-me", "-c", file, "--only", "nonsense"}, &out, &errs); code != 2 || !strings.Contains(errs.String(), "nonsense") {
		t.Errorf("an unknown attack: %d %s", code, errs.String())
	}
	errs.Reset()
	if err := os.WriteFile(file, []byte("domain: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := execute([]string{"attack-me", "-c", file}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "rampart.yaml:") {
		t.Errorf("a broken configuration: %d %s", code, errs.String())
	}
}
