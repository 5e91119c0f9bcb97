package sipx

import (
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"github.com/rampart-sbc/rampart/call"
)

// Header hygiene: nothing crosses the gateway unless it is listed here. What
// crosses is copied as text that passed Check; what names a host of the other
// side is never listed. Via, Contact, Route, Record-Route, Call-ID, tags,
// CSeq, User-Agent, Server, Warning, Organization and the like are our own on
// each side or left out.

// carried lists the header fields that may cross, by where they may go.
var carried = []struct {
	name     string
	toInside bool
	toPublic bool
}{
	{"Authorization", true, false},
	{"Proxy-Authorization", true, false},
	{"WWW-Authenticate", false, true},
	{"Proxy-Authenticate", false, true},
	{"Authentication-Info", false, true},
	{"Privacy", true, true},
	{"Subject", true, true},
	{"Priority", true, true},
	{"Reason", true, true},
	{"Expires", true, true},
	{"Min-Expires", false, true},
	{"Retry-After", true, true},
	{"Session-Expires", true, true},
	{"Min-SE", true, true},
	{"Content-Type", true, true},
	{"Content-Disposition", true, true},
	{"Content-Language", true, true},
	{"Max-Breadth", true, true},
	{"Info-Package", true, true},
	{"Recv-Info", true, true},
	{"Allow-Events", true, true},
	{"Unsupported", true, true},
}

// maxBreadth is what RFC 5393 §5.3.3.1 begins with: how many branches at a
// time all proxies behind us together may make of one request.
const maxBreadth = 60

// optionTags are the extensions (RFC 3261 §19.2) that work through the
// gateway; others are taken out of Supported and refused in Require.
var optionTags = map[string]bool{
	"100rel":     true,
	"histinfo":   true,
	"norefersub": true,
	"replaces":   true,
	"timer":      true,
}

// Supported is our Supported header, where we speak for ourselves.
const Supported = "100rel, histinfo, norefersub, replaces, timer"

// Allow is our Allow header: what is not in it gets 405.
const Allow = "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO, OPTIONS, REGISTER, REFER, NOTIFY, SUBSCRIBE, PUBLISH, MESSAGE"

// carry selects what crosses towards a side. The option tags of Supported and
// Require are those that work through the gateway, in REGISTER too: outbound,
// path and gruu would promise what the flow behind our contact does otherwise.
func carry(headers func(string) []string, to call.Side) (out []HeaderField) {
	for _, c := range carried {
		if to == call.Inside && !c.toInside || to == call.Public && !c.toPublic {
			continue
		}
		for _, v := range headers(c.name) {
			if v = cleaned(c.name, v); v != "" {
				out = append(out, HeaderField{c.name, v})
			}
		}
	}
	if s := filterTags(headers("Supported")); s != "" {
		out = append(out, HeaderField{"Supported", s})
	}
	if s := filterTags(headers("Require")); s != "" {
		out = append(out, HeaderField{"Require", s})
	}
	return out
}

// fields are the headers of a message for who asks for many names.
type fields struct {
	hs    []sip.Header
	names []string
}

func newFields(m sip.Message) *fields {
	f := &fields{hs: ordered(m)}
	f.names = make([]string, len(f.hs))
	for i, h := range f.hs {
		f.names[i] = h.Name()
	}
	return f
}

// all is [allHeaders].
func (f *fields) all(name string) (out []string) {
	short := compactName(name)
	for i, got := range f.names {
		if isNamed(got, name, short) {
			out = append(out, f.hs[i].Value())
		}
	}
	return out
}

// Carry returns the header fields of the request that may cross to that side.
func (r *Request) Carry(to call.Side) []HeaderField { return carry(newFields(r.msg).all, to) }

// Carry returns the header fields of the response that may cross to that
// side. A Retry-After of 503 may not: it would keep the other side from
// sending us anything at all (RFC 3261 §21.5.4), however many ways are left.
func (r *Response) Carry(to call.Side) []HeaderField {
	hs := carry(newFields(r.msg).all, to)
	if r.Code() == 503 {
		hs = slices.DeleteFunc(hs, func(h HeaderField) bool { return h.Name == "Retry-After" })
	}
	return hs
}

