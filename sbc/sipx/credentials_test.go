package sipx

import (
	"strings"
	"testing"
)

func TestStale(t *testing.T) {
	for in, want := range map[string]string{
		`Digest realm="a", nonce="n"`:                                     `Digest realm="a", nonce="n", stale=true`,
		`Digest realm="a", stale=false, nonce="n"`:                        `Digest realm="a", stale=true, nonce="n"`,
		`Digest realm="a", nonce="n", STALE=FALSE`:                        `Digest realm="a", nonce="n", stale=true`,
		`Digest realm="a", nonce="n", stale=TRUE`:                         `Digest realm="a", nonce="n", stale=TRUE`,
		`Digest realm="stale=false, \"stale\"", nonce="n", stale=false`:   `Digest realm="stale=false, \"stale\"", nonce="n", stale=true`,
		`Digest realm="a", nonce="n", stale="false", qop="auth,auth-int"`: `Digest realm="a", nonce="n", stale=true, qop="auth,auth-int"`,
		`Basic realm="a"`: `Basic realm="a"`,
		``:                ``,
	} {
		for _, name := range []string{"WWW-Authenticate", "Proxy-Authenticate"} {
			hs := []HeaderField{{"Subject", in}, {name, in}}
			got := Stale(hs)
			if got[1].Value != want {
				t.Errorf("%q: %q, want %q", in, got[1].Value, want)
			}
			if hs[1].Value != in || got[0].Value != in {
				t.Errorf("%q: something else was changed", in)
			}
		}
	}
}

func TestChallengeHeader(t *testing.T) {
	for _, realm := range []string{`sip.example.test`, "a\"\r\nEvil: x\\", ``} {
		h := Challenges(401, realm, "rpx.y", false, "MD5")[0]
		if h.Name != "WWW-Authenticate" || !h.safe() || digestParam(h.Value, "nonce") != "rpx.y" || strings.Contains(h.Value, "stale") {
			t.Errorf("%q: %+v", realm, h)
		}
		if h := Challenges(407, realm, "n", true, "MD5")[0]; h.Name != "Proxy-Authenticate" || digestParam(h.Value, "stale") != "true" {
			t.Errorf("%+v", h)
		}
	}
	if r := Realm([]HeaderField{{"Subject", `Digest realm="no"`}, {"Proxy-Authenticate", `Digest nonce="n", realm="yes"`}}); r != "yes" {
		t.Error(r)
	}
}
