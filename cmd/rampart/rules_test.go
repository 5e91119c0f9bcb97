package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rampart-sbc/rampart/config"
)

// A policy may name anything as a list. A pipe would be waited for, a device
// read for ever.
func TestOnlyFilesAreRead(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/zero", t.TempDir()} {
		if _, err := readBounded(path); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if b, err := config.ThisHost().ReadFile("/dev/zero"); err != nil || len(b) != 64<<20+1 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	file := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(file, []byte("+44\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, read := range []func(string) ([]byte, error){readBounded, config.ThisHost().ReadFile} {
		if b, err := read(file); err != nil || string(b) != "+44\n" {
			t.Errorf("%q, %v", b, err)
		}
	}
}
