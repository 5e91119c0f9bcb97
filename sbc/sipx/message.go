package sipx

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
)

// URI is a parsed SIP URI. Host keeps its brackets for IPv6 literals.
type URI = sip.Uri

// ParseURI reads one URI; it fails on anything but sip, sips and tel.
func ParseURI(s string) (URI, error) {
	var u URI
	err := sip.ParseUri(s, &u)
	return u, err
}

// NameAddr is the value of a From, To or Contact header (RFC 3261 §20.10).
type NameAddr struct {
	Display string // without quotes, escapes kept as they came
	URI     URI
	Params  []Param // header parameters, in order, tag included
}

// Param is one header or URI parameter.
type Param struct{ Name, Value string }

// Get returns the header parameter of that name.
func (n NameAddr) Get(name string) string {
	for _, p := range n.Params {
		if strings.EqualFold(p.Name, name) {
			return p.Value
		}
	}
	return ""
}

// ParseNameAddr reads a name-addr or addr-spec.
func ParseNameAddr(s string) (NameAddr, error) {
	var n NameAddr
	var ps sip.HeaderParams
	var err error
	n.Display, err = sip.ParseAddressValue(s, &n.URI, &ps)
	for _, kv := range ps {
		n.Params = append(n.Params, Param{kv.K, kv.V})
	}
	return n, err
}

// NameAddrText writes display name and URI, without header parameters.
func NameAddrText(display, uri string) string {
	if display = inQuotes(display); display == "" {
		return "<" + uri + ">"
	}
	return `"` + display + `" <` + uri + ">"
}

