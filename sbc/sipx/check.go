package sipx

import (
	"bytes"
	"unicode/utf8"
)

// Limits bound one message. Zero values mean the defaults given.
type Limits struct {
	Message     int // whole message in octets (65,535)
	Line        int // the start line (8 KiB)
	HeaderValue int // one header with its continuation lines (8 KiB)
	Headers     int // header fields (128)
	Body        int // Content-Length (65,535)
}

func (l Limits) orDefault() Limits {
	set := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	set(&l.Message, 65535)
	set(&l.Line, 8192)
	set(&l.HeaderValue, 8192)
	set(&l.Headers, 128)
	set(&l.Body, 65535)
	l.Message = min(l.Message, 65535) // spans below are 16 bits
	return l
}

// Malformed says why a message is not passed on.
type Malformed struct {
	Status   int    // what an identified sender of a request is told
	Reason   string // for the operator; never holds text of the message
	Header   string // the header at fault, "" for the start line or framing
	Response bool   // a response: it is discarded, nobody is told
}

func (m *Malformed) Error() string {
	if m.Header != "" {
		return "malformed SIP message: " + m.Header + ": " + m.Reason
	}
	return "malformed SIP message: " + m.Reason
}

// field is a header the gateway depends on. Everything else is fieldOther:
// its octets are checked, its value is not.
type field uint8

const (
	fieldOther field = iota
	fieldVia
	fieldFrom
	fieldTo
	fieldCallID
	fieldCSeq
	fieldMaxForwards
	fieldContact
	fieldContentLength
	fieldContentType
	fieldRoute
	fieldRecordRoute
	fieldReferTo
	fieldReferredBy
	fieldPAI
	fieldPPI
	fieldExpires
	fieldDate
	fieldEvent
	fieldReplaces
	fieldSessionExpires
	fieldRSeq
	fieldRAck
	fieldAuthorization
	fieldProxyAuthorization
	fieldMaxBreadth
	fieldContentEncoding
	fieldContentDisposition
	fieldMIMEVersion
	fieldSubject
	fieldPriority
	fieldMinExpires
	fieldMinSE
	fieldSessionID
	fieldCount
)

var fieldNames = [fieldCount]string{"", "Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Contact",
	"Content-Length", "Content-Type", "Route", "Record-Route", "Refer-To", "Referred-By", "P-Asserted-Identity",
	"P-Preferred-Identity", "Expires", "Date", "Event", "Replaces", "Session-Expires", "RSeq", "RAck",
	"Authorization", "Proxy-Authorization", "Max-Breadth", "Content-Encoding", "Content-Disposition", "MIME-Version",
	"Subject", "Priority", "Min-Expires", "Min-SE", "Session-ID"}

// repeatable fields may come more than once (RFC 3261 §7.3.1); of all others
// in the list above a second one is refused, whatever its spelling.
var repeatable = [fieldCount]bool{fieldOther: true, fieldVia: true, fieldContact: true, fieldRoute: true,
	fieldRecordRoute: true, fieldPAI: true, fieldPPI: true, fieldAuthorization: true, fieldProxyAuthorization: true}

// byLength finds a field by the length of its name, compact forms apart.
var byLength = [24][]field{
	2: {fieldTo}, 3: {fieldVia}, 4: {fieldFrom, fieldCSeq, fieldDate, fieldRSeq, fieldRAck},
	5: {fieldRoute, fieldEvent}, 6: {fieldMinSE}, 7: {fieldCallID, fieldContact, fieldExpires, fieldSubject},
	8: {fieldReferTo, fieldReplaces, fieldPriority}, 10: {fieldSessionID},
	11: {fieldReferredBy, fieldMaxBreadth, fieldMinExpires}, 12: {fieldMaxForwards, fieldContentType, fieldRecordRoute, fieldMIMEVersion},
	13: {fieldAuthorization}, 14: {fieldContentLength}, 15: {fieldSessionExpires}, 16: {fieldContentEncoding},
	19: {fieldPAI, fieldContentDisposition, fieldProxyAuthorization}, 20: {fieldPPI},
}

