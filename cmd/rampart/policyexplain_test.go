package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var updateDocs = flag.Bool("update-docs", false, "rewrite the output that docs/explain.md shows")

// The page for people shows what the command prints.
func TestExplainPage(t *testing.T) {
	page, err := filepath.Abs("../../docs/explain.md")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	file := block.FindSubmatch(text)
	shown := regexp.MustCompile("(?s)(<!-- explained: [^\n]*-->\n```text\n)(.*?)(```)").FindSubmatch(text)
	line := regexp.MustCompile(`(?m)^rampart (policy explain .*)$`).FindSubmatch(text)
	if file == nil || shown == nil || line == nil {
		t.Fatal("the page has no rules, command or output")
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("site.yaml", file[1], 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := command(t, strings.Fields(strings.ReplaceAll(string(line[1]), "'", ""))...)
	if code != 0 {
		t.Fatal(code, out)
	}
	if *updateDocs {
		next := strings.Replace(string(text), string(shown[0]), string(shown[1])+out+string(shown[3]), 1)
		if err := os.WriteFile(page, []byte(next), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(shown[2]) != out {
		t.Errorf("docs/explain.md shows\n%s\nand the command prints\n%s\ngo test ./cmd/rampart -run TestExplainPage -update-docs rewrites it", shown[2], out)
	}
}

// Flags make the request they say; what is wrong with them is wrong usage.
func TestPolicyExplainFlags(t *testing.T) {
	dir := t.TempDir()
	rules := filepath.Join(dir, "site.yaml")
	text := `version: 1
home: {country: FR}
rules:
  - {id: site/all, on: any, match: {peer: carrier-a, source: {country: [DE], asn: [64500]}, transport: tcp, user_agent: [odd], diverted: true}, when: 'request.headers["x-tenant"] == "blue"', then: reject 480}
`
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all := []string{"policy", "explain", rules, "--from", "+442079460000", "--to", "+33123456789", "--peer", "carrier-a", "--source", "198.51.100.7", "--country", "de",
		"--asn", "64500", "--transport", "tcp", "--user-agent", "odd/1", "--diverted", "1001", "--header", "X-Tenant: blue", "--at", "2026-01-05T03:15:00Z", "--method", "invite", "--json"}
	code, out := command(t, all...)
	var tr struct {
		Verdict, Rule, Method, Direction string
		Status                           int
		At                               time.Time
	}
	if err := json.Unmarshal([]byte(out), &tr); err != nil || code != 0 {
		t.Fatal(code, err, out)
	}
	if tr.Verdict != "reject" || tr.Rule != "site/all" || tr.Status != 480 || tr.Method != "INVITE" || tr.Direction != "inbound" || tr.At.Hour() != 3 {
		t.Errorf("%+v\n%s", tr, out)
	}
	// Without the header it does not match, and says so.
	without := append(append([]string{}, all[:21]...), "--header", "X-Tenant: red", "--at", "2026-01-05T03:15:00Z")
	if code, out := command(t, without...); code != 0 || !strings.HasPrefix(out, "ALLOW") || !strings.Contains(out, "- site/all: when:") {
		t.Errorf("%d %s", code, out)
	}
	base := []string{"policy", "explain", "--from", "1001", "--to", "1002"}
	for _, c := range []struct {
		more []string
		want string
	}{
		{[]string{rules, "--source", "here"}, `"here" is not an IP address`},
		{[]string{rules, "--at", "noon"}, `"noon" is not a time such as`},
		{[]string{rules, "--header", "nothing"}, "write it like"},
		{[]string{rules, "--peer", "a", "--stranger"}, "can't be used together"},
		{[]string{rules, "--method", "invte"}, `no request "invte" is judged: did you mean INVITE?`},
		{[]string{rules, "--to", ""}, "--to: nobody is called"},
		{[]string{"--use", "nonsense"}, `no pack "nonsense"`},
	} {
		if code, out := command(t, append(append([]string{}, base...), c.more...)...); code != 2 || !strings.Contains(out, c.want) {
			t.Errorf("%v: exit %d, %s", c.more, code, out)
		}
	}
	t.Chdir(dir)
	if code, out := command(t, base...); code != 2 || !strings.Contains(out, "which rules?") {
		t.Errorf("nothing to judge by: %d %s", code, out)
	}
}
