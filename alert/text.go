package alert

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rampart-sbc/rampart/call"
)

// Limits on what the network can put into a line.
const (
	maxText     = 256  // bytes of one attacker-controlled text
	maxReason   = 1024 // bytes of event.reason, which may quote several of them
	maxEvidence = 16
	maxTrace    = 32
	maxLine     = 48 << 10 // bytes of an alert when all of it is at its limit; a test measures it
)

const ellipsis = "…"

// clean makes text from the network safe to print and store: what is not
// valid UTF-8, and every character that moves a cursor, ends a line or changes
// the direction of writing, becomes a visible escape (\x1b, \u202e). The result
// is at most max bytes and ends with "…" if something was cut off.
func clean(s string, max int) string {
	plain := len(s) <= max
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= 0x20 && s[i] < 0x7f
	}
	if plain {
		return s
	}
	var b strings.Builder
	fits := 0 // length of the longest prefix that leaves room for the ellipsis
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size <= 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r < 0x80 && !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case !unicode.IsPrint(r) && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteString(s[i : i+size])
		}
		if b.Len() > max {
			return b.String()[:fits] + ellipsis
		}
		if b.Len() <= max-len(ellipsis) {
			fits = b.Len()
		}
		i += size
	}
	return b.String()
}

func short(s string) string { return clean(s, maxText) }

// cleanList cleans and caps a list. It returns a new slice, never nil.
func cleanList(in []string, max int) []string {
	out := make([]string, 0, min(len(in), max))
	for _, s := range in[:min(len(in), max)] {
		out = append(out, short(s))
	}
	return out
}

// cleanEvidence caps the list and turns every value into a JSON number, string
// or boolean. Durations become seconds.
func cleanEvidence(in []call.Evidence) []call.Evidence {
	if len(in) == 0 {
		return nil
	}
	out := make([]call.Evidence, 0, min(len(in), maxEvidence))
	for _, e := range in[:min(len(in), maxEvidence)] {
		c := call.Evidence{Name: short(e.Name), Value: scalar(e.Value)}
		if e.Threshold != nil {
			c.Threshold = scalar(e.Threshold)
		}
		out = append(out, c)
	}
	return out
}

func scalar(v any) any {
	switch x := v.(type) {
	case nil:
		return ""
	case bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return v
	case float32:
		return scalar(float64(x))
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return strconv.FormatFloat(x, 'g', -1, 64) // JSON has no such numbers
		}
		return x
	case time.Duration:
		return x.Seconds()
	case time.Time:
		return call.Time{Time: x}.UTC().Format(time.RFC3339Nano)
	case netip.Addr:
		return x.Unmap().String()
	case string:
		return short(x)
	case []byte:
		return short(string(x))
	case error:
		return short(x.Error())
	case fmt.Stringer:
		return short(x.String())
	default:
		return short(fmt.Sprint(x))
	}
}
