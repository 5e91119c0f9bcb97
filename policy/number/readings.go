package number

import (
	"bytes"

	"github.com/rampart-sbc/rampart/call"
)

// What stands here reads texts that are not plainly a number: letters, pauses,
// star codes, a "+" in the middle. Some PBXs and carriers cut such a text at the
// first strange character, some drop what is strange, some turn letters into
// keys. So each of these readings is tried, and a text is the number that one of
// them finds. Texts of which none finds an existing number stay what they are:
// names and codes, which go to the PBX. Nothing here is ever an emergency call:
// that takes the exact number.

// unclear reads a text that spelt.plain says no to.
func (p *Plan) unclear(s *spelt, in Context, steps *[]string) Number {
	if s.odd && in == Trunk { // a carrier gets numbers, not what may be read as one
		step(steps, "not a number: a character that no number has")
		return Number{}
	}
	if n, found := p.techKeys(s, in, steps); found {
		return n
	}
	switch {
	case s.tail < 0 && !s.keys:
		return p.plusInside(s, in, steps)
	case s.tail < 0 && (s.buf[0] == '*' || s.buf[0] == '#'):
		return p.service(s, in, steps)
	case s.tail > 0 && (s.buf[0] == '*' || s.buf[0] == '#'):
		code := *s // what stands behind a code ends where the tail begins
		code.n, code.tail, code.words = s.tail, -1, false
		if n := p.service(&code, in, steps); n.public() {
			return n
		}
	}
	end := s.tail
	for i, c := range s.chars() {
		if (c == '*' || c == '#') && (end < 0 || i < end) {
			end = i
		}
	}
	var a, b spelt
	a.take(s, 0, end)
	head := p.tried(&a, in)
	a.take(s, 0, s.n)
	a.words = s.words
	all := p.tried(&a, in)
	last, keys := Number{}, Number{}
	if !s.words && s.keys && in == Dialled { // an unknown prefix, perhaps
		a.take(s, bytes.LastIndexAny(s.chars(), "*#")+1, s.n)
		last = p.tried(&a, in)
	}
	if s.words {
		b = spelt{plus: -1, tail: -1, words: true, context: s.context}
		for i, c := range s.chars() {
			if i == s.plus {
				b.plus = b.n
			}
			if c != '*' && c != '#' {
				b.buf[b.n] = keypad(c)
				b.n++
			}
		}
		keys = p.tried(&b, in)
	}
	out, likely := Number{}, Number{}
	for _, c := range [...]struct {
		n    Number
		what string
	}{{head, "what stands before the first strange character"}, {all, "the digits alone"}, {last, "what stands behind the last star or hash"}, {keys, "letters as the keys they stand on"}} {
		switch {
		case !c.n.public():
		case !c.n.exists():
			if likely.Kind == call.Invalid && p.abroad(s, in) && len(c.n.Canonical) > minBare {
				likely = c.n
			}
		case out.Kind == call.Invalid:
			out = c.n
			if steps != nil {
				step(steps, c.what)
				step(steps, out.described(p.data))
			}
		case out.Other == nil:
			out = out.beside(c.n)
		}
	}
	if !s.pause || s.tail != end {
		if out.Kind == call.Invalid && likely.Kind != call.Invalid {
			step(steps, "an international prefix, and no reading is an existing number")
			return likely
		}
		if out.Kind == call.Invalid {
			step(steps, "no reading is an existing number")
		}
		return out
	}
	// A pause ends a number: an extension can stand before it, or a number that
	// does not exist.
	switch {
	case head.Kind == call.Extension:
		step(steps, "extension, then a pause")
		return head.beside(out)
	case out.Kind != call.Invalid:
		return out
	case head.public() && len(head.Canonical) > minBare:
		step(steps, "what stands before the pause")
		return head
	case all.public():
		step(steps, "the digits without the pause")
		return all
	case head.public():
		return head
	}
	step(steps, "no reading is a number")
	return Number{}
}

// take copies the digits of a part of another text, its "+" with them.
func (s *spelt) take(from *spelt, start, end int) {
	*s = spelt{plus: -1, tail: -1, context: from.context}
	for i := start; i < end; i++ {
		if from.plus == i {
			s.plus = s.n
		}
		if c := from.buf[i]; c >= '0' && c <= '9' {
			s.buf[s.n] = c
			s.n++
		}
	}
}

// tried reads digits with a "+" somewhere among them or without one. What it
// finds is no emergency call.
func (p *Plan) tried(s *spelt, in Context) Number {
	n := Number{}
	switch {
	case s.n == 0, p.emergency[string(s.digits())]:
	case s.plus == 0:
		n = p.public(s.digits(), "", nil)
	case s.plus > 0:
		n = p.plusInside(s, in, nil)
	case s.context != "":
		n = p.inContext(s.digits(), s.context, in, nil)
	case s.words:
		n = p.explicit(s.digits(), in)
	default:
		n = p.local(s.digits(), in, nil)
	}
	if n.Kind == call.Emergency {
		return Number{}
	}
	return n
}