// inQuotes makes text fit between quotes. Escapes in it stay as they came;
// what would end the quotes early, and let the rest pass for an address, is
// escaped. Control characters are left out, and so are angle brackets and
// semicolons: readers that know no quotes take what stands in the first pair
// for the address, and what follows the first ";tag=" for the tag.
func inQuotes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && s[i+1] >= 0x20 && s[i+1] < 0x7f:
			if i++; !misread(s[i]) {
				b.WriteByte(c)
				b.WriteByte(s[i])
			}
		case c == '\\' || c < 0x20 || c == 0x7f || misread(c):
		case c == '"':
			b.WriteString(`\"`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func misread(c byte) bool { return c == '<' || c == '>' || c == ';' }

// userOf is the user of a URI; that of a tel URI is its number (RFC 3966 §3).
func userOf(u URI) string {
	if u.Scheme == "tel" {
		number, _, _ := strings.Cut(u.Raw(), ";")
		return number
	}
	return u.User
}

// targetOf writes the URI of a Contact as a Request-URI, without what may not
// stand there: headers and method (RFC 3261 §19.1.1).
func targetOf(u URI) string {
	if u.Headers != nil || u.UriParams.Has("method") {
		u.Headers = nil
		u.UriParams = u.UriParams.Clone()
		u.UriParams.Remove("method")
	}
	return u.String()
}

// message is what requests and responses share.
type message struct {
	Flow *Flow // the path it came on
	At   time.Time
	Size int // bytes on the wire
}

// Request is a request that passed [Check].
type Request struct {
	message
	msg *sip.Request

	stack  *Stack
	tx     *ServerTx // set once Begin was called
	bundle *bundle   // of a multipart body

	LetIn bool // the [Shedder] was asked, and let it in

	// What the gateway found of challenges of its own.
	Credentialed bool // it came with credentials, for whatever nonce
	Proven       bool // it answers a challenge of ours
	Answered     bool // it does, or its attempt has before
	// Denied is who the sender says to be, where the gateway knows the password
	// and this was another.
	Denied string

	echoed atomic.Pointer[echo]
}

// Response is a response that passed [Check].
type Response struct {
	message
	msg    *sip.Response
	bundle *bundle // of a multipart body
}

func (r *Request) Method() string  { return string(r.msg.Method) }
func (r *Request) URI() URI        { return r.msg.Recipient }
func (r *Request) CallID() string  { return string(*r.msg.CallID()) }
func (r *Request) CSeq() uint32    { return r.msg.CSeq().SeqNo }
func (r *Request) FromTag() string { v, _ := r.msg.From().Params.Get("tag"); return v }
func (r *Request) ToTag() string   { v, _ := r.msg.To().Params.Get("tag"); return v }
func (r *Request) From() NameAddr {
	h := r.msg.From()
	return nameAddr(h.DisplayName, h.Address, h.Params)
}
func (r *Request) To() NameAddr      { h := r.msg.To(); return nameAddr(h.DisplayName, h.Address, h.Params) }
func (r *Request) UserAgent() string { return r.Header("User-Agent") }

// MaxForwards returns the hops left, 70 when the header is missing.
func (r *Request) MaxForwards() int {
	if h := r.msg.MaxForwards(); h != nil {
		return int(h.Val())
	}
	return 70
}

// Narrow: no branch is left for the request (RFC 5393 §5.3.3).
func (r *Request) Narrow() bool {
	n, ok := number([]byte(r.Header("Max-Breadth")), 1<<30)
	return ok && n == 0
}

// Header returns the first header of that name, or "".
func (r *Request) Header(name string) string { return header(r.msg, name) }

// Headers returns every header of that name, one value a line.
func (r *Request) Headers(name string) []string { return allHeaders(r.msg, name) }

// Contacts returns every Contact value; star reports "Contact: *".
func (r *Request) Contacts() (list []NameAddr, star bool) { return contacts(r.msg) }

// Contact returns the first Contact.
func (r *Request) Contact() (NameAddr, bool) { return firstContact(r.msg) }

// OptionTags returns the option tags of Require, Supported or Proxy-Require.
func (r *Request) OptionTags(name string) []string { return tokens(r.Headers(name)) }

func (r *Response) Code() int       { return r.msg.StatusCode }
func (r *Response) Reason() string  { return r.msg.Reason }
func (r *Response) CallID() string  { return string(*r.msg.CallID()) }
func (r *Response) CSeq() uint32    { return r.msg.CSeq().SeqNo }
func (r *Response) Method() string  { return string(r.msg.CSeq().MethodName) }
func (r *Response) FromTag() string { v, _ := r.msg.From().Params.Get("tag"); return v }
func (r *Response) ToTag() string   { v, _ := r.msg.To().Params.Get("tag"); return v }

func (r *Response) Header(name string) string    { return header(r.msg, name) }
func (r *Response) Headers(name string) []string { return allHeaders(r.msg, name) }
func (r *Response) Contacts() ([]NameAddr, bool) { return contacts(r.msg) }
func (r *Response) Contact() (NameAddr, bool)    { return firstContact(r.msg) }

// RecordRoutes returns the Record-Route values in message order.
func (r *Response) RecordRoutes() []string { return splitRoutes(r.Headers("Record-Route")) }

// RecordRoutes returns the Record-Route values in message order.
func (r *Request) RecordRoutes() []string { return splitRoutes(r.Headers("Record-Route")) }

func nameAddr(display string, u URI, ps sip.HeaderParams) NameAddr {
	n := NameAddr{Display: display, URI: u}
	for _, kv := range ps {
		n.Params = append(n.Params, Param{kv.K, kv.V})
	}
	return n
}

func header(m sip.Message, name string) string {
	short := compactName(name)
	for _, h := range ordered(m) {
		if isNamed(h.Name(), name, short) {
			return h.Value()
		}
	}
	return ""
}

func allHeaders(m sip.Message, name string) (out []string) {
	short := compactName(name)
	for _, h := range ordered(m) {
		if isNamed(h.Name(), name, short) {
			out = append(out, h.Value())
		}
	}
	return out
}

// ordered lists the headers as they came. Asking sipgo for one name at a time
// lowers the case of every name every time.
func ordered(m sip.Message) []sip.Header {
	switch m := m.(type) {
	case *sip.Request:
		return m.Headers()
	case *sip.Response:
		return m.Headers()
	}
	return nil
}

func isNamed(got, name, short string) bool {
	return len(got) == len(name) && strings.EqualFold(got, name) || len(got) == 1 && strings.EqualFold(got, short)
}

// compactName is the one-letter form of the headers that sipgo keeps under
// the name they came with (RFC 3261 §7.3.3).
func compactName(name string) string {
	switch name {
	case "Content-Encoding":
		return "e"
	case "Supported":
		return "k"
	case "Subject":
		return "s"
	case "Event":
		return "o"
	case "Allow-Events":
		return "u"
	case "Session-Expires":
		return "x"
	case "Refer-To":
		return "r"
	case "Referred-By":
		return "b"
	case "Identity": // RFC 8224 §4
		return "y"
	case "Accept-Contact": // RFC 3841 §9
		return "a"
	case "Reject-Contact":
		return "j"
	case "Request-Disposition":
		return "d"
	}
	return ""
}

func mediaType(v string) string {
	v, _, _ = strings.Cut(v, ";")
	return strings.ToLower(strings.TrimSpace(v))
}

func tokens(values []string) (out []string) {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if t = strings.TrimSpace(t); t != "" {
				out = append(out, strings.ToLower(t))
			}
		}
	}
	return out
}

