package sipx

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Credentials that answer a challenge of the gateway's own (RFC 3261 §22). They
// are for us alone: they are taken out before anything crosses.

var credentialHeaders = []string{"Authorization", "Proxy-Authorization"}

// Credential is one digest answer of a request.
type Credential struct {
	Username, Nonce, URI, Response string
}

// maxCredentials bounds what is looked at of one request.
const maxCredentials = 8

// Credentials lists the digest answers of the request.
func (r *Request) Credentials() (out []Credential) {
	for _, name := range credentialHeaders {
		for _, v := range r.Headers(name) {
			if len(out) == maxCredentials {
				return out
			}
			out = append(out, Credential{digestParam(v, "username"), digestParam(v, "nonce"), digestParam(v, "uri"), digestParam(v, "response")})
		}
	}
	return out
}

// WithoutCredentials takes out those whose nonce drop says yes to.
func (r *Request) WithoutCredentials(drop func(nonce string) bool) {
	for _, name := range credentialHeaders {
		values := r.Headers(name)
		if !slices.ContainsFunc(values, func(v string) bool { return drop(digestParam(v, "nonce")) }) {
			continue
		}
		for r.msg.RemoveHeader(name) {
		}
		for _, v := range values {
			if !drop(digestParam(v, "nonce")) {
				r.msg.AppendHeader(sip.NewHeader(name, v))
			}
		}
	}
}

// Challenge is the header field of a 401 or 407 of our own. The realm is
// configured or learned; what would end its quotes is left out.
func Challenge(code int, realm, nonce string, stale bool) HeaderField {
	realm = strings.Map(func(c rune) rune {
		if c < ' ' || c == '"' || c == '\\' || c == 0x7f {
			return -1
		}
		return c
	}, realm)
	v := `Digest realm="` + realm + `", nonce="` + nonce + `", algorithm=MD5, qop="auth"`
	if stale {
		v += ", stale=true"
	}
	if code == 401 {
		return HeaderField{"WWW-Authenticate", v}
	}
	return HeaderField{"Proxy-Authenticate", v}
}

// Stale says in the challenges among hs that only the nonce was old: who has
// just answered another challenge would take a plain one for a refusal of his
// password (RFC 7616 §3.3).
func Stale(hs []HeaderField) []HeaderField {
	hs = slices.Clone(hs)
	for i, h := range hs {
		if h.Name != "WWW-Authenticate" && h.Name != "Proxy-Authenticate" || !strings.EqualFold(digestScheme(h.Value), "digest") {
			continue
		}
		switch was := digestParam(h.Value, "stale"); {
		case was == "":
			hs[i].Value = h.Value + ", stale=true"
		case !strings.EqualFold(was, "true"):
			hs[i].Value = staleTrue(h.Value)
		}
	}
	return hs
}

func digestScheme(v string) string {
	scheme, _, _ := strings.Cut(strings.TrimSpace(v), " ")
	return scheme
}

// staleTrue turns the parameter around, which stands outside of quotes.
func staleTrue(v string) string {
	quoted := false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && len(v)-i > 5 && strings.EqualFold(v[i:i+5], "stale"):
			_, rest, _ := strings.Cut(v[i:], "=")
			_, tail, more := strings.Cut(rest, ",")
			if more {
				tail = "," + tail
			}
			return v[:i] + "stale=true" + tail
		}
	}
	return v
}

// Realm is the realm of the first digest challenge among hs, or "".
func Realm(hs []HeaderField) string {
	for _, h := range hs {
		if h.Name == "WWW-Authenticate" || h.Name == "Proxy-Authenticate" {
			if v := digestParam(h.Value, "realm"); v != "" {
				return v
			}
		}
	}
	return ""
}
