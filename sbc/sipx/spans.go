package sipx

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// span is a range of 32 bits of addresses, both ends included.
type span struct{ lo, hi uint32 }

// spans6 is a range of the first 32 bits of IPv6 addresses. With low it is one
// value of them, and ranges of the next 32.
type spans6 struct {
	span
	low []span
}

// spans are addresses in order, without overlaps.
type spans struct {
	four []span
	six  []spans6
}

// knownSpans puts networks in order. IPv6 counts by /64: of a longer prefix
// the whole of it is taken.
func knownSpans(ps []netip.Prefix) (out spans) {
	var upper []span
	lower := map[uint32][]span{}
	for _, p := range ps {
		if !p.IsValid() {
			continue
		}
		a, bits := p.Addr(), p.Bits()
		if a.Is4In6() && bits >= 96 {
			a, bits = a.Unmap(), bits-96
		}
		if a.Is4() {
			b := a.As4()
			out.four = append(out.four, spanOf(binary.BigEndian.Uint32(b[:]), bits))
			continue
		}
		b := a.As16()
		hi, lo := binary.BigEndian.Uint32(b[:4]), binary.BigEndian.Uint32(b[4:8])
		if bits <= 32 {
			upper = append(upper, spanOf(hi, bits))
		} else {
			lower[hi] = append(lower[hi], spanOf(lo, min(bits, 64)-32))
		}
	}
	out.four = merged(out.four)
	for _, s := range merged(upper) {
		out.six = append(out.six, spans6{span: s})
	}
	whole := out.six
	for hi, low := range lower {
		if !slices.ContainsFunc(whole, func(s spans6) bool { return s.lo <= hi && hi <= s.hi }) {
			out.six = append(out.six, spans6{span{hi, hi}, merged(low)})
		}
	}
	slices.SortFunc(out.six, func(a, b spans6) int { return compare(a.span, b.span) })
	return out
}

func spanOf(a uint32, bits int) span {
	host := uint32(1<<(32-bits) - 1)
	return span{a &^ host, a | host}
}

// merged sorts spans and joins those that touch.
func merged(s []span) (out []span) {
	slices.SortFunc(s, compare)
	for _, x := range s {
		if n := len(out); n > 0 && uint64(x.lo) <= uint64(out[n-1].hi)+1 {
			out[n-1].hi = max(out[n-1].hi, x.hi)
			continue
		}
		out = append(out, x)
	}
	return out
}

func compare(a, b span) int {
	switch {
	case a.lo < b.lo:
		return -1
	case a.lo > b.lo:
		return 1
	}
	return 0
}
