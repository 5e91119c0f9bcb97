package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestSchema(t *testing.T) {
	for name := range schemas() {
		var out, errs bytes.Buffer
		if code := execute([]string{"schema", name}, &out, &errs); code != 0 || errs.Len() > 0 {
			t.Fatalf("schema %s: %d %s", name, code, errs.String())
		}
		var doc map[string]any
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil || doc["$schema"] == nil {
			t.Errorf("schema %s: %v: %.80s", name, err, out.String())
		}
	}
	var out, errs bytes.Buffer
	if code := execute([]string{"schema", "nothing"}, &out, &errs); code != 2 {
		t.Errorf("an unknown schema: %d", code)
	}
}

// What init writes is valid by the schemas that it writes beside it.
func TestInitIsValidBySchema(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	if code := execute([]string{"init", "-c", filepath.Join(dir, "rampart.yaml"), "--domain", "sip.example.com", "--pbx", "sip:127.0.0.1:5060", "--country", "GB"}, &out, &errs); code != 0 {
		t.Fatal(errs.String())
	}
	for file, name := range map[string]string{"rampart.yaml": "rampart", "policy/local.yaml": "policy"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(text), "\n")
		_, at, ok := strings.Cut(head, "$schema=")
		if !ok {
			t.Fatalf("%s names no schema: %s", file, head)
		}
		s, err := jsonschema.NewCompiler().Compile(filepath.Join(dir, filepath.Dir(file), at))
		if err != nil {
			t.Fatal(err)
		}
		v, ps := strictyaml.Generic(file, text)
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s by %s: %v", file, name, err)
		}
	}
}
