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
	return escaped(b, func(out []byte, r rune, octets []byte) []byte {
		switch {
		case r == '\t':
			return append(out, '\t')
		case r < 0x80, r == utf8.RuneError && len(octets) == 1:
			return append(out, '\\', 'x', hex[octets[0]>>4], hex[octets[0]&15])
		case r > 0xffff:
			out = append(out, '\\', 'U', '0', '0', hex[r>>20&15], hex[r>>16&15])
			return append(out, hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		}
		return unit(out, r)
	})
}

// Terminal passes text on to w, made plain: whatever a command prints, it does
// not move the terminal. Each Write has to be whole characters.
func Terminal(w io.Writer) io.Writer { return writer{w, Text} }