// DropCredentials forgets the request's credentials, so that they do not cross.
func (r *Request) DropCredentials() {
	for _, h := range slices.Clone(ordered(r.msg)) {
		if name := h.Name(); strings.EqualFold(name, "Authorization") || strings.EqualFold(name, "Proxy-Authorization") {
			r.msg.RemoveHeader(name)
		}
	}
}

// Reasons returns the Reason fields (RFC 3326) as they may cross.
func (r *Request) Reasons() (out []HeaderField) {
	for _, v := range r.Headers("Reason") {
		if v = cleanReasons(v); v != "" {
			out = append(out, HeaderField{"Reason", v})
		}
	}
	return out
}

func filterTags(values []string) string {
	var keep []string
	for _, t := range tokens(values) {
		if optionTags[t] {
			keep = append(keep, t)
		}
	}
	return strings.Join(keep, ", ")
}

// UnsupportedTags returns what of Require and Proxy-Require we cannot carry:
// the value of the Unsupported header of a 420 (RFC 3261 §8.2.2.3).
func (r *Request) UnsupportedTags() []string {
	var bad []string
	for _, name := range []string{"Require", "Proxy-Require"} {
		for _, t := range r.OptionTags(name) {
			if !optionTags[t] || name == "Proxy-Require" {
				bad = append(bad, t)
			}
		}
	}
	return bad
}

// withoutAuthInt takes auth-int out of qop: it covers the body, which we
// rewrite (RFC 3261 §22.4). The rest stays as it came, to the octet.
func withoutAuthInt(v string) string {
	_, rest, _ := strings.Cut(v, " ")
	for at := len(v) - len(rest); at < len(v); {
		for at < len(v) && (v[at] == ' ' || v[at] == '\t' || v[at] == ',') {
			at++
		}
		eq := strings.IndexByte(v[at:], '=')
		if eq < 0 {
			return v
		}
		name := strings.TrimSpace(v[at : at+eq])
		at += eq + 1
		for at < len(v) && (v[at] == ' ' || v[at] == '\t') {
			at++
		}
		start, end := at, at
		if at < len(v) && v[at] == '"' {
			start++
			for end = start; end < len(v) && v[end] != '"'; end++ {
				if v[end] == '\\' {
					end++
				}
			}
			if end >= len(v) {
				return v
			}
			at = end + 1
		} else {
			for end < len(v) && v[end] != ',' {
				end++
			}
			at = end
		}
		if strings.EqualFold(name, "qop") {
			return v[:start] + qopWithoutInt(v[start:end]) + v[end:]
		}
	}
	return v
}

// withoutDomain takes the domain parameter out of a challenge: URIs that the
// credentials are for (RFC 7616 §3.3), hosts of the other side all of them. No
// digest covers it.
func withoutDomain(v string) string {
	scheme, rest, _ := strings.Cut(v, " ")
	if !strings.EqualFold(scheme, "Digest") {
		return v
	}
	var keep []string
	found := false
	for start, i, quoted := 0, 0, false; i <= len(rest); i++ {
		switch {
		case i == len(rest) || rest[i] == ',' && !quoted:
			name, _, _ := strings.Cut(rest[start:i], "=")
			if strings.EqualFold(strings.TrimSpace(name), "domain") {
				found = true
			} else {
				keep = append(keep, strings.TrimSpace(rest[start:i]))
			}
			start = i + 1
		case rest[i] == '"':
			quoted = !quoted
		case rest[i] == '\\' && quoted:
			i++
		}
	}
	if !found {
		return v // as it came, to the octet
	}
	return scheme + " " + strings.Join(keep, ", ")
}

func qopWithoutInt(v string) string {
	if !strings.Contains(strings.ToLower(v), "auth-int") {
		return v
	}
	var keep []string
	for q := range strings.SplitSeq(v, ",") {
		if q = strings.TrimSpace(q); q != "" && !strings.EqualFold(q, "auth-int") {
			keep = append(keep, q)
		}
	}
	if len(keep) == 0 {
		return "auth"
	}
	return strings.Join(keep, ",")
}

