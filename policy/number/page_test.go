package number_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/policy/number"
)

// What the page for users says is one number is one.
func TestPageSpellings(t *testing.T) {
	page, err := os.ReadFile("../../docs/numbers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## What is one number")
	table, _, _ = strings.Cut(table, "\n## ")
	p := plan(t, number.Home{Country: "FR"})
	n := 0
	for line := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
			text := m[1]
			want := "+18765550100"
			switch {
			case !strings.HasPrefix(line, "| `") || strings.Contains(text, "…") || strings.HasPrefix(text, ";") || text == "+442079460000":
				continue
			case strings.HasPrefix(text, "+44"):
				want = "+442079460000"
			case strings.HasSuffix(text, "CATS"):
				want = "+18765552287"
			}
			if got := p.Normalise(text, number.Dialled); got.Canonical != want {
				t.Errorf("%s is %s, want %s", text, show(got), want)
			}
			n++
		}
	}
	if n < 12 {
		t.Errorf("%d spellings on the page", n)
	}
}
