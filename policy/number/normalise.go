package number

import (
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// Normalise reads a number as it stood in a request: the user part of a SIP
// URI with its escapes and parameters, or a whole sip:, sips:, tel: or urn:
// URI. The order of the questions, first answer wins:
//
//  1. urn:service:sos and what is under it, or exactly an emergency number;
//  2. a phone-context that begins with "+";
//  3. an extension (digits without "+");
//  4. a tech prefix is taken off;
//  5. the outside prefix is taken off (Dialled only) and question 1 asked again;
//  6. "+" or an international prefix;
//  7. a national number;
//  8. a carrier selection prefix is taken off and 6 and 7 asked again;
//  9. a public number without any prefix: Trunk, and on the phones' side only
//     where nothing else is left;
//  10. invalid.
//
// A reading by a prefix that gives no existing number gives way to one without
// it that does: a phone that dials 0049… instead of 0 0049… means Germany, and
// must not slip through as a malformed number. Letters, pauses and star codes are
// looked through (see readings.go). Where two readings are existing numbers the
// second is in Other, and who judges asks about both.
//
// It allocates nothing for a canonical form, else a short string or two.
func (p *Plan) Normalise(text string, in Context) Number {
	return p.normalise(text, in, nil)
}

// Explain is Normalise with its steps.
func (p *Plan) Explain(text string, in Context) Number {
	var steps []string
	n := p.normalise(text, in, &steps)
	if n.Other != nil {
		step(&steps, "others may read it as ", n.Other.Canonical, ": both are judged")
	}
	n.Steps = steps
	return n
}

// normalise is Normalise; steps is nil when nobody wants to know.
func (p *Plan) normalise(text string, in Context, steps *[]string) Number {
	sub, params, urn, ok := subscriber(text)
	if urn != "" {
		if rest, found := strings.CutPrefix(urn, "urn:service:sos"); found && subservice(rest) {
			step(steps, "emergency service URN (RFC 5031)")
			return Number{Kind: call.Emergency, Canonical: urn}
		}
		step(steps, "a URN that is not an emergency service")
		return Number{}
	}
	var s spelt
	if !ok || !spell(sub, &s) {
		step(steps, "not a number: neither digits nor their separators")
		return Number{}
	}
	context, ok := phoneContext(params)
	if !ok {
		step(steps, "two different phone-context parameters")
		return Number{}
	}
	if steps != nil {
		s.tell(steps, params)
	}
	switch {
	case !s.plain():
		s.context = context
		return p.unclear(&s, in, steps)
	case s.plus == 0:
		return p.public(s.digits(), text, steps)
	case p.emergency[string(s.digits())] && p.wholeCountry(context):
		step(steps, "emergency number")
		return Number{Kind: call.Emergency, Canonical: string(s.digits())}
	case context != "":
		return p.inContext(s.digits(), context, in, steps)
	}
	return p.local(s.digits(), in, steps)
}

// subservice: nothing or the labels of RFC 5031 §4.1.
func subservice(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return text == "" || text[0] == '.'
}

func (s *spelt) tell(steps *[]string, params string) {
	shown := string(s.chars())
	if s.plus >= 0 {
		shown = shown[:s.plus] + "+" + shown[s.plus:]
	}
	step(steps, "digits ", shown)
	if s.odd {
		step(steps, "characters that no number has left out")
	}
	if params != "" {
		step(steps, "parameters cut: ;", params)
	}
}

// local reads digits without "+" and context.
func (p *Plan) local(d []byte, in Context, steps *[]string) Number {
	if local, ok := p.extensions.match(d); ok {
		step(steps, "extension")
		return Number{Kind: call.Extension, Canonical: local}
	}
	for _, t := range p.tech {
		rest, found := cut(d, t)
		if !found {
			continue
		}
		step(steps, "tech prefix ", t, " taken off")
		n := p.outward(rest, in, steps)
		whole := p.outward(d, in, nil)
		if n.exists() {
			return n.beside(whole)
		}
		step(steps, "no such number; the same digits with the tech prefix")
		if whole.exists() || n.Kind == call.Invalid {
			return p.outward(d, in, steps)
		}
		return n
	}
	return p.outward(d, in, steps)
}

// outward reads digits that are no extension.
func (p *Plan) outward(d []byte, in Context, steps *[]string) Number {
	n := Number{}
	rest, found := cut(d, p.outside)
	if found = found && in == Dialled; found {
		step(steps, "outside prefix ", p.outside, " taken off")
		if p.emergency[string(rest)] {
			step(steps, "emergency number")
			return Number{Kind: call.Emergency, Canonical: string(rest)}
		}
		if n = p.resolve(rest, in, steps); n.exists() {
			return n
		}
		step(steps, "no such number; the same digits with the outside prefix")
	}
	if m := p.resolve(d, in, steps); m.exists() || n.Kind == call.Invalid {
		n = m
	}
	if n.Kind != call.Invalid || in != Dialled {
		return n
	}
	// A PBX may send such digits to a carrier as they are.
	if !found {
		rest = d
	}
	if len(rest) >= minBare {
		if m := p.public(rest, "", nil); m.exists() && rest[0] != '0' {
			step(steps, "a public number without a prefix")
			return p.public(rest, "", steps)
		}
	}
	return n
}

// minBare is the shortest public number, calling code included, that is
// recognised by itself among digits that a phone dialled.
const minBare = 7

// exists reports a number that the numbering plans know.
func (n Number) exists() bool {
	return n.Kind == call.Emergency || n.public() && n.Class != Unallocated && len(n.Canonical) <= 1+MaxDigits
}

func (n Number) public() bool { return n.Kind == call.National || n.Kind == call.International }

// beside adds a second reading, if it is another existing public number.
func (n Number) beside(m Number) Number {
	if m.public() && m.exists() && n.Kind != call.Emergency && !strings.HasPrefix(m.Canonical, n.Canonical) {
		m.Other = nil
		n.Other = &m
	}
	return n
}

func cut(d []byte, prefix string) ([]byte, bool) {
	if prefix == "" || len(d) < len(prefix) || string(d[:len(prefix)]) != prefix {
		return d, false
	}
	return d[len(prefix):], true
}

// step notes one step where somebody wants to know.
func step(steps *[]string, parts ...string) {
	if steps != nil {
		*steps = append(*steps, strings.Join(parts, ""))
	}
}