// cleaned rewrites the values of free form in which the other side's hosts
// may hide; "" leaves the field out.
func cleaned(name, v string) string {
	switch name {
	case "Authorization", "Proxy-Authorization":
		return withoutAuthInt(v)
	case "WWW-Authenticate", "Proxy-Authenticate":
		return withoutDomain(withoutAuthInt(v))
	case "Reason":
		return cleanReasons(v)
	case "Info-Package", "Recv-Info": // RFC 6086 §7.2, without parameters
		return packages(v, nil)
	case "Allow-Events":
		return packages(v, eventPackages)
	case "Session-Expires":
		return cleanSessionExpires(v)
	case "Min-SE":
		return cleanMinSE(v)
	case "Privacy":
		return cleanPrivacy(v)
	case "Unsupported": // of what we required, and no more
		return filterTags([]string{v})
	case "Max-Breadth": // RFC 5393 §5.3.3: never more than it was, nor than is usual
		if n, ok := number([]byte(v), maxBreadth); ok {
			return strconv.Itoa(n)
		}
		return strconv.Itoa(maxBreadth)
	case "Retry-After", "Min-Expires":
		n := 0
		for n < len(v) && isDigit(v[n]) {
			n++
		}
		return v[:n] // without comment and parameters (RFC 3261 §20.33)
	}
	return v
}

// cleanPrivacy keeps the values that have a meaning (RFC 3323 §4.2, RFC 3325
// §9.3, RFC 7044 §10.1).
func cleanPrivacy(v string) string {
	var keep []string
	for _, t := range strings.FieldsFunc(v, func(c rune) bool { return c == ';' || c == ',' || c == ' ' || c == '\t' }) {
		if t = strings.ToLower(t); slices.Contains(privacyValues, t) && !slices.Contains(keep, t) {
			keep = append(keep, t)
		}
	}
	return strings.Join(keep, ";")
}

var privacyValues = []string{"header", "session", "user", "none", "critical", "id", "history"}

// eventPackages are those that work through the gateway; talk and hold are the
// keys of a desk that work a phone in a call.
var eventPackages = []string{"as-feature-event", "conference", "dialog", "hold", "message-summary", "presence", "refer", "talk"}

// packages keeps the names of a list of packages; known, where it is given,
// are those that may stay. A name has no dot: it would be a host's.
func packages(v string, known []string) string {
	var keep []string
	for _, t := range tokens([]string{v}) {
		t, _, _ = strings.Cut(t, ";")
		t = strings.TrimSpace(t)
		if known == nil && t != "" && len(t) <= 64 && strings.Trim(t, "abcdefghijklmnopqrstuvwxyz0123456789-_+") == "" || slices.Contains(known, t) {
			keep = append(keep, t)
		}
	}
	return strings.Join(keep, ", ")
}

// cleanReasons rewrites a Reason field of one or more values.
func cleanReasons(v string) string {
	var keep []string
	for _, one := range splitRoutes([]string{v}) {
		if one = cleanReason(one); one != "" {
			keep = append(keep, one)
		}
	}
	return strings.Join(keep, ", ")
}

// cleanReason keeps protocol, cause and a text that names no host (RFC 3326
// §2).
func cleanReason(v string) string {
	end := 0
	for end < len(v) && charClass[v[end]]&classToken != 0 {
		end++
	}
	rest := strings.TrimSpace(v[end:])
	if end == 0 || rest != "" && rest[0] != ';' && rest[0] != ',' {
		return ""
	}
	out := v[:end]
	for strings.HasPrefix(rest, ";") {
		name, after, has := strings.Cut(rest[1:], "=")
		if !has || strings.ContainsAny(name, ";,") {
			return out
		}
		name, after = strings.TrimSpace(name), strings.TrimSpace(after)
		var val string
		if strings.HasPrefix(after, `"`) {
			q, _, why := quoted([]byte(after), 0)
			if why != "" {
				return out
			}
			val, rest = after[1:q-1], strings.TrimSpace(after[q:])
		} else {
			n := strings.IndexAny(after, ";,")
			if n < 0 {
				n = len(after)
			}
			val, rest = strings.TrimSpace(after[:n]), after[n:]
		}
		switch {
		case strings.EqualFold(name, "cause") && digits([]byte(val)):
			out += ";cause=" + val
		case strings.EqualFold(name, "text") && plainWords(val):
			out += `;text="` + val + `"`
		}
	}
	return out
}

