package when

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
)

// Program is a compiled condition.
type Program struct {
	Text string
	Cost uint64 // estimated, of the worst request

	env  *Env
	vars []*Var // that it reads
	prog cel.Program
	ast  *cel.Ast
}

// Reads lists the variables that the condition reads.
func (p *Program) Reads() []*Var { return p.vars }

// Compile makes a program of a text, or finds all that is wrong with it.
// Problems of one stage hide those of the next: names are looked up in what
// parses, types are checked where all names are known.
func (e *Env) Compile(text string) (p *Program, ps []Problem) {
	return e.compile(text, func(t *cel.Type) []Problem {
		if t.IsExactType(cel.BoolType) {
			return nil
		}
		return []Problem{{Message: "the condition is " + typeName(t.String()) + ", not true or false", Hint: `compare it with something: … == "value"`}}
	})
}

func (e *Env) compile(text string, typed func(*cel.Type) []Problem) (p *Program, ps []Problem) {
	// The library is foreign code on foreign input: a crash in it is a
	// condition that cannot be read.
	defer func() {
		if r := recover(); r != nil {
			p, ps = nil, []Problem{{Message: fmt.Sprint("the condition cannot be read: ", r)}}
		}
	}()
	switch {
	case strings.TrimSpace(text) == "":
		return nil, []Problem{{Message: "the condition is empty", Hint: "leave when: out to match always"}}
	case len(text) > MaxText:
		return nil, []Problem{{Message: fmt.Sprintf("the condition has %d bytes; at most %d are read", len(text), MaxText)}}
	}
	parsed, issues := e.cel.Parse(text)
	if issues.Err() != nil {
		return nil, translate(text, issues.Errors())
	}
	r := resolver{env: e, text: text, ast: parsed.NativeRep()}
	r.expr(r.ast.Expr(), nil, false)
	if len(r.ps) > 0 {
		return nil, r.sorted()
	}
	checked, issues := e.cel.Check(parsed)
	if issues.Err() != nil {
		return nil, translate(text, issues.Errors())
	}
	if ps := typed(checked.OutputType()); ps != nil {
		return nil, ps
	}
	est, err := e.cel.EstimateCost(checked, sizes{r.vars})
	if err != nil {
		return nil, []Problem{{Message: fmt.Sprintf("the cost of the condition cannot be estimated: %v", err)}}
	}
	if est.Max > MaxCost {
		return nil, []Problem{{Message: fmt.Sprintf("the condition may cost %d for one request; the most is %d", est.Max, MaxCost),
			Hint: "ask match: first, shorten regular expressions, and do not nest all(), exists() and map()"}}
	}
	prog, err := e.cel.Program(checked, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, []Problem{{Message: fmt.Sprintf("the condition cannot be compiled: %v", err)}}
	}
	return &Program{Text: text, Cost: est.Max, env: e, vars: r.vars, prog: prog, ast: checked}, nil
}

// translate words the library's errors.
func translate(text string, errs []*cel.Error) (ps []Problem) {
	for _, err := range errs {
		ps = append(ps, Problem{Offset: offsetOf(text, err.Location), Message: message(err.Message), Hint: hint(err.Message)})
	}
	slices.SortStableFunc(ps, func(a, b Problem) int { return a.Offset - b.Offset })
	return slices.CompactFunc(ps, func(a, b Problem) bool { return a.Offset == b.Offset && a.Message == b.Message })
}

// offsetOf turns line and column, which counts characters, into bytes.
func offsetOf(text string, at common.Location) int {
	if at == nil || at.Line() < 1 {
		return 0
	}
	offset := 0
	for range at.Line() - 1 {
		i := strings.IndexByte(text[offset:], '\n')
		if i < 0 {
			break
		}
		offset += i + 1
	}
	return offset + bytesOf(text[offset:], at.Column())
}

// bytesOf is how many bytes the first n characters have.
func bytesOf(text string, n int) int {
	for i := range text {
		if n <= 0 {
			return i
		}
		n--
	}
	return len(text)
}

var (
	overload = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'`)
	mismatch = regexp.MustCompile(`^expected type '(.*)' but found '(.*)'`)
	expected = regexp.MustCompile(`,? expecting \{?.*$`)
)

// message words one error of the library without its jargon.
func message(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if m := overload.FindStringSubmatch(text); m != nil {
		return applied(m[1], m[2])
	}
	if m := mismatch.FindStringSubmatch(text); m != nil {
		return "this is " + typeName(m[2]) + ", and " + typeName(m[1]) + " belongs here"
	}
	if rest, ok := strings.CutPrefix(text, "Syntax error: "); ok {
		rest = expected.ReplaceAllString(rest, "")
		if strings.HasPrefix(rest, "mismatched input '<EOF>'") {
			return "the condition ends too early"
		}
		return "syntax error: " + strings.NewReplacer("'<EOF>'", "the end", "<EOF>", "the end").Replace(rest)
	}
	return text
}

// applied says that an operator or function does not take what it is given.
func applied(function, args string) string {
	args = strings.TrimSuffix(strings.TrimPrefix(strings.Replace(args, ".(", ", ", 1), "("), ")")
	var types []string
	for _, t := range splitTypes(args) {
		types = append(types, typeName(t))
	}
	list := strings.Join(types, " and ")
	name := strings.Trim(strings.TrimPrefix(function, "@"), "_")
	switch name {
	case "==", "!=", "<", "<=", ">", ">=":
		return name + " cannot compare " + list
	case "in":
		return "in does not take " + list
	case "&&", "||", "!", "?_:":
		return strings.Replace(name, "?_:", "? :", 1) + " does not take " + list
	case "[":
		return "[ ] does not take " + list
	}
	return strings.Trim(name, "[]") + " does not take " + list
}

// splitTypes splits at the commas outside of brackets.
func splitTypes(s string) (out []string) {
	depth, start := 0, 0
	for i, c := range s {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, strings.TrimSpace(s[start:i]))
				start = i + 1
			}
		}
	}
	if rest := strings.TrimSpace(s[start:]); rest != "" {
		out = append(out, rest)
	}
	return out
}

// typeName is a type of the library in words.
func typeName(t string) string {
	switch t {
	case "string":
		return "text"
	case "int", "uint":
		return "a number"
	case "double":
		return "a fraction"
	case "bool":
		return "true or false"
	case "null_type":
		return "null"
	case "list(string)":
		return "a list of text"
	case "list(int)":
		return "a list of numbers"
	case "list(bool)":
		return "a list of true and false"
	case "map(string, bool)":
		return "a list from lists: or countries:"
	}
	return t
}

func hint(text string) string {
	m := overload.FindStringSubmatch(text)
	switch {
	case m != nil && strings.Contains(m[2], "string") && strings.Contains(m[2], "int") && strings.Contains(m[1], "="):
		return `text stands in quotes, numbers do not`
	case m != nil && strings.HasPrefix(m[1], "@in"):
		return `on the right of in stands a list: ["a", "b"] or lists.name`
	case m != nil && (m[1] == "_&&_" || m[1] == "_||_"):
		return "both sides must be conditions"
	case strings.Contains(text, "token recognition error at: '= "), strings.Contains(text, "token recognition error at: '='"):
		return "write == to compare"
	}
	return ""
}
