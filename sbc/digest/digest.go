// Package digest is both ends of digest authentication (RFC 3261 §22, RFC 7616,
// RFC 8760). It answers "what do we say to prove that we know the password",
// by [Credentials.Answer], and "does he know it", by [Users.Check].
//
// It makes no nonces and does not know whether one is old or was used before;
// it sends nothing, reads no file and draws no random numbers: the cnonce is an
// argument. It owns nothing. A challenge it cannot answer is an error, a proof
// that it cannot read is none; a password never leaves it but as a hash.
//
// Start reading at [Credentials.Answer], then at [Users.Check].
package digest

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"slices"
	"strings"
)

// Secret is a password. It prints as nothing.
type Secret struct{ text string }

// NewSecret makes a Secret of what a configuration holds.
func NewSecret(text string) Secret { return Secret{text} }

const redacted = "[redacted]"

func (s Secret) String() string               { return redacted }
func (s Secret) GoString() string             { return redacted }
func (s Secret) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Challenge is one WWW-Authenticate or Proxy-Authenticate value. Quoted text
// is kept as it stood between the quotes, which is what is hashed and sent.
type Challenge struct {
	Realm, Nonce, Opaque string
	Algorithm            string // as it was written; "" is MD5
	Auth                 bool   // qop offers auth
	Plain                bool   // no qop at all (RFC 2069)
	Stale                bool
}

// ErrUnusable: not Digest, or nothing that we can or would answer.
var ErrUnusable = errors.New("no digest challenge that can be answered")

// maxChallenge bounds what is read of one value.
const maxChallenge = 4096

// Parse reads one challenge.
func Parse(value string) (Challenge, error) {
	var c Challenge
	scheme, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
	if len(value) > maxChallenge || !strings.EqualFold(scheme, "Digest") {
		return c, ErrUnusable
	}
	c.Plain = true
	seen := map[string]bool{}
	for rest = strings.TrimLeft(rest, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			return c, fmt.Errorf("parameter without a value: %w", ErrUnusable)
		}
		name = strings.ToLower(strings.TrimSpace(name))
		var v string
		if v, rest, ok = word(strings.TrimLeft(after, " \t")); !ok || seen[name] {
			return c, fmt.Errorf("parameter %.20q: %w", name, ErrUnusable)
		}
		seen[name] = true
		switch name {
		case "realm":
			c.Realm = v
		case "nonce":
			c.Nonce = v
		case "opaque":
			c.Opaque = v
		case "algorithm":
			c.Algorithm = v
		case "stale":
			c.Stale = strings.EqualFold(v, "true")
		case "qop":
			c.Plain = false
			for q := range strings.SplitSeq(v, ",") {
				c.Auth = c.Auth || strings.EqualFold(strings.TrimSpace(q), "auth")
			}
		}
	}
	if c.Nonce == "" || !seen["realm"] || strength(c.Algorithm) == 0 || !c.Auth && !c.Plain {
		return c, ErrUnusable
	}
	return c, nil
}

// word reads a token or quoted string and returns what follows it.
func word(s string) (v, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, ", \t")
		if i < 0 {
			i = len(s)
		}
		return s[:i], s[i:], i > 0 && printable(s[:i]) && !strings.ContainsAny(s[:i], `"\`)
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[1:i], s[i+1:], printable(s[1:i])
		}
	}
	return "", "", false
}

// printable: what goes back into a header of ours.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func strength(algorithm string) int {
	return 1 + slices.Index([]string{"MD5", "SHA-256", "SHA-512-256"}, canonical(algorithm))
}

func canonical(algorithm string) string {
	if algorithm == "" {
		return "MD5"
	}
	return strings.ToUpper(algorithm)
}

func hasher(algorithm string) func() hash.Hash {
	switch canonical(algorithm) {
	case "SHA-256":
		return sha256.New
	case "SHA-512-256":
		return sha512.New512_256
	}
	return md5.New
}

// digestOf is H of the parts with colons between them (RFC 7616 §3.4).
func digestOf(algorithm string, parts ...string) string {
	x := hasher(algorithm)()
	x.Write([]byte(strings.Join(parts, ":")))
	return hex.EncodeToString(x.Sum(nil))
}

// Credentials are what a carrier gave us. Realm "" answers any realm.
type Credentials struct {
	User     string
	Password Secret
	Realm    string

	// ha1 stands for the password where only that is known, "" where not even
	// that is; nil: the password is known.
	ha1 func(realm, algorithm string) string
}

// Choose reads the challenges of a response and picks the strongest that is
// for us; of two that are equal the first (RFC 8760 §2.4).
func (c Credentials) Choose(values []string) (best Challenge, err error) {
	found := false
	for _, v := range values[:min(len(values), 8)] {
		ch, err := Parse(v)
		if err != nil || c.Realm != "" && ch.Realm != c.Realm || c.ha1 != nil && c.ha1(ch.Realm, ch.Algorithm) == "" {
			continue
		}
		if !found || strength(ch.Algorithm) > strength(best.Algorithm) {
			best, found = ch, true
		}
	}
	if !found {
		return best, ErrUnusable
	}
	return best, nil
}

// Answer is the value of Authorization or Proxy-Authorization. nc counts the
// uses of this nonce, from 1.
func (c Credentials) Answer(ch Challenge, method, uri, cnonce string, nc uint32) string {
	h := func(parts ...string) string { return digestOf(ch.Algorithm, parts...) }
	ha2 := h(method, uri)
	var ha1 string
	if c.ha1 != nil {
		ha1 = c.ha1(ch.Realm, ch.Algorithm)
	} else {
		ha1 = h(c.User, ch.Realm, c.Password.text)
	}
	count := fmt.Sprintf("%08x", nc)
	v := `Digest username="` + quoted(c.User) + `", realm="` + ch.Realm + `", nonce="` + ch.Nonce + `", uri="` + uri + `"`
	if ch.Auth {
		v += `, response="` + h(ha1, ch.Nonce, count, cnonce, "auth", ha2) + `", cnonce="` + cnonce + `", nc=` + count + `, qop=auth`
	} else {
		v += `, response="` + h(ha1, ch.Nonce, ha2) + `"`
	}
	if ch.Algorithm != "" {
		v += `, algorithm=` + ch.Algorithm
	}
	if ch.Opaque != "" {
		v += `, opaque="` + ch.Opaque + `"`
	}
	return v
}

// quoted escapes what would end the quotes.
func quoted(s string) string { return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) }
