package alert

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
)

// Sink takes whole lines. One goroutine calls Write; Reopen may come from
// another.
type Sink interface {
	// Name is the sink in logs, alerts and metrics. It comes from the
	// configuration, never from the network.
	Name() string
	// Write takes lines, each with its newline. It returns how many bytes of
	// them are done with, always at the end of a line; the rest is given again.
	Write(lines []byte) (int, error)
	// Reopen starts anew at the same place, for log rotation.
	Reopen() error
	Close() error
}

// file appends to a file.
type file struct {
	path string
	turn Turn
	size int64
	mu   sync.Mutex
	f    *os.File
	torn bool // the last byte written is in the middle of a line
}

// File opens a sink that appends JSON Lines to a file. It is made with mode 0640
// if it does not exist. Reopen closes it and opens the path again, for a
// rotation that renamed it; if that fails the old one stays in use.
func File(path string) (Sink, error) { return TurningFile(path, Turn{}) }

// TurningFile is a File that is bounded: see [Turn].
func TurningFile(path string, t Turn) (Sink, error) {
	s := &file{path: path, turn: t}
	f, err := openSink(s.path)
	if err != nil {
		return nil, err
	}
	s.take(f)
	return s, nil
}

func openSink(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open sink: %w", err)
	}
	return f, nil
}

// take makes f the file that is written. What was killed in the middle of a
// line has left half of one, which the next write ends.
func (s *file) take(f *os.File) {
	s.f, s.size = f, sizeOf(f)
	s.torn = s.size > 0 && !endsLine(s.path, s.size)
}

// endsLine says that the last byte of a file ends a line. A file that cannot be
// read gets the benefit of the doubt: an empty line in each would be worse.
func endsLine(path string, size int64) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	var last [1]byte
	_, err = f.ReadAt(last[:], size-1)
	return err != nil || last[0] == '\n'
}

func (s *file) Name() string { return s.path }

func (s *file) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return 0, os.ErrClosed
	}
	if s.turn.due(s.size, len(lines)) {
		if err := s.turnOver(); err != nil {
			return 0, err // rather lines that are lost and told of than a full disk
		}
	}
	if s.torn { // end the broken line, so that it spoils no other
		if _, err := s.f.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		s.torn = false
		s.size++
	}
	n, err := s.f.Write(lines)
	s.size += int64(n)
	if err == nil {
		return n, nil
	}
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	if part := int64(n - whole); part > 0 {
		if s.torn = !s.cut(part); !s.torn {
			s.size -= part
		}
	}
	return whole, err
}

// cut takes the last n bytes off the file again: a full disk leaves half a line.
func (s *file) cut(n int64) bool {
	st, err := s.f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() < n {
		return false
	}
	return s.f.Truncate(st.Size()-n) == nil
}

func (s *file) Reopen() error {
	f, err := openSink(s.path)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		f.Close()
		return os.ErrClosed
	}
	old := s.f
	s.take(f)
	if err := old.Close(); err != nil {
		return fmt.Errorf("close rotated file: %w", err)
	}
	return nil
}

func (s *file) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return nil
	}
	f := s.f
	s.f = nil
	return f.Close()
}

// writer writes to a stream that somebody else owns.
type writer struct {
	name string
	w    io.Writer
}

// Writer makes a sink of a stream, such as os.Stderr. It is not closed.
func Writer(name string, w io.Writer) Sink { return writer{name, w} }

func (s writer) Name() string  { return s.name }
func (s writer) Reopen() error { return nil }
func (s writer) Close() error  { return nil }

func (s writer) Write(lines []byte) (int, error) {
	n, err := s.w.Write(lines)
	if err != nil {
		n = bytes.LastIndexByte(lines[:n], '\n') + 1
	}
	return n, err
}
