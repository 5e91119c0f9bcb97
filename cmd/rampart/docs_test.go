package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/trial"
)

var block = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestDocExamples: every YAML block in the pages for people is a policy file
// that compiles and whose tests pass, or, put under a domain and a PBX, a configuration that loads.
func TestDocExamples(t *testing.T) {
	plan, err := number.Compile(number.Home{Country: "FR"}, number.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	pages, _ := filepath.Glob("../../docs/*.md")
	reference, _ := filepath.Glob("../../docs/reference/*.md")
	n := 0
	for _, page := range append(append(pages, reference...), "../../README.md") {
		if strings.HasSuffix(page, "/configuration.md") {
			continue // package config has its own test
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		var fragments []string
		for _, m := range block.FindAllSubmatch(text, -1) {
			n++
			src := m[1]
			if regexp.MustCompile(`(?m)^version: 1$`).Match(src) {
				set, ps := policy.Compile([]policy.Source{{Name: page, Data: src}}, policy.Options{Plan: plan, ReadFile: func(string) ([]byte, error) {
					return []byte("+1876\n"), nil // the lists of an example are the reader's
				}})
				if len(ps) > 0 {
					t.Errorf("%s: a policy example does not compile:\n%s\n%s", page, ps, src)
					continue
				}
				report := trial.RunAll(trial.Options{Set: set}, set.Tests(), nil)
				for i := range report.Results {
					if r := &report.Results[i]; !r.Passed() {
						t.Errorf("%s: a test of an example fails: %s", page, r.Problem())
					}
				}
				continue
			}
			fragments = append(fragments, string(src))
		}
		for _, f := range fragments {
			src := f
			if !strings.Contains(src, "domain:") {
				src = "domain: sip.example.com\n" + src
			}
			if !strings.Contains(src, "pbx:") {
				src += "pbx: sip:10.0.0.5:5060\n"
			}
			if !strings.Contains(src, "inside:") {
				src += "inside: {udp: [\"10.0.0.2:5060\"]}\n"
			}
			if !strings.Contains(src, "media:") {
				src += "media: {public: [203.0.113.10], inside: [10.0.0.2]}\n"
			}
			if strings.Contains(src, "routes:") && !strings.Contains(src, "\npeers:") {
				src += `peers:
  - {name: carrier-a, identify: {ip: [198.51.100.1/32]}, uri: "sip:198.51.100.1"}
  - {name: carrier-b, identify: {ip: [198.51.100.2/32]}, uri: "sip:198.51.100.2"}
`
			}
			_, ps := config.Parse("rampart.yaml", []byte(src), config.ThisHost())
			for _, p := range ps.Errors() {
				if strings.Contains(p.Message, "no such file") {
					continue // the example's files are the reader's
				}
				t.Errorf("%s: %s\n%s", page, p, f)
			}
		}
	}
	if n < 6 {
		t.Errorf("only %d examples found: the test looks in the wrong place", n)
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// TestDocLinks: what the pages point to in this repository is there.
func TestDocLinks(t *testing.T) {
	n := 0
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/adr/*.md", "../../bench/*.md"} {
		pages, _ := filepath.Glob(pattern)
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllStringSubmatch(string(text), -1) {
				n++
				if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
					t.Errorf("%s points to %s, which is not there", page, m[1])
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d links found", n)
	}
}
