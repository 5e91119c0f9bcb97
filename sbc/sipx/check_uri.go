package sipx

import "bytes"

// URIs and hosts of RFC 3261 §19.1 and §25.1, with the IPv6 of RFC 5954.

// requestURI checks a Request-URI; a scheme we cannot route is 416.
func requestURI(u []byte) (status int, reason string) {
	if len(u) > 0 && u[0] == '<' {
		return 400, "Request-URI in <>"
	}
	colon := bytes.IndexByte(u, ':')
	if colon <= 0 || !scheme(u[:colon]) {
		return 400, "Request-URI has no scheme"
	}
	rest := u[colon+1:]
	switch {
	case equalFold(u[:colon], "sip"), equalFold(u[:colon], "sips"):
		headers, reason := sipURI(rest)
		if reason == "" && headers {
			reason = "headers in the Request-URI"
		}
		return 400, reason
	case equalFold(u[:colon], "tel"), equalFold(u[:colon], "urn"):
		return 400, opaque(rest)
	}
	return 416, "URI scheme"
}

// scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
func scheme(b []byte) bool {
	for i, c := range b {
		if l := lower(c); !('a' <= l && l <= 'z') && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return len(b) > 0
}

// anyURI checks the URI of an address. identity: of a scheme that can name a
// caller or callee.
func anyURI(u []byte) (identity, headers bool, reason string) {
	colon := bytes.IndexByte(u, ':')
	if colon <= 0 || !scheme(u[:colon]) {
		return false, false, "URI has no scheme"
	}
	rest := u[colon+1:]
	switch {
	case equalFold(u[:colon], "sip"), equalFold(u[:colon], "sips"):
		headers, reason = sipURI(rest)
		return true, headers, reason
	case equalFold(u[:colon], "tel"), equalFold(u[:colon], "urn"):
		identity = true
	default:
		for _, c := range u[:colon] {
			if l := lower(c); l < 'a' || l > 'z' {
				return false, false, "URI scheme" // legal, but nothing that speaks SIP
			}
		}
	}
	return identity, false, opaque(rest)
}

// opaque checks the part of another URI behind its scheme (RFC 3986).
func opaque(b []byte) string {
	if len(b) == 0 {
		return "empty URI"
	}
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '%':
			if !escape(b, i) {
				return "%-escape in a URI"
			}
			i += 2
		case c == '#' || c == '@' || c == '=' || c == ',' || c == ';':
		case charClass[c]&(classUser|classParam|classHeader) == 0:
			return "character in a URI"
		}
	}
	return ""
}

// sipURI checks what follows "sip:" (RFC 3261 §19.1.1).
func sipURI(b []byte) (headers bool, reason string) {
	// "@" is reserved everywhere else, so the first is the only one.
	if at := bytes.IndexByte(b, '@'); at >= 0 {
		user, pass := b[:at], []byte(nil)
		if colon := bytes.IndexByte(user, ':'); colon >= 0 {
			user, pass = user[:colon], user[colon+1:]
		}
		if len(user) == 0 || !escaped(user, classUser) || !escaped(pass, classPass) {
			return false, "user part of a URI"
		}
		if bytes.HasPrefix(user, []byte("//")) {
			return false, "user part of a URI" // read as "//" and a user by some
		}
		b = b[at+1:]
	} else if i := bytes.IndexByte(b, '['); i > 0 {
		return false, "[ outside of the host of a URI" // taken for the host by some
	}
	i := 0
	for i < len(b) && b[i] != ';' && b[i] != '?' {
		i++
	}
	if reason := hostPortSyntax(b[:i]); reason != "" {
		return false, reason
	}
	var ps names
	for i < len(b) && b[i] == ';' {
		from := i + 1
		for i = from; i < len(b) && b[i] != ';' && b[i] != '?' && b[i] != '='; i++ {
		}
		if i == from || !escaped(b[from:i], classParam) {
			return false, "parameter of a URI"
		}
		if reason := ps.add(b, from, i); reason != "" {
			return false, "URI: " + reason
		}
		if i < len(b) && b[i] == '=' {
			v := i + 1
			for i = v; i < len(b) && b[i] != ';' && b[i] != '?'; i++ {
			}
			if i == v || !escaped(b[v:i], classParam) {
				return false, "parameter of a URI"
			}
		}
	}
	if i < len(b) { // "?"
		for _, h := range b[i+1:] {
			if h == '=' || h == '&' || h == '%' {
				continue
			}
			if charClass[h]&classHeader == 0 {
				return false, "headers of a URI"
			}
		}
		if i+1 == len(b) || !percent(b[i+1:]) {
			return false, "headers of a URI"
		}
		return true, ""
	}
	return false, ""
}