func contacts(m sip.Message) (list []NameAddr, star bool) {
	for _, h := range m.GetHeaders("Contact") {
		c, ok := h.(*sip.ContactHeader)
		if !ok {
			continue
		}
		if c.Address.Wildcard {
			star = true
			continue
		}
		list = append(list, nameAddr(c.DisplayName, c.Address, c.Params))
	}
	return list, star
}

func firstContact(m sip.Message) (NameAddr, bool) {
	list, _ := contacts(m)
	if len(list) == 0 {
		return NameAddr{}, false
	}
	return list[0], true
}

// splitRoutes splits comma-separated route values outside of angle brackets
// and quotes; sipgo has split those it knows already.
func splitRoutes(values []string) (out []string) {
	for _, v := range values {
		depth, quoted, start := 0, false, 0
		for i := 0; i < len(v); i++ {
			switch c := v[i]; {
			case c == '"':
				quoted = !quoted
			case quoted:
			case c == '<':
				depth++
			case c == '>':
				depth--
			case c == ',' && depth == 0:
				out = append(out, strings.TrimSpace(v[start:i]))
				start = i + 1
			}
		}
		if s := strings.TrimSpace(v[start:]); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// HeaderField is one header of a message we send.
type HeaderField struct{ Name, Value string }

// Out is a request we send: the target, the header fields in order, the body.
// Via and Max-Forwards come first and are written by the stack.
type Out struct {
	Method      string
	URI         string
	MaxForwards int
	Headers     []HeaderField
	Body        []byte
}

// ErrUnsafe is returned for a message that would not be one message, or not
// the one that was meant, on the wire.
var ErrUnsafe = errors.New("message not sent: a line break or the like in a header or URI")

// safe is the last look at what is sent. Values were checked where they came
// in; this stops those that were decoded or put together since.
func (o *Out) safe() error {
	if o.URI == "" {
		return fmt.Errorf("%s without Request-URI: %w", o.Method, ErrUnsafe)
	}
	for i := range len(o.URI) {
		if c := o.URI[i]; c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '"' {
			return fmt.Errorf("%s, Request-URI: %w", o.Method, ErrUnsafe)
		}
	}
	for _, h := range o.Headers {
		if !h.safe() {
			return fmt.Errorf("%s, header %q: %w", o.Method, h.Name, ErrUnsafe)
		}
	}
	return nil
}

func (h HeaderField) safe() bool {
	if h.Name == "" {
		return false
	}
	for i := range len(h.Name) {
		if charClass[h.Name[i]]&classToken == 0 {
			return false
		}
	}
	for i := range len(h.Value) {
		if c := h.Value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// serialize writes the request with the given Via.
func (o *Out) serialize(via string) []byte {
	size := len(o.Method) + len(o.URI) + len(via) + len(o.Body) + 80
	for _, h := range o.Headers {
		size += len(h.Name) + len(h.Value) + 4
	}
	w := make(wire, 0, size)
	w.WriteString(o.Method)
	w.WriteString(" ")
	w.WriteString(o.URI)
	w.WriteString(" SIP/2.0\r\n")
	w.field("Via", via)
	mf := o.MaxForwards
	if mf <= 0 {
		mf = 70
	}
	w.WriteString("Max-Forwards: ")
	w.number(mf)
	w.WriteString("\r\n")
	for _, h := range o.Headers {
		w.field(h.Name, h.Value)
	}
	w.WriteString("Content-Length: ")
	w.number(len(o.Body))
	w.WriteString("\r\n\r\n")
	return append(w, o.Body...)
}

// makesDialog: a 2xx to it begins a dialog (RFC 3261 §12, RFC 6665 §4).
func makesDialog(method string) bool {
	return method == "INVITE" || method == "SUBSCRIBE" || method == "NOTIFY" || method == "REFER"
}
