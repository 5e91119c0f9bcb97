package fraud

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// A file of state is a heading, a checksum, and sections: the tables and plain
// values of the Engine and of its detectors, each by its name. A section whose
// name nobody has any more is skipped.

const (
	magic        = "rampart-fraud"
	stateVersion = 1
	maxSections  = 1000
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A part of the state is a table or a plain value.
type part struct {
	name  string
	table kept
	plain reflect.Value
}

// kept is a table, whatever is in it.
type kept interface {
	save(b []byte) ([]byte, error)
	load(r *reader)
	resize(most int, ttl int64)
	limits() (most int, ttl int64)
	sweep(now int64, n int)
	len() int
}

// Snapshot is everything that the Engine knows, for [Engine.Restore]. Calls are
// judged while it is made; events wait.
func (e *Engine) Snapshot() ([]byte, error) {
	e.feed.Lock() // without it nobody writes
	defer e.feed.Unlock()
	return e.state.append(append([]byte(magic), stateVersion, 0, 0, 0, 0))
}

func (s *state) append(b []byte) ([]byte, error) {
	head := len(b)
	all, err := s.parts()
	if err != nil {
		return nil, fmt.Errorf("fraud: state: %w", err)
	}
	waiting, err := json.Marshal(s.batch)
	if err != nil {
		return nil, fmt.Errorf("fraud: state: events that wait: %w", err)
	}
	b = appendSection(b, "batch", func(b []byte) []byte { return append(b, waiting...) })
	for _, p := range all {
		b = appendSection(b, p.name, func(b []byte) []byte {
			if p.table != nil {
				b, err = p.table.save(b)
				return b
			}
			sh, _ := shapeOf(p.plain.Type()) // parts has asked for it
			return sh.value(sh.append(b), p.plain)
		})
		if err != nil {
			return nil, fmt.Errorf("fraud: state: %s: %w", p.name, err)
		}
	}
	binary.LittleEndian.PutUint32(b[head-4:], crc32.Checksum(b[head:], castagnoli))
	return b, nil
}

// appendSection writes a name, a length and what write appends.
func appendSection(b []byte, name string, write func([]byte) []byte) []byte {
	b = appendString(b, name)
	at := len(b)
	b = write(append(b, 0, 0, 0, 0, 0, 0, 0, 0))
	binary.LittleEndian.PutUint64(b[at:], uint64(len(b)-at-8))
	return b
}

// Restore puts back what [Engine.Snapshot] gave. On an error nothing has
// changed. Tables that were larger keep what was touched last.
func (e *Engine) Restore(b []byte) error {
	e.feed.Lock()
	defer e.feed.Unlock()
	s := newState(e.cfg, e.rates)
	if err := s.load(b); err != nil {
		return fmt.Errorf("fraud: state: %w", err)
	}
	s.remind()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state = s
	return nil
}

func (s *state) load(b []byte) error {
	const head = len(magic) + 5
	switch {
	case len(b) < head || string(b[:len(magic)]) != magic:
		return errors.New("not a file of it")
	case b[len(magic)] != stateVersion:
		return fmt.Errorf("version %d is not known", b[len(magic)])
	case binary.LittleEndian.Uint32(b[head-4:]) != crc32.Checksum(b[head:], castagnoli):
		return fmt.Errorf("%w: the checksum does not fit", errDamaged)
	}
	all, err := s.parts()
	if err != nil {
		return err
	}
	byName := map[string]part{}
	for _, p := range all {
		byName[p.name] = p
	}
	r := &reader{b: b[head:]}
	for n := 0; len(r.b) > 0; n++ {
		name := r.string()
		size := r.bytes(8)
		if r.err != nil || n == maxSections || binary.LittleEndian.Uint64(size) > uint64(len(r.b)) {
			return errDamaged
		}
		section := &reader{b: r.bytes(int(binary.LittleEndian.Uint64(size)))}
		if err := s.section(name, byName[name], section); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (s *state) section(name string, p part, r *reader) error {
	switch {
	case name == "batch":
		var waiting []call.Event
		if err := json.NewDecoder(bytes.NewReader(r.b)).Decode(&waiting); err != nil {
			return err
		}
		s.batch = waiting[:min(len(waiting), maxBatch-1)]
	case p.table != nil:
		p.table.load(r)
	case p.plain.IsValid():
		sh := r.shape(0)
		sh.bind(p.plain.Type())
		p.plain.SetZero()
		r.value(&sh, p.plain)
	}
	return r.err
}

// parts are the tables and plain values of the state, found by their types: a
// detector says nothing about them, and none is forgotten. Fields with the tag
// fraud:"-" and parameters (*…Config) are none.
func (s *state) parts() (all []part, err error) {
	seen := map[any]bool{}
	var walk func(v reflect.Value, path string)
	one := func(f reflect.Value, path string) {
		t := f.Type()
		if t.Size() == 0 {
			return
		}
		if k, ok := f.Interface().(kept); ok {
			all = append(all, part{name: path, table: k})
			return
		}
		if t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct {
			if !strings.HasSuffix(t.Elem().Name(), "Config") && !f.IsNil() && !seen[f.Interface()] {
				seen[f.Interface()] = true
				walk(f.Elem(), path)
			}
			return
		}
		if _, bad := shapeOf(t); bad != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", path, bad))
			return
		}
		all = append(all, part{name: path, plain: f})
	}
	walk = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Tag.Get("fraud") != "-" {
				one(settable(v.Field(i)), path+"."+f.Name)
			}
		}
	}
	for _, d := range s.detectors {
		v := reflect.ValueOf(d)
		seen[d] = true
		walk(v.Elem(), v.Elem().Type().Name())
	}
	walk(reflect.ValueOf(s).Elem(), "engine")
	return all, err
}
