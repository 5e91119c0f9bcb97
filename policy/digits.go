package policy

import "slices"

// A code is a number or prefix in eight bytes: half a byte for each character
// from the left, "+" as 11 and a digit as its value plus one, then zeros. Codes
// sort like their texts, and "+" with fifteen digits, the longest there is
// (E.164 §6.1), fills one.
type code uint64

// codeOf encodes "+" and digits, or digits alone.
func codeOf(text string) (c code, ok bool) {
	if len(text) == 0 || len(text) > 16 {
		return 0, false
	}
	for i := range len(text) {
		d := text[i] - '0'
		switch {
		case d <= 9:
			d++
		case i == 0 && text[0] == '+' && len(text) > 1:
			d = 11
		default:
			return 0, false
		}
		c |= code(d) << (60 - 4*i)
	}
	return c, true
}

func (c code) String() string {
	var b []byte
	for ; c != 0; c <<= 4 {
		if d := byte(c >> 60); d == 11 {
			b = append(b, '+')
		} else {
			b = append(b, '0'+d-1)
		}
	}
	return string(b)
}

// covers reports whether the text of c is a prefix of that of longer.
func (c code) covers(longer code) bool {
	mask := ^code(0)
	for mask != 0 && c&^(mask<<4) == 0 {
		mask <<= 4
	}
	return longer&mask == c
}

// cut keeps the first n characters.
func (c code) cut(n int) code { return c &^ (^code(0) >> (4 * n)) }

// codes is a sorted set.
type codes []code

// sortCodes puts in order and takes out what is there twice.
func sortCodes(cs codes) codes {
	slices.Sort(cs)
	return slices.Clip(slices.Compact(cs))
}

// prefixFree also takes out what a shorter prefix covers. Of such a set only
// one can be a prefix of a number: the greatest that is not above it.
func prefixFree(cs codes) codes {
	cs = sortCodes(cs)
	out := cs[:0]
	for _, c := range cs {
		if len(out) == 0 || !out[len(out)-1].covers(c) {
			out = append(out, c)
		}
	}
	return slices.Clip(out)
}

func (cs codes) has(c code) bool {
	_, found := slices.BinarySearch(cs, c)
	return found
}

// prefixOf returns the prefix of number that is in a prefix-free set, or 0.
func (cs codes) prefixOf(number code) code {
	i, found := slices.BinarySearch(cs, number)
	switch {
	case found:
		return number
	case i > 0 && cs[i-1].covers(number):
		return cs[i-1]
	}
	return 0
}
