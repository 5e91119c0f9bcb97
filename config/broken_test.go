package config

import (
	"flag"
	"os"
	"testing"
	"testing/fstest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The golden file is what an operator reads: every mistake of broken.yaml with
// its place, in one go.
func TestBroken(t *testing.T) {
	src, err := os.ReadFile("testdata/broken.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{"fullchain.pem": pem(0), "open.pem": pem(0o644)}
	_, got := parse(t, string(src), files)
	got += "\n"
	const golden = "testdata/broken.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
