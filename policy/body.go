package policy

import (
	"fmt"
	"strconv"
	"strings"
)

// sizes is what `size:` asks of the bytes of a message.
type sizes struct {
	text     string
	min, max int // both inclusive
}

func (s *sizes) hold(n int) bool { return n >= s.min && n <= s.max }

// maxMessage is more than any message the gateway takes.
const maxMessage = 1 << 30

// sizeYAML is one bound: ">4KiB", "<=1024".
type sizeYAML struct {
	text     string
	min, max int
}

func (y *sizeYAML) UnmarshalScalar(text string, _ bool) error {
	y.text, y.min, y.max = text, 0, maxMessage
	t := strings.TrimSpace(text)
	op := t[:len(t)-len(strings.TrimLeft(t, "<>="))]
	n, ok := parseSize(strings.TrimSpace(t[len(op):]))
	if !ok {
		op = ""
	}
	switch op {
	case ">":
		y.min = n + 1
	case ">=":
		y.min = n
	case "<":
		y.max = n - 1
	case "<=":
		y.max = n
	default:
		return fmt.Errorf("%q is not a bound such as \">4KiB\" or \"<=500\"", text)
	}
	return nil
}

// parseSize reads bytes: 500, 4KiB, 1MiB.
func parseSize(text string) (int, bool) {
	unit := 1
	if t, ok := strings.CutSuffix(text, "KiB"); ok {
		text, unit = t, 1<<10
	} else if t, ok := strings.CutSuffix(text, "MiB"); ok {
		text, unit = t, 1<<20
	} else {
		text = strings.TrimSuffix(text, "B")
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	return n * unit, err == nil && n >= 0 && n <= maxMessage/unit
}

// size lays the bounds over each other.
func (c *compiler) size(at string, ys []sizeYAML) *sizes {
	if ys == nil {
		return nil
	}
	s := &sizes{max: maxMessage}
	for i, y := range ys {
		if y.text == "" {
			return s // reported
		}
		if i > 0 {
			s.text += " "
		}
		s.text += y.text
		s.min, s.max = max(s.min, y.min), min(s.max, y.max)
	}
	if s.min > s.max {
		c.problem(at, "", "no message has such a size: %s", s.text)
	}
	return s
}

// mediaType is one value of `content_type:`; an empty subtype is any.
type mediaType struct{ major, minor string }

func (m mediaType) is(t string) bool {
	major, minor, _ := strings.Cut(t, "/")
	return (m.major == "" || m.major == major) && (m.minor == "" || m.minor == minor)
}

func (c *compiler) content(at string, ys []string) (out []mediaType) {
	for i, y := range ys {
		major, minor, ok := strings.Cut(strings.ToLower(strings.TrimSpace(y)), "/")
		if !ok || major == "" || minor == "" || strings.ContainsAny(y, "; ,") || major == "*" && minor != "*" {
			c.problem(item(at, i), `write "application/*" or "text/plain"`, "%q is not a media type", y)
			continue
		}
		m := mediaType{major, minor}
		if major == "*" {
			m.major = ""
		}
		if minor == "*" {
			m.minor = ""
		}
		out = append(out, m)
	}
	return out
}
