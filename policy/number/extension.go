package number

import (
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
)

// extensions is what an extension looks like. Most numbers are longer than any
// of them, and are told by that.
type extensions struct {
	re      *regexp.Regexp
	longest int
}

// maxExtensions bounds the expression in instructions, as policy bounds its own:
// it is tried on the number of every call.
const maxExtensions = 2000

func compileExtensions(text string) (extensions, error) {
	if len(text) > maxExtensions {
		return extensions{}, fmt.Errorf("the regular expression has %d characters, at most %d are allowed", len(text), maxExtensions)
	}
	re, err := regexp.Compile("^(?:" + text + ")$")
	if err != nil {
		return extensions{}, err
	}
	tree, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		return extensions{}, err
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return extensions{}, err
	}
	if n := len(prog.Inst); n > maxExtensions {
		return extensions{}, fmt.Errorf("the regular expression has %d instructions, at most %d are allowed: a{1,999} has as many as it repeats", n, maxExtensions)
	}
	return extensions{re, longest(tree)}, nil
}

// match returns the digits as a text when they are an extension.
func (e *extensions) match(d []byte) (string, bool) {
	if len(d) > e.longest {
		return "", false
	}
	text := string(d)
	return text, e.re.MatchString(text)
}

// longest is the length of the longest text that an expression may match, in
// characters.
func longest(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpQuest:
		return longest(re.Sub[0])
	case syntax.OpRepeat:
		if re.Max >= 0 {
			return times(longest(re.Sub[0]), re.Max)
		}
		return math.MaxInt
	case syntax.OpStar, syntax.OpPlus:
		return math.MaxInt
	case syntax.OpConcat, syntax.OpAlternate:
		n := 0
		for _, sub := range re.Sub {
			switch l := longest(sub); {
			case re.Op == syntax.OpAlternate:
				n = max(n, l)
			case l == math.MaxInt:
				return l
			default:
				n += l
			}
		}
		return n
	}
	return 0 // anchors and the empty text
}

func times(n, by int) int {
	if n == math.MaxInt {
		return n
	}
	return n * by
}
