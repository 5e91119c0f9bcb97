package plain

import (
	"io"
	"unicode/utf8"
)

// Text is text without characters that a terminal does not show as themselves:
// each becomes a visible escape, which is the end of it, as text has no quotes
// to undo it in. Line feeds and tabs stay. What needs no change is returned as
// it is.
func Text(b []byte) []byte {
	at := first(b)
	if at == len(b) {
		return b
	}
	out := append(make([]byte, 0, len(b)+64), b[:at]...)
	for i := at; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		switch {
		case shown(r, size), r == '\t':
			out = append(out, b[i:i+size]...)
		case r < 0x80, r == utf8.RuneError && size == 1:
			out = append(out, '\\', 'x', hex[b[i]>>4], hex[b[i]&15])
		case r > 0xffff:
			out = append(out, '\\', 'U', '0', '0', hex[r>>20&15], hex[r>>16&15])
			out = append(out, hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			out = unit(out, r)
		}
		i += size
	}
	return out
}

// Terminal passes text on to w, made plain: whatever a command prints, it does
// not move the terminal. Each Write has to be whole characters.
func Terminal(w io.Writer) io.Writer { return terminal{w} }

type terminal struct{ w io.Writer }

func (p terminal) Write(b []byte) (int, error) {
	if _, err := p.w.Write(Text(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}
