package sipx

import "bytes"

// Tidy rewrites a message that passed [Check] so that a simple parser reads
// it as Check did. RFC 3261 allows white space and line folds around nearly
// every separator, escaped control characters in quoted strings, and any case
// in parameter names; parsers do not. It touches only the headers that Check
// knows, and returns msg itself when there is nothing to do, which is nearly
// always.
func Tidy(msg []byte) []byte {
	end := bytes.Index(msg, crlfcrlf)
	if end < 0 {
		return msg
	}
	top := msg[:end+2]
	var out []byte
	done := 0 // top[:done] is in out
	for pos := bytes.IndexByte(top, '\n') + 1; pos > 0 && pos < len(top); {
		name, value, next, why := headerAt(top, pos)
		if why != "" {
			return msg
		}
		if f := fieldOf(name); f != fieldOther && untidy(f, value) {
			if out == nil {
				out = make([]byte, 0, len(msg)+16)
			}
			out = append(out, top[done:pos]...)
			out = append(append(out, fieldNames[f]...), ": "...)
			out = append(appendTidy(out, f, value), "\r\n"...)
			done = next
		}
		pos = next
	}
	if out == nil {
		return msg
	}
	return append(append(out, top[done:]...), msg[end+2:]...)
}

// params tells the fields in which names of parameters matter.
func (f field) params() bool {
	switch f {
	case fieldVia, fieldFrom, fieldTo, fieldContact:
		return true
	}
	return false
}

// free tells the fields of free text, in which only folds are undone.
func (f field) free() bool {
	switch f {
	case fieldDate, fieldEvent, fieldReplaces, fieldSessionExpires, fieldRSeq, fieldRAck, fieldContentType, fieldAuthorization, fieldProxyAuthorization, fieldMaxBreadth,
		fieldContentEncoding, fieldContentDisposition, fieldMIMEVersion, fieldSubject, fieldPriority, fieldMinExpires, fieldMinSE, fieldSessionID:
		return true
	}
	return false
}

func separator(c byte) bool { return c == ';' || c == '=' || c == ',' || c == '/' || c == '<' }

func untidy(f field, v []byte) bool {
	inQuotes := false
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case c < 0x20 || c == 0x7f:
			return true
		case c == '"':
			inQuotes = !inQuotes
		case inQuotes:
			if c == '\\' {
				// In free text a quote may stand for itself, and the escape at the end.
				if i++; i < len(v) && (v[i] < 0x20 || v[i] == 0x7f) {
					return true
				}
			}
		case f.free():
		case c == ' ':
			p, n := v[i-1], v[i+1] // the value has no outer white space
			if p == ' ' || separator(p) || separator(n) && n != '<' || f == fieldVia && (p == ':' || n == ':') {
				return true
			}
		case c == ';' && f.params():
			for _, n := range v[i+1:] {
				if 'A' <= n && n <= 'Z' {
					return true
				}
				if charClass[n]&classToken == 0 {
					break
				}
			}
		}
	}
	return false
}

// lowered are the parameter names that the gateway asks for.
var lowered = [...]string{"tag", "branch", "rport", "received", "maddr", "ttl", "expires", "q", "reg-id"}

func appendTidy(b []byte, f field, v []byte) []byte {
	inURI, quotes := false, true
	for i := 0; i < len(v); {
		c := v[i]
		switch {
		case c == '"' && quotes:
			end, _, reason := quoted(v, i)
			if reason != "" {
				// Free text. Later quotes are not looked at: each would be read to the
				// end anew.
				quotes = false
				break
			}
			b = appendQuoted(b, v[i:end])
			i = end
		case isLWS(c):
			j := skipLWS(v, i)
			if f.free() || !separator(v[i-1]) && (!separator(v[j]) || v[j] == '<') {
				b = append(b, ' ')
			}
			i = j
		case c == ';' && f.params() && !inURI:
			b = append(b, c)
			i = skipLWS(v, i+1)
			from := i
			for i < len(v) && charClass[v[i]]&classToken != 0 {
				i++
			}
			name := v[from:i]
			for _, l := range lowered {
				if equalFold(name, l) {
					name = []byte(l)
				}
			}
			b = append(b, name...)
		default:
			switch c {
			case '<':
				inURI = true
			case '>':
				inURI = false
			}
			b = append(b, c)
			i++
		}
	}
	return b
}

// appendQuoted copies a quoted string on one line; an escaped control
// character, which no program in this century means, becomes "?".
func appendQuoted(b, q []byte) []byte {
	for i := 0; i < len(q); i++ {
		switch c := q[i]; {
		case isLWS(c):
			b = append(b, ' ')
			i = skipLWS(q, i) - 1
		case c == '\\' && (q[i+1] < 0x20 || q[i+1] == 0x7f):
			b = append(b, '?')
			i++
		case c == '\\':
			b = append(b, c, q[i+1])
			i++
		default:
			b = append(b, c)
		}
	}
	return b
}
