package main

import (
	"strings"
	"testing"
)

// The whole program, with real calls: what a newcomer runs first must work.
func TestDemo(t *testing.T) {
	var out, errs strings.Builder
	if code := execute([]string{"demo"}, &out, &errs); code != 0 || strings.Contains(out.String(), "FAILED") {
		t.Fatalf("exit code %d, stderr %s, story:\n%s", code, errs.String(), out.String())
	}
	for _, want := range []string{"each hears the other", "403  tel:+1-876-555-0100", "488  a call", `"action":"call-rejected"`, "\nAll "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not say %q:\n%s", want, out.String())
		}
	}
}
