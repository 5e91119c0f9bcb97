package policy

import (
	"strings"
	"testing"
)

// TestRegexesAreBounded: a repetition that makes a short expression a large
// program is a problem of the file; what scanners are found by is not.
func TestRegexesAreBounded(t *testing.T) {
	for _, text := range []string{`x{1,999}x{1,999}z`, `(?:a{100}){9}b{900}c{900}`, `(?:(?:ab{10}){10}){20}`, `(?:a|b|c|dd){900}`, strings.Repeat("a{1,99}", 140)} {
		var r regexYAML
		if err := r.UnmarshalScalar(text, true); err == nil {
			n, _ := regexSize(text)
			t.Errorf("%.40s…: %d instructions are taken", text, n)
		}
	}
	for _, text := range []string{`friendly-scanner|sipvicious|pplsip|sipcli`, `^sip(?:sak|p)\b`, `[a-z]{8,16}-[0-9a-f]{4,32}`, strings.Repeat("scanner|", 120) + "x"} {
		var r regexYAML
		if err := r.UnmarshalScalar(text, true); err != nil {
			t.Errorf("%.40s…: %v", text, err)
		}
	}
	var many []string
	for range 20 {
		many = append(many, `y{1,600}z`)
	}
	if _, err := compileAgents(many); err != nil {
		t.Errorf("%d expressions: %v", len(many), err)
	}
	if _, err := compileAgents(append(many, many...)); err == nil {
		t.Error("40 large expressions are tried together")
	}
}

// TestLongAgent: of a User-Agent as long as a header may be, expressions see
// the beginning; a word does not hide behind padding.
func TestLongAgent(t *testing.T) {
	m, err := compileAgents([]string{"scanner", "b.d"})
	if err != nil {
		t.Fatal(err)
	}
	x, u := strings.Repeat("x", maxAgentText), strings.Repeat("\u00fc", maxAgentText/2)
	for text, want := range map[string]bool{
		"scanner" + x: true, x[7:] + "scanner": true, x + "SCANNER": true, u + "Scanner": true,
		"bad" + x: true, x[3:] + "bad": true, x + "bad": false, u + "bad": false, x: false,
	} {
		if got := m.match(text); got != want || (m.which(text) != "") != want {
			t.Errorf("%d octets, %.10q…: %v and %q", len(text), text, got, m.which(text))
		}
	}
}