func fieldOf(name []byte) field {
	if len(name) == 1 {
		switch name[0] | 0x20 {
		case 'v':
			return fieldVia
		case 'f':
			return fieldFrom
		case 't':
			return fieldTo
		case 'i':
			return fieldCallID
		case 'm':
			return fieldContact
		case 'l':
			return fieldContentLength
		case 'c':
			return fieldContentType
		case 'r':
			return fieldReferTo
		case 'b':
			return fieldReferredBy
		case 'o':
			return fieldEvent
		case 'x':
			return fieldSessionExpires
		case 'e':
			return fieldContentEncoding
		case 's':
			return fieldSubject
		}
		return fieldOther
	}
	if len(name) < len(byLength) {
		for _, f := range byLength[len(name)] {
			if equalFold(name, fieldNames[f]) {
				return f
			}
		}
	}
	return fieldOther
}

// Check decides whether one message is well-formed, on its raw octets and
// before any parser reads it. n is the length of the message within msg: a
// datagram may hold more octets than Content-Length says, which are ignored
// (RFC 3261 §18.3). It is stricter than the grammar of RFC 3261 §25 only
// where the leniency of another reader could make two messages out of one or
// move a boundary; it knows nothing of policy: whether a method, an option
// tag or a body is wanted is for others to say. It keeps nothing of msg and
// allocates only to complain.
func Check(msg []byte, stream bool, lim Limits) (n int, err *Malformed) {
	lim = lim.orDefault()
	var h head
	n, f, status, reason := h.check(msg, stream, &lim)
	if reason != "" {
		return 0, &Malformed{Status: status, Reason: reason, Header: fieldNames[f], Response: isStatusLine(msg)}
	}
	return n, nil
}

// head is what Check gathers while it walks through the header fields.
type head struct {
	response bool
	method   []byte // of the start line; nil in a response
	status   int
	seen     [fieldCount]uint8
	contacts int
	star     bool
	cseq     []byte // method of CSeq
	length   int    // Content-Length, -1 when absent
	nul      field  // names a URI with an escaped NUL; fieldCount: none
	target   bool   // the Request-URI has one
}

func (h *head) check(msg []byte, stream bool, lim *Limits) (n int, f field, status int, reason string) {
	if len(msg) > lim.Message && stream {
		return 0, 0, 513, "message too large"
	}
	end := bytes.Index(msg, crlfcrlf)
	if end < 0 {
		return 0, 0, 400, "header section does not end"
	}
	top := msg[:end+2] // every line with its CRLF
	body := msg[end+4:]
	if !utf8.Valid(top) {
		return 0, 0, 400, "header section is not UTF-8"
	}
	eol := bytes.IndexByte(top, '\r')
	if eol+2 > lim.Line {
		return 0, 0, 414, "start line too long"
	}
	if top[eol+1] != '\n' {
		return 0, 0, 400, "CR without LF"
	}
	h.length, h.nul = -1, fieldCount
	if status, reason = h.startLine(top[:eol]); reason != "" {
		return 0, 0, status, reason
	}
	count := 0
	for pos := eol + 2; pos < len(top); {
		name, value, next, why := headerAt(top, pos)
		if why != "" {
			return 0, 0, 400, why
		}
		if next-pos > lim.HeaderValue {
			return 0, 0, 513, "header too long"
		}
		if count++; count > lim.Headers {
			return 0, 0, 513, "too many headers"
		}
		pos = next
		f := fieldOf(name)
		if h.seen[f] > 0 && !repeatable[f] {
			return 0, f, 400, "more than one"
		}
		if h.seen[f] < 255 {
			h.seen[f]++
		}
		if why := h.value(f, value); why != "" {
			return 0, f, 400, why
		}
	}
	if f, why := h.complete(); why != "" {
		return 0, f, 400, why
	}
	switch {
	case h.length < 0 && stream:
		return 0, fieldContentLength, 400, "missing on a stream"
	case h.length < 0:
		h.length = len(body)
	case h.length > len(body):
		return 0, fieldContentLength, 400, "larger than the message"
	case stream && h.length < len(body):
		return 0, fieldContentLength, 400, "smaller than the message"
	}
	if h.length > lim.Body {
		return 0, 0, 413, "body too large"
	}
	if n = end + 4 + h.length; n > lim.Message {
		return 0, 0, 513, "message too large"
	}
	if h.length > 0 && h.seen[fieldContentType] == 0 {
		return 0, fieldContentType, 400, "missing, but there is a body"
	}
	return n, 0, 0, ""
}

var crlfcrlf = []byte("\r\n\r\n")

func isStatusLine(b []byte) bool {
	return len(b) >= 4 && equalFold(b[:4], "SIP/")
}

