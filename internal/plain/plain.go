// Package plain answers: can this text move a terminal, or pretend to be
// another line?
//
// JSON leaves more in its strings than is good for a terminal: the C1 controls
// (one of them begins an escape sequence), DEL, the characters that turn the
// direction of writing. [JSON] writes them as \u escapes, which mean the same
// to whoever parses the line. [Handler] keeps a log from being filled: what is
// said too often is counted instead.
//
// It does not decide what is logged, and cleans nothing but output. The Handler
// owns its table, which has a fixed size; time comes from the records. It fails
// towards silence of repeats, never of the first line of a kind.
//
// Start reading at [Handler].
package plain

import (
	"io"
	"unicode"
	"unicode/utf8"
)

const hex = "0123456789abcdef"

// JSON is JSON text without characters that a terminal does not show as
// themselves. Outside of strings it has none, so each becomes an escape; line
// feeds, which separate values, stay. What needs no change is returned as it is.
func JSON(b []byte) []byte {
	at := first(b)
	if at == len(b) {
		return b
	}
	out := append(make([]byte, 0, len(b)+64), b[:at]...)
	for i := at; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		switch {
		case shown(r, size):
			out = append(out, b[i:i+size]...)
		case r > 0xffff:
			r -= 0x10000
			out = unit(unit(out, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			out = unit(out, r)
		}
		i += size
	}
	return out
}

// first is where the first character is that is not shown.
func first(b []byte) int {
	for i := 0; i < len(b); {
		if c := b[i]; c >= ' ' && c < 0x7f || c == '\n' {
			i++
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if !shown(r, size) {
			return i
		}
		i += size
	}
	return len(b)
}

func shown(r rune, size int) bool {
	return r == '\n' || unicode.IsPrint(r) && (r != utf8.RuneError || size > 1)
}

func unit(out []byte, r rune) []byte {
	return append(out, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// Writer passes JSON on to w, made plain. Each Write has to be whole
// characters, as encoders write whole lines.
func Writer(w io.Writer) io.Writer { return writer{w} }

type writer struct{ w io.Writer }

func (p writer) Write(b []byte) (int, error) {
	if _, err := p.w.Write(JSON(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}
