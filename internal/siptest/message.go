package siptest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Field is one header line.
type Field struct{ Name, Value string }

// Message is a request (Method is set) or a response (Code is set). Headers
// keep their order and spelling.
type Message struct {
	Method, URI string
	Code        int
	Reason      string
	Headers     []Field
	Body        []byte
}

var compact = map[string]string{"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
	"c": "content-type", "k": "supported", "r": "refer-to", "b": "referred-by", "o": "event", "x": "session-expires", "e": "content-encoding", "s": "subject"}

func canonical(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if long, ok := compact[name]; ok {
		return long
	}
	return name
}

// Get returns the first value of a header, "" when absent.
func (m *Message) Get(name string) string {
	for _, f := range m.Headers {
		if canonical(f.Name) == canonical(name) {
			return f.Value
		}
	}
	return ""
}

// All returns every line of a header, in order.
func (m *Message) All(name string) (out []string) {
	for _, f := range m.Headers {
		if canonical(f.Name) == canonical(name) {
			out = append(out, f.Value)
		}
	}
	return out
}

// Add appends a header line.
func (m *Message) Add(name, value string) { m.Headers = append(m.Headers, Field{name, value}) }

// Push puts a header line before all others.
func (m *Message) Push(name, value string) {
	m.Headers = append([]Field{{name, value}}, m.Headers...)
}

// Set replaces the first line of a header, or adds it.
func (m *Message) Set(name, value string) {
	for i, f := range m.Headers {
		if canonical(f.Name) == canonical(name) {
			m.Headers[i].Value = value
			return
		}
	}
	m.Add(name, value)
}

// Del removes every line of a header; Pop only the first.
func (m *Message) Del(name string) {
	kept := m.Headers[:0]
	for _, f := range m.Headers {
		if canonical(f.Name) != canonical(name) {
			kept = append(kept, f)
		}
	}
	m.Headers = kept
}

// Pop removes the first line of a header and returns it.
func (m *Message) Pop(name string) string {
	for i, f := range m.Headers {
		if canonical(f.Name) == canonical(name) {
			m.Headers = append(m.Headers[:i:i], m.Headers[i+1:]...)
			return f.Value
		}
	}
	return ""
}

// Clone copies the message; the body is shared.
func (m *Message) Clone() *Message {
	c := *m
	c.Headers = append([]Field(nil), m.Headers...)
	return &c
}

// CSeq returns the number and method of CSeq.
func (m *Message) CSeq() (n int, method string) {
	num, method, _ := strings.Cut(m.Get("CSeq"), " ")
	n, _ = strconv.Atoi(num)
	return n, strings.TrimSpace(method)
}

// Branch is the transaction identifier of the top Via.
func (m *Message) Branch() string { return Param(m.Get("Via"), "branch") }

// Bytes writes the message with a right Content-Length.
func (m *Message) Bytes() []byte {
	var b bytes.Buffer
	if m.Method != "" {
		fmt.Fprintf(&b, "%s %s SIP/2.0\r\n", m.Method, m.URI)
	} else {
		fmt.Fprintf(&b, "SIP/2.0 %d %s\r\n", m.Code, m.Reason)
	}
	for _, f := range m.Headers {
		if canonical(f.Name) != "content-length" {
			fmt.Fprintf(&b, "%s: %s\r\n", f.Name, f.Value)
		}
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(m.Body))
	b.Write(m.Body)
	return b.Bytes()
}

func (m *Message) String() string {
	if m.Method != "" {
		return m.Method + " " + m.URI
	}
	return fmt.Sprintf("%d %s", m.Code, m.Reason)
}

// maxMessage bounds what is read as one message.
const maxMessage = 65535

var errMore = errors.New("message is not complete")

// Parse reads one message and returns its length. whole: b is a datagram, so
// that the body ends with it when no Content-Length says otherwise.
func Parse(b []byte, whole bool) (*Message, int, error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxMessage {
			return nil, 0, errors.New("message too large")
		}
		return nil, 0, errMore
	}
	text := strings.NewReplacer("\r\n ", " ", "\r\n\t", " ").Replace(string(b[:end]))
	lines := strings.Split(text, "\r\n")
	m := &Message{}
	switch first := strings.SplitN(lines[0], " ", 3); {
	case len(first) != 3:
		return nil, 0, fmt.Errorf("start line %q", lines[0])
	case first[0] == "SIP/2.0":
		code, err := strconv.Atoi(first[1])
		if err != nil {
			return nil, 0, fmt.Errorf("status line %q", lines[0])
		}
		m.Code, m.Reason = code, first[2]
	case first[2] == "SIP/2.0":
		m.Method, m.URI = first[0], first[1]
	default:
		return nil, 0, fmt.Errorf("start line %q", lines[0])
	}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, 0, fmt.Errorf("header line %q", line)
		}
		m.Headers = append(m.Headers, Field{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	body := b[end+4:]
	n := len(body)
	if l := m.Get("Content-Length"); l != "" {
		var err error
		if n, err = strconv.Atoi(l); err != nil || n < 0 || n > maxMessage {
			return nil, 0, fmt.Errorf("Content-Length %q", l)
		}
		if n > len(body) {
			return nil, 0, errMore
		}
	} else if !whole {
		return nil, 0, errors.New("no Content-Length on a stream")
	}
	m.Body = bytes.Clone(body[:n])
	return m, end + 4 + n, nil
}

// Param returns a header parameter of an address or Via value: those behind
// ">", or behind the URI where there is no "<".
func Param(value, name string) string {
	v, _ := FindParam(value, name)
	return v
}

// FindParam is Param that tells an absent parameter from an empty one.
func FindParam(value, name string) (string, bool) {
	if i := strings.LastIndexByte(value, '>'); i >= 0 {
		value = value[i:]
	}
	for i, p := range strings.Split(value, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		if i > 0 && strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.Trim(strings.TrimSpace(v), `"`), true
		}
	}
	return "", false
}

// URIOf returns the URI of an address value, without <>.
func URIOf(value string) string {
	if i := strings.IndexByte(value, '<'); i >= 0 {
		value = value[i+1:]
		if j := strings.IndexByte(value, '>'); j >= 0 {
			return value[:j]
		}
		return value
	}
	uri, _, _ := strings.Cut(value, ";")
	return strings.TrimSpace(uri)
}

// UserOf returns the user part of a SIP URI or the number of a tel URI.
func UserOf(uri string) string {
	scheme, rest, _ := strings.Cut(uri, ":")
	if user, _, ok := strings.Cut(rest, "@"); ok {
		return user
	}
	if strings.EqualFold(scheme, "sip") || strings.EqualFold(scheme, "sips") {
		return ""
	}
	rest, _, _ = strings.Cut(rest, ";")
	return rest
}

// HostOf returns host and port of a SIP URI as they are written.
func HostOf(uri string) string {
	_, rest, _ := strings.Cut(uri, ":")
	if _, host, ok := strings.Cut(rest, "@"); ok {
		rest = host
	}
	rest, _, _ = strings.Cut(rest, ";")
	rest, _, _ = strings.Cut(rest, "?")
	return rest
}
