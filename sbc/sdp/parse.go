package sdp

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Limits of a description. They are far above what phones and browsers send
// and far below what hurts.
const (
	MaxSize  = 64 << 10 // bytes of a description
	MaxLines = 512      // lines of a description
	MaxLine  = 1024     // bytes of a line, without its line end
	MaxMedia = 32       // m-lines of a description
)

// ParseError says which line of a description is wrong and what would be
// right. What can quote the peer (escaped and shortened): it is for the
// operator, not for the wire.
type ParseError struct {
	Line int // from 1; 0 when it is about the whole
	What string
	Hint string // may be empty
	Big  bool   // a limit was exceeded
}

func (e *ParseError) Error() string {
	s := "sdp: "
	if e.Line > 0 {
		s += "line " + strconv.Itoa(e.Line) + ": "
	}
	s += e.What
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Parse reads a description. It is tolerant of what harmless senders get
// wrong: LF line ends, no s= or t=, spaces in the user of o=, lines out of
// order, unknown line types (dropped), a fax line. It is strict where two
// readers could see two descriptions: control characters, a CR that ends no
// line, an empty line in the middle, a second v=, o=, s= or c=, a broken m=.
// The error is a [*ParseError].
func Parse(b []byte) (*Session, error) {
	if len(b) > MaxSize {
		return nil, &ParseError{What: fmt.Sprintf("%d bytes", len(b)), Hint: fmt.Sprintf("at most %d", MaxSize), Big: true}
	}
	p := parser{s: &Session{}}
	// Empty lines at the end are padding; anywhere else they are an error.
	b = bytes.TrimRight(b, "\r\n")
	if len(b) == 0 {
		return nil, &ParseError{What: "empty description"}
	}
	for len(b) > 0 {
		var l []byte
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			l, b = b[:i], b[i+1:]
		} else {
			l, b = b, nil
		}
		l = bytes.TrimSuffix(l, []byte("\r"))
		p.n++
		if e := p.line(l); e != nil {
			e.Line = p.n
			return nil, e
		}
	}
	if p.seen['o'] == 0 {
		return nil, &ParseError{What: "no o= line", Hint: "RFC 8866 §5.2"}
	}
	return p.s, nil
}

type parser struct {
	s    *Session
	n    int
	seen [128]uint8 // session-level lines by type, those that may come once
}

func wrong(what, hint string) *ParseError { return &ParseError{What: what, Hint: hint} }

func (p *parser) line(l []byte) *ParseError {
	if p.n > MaxLines {
		return &ParseError{What: "too many lines", Hint: fmt.Sprintf("at most %d", MaxLines), Big: true}
	}
	if len(l) > MaxLine {
		return &ParseError{What: fmt.Sprintf("%d bytes in one line", len(l)), Hint: fmt.Sprintf("at most %d", MaxLine), Big: true}
	}
	for _, c := range l {
		if c < ' ' && c != '\t' || c == 0x7f {
			return wrong(fmt.Sprintf("control character 0x%02x", c), "CR may only come before LF, NUL never")
		}
	}
	if len(l) < 2 || l[1] != '=' || l[0] < 'a' || l[0] > 'z' {
		return wrong("not a type=value line: "+quote(string(l)), "one lower-case letter and =")
	}
	typ, v := l[0], string(l[2:])
	if p.n == 1 {
		if typ != 'v' || strings.TrimSpace(v) != "0" {
			return wrong("does not begin with v=0", "RFC 8866 §5.1")
		}
		return nil
	}
	var m *Media
	if n := len(p.s.Media); n > 0 {
		m = &p.s.Media[n-1]
	}
	switch typ {
	case 'm':
		return p.media(v)
	case 'c':
		at := &p.s.Conn
		if m != nil {
			at = &m.Conn
		}
		if *at != nil {
			return wrong("second c= line", "one address per stream")
		}
		c, e := parseConn(v)
		*at = c
		return e
	case 'a':
		a, e := parseAttr(v)
		if e != nil {
			return e
		}
		if m != nil {
			m.Attrs = append(m.Attrs, a)
		} else {
			p.s.Attrs = append(p.s.Attrs, a)
		}
	case 'b':
		if m != nil {
			m.Bandwidth = append(m.Bandwidth, v)
		} else {
			p.s.Bandwidth = append(p.s.Bandwidth, v)
		}
	case 'i', 'k':
		if m != nil {
			m.Other = append(m.Other, Field{typ, v})
		} else {
			p.s.Other = append(p.s.Other, Field{typ, v})
		}
	case 'v', 'o', 's', 't', 'r', 'z', 'u', 'e', 'p':
		if m != nil {
			return wrong(string(typ)+"= after m=", "it belongs to the session")
		}
		return p.session(typ, v)
	default:
		// Unknown types are dropped, as RFC 8866 §5 lets a parser do.
	}
	return nil
}

