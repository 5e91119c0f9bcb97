package policy

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/rules"
)

var update = flag.Bool("update", false, "write the generated schema and pages")

// generated compares a file with what the code says, or writes it.
func generated(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says (%v); run go generate ./policy", path, err)
	}
}

// Every key is described, every description is of a key, and the schema and
// the page say so.
func TestReferenceIsCurrent(t *testing.T) {
	seen := map[string]bool{}
	s := strictyaml.Schema(fileYAML{}, strictyaml.Notes{
		Describe: func(path string) string {
			k, ok := keyAt(path)
			if !ok {
				t.Errorf("%s is not described in keys.go", path)
			}
			seen[k.Section+" "+k.Name] = true
			return strings.ReplaceAll(k.Doc, "`", "")
		},
		Words: func(path string) []string { k, _ := keyAt(path); return k.Words },
	})
	for _, k := range Keys() {
		if !seen[k.Section+" "+k.Name] {
			t.Errorf("%s.%s is described and does not exist", k.Section, k.Name)
		}
	}
	s["$id"], s["title"] = "policy.json", "A policy file of Rampart"
	want, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	generated(t, "schema/policy.json", append(want, '\n'))
	generated(t, "../docs/reference/policy-keys.md", page())
}

// sections of the page, in their order, with what they are.
var sections = []struct{ name, title string }{
	{"file", "The file"}, {"countries", "`countries:`"}, {"lists", "`lists:`, by name"},
	{"entry", "Entries of `rules:` and `limits:`"}, {"rules", "Rules only"}, {"limits", "Limits only"}, {"exceptions", "Exceptions: `match`, `when`, `owner`, `ticket`, `expires`, and"},
	{"match", "`match:`"}, {"party", "`match.to:` and `match.from:`"}, {"source", "`match.source:`"},
	{"tests", "`tests:`, and their `events:`"}, {"request", "A request of a test"}, {"expect", "`expect:` as a mapping"}, {"home", "`home:`"},
}

func page() []byte {
	var b bytes.Buffer
	b.WriteString("<!-- Made from the code by go generate ./policy; change it there. -->\n# Keys of policy files\nA JSON Schema for editors: `rampart schema policy`. An unknown key is an error. Numbers and prefixes need quotes.\n")
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n| key | meaning |\n|---|---|\n", s.title)
		for _, k := range Keys() {
			if k.Section != s.name {
				continue
			}
			words := ""
			if k.Words != nil {
				words = " One of `" + strings.Join(k.Words, "`, `") + "`."
			}
			fmt.Fprintf(&b, "| `%s` | %s%s |\n", k.Name, k.Doc, words)
		}
	}
	return b.Bytes()
}

