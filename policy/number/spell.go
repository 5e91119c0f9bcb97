package number

import (
	"bytes"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText caps what is looked at: no number is longer, whatever its spelling.
const maxText = 256

// maxSpelt is the longest run of characters that is kept. Prefixes may stand
// before the fifteen digits of a number. What is behind them is cut off, as the
// network would: so long a number exists nowhere, but its country is known.
const maxSpelt = 32

// spelt is a number stripped of its spelling.
type spelt struct {
	buf   [maxSpelt]byte // digits, "*", "#" and letters in capitals
	n     int
	plus  int  // characters before the "+"; -1: there is none
	tail  int  // characters before the first letter or pause; -1: there is none
	pause bool // the tail begins with a pause: "," or p or w
	keys  bool // "*" or "#" is among the characters
	words bool // so are letters
	odd   bool // a character that no number has was left out; the tail begins there at the latest

	context string // the phone-context that stood with it
}

func (s *spelt) chars() []byte { return s.buf[:s.n] }

// plain: digits and nothing else, with a "+" before them at most.
func (s *spelt) plain() bool { return s.tail < 0 && !s.keys && s.plus <= 0 }

// digits are the characters of a plain number.
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

// spell reads the characters of a number. It undoes escaping; what was escaped
// more than once is strange, as is every character that no number has. A strange
// character is left out and noted: what a PBX dials of
// "0044…!" is 0044…, so it must not hide what stands around it. False: there is
// no digit, or a letter before all others.
func spell(text string, s *spelt) bool {
	var raw [maxText]byte
	n := unescape(text, &raw)
	if n < 0 {
		return false
	}
	s.plus, s.tail = -1, -1
	if bytes.IndexByte(raw[:n], '%') >= 0 {
		n = escapedAgain(&raw, n)
		s.strange()
	}
	some := false
	for b := raw[:n]; len(b) > 0; {
		r, size := rune(b[0]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(b)
		}
		b = b[size:]
		switch {
		case r >= '0' && r <= '9':
			some = true
		case separator(r):
			continue
		case r == '+' || r == '＋' || r == '﹢' || r == '⁺':
			if s.plus >= 0 && s.plus != s.n {
				s.strange() // a second one
				continue
			}
			s.plus = s.n
			continue
		case r == '*' || r == '#':
			s.keys = true
		case r == ',' && some: // a pause
			if s.tail < 0 {
				s.tail, s.pause = s.n, true
			}
			continue
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
			if s.n == 0 {
				return false // a name
			}
			r &^= 'a' - 'A'
			if s.tail < 0 {
				s.tail, s.pause = s.n, r == 'P' || r == 'W'
			}
			s.words = true
		default:
			d := digit(r)
			if d < 0 {
				s.strange()
				continue
			}
			r, some = '0'+rune(d), true
		}
		if s.n < maxSpelt {
			s.buf[s.n] = byte(r)
			s.n++
		}
	}
	s.dialNow()
	if s.plus >= s.n {
		s.plus = -1 // nothing follows it
	}
	return some
}

// strange notes a character that no number has. It is read like a letter that
// is no key.
func (s *spelt) strange() {
	if s.tail < 0 {
		s.tail = s.n
	}
	s.odd, s.words = true, true
}

// dialNow drops what many phones put at the end to say that the number is
// complete.
func (s *spelt) dialNow() {
	if s.tail >= 0 {
		return
	}
	for s.n > 0 && s.buf[s.n-1] == '#' {
		s.n--
	}
	s.keys = false
	for _, c := range s.chars() {
		s.keys = s.keys || c == '*' || c == '#'
	}
}

// unescape undoes %XX; -1: a broken one.
func unescape(text string, raw *[maxText]byte) (n int) {
	if len(text) > maxText {
		return -1
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' {
			if i+2 >= len(text) {
				return -1
			}
			hi, lo := unhex(text[i+1]), unhex(text[i+2])
			if hi < 0 || lo < 0 {
				return -1
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		raw[n] = c
		n++
	}
	return n
}

// escapedAgain undoes what stays of escapes that were escaped themselves.
func escapedAgain(raw *[maxText]byte, n int) int {
	for {
		var next [maxText]byte
		m := unescape(string(raw[:n]), &next)
		if m < 0 || m == n {
			return n
		}
		*raw, n = next, m
	}
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

// keypad is the key that a letter stands on (ITU-T E.161).
func keypad(c byte) byte {
	if c < 'A' || c > 'Z' {
		return c
	}
	return "22233344455566677778889999"[c-'A']
}

// phoneContext finds the phone-context parameter. Two of them that differ are
// an attempt to be read in two ways: ok is false.
func phoneContext(params string) (value string, ok bool) {
	for params != "" {
		var p string
		p, params, _ = strings.Cut(params, ";")
		name, v, _ := strings.Cut(p, "=")
		if strings.IndexByte(name, '%') >= 0 {
			var raw [maxText]byte
			name = string(raw[:max(unescape(name, &raw), 0)])
		}
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
