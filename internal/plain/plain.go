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
	return escaped(b, func(out []byte, r rune, _ []byte) []byte {
		if r > 0xffff {
			r -= 0x10000
			return unit(unit(out, 0xd800+r>>10), 0xdc00+r&0x3ff)
		}
		return unit(out, r)
	})
}

// escaped replaces each character that is not shown: escape appends what stands
// for one, which is r, or these octets.
func escaped(b []byte, escape func(out []byte, r rune, octets []byte) []byte) []byte {
	at := first(b)
	if at == len(b) {
		return b
	}
	out := append(make([]byte, 0, len(b)+64), b[:at]...)
	for i := at; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if octets := b[i : i+size]; shown(r, size) {
			out = append(out, octets...)
		} else {
			out = escape(out, r, octets)
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
func Writer(w io.Writer) io.Writer { return writer{w, JSON} }

type writer struct {
	w     io.Writer
	plain func([]byte) []byte
}

func (p writer) Write(b []byte) (int, error) {
	if _, err := p.w.Write(p.plain(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}
