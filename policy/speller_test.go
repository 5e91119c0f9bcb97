package policy_test

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/rampart-sbc/rampart/policy/number"
)

// speller writes public numbers in all the ways that a phone, a PBX or somebody
// who wants to get around a rule may, as people of its home dial.
type speller struct {
	rnd              *rand.Rand
	home             string // YAML
	abroad, outside  string
	carriers, tech   []string
	contexts, dialed bool // forms that change what is read; what only phones send
}

func (s *speller) one(of ...string) string { return of[s.rnd.IntN(len(of))] }

// spell returns one spelling of "+…".
func (s *speller) spell(e164 string) string {
	digits := e164[1:]
	params := s.one("", "", "", ";isub=1", ";ext=22", ";postd=p9", ";npdi", ";cpc=ordinary", ";phone-context=pbx.example.com", ";user=phone")
	tail := s.one("", "", "", "", "#", "%23", ",12", "%2c5", "w5", "p0044", "x22", "ext9")
	if s.dialed && s.rnd.IntN(8) == 0 { // characters that no number has
		tail = s.one("!", "=1", "%3Bx", "%00", "%00x", "%FF", "$", "&1001", "%2525", "|", "€", "_1", "%22", "'")
	}
	abroad := s.abroad
	if s.dialed && s.outside == "0" {
		abroad = s.outside + abroad // 00… would be the outside prefix and a national number
	}
	head := s.one("+", "+", "%2B", "%2b", "＋", "⁺", "+0", "+00", abroad, abroad, abroad, abroad)
	chosen := false
	switch n := s.rnd.IntN(20); {
	case n == 0 && s.outside != "" && s.dialed:
		head = s.outside + s.one(s.abroad, "+")
	case n <= 2 && len(s.carriers) > 0:
		chosen = true
		head = s.fill(s.carriers[s.rnd.IntN(len(s.carriers))]) + s.one(s.abroad, "+")
	case n <= 4 && len(s.tech) > 0:
		head = s.one(s.tech...) + s.one(s.abroad, "+")
		tail = ""
	case n == 5 && s.contexts:
		cut := 1 + s.rnd.IntN(4)
		if !strings.HasPrefix(digits[cut:], "0") {
			head, params, digits = "", ";"+s.one("phone-context", "Phone-Context", "phone%2Dcontext")+"=+"+digits[:cut], digits[cut:]
			tail = ""
		}
	case n <= 7 && s.dialed:
		head = s.one("*67", "*31#", "#31#", "*72", "*21*", "**61*", "*82 ") + s.one(abroad, "+")
		tail = s.one("", "#", "*11#", "*11*20#")
	case n == 8 && s.dialed:
		head = abroad + s.one(",", "p", "w", "#", "*", "+", "++", "x", "-p-")
		tail = ""
	case n == 9:
		switch code := number.Builtin().Lookup(e164).Code; code {
		case 1, 7, 39: // their trunk prefix is another, or their zeros belong
		default:
			cut := len(fmt.Sprint(code))
			digits = digits[:cut] + s.one("(0)", "0", "%280%29", "00") + digits[cut:]
			return head + digits + tail + params
		}
	case n == 10 && s.contexts && s.rnd.IntN(4) == 0: // the network ignores what is too much
		digits += strings.Repeat(string(rune('0'+s.rnd.IntN(10))), 4+s.rnd.IntN(30))
		tail = ""
	}
	if tail == "" && s.rnd.IntN(12) == 0 && !strings.ContainsAny(head, "*#,pwx") && head != "" && !chosen {
		digits = s.vanity(digits)
	}
	body := s.decorate(head, digits) + tail + params
	switch s.rnd.IntN(8) {
	case 0:
		return s.one("tel:", "TEL:") + body
	case 1:
		return s.one("sip:", "SIPS:") + body + s.one("", ":secret") + "@gateway.example.com" + s.one("", ":5060", ";user=phone", ";phone-context=+33")
	case 2:
		return body + ":secret"
	}
	return body
}

// fill puts digits for x.
func (s *speller) fill(pattern string) string {
	b := []byte(pattern)
	for i := range b {
		if b[i] == 'x' {
			b[i] = byte('0' + s.rnd.IntN(10))
		}
	}
	return string(b)
}

// vanity writes one of the last digits as a letter.
func (s *speller) vanity(digits string) string {
	b := []byte(digits)
	at := len(b) - 1 - s.rnd.IntN(3)
	if d := b[at]; d >= '2' {
		keys := [...]string{"abc", "DEF", "ghi", "JKL", "mno", "PQRS", "tuv", "WXYZ"}[d-'2']
		b[at] = keys[s.rnd.IntN(len(keys))]
	}
	return string(b)
}

var (
	scripts    = []rune{'０', '٠', '۰', '०', '০', '๐', '𝟎', '𝟬', '᠐'}
	separators = []string{"-", ".", " ", "(", ")", "/", "[", "~", "%20", "%2D", "%28", "\u200b", "\u200d", "\u00ad", "\u00a0", "\u2060", "‑", "–", "%E2%80%8B"}
)

// decorate writes the digits in other scripts, with escapes and separators.
func (s *speller) decorate(head, digits string) string {
	var b strings.Builder
	style := s.rnd.IntN(4)
	for i := range len(head) + len(digits) {
		var c byte
		if i < len(head) {
			b.WriteByte(head[i])
			continue
		}
		c = digits[i-len(head)]
		if b.Len() > 120 {
			b.WriteByte(c)
			continue
		}
		if style > 1 && s.rnd.IntN(4) == 0 {
			b.WriteString(separators[s.rnd.IntN(len(separators))])
		}
		switch {
		case c > '9':
			b.WriteByte(c)
		case style == 3 && s.rnd.IntN(3) == 0:
			r := scripts[s.rnd.IntN(len(scripts))] + rune(c-'0')
			if s.rnd.IntN(4) > 0 {
				b.WriteRune(r)
				continue
			}
			for _, x := range []byte(string(r)) {
				fmt.Fprintf(&b, "%%%02X", x)
			}
		case style > 0 && s.rnd.IntN(5) == 0:
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
