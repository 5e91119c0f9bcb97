package number

import (
	"bytes"

	"github.com/rampart-sbc/rampart/call"
)

// join is public for digits in two parts.
func (p *Plan) join(code string, rest []byte, steps *[]string) Number {
	var buf [2 * maxSpelt]byte
	d := append(append(buf[:0], code...), rest...)
	return p.public(d, "", steps)
}

// public classifies digits that begin with a country code. same is the text
// they came from: when it is the canonical form already it is kept, so that
// the common case allocates nothing.
func (p *Plan) public(d []byte, same string, steps *[]string) Number {
	if len(d) > 0 && d[0] == '0' { // no country code begins with 0
		d = bytes.TrimLeft(d, "0")
		step(steps, "zeros before the country code taken off")
	}
	d = d[:min(len(d), maxSpelt)]
	var buf [maxSpelt + 1]byte
	e164 := append(append(buf[:0], '+'), d...)
	code, info, cutOff := 0, Info{Class: Unallocated}, 0
	if c, _, ok := split(p.data, d); ok {
		code = c
		head := 1 + digitsOf(c)
		if cutOff = p.data.trunk(c, e164[head:]); cutOff > 0 {
			if steps != nil {
				step(steps, "trunk prefix ", string(e164[head:head+cutOff]), " after the country code taken off")
			}
			e164 = append(e164[:head], e164[head+cutOff:]...)
		}
		if len(e164) > head {
			info, _ = walk(p.data, c, e164[head:])
		}
	}
	if len(e164)-1 < 4 {
		step(steps, "fewer than 4 digits")
		return Number{}
	}
	n := Number{Kind: call.International, Country: info.Country, Class: info.Class}
	// Free numbers of a shared country code belong to everybody behind it.
	if info.Class == TollFree && code == p.code {
		n.Country = p.country
	}
	if n.Country != "" && n.Country == p.country {
		n.Kind = call.National
	}
	if len(same) == len(e164) && cutOff == 0 && same == string(e164) {
		n.Canonical = same
	} else {
		n.Canonical = string(e164)
	}
	if steps != nil {
		if len(e164)-1 > MaxDigits {
			step(steps, "more than 15 digits: no such number")
		}
		step(steps, n.described(p.data))
	}
	return n
}

// described is the last step of an explanation.
func (n Number) described(d *Data) string {
	country := n.Country
	if country == "" {
		country = "no country"
	}
	return n.Canonical + ": " + n.Kind.String() + ", " + country + ", " + n.Class + " (" + d.version + ")"
}

// trunk says how many digits after a country code are a trunk prefix that does
// not belong there, as in +44 (0)20…: no number of that country goes on this
// way, or this one does not exist and does without the prefix.
func (d *Data) trunk(code int, rest []byte) int {
	prefix := d.roots[code].trunk
	if prefix == "" {
		prefix = "0"
	}
	n := 0
	for n+len(prefix) < len(rest) && string(rest[n:n+len(prefix)]) == prefix {
		info, alive := walk(d, code, rest[n:])
		without, _ := walk(d, code, rest[n+len(prefix):])
		if alive >= len(prefix) && (info.Class != Unallocated || without.Class == Unallocated) {
			break
		}
		n += len(prefix)
	}
	return n
}

func digitsOf(code int) int {
	switch {
	case code < 10:
		return 1
	case code < 100:
		return 2
	}
	return 3
}
