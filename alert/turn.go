package alert

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// Turn bounds a file. When the next lines would make it larger than Max, it is
// renamed to NAME.1, what was NAME.1 to NAME.2 and so on, and a new one is
// begun. The Keep latest of the old ones stay. The zero value bounds nothing.
type Turn struct {
	Max  int64 // bytes
	Keep int   // old files
}

// due says that the file is turned over before so many bytes are written. A
// file that holds nothing takes whatever comes.
func (t Turn) due(size int64, more int) bool {
	return t.Max > 0 && size > 0 && size+int64(more) > t.Max
}

// turnOver begins a new file. On an error the old one stays in use, and the
// next write tries again.
func (s *file) turnOver() error {
	f, err := s.begin()
	if err != nil {
		return fmt.Errorf("begin the next file: %w", err)
	}
	s.f.Close() // what was written to it is there
	s.take(f)
	return nil
}

// begin makes the new file before any of the old ones moves: on a full disk
// each try would else push the oldest out for nothing.
func (s *file) begin() (*os.File, error) {
	next := s.path + ".next"
	f, err := openSink(next)
	if err != nil {
		return nil, err
	}
	if err := s.shift(next); err != nil {
		f.Close()
		os.Remove(next)
		return nil, err
	}
	return f, nil
}

// shift gives every file the next number, and next the name of the sink.
func (s *file) shift(next string) error {
	name := func(i int) string { return s.path + "." + strconv.Itoa(i) }
	if _, err := os.Lstat(s.path); errors.Is(err, fs.ErrNotExist) { // somebody moved it away: there is nothing to number
		return os.Rename(next, s.path)
	}
	for i := s.turn.Keep; i > 1; i-- {
		if err := os.Rename(name(i-1), name(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if s.turn.Keep > 0 {
		if err := os.Rename(s.path, name(1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(next, s.path) // with none to keep, in place of the old one
}

func sizeOf(f *os.File) int64 {
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return 0
	}
	return st.Size()
}
