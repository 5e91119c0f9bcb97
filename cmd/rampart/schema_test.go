package main

import (
	"bytes"
	"encoding/json"
	"testing"
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
