package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// asideHas: one of the files that were put aside has this text.
func asideHas(t *testing.T, path, text string) bool {
	t.Helper()
	all, err := filepath.Glob(path + ".damaged-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if b, err := os.ReadFile(name); err == nil && string(b) == text {
			return true
		}
	}
	return false
}

// TestStateFileAside: what is damaged gets a name that none had, the last few
// are kept, also when all happens in one second.
func TestStateFileAside(t *testing.T) {
	t.Parallel()
	f := stateFile{path: filepath.Join(t.TempDir(), "x.json"), most: 20}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	texts := []string{`{"a":`, ``, `{"a": 1} {`, `{"a": "` + strings.Repeat("x", 20) + `"}`, `{"a": 2}`}
	for i, text := range texts {
		if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var v struct{ A any }
		name, err := f.read(&v, func() error {
			if v.A == 2. {
				return errors.New("two")
			}
			return nil
		}, now.Add(time.Duration(i/2)*time.Second))
		if err == nil || !strings.HasPrefix(name, "x.json.damaged-20260301T1200") || f.left {
			t.Fatalf("%q: %q %v", text, name, err)
		}
		if !asideHas(t, f.path, text) {
			t.Errorf("%q is not kept", text)
		}
	}
	for i, text := range texts {
		if asideHas(t, f.path, text) != (i >= len(texts)-keptDamaged) {
			t.Errorf("%q: %d are to be kept", text, keptDamaged)
		}
	}
	if _, err := f.write(map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	var v struct{ A int }
	if name, err := f.read(&v, func() error { return nil }, now); err != nil || name != "" || v.A != 1 {
		t.Errorf("%q %v %v", name, err, v)
	}
}

// TestStateFileUnread: a file that cannot be opened may be whole. It is told of,
// neither put aside nor written over, and the gateway runs.
func TestStateFileUnread(t *testing.T) {
	t.Parallel()
	s := newSite(t, 48, "")
	s.g.close(time.Second)
	for _, name := range []string{"bans", "failures"} {
		path := filepath.Join(s.dir, "state", name+".json")
		os.Remove(path)
		if err := os.Symlink(name+".json", path); err != nil { // a ring: not even root opens it
			t.Fatal(err)
		}
		s.start()
		s.waitAlert(name+"/not-loaded", name+".json is left as it is")
		s.g.bans.Add(call.Ban{Act: call.ActBan, Key: call.Key{User: "x"}, Since: time.Now()}, time.Hour)
		s.g.close(time.Second)
		if to, err := os.Readlink(path); err != nil || to != name+".json" {
			t.Errorf("%s: written over: %q %v", name, to, err)
		}
		if all, _ := filepath.Glob(path + ".damaged*"); len(all) > 0 {
			t.Errorf("put aside: %v", all)
		}
		os.Remove(path)
	}
	s.start()
}
