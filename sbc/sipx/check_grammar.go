package sipx

import "bytes"

// The grammar of RFC 3261 §25.1 and RFC 5954 over raw octets. Every function
// here answers with a reason, "" when all is well, and allocates nothing.
// Line folding was checked before: a CR in a value begins CRLF and LWS.

const (
	classToken   = 1 << iota // token
	classUser                // user part, without escapes
	classPass                // password, without escapes
	classParam               // URI parameter name or value, without escapes
	classHeader              // URI header name or value, without escapes
	classWord                // Call-ID
	classHost                // host name
	classGeneric             // value of a header parameter: token or host
)

var charClass = func() (t [256]uint8) {
	add := func(set string, bits uint8) {
		for i := range len(set) {
			t[set[i]] |= bits
		}
	}
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	add(alnum, classToken|classUser|classPass|classParam|classHeader|classWord|classHost|classGeneric)
	add("-.!%*_+`'~", classToken|classWord|classGeneric)
	add("[]:", classGeneric)
	add("-_.!~*'()", classUser|classPass|classParam|classHeader)
	add("&=+$,;?/", classUser)
	add("#", classUser) // not in the grammar, but every phone dials it unescaped
	add("&=+$,", classPass)
	add("[]/:&+$", classParam)
	add("[]/?:+$", classHeader)
	add(`()<>:\"/[]?{}`, classWord)
	add("-._", classHost) // "_" is not in the grammar, but in many names
	return t
}()

// lower folds ASCII only: SIP knows no other case.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func isToken(b []byte) bool { return all(b, classToken) }

func all(b []byte, class uint8) bool {
	for _, c := range b {
		if charClass[c]&class == 0 {
			return false
		}
	}
	return len(b) > 0
}

// escape reports whether an escape that may stand in a URI is at i: two
// hexadecimal digits and no control character, which would be a line break or
// the like to who undoes escapes. NUL is looked for apart, see escapedNUL.
func escape(b []byte, i int) bool {
	if i+2 >= len(b) || !isHex(b[i+1]) || !isHex(b[i+2]) {
		return false
	}
	c := unhex(b[i+1])<<4 | unhex(b[i+2])
	return c >= 0x20 && c != 0x7f || c == 0
}

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return lower(c) - 'a' + 10
}

func escapedNUL(b []byte) bool { return bytes.Contains(b, percent00) }

var percent00 = []byte("%00")

