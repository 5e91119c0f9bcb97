package sipx

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Credentials that answer a challenge of the gateway's own (RFC 3261 §22). They
// are for us alone: they are taken out before anything crosses.

var credentialHeaders = []string{"Authorization", "Proxy-Authorization"}

// Credential is one digest answer of a request, in the words of RFC 7616 §3.4.
type Credential struct {
	Username, Realm, Nonce, URI, Response string
	Algorithm, QOP, NC, CNonce            string
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
			out = append(out, Credential{Username: digestParam(v, "username"), Realm: digestParam(v, "realm"), Nonce: digestParam(v, "nonce"),
				URI: digestParam(v, "uri"), Response: digestParam(v, "response"), Algorithm: digestParam(v, "algorithm"),
				QOP: digestParam(v, "qop"), NC: digestParam(v, "nc"), CNonce: digestParam(v, "cnonce")})
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

// Challenges are the header fields of a 401 or 407 of our own, one for each
// algorithm, the best first (RFC 8760 §2.4). The realm is configured or learned;
// what would end its quotes is left out.
func Challenges(code int, realm, nonce string, stale bool, algorithms ...string) (hs []HeaderField) {
	name := "Proxy-Authenticate"
	if code == 401 {
		name = "WWW-Authenticate"
	}
	realm = strings.Map(func(c rune) rune {
		if c < ' ' || c == '"' || c == '\\' || c == 0x7f {
			return -1
		}
		return c
	}, realm)
	for _, algorithm := range algorithms {
		v := `Digest realm="` + realm + `", nonce="` + nonce + `", algorithm=` + algorithm + `, qop="auth"`
		if stale {
			v += ", stale=true"
		}
		hs = append(hs, HeaderField{name, v})
	}
	return hs
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
