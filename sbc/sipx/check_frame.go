package sipx

import "bytes"

// FrameKind is what stands at the head of a stream.
type FrameKind uint8

const (
	FrameMore    FrameKind = iota // nothing whole yet: read on
	FrameMessage                  // one message of n octets
	FramePing                     // CRLF CRLF: to be answered by CRLF (RFC 5626 §4.4.1)
	FrameSkip                     // CRLF alone: the answer to a ping, or padding
)

// Frame finds the end of the first message of a stream by its Content-Length
// (RFC 3261 §18.3). n is 0 with FrameMore. What it refuses cannot be skipped:
// where the next message begins is unknown, so the connection must end. It
// refuses as soon as the octets at hand cannot become a message any more: a
// first line that is not SIP's, a line, section or body over its limit.
func Frame(buf []byte, lim Limits) (n int, kind FrameKind, err *Malformed) {
	lim = lim.orDefault()
	switch {
	case len(buf) == 0:
		return 0, FrameMore, nil
	case bytes.HasPrefix(buf, crlfcrlf):
		return 4, FramePing, nil
	case buf[0] == '\r':
		if len(buf) == 1 || len(buf) == 3 && buf[1] == '\n' && buf[2] == '\r' {
			return 0, FrameMore, nil
		}
		if buf[1] == '\n' {
			return 2, FrameSkip, nil
		}
	}
	bad := func(status int, f field, reason string) (int, FrameKind, *Malformed) {
		return 0, FrameMore, &Malformed{Status: status, Reason: reason, Header: fieldNames[f], Response: isStatusLine(buf)}
	}
	eol := bytes.IndexByte(buf, '\n')
	first := buf
	if eol >= 0 {
		first = buf[:eol]
	}
	end := bytes.Index(buf, crlfcrlf)
	if end < 0 && len(first) > lim.Line { // what is whole is answered by Check
		return bad(414, 0, "start line too long")
	}
	if eol < 0 {
		if !maybeStartLine(buf) {
			return bad(400, 0, "not SIP")
		}
		return 0, FrameMore, nil
	}
	if !maybeStartLine(first) || !isStatusLine(first) && !bytes.Contains(first, []byte(" SIP/")) {
		return bad(400, 0, "not SIP")
	}
	if end < 0 {
		last := bytes.LastIndexByte(buf, '\n') + 1
		switch {
		case len(buf)-last > max(lim.Line, lim.HeaderValue):
			return bad(513, 0, "header too long")
		case len(buf) >= lim.Message:
			return bad(513, 0, "message too large")
		case bytes.Count(buf, []byte{'\n'}) > 2*lim.Headers+2:
			return bad(513, 0, "too many headers")
		}
		return 0, FrameMore, nil
	}
	length := -1
	top := buf[:end+2]
	for pos, count := eol+1, 0; pos < len(top); count++ {
		name, value, next, why := headerAt(top, pos)
		if why != "" {
			return bad(400, 0, why)
		}
		if count > lim.Headers {
			return bad(513, 0, "too many headers")
		}
		if fieldOf(name) == fieldContentLength {
			if length >= 0 {
				return bad(400, fieldContentLength, "more than one")
			}
			var ok bool
			if length, ok = number(value, 1<<30); !ok {
				return bad(400, fieldContentLength, "not a number")
			}
		}
		pos = next
	}
	switch {
	case length < 0:
		return bad(400, fieldContentLength, "missing on a stream")
	case length > lim.Body:
		return bad(413, fieldContentLength, "body too large")
	case end+4+length > lim.Message:
		return bad(513, 0, "message too large")
	case len(buf) < end+4+length:
		return 0, FrameMore, nil
	}
	return end + 4 + length, FrameMessage, nil
}

// maybeStartLine says whether b can begin a SIP message: a method or a SIP
// version first, and no control character but the CR before LF.
func maybeStartLine(b []byte) bool {
	for i, c := range b {
		if c < 0x20 && (c != '\r' || i != len(b)-1) || c == 0x7f {
			return false
		}
	}
	if sp := bytes.IndexByte(b, ' '); sp >= 0 {
		b = b[:sp]
	}
	if len(b) >= 4 && isStatusLine(b) {
		return true
	}
	return len(b) <= 64 && (isToken(b) || equalFold(b, "SIP/"[:min(4, len(b))]))
}
