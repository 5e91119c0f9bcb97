package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// template is a `why:` with its {placeholders} found.
type template []piece

type piece struct {
	text  string
	value func(*call.Attempt) string // nil: text
}

// placeholders of `why:`, named like the variables of conditions.
var placeholders = map[string]func(*call.Attempt) string{
	"request.method":     func(a *call.Attempt) string { return a.Method },
	"request.user_agent": func(a *call.Attempt) string { return a.UserAgent },
	"request.uri":        func(a *call.Attempt) string { return a.RequestURI },
	"source.ip":          func(a *call.Attempt) string { return a.Source.Addr.Addr().Unmap().String() },
	"source.country":     func(a *call.Attempt) string { return a.Source.Country },
	"source.transport":   func(a *call.Attempt) string { return a.Source.Transport },
	"peer.name":          func(a *call.Attempt) string { return a.Peer },
	"call.direction":     func(a *call.Attempt) string { return a.Direction.String() },
	"call.from.user":     func(a *call.Attempt) string { return a.From.User },
	"call.from.e164":     func(a *call.Attempt) string { return a.From.E164() },
	"call.from.country":  func(a *call.Attempt) string { return a.From.Country },
	"call.to.user":       func(a *call.Attempt) string { return a.To.User },
	"call.to.e164":       func(a *call.Attempt) string { return a.To.E164() },
	"call.to.country":    func(a *call.Attempt) string { return a.To.Country },
	"call.to.class":      func(a *call.Attempt) string { return a.To.Class },
}

func parseTemplate(text string) (template, error) {
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
		value := placeholders[name]
		if !closed || value == nil {
			return nil, fmt.Errorf("unknown placeholder {%s}; known: %s", name, strings.Join(slices.Sorted(maps.Keys(placeholders)), ", "))
		}
		t = append(t, piece{value: value})
		text = tail
	}
	return t, nil
}

func (t template) fill(a *call.Attempt) string {
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
		v := p.value(a)
		if len(v) > 128 {
			v = strings.ToValidUTF8(v[:128], "") + "…"
		}
		b.WriteString(v)
	}
	return b.String()
}
