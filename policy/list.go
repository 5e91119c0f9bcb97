package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// ListKind says what the values of a list are.
type ListKind uint8

const (
	Texts     ListKind = iota // user names and other words, whole
	Numbers                   // whole numbers in canonical form
	Prefixes                  // beginnings of public numbers
	CIDRs                     // networks
	Regexes                   // regular expressions that take no notice of case
	Countries                 // ISO codes
)

var listKinds = []string{"text", "numbers", "prefixes", "cidrs", "regexes", "countries"}

func (k ListKind) String() string { return listKinds[k] }

// List is one entry of `lists:`, ready to be asked. It is immutable and
// answers without allocating.
type List struct {
	name, file string // file: "" for values that stand in the policy
	kind       ListKind
	bare       bool   // see without_plus
	version    string // digest of the values as written
	size       int
	text       map[string]struct{}
	codes      codes
	nets       []netip.Prefix // none inside another, sorted
	exprs      *agents
}

// Name is how the policy calls the list.
func (l *List) Name() string { return l.name }

// Kind says what the values are.
func (l *List) Kind() ListKind { return l.kind }

// Len is the number of values, those that stand twice counted once.
func (l *List) Len() int { return l.size }

// Version is a digest of the values as they were written.
func (l *List) Version() string { return l.version }

// File is where the values come from; "" when they stand in the policy.
func (l *List) File() string { return l.file }

// Has reports whether a value is in the list: for numbers and texts as a
// whole, for prefixes when it begins with one, for networks when it is an
// address in one, for regular expressions when one matches.
func (l *List) Has(value string) bool {
	switch l.kind {
	case Numbers:
		c, ok := codeOf(value)
		return ok && l.codes.has(c)
	case Prefixes:
		c, ok := codeOf(value)
		return ok && l.codes.prefixOf(c) != 0
	case CIDRs:
		a, err := netip.ParseAddr(value)
		return err == nil && l.network(a).IsValid()
	case Regexes:
		return l.exprs != nil && l.exprs.match(value)
	}
	_, found := l.text[value]
	return found
}

// hasParty asks for a caller or callee: by the canonical number, or by the
// country. What resolves to no number is looked for as it was sent, escapes
// undone, so that %2A97 is *97.
func (l *List) hasParty(p *call.Party) bool {
	switch l.kind {
	case Numbers, Prefixes:
		return p.Number != "" && l.Has(p.Number)
	case Countries:
		return p.Country != "" && l.Has(p.Country)
	case Texts:
		if p.Number != "" {
			return l.Has(p.Number)
		}
		var buf [maxListText + 1]byte
		user := unescape(buf[:0], p.User)
		_, found := l.text[string(user)]
		return found
	}
	return false
}

// hasSource asks for where a request came from.
func (l *List) hasSource(s *call.Source) bool {
	if l.kind == Countries {
		return s.Country != "" && l.Has(s.Country)
	}
	return l.network(s.Addr.Addr()).IsValid()
}

// network returns the network of the list that an address is in.
func (l *List) network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	i, _ := slices.BinarySearchFunc(l.nets, a, func(p netip.Prefix, a netip.Addr) int {
		if p.Addr().Compare(a) <= 0 {
			return -1
		}
		return 1
	})
	if i > 0 && l.nets[i-1].Contains(a) {
		return l.nets[i-1]
	}
	return netip.Prefix{}
}

// entry says which value of the list it is that holds value, for people.
func (l *List) entry(value string) string {
	switch l.kind {
	case Prefixes:
		if c, ok := codeOf(value); ok {
			return l.codes.prefixOf(c).String()
		}
	case CIDRs:
		if a, err := netip.ParseAddr(value); err == nil {
			return l.network(a).String()
		}
	case Regexes:
		return l.exprs.which(value)
	}
	return value
}

// public says that the list holds public numbers or their beginnings, in the
// one form of each.
func (l *List) public() bool {
	return l.kind == Prefixes || l.kind == Numbers && slices.ContainsFunc(l.codes, func(c code) bool { return c>>60 == 11 })
}

// unescape undoes the percent escapes of a user part and cuts its parameters
// off. What does not fit stays away: no value of a list is that long.
func unescape(buf []byte, user string) []byte {
	user, _, _ = strings.Cut(user, ";")
	for i := 0; i < len(user) && len(buf) < cap(buf); i++ {
		c := user[i]
		if c == '%' && i+2 < len(user) {
			if hi, lo := hexDigit(user[i+1]), hexDigit(user[i+2]); hi < 16 && lo < 16 {
				c = hi<<4 | lo
				i += 2
			}
		}
		buf = append(buf, c)
	}
	return buf
}

func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}

// disjoint sorts networks and takes out those inside another.
func disjoint(nets []netip.Prefix) []netip.Prefix {
	slices.SortFunc(nets, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	out := nets[:0]
	for _, p := range nets {
		if len(out) == 0 || !out[len(out)-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return slices.Clip(out)
}