// startLine checks the request line or status line, without its CRLF.
func (h *head) startLine(b []byte) (status int, reason string) {
	for _, c := range b {
		if c < 0x20 || c == 0x7f {
			return 400, "control character in the start line"
		}
	}
	sp := bytes.IndexByte(b, ' ')
	if sp <= 0 {
		return 400, "start line is not one of SIP"
	}
	if isStatusLine(b) {
		h.response = true
		if !bytes.Equal(b[:sp], sip20) {
			return 505, "SIP version"
		}
		b = b[sp+1:]
		if len(b) < 4 || b[3] != ' ' || !digits(b[:3]) || b[0] < '1' || b[0] > '6' {
			return 400, "status code"
		}
		h.status = int(b[0]-'0')*100 + int(b[1]-'0')*10 + int(b[2]-'0')
		if b = b[4:]; len(b) >= 3 && equalFold(b[:3], "SIP") && bytes.IndexByte(b, ' ') < 0 {
			return 400, "reason phrase looks like a SIP version" // a request line to some readers
		}
		return 0, ""
	}
	h.method = b[:sp]
	if !isToken(h.method) {
		return 400, "method is not a token"
	}
	if len(h.method) > 64 {
		return 400, "method too long"
	}
	if lowerKnown(h.method) {
		return 400, "method in lower case" // RFC 3261 §7.1: case-sensitive, so another method
	}
	b = b[sp+1:]
	sp = bytes.IndexByte(b, ' ')
	if sp <= 0 {
		return 400, "request line does not have three parts"
	}
	uri, version := b[:sp], b[sp+1:]
	if !bytes.Equal(version, sip20) {
		if isVersion(version) {
			return 505, "SIP version"
		}
		return 400, "request line does not end in a SIP version"
	}
	h.target = escapedNUL(uri)
	return requestURI(uri)
}

var sip20 = []byte("SIP/2.0")

func isVersion(b []byte) bool {
	if len(b) < 7 || !equalFold(b[:4], "SIP/") {
		return false
	}
	dot := bytes.IndexByte(b, '.')
	return dot > 4 && dot < len(b)-1 && digits(b[4:dot]) && digits(b[dot+1:])
}

// lowerKnown finds the methods of RFC 3261 and its extensions in a spelling
// that a case-folding reader would take for them.
func lowerKnown(m []byte) bool {
	for _, known := range knownMethods {
		if len(m) == len(known) && equalFold(m, known) && string(m) != known {
			return true
		}
	}
	return false
}

var knownMethods = [...]string{"INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "INFO", "PRACK", "UPDATE",
	"REFER", "SUBSCRIBE", "NOTIFY", "MESSAGE", "PUBLISH"}

// headerAt reads the header field that begins at pos of a section in which
// every line ends in CRLF. value keeps its continuation lines and has no
// outer white space.
func headerAt(top []byte, pos int) (name, value []byte, next int, reason string) {
	colon := pos
	for colon < len(top) && charClass[top[colon]]&classToken != 0 {
		colon++
	}
	name = top[pos:colon]
	for colon < len(top) && (top[colon] == ' ' || top[colon] == '\t') {
		colon++
	}
	if len(name) == 0 || colon >= len(top) || top[colon] != ':' {
		return nil, nil, 0, "header name"
	}
	start := colon + 1
	for at := start; ; {
		i := bytes.IndexByte(top[at:], '\r')
		if i < 0 || at+i+1 >= len(top) || top[at+i+1] != '\n' {
			return nil, nil, 0, "CR without LF"
		}
		if bytes.IndexByte(top[at:at+i], '\n') >= 0 {
			return nil, nil, 0, "LF without CR"
		}
		if at > start && blank(top[at:at+i]) {
			// Some readers take such a line for the end of the headers.
			return nil, nil, 0, "continuation line without content"
		}
		at += i + 2
		if at >= len(top) || top[at] != ' ' && top[at] != '\t' {
			return name, trimLWS(top[start : at-2]), at, ""
		}
	}
}

func blank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\t' {
			return false
		}
	}
	return true
}

