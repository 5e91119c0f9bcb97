// Package strictyaml answers one question: does this YAML file say exactly what
// the Go struct can hold, and if not, what is wrong, where, and what would be
// right?
//
// It reads a strict subset of YAML 1.2: one document of mappings, lists and
// scalars. Anchors, aliases, merge keys, tags and directives are refused, for
// they make a reviewed file say something other than what it seems to say (and
// a small file become a large one). Nothing is converted silently: a number
// where a string belongs is a problem, because 0033 without quotes is not the
// text 0033. All problems of a file are collected, not only the first.
//
// It does not write YAML, does not read files or the environment and knows
// nothing about what the values mean; packages config and policy do.
//
// There is no state beyond one call and no time. When something breaks, the
// answer is a [Problem] and never a panic; the output may then be half filled
// and must not be used.
//
// Start reading at [Decode].
package strictyaml

import (
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a file. Line and Col start at 1; Col counts characters.
// The zero Pos means "the file as a whole".
//
// A struct field of type Pos with the tag `yaml:"-"` receives the position of
// the mapping (or scalar) from which its struct was decoded.
type Pos struct{ Line, Col int }

// Problem is one thing that is wrong in a file, in words for the person who
// wrote it.
type Problem struct {
	File      string
	Line, Col int    // 1-based; 0 when the problem has no place
	Message   string // what is wrong; one line
	Excerpt   string // the text it is about and a caret below it; two lines, may be empty
	Hint      string // what would be right; one line, may be empty
	Warning   bool   // the file is usable nevertheless
}

// At makes a problem at a place of a file.
func At(file string, pos Pos, format string, args ...any) Problem {
	return Problem{File: file, Line: pos.Line, Col: pos.Col, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns the problem with a hint.
func (p Problem) WithHint(format string, args ...any) Problem {
	p.Hint = fmt.Sprintf(format, args...)
	return p
}

// AsWarning returns the problem as a warning.
func (p Problem) AsWarning() Problem {
	p.Warning = true
	return p
}

// String gives "file:line:col: message" and the hint on a line of its own.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Col)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	for line := range strings.Lines(p.Excerpt) {
		b.WriteString("\n      ")
		b.WriteString(strings.TrimSuffix(line, "\n"))
	}
	if p.Hint != "" {
		b.WriteString("\n    hint: ")
		b.WriteString(p.Hint)
	}
	return b.String()
}

// Problems are the problems of one or more files.
type Problems []Problem

// Sort orders by file and place. Problems at one place keep their order.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
}

// Errors returns the problems that are not warnings.
func (ps Problems) Errors() Problems {
	var out Problems
	for _, p := range ps {
		if !p.Warning {
			out = append(out, p)
		}
	}
	return out
}

// Err is nil when there are none but warnings, else an error whose text is
// that of all errors, one after the other.
func (ps Problems) Err() error {
	if e := ps.Errors(); len(e) > 0 {
		return problemsError(e)
	}
	return nil
}

// String gives all problems, one after the other.
func (ps Problems) String() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

type problemsError Problems

func (e problemsError) Error() string { return Problems(e).String() }
