package sipx

import (
	"bytes"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// vias counts Via values; a comma inside a Via header counts as two headers.
func (h *head) vias() int { return int(h.seen[fieldVia]) }

// via checks one Via header, which may hold several values. A branch may be
// absent (RFC 2543, and longreq of RFC 4475), but never empty.
func (h *head) via(b []byte) string {
	if h.vias() > maxVias {
		return "too many"
	}
	for i := 0; ; {
		end, reason := viaValue(b, i)
		if reason != "" {
			return reason
		}
		if end == len(b) {
			return ""
		}
		if h.vias() >= maxVias {
			return "too many"
		}
		if h.seen[fieldVia] < 255 {
			h.seen[fieldVia]++
		}
		i = end + 1
	}
}

// viaValue reads "SIP/2.0/UDP host:port;params" from i to the end or a comma
// (RFC 3261 §20.42). White space around the port is legal, never seen, and
// read differently by different readers: refused.
func viaValue(b []byte, i int) (end int, reason string) {
	token := func() []byte {
		i = skipLWS(b, i)
		from := i
		for i < len(b) && charClass[b[i]]&classToken != 0 {
			i++
		}
		return b[from:i]
	}
	slash := func() bool {
		i = skipLWS(b, i)
		if i < len(b) && b[i] == '/' {
			i++
			return true
		}
		return false
	}
	if !equalFold(token(), "SIP") || !slash() || string(token()) != "2.0" || !slash() {
		return 0, "protocol is not SIP/2.0"
	}
	if len(token()) == 0 {
		return 0, "no transport"
	}
	from := skipLWS(b, i)
	if from == i {
		return 0, "no host"
	}
	for i = from; i < len(b) && b[i] != ';' && b[i] != ',' && !isLWS(b[i]); i++ {
	}
	host := b[from:i]
	if reason := hostPortSyntax(host); reason != "" {
		return 0, reason
	}
	if j := skipLWS(b, i); j != i {
		// Before a parameter it is harmless, and old telephones fold there.
		if j < len(b) && b[j] == ':' || bytes.IndexByte(host, ':') >= 0 && j < len(b) && b[j] != ';' && b[j] != ',' {
			return 0, "white space behind the address"
		}
		i = j
	}
	var ps names
	for i < len(b) && b[i] == ';' {
		i++
		name := token()
		if len(name) == 0 {
			return 0, "empty parameter"
		}
		if reason := ps.add(b, i-len(name), i); reason != "" {
			return 0, reason
		}
		i = skipLWS(b, i)
		var value []byte
		has := i < len(b) && b[i] == '='
		if has {
			i = skipLWS(b, i+1)
			v := i
			if i < len(b) && b[i] == '"' {
				// Gateways name their trunks so. In it nothing may look like the end of
				// the value to who knows no quotes.
				q, _, why := quoted(b, i)
				if why != "" || bytes.ContainsAny(b[i:q], ",;=\\<> \t\r") {
					return 0, "quoted value of a parameter"
				}
				i = q
			} else {
				for i < len(b) && charClass[b[i]]&classGeneric != 0 {
					i++
				}
			}
			if value = b[v:i]; len(value) == 0 {
				return 0, "value of a parameter"
			}
			i = skipLWS(b, i)
		}
		switch {
		case equalFold(name, "branch"):
			if !isToken(value) || equalFold(value, "z9hG4bK") || len(value) > maxID {
				return 0, "branch"
			}
		case equalFold(name, "rport"):
			if n, ok := number(value, 65535); has && (!ok || n == 0) {
				return 0, "rport"
			}
		case equalFold(name, "received"):
			// RFC 5118 §4.5: an IPv6 address may come with brackets or without.
			if !isIPv6(value) && hostSyntax(value) != "" {
				return 0, "received"
			}
		case equalFold(name, "maddr"):
			if hostSyntax(value) != "" {
				return 0, "maddr"
			}
		case equalFold(name, "ttl"):
			if _, ok := number(value, 255); !ok {
				return 0, "ttl"
			}
		}
	}
	if i < len(b) {
		if b[i] != ',' {
			return 0, "text behind the value"
		}
		if ps.n == 0 {
			return 0, "several values without branch" // readers disagree where the first ends
		}
	}
	return i, ""
}

// readVias reads the parameters of Vias again where the parser met a quoted
// value, which it takes for a name. [Check] lets nothing into the quotes that is
// anything else between Vias or parameters, so they are cut at every comma and
// semicolon. tidy is what the parser had.
func readVias(m sip.Message, tidy []byte) {
	odd := false
	for _, h := range ordered(m) {
		if v, ok := h.(*sip.ViaHeader); ok {
			for i := range v.Params {
				odd = odd || strings.IndexByte(v.Params[i].K, '"') >= 0
			}
		}
	}
	if !odd {
		return
	}
	var vias []*sip.ViaHeader
	for _, h := range ordered(m) {
		if v, ok := h.(*sip.ViaHeader); ok {
			vias = append(vias, v)
		}
	}
	top := tidy[:bytes.Index(tidy, crlfcrlf)+2]
	for pos := bytes.IndexByte(top, '\n') + 1; pos < len(top) && len(vias) > 0; {
		name, value, next, why := headerAt(top, pos)
		if why != "" {
			return
		}
		pos = next
		if fieldOf(name) != fieldVia {
			continue
		}
		for one := range strings.SplitSeq(string(value), ",") {
			if len(vias) == 0 {
				return
			}
			parts := strings.Split(one, ";")
			vias[0].Params = vias[0].Params[:0]
			for _, p := range parts[1:] {
				k, v, _ := strings.Cut(p, "=")
				vias[0].Params = append(vias[0].Params, sip.HeaderKV{K: strings.Trim(k, " \t"), V: strings.Trim(v, " \t")})
			}
			vias = vias[1:]
		}
	}
}
