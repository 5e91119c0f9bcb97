package strictyaml

import (
	"strings"
	"unicode/utf8"
)

// Text is a text that knows where in the file each of its characters stands,
// for languages inside of YAML, whose problems have places of their own. Its
// zero value is an empty text without a place.
type Text struct {
	Value string
	Pos   Pos // of the whole value, its quote or block mark included
	lines []string
}

// UnmarshalNode reads the text as strictly as a string is read.
func (t *Text) UnmarshalNode(n Node) {
	n.Decode(&t.Value)
	t.Pos, t.lines = n.n.pos, n.d.source()
}

// At is the place of the character at an offset, in bytes. Where it cannot be
// known, it is the place of the value.
func (t Text) At(offset int) Pos {
	places := align(t.lines, t.Pos, t.Value)
	if len(places) == 0 {
		return t.Pos
	}
	return places[min(max(offset, 0), len(places)-1)]
}

// excerptWidth is how many characters of a line an excerpt shows.
const excerptWidth = 100

// Excerpt is the line of the text around an offset, and a line below it whose
// caret stands under the character.
func (t Text) Excerpt(offset int) string {
	offset = min(max(offset, 0), len(t.Value))
	start := strings.LastIndexByte(t.Value[:offset], '\n') + 1
	line, _, _ := strings.Cut(t.Value[start:], "\n")
	before := utf8.RuneCountInString(t.Value[start:offset])
	runes := []rune(strings.ReplaceAll(line, "\t", " "))
	head, tail := "", ""
	if cut := before - excerptWidth*3/4; cut > 0 && len(runes) > excerptWidth {
		runes, before, head = runes[cut:], before-cut+1, "…"
	}
	if len(runes) > excerptWidth {
		runes, tail = runes[:excerptWidth], "…"
	}
	return head + string(runes) + tail + "\n" + strings.Repeat(" ", before) + "^"
}

// source gives the lines of the file as the parser saw them.
func (d *decoder) source() []string {
	if d.lines == nil {
		d.lines = strings.Split(strings.ReplaceAll(strings.TrimPrefix(string(d.data), "\ufeff"), "\r\n", "\n"), "\n")
	}
	return d.lines
}

// align finds the places of all bytes of a value, and of its end, by reading
// value and file side by side. It gives nil when they do not agree: then only
// the place of the value is known.
func align(lines []string, pos Pos, value string) []Pos {
	if pos.Line < 1 || pos.Line > len(lines) {
		return nil
	}
	w := walker{lines: lines, row: pos.Line - 1, col: pos.Col - 1}
	w.load()
	if w.col < 0 || w.col >= len(w.line) {
		return nil
	}
	switch w.style = w.line[w.col]; w.style {
	case '"', '\'':
		w.col++
	case '|', '>':
		w.block()
	default:
		w.style = 0
	}
	places := make([]Pos, 0, len(value)+1)
	for i := 0; i < len(value); {
		r, size := utf8.DecodeRuneInString(value[i:])
		for w.continued() {
		}
		at := Pos{w.row + 1, w.col + 1}
		if w.ended() {
			size = w.fold(value[i:])
		} else if !w.take(r) {
			size = 0
		}
		if size == 0 {
			return nil
		}
		for range size {
			places = append(places, at)
		}
		i += size
	}
	return append(places, Pos{w.row + 1, w.col + 1})
}

// walker stands at one character of the file.
type walker struct {
	lines    []string
	row, col int
	line     []rune
	style    rune // " ' | > or 0 for a plain scalar
	indent   int  // of a block scalar
}

func (w *walker) load() {
	w.line = nil
	if w.row < len(w.lines) {
		w.line = []rune(w.lines[w.row])
	}
}

// block goes to the first line of a block scalar.
func (w *walker) block() {
	w.row++
	w.load()
	for row := w.row; row < len(w.lines); row++ {
		if text := strings.TrimLeft(w.lines[row], " "); text != "" {
			w.indent = len(w.lines[row]) - len(text)
			break
		}
	}
	w.col = min(w.indent, len(w.line))
}

func (w *walker) isBlock() bool { return w.style == '|' || w.style == '>' }

// ended reports that nothing of the value is left on this line.
func (w *walker) ended() bool {
	if w.isBlock() {
		return w.col >= len(w.line)
	}
	return strings.TrimSpace(string(w.line[min(w.col, len(w.line)):])) == ""
}

// continued skips a line break that a backslash takes away.
func (w *walker) continued() bool {
	if w.style != '"' || w.col != len(w.line)-1 || w.line[w.col] != '\\' {
		return false
	}
	w.next()
	return true
}

// next goes to the next line that is not blank.
func (w *walker) next() {
	for {
		w.row++
		w.load()
		if w.row >= len(w.lines) || strings.TrimSpace(w.lines[w.row]) != "" {
			break
		}
	}
	lead := len(w.lines[min(w.row, len(w.lines)-1)]) - len(strings.TrimLeft(w.lines[min(w.row, len(w.lines)-1)], " \t"))
	if w.isBlock() {
		lead = min(lead, w.indent)
	}
	w.col = min(lead, len(w.line))
}

// fold takes the blank or the line breaks that a value has for the end of a
// line, and returns how many bytes of it they are.
func (w *walker) fold(value string) int {
	n := len(value) - len(strings.TrimLeft(value, "\n"))
	if n == 0 && value[0] == ' ' {
		n = 1
	}
	if n > 0 {
		w.next()
	}
	return n
}

// take goes over one character, which is r in the value.
func (w *walker) take(r rune) bool {
	got := w.line[w.col]
	switch {
	case w.style == '"' && got == '\\':
		switch w.line[w.col+1] { // a backslash at the end was skipped before
		case 'x':
			w.col += 4
		case 'u':
			w.col += 6
		case 'U':
			w.col += 10
		default:
			w.col += 2
		}
		return w.col <= len(w.line)
	case w.style == '\'' && got == '\'':
		w.col += 2
		return r == '\'' && w.col <= len(w.line)
	}
	w.col++
	return got == r
}

// YAMLShape implements [Shaper].
func (Text) YAMLShape() Shape { return Shape{"type": "string"} }
