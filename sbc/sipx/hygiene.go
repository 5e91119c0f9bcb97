package sipx

import (
	"strconv"
	"strings"

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
	{"Info-Package", true, true},
	{"Unsupported", true, true},
}

// optionTags are the extensions (RFC 3261 §19.2) that work through the
// gateway; others are taken out of Supported and refused in Require.
var optionTags = map[string]bool{"timer": true}

// Allow is our Allow header: what is not in it gets 405.
const Allow = "INVITE, ACK, CANCEL, BYE, INFO, OPTIONS, REGISTER"

// carry selects what crosses towards a side. With registration, Supported is
// widened by what a registrar may need to see.
func carry(headers func(string) []string, to call.Side) (out []HeaderField) {
	for _, c := range carried {
		if to == call.Inside && !c.toInside || to == call.Public && !c.toPublic {
			continue
		}
		for _, v := range headers(c.name) {
			if c.name == "Authorization" || c.name == "Proxy-Authorization" || c.name == "WWW-Authenticate" || c.name == "Proxy-Authenticate" {
				v = withoutAuthInt(v)
			}
			out = append(out, HeaderField{c.name, v})
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

// Carry returns the header fields of the request that may cross to that side.
func (r *Request) Carry(to call.Side) []HeaderField { return carry(r.Headers, to) }

// Carry returns the header fields of the response that may cross to that side.
func (r *Response) Carry(to call.Side) []HeaderField { return carry(r.Headers, to) }

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

// withoutAuthInt takes auth-int out of a challenge's qop: it covers the body,
// which we rewrite (RFC 3261 §22.4).
func withoutAuthInt(v string) string {
	low := strings.ToLower(v)
	i := strings.Index(low, "qop=\"")
	if i < 0 {
		return v
	}
	start := i + len("qop=\"")
	end := strings.IndexByte(v[start:], '"')
	if end < 0 {
		return v
	}
	var keep []string
	for q := range strings.SplitSeq(v[start:start+end], ",") {
		if q = strings.TrimSpace(q); q != "" && !strings.EqualFold(q, "auth-int") {
			keep = append(keep, q)
		}
	}
	if len(keep) == 0 {
		keep = []string{"auth"}
	}
	return v[:start] + strings.Join(keep, ",") + v[start+end:]
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
		From:   call.Party{User: from.URI.User, Host: from.URI.Host, Display: from.Display},
		To:     call.Party{User: u.User, Host: u.Host, Display: to.Display},

		SIPCallID: r.CallID(), RequestURI: u.String(), UserAgent: r.UserAgent(),
		Hops: r.MaxForwards(), Size: r.Size, Expires: -1,
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
	for _, name := range []string{"Diversion", "History-Info"} {
		if v := r.Header(name); v != "" && a.Diversion == "" {
			if n, err := ParseNameAddr(v); err == nil {
				a.Diversion = n.URI.User
			}
		}
	}
	return a
}
