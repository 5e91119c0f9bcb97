package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
)

const (
	maxLine   = 1 << 20 // of JSON; the gateway writes none that is a tenth of it
	chunkSize = 256 << 10
)

// chunk is some whole lines, and the events that they are.
type chunk struct {
	first int // number of the first line
	data  []byte
	lines []line
	bad   []BadLine
	done  chan struct{}
}

// BadLine is a line that could not be read.
type BadLine struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

// read decodes lines on several goroutines and gives them in the order of the
// file. At most twice as many chunks as goroutines are in memory.
func read(r io.Reader, workers int, rep *Report, give func(*line)) error {
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
		for i := range c.lines {
			give(&c.lines[i])
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
	c.lines = make([]line, 0, bytes.Count(c.data, []byte{'\n'})+1)
	n := c.first - 1
	for text := range bytes.Lines(c.data) {
		n++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		c.lines = append(c.lines, line{})
		if err := c.lines[len(c.lines)-1].decode(text); err != nil {
			c.lines = c.lines[:len(c.lines)-1]
			c.bad = append(c.bad, BadLine{n, err.Error()})
		}
	}
	c.data = nil
}
