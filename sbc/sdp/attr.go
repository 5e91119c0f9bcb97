package sdp

import (
	"slices"
	"strconv"
	"strings"
)

// anyPT marks an attribute that is not about one payload type.
const anyPT = -1

// kept is an attribute that may be shown to the other leg.
type kept struct {
	attr     Attr
	pt       int    // payload type, or anyPT
	codec    string // rtpmap: name and rate, lower case
	feedback bool   // only with AVPF
}

// keep is the allow-list: what is not here does not cross. Directions,
// a=crypto, a=rtcp and a=rtcp-mux are written anew for each leg. Left out on
// purpose: everything of ICE and DTLS, ssrc and msid (they carry a CNAME),
// mid, group and label (they name lines of another description), rtcp-rsize
// and rtcp-xr (RTCP is relayed as compound packets), tool, and all x- names.
//
// Values must be printable ASCII and must not hold anything that looks like an
// IP address; one that fails is dropped, not the call.
func keep(a Attr, kind string) (kept, bool) {
	k := kept{attr: a, pt: anyPT}
	if !a.Set || !printable(a.Value) || hasAddress(a.Value) {
		return k, false
	}
	first, rest, _ := strings.Cut(a.Value, " ")
	rest = strings.TrimSpace(rest)
	switch a.Name {
	case "rtpmap":
		return k, k.setPT(first, false) && k.setCodec(rest)
	case "fmtp":
		return k, k.setPT(first, false) && rest != ""
	case "rtcp-fb":
		k.feedback = true
		return k, k.setPT(first, true) && rest != ""
	case "imageattr":
		return k, kind == "video" && k.setPT(first, true) && rest != ""
	case "ptime", "maxptime", "framerate":
		return k, isDecimal(a.Value)
	case "silenceSupp": // RFC 3108 §5.6.3.2; asked for by fax gateways
		return k, first == "on" || first == "off"
	}
	return k, false
}

func (k *kept) setPT(s string, star bool) bool {
	if star && s == "*" {
		return true
	}
	n, ok := number(s, 127)
	k.pt = int(n)
	return ok
}

// setCodec reads "opus/48000/2".
func (k *kept) setCodec(s string) bool {
	f := strings.Split(s, "/")
	if len(f) < 2 || len(f) > 3 || !isToken(f[0]) {
		return false
	}
	if rate, ok := number(f[1], 10_000_000); !ok || rate == 0 {
		return false
	}
	if len(f) == 3 {
		ch, ok := number(f[2], 255)
		if !ok {
			return false
		}
		if ch == 1 { // "/1" is the same codec as none, RFC 8866 §6.6
			f = f[:2]
		}
	}
	k.codec = strings.ToLower(strings.Join(f, "/"))
	return true
}

// bandwidthTypes are of RFC 8866 §5.8, RFC 3890 and, for RTCP, RFC 3556.
var bandwidthTypes = []string{"AS", "TIAS", "RS", "RR"}

// bandwidth keeps those with plain numbers, one of each.
func bandwidth(bs []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, b := range bs {
		typ, v, _ := strings.Cut(strings.TrimSpace(b), ":")
		n, ok := number(v, 1<<40)
		if ok && slices.Contains(bandwidthTypes, typ) && !seen[typ] {
			seen[typ] = true
			out = append(out, typ+":"+strconv.FormatUint(n, 10))
		}
	}
	return out
}

func isDecimal(s string) bool {
	whole, frac, dot := strings.Cut(s, ".")
	_, ok := number(whole, 100_000)
	if dot {
		_, okFrac := number(frac, 1_000_000)
		ok = ok && okFrac
	}
	return ok
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// hasAddress reports whether s holds anything that could be an IP address:
// four numbers joined by dots, or hexadecimal with "::" or six colons. It
// would rather see one too many; ranges as in imageattr (two colons) pass.
func hasAddress(s string) bool {
	dots, digits := 0, 0       // of the dotted quad being read
	colons, prev := 0, byte(0) // of the hexadecimal run being read
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			if digits++; dots == 3 {
				return true
			}
		case c == '.' && digits > 0:
			dots, digits = dots+1, 0
		default:
			dots, digits = 0, 0
		}
		switch {
		case c == ':':
			if colons++; prev == ':' || colons == 6 {
				return true
			}
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' || c == '.':
		default:
			colons = 0
		}
		prev = c
	}
	return false
}
