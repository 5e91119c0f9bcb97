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
//  2. an extension (digits without "+");
//  3. the outside prefix is taken off (Dialled only) and question 1 asked again;
//  4. "+" or an international prefix, or a phone-context that begins with "+";
//  5. a national number;
//  6. Trunk only: a public number without any prefix;
//  7. invalid.
//
// When the reading without the outside prefix gives no existing number and the
// reading with it does, the latter is taken: a phone that dials 0049… instead
// of 0 0049… means Germany, and must not slip through as a malformed number.
//
// It allocates nothing for a canonical form, else a short string or two.
func (p *Plan) Normalise(text string, in Context) Number {
	return p.normalise(text, in, nil)
}

// Explain is Normalise with its steps.
func (p *Plan) Explain(text string, in Context) Number {
	var steps []string
	n := p.normalise(text, in, &steps)
	n.Steps = steps
	return n
}

// normalise is Normalise; steps is nil when nobody wants to know.
func (p *Plan) normalise(text string, in Context, steps *[]string) Number {
	sub, params, urn, ok := subscriber(text)
	if urn != "" {
		if rest, found := strings.CutPrefix(urn, "urn:service:sos"); found && (rest == "" || rest[0] == '.') {
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
		plus := ""
		if s.plus {
			plus = "+"
		}
		step(steps, "digits ", plus+string(s.digits()))
		if params != "" {
			step(steps, "parameters cut: ;", params)
		}
	}
	if s.plus {
		return p.public(s.digits(), text, steps)
	}
	if p.emergency[string(s.digits())] && p.wholeCountry(context) {
		step(steps, "emergency number")
		return Number{Kind: call.Emergency, Canonical: string(s.digits())}
	}
	if context != "" {
		if n, done := p.inContext(s.digits(), context, in, steps); done {
			return n
		}
	}
	if local := string(s.digits()); p.extensions.MatchString(local) {
		step(steps, "extension")
		return Number{Kind: call.Extension, Canonical: local}
	}
	if rest, found := cut(s.digits(), p.outside); found && in == Dialled {
		step(steps, "outside prefix ", p.outside, " taken off")
		if p.emergency[string(rest)] {
			step(steps, "emergency number")
			return Number{Kind: call.Emergency, Canonical: string(rest)}
		}
		n := p.resolve(rest, in, steps)
		if n.exists() {
			return n
		}
		step(steps, "no such number; the same digits with the outside prefix")
		if m := p.resolve(s.digits(), in, steps); m.exists() || n.Kind == call.Invalid {
			return m
		}
		return n
	}
	return p.resolve(s.digits(), in, steps)
}

// exists reports a number that the numbering plans know.
func (n Number) exists() bool { return n.Kind != call.Invalid && n.Class != Unallocated }

// resolve reads digits without "+", outside prefix and context.
func (p *Plan) resolve(d []byte, in Context, steps *[]string) Number {
	for _, prefix := range p.international {
		if rest, found := cut(d, prefix); found {
			step(steps, "international prefix ", prefix)
			return p.public(rest, "", steps)
		}
	}
	if p.code != 0 {
		if rest, found := cut(d, p.national); found && p.national != "" {
			step(steps, "national prefix ", p.national, ", country code ", p.codeText)
			return p.join(p.codeText, rest, steps)
		}
		if p.optional && len(d) > 4 {
			n := p.join(p.codeText, d, steps)
			if n.exists() || in == Dialled {
				step(steps, "national number, country code ", p.codeText)
				return n
			}
		}
	}
	if in == Trunk {
		// Between PBX and carrier a country code without "+" is common and a
		// national number without its trunk prefix is rare. Taking the
		// former first is also the safe way to be wrong: a foreign number is
		// never mistaken for one at home.
		if n := p.public(d, "", nil); n.exists() {
			step(steps, "public number without a prefix")
			return n
		}
		if p.code != 0 {
			if n := p.join(p.codeText, d, nil); n.exists() {
				step(steps, "national number without its prefix, country code ", p.codeText)
				return n
			}
		}
	}
	step(steps, "not a number that can be dialled from here")
	return Number{}
}

// wholeCountry reports a phone-context that leaves an emergency number one: a
// domain, or a country code alone, as in 112;phone-context=+33. Behind a longer
// context the same digits are the end of somebody's number.
func (p *Plan) wholeCountry(context string) bool {
	var c spelt
	if context == "" || !spell(context, &c) || !c.plus {
		return true
	}
	_, rest, ok := split(p.data, c.digits())
	return ok && len(rest) == 0
}

// inContext reads a local number with phone-context (RFC 3966 §5.1.5). A
// domain as context says nothing about digits and leaves the number local.
func (p *Plan) inContext(d []byte, context string, in Context, steps *[]string) (n Number, done bool) {
	var c spelt
	if !spell(context, &c) || !c.plus {
		step(steps, "phone-context is a domain: a local number")
		return Number{}, false
	}
	if steps != nil {
		step(steps, "phone-context +", string(c.digits()))
	}
	// The digits may hold an international prefix all the same, ours or the
	// context's: a PBX that ignores the context would dial abroad.
	for _, prefix := range p.international {
		if rest, found := cut(d, prefix); found {
			step(steps, "international prefix ", prefix)
			return p.public(rest, "", steps), true
		}
	}
	if rest, found := cut(d, "00"); found {
		step(steps, "international prefix 00")
		return p.public(rest, "", steps), true
	}
	return p.join(string(c.digits()), d, steps), true
}

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
	if len(d) > maxSpelt {
		step(steps, "too many digits")
		return Number{}
	}
	var buf [maxSpelt + 1]byte
	e164 := append(append(buf[:0], '+'), d...)
	if len(d) < 4 || d[0] == '0' {
		step(steps, "no country code")
		return Number{}
	}
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
	if len(e164)-1 > MaxDigits || len(e164)-1 < 4 {
		step(steps, "not between 4 and 15 digits")
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
		country := n.Country
		if country == "" {
			country = "no country"
		}
		step(steps, n.Canonical+": "+n.Kind.String()+", "+country+", "+n.Class+" ("+p.data.version+")")
	}
	return n
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
