package siptest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"
)

// token returns n random octets as hexadecimal digits.
func token(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// digestParams reads the parameters of a challenge or of credentials.
func digestParams(value string) map[string]string {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
	if !strings.EqualFold(scheme, "Digest") {
		return nil
	}
	out := map[string]string{}
	for rest != "" {
		var k, v string
		k, rest, _ = strings.Cut(rest, "=")
		rest = strings.TrimLeft(rest, " \t")
		if strings.HasPrefix(rest, `"`) {
			v, rest, _ = strings.Cut(rest[1:], `"`)
			_, rest, _ = strings.Cut(rest, ",")
		} else {
			v, rest, _ = strings.Cut(rest, ",")
		}
		out[strings.ToLower(strings.TrimSpace(k))] = strings.TrimSpace(v)
	}
	return out
}

func digestHash(algorithm string) func() hash.Hash {
	switch strings.ToUpper(algorithm) {
	case "", "MD5":
		return md5.New
	case "SHA-256":
		return sha256.New
	}
	return nil
}

func hexHash(h func() hash.Hash, s string) string {
	x := h()
	x.Write([]byte(s))
	return hex.EncodeToString(x.Sum(nil))
}

// digestResponse is the request-digest of RFC 7616 §3.4.1, qop auth or none.
func digestResponse(h func() hash.Hash, user, realm, password, method, uri, nonce, nc, cnonce, qop string) string {
	ha1 := hexHash(h, user+":"+realm+":"+password)
	ha2 := hexHash(h, method+":"+uri)
	if qop == "" {
		return hexHash(h, ha1+":"+nonce+":"+ha2)
	}
	return hexHash(h, strings.Join([]string{ha1, nonce, nc, cnonce, qop, ha2}, ":"))
}

// Answer computes the credentials for the strongest challenge that is
// understood; "" when there is none.
func Answer(challenges []string, method, uri, user, password string) string {
	var best map[string]string
	for _, c := range challenges {
		p := digestParams(c)
		if p == nil || digestHash(p["algorithm"]) == nil {
			continue
		}
		if best == nil || strings.EqualFold(p["algorithm"], "SHA-256") {
			best = p
		}
	}
	if best == nil {
		return ""
	}
	qop := ""
	for q := range strings.SplitSeq(best["qop"], ",") {
		if strings.TrimSpace(q) == "auth" {
			qop = "auth"
		}
	}
	cnonce := token(8)
	resp := digestResponse(digestHash(best["algorithm"]), user, best["realm"], password, method, uri, best["nonce"], "00000001", cnonce, qop)
	out := fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s"`, user, best["realm"], best["nonce"], uri, resp)
	if best["algorithm"] != "" {
		out += ", algorithm=" + best["algorithm"]
	}
	if qop != "" {
		out += fmt.Sprintf(`, qop=auth, nc=00000001, cnonce="%s"`, cnonce)
	}
	if best["opaque"] != "" {
		out += fmt.Sprintf(`, opaque="%s"`, best["opaque"])
	}
	return out
}

// digestServer challenges and checks. Its nonces carry their time, so it
// keeps nothing.
type digestServer struct {
	realm string
	key   []byte
}

// challenges returns one for SHA-256 and one for MD5, strongest first.
func (d *digestServer) challenges(now time.Time, stale bool) []string {
	at := strconv.FormatInt(now.Unix(), 16)
	nonce := at + "." + d.mac(at)
	extra := ""
	if stale {
		extra = ", stale=true"
	}
	var out []string
	for _, alg := range []string{"SHA-256", "MD5"} {
		out = append(out, fmt.Sprintf(`Digest realm="%s", nonce="%s", algorithm=%s, qop="auth"%s`, d.realm, nonce, alg, extra))
	}
	return out
}

func (d *digestServer) mac(at string) string {
	m := hmac.New(sha256.New, d.key)
	m.Write([]byte(at))
	return hex.EncodeToString(m.Sum(nil)[:12])
}

// nonceLife is how long a nonce is good.
const nonceLife = 5 * time.Minute

// check verifies credentials; stale says that only the nonce is too old.
func (d *digestServer) check(value, method, password string, now time.Time) (ok, stale bool) {
	p := digestParams(value)
	h := digestHash(p["algorithm"])
	if p == nil || h == nil || p["realm"] != d.realm {
		return false, false
	}
	at, sum, _ := strings.Cut(p["nonce"], ".")
	if !hmac.Equal([]byte(sum), []byte(d.mac(at))) {
		return false, false
	}
	want := digestResponse(h, p["username"], d.realm, password, method, p["uri"], p["nonce"], p["nc"], p["cnonce"], p["qop"])
	if !hmac.Equal([]byte(want), []byte(p["response"])) {
		return false, false
	}
	unix, _ := strconv.ParseInt(at, 16, 64)
	if age := now.Sub(time.Unix(unix, 0)); age > nonceLife {
		return false, true
	}
	return true, false
}
