package policy

import (
	"strings"

	"github.com/rampart-sbc/rampart/policy/when"
)

// template is a `why:` with its {placeholders} found.
type template []piece

type piece struct {
	text  string
	value func(*when.Facts) when.Value // nil: text
}

// template reads a `why:`. Placeholders are the variables of conditions.
func (c *compiler) template(at, text string) template {
	var t template
	for text != "" {
		head, rest, found := strings.Cut(text, "{")
		if head != "" {
			t = append(t, piece{text: head})
		}
		if !found {
			break
		}
		name, tail, closed := strings.Cut(rest, "}")
		value, hint := c.placeholder(name)
		if !closed || value == nil {
			c.problem(at, hint, "unknown placeholder {%s}", name)
			return t
		}
		t = append(t, piece{value: value})
		text = tail
	}
	return t
}

func (t template) fill(f when.Facts) string {
	if len(t) == 1 && t[0].value == nil {
		return t[0].text
	}
	var b strings.Builder
	for _, p := range t {
		if p.value == nil {
			b.WriteString(p.text)
			continue
		}
		// Placeholders hold what an attacker wrote: bounded here, escaped by
		// whoever writes it out.
		b.WriteString(clip(p.value(&f).String()))
	}
	return b.String()
}