// value checks one header's value.
func (h *head) value(f field, v []byte) string {
	if f == fieldOther {
		if hasControl(v) {
			return "control character in a header"
		}
		return ""
	}
	if f.uris() && escapedNUL(v) {
		h.nul = f
	}
	switch f {
	case fieldVia:
		return h.via(v)
	case fieldFrom, fieldTo:
		a, end, why := address(v, 0, false)
		switch {
		case why != "":
			return why
		case end != len(v):
			return "more than one value"
		case !a.identity:
			return "URI scheme"
		case a.headers: // RFC 3261 §19.1.1, table 1: not here; the library reads some of them twice
			return "URI with headers"
		case f == fieldFrom && !a.tag:
			return "no tag"
		}
	case fieldReferTo, fieldReferredBy:
		_, end, why := address(v, 0, true)
		if why == "" && end != len(v) {
			why = "more than one value"
		}
		return why
	case fieldContact, fieldRoute, fieldRecordRoute, fieldPAI, fieldPPI:
		return h.addresses(f, v)
	case fieldCallID:
		return callID(v)
	case fieldCSeq:
		_, m, why := cseq(v)
		h.cseq = m
		return why
	case fieldMaxForwards:
		if _, ok := number(v, 255); !ok {
			return "not a number up to 255"
		}
	case fieldContentLength:
		n, ok := number(v, 1<<30)
		if !ok {
			return "not a number"
		}
		h.length = n
	case fieldAuthorization, fieldProxyAuthorization:
		return credentials(v)
	case fieldMaxBreadth:
		if _, ok := number(v, 1<<30); !ok {
			return "not a number"
		}
	case fieldContentType:
		return mediaTypeValue(v)
	case fieldExpires:
		if !digits(v) {
			return "not a number"
		}
	case fieldDate:
		if !isDate(v) {
			return "not a date in GMT"
		}
	default:
		if hasControl(v) {
			return "control character"
		}
	}
	return ""
}

// maxContacts bounds the bindings of one REGISTER and the ways of one redirect.
const maxContacts = 64

// maxVias is how many hops a message may have come: as many as Max-Forwards
// begins with.
const maxVias = 70

// maxID bounds what is kept to know a dialog or transaction again: Call-ID,
// tags and branch.
const maxID = 1024

// uris tells the fields whose URIs are acted on or written again.
func (f field) uris() bool {
	switch f {
	case fieldFrom, fieldTo, fieldContact, fieldRoute, fieldRecordRoute, fieldReferTo, fieldReferredBy, fieldPAI, fieldPPI:
		return true
	}
	return false
}

func (h *head) addresses(f field, v []byte) string {
	for at := 0; ; {
		if f == fieldContact && len(v) == 1 && v[0] == '*' {
			h.star = true
			return ""
		}
		a, end, why := address(v, at, true)
		if why != "" {
			return why
		}
		if (f == fieldRoute || f == fieldRecordRoute) && !a.bracketed {
			return "URI is not in <>"
		}
		if f == fieldContact {
			if h.contacts++; h.contacts > maxContacts {
				return "too many"
			}
		}
		if end == len(v) {
			return ""
		}
		at = end + 1 // address stops at a comma
	}
}

// complete checks what only the whole header section shows.
func (h *head) complete() (field, string) {
	for _, f := range [...]field{fieldVia, fieldFrom, fieldTo, fieldCallID, fieldCSeq} {
		if h.seen[f] == 0 {
			return f, "missing"
		}
	}
	// A PBX that undoes escapes as C programs do sees such a URI end early. RFC
	// 4475 §3.1.1.4 calls it well-formed in a REGISTER, where who it names must
	// prove it.
	if h.target {
		return 0, "escaped NUL in the Request-URI"
	}
	if h.nul < fieldCount && string(h.method) != "REGISTER" {
		return h.nul, "escaped NUL in a URI"
	}
	if h.star && (h.contacts > 0 || h.seen[fieldContact] > 1 || h.response || string(h.method) != "REGISTER") {
		return fieldContact, `"*" beside others or outside REGISTER`
	}
	if h.response {
		// Everything this gateway sends has one Via: an answer with more was
		// not for it (RFC 3261 §8.1.3.3).
		if h.vias() > 1 {
			return fieldVia, "more than one in a response"
		}
		if h.status/100 == 2 && string(h.cseq) == "INVITE" && h.contacts > 1 {
			return fieldContact, "more than one"
		}
		return 0, ""
	}
	if !bytes.Equal(h.method, h.cseq) {
		return fieldCSeq, "method differs from the request line"
	}
	// Max-Forwards may be missing (RFC 3261 §16.3): devices of RFC 2543 know none.
	// Whoever reads the request then has all its hops.
	switch string(h.method) {
	case "INVITE", "SUBSCRIBE", "REFER", "UPDATE", "NOTIFY":
		if h.contacts > 1 {
			return fieldContact, "more than one"
		}
		if h.contacts == 0 && string(h.method) == "INVITE" {
			return fieldContact, "missing"
		}
	}
	return 0, ""
}
