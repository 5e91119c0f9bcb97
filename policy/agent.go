package policy

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// agents matches a User-Agent against many expressions that take no notice of
// case. Most of them are plain words, which are looked for as words: that is
// some ten times faster than an expression of them all, and every request
// pays for it.
type agents struct {
	words  []string       // lower case, anywhere
	starts []string       // lower case, at the start
	rest   *regexp.Regexp // what is not plain; may be nil
	all    *regexp.Regexp // everything, for texts that are not plain ASCII
	each   []*regexp.Regexp
	texts  []string // of each, as written
}

// agentBuffer is the longest text that is folded to lower case on the stack.
const agentBuffer = 256

func compileAgents(patterns []string) (*agents, error) {
	if err := regexesFit(patterns); err != nil {
		return nil, err
	}
	m := &agents{texts: patterns}
	var rest []string
	for _, p := range patterns {
		one, err := regexp.Compile("(?i:" + p + ")")
		if err != nil {
			return nil, err
		}
		m.each = append(m.each, one)
		word, start := strings.CutPrefix(p, "^")
		switch {
		case word == "" || regexp.QuoteMeta(word) != word || !ascii(word):
			rest = append(rest, p)
		case start:
			m.starts = append(m.starts, strings.ToLower(word))
		default:
			m.words = append(m.words, strings.ToLower(word))
		}
	}
	var err error
	if m.all, err = oneOf(patterns); err == nil && rest != nil {
		m.rest, err = oneOf(rest)
	}
	return m, err
}

// oneOf is an expression of many. Each is in a group of its own: flags that one
// sets, such as (?-i), end with it and not with the row.
func oneOf(patterns []string) (*regexp.Regexp, error) {
	return regexp.Compile("(?i:(?:" + strings.Join(patterns, ")|(?:") + "))")
}

func (m *agents) match(text string) bool {
	if len(text) > maxAgentText {
		low := strings.ToLower(text)
		for _, w := range m.words {
			if strings.Contains(low, w) {
				return true
			}
		}
		text = text[:maxAgentText]
	}
	if len(text) > agentBuffer || !ascii(text) {
		return m.all.MatchString(text)
	}
	if text == "" && len(m.words)+len(m.starts) > 0 && m.rest == nil {
		return false
	}
	var buf [agentBuffer]byte
	for i := range len(text) {
		c := text[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	low := buf[:len(text)]
	for _, w := range m.starts {
		if len(low) >= len(w) && string(low[:len(w)]) == w {
			return true
		}
	}
	for _, w := range m.words {
		if containsWord(low, w) {
			return true
		}
	}
	return m.rest != nil && m.rest.MatchString(text)
}

// which says which expression matched, for people.
func (m *agents) which(text string) string {
	begin := text[:min(len(text), maxAgentText)]
	for i, re := range m.each {
		if re.MatchString(begin) {
			return m.texts[i]
		}
	}
	if len(begin) < len(text) {
		low := strings.ToLower(text)
		for _, w := range m.words {
			if strings.Contains(low, w) {
				return w
			}
		}
	}
	return ""
}

// containsWord is bytes.Contains for a string, without converting either.
func containsWord(text []byte, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if text[i] == word[0] && string(text[i:i+len(word)]) == word {
			return true
		}
	}
	return false
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
