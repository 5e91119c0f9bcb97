package alert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// node is what the docs show of a JSON Schema.
type node struct {
	Ref         string `json:"$ref"`
	Description string
	Type        any
	Const       any
	Enum        []any
	Pattern     string
	MaxLength   int
	MaxItems    int
	Required    []string
	Properties  map[string]json.RawMessage
	Items       *node
	Defs        map[string]node `json:"$defs"`
}

// fields lists every field of a schema, by its path.
func fields(t *testing.T, kind string) string {
	t.Helper()
	var root node
	if err := json.Unmarshal(Schema(kind), &root); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	var walk func(path string, n node, must bool)
	walk = func(path string, n node, must bool) {
		if n.Ref != "" {
			def, ok := root.Defs[strings.TrimPrefix(n.Ref, "#/$defs/")]
			if !ok {
				t.Fatalf("%s: no %s", path, n.Ref)
			}
			if n.Description != "" {
				def.Description = n.Description
			}
			if strings.HasSuffix(n.Ref, "/time") {
				def.Type, def.Pattern = "time", ""
			}
			n = def
		}
		if n.Items != nil && (n.Items.Ref != "" || n.Items.Properties != nil) {
			walk(path+"[]", *n.Items, must)
			return
		}
		if n.Properties != nil {
			for _, name := range slices.Sorted(maps.Keys(n.Properties)) {
				var p node
				if err := json.Unmarshal(n.Properties[name], &p); err != nil {
					t.Fatal(err)
				}
				full := name
				if path != "" {
					full = path + "." + name
				}
				walk(full, p, must && slices.Contains(n.Required, name))
			}
			return
		}
		typ, text := fmt.Sprint(n.Type), n.Description
		switch {
		case n.Const != nil:
			typ, text = "constant", strings.TrimSpace(text+fmt.Sprintf(" Always `%v`.", n.Const))
		case n.Items != nil:
			typ = "list"
			if text == "" {
				text = n.Items.Description
			}
			if n.Items.Enum != nil {
				text += " " + words(n.Items.Enum)
			}
		case n.Enum != nil && !strings.HasSuffix(path, "event.action"):
			text += " " + words(n.Enum)
		}
		if union, ok := n.Type.([]any); ok {
			typ = strings.Trim(fmt.Sprint(union), "[]")
		}
		text = strings.ReplaceAll(text, " Text from the network: control characters escaped.", " ◇")
		if must {
			path = "**" + path + "**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", path, typ, text)
	}
	walk("", root, true)
	return b.String()
}

func words(in []any) string {
	var out []string
	for _, v := range in {
		out = append(out, fmt.Sprintf("`%v`", v))
	}
	return strings.Join(out, ", ") + "."
}

func actionTable(reserved bool) string {
	var b strings.Builder
	b.WriteString("| event.action | event.kind | meaning | ATT&CK | carriers call it |\n|---|---|---|---|---|\n")
	for _, a := range Actions() {
		if a.Reserved == reserved {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", a.Action, a.Kind, a.Meaning, strings.TrimSpace(a.Technique+" "+a.TechniqueName), strings.Join(a.Fraud, ", "))
		}
	}
	return b.String()
}

// examples shows the golden files: the first in full, the others as the lines they are.
func examples(t *testing.T, dir string, first string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", "testdata", dir, "*.json"))
	if err != nil || len(names) == 0 {
		t.Fatal(err, names)
	}
	var b strings.Builder
	show := func(name string, indented bool) {
		raw, err := os.ReadFile(filepath.Join("..", "testdata", dir, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if !indented {
			var c bytes.Buffer
			if err := json.Compact(&c, raw); err != nil {
				t.Fatal(err)
			}
			raw = c.Bytes()
		}
		fmt.Fprintf(&b, "`%s`\n\n```json\n%s\n```\n\n", name, bytes.TrimSpace(raw))
	}
	show(first, true)
	for _, n := range names {
		if n := strings.TrimSuffix(filepath.Base(n), ".json"); n != first {
			show(n, false)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// TestDocs keeps the generated parts of the pages equal to the code, and checks
// that every JSON example in them is a valid line.
func TestDocs(t *testing.T) {
	day, err := os.ReadFile("../testdata/events/day.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for page, parts := range map[string]map[string]string{
		"alerts": {"actions": actionTable(false), "reserved": actionTable(true), "fields": fields(t, "alert"), "examples": examples(t, "alerts", "call-rejected")},
		"cdr":    {"fields": fields(t, "cdr"), "examples": examples(t, "cdr", "answered")},
		"events": {"fields": fields(t, "event"), "examples": "```json\n" + string(day) + "```\n"},
	} {
		t.Run(page, func(t *testing.T) {
			path := filepath.Join("..", "docs", page+".md")
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text := string(raw)
			for name, want := range parts {
				begin := "<!-- " + name + ": made from the code -->\n"
				_, rest, ok := strings.Cut(text, begin)
				got, _, ok2 := strings.Cut(rest, "<!-- end -->")
				if !ok || !ok2 {
					t.Fatalf("%s has no part %q", path, name)
				}
				if got == want {
					continue
				}
				if !*update {
					t.Errorf("%s: the part %q is out of date; go test ./alert -update", path, name)
				}
				text = strings.Replace(text, begin+got, begin+want, 1)
			}
			if *update {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			schema := compile(t, strings.TrimSuffix(page, "s"))
			n := 0
			for _, m := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(text, -1) {
				dec := json.NewDecoder(strings.NewReader(m[1]))
				for dec.More() {
					var v any
					if err := dec.Decode(&v); err != nil {
						t.Fatalf("%v in %s", err, m[1])
					}
					if err := schema.Validate(v); err != nil {
						t.Errorf("%v in %s", err, m[1])
					}
					n++
				}
			}
			if n < 3 {
				t.Errorf("%d examples", n)
			}
		})
	}
}
