package integration_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// checkLines holds what the program wrote against the schemas that ship: the
// last line may be cut where a test ended the process.
func checkLines(tb testing.TB, dir string) {
	tb.Helper()
	for file, kind := range map[string]string{"alerts.jsonl": "alert", "cdr.jsonl": "cdr", "events.jsonl": "event"} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			tb.Error(err)
			continue
		}
		schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "alert", "schema", kind+".json"))
		if err != nil {
			tb.Error(err)
			continue
		}
		for line := range bytes.Lines(data) {
			if !bytes.HasSuffix(line, []byte("\n")) {
				continue
			}
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
			if err == nil {
				err = schema.Validate(v)
			}
			if err != nil {
				tb.Errorf("%s: %v\n%s", file, err, line)
				break
			}
		}
	}
}
