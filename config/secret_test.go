package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretsDoNotPrint(t *testing.T) {
	s := Secret{"hunter2"}
	in := struct {
		User string
		S    Secret
		P    *Secret
	}{"u", s, &s}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s, "in", in)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "in", in)
	js, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%v %+v %#v", in, in, in),
		fmt.Sprint([]Secret{s}, map[string]Secret{"a": s}), string(js), log.String(),
	} {
		if strings.Contains(out, "hunter2") || strings.Contains(out, "68756e746572") {
			t.Errorf("the secret prints: %s", out)
		}
	}
}