// abroad: the text begins as an international number does, so that nobody can
// mean anything else by it, whether the number exists or not.
func (p *Plan) abroad(s *spelt, in Context) bool {
	if s.plus == 0 || s.plus > 0 && p.isPrefix(string(s.buf[:s.plus])) {
		return true
	}
	d := s.chars()
	for _, t := range p.tech {
		if rest, found := cut(d, t); found && p.beginsAbroad(rest) {
			return true
		}
	}
	if rest, found := cut(d, p.outside); found && in == Dialled {
		if s.plus == len(p.outside) || p.beginsAbroad(rest) {
			return true
		}
	}
	for _, c := range p.carriers {
		if c.matches(d) && (s.plus == len(c) || p.beginsAbroad(d[len(c):])) {
			return true
		}
	}
	return p.beginsAbroad(d)
}

func (p *Plan) beginsAbroad(d []byte) bool {
	for _, x := range p.international {
		if _, found := cut(d, x); found {
			return true
		}
	}
	return false
}

// explicit reads digits that were found among letters: only a prefix makes them
// a number, or every third name of a conference would be one.
func (p *Plan) explicit(d []byte, in Context) Number {
	for _, t := range p.tech {
		if rest, found := cut(d, t); found {
			if n := p.resolve(rest, Dialled, nil); n.exists() {
				return n
			}
		}
	}
	if rest, found := cut(d, p.outside); found && in == Dialled {
		if n := p.resolve(rest, Dialled, nil); n.exists() {
			return n
		}
	}
	return p.resolve(d, Dialled, nil)
}

// plusInside reads digits around a "+": a prefix before a public number, or a
// "+" that means nothing.
func (p *Plan) plusInside(s *spelt, in Context, steps *[]string) Number {
	after := p.public(s.buf[s.plus:s.n], "", nil)
	dropped := p.local(s.digits(), in, nil)
	out := Number{}
	switch prefix := string(s.buf[:s.plus]); {
	case prefix == p.outside && in == Dialled || p.isPrefix(prefix):
		out = after
	case dropped.public() && (dropped.exists() || len(prefix) > 4): // so much is no prefix
		out = dropped.beside(after)
	case after.exists(), !dropped.public():
		out = after
	default:
		out = dropped
	}
	if steps != nil {
		step(steps, "\"+\" inside the digits")
		if out.public() {
			step(steps, out.described(p.data))
		}
	}
	if out.Kind == call.Emergency || out.Kind == call.Extension {
		return Number{}
	}
	return out
}

// isPrefix: digits that may stand before a public number with its "+".
func (p *Plan) isPrefix(text string) bool {
	for _, list := range [...][]string{p.international, p.tech} {
		for _, x := range list {
			if x == text {
				return true
			}
		}
	}
	for _, c := range p.carriers {
		if len(text) == len(c) && c.matches([]byte(text)) {
			return true
		}
	}
	return false
}

// techKeys takes off a tech prefix that holds "*" or "#".
func (p *Plan) techKeys(s *spelt, in Context, steps *[]string) (Number, bool) {
	for _, t := range p.tech {
		if allDigits(t) || s.plus > 0 && s.plus != len(t) {
			continue
		}
		if _, found := cut(s.chars(), t); !found {
			continue
		}
		var rest spelt
		rest.take(s, len(t), s.n)
		if rest.n != s.n-len(t) || rest.n == 0 {
			continue // more that is strange
		}
		step(steps, "tech prefix ", t, " taken off")
		if s.plus >= 0 {
			return p.public(rest.digits(), "", steps), true
		}
		return p.outward(rest.digits(), in, steps), true
	}
	return Number{}, false
}

// service looks through a star code, as in *67 0044… or *21*0044…#: PBXs
// take the code off and dial the number, now or when the next call is
// diverted. Where the code ends is not known, so every length is tried. A code
// that goes to a carrier is for the carrier.
func (p *Plan) service(s *spelt, in Context, steps *[]string) (out Number) {
	if in == Trunk {
		step(steps, "a star code")
		return out
	}
	start, likely := 0, Number{}
	for start < s.n && (s.buf[start] == '*' || s.buf[start] == '#') {
		start++
	}
	run := start // the digits of the code, if a key ends them
	for run < s.n && s.buf[run] != '*' && s.buf[run] != '#' {
		run++
	}
	for _, length := range [...]int{2, 3, 4, 1, 0} {
		from := start + length
		if from > run || run < s.n && run-start <= 4 && from != run {
			continue
		}
		for from < s.n && (s.buf[from] == '*' || s.buf[from] == '#') {
			from++
		}
		end := from
		for end < s.n && s.buf[end] != '*' && s.buf[end] != '#' {
			end++
		}
		if s.plus >= 0 && (s.plus < start || s.plus > start && s.plus != from) || end <= from {
			continue
		}
		var rest spelt
		rest.take(s, from, end)
		n := p.tried(&rest, in)
		switch {
		case !n.public():
		case !n.exists():
			if likely.Kind == call.Invalid && p.abroad(&rest, in) && len(n.Canonical) > minBare {
				likely = n
			}
		case out.Kind == call.Invalid && likely.Kind == call.Invalid:
			out = n
			if steps != nil {
				step(steps, "the code ", string(s.buf[:from]), " and a number")
				step(steps, n.described(p.data))
			}
		case out.Kind == call.Invalid:
			likely = likely.beside(n)
		case out.Other == nil:
			out = out.beside(n)
		}
	}
	switch {
	case out.Kind != call.Invalid:
	case likely.Kind != call.Invalid:
		step(steps, "a code, an international prefix and no existing number")
		return likely
	default:
		step(steps, "a star code")
	}
	return out
}
