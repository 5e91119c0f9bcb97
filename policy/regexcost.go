package policy

import (
	"fmt"
	"regexp/syntax"
)

// Regular expressions here are automata: the time for a text is bounded by the
// size of the program times the length of the text, and whoever sends requests
// chooses the text. Both are capped, so that no rule and no request together
// cost more than some milliseconds.
const (
	maxRegexSize   = 2000  // instructions of one expression: a{1,999} has as many
	maxRegexesSize = 30000 // of those that are tried together
	maxAgentText   = 1024  // octets of a User-Agent that they see; words are found everywhere
)

// regexSize is the number of instructions of an expression's program.
func regexSize(text string) (int, error) {
	re, err := syntax.Parse("(?i:"+text+")", syntax.Perl)
	if err != nil {
		return 0, err
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return 0, err
	}
	return len(prog.Inst), nil
}

// regexesFit says what is wrong with expressions that are tried together.
func regexesFit(patterns []string) error {
	total := 0
	for _, p := range patterns {
		n, err := regexSize(p)
		if err != nil {
			return err
		}
		if total += n; total > maxRegexesSize {
			return fmt.Errorf("the regular expressions have more than %d steps together", maxRegexesSize)
		}
	}
	return nil
}
