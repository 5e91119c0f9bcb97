// Package sdp answers one question: what may a session description say when
// it crosses the gateway, and what does each leg then know about the other?
//
// It parses descriptions (RFC 8866), checks an offer or an answer against the
// policy of the leg it came on, and writes the description for the other leg
// with our addresses, our session id and keys of our own (RFC 3264, RFC 4568).
// Nothing is copied across that is not on an allow-list, so a leg never learns
// an address, a user name, a key or a CNAME of the other.
//
// It deliberately does not look at Content-Type or multipart bodies, does not
// open ports, does not encrypt and does not choose codecs: codecs are agreed
// between the two ends, we only filter. DTLS-SRTP is refused for now.
//
// State lives in a [Leg], plain data owned by the call; an exchange changes it
// in one step, when [Answer.Write] succeeds. There is no clock, no goroutine
// and no I/O; randomness is an argument. What is broken or not allowed becomes
// a [*Refusal] that says what to answer; any other error is a failure of our
// own (no randomness, too few endpoints). When in doubt an exchange is
// refused: a Leg nobody filled in demands SRTP on an encrypted hop.
//
// Start reading at [ReadOffer].
package sdp

import (
	"bytes"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// Session is a parsed session description, RFC 8866. It can hold keys (in
// attributes), so it prints as its shape only.
type Session struct {
	Origin    Origin
	Name      string   // s=; empty when missing
	Conn      *Conn    // session-level c=
	Bandwidth []string // b= values, e.g. "AS:64"
	Times     []string // t= values
	Other     []Field  // i, u, e, p, r, z, k in the order they came
	Attrs     []Attr
	Media     []Media
}

// Origin is the o= line. Its parts are opaque: no one may act on them, so
// they are not checked beyond their number. A user with spaces is kept.
type Origin struct{ User, ID, Version, Net, Type, Addr string }

// Conn is a c= line, e.g. {"IN", "IP4", "192.0.2.1"}.
type Conn struct{ Net, Type, Addr string }

// Field is a line that is carried as it came.
type Field struct {
	Type  byte
	Value string
}

// Attr is an a= line. Set tells "a=x:" from "a=x".
type Attr struct {
	Name  string
	Value string
	Set   bool
}

// Media is one m= line with all that follows it.
type Media struct {
	Kind      string // audio, video, image, …
	Port      uint16
	Ports     int // the number after the slash; 1 when there is none
	Proto     string
	Formats   []string
	Conn      *Conn
	Bandwidth []string
	Other     []Field // i, k
	Attrs     []Attr
}

// Profile returns the transport profile of the first m-line, or "".
func (s *Session) Profile() string {
	if len(s.Media) == 0 {
		return ""
	}
	return s.Media[0].Proto
}

// SRTP reports whether there is an active audio or video line and all of them
// ask for SRTP. It judges the profile only; keys are checked by [ReadOffer].
func (s *Session) SRTP() bool {
	found := false
	for i := range s.Media {
		m := &s.Media[i]
		if m.Port == 0 || !carriedKind(m.Kind) {
			continue
		}
		if p, ok := parseProfile(m.Proto); !ok || !p.secure {
			return false
		}
		found = true
	}
	return found
}

// Marshal writes the description in the order of RFC 8866 §5, with CRLF line
// ends. Lines that a parser may miss (s=, t=) are written with their usual
// empty values.
func (s *Session) Marshal() []byte {
	var b bytes.Buffer
	b.Grow(512 + 256*len(s.Media))
	b.WriteString("v=0\r\n")
	o := s.Origin
	line(&b, 'o', o.User+" "+o.ID+" "+o.Version+" "+o.Net+" "+o.Type+" "+o.Addr)
	name := s.Name
	if name == "" {
		name = "-" // RFC 8866 §5.3: s= must not be empty
	}
	line(&b, 's', name)
	others(&b, s.Other, "iuep")
	conn(&b, s.Conn)
	for _, v := range s.Bandwidth {
		line(&b, 'b', v)
	}
	if len(s.Times) == 0 {
		line(&b, 't', "0 0")
	}
	for _, v := range s.Times {
		line(&b, 't', v)
	}
	others(&b, s.Other, "rzk")
	attrs(&b, s.Attrs)
	for i := range s.Media {
		s.Media[i].marshal(&b)
	}
	return b.Bytes()
}

func (m *Media) marshal(b *bytes.Buffer) {
	port := strconv.Itoa(int(m.Port))
	if m.Ports > 1 {
		port += "/" + strconv.Itoa(m.Ports)
	}
	line(b, 'm', m.Kind+" "+port+" "+m.Proto+" "+strings.Join(m.Formats, " "))
	others(b, m.Other, "i")
	conn(b, m.Conn)
	for _, v := range m.Bandwidth {
		line(b, 'b', v)
	}
	others(b, m.Other, "k")
	attrs(b, m.Attrs)
}

func line(b *bytes.Buffer, typ byte, value string) {
	b.WriteByte(typ)
	b.WriteByte('=')
	b.WriteString(value)
	b.WriteString("\r\n")
}

func others(b *bytes.Buffer, fs []Field, types string) {
	for _, f := range fs {
		if strings.IndexByte(types, f.Type) >= 0 {
			line(b, f.Type, f.Value)
		}
	}
}

func conn(b *bytes.Buffer, c *Conn) {
	if c != nil {
		line(b, 'c', c.Net+" "+c.Type+" "+c.Addr)
	}
}

func attrs(b *bytes.Buffer, as []Attr) {
	for _, a := range as {
		if a.Set {
			line(b, 'a', a.Name+":"+a.Value)
		} else {
			line(b, 'a', a.Name)
		}
	}
}

// Format keeps keys out of logs: a description prints as its shape.
func (s Session) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "sdp.Session(%d m-lines)", len(s.Media))
}

// LogValue keeps keys out of structured logs.
func (s Session) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// find returns the value of the first attribute of that name.
func find(as []Attr, name string) (string, bool) {
	for _, a := range as {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

func flag(name string) Attr         { return Attr{Name: name} }
func value(name, v string) Attr     { return Attr{Name: name, Value: v, Set: true} }
func carriedKind(kind string) bool  { return kind == "audio" || kind == "video" }
func quote(s string) string         { return strconv.Quote(clip(s, 40)) }
func clip(s string, max int) string { return s[:min(len(s), max)] }
