package peers

import (
	"bufio"
	"fmt"
	"io"
)

// netstrings reads "LENGTH:OCTETS," units (cr.yp.to/proto/netstrings).
type netstrings struct{ r *bufio.Reader }

func newNetstrings(r io.Reader) netstrings { return netstrings{bufio.NewReader(r)} }

func (s netstrings) next() ([]byte, error) {
	n := 0
	for digits := 0; ; digits++ {
		c, err := s.r.ReadByte()
		if err != nil {
			return nil, err
		}
		if c == ':' && digits > 0 {
			break
		}
		if c < '0' || c > '9' || digits > 7 {
			return nil, fmt.Errorf("netstring: length has %q", c)
		}
		n = n*10 + int(c-'0')
	}
	b := make([]byte, n+1)
	if _, err := io.ReadFull(s.r, b); err != nil {
		return nil, err
	}
	if b[n] != ',' {
		return nil, fmt.Errorf("netstring: ends with %q", b[n])
	}
	return b[:n], nil
}
