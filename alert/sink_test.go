package alert

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestFileAppendsAndReopens(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "alerts.jsonl")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := File(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(line string) {
		t.Helper()
		if n, err := s.Write([]byte(line)); err != nil || n != len(line) {
			t.Fatalf("%d %v", n, err)
		}
	}
	write("one\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("two\n") // still the renamed file
	if err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	write("three\n")
	for p, want := range map[string]string{path + ".1": "old\none\ntwo\n", path: "three\n"} {
		if got, _ := os.ReadFile(p); string(got) != want {
			t.Errorf("%s holds %q, want %q", p, got, want)
		}
	}
	if st, _ := os.Stat(path); st.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %v", st.Mode())
	}
	// The directory goes away: the open file stays in use.
	if err := os.Rename(dir, dir+"x"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir + "x") })
	if err := s.Reopen(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reopen says %v", err)
	}
	write("four\n")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := s.Write([]byte("x\n")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if _, err := File(filepath.Join(dir, "no", "such", "dir")); err == nil {
		t.Errorf("a file in no directory opens")
	}
}

// A full disk cuts a line in two: the half is taken back.
func TestFileTakesBackHalfALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	s, err := File(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := s.(*file)
	if _, err := f.f.WriteString("whole\nhal"); err != nil {
		t.Fatal(err)
	}
	if !f.cut(3) {
		t.Fatal("cannot cut")
	}
	if _, err := s.Write([]byte("next\n")); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "whole\nnext\n" {
		t.Errorf("%q", got)
	}
	// Where nothing can be taken back, the broken line is ended.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := &file{f: w, torn: true}
	if p.cut(1) {
		t.Errorf("a pipe was cut")
	}
	if _, err := p.Write([]byte("next\n")); err != nil {
		t.Fatal(err)
	}
	p.Close()
	var b bytes.Buffer
	b.ReadFrom(r)
	if b.String() != "\nnext\n" {
		t.Errorf("%q", &b)
	}
}

func TestFileOnFullDevice(t *testing.T) {
	s, err := File("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, err := s.Write([]byte("a\n")); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%d %v", n, err)
	}
}

type half struct{ n int }

func (h half) Write(b []byte) (int, error) { return h.n, errDisk }

func TestWriterCountsWholeLines(t *testing.T) {
	if n, err := Writer("x", half{5}).Write([]byte("one\ntwo\n")); n != 4 || err == nil {
		t.Errorf("%d %v", n, err)
	}
	var b bytes.Buffer
	if n, err := Writer("x", &b).Write([]byte("one\n")); n != 4 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}

// A gateway that was killed in the middle of a line has left half of one: the
// next start, or the next rotation, ends it.
func TestFileEndsHalfALineOfBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	half := func() {
		t.Helper()
		if err := os.WriteFile(path, []byte("whole\n{\"ha"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	half()
	s, err := File(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, when := range []string{"start", "rotation"} {
		if _, err := s.Write([]byte("next\n")); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); string(b) != "whole\n{\"ha\nnext\n" {
			t.Errorf("%s: %q", when, b)
		}
		half()
		if err := s.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
}
