package number

import (
	"fmt"
	"strings"
)

// Prefix reads the beginning of public numbers as people write it: "+1876",
// "00 1876" or "0899" after the trunk prefix of home, with separators or
// without. bare says what digits without any of these are: the country code
// and what follows it, or no prefix at all.
func (p *Plan) Prefix(text string, bare bool) (canonical string, ok bool) {
	var s spelt
	if !spell(text, &s) || !s.plain() {
		return "", false
	}
	d := s.digits()
	switch {
	case s.plus == 0 || bare:
	default:
		rest, found := d, false
		for _, prefix := range p.international {
			if rest, found = cut(d, prefix); found {
				break
			}
		}
		if !found && p.code != 0 {
			if rest, found = cut(d, p.national); found {
				rest = append([]byte(p.codeText), rest...)
			}
		}
		if !found {
			return "", false
		}
		d = rest
	}
	if len(d) == 0 || len(d) > MaxDigits || d[0] == '0' {
		return "", false
	}
	return "+" + string(d), true
}

// MayBegin reports whether public numbers of a country can begin with a prefix
// ("+" and digits), by the country code alone: those behind a shared code are
// not told apart.
func (d *Data) MayBegin(country, prefix string) bool {
	h, ok := d.homes[country]
	code := fmt.Sprint("+", h.code)
	return ok && (strings.HasPrefix(prefix, code) || strings.HasPrefix(code, prefix))
}

// AllBegin reports whether all public numbers of a country begin with a prefix:
// it is the country code, or the beginning of it.
func (d *Data) AllBegin(country, prefix string) bool {
	h, ok := d.homes[country]
	return ok && strings.HasPrefix(fmt.Sprint("+", h.code), prefix)
}
