package alert

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A bounded file never takes more room than was said, loses nothing of what is
// kept and breaks no line.
func TestFileTurnsOver(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	if err := os.WriteFile(path, []byte("0000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := TurningFile(path, Turn{Max: 20, Keep: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 100; i++ {
		if _, err := s.Write(fmt.Appendf(nil, "%04d\n", i)); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) > 3 {
			t.Fatalf("%d files", len(entries))
		}
		for _, e := range entries {
			if st, err := e.Info(); err != nil || st.Size() > 20 {
				t.Fatalf("%v %v", st, err)
			}
		}
	}
	var all []byte
	for _, p := range []string{path + ".2", path + ".1", path} {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	if want := "0088\n0089\n"; !bytes.HasPrefix(all, []byte(want)) || !bytes.HasSuffix(all, []byte("0099\n")) || len(all) != 12*5 {
		t.Errorf("%q", all)
	}
	// One batch beyond the size is written whole, and the next begins anew.
	long := strings.Repeat("x", 40) + "\n"
	for range 2 {
		if _, err := s.Write([]byte(long)); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := os.ReadFile(path); string(b) != long {
		t.Errorf("%q", b)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// When it cannot be turned over nothing more is written, and the sink says so;
// when it can again, it goes on.
func TestFileThatCannotTurn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	s, err := TurningFile(path, Turn{Max: 10, Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Write([]byte("12345678\n")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(path+".1/full", 0o700); err != nil { // a file cannot replace it
		t.Fatal(err)
	}
	if n, err := s.Write([]byte("more\n")); err == nil || n != 0 {
		t.Fatalf("%d %v", n, err)
	}
	if err := os.RemoveAll(path + ".1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("more\n")); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "more\n" {
		t.Errorf("%q", b)
	}
}

// A new file that cannot be made, as on a full disk, costs none of the old
// ones, however often it is tried.
func TestFileThatCannotTurnKeepsTheOld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	s, err := TurningFile(path, Turn{Max: 10, Keep: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	write := func(line string) error {
		_, err := s.Write([]byte(line))
		return err
	}
	for _, line := range []string{"1111111\n", "2222222\n", "3333333\n", "4444444\n"} {
		if err := write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(path+".next", 0o700); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := write("5555555\n"); err == nil {
			t.Fatal("it was turned over")
		}
	}
	if err := os.Remove(path + ".next"); err != nil {
		t.Fatal(err)
	}
	if err := write("5555555\n"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "5555555\n", ".1": "4444444\n", ".2": "3333333\n", ".3": "2222222\n"} {
		if b, _ := os.ReadFile(path + name); string(b) != want {
			t.Errorf("%q: %q", name, b)
		}
	}
}
