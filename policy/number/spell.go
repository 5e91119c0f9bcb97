package number

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText caps what is looked at: no number is longer, whatever its spelling.
const maxText = 256

// maxSpelt is the longest run of digits that is kept. Prefixes may stand
// before the fifteen digits of a number; more is not a number.
const maxSpelt = 32

// spelt is a number stripped of its spelling.
type spelt struct {
	buf  [maxSpelt]byte
	n    int
	plus bool
}

func (s *spelt) digits() []byte { return s.buf[:s.n] }

// subscriber takes the part of a URI, or of its user part, that names the
// subscriber, and the parameters behind it (RFC 3966 §3, RFC 3261 §19.1.6).
// urn is set when the text is a service URN instead.
func subscriber(text string) (number, params, urn string, ok bool) {
	if len(text) > maxText {
		return "", "", "", false
	}
	if scheme, rest, found := strings.Cut(text, ":"); found {
		switch strings.ToLower(scheme) {
		case "urn":
			return "", "", strings.ToLower(text), true
		case "tel":
			text = rest
		case "sip", "sips":
			at := strings.IndexByte(rest, '@')
			if at < 0 {
				return "", "", "", false // a host, not a subscriber
			}
			text = rest[:at]
			text, _, _ = strings.Cut(text, ":") // a password
		default:
			text = scheme // "user:password"
		}
	}
	if strings.IndexByte(text, '@') >= 0 {
		return "", "", "", false
	}
	number, params, _ = strings.Cut(text, ";")
	return number, params, "", true
}

// spell reads the digits of a number. It undoes one level of escaping: after
// that a "%" is no part of any number, so an escape that was escaped is
// refused, never guessed at.
func spell(text string, s *spelt) bool {
	var raw [maxText]byte
	n := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' {
			if i+2 >= len(text) {
				return false
			}
			hi, lo := unhex(text[i+1]), unhex(text[i+2])
			if hi < 0 || lo < 0 {
				return false
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		raw[n] = c
		n++
	}
	ended := false // only "#" may follow
	for b := raw[:n]; len(b) > 0; {
		r, size := rune(b[0]), 1
		if r >= utf8.RuneSelf {
			if r, size = utf8.DecodeRune(b); r == utf8.RuneError {
				return false
			}
		}
		b = b[size:]
		switch {
		case r >= '0' && r <= '9':
		case separator(r):
			continue
		case r == '+' || r == '＋' || r == '﹢' || r == '⁺':
			if s.n > 0 || s.plus || ended {
				return false
			}
			s.plus = true
			continue
		case r == '#' && s.n > 0: // "dial now" on many phones
			ended = true
			continue
		case (r == ',' || r == 'p' || r == 'P' || r == 'w' || r == 'W') && s.n > 0:
			// A pause: what follows is dialled after the answer and does not
			// change who is called.
			return true
		default:
			d := digit(r)
			if d < 0 {
				return false
			}
			r = '0' + rune(d)
		}
		if ended || s.n == maxSpelt {
			return false
		}
		s.buf[s.n] = byte(r)
		s.n++
	}
	return s.n > 0
}

// separator reports characters that people and phones put between digits, and
// those that cannot be seen at all.
func separator(r rune) bool {
	switch r {
	case '-', '.', '(', ')', ' ', '/', '\t', '[', ']', '~':
		return true
	}
	if r < utf8.RuneSelf {
		return false
	}
	switch {
	case r >= 0x2010 && r <= 0x2015, r == 0x2212, r == 0x30fc, r == 0xff0d, // dashes
		r == 0xff08, r == 0xff09, r == 0xff3b, r == 0xff3d, r == 0xff0e, r == 0xff0f, r == 0x2053, r == 0x223c, r == 0xff5e, // full-width brackets, stop, slash, tildes
		r == 0xb7, r == 0x2022, r == 0x2060: // dots in the middle, word joiner
		return true
	}
	return unicode.In(r, unicode.Zs, unicode.Cf)
}

// digit is the value of a decimal digit of any script, -1 for anything else.
// Unicode encodes the ten digits of a script in a row, zero first, so the
// value follows from the distance to the start of the row.
func digit(r rune) int {
	if r < utf8.RuneSelf {
		return -1
	}
	r16, r32 := unicode.Nd.R16, unicode.Nd.R32
	i := sort.Search(len(r16), func(i int) bool { return rune(r16[i].Hi) >= r })
	if i < len(r16) {
		if lo := rune(r16[i].Lo); r >= lo {
			return int(r-lo) % 10
		}
		return -1
	}
	i = sort.Search(len(r32), func(i int) bool { return rune(r32[i].Hi) >= r })
	if i < len(r32) {
		if lo := rune(r32[i].Lo); r >= lo {
			return int(r-lo) % 10
		}
	}
	return -1
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// phoneContext finds the phone-context parameter. Two of them that differ are
// an attempt to be read in two ways: ok is false.
func phoneContext(params string) (value string, ok bool) {
	for params != "" {
		var p string
		p, params, _ = strings.Cut(params, ";")
		name, v, _ := strings.Cut(p, "=")
		if !strings.EqualFold(name, "phone-context") {
			continue
		}
		if value != "" && v != value {
			return "", false
		}
		value = v
	}
	return value, true
}