func percent(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if b[i] == '%' && !escape(b, i) {
			return false
		}
	}
	return true
}

// hostPortSyntax = host [ ":" port ]
func hostPortSyntax(b []byte) string {
	host, port := b, []byte(nil)
	if len(b) > 0 && b[0] == '[' {
		close := bytes.IndexByte(b, ']')
		if close < 0 {
			return "IPv6 address without ]"
		}
		host = b[:close+1]
		if close+1 < len(b) {
			if b[close+1] != ':' {
				return "text behind an IPv6 address"
			}
			port = b[close+1:]
		}
	} else if colon := bytes.IndexByte(b, ':'); colon >= 0 {
		host, port = b[:colon], b[colon:]
	}
	if reason := hostSyntax(host); reason != "" {
		return reason
	}
	if port != nil {
		if n, ok := number(port[1:], 65535); !ok || n == 0 {
			return "port"
		}
	}
	return ""
}

// hostSyntax = name / IPv4 address / IPv6 reference
func hostSyntax(b []byte) string {
	if len(b) == 0 {
		return "empty host"
	}
	if b[0] == '[' {
		if len(b) < 2 || b[len(b)-1] != ']' || !isIPv6(b[1:len(b)-1]) {
			return "IPv6 address"
		}
		return ""
	}
	if len(b) > 255 || !all(b, classHost) || b[0] == '.' || b[0] == '-' || b[len(b)-1] == '-' || bytes.Contains(b, dotDot) {
		return "host name"
	}
	// A last label that begins with a digit can only be an IPv4 address.
	last := bytes.TrimSuffix(b, dotDot[:1])
	if c := last[bytes.LastIndexByte(last, '.')+1]; isDigit(c) && digits(last[bytes.LastIndexByte(last, '.')+1:]) && !isIPv4(b) {
		return "IPv4 address"
	}
	return ""
}

var dotDot = []byte("..")

func isIPv4(b []byte) bool {
	for part := range 4 {
		i := 0
		for i < len(b) && isDigit(b[i]) {
			i++
		}
		if n, ok := number(b[:i], 255); !ok || i > 3 || i > 1 && b[0] == '0' || n < 0 {
			return false
		}
		b = b[i:]
		if part < 3 {
			if len(b) == 0 || b[0] != '.' {
				return false
			}
			b = b[1:]
		}
	}
	return len(b) == 0
}

// isIPv6 follows RFC 5954 §4.1: one "::" at most, an IPv4 address only at
// the end, no zone.
func isIPv6(b []byte) bool {
	groups, gap := 0, false
	if bytes.HasPrefix(b, colonColon) {
		gap, b = true, b[2:]
		if len(b) == 0 {
			return true
		}
	}
	for {
		if groups <= 6 && bytes.IndexByte(b, ':') < 0 && bytes.IndexByte(b, '.') >= 0 {
			groups += 2
			return isIPv4(b) && (groups == 8 || gap && groups < 8)
		}
		i := 0
		for i < len(b) && isHex(b[i]) {
			i++
		}
		if i == 0 || i > 4 {
			return false
		}
		groups++
		if b = b[i:]; len(b) == 0 {
			break
		}
		if bytes.HasPrefix(b, colonColon) {
			if gap {
				return false
			}
			gap = true
			if b = b[2:]; len(b) == 0 {
				break
			}
			continue
		}
		if b[0] != ':' {
			return false
		}
		b = b[1:]
	}
	return groups == 8 || gap && groups < 8
}

var colonColon = []byte("::")