// session reads the lines that belong before the first m-line only.
func (p *parser) session(typ byte, v string) *ParseError {
	if p.seen[typ] > 0 && strings.IndexByte("vos", typ) >= 0 || typ == 'v' {
		return wrong("second "+string(typ)+"= line", "it may come once")
	}
	p.seen[typ] = 1
	switch typ {
	case 'o':
		f := strings.Fields(v)
		n := len(f)
		if n < 6 {
			return wrong("o= has "+strconv.Itoa(n)+" fields", "user id version IN IP4 address")
		}
		// The last five are fixed, so a user with spaces can be told apart.
		p.s.Origin = Origin{strings.Join(f[:n-5], " "), f[n-5], f[n-4], f[n-3], f[n-2], f[n-1]}
	case 's':
		p.s.Name = strings.TrimSpace(v)
	case 't':
		p.s.Times = append(p.s.Times, v)
	default:
		p.s.Other = append(p.s.Other, Field{typ, v})
	}
	return nil
}

func (p *parser) media(v string) *ParseError {
	if len(p.s.Media) == MaxMedia {
		return &ParseError{What: "too many m= lines", Hint: fmt.Sprintf("at most %d", MaxMedia), Big: true}
	}
	f := strings.Fields(v)
	if len(f) < 3 {
		return wrong("m= has "+strconv.Itoa(len(f))+" fields", "media port proto format…")
	}
	m := Media{Kind: f[0], Proto: f[2], Formats: f[3:], Ports: 1}
	if !isToken(m.Kind) || !isProto(m.Proto) {
		return wrong("m= names no media or protocol: "+quote(v), "e.g. audio 49170 RTP/SAVP 0")
	}
	port, count, slash := strings.Cut(f[1], "/")
	n, ok := number(port, 65535)
	if !ok {
		return wrong("port "+quote(port), "0 to 65535")
	}
	m.Port = uint16(n)
	if slash {
		c, ok := number(count, 65535)
		if !ok || c == 0 {
			return wrong("number of ports "+quote(count), "1 or more")
		}
		m.Ports = int(c)
	}
	if len(m.Formats) == 0 {
		// Some senders leave the formats of a declined line out.
		if m.Port != 0 {
			return wrong("m= without a format", "media port proto format…")
		}
		m.Formats = []string{"0"}
	}
	p.s.Media = append(p.s.Media, m)
	return nil
}

func parseConn(v string) (*Conn, *ParseError) {
	f := strings.Fields(v)
	if len(f) != 3 {
		return nil, wrong("c= has "+strconv.Itoa(len(f))+" fields", "IN IP4 address")
	}
	return &Conn{f[0], f[1], f[2]}, nil
}

func parseAttr(v string) (Attr, *ParseError) {
	name, val, set := strings.Cut(v, ":")
	name = strings.TrimRight(name, " \t") // "a=sendrecv " is common
	if !isToken(name) {
		return Attr{}, wrong("attribute name "+quote(name), "letters, digits and -")
	}
	return Attr{name, strings.TrimRight(val, " \t"), set}, nil
}

// number reads an unsigned decimal without sign or spaces.
func number(s string, max uint64) (uint64, bool) {
	if s == "" || len(s) > 20 || s[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n <= max
}

// isToken checks a token of RFC 8866 §9.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

func isProto(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if !isToken(part) {
			return false
		}
	}
	return true
}
