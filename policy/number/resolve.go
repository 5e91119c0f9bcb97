package number

import "github.com/rampart-sbc/rampart/call"

// resolve reads digits without "+", outside prefix, tech prefix and context.
// The first reading that is an existing number wins; where there is none, the
// first that is a public number at all.
func (p *Plan) resolve(d []byte, in Context, steps *[]string) Number {
	n := p.prefixed(d, in, steps)
	if n.exists() {
		return n
	}
	chosen := p.selected(d, in, steps)
	if chosen.exists() || chosen.Other != nil {
		return chosen
	}
	if n.Kind != call.Invalid {
		return n
	}
	if in == Trunk {
		// Between PBX and carrier a country code without "+" is common and a
		// national number without its trunk prefix is rare. Taking the
		// former first is also the safe way to be wrong: a foreign number is
		// never mistaken for one at home.
		if m := p.public(d, "", nil); m.exists() {
			step(steps, "public number without a prefix")
			return m
		}
		if p.code != 0 {
			if m := p.join(p.codeText, d, nil); m.exists() {
				step(steps, "national number without its prefix, country code ", p.codeText)
				return m
			}
		}
	}
	if chosen.Kind == call.International {
		step(steps, "carrier selection and an international prefix")
		return chosen
	}
	step(steps, "not a number that can be dialled from here")
	return Number{}
}

// prefixed reads an international or national number as it is dialled.
func (p *Plan) prefixed(d []byte, in Context, steps *[]string) (first Number) {
	for _, prefix := range p.international {
		if rest, found := cut(d, prefix); found {
			step(steps, "international prefix ", prefix)
			n := p.public(rest, "", steps)
			if n.exists() {
				return n
			}
			if first.Kind == call.Invalid {
				first = n
			}
		}
	}
	if p.code == 0 || first.Kind != call.Invalid { // 00… is no national number, even where the trunk prefix is 0
		return first
	}
	if rest, found := cut(d, p.national); found && p.national != "" {
		step(steps, "national prefix ", p.national, ", country code ", p.codeText)
		return p.join(p.codeText, rest, steps)
	}
	if p.optional && len(d) > 4 {
		if n := p.join(p.codeText, d, nil); n.exists() || in == Dialled {
			step(steps, "national number, country code ", p.codeText)
			return p.join(p.codeText, d, steps)
		}
	}
	return first
}

// selected takes a carrier selection prefix off. What follows is a number as it
// is dialled, or a national one without its prefix (Brazil: 0 15 11…). Where two
// prefixes of different length fit, the number abroad goes first.
func (p *Plan) selected(d []byte, in Context, steps *[]string) (out Number) {
	length := 0
	for _, pattern := range p.carriers {
		if !pattern.matches(d) {
			continue
		}
		rest := d[len(pattern):]
		n := p.prefixed(rest, in, nil)
		if n.Kind == call.Invalid && p.code != 0 && len(rest) > 4 {
			n = p.join(p.codeText, rest, nil)
		}
		switch {
		case !n.exists():
			if p.beginsAbroad(rest) && (out.Kind == call.Invalid || out.Kind == call.National) {
				out, length = n.beside(out), len(pattern)
			}
		case out.Kind == call.Invalid:
			out, length = n, len(pattern)
		case n.Kind == call.International && out.Kind == call.National:
			out, length = n.beside(out), len(pattern)
		default:
			out = out.beside(n)
		}
	}
	if steps != nil && out.exists() {
		step(steps, "carrier selection ", string(d[:length]), " taken off")
		step(steps, out.described(p.data))
	}
	return out
}

// wholeCountry reports a phone-context that leaves an emergency number one: a
// domain, or a country code alone, as in 112;phone-context=+33. Behind a longer
// context the same digits are the end of somebody's number.
func (p *Plan) wholeCountry(context string) bool {
	var c spelt
	if context == "" || !spell(context, &c) || !c.plain() || c.plus != 0 {
		return true
	}
	_, rest, ok := split(p.data, c.digits())
	return ok && len(rest) == 0
}

// inContext reads a local number with phone-context (RFC 3966 §5.1.5). A
// domain as context says nothing about digits and leaves the number local.
// Many ignore the context: what the digits are by themselves is judged too.
func (p *Plan) inContext(d []byte, context string, in Context, steps *[]string) Number {
	var c spelt
	if !spell(context, &c) || !c.plain() || c.plus != 0 {
		step(steps, "phone-context is a domain: a local number")
		return p.local(d, in, steps)
	}
	if steps != nil {
		step(steps, "phone-context +", string(c.digits()))
	}
	// The digits may hold an international prefix all the same, ours or the
	// context's: a PBX that ignores the context would dial abroad.
	for _, prefix := range p.international {
		if rest, found := cut(d, prefix); found {
			step(steps, "international prefix ", prefix)
			return p.public(rest, "", steps)
		}
	}
	if rest, found := cut(d, "00"); found {
		step(steps, "international prefix 00")
		return p.public(rest, "", steps)
	}
	without := p.local(d, in, nil)
	n := p.join(string(c.digits()), d, steps)
	if n.Kind == call.Invalid {
		return p.local(d, in, steps)
	}
	return n.beside(without)
}
