package sipx

import (
	"bytes"
	"strconv"
)

// Glance is what a request shows at first sight, before it is checked: just
// enough to say whether it is worth a closer look while there is too much of
// everything. It holds octets of the message, for as long as that is handled.
//
// Only messages as most devices write them can be judged so. What is written
// in another way, and what is wrong, is looked at in full; a glance never
// lets anything through.
type Glance struct {
	Flow        *Flow
	Method      string
	URI         []byte // Request-URI
	From, To    []byte // URIs, without parameters of the header
	FromTag     []byte
	CallID      []byte
	Credentials bool // of any kind
	Size        int  // octets of the whole message

	toTag []byte
	vias  [maxGlanceVias][]byte // whole values
	nvias int
	lines [fieldCount][]byte // values of From, To, Call-ID, CSeq
	via   topVia
}

// topVia is what the key of a transaction is made of.
type topVia struct {
	host, branch []byte
	port         int
	rport        bool
}

const maxGlanceVias = 8

// glanceMethods are those that may be refused out of a dialog, and ACK.
var glanceMethods = [...]string{"INVITE", "ACK", "REGISTER", "OPTIONS", "SUBSCRIBE", "MESSAGE", "PUBLISH", "NOTIFY", "REFER"}

// of fills in the glance; false when the message cannot be judged by one. Of
// what is in a dialog only ACKs can.
func (g *Glance) of(f *Flow, b []byte) bool {
	for _, m := range glanceMethods {
		if len(b) > len(m) && b[len(m)] == ' ' && string(b[:len(m)]) == m {
			g.Method = m
			break
		}
	}
	if g.Method == "" {
		return false
	}
	end := bytes.Index(b, crlfcrlf)
	eol := bytes.IndexByte(b, '\r')
	if end < 0 || eol < 0 || eol > end+1 || b[eol+1] != '\n' {
		return false
	}
	uri, ok := bytes.CutSuffix(b[len(g.Method)+1:eol], []byte(" SIP/2.0"))
	if !ok || !plain(uri) {
		return false
	}
	g.Flow, g.URI, g.Size = f, uri, len(b)
	return g.headers(b[:end+2], eol+2)
}

func (g *Glance) headers(top []byte, pos int) bool {
	for pos < len(top) {
		name, value, next, why := headerAt(top, pos)
		if why != "" {
			return false
		}
		pos = next
		switch f := fieldOf(name); f {
		case fieldVia:
			if g.nvias == maxGlanceVias || hasControl(value) {
				return false
			}
			g.vias[g.nvias] = value
			g.nvias++
		case fieldFrom, fieldTo, fieldCallID, fieldCSeq:
			if g.lines[f] != nil || len(value) == 0 || hasControl(value) {
				return false
			}
			g.lines[f] = value
		default:
			g.Credentials = g.Credentials || equalFold(name, "Authorization") || equalFold(name, "Proxy-Authorization")
		}
	}
	g.CallID = g.lines[fieldCallID]
	if g.nvias == 0 || len(g.CallID) == 0 || !plain(g.CallID) || !g.via.of(g.vias[0]) {
		return false
	}
	_, method, why := cseq(g.lines[fieldCSeq])
	if why != "" || string(method) != g.Method {
		return false
	}
	var ok1, ok2 bool
	g.From, g.FromTag, ok1 = glanceAddress(g.lines[fieldFrom])
	g.To, g.toTag, ok2 = glanceAddress(g.lines[fieldTo])
	return ok1 && ok2 && len(g.FromTag) > 0 && (len(g.toTag) == 0) != (g.Method == "ACK")
}

// of reads "SIP/2.0/UDP host:port;branch=z9hG4bK…" and nothing that is written
// in a less usual way.
func (t *topVia) of(v []byte) bool {
	sp := bytes.IndexByte(v, ' ')
	if sp < 0 || !bytes.HasPrefix(v, []byte("SIP/2.0/")) || !plain(v[sp+1:]) {
		return false
	}
	rest := v[sp+1:]
	end := bytes.IndexByte(rest, ';')
	if end <= 0 || rest[0] == '[' || bytes.IndexByte(rest, ',') >= 0 || bytes.IndexByte(rest, '"') >= 0 {
		return false
	}
	host, port, has := bytes.Cut(rest[:end], []byte(":"))
	if t.host = host; has {
		n, ok := number(port, 65535)
		if !ok || n == 0 || port[0] == '0' {
			return false
		}
		t.port = int(n)
	}
	for p := range bytes.SplitSeq(rest[end+1:], []byte(";")) {
		name, value, _ := bytes.Cut(p, []byte("="))
		switch {
		case string(name) == "branch" && t.branch == nil:
			t.branch = value
		case equalFold(name, "branch"):
			return false
		case string(name) == "rport":
			t.rport = true
		}
	}
	return len(t.host) > 0 && bytes.HasPrefix(t.branch, []byte("z9hG4bK")) && isToken(t.branch)
}

// plain: visible ASCII.
func plain(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// glanceAddress reads `"Name" <uri>;tag=x`.
func glanceAddress(v []byte) (uri, tag []byte, ok bool) {
	rest := v
	if rest[0] == '"' {
		end := bytes.IndexByte(rest[1:], '"')
		if end < 0 || bytes.IndexByte(rest[:end+1], '\\') >= 0 {
			return nil, nil, false
		}
		rest = rest[end+2:]
	}
	open, end := bytes.IndexByte(rest, '<'), bytes.IndexByte(rest, '>')
	if open < 0 || end < open || bytes.IndexByte(rest[:open], '"') >= 0 || !plain(rest[open+1:end]) {
		return nil, nil, false
	}
	uri, rest = rest[open+1:end], rest[end+1:]
	for p := range bytes.SplitSeq(rest, []byte(";")) {
		name, value, _ := bytes.Cut(p, []byte("="))
		if equalFold(trimLWS(name), "tag") {
			if tag != nil || !isToken(value) {
				return nil, nil, false
			}
			tag = value
		}
	}
	return uri, tag, true
}

// UserHost takes a sip URI apart; user is nil where it has none, or is no such
// URI.
func UserHost(uri []byte) (user, host []byte) {
	scheme, rest, _ := bytes.Cut(uri, []byte(":"))
	if !equalFold(scheme, "sip") && !equalFold(scheme, "sips") {
		return nil, nil
	}
	if at := bytes.LastIndexByte(rest, '@'); at >= 0 {
		user, rest = rest[:at], rest[at+1:]
		user, _, _ = bytes.Cut(user, []byte(":"))
	}
	if i := bytes.IndexAny(rest, ":;?"); i >= 0 && (len(rest) == 0 || rest[0] != '[') {
		rest = rest[:i]
	}
	return user, rest
}

// key is that of the request's transaction, as serverKey makes it.
func (g *Glance) key() (k txKey) {
	method := g.Method
	if method == "ACK" {
		method = "INVITE"
	}
	var room [256]byte
	b := append(room[:0], 's', '0'+byte(g.Flow.Side))
	b = g.Flow.Remote.Addr().AppendTo(b)
	b = append(b, '|')
	b = append(append(append(append(b, g.via.branch...), '|'), g.via.host...), ':')
	b = strconv.AppendInt(b, int64(g.via.port), 10)
	k.of(append(append(b, '|'), method...))
	return k
}
