package config

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// described are the rows of the page by key.
func described(t *testing.T) map[string]string {
	rows := map[string]string{}
	code := strings.NewReplacer("`", "", "**", "", `\|`, "|")
	link := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	for line := range strings.Lines(page(t)) {
		cells := strings.Split(strings.TrimSuffix(strings.TrimSpace(line), " |"), " | ")
		if !strings.HasPrefix(line, "| `") || len(cells) < 3 {
			continue
		}
		text := cells[2]
		if cells[1] != "" && cells[1] != "required" && cells[1] != "none" && cells[1] != "see below" {
			text += " Default: " + cells[1] + "."
		}
		text = strings.TrimSpace(link.ReplaceAllString(code.Replace(text), "$1"))
		for _, name := range strings.Split(strings.TrimPrefix(cells[0], "| "), ", ") {
			rows[strings.Trim(name, "`")] = text
		}
	}
	return rows
}

// The schema is what the structs and the page of keys say.
func TestSchemaIsCurrent(t *testing.T) {
	rows := described(t)
	s := strictyaml.Schema(Config{}, strictyaml.Notes{Describe: func(path string) string { return rows[strings.ReplaceAll(path, "[]", "")] }})
	s["$id"], s["title"] = "rampart.json", "rampart.yaml, the configuration of Rampart"
	want, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("schema/rampart.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, Schema()) {
		t.Error("schema/rampart.json is not what the structs and docs/configuration.md say; run go generate ./config")
	}
}

func validator(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("rampart.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("rampart.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What the page shows is valid; what is misspelt or of the wrong shape is not.
func TestSchemaJudgesLikeTheDecoder(t *testing.T) {
	s := validator(t)
	n := 0
	for i, part := range strings.Split(page(t), "```yaml\n")[1:] {
		src, _, _ := strings.Cut(part, "```")
		v, ps := strictyaml.Generic("rampart.yaml", []byte(src))
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("example %d: %v", i+1, err)
		}
		n++
	}
	if n < 8 {
		t.Errorf("only %d examples", n)
	}
	const head = "domain: a.example\npbx: \"sip:10.0.0.5\"\n"
	for _, bad := range []string{
		"domain: a.example\n",
		head + "domian: x\n",
		head + "limits: {calls: many}\n",
		head + "drain_timeout: 10\n",
		head + "media: {dscp: [46]}\n",
		head + "media: {ports: 20000}\n",
		head + "peers: [{uri: \"sip:x.example\"}]\n",
		head + "phones: {redirects: sometimes}\n",
	} {
		v, ps := strictyaml.Generic("rampart.yaml", []byte(bad))
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		if s.Validate(v) == nil {
			t.Errorf("valid by the schema:\n%s", bad)
		}
		if _, ps := Parse("rampart.yaml", []byte(bad), fakeHost(exampleFiles())); ps.Err() == nil {
			t.Errorf("valid by the decoder:\n%s", bad)
		}
	}
}
