package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/rampart-sbc/rampart/policy/number"
)

// listBuilder collects the values of one list.
type listBuilder struct {
	kind  ListKind
	bare  bool // digits without "+" begin with the country code
	plan  *number.Plan
	n     int
	texts map[string]struct{}
	codes codes
	nets  []netip.Prefix
	exprs []string
	raw   codes // numbers as written, for users that are called by one
}

// listFault is what is wrong with a value.
type listFault struct{ text, hint string }

func fault(hint, format string, args ...any) *listFault {
	return &listFault{fmt.Sprintf(format, args...), hint}
}

func (c *compiler) builder(kind ListKind, bare bool) *listBuilder {
	return &listBuilder{kind: kind, bare: bare, plan: c.set.plan}
}

func (b *listBuilder) add(v string) *listFault {
	b.n++
	switch b.kind {
	case Numbers:
		return b.number(v)
	case Prefixes:
		p, ok := b.plan.Prefix(v, b.bare)
		if !ok {
			hint := `write "+44", "0044", or a national prefix as it is dialled`
			if strings.Trim(v, "0123456789") == "" && v != "" && v[0] != '0' {
				hint = `write "+` + v + `", or without_plus: true for a whole list that begins with country codes`
			}
			return fault(hint, "%s is not a prefix of public numbers", shorten(v))
		}
		code, _ := codeOf(p)
		b.codes = append(b.codes, code)
	case CIDRs:
		return b.network(v)
	case Regexes:
		return b.regex(v)
	case Countries:
		if !b.plan.Data().Known(v) && !isCountry(v) {
			return fault("write an ISO code such as GB", "%s is not a country", shorten(v))
		}
		b.text(v)
	default:
		if len(v) > maxListText || v == "" {
			return fault("", "a text of %d bytes; 1 to %d are possible", len(v), maxListText)
		}
		b.text(v)
	}
	return nil
}

// isCountry: two letters may be a country without numbers of its own.
func isCountry(v string) bool {
	return len(v) == 2 && v[0] >= 'A' && v[0] <= 'Z' && v[1] >= 'A' && v[1] <= 'Z'
}

func (b *listBuilder) text(v string) {
	if b.texts == nil {
		b.texts = map[string]struct{}{}
	}
	b.texts[v] = struct{}{}
}

func (b *listBuilder) number(v string) *listFault {
	text := v
	if b.bare && strings.Trim(v, "0123456789") == "" {
		text = "+" + v
	}
	n := b.plan.Normalise(text, number.Trunk)
	code, ok := codeOf(n.Canonical)
	if !ok {
		return fault(`write it as it is dialled, or as "+44…"; kind: text takes what is no number`, "%s is not a number that can be dialled from here", shorten(v))
	}
	b.codes = append(b.codes, code)
	// A user may be called like a number: 0123456789 stays findable as that.
	// It is nobody else's canonical form, for the plan gave it another.
	if raw, ok := codeOf(text); ok && raw != code && text[0] != '+' {
		b.raw = append(b.raw, raw)
	}
	return nil
}

func (b *listBuilder) network(v string) *listFault {
	p, err := netip.ParsePrefix(v)
	if a, err2 := netip.ParseAddr(v); err2 == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil {
		return fault("write 192.0.2.0/24 or 2001:db8::/32", "%s is not a network", shorten(v))
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return fault("write it as IPv4", "%s is not a network", shorten(v))
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return fault("write "+p.Masked().String(), "%s has bits set behind its length", p)
	}
	b.nets = append(b.nets, p)
	return nil
}

func (b *listBuilder) regex(v string) *listFault {
	var r regexYAML
	if err := r.UnmarshalScalar(v, true); err != nil {
		return fault("", "%v", err)
	}
	if len(b.exprs) == maxListRegexes {
		return fault("", "more than %d regular expressions", maxListRegexes)
	}
	if _, err := regexp.Compile("(?i:" + v + ")"); err != nil {
		return fault("", "%v", err)
	}
	b.exprs = append(b.exprs, v)
	return nil
}

// finish makes the list of what was added. Expressions that compile each by
// itself may be too many together.
func (b *listBuilder) finish(l *List) *listFault {
	var err error
	l.kind, l.text = b.kind, b.texts
	switch b.kind {
	case Numbers:
		b.codes = sortCodes(b.codes)
		l.size = len(b.codes)
		l.codes = b.codes
		if len(b.raw) > 0 {
			l.codes = sortCodes(append(b.codes, b.raw...))
		}
	case Prefixes:
		l.size = len(sortCodes(b.codes))
		l.codes = prefixFree(b.codes)
	case CIDRs:
		l.size = len(b.nets)
		l.nets = disjoint(b.nets)
	case Regexes:
		if l.size = len(b.exprs); l.size > 0 {
			if l.exprs, err = compileAgents(b.exprs); err != nil {
				return fault("take some of them out", "the regular expressions are too large together: %v", err)
			}
		}
	default:
		l.size = len(b.texts)
	}
	return nil
}

// shorten keeps what a file says from filling the screen.
func shorten(v string) string {
	if len(v) > 60 {
		v = strings.ToValidUTF8(v[:60], "") + "…"
	}
	return fmt.Sprintf("%q", v)
}
