package strictyaml

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// Every character of a text is found where it stands in the file, however the
// value is written.
func TestTextKnowsItsPlaces(t *testing.T) {
	for _, c := range []struct {
		name, src string
		mark      string // what is looked for in the value …
		want      Pos    // … and where it stands
	}{
		{"plain", "v: a == 'ü' && bad\n", "bad", Pos{1, 16}},
		{"plain over lines", "v: a\n   && b\n\n   && bad\n", "bad", Pos{4, 7}},
		{"double", `v: "a == \"x\" && bad"`, "bad", Pos{1, 19}},
		{"double with escapes", `v: "\u00e9\x41\t bad"`, "bad", Pos{1, 18}},
		{"double over lines", "v: \"a &&\n  bad\"", "bad", Pos{2, 3}},
		{"double, continued", "v: \"a &\\\n  & bad\"", "bad", Pos{2, 5}},
		{"single", `v: 'a == ''x'' && bad'`, "bad", Pos{1, 19}},
		{"flow", "{w: 1, v: \"a && bad\"}", "bad", Pos{1, 17}},
		{"literal", "v: |\n  a &&\n    bad\n", "bad", Pos{3, 5}},
		{"literal with a gap", "v: |-\n  a &&\n\n  bad\n", "bad", Pos{4, 3}},
		{"folded", "w: 1\nv: >-\n   a &&\n   bad &&\n   c", "bad", Pos{4, 4}},
		{"folded with paragraphs", "v: >\n  a\n\n  b\n     indented\n  bad\n", "bad", Pos{6, 3}},
		{"CR LF", "v: |\r\n  a &&\r\n  bad\r\n", "bad", Pos{3, 3}},
		{"at the end", "v: abc", "", Pos{1, 7}},
	} {
		var out struct {
			W int  `yaml:"w"`
			V Text `yaml:"v"`
		}
		if ps := Decode("f", []byte(c.src), &out); len(ps) > 0 {
			t.Errorf("%s: %s", c.name, ps)
			continue
		}
		offset := strings.Index(out.V.Value, c.mark)
		if c.mark == "" {
			offset = len(out.V.Value)
		}
		if got := out.V.At(offset); got != c.want {
			t.Errorf("%s: %q at %v, want %v (value %q)", c.name, c.mark, got, c.want, out.V.Value)
		}
	}
	var out struct {
		V Text `yaml:"v"`
	}
	for src, want := range map[string]string{
		"v: 0033": "f:1:4: v: 0033 without quotes is a number", "v: [a]": "f:1:4: v: this is a list", "v: true": "f:1:4: v: true without quotes",
	} {
		if got := Decode("f", []byte(src), &out).String(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", src, got)
		}
	}
	if (Text{}).At(3) != (Pos{}) || (Text{Value: "x", Pos: Pos{7, 2}}).At(0) != (Pos{7, 2}) {
		t.Error("a text without a file has the place of its value")
	}
}

func TestExcerpt(t *testing.T) {
	long := Text{Value: strings.Repeat("a", 300) + "X" + strings.Repeat("b", 300)}
	for _, c := range []struct {
		text   Text
		offset int
		want   string
	}{
		{Text{Value: "a == b"}, 5, "a == b\n     ^"},
		{Text{Value: "'ü' == b"}, 9, "'ü' == b\n        ^"},
		{Text{Value: "one\ntwo\nthree"}, 4, "two\n^"},
		{Text{Value: ""}, 9, "\n^"},
		{long, 300, "…" + strings.Repeat("a", 75) + "X" + strings.Repeat("b", 24) + "…\n" + strings.Repeat(" ", 76) + "^"},
	} {
		if got := c.text.Excerpt(c.offset); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
	p := Problem{File: "f", Line: 1, Col: 2, Message: "wrong", Excerpt: "a == b\n     ^", Hint: "right"}
	if got := p.String(); got != "f:1:2: wrong\n      a == b\n           ^\n    hint: right" {
		t.Error(got)
	}
}

// FuzzText: never a panic; a place that is found holds the character, or the
// escape or line break it was written as.
func FuzzText(f *testing.F) {
	for _, s := range []string{"v: a b", "v: \"a\\tb\\\n  c\"", "v: 'a''b'", "v: |\n  a\n\n   b\n", "v: >-\n  a\n  b", "v: a\n  b", "v: |2\n   a", "v: \"\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		var out struct {
			V Text `yaml:"v"`
		}
		if ps := Decode("f", []byte(src), &out); len(ps) > 0 {
			return
		}
		lines := strings.Split(strings.ReplaceAll(strings.TrimPrefix(src, "\ufeff"), "\r\n", "\n"), "\n")
		for i, r := range out.V.Value {
			pos := out.V.At(i)
			if pos == out.V.Pos || r == ' ' || r == '\n' || r < ' ' {
				continue
			}
			line := []rune(lines[pos.Line-1])
			if pos.Col > len(line) || line[pos.Col-1] != r && line[pos.Col-1] != '\\' && utf8.ValidRune(r) {
				t.Fatalf("%q at %v of %q", r, pos, src)
			}
		}
		out.V.Excerpt(len(out.V.Value) / 2)
	})
}
