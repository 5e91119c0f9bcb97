// Package history answers: which policies were in force, what stood in their
// files, and is one of them pinned?
//
// A [Store] is a directory of the gateway's state with one file per policy that
// came into force, oldest first by name, and one that says which of them is
// pinned. It keeps bytes: it does not compile, compare or choose a policy, and
// knows nothing of rules.
//
// The gateway is the only writer; other processes may read at any time, as
// files are written aside and renamed. What is kept is bounded in number and
// size, the oldest go first, the pinned one and the newest stay. Time is given
// by the caller. A directory that cannot be written costs the history, never
// the policy in force: the caller tells and goes on.
//
// Start reading at [Store.Add].
package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Caps on what is kept. A policy beyond MaxEntry is listed without its files,
// so nobody can go back to it.
const (
	MaxEntries = 20
	MaxEntry   = 32 << 20 // bytes of all its files
	MaxTotal   = 96 << 20 // bytes of the directory
)

// File is one file of a policy as it was.
type File struct {
	Name    string `json:"name"`
	Pack    bool   `json:"pack,omitempty"`    // shipped
	Profile bool   `json:"profile,omitempty"` // shipped, the preset of a profile
	List    bool   `json:"list,omitempty"`    // named by lists: of another
	Data    []byte `json:"data"`
}

// Entry is a policy that came into force.
type Entry struct {
	Revision string    `json:"revision"`
	At       time.Time `json:"at"`
	By       string    `json:"by"`           // start, signal, api, watch or rollback
	Of       string    `json:"of,omitempty"` // by rollback: the revision it had then, where it has another now
	Rules    int       `json:"rules"`
	Limits   int       `json:"limits"`
	TooLarge bool      `json:"too_large,omitempty"` // its files were not kept
	Files    []File    `json:"files,omitempty"`
}

// Pin says that an old policy stays in force whatever the files say.
type Pin struct {
	Revision string    `json:"revision"`
	At       time.Time `json:"at"`
	By       string    `json:"by"`
}

// Store keeps the entries in a directory.
type Store struct {
	dir string
	mu  sync.Mutex

	maxEntry, maxTotal int64
}

// Dir is the place of the history in a state directory.
func Dir(state string) string { return filepath.Join(state, "policy-history") }

// Open names the directory; it is made when something is written.
func Open(dir string) *Store { return &Store{dir: dir, maxEntry: MaxEntry, maxTotal: MaxTotal} }

const pinFile = "pinned.json"

// Add notes that a policy came into force. One that is the newest already is
// not noted again.
func (s *Store) Add(e Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, err := s.names()
	if err != nil {
		return err
	}
	next := 1
	if n := len(names); n > 0 {
		if strings.HasSuffix(names[n-1], "-"+e.Revision+".json") {
			return nil
		}
		fmt.Sscanf(names[n-1], "%d", &next)
		next++
	}
	size := int64(0)
	for _, f := range e.Files {
		size += int64(len(f.Data))
	}
	if size > s.maxEntry {
		e.Files, e.TooLarge = nil, true
	}
	if err := s.write(fmt.Sprintf("%08d-%s.json", next, e.Revision), e); err != nil {
		return fmt.Errorf("policy history: %w", err)
	}
	return s.evict()
}

// evict removes the oldest beyond the caps, never the newest or the pinned.
func (s *Store) evict() error {
	names, err := s.names()
	if err != nil {
		return err
	}
	pinned, err := s.pinned()
	if err != nil {
		return err
	}
	total, sizes := int64(0), map[string]int64{}
	for _, n := range names {
		if st, err := os.Stat(filepath.Join(s.dir, n)); err == nil {
			sizes[n] = st.Size()
			total += st.Size()
		}
	}
	left := len(names)
	keep := "" // the newest entry of the pinned policy
	for _, n := range names {
		if pinned != nil && strings.HasSuffix(n, "-"+pinned.Revision+".json") {
			keep = n
		}
	}
	for _, n := range names[:max(0, len(names)-1)] {
		if left <= MaxEntries && total <= s.maxTotal {
			break
		}
		if n == keep {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, n)); err != nil {
			return fmt.Errorf("policy history: %w", err)
		}
		left, total = left-1, total-sizes[n]
	}
	return nil
}

// List returns the entries without their files, newest first.
func (s *Store) List() ([]Entry, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, n := range slices.Backward(names) {
		e, err := s.read(n)
		if errors.Is(err, fs.ErrNotExist) {
			continue // evicted meanwhile
		}
		if err != nil {
			return out, err
		}
		for i := range e.Files {
			e.Files[i].Data = nil
		}
		out = append(out, e)
	}
	return out, nil
}

// ErrUnknown says that no entry has the revision.
var ErrUnknown = errors.New("the history has no policy")

// Load returns the newest entry whose revision begins with the text; more than
// one revision is an error.
func (s *Store) Load(revision string) (Entry, error) {
	if len(revision) < 4 {
		return Entry{}, fmt.Errorf("%w %q: write four characters of the revision or more", ErrUnknown, revision)
	}
	names, err := s.names()
	if err != nil {
		return Entry{}, err
	}
	found := ""
	for _, n := range slices.Backward(names) {
		_, rev, _ := strings.Cut(strings.TrimSuffix(n, ".json"), "-")
		if !strings.HasPrefix(rev, revision) {
			continue
		}
		if found == "" {
			found = n
		} else if !strings.HasSuffix(found, "-"+rev+".json") {
			return Entry{}, fmt.Errorf("revision %s could be several policies: write more of it", revision)
		}
	}
	if found == "" {
		return Entry{}, fmt.Errorf("%w %q", ErrUnknown, revision)
	}
	e, err := s.read(found)
	if err == nil && e.TooLarge {
		err = fmt.Errorf("the files of policy %s were too large to be kept (%d MiB)", e.Revision, MaxEntry>>20)
	}
	return e, err
}

// Pin pins a policy of the history, or with nil none.
func (s *Store) Pin(p *Pin) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p == nil {
		if err := os.Remove(filepath.Join(s.dir, pinFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("policy history: %w", err)
		}
		return nil
	}
	if err := s.write(pinFile, p); err != nil {
		return fmt.Errorf("policy history: %w", err)
	}
	return nil
}

// Pinned returns what is pinned, nil for nothing.
func (s *Store) Pinned() (*Pin, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pinned()
}

func (s *Store) pinned() (*Pin, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, pinFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var p Pin
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return nil, fmt.Errorf("policy history: %s: %w", pinFile, err)
	}
	return &p, nil
}

// names of the entries, oldest first.
func (s *Store) names() ([]string, error) {
	ents, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("policy history: %w", err)
	}
	var out []string
	for _, e := range ents {
		if n := e.Name(); len(n) > 9 && n[8] == '-' && strings.HasSuffix(n, ".json") && strings.Trim(n[:8], "0123456789") == "" {
			out = append(out, n)
		}
	}
	return out, nil // ReadDir sorts
}

func (s *Store) read(name string) (e Entry, err error) {
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil {
		return e, fmt.Errorf("policy history: %s: %w", name, err)
	}
	return e, nil
}

// write puts a file there whole: policies and lists name people and numbers, so
// it is for the owner alone.
func (s *Store) write(name string, v any) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(s.dir, name))
}
