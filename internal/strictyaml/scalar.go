package strictyaml

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
	netipTypes   = map[reflect.Type]string{
		reflect.TypeFor[netip.Addr]():     `an IP address, such as 192.0.2.1 or "2001:db8::1"`,
		reflect.TypeFor[netip.AddrPort](): `an address with a port, such as "192.0.2.1:5061" or "[2001:db8::1]:5061"`,
		reflect.TypeFor[netip.Prefix]():   `a network, such as 198.51.100.0/24 or "2001:db8::/32"`,
	}
)

func isScalar(t reflect.Type) bool {
	if t == timeType || netipTypes[t] != "" {
		return true
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

// setScalar converts. On failure the problem has message and hint only.
func setScalar(n *node, v reflect.Value) (Problem, bool) {
	bad := func(hint, format string, args ...any) (Problem, bool) {
		return Problem{Message: fmt.Sprintf(format, args...), Hint: hint}, false
	}
	t := v.Type()
	switch {
	case t == durationType:
		d, err := ParseDuration(n.text)
		if err != nil {
			return bad("a number with a unit: 500ms, 10s, 5m, 12h, 7d", "%s is not a duration", quote(n.text))
		}
		v.SetInt(int64(d))
		return Problem{}, true
	case t == timeType:
		for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
			if at, err := time.Parse(layout, n.text); err == nil {
				v.Set(reflect.ValueOf(at))
				return Problem{}, true
			}
		}
		return bad("a date 2027-01-31 or a time 2027-01-31T10:00:00+01:00", "%s is not a time", quote(n.text))
	case netipTypes[t] != "":
		if a, err := netip.ParseAddr(n.text); err == nil && a.Zone() == "" && t == reflect.TypeFor[netip.Prefix]() {
			// One host is the network of that host.
			v.Set(reflect.ValueOf(netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())))
			return Problem{}, true
		}
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.text)); err != nil || n.text == "" {
			return bad(netipTypes[t], "%s is not %s", quote(n.text), beforeComma(netipTypes[t]))
		}
		fold(v)
		return Problem{}, true
	}
	switch t.Kind() {
	case reflect.String:
		if !n.quoted && n.plain != plainText {
			// 0033 is 27 to one YAML reader and 33 to the next; only the
			// writer knows that it was meant as text.
			return bad("put it in quotes: "+strconv.Quote(n.text), "%s without quotes is %s in YAML, and text belongs here", n.text, plainName(n.plain))
		}
		v.SetString(n.text)
	case reflect.Bool:
		if n.quoted || n.text != "true" && n.text != "false" {
			return bad("write true or false, without quotes", "%s is not true or false", quote(n.text))
		}
		v.SetBool(n.text == "true")
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(n.text, t.Bits())
		if n.quoted || err != nil || !decimal(n.text, true) {
			return bad("write a number such as 0.5, without quotes", "%s is not a number", quote(n.text))
		}
		v.SetFloat(f)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(n.text, 10, 64)
		if n.quoted || err != nil || !decimal(n.text, false) {
			return bad("write a number such as 30, without quotes or unit", "%s is not a whole number", quote(n.text))
		}
		if v.OverflowInt(i) {
			return bad("", "%s is too large", n.text)
		}
		v.SetInt(i)
	default:
		u, err := strconv.ParseUint(n.text, 10, 64)
		if n.quoted || err != nil || !decimal(n.text, false) {
			return bad("write a number such as 30, without quotes, sign or unit", "%s is not a whole number, zero or more", quote(n.text))
		}
		if v.OverflowUint(u) {
			return bad("", "%s is too large", n.text)
		}
		v.SetUint(u)
	}
	return Problem{}, true
}

// decimal refuses what YAML and Go read differently: leading zeros, signs with
// a plus, other bases, underscores.
func decimal(s string, point bool) bool {
	s = strings.TrimPrefix(s, "-")
	for _, r := range s {
		if (r < '0' || r > '9') && !(point && r == '.') {
			return false
		}
	}
	return s != "" && (len(s) == 1 || s[0] != '0' || s[1] == '.')
}

func plainName(p plain) string {
	if p == plainBool {
		return "a truth value"
	}
	return "a number"
}

func beforeComma(s string) string {
	s, _, _ = strings.Cut(s, ",")
	return s
}

// fold makes an IPv4 address of one that is mapped into IPv6, so that the two
// spellings are one address everywhere.
func fold(v reflect.Value) {
	switch a := v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(a.Unmap()))
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.AddrPortFrom(a.Addr().Unmap(), a.Port())))
	case netip.Prefix:
		if a.Addr().Is4In6() && a.Bits() >= 96 {
			v.Set(reflect.ValueOf(netip.PrefixFrom(a.Addr().Unmap(), a.Bits()-96)))
		}
	}
}

// ParseDuration reads a Go duration, to which it adds days and weeks: "7d",
// "1w2d", "1d12h". Negative durations and numbers without a unit (but "0") are
// refused.
func ParseDuration(s string) (time.Duration, error) {
	rest, total := s, time.Duration(0)
	for _, u := range []struct {
		unit string
		each time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		head, tail, ok := strings.Cut(rest, u.unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(head, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("duration %q: %q before %s is not a whole number", s, head, u.unit)
		}
		total += time.Duration(n) * u.each
		rest = tail
	}
	if rest == "" && total > 0 {
		return total, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		return 0, fmt.Errorf("duration %q: %w", s, err)
	}
	if d < 0 || rest[0] == '+' || rest[0] == '-' || total+d < 0 {
		return 0, fmt.Errorf("duration %q: out of range", s)
	}
	return total + d, nil
}

// Nearest returns the name that s was probably meant to be, or "".
func Nearest(s string, names []string) string {
	if len(s) > 64 {
		return ""
	}
	best, least := "", max(1, min(2, len(s)/3))+1
	for _, name := range names {
		if strings.EqualFold(strings.ReplaceAll(s, "-", "_"), name) {
			return name
		}
		if dist := distance(s, name); dist < least {
			best, least = name, dist
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours between two short strings (optimal string alignment).
func distance(a, b string) int {
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
