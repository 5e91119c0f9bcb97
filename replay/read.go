package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/rampart-sbc/rampart/call"
)

const (
	maxLine   = 1 << 20 // of JSON; the gateway writes none that is a tenth of it
	chunkSize = 256 << 10
)

// chunk is some whole lines, and the events that they are.
type chunk struct {
	first  int // number of the first line
	data   []byte
	events []call.Event
	bad    []BadLine
	done   chan struct{}
}

// BadLine is a line that could not be read.
type BadLine struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

// read decodes lines on several goroutines and gives their events in the order
// of the file. At most twice as many chunks as goroutines are in memory.
func read(r io.Reader, workers int, rep *Report, give func(*call.Event)) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	work, inOrder := make(chan *chunk), make(chan *chunk, 2*workers)
	var failed error
	go func() {
		defer close(work)
		defer close(inOrder)
		failed = split(r, func(c *chunk) {
			inOrder <- c
			work <- c
		})
	}()
	for range workers {
		go func() {
			for c := range work {
				c.decode()
				close(c.done)
			}
		}()
	}
	for c := range inOrder {
		<-c.done
		for _, b := range c.bad {
			rep.malformed(b)
		}
		for i := range c.events {
			give(&c.events[i])
		}
	}
	return failed
}

// split cuts what it reads into chunks of whole lines.
func split(r io.Reader, give func(*chunk)) error {
	in := bufio.NewReaderSize(r, chunkSize)
	line, rest := 1, []byte(nil)
	for {
		data := make([]byte, len(rest), len(rest)+chunkSize)
		copy(data, rest)
		n, err := io.ReadFull(in, data[len(data):cap(data)])
		data = data[:len(data)+n]
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return fmt.Errorf("read line %d and those behind it: %w", line, err)
		}
		cut := bytes.LastIndexByte(data, '\n') + 1
		if end {
			cut = len(data)
		}
		rest = data[cut:]
		if cut > 0 {
			c := &chunk{first: line, data: data[:cut], done: make(chan struct{})}
			line += bytes.Count(c.data, []byte{'\n'})
			give(c)
		}
		switch {
		case end:
			return nil
		case len(rest) > maxLine:
			return fmt.Errorf("line %d is longer than %d bytes", line, maxLine)
		}
	}
}

// decode reads the lines of a chunk.
func (c *chunk) decode() {
	c.events = make([]call.Event, 0, len(c.data)/160)
	line := c.first - 1
	for text := range bytes.Lines(c.data) {
		line++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		c.events = append(c.events, call.Event{})
		if err := decodeEvent(text, &c.events[len(c.events)-1]); err != nil {
			c.events = c.events[:len(c.events)-1]
			c.bad = append(c.bad, BadLine{line, err.Error()})
		}
	}
	c.data = nil
}

var kinds = map[call.EventKind]bool{call.EventInvite: true, call.EventRinging: true, call.EventAnswer: true, call.EventEnd: true,
	call.EventRegister: true, call.EventOptions: true, call.EventMessage: true, call.EventFinding: true}

// decodeEvent reads one event.
func decodeEvent(text []byte, ev *call.Event) error {
	if err := json.Unmarshal(text, ev); err != nil {
		return err
	}
	switch {
	case !kinds[ev.Kind]:
		return fmt.Errorf("event %q is none that there is", short(string(ev.Kind)))
	case ev.At.IsZero():
		return errors.New("no time: at is missing")
	case ev.ID == "" && (ev.Kind == call.EventInvite || ev.Kind == call.EventRinging || ev.Kind == call.EventAnswer || ev.Kind == call.EventEnd):
		return errors.New("no id")
	}
	return nil
}

func short(s string) string { return s[:min(len(s), 40)] }