// The page of packs is made of the packs: their first comment, and each entry
// with its description or the comment above it.
func TestPacksPageIsCurrent(t *testing.T) {
	var b strings.Builder
	b.WriteString("<!-- Made from the packs by go generate ./policy; change it there. -->\n# Shipped packs\nName them in `policy: {use: […]}`; all of them are in use unless you say otherwise. To change an entry write one with its id in a file of your own; `mode: off` is rid of it, `exceptions:` opens it for some.\n")
	plan, err := number.Compile(number.Home{Country: "FR"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []Source
	for _, name := range rules.Names() {
		data, _ := rules.Pack(name)
		all = append(all, Source{Name: name, Data: data, Pack: true})
	}
	for _, name := range []string{"office", "call-centre"} {
		data, _ := rules.Profile(name)
		all = append(all, Source{Name: name, Data: data, Pack: true, Profile: true})
	}
	for _, src := range all {
		name, data := src.Name, src.Data
		sources := []Source{src}
		if src.Profile {
			sources = append(slices.DeleteFunc(slices.Clone(all), func(s Source) bool { return s.Profile }), src)
		}
		set, ps := Compile(sources, Options{Plan: plan})
		if set == nil {
			t.Fatal(ps)
		}
		lines := strings.Split(string(data), "\n")
		title := name
		if src.Profile {
			title = "profile: " + name
		}
		list := slices.DeleteFunc(slices.Clone(set.Rules()), func(r RuleInfo) bool { return r.File != name })
		fmt.Fprintf(&b, "\n## %s\n%s", title, prose(lines))
		if len(list) > 0 {
			b.WriteString("\n| entry | on | does | severity | what for |\n|---|---|---|---|---|\n")
		}
		for _, r := range list {
			about := r.Description
			if about == "" {
				about = above(lines, r.Line)
			}
			if about == "" {
				about = strings.NewReplacer("{", "`", "}", "`").Replace(r.Why)
			}
			if about == "" {
				t.Errorf("%s says nowhere what it is for", r.ID)
			}
			does := "`" + r.Then + "`"
			if r.Mode != "enforce" {
				does += ", " + r.Mode
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", r.ID, strings.Join(r.On, ", "), does, r.Severity, about)
		}
	}
	generated(t, "../docs/reference/packs.md", []byte(b.String()))
}

// prose is the comment at the head of a file; what is indented in it is code.
func prose(lines []string) string {
	var b strings.Builder
	code, blank := false, false
	for _, l := range lines {
		text, ok := strings.CutPrefix(l, "#")
		if !ok {
			break
		}
		if text = strings.TrimPrefix(text, " "); text == "" {
			blank = true
			continue
		}
		rest, indented := strings.CutPrefix(text, "  ")
		if code && !indented {
			b.WriteString("```\n")
		}
		if blank {
			b.WriteByte('\n')
		}
		if indented && !code {
			b.WriteString("```yaml\n")
		}
		b.WriteString(rest + "\n")
		code, blank = indented, false
	}
	if code {
		b.WriteString("```\n")
	}
	return b.String()
}

// above is the comment right above a line, in one.
func above(lines []string, line int) string {
	var out []string
	for i := line - 2; i >= 0; i-- {
		text, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "#")
		if !ok {
			break
		}
		out = append([]string{strings.TrimSpace(text)}, out...)
	}
	return strings.Join(out, " ")
}

func TestEverySectionIsOnThePage(t *testing.T) {
	for _, k := range Keys() {
		if !strings.Contains(string(page()), "| `"+k.Name+"` | "+k.Doc) {
			t.Errorf("%s.%s is not on the page", k.Section, k.Name)
		}
	}
}

// validator compiles the schema.
func validator(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("policy.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("policy.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What ships is valid, and so is every example of the pages; what is misspelt
// or of the wrong shape is not.
func TestSchemaJudgesLikeTheDecoder(t *testing.T) {
	s := validator(t)
	valid := func(name string, data []byte) {
		t.Helper()
		v, ps := strictyaml.Generic(name, data)
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	n := 0
	for _, dir := range []string{"../rules/*.yaml", "../rules/profiles/*.yaml"} {
		files, err := filepath.Glob(dir)
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			valid(f, data)
			n++
		}
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range pages {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(data), "```yaml\n")[1:] {
			src, _, _ := strings.Cut(part, "```")
			if strings.HasPrefix(src, "version: 1") || strings.Contains(src, "\nversion: 1\n") {
				valid(fmt.Sprintf("%s, example %d", f, i+1), []byte(src))
				n++
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d files and examples", n)
	}
	for _, bad := range []string{
		"rules: []\n",
		"version: 1\nrulez: []\n",
		"version: 1\nrules: [{on: invite, then: drop}]\n",
		"version: 1\nrules: [{id: a/b, on: invitation, then: drop}]\n",
		"version: 1\nrules: [{id: a/b, on: invite, then: destroy}]\n",
		"version: 1\nrules: [{id: a/b, on: invite, match: {to: {class: cheap}}, then: drop}]\n",
		"version: 1\nrules: [{id: a/b, on: invite, match: {stranger: maybe}, then: drop}]\n",
		"version: 1\nlimits: [{id: a/b, on: invite, key: [colour], concurrent: 3, then: drop}]\n",
		"version: 1\nlimits: [{id: a/b, on: invite, rate: fast, then: drop}]\n",
		"version: 1\ncountries: {default: maybe}\n",
		"version: 1\ncountries: {allow: [france]}\n",
		"version: 1\nexceptions: [{owner: alice}]\n",
		"version: 1\ntests: [{invite: {to: \"1\"}, expect: allow}]\n",
	} {
		v, ps := strictyaml.Generic("bad.yaml", []byte(bad))
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		if s.Validate(v) == nil {
			t.Errorf("valid by the schema:\n%s", bad)
		}
		if _, ps := Compile([]Source{{Name: "bad.yaml", Data: []byte(bad)}}, Options{}); ps.Err() == nil {
			t.Errorf("valid by the compiler:\n%s", bad)
		}
	}
}