// escaped is all with %-escapes allowed, each of two hexadecimal digits.
func escaped(b []byte, class uint8) bool {
	for i := 0; i < len(b); i++ {
		if b[i] == '%' {
			if !escape(b, i) {
				return false
			}
			i += 2
		} else if charClass[b[i]]&class == 0 {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	c = lower(c)
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func digits(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return len(b) > 0
}

// number reads digits only: no sign, no space, at most limit.
func number(b []byte, limit int) (n int, ok bool) {
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		if n = n*10 + int(c-'0'); n > limit {
			return 0, false
		}
	}
	return n, len(b) > 0
}

func isLWS(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func skipLWS(b []byte, i int) int {
	for i < len(b) && isLWS(b[i]) {
		i++
	}
	return i
}

func trimLWS(b []byte) []byte {
	b = b[skipLWS(b, 0):]
	for len(b) > 0 && isLWS(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// hasControl finds control characters other than those of folding and tab.
func hasControl(b []byte) bool {
	for _, c := range b {
		if (c < 0x20 && !isLWS(c)) || c == 0x7f {
			return true
		}
	}
	return false
}

// quoted reads the quoted-string that begins at i and returns the index
// behind it. Control characters may only come escaped (RFC 3261 §25.1), and
// are replaced by [Tidy]. odd says that a reader who does not know escapes
// would see the string end elsewhere.
func quoted(b []byte, i int) (end int, odd bool, reason string) {
	escapes, special := 0, false
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, escapes%2 != 0 || escapes > 0 && special, ""
		case c == '\\':
			if i++; i >= len(b) || b[i] >= 0x80 || b[i] == '\r' || b[i] == '\n' {
				return 0, false, "escape in a quoted string"
			}
			if b[i] == '"' {
				escapes++
			}
		case c == ',' || c == '<' || c == '>' || c == ';':
			special = true
		case c < 0x20 && !isLWS(c) || c == 0x7f:
			return 0, false, "control character in a quoted string"
		}
	}
	return 0, false, "quoted string does not end"
}

// maxParams bounds one list of parameters.
const maxParams = 32

// names remembers parameter names, to find one that comes twice.
type names struct {
	at [maxParams][2]uint16
	n  int
}

func (s *names) add(b []byte, from, to int) string {
	if s.n == maxParams {
		return "too many parameters"
	}
	name := b[from:to]
	for _, p := range s.at[:s.n] {
		if int(p[1]-p[0]) == len(name) && equalFoldBytes(b[p[0]:p[1]], name) {
			return "parameter given twice"
		}
	}
	s.at[s.n] = [2]uint16{uint16(from), uint16(to)}
	s.n++
	return ""
}

func equalFoldBytes(a, b []byte) bool {
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// addr is what address found.
type addr struct {
	bracketed bool // URI in <>
	identity  bool // sip, sips, tel or urn
	headers   bool // its URI has headers
	tag       bool // a tag parameter
}

// address reads a name-addr or addr-spec with its parameters from i up to
// the end of b or a comma (RFC 3261 §20.10), and returns the index of that.
// list: the header may hold several values and readers split it at commas.
func address(b []byte, i int, list bool) (a addr, end int, reason string) {
	i = skipLWS(b, i)
	if i == len(b) {
		return a, 0, "no URI"
	}
	display := false
	if b[i] == '"' {
		q, odd, why := quoted(b, i)
		if why != "" {
			return a, 0, why
		}
		if odd && list {
			return a, 0, "ambiguous quoting"
		}
		display = true
		i = skipLWS(b, q)
	} else {
		// Tokens before "<" are a display name; what is no token is a URI. Letters
		// beyond ASCII want quotes there that not every device writes.
		j := i
		for {
			k := j
			for k < len(b) && (charClass[b[k]]&classToken != 0 || b[k] >= 0x80) {
				k++
			}
			if k == j {
				break
			}
			j = skipLWS(b, k)
		}
		if j < len(b) && b[j] == '<' {
			i = j
		}
	}
	if i < len(b) && b[i] == '<' {
		a.bracketed = true
		close := bytes.IndexByte(b[i:], '>')
		if close < 0 {
			return a, 0, `"<" without ">"`
		}
		uri := b[i+1 : i+close]
		if a.identity, a.headers, reason = anyURI(uri); reason != "" {
			return a, 0, reason
		}
		i = skipLWS(b, i+close+1)
	} else {
		if display {
			return a, 0, "display name without <>"
		}
		from := i
		for i < len(b) && b[i] != ';' && b[i] != ',' && !isLWS(b[i]) {
			i++
		}
		// A ";" or "," of the user part belongs to the URI: RFC 3261 §20.10
		// wants <> then.
		if bytes.IndexByte(b[from:i], '?') >= 0 {
			return a, 0, "URI with headers is not in <>"
		}
		if a.identity, a.headers, reason = anyURI(b[from:i]); reason != "" {
			return a, 0, reason
		}
		i = skipLWS(b, i)
	}
	var ps names
	for i < len(b) && b[i] == ';' {
		from := skipLWS(b, i+1)
		to := from
		for to < len(b) && charClass[b[to]]&classToken != 0 {
			to++
		}
		if to == from {
			return a, 0, "empty parameter"
		}
		if why := ps.add(b, from, to); why != "" {
			return a, 0, why
		}
		isTag := equalFold(b[from:to], "tag")
		if i = skipLWS(b, to); i < len(b) && b[i] == '=' {
			i = skipLWS(b, i+1)
			if i < len(b) && b[i] == '"' {
				q, odd, why := quoted(b, i)
				if why != "" {
					return a, 0, why
				}
				// In From and To nothing in quotes may look like a tag, or
				// change when it is written again.
				if list && odd || !list && bytes.ContainsAny(b[i:q], ";=\\ \t\r") {
					return a, 0, "ambiguous quoting"
				}
				if isTag {
					return a, 0, "tag is not a token"
				}
				i = q
			} else {
				v := i
				for i < len(b) && charClass[b[i]]&classGeneric != 0 {
					i++
				}
				if i == v || isTag && (!isToken(b[v:i]) || i-v > maxID) {
					return a, 0, "value of a parameter"
				}
			}
			i = skipLWS(b, i)
		} else if isTag {
			return a, 0, "tag without value"
		}
		a.tag = a.tag || isTag
	}
	if i < len(b) && b[i] != ',' {
		return a, 0, "text behind the address"
	}
	return a, i, ""
}

// callID = word [ "@" word ]
func callID(b []byte) string {
	if len(b) > maxID {
		return "too long"
	}
	left, right, at := bytes.Cut(b, []byte("@"))
	if !all(left, classWord) || at && !all(right, classWord) {
		return "not a word"
	}
	return ""
}

// cseq = 1*DIGIT LWS Method, below 2**31 (RFC 3261 §8.1.1.5).
func cseq(b []byte) (n int, method []byte, reason string) {
	i := 0
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	n, ok := number(b[:i], 1<<31-1)
	if !ok {
		return 0, nil, "not a number below 2**31"
	}
	j := skipLWS(b, i)
	if j == i || !isToken(b[j:]) {
		return 0, nil, "not a number and a method"
	}
	return n, b[j:], ""
}

// mediaTypeValue = type "/" subtype *( ";" parameter )
func mediaTypeValue(b []byte) string {
	i := 0
	part := func() bool {
		i = skipLWS(b, i)
		from := i
		for i < len(b) && charClass[b[i]]&classToken != 0 {
			i++
		}
		ok := i > from
		i = skipLWS(b, i)
		return ok
	}
	if !part() || i == len(b) || b[i] != '/' {
		return "not a media type"
	}
	i++
	if !part() {
		return "not a media type"
	}
	for i < len(b) && b[i] == ';' {
		i++
		if !part() || i == len(b) || b[i] != '=' {
			return "parameter of the media type"
		}
		i = skipLWS(b, i+1)
		if i < len(b) && b[i] == '"' {
			q, _, why := quoted(b, i)
			if why != "" {
				return why
			}
			i = skipLWS(b, q)
		} else if !part() {
			return "parameter of the media type"
		}
	}
	if i != len(b) {
		return "more than one value"
	}
	return ""
}

// isDate = RFC 1123 date in GMT (RFC 3261 §20.17): "Sat, 13 Nov 2010 23:29:00 GMT"
func isDate(b []byte) bool {
	const form = "aaa, 00 aaa 0000 00:00:00 GMT"
	if len(b) != len(form) {
		return false
	}
	for i := range b {
		switch l := lower(b[i]); form[i] {
		case 'a':
			if l < 'a' || l > 'z' {
				return false
			}
		case '0':
			if !isDigit(b[i]) {
				return false
			}
		default:
			if b[i] != form[i] {
				return false
			}
		}
	}
	return true
}
