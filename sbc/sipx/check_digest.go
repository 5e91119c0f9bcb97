package sipx

import "github.com/emiago/sipgo/sip"

// credentials checks the value of Authorization or Proxy-Authorization: one
// scheme with its parameters, each given once (RFC 7616 §3.4, RFC 9110 §11.2).
// Of two usernames in one answer the gateway would count one and the PBX could
// believe the other. The values themselves are the PBX's to judge; they cross
// as they came.
func credentials(b []byte) string {
	i := 0
	for i < len(b) && charClass[b[i]]&classToken != 0 {
		i++
	}
	if i == 0 || i < len(b) && !isLWS(b[i]) {
		return "no scheme"
	}
	if !equalFold(b[:i], "Digest") {
		if hasControl(b) {
			return "control character"
		}
		return ""
	}
	var ps names
	for i = skipLWS(b, i); i < len(b); {
		if b[i] == ',' { // RFC 9110 §5.6.1: an empty element
			i = skipLWS(b, i+1)
			continue
		}
		from := i
		for i < len(b) && charClass[b[i]]&classToken != 0 {
			i++
		}
		if why := ps.add(b, from, i); why != "" {
			return why
		}
		end := i
		if i = skipLWS(b, i); end == from || i == len(b) || b[i] != '=' {
			return "parameter without a value"
		}
		i = skipLWS(b, i+1)
		if i < len(b) && b[i] == '"' {
			q, _, why := quoted(b, i)
			if why != "" {
				return why
			}
			i = skipLWS(b, q)
		} else {
			// Telephones leave the quotes out where they should not.
			for i < len(b) && b[i] != ',' {
				if c := b[i]; c == '"' || c < 0x20 && !isLWS(c) || c == 0x7f {
					return "value of a parameter"
				}
				i++
			}
		}
		if i < len(b) && b[i] != ',' {
			return "text behind a parameter"
		}
	}
	return ""
}

// doubleCredentials names the header that holds two answers for one realm: the
// gateway would count one of them and the PBX could believe the other. Proxies
// of several realms may each have theirs (RFC 3261 §22.3).
func doubleCredentials(m sip.Message) string {
	for _, name := range credentialHeaders {
		values := allHeaders(m, name)
		if len(values) < 2 {
			continue
		}
		realms := make(map[string]bool, len(values))
		for _, v := range values {
			realm := digestParam(v, "realm")
			if realms[realm] {
				return name
			}
			realms[realm] = true
		}
	}
	return ""
}