// plainWords: text that cannot be an address: letters, digits, spaces and
// punctuation, a stop only at the end of a word.
func plainWords(s string) bool {
	if len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case lower(c) >= 'a' && lower(c) <= 'z', isDigit(c), strings.IndexByte(" -_,;!?()/'", c) >= 0:
		case c == '.' && (i+1 == len(s) || s[i+1] == ' '):
		default:
			return false
		}
	}
	return true
}

// AuthUser is the username of the first Authorization or
// Proxy-Authorization, and whether there is one.
func (r *Request) AuthUser() (user string, sent bool) {
	for _, name := range []string{"Authorization", "Proxy-Authorization"} {
		for _, v := range r.Headers(name) {
			return digestParam(v, "username"), true
		}
	}
	return "", false
}

// StaleChallenge reports a challenge that only says that the nonce is old.
func (r *Response) StaleChallenge() bool {
	for _, name := range []string{"WWW-Authenticate", "Proxy-Authenticate"} {
		for _, v := range r.Headers(name) {
			if strings.EqualFold(digestParam(v, "stale"), "true") {
				return true
			}
		}
	}
	return false
}

// digestParam reads one parameter of a digest header (RFC 8760 §2).
func digestParam(v, name string) string {
	_, v, _ = strings.Cut(strings.TrimSpace(v), " ")
	for v != "" {
		v = strings.TrimLeft(v, " \t,")
		key, rest, ok := strings.Cut(v, "=")
		if !ok {
			return ""
		}
		var val string
		rest = strings.TrimLeft(rest, " \t")
		if strings.HasPrefix(rest, `"`) {
			i := 1
			var b strings.Builder
			for i < len(rest) && rest[i] != '"' {
				if rest[i] == '\\' && i+1 < len(rest) {
					i++
				}
				b.WriteByte(rest[i])
				i++
			}
			val = b.String()
			v = rest[min(i+1, len(rest)):]
		} else {
			val, v, _ = strings.Cut(rest, ",")
			val = strings.TrimSpace(val)
		}
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return val
		}
	}
	return ""
}

// WarningField is a Warning header that names nobody (RFC 3261 §20.43); the
// pseudonym stands where a host would.
func WarningField(code int, text string) HeaderField {
	text = strings.Map(func(c rune) rune {
		if c < 0x20 || c == '"' || c == '\\' || c > 0x7e {
			return -1
		}
		return c
	}, text)
	return HeaderField{"Warning", strconv.Itoa(code) + ` rampart "` + text + `"`}
}

// Attempt fills in what the request itself claims; identity, numbers and
// direction are the gateway's to find out.
func (r *Request) Attempt() *call.Attempt {
	f := r.Flow
	from, to := r.From(), r.To()
	u := r.URI()
	a := &call.Attempt{
		At: r.At, Method: r.Method(), Side: f.Side,
		Source: call.Source{Addr: f.Remote, Local: f.Local, Transport: f.Transport},
		From:   call.Party{User: userOf(from.URI), Host: from.URI.Host, Display: from.Display},
		To:     call.Party{User: userOf(u), Host: u.Host, Display: to.Display},

		SIPCallID: r.CallID(), RequestURI: u.String(), UserAgent: r.UserAgent(),
		Hops: r.MaxForwards(), Size: r.Size, Expires: -1, ContentTypes: r.contentTypes(),
	}
	if v := r.Header("Expires"); v != "" {
		if n, err := strconv.Atoi(v); err == nil {
			a.Expires = n
		}
	}
	a.AuthUser, _ = r.AuthUser()
	if a.Method == "REGISTER" {
		a.RegisterUser = to.URI.User
		a.To.User, a.To.Host = to.URI.User, to.URI.Host
		if cs, _ := r.Contacts(); len(cs) > 0 {
			if v := cs[0].Get("expires"); v != "" {
				if n, err := strconv.Atoi(v); err == nil {
					a.Expires = n
				}
			}
		}
	}
	return a
}
