package siptest

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Naive holds what careless readers see in a message: who takes a bare LF for
// a line end, a first or a last header for the one that counts, what stands in
// the first angle brackets for the address, and undoes escapes wherever they
// are. Ambiguous says in what they differ.

// Ambiguous reports how two careless readings of one whole datagram differ, or
// what in it could be read as more than one thing; nil when all see the same.
func Ambiguous(b []byte) error {
	s := string(b)
	for i := range len(s) {
		if s[i] == 0 {
			if i < strings.Index(s, "\r\n\r\n") {
				return fmt.Errorf("NUL at %d", i)
			}
			break
		}
	}
	head, body, ok := strings.Cut(s, "\r\n\r\n")
	if !ok {
		return fmt.Errorf("no end of the headers")
	}
	if strings.ContainsAny(strings.ReplaceAll(head, "\r\n", ""), "\r\n") {
		return fmt.Errorf("a bare CR or LF")
	}
	lines := strings.Split(head, "\r\n")
	if words := strings.Split(lines[0], " "); !strings.HasPrefix(lines[0], "SIP/2.0 ") && (len(words) != 3 || words[2] != "SIP/2.0") {
		return fmt.Errorf("start line %q", lines[0])
	}
	first, last := map[string]string{}, map[string]string{}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok || line[0] == ' ' || line[0] == '\t' || strings.ContainsAny(name, " \t\"") {
			return fmt.Errorf("line %q", line)
		}
		name = strings.ToLower(name)
		if long, ok := compact[name]; ok {
			name = long
		}
		if first[name] == "" {
			first[name] = strings.TrimSpace(value)
		}
		last[name] = strings.TrimSpace(value)
	}
	for _, name := range []string{"from", "to", "call-id", "cseq", "contact", "content-length", "content-type", "content-encoding", "max-forwards",
		"refer-to", "referred-by", "replaces", "subject", "expires", "event", "session-expires", "authorization", "proxy-authorization"} {
		if first[name] != last[name] {
			return fmt.Errorf("%s is %q and %q", name, first[name], last[name])
		}
	}
	if n, err := strconv.Atoi(first["content-length"]); err != nil || n != len(body) {
		return fmt.Errorf("Content-Length %q of a body of %d octets", first["content-length"], len(body))
	}
	if len(body) > 0 && first["content-type"] == "" {
		return fmt.Errorf("a body without a type")
	}
	uris := []string{}
	if words := strings.Split(lines[0], " "); words[0] != "SIP/2.0" {
		uris = append(uris, words[1])
		if method := first["cseq"]; !strings.HasSuffix(method, " "+words[0]) {
			return fmt.Errorf("%s with CSeq %q", words[0], method)
		}
	}
	for _, name := range []string{"from", "to", "contact"} {
		v := first[name]
		if v == "" && name != "contact" {
			return fmt.Errorf("no %s", name)
		}
		careless, careful := bracketed(v, false), bracketed(v, true)
		if careless != careful {
			return fmt.Errorf("%s is %q or %q", name, careless, careful)
		}
		if strings.Count(strings.ToLower(v), ";tag=") > 1 {
			return fmt.Errorf("%s has two tags: %q", name, v)
		}
		uris = append(uris, careful)
	}
	for _, u := range uris {
		plain, err := url.PathUnescape(u)
		if err != nil {
			return fmt.Errorf("%q: %w", u, err)
		}
		for _, c := range []byte(plain) {
			if c < 0x20 || c == 0x7f {
				return fmt.Errorf("%q holds a control character", u)
			}
		}
		if strings.ContainsAny(u, " <>\"") {
			return fmt.Errorf("%q is no URI", u)
		}
	}
	return nil
}

// bracketed is what stands in the first angle brackets, quoted ones left out
// by who knows quotes.
func bracketed(v string, quotes bool) string {
	inside, quoted, from := false, false, 0
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quotes && quoted && c == '\\':
			i++
		case quotes && c == '"' && !inside:
			quoted = !quoted
		case quoted:
		case c == '<' && !inside:
			inside, from = true, i+1
		case c == '>' && inside:
			return v[from:i]
		}
	}
	uri, _, _ := strings.Cut(v, ";")
	return strings.TrimSpace(uri)
}
