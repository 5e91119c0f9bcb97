package history

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 25, 1, 0, 0, 0, time.UTC)

func entry(i int) Entry {
	return Entry{Revision: fmt.Sprintf("%012x", i), At: t0.Add(time.Duration(i) * time.Second), By: "signal", Rules: i,
		Files: []File{{Name: "a.yaml", Data: []byte(fmt.Sprint("version: ", i))}}}
}

func TestHistoryIsBounded(t *testing.T) {
	s := Open(filepath.Join(t.TempDir(), "state", "h"))
	if l, err := s.List(); err != nil || len(l) != 0 {
		t.Fatal(l, err)
	}
	for i := range 30 {
		if err := s.Add(entry(i)); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			if err := s.Pin(&Pin{Revision: entry(3).Revision, At: t0, By: "api"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Add(entry(29)); err != nil { // the newest already
		t.Fatal(err)
	}
	l, err := s.List()
	if err != nil || len(l) != MaxEntries || l[0].Revision != entry(29).Revision || l[len(l)-1].Revision != entry(3).Revision {
		t.Errorf("%d entries, first %+v, last %+v, %v", len(l), l[0], l[len(l)-1], err)
	}
	e, err := s.Load(entry(3).Revision)
	if err != nil || string(e.Files[0].Data) != "version: 3" || !e.At.Equal(entry(3).At) {
		t.Errorf("%+v %v", e, err)
	}
	if _, err := s.Load(entry(4).Revision); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if _, err := s.Load("00000"); err == nil || errors.Is(err, ErrUnknown) {
		t.Error("an ambiguous revision: ", err)
	}
	if p, err := s.Pinned(); err != nil || p.Revision != entry(3).Revision {
		t.Error(p, err)
	}
	if err := errors.Join(s.Pin(nil), s.Pin(nil)); err != nil {
		t.Error(err)
	}
	if p, err := s.Pinned(); err != nil || p != nil {
		t.Error(p, err)
	}
	files, _ := filepath.Glob(filepath.Join(s.dir, "*"))
	for _, f := range append(files, s.dir) {
		if st, err := os.Stat(f); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", f, st.Mode(), err)
		}
	}
}

func TestLargePolicies(t *testing.T) {
	s := Open(t.TempDir())
	s.maxEntry, s.maxTotal = 32<<10, 96<<10
	big := entry(1)
	big.Files[0].Data = bytes.Repeat([]byte("x"), int(s.maxEntry)+1)
	if err := s.Add(big); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(big.Revision); err == nil {
		t.Error("its files were kept")
	}
	for i := range 6 {
		e := entry(10 + i)
		e.Files[0].Data = bytes.Repeat([]byte("y"), int(s.maxEntry)-1)
		if err := s.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	total := int64(0)
	files, _ := filepath.Glob(filepath.Join(s.dir, "*.json"))
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			total += st.Size()
		}
	}
	if total > s.maxTotal || len(files) == 0 {
		t.Errorf("%d files of %d bytes", len(files), total)
	}
	if _, err := s.Load(entry(15).Revision); err != nil {
		t.Error("the newest is gone: ", err)
	}
}

func TestDamagedPin(t *testing.T) {
	s := Open(t.TempDir())
	if err := os.WriteFile(filepath.Join(s.dir, pinFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pinned(); err == nil {
		t.Error("a damaged pin was read")
	}
}
