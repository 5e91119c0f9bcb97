package digest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestVectors: RFC 7616 §3.9.1 and §3.9.2, RFC 2617 §3.5.
func TestVectors(t *testing.T) {
	const nonce, cnonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
	mufasa := Credentials{User: "Mufasa", Password: NewSecret("Circle of Life")}
	for _, c := range []struct {
		challenge, user, password, method, uri, cnonce, want string
	}{
		{`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="` + nonce + `", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
			"Mufasa", "Circle of Life", "GET", "/dir/index.html", cnonce, "8ca523f5e9506fed4657c9700eebdbec"},
		{`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="` + nonce + `", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
			"Mufasa", "Circle of Life", "GET", "/dir/index.html", cnonce, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
		{`Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
			"Mufasa", "Circle Of Life", "GET", "/dir/index.html", "0a4f113b", "6629fae49393a05397450978507c4ef1"},
		{`Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"`,
			"Mufasa", "Circle Of Life", "GET", "/dir/index.html", "x", "670fd8c2df070c60b045671b8b24ff02"},
	} {
		ch, err := Parse(c.challenge)
		if err != nil {
			t.Fatal(err)
		}
		got := Credentials{User: c.user, Password: NewSecret(c.password)}.Answer(ch, c.method, c.uri, c.cnonce, 1)
		if !strings.Contains(got, `response="`+c.want+`"`) {
			t.Errorf("%s\n%s, want %s", c.challenge, got, c.want)
		}
		if strings.Contains(c.challenge, "qop") != strings.Contains(got, "nc=00000001, qop=auth") || strings.Contains(got, "auth-int") {
			t.Errorf("qop: %s", got)
		}
	}
	ch, _ := Parse(`Digest realm="r", nonce="n", qop="auth", algorithm=SHA-512-256`)
	if got := mufasa.Answer(ch, "REGISTER", "sip:x", "c", 17); !strings.Contains(got, "nc=00000011") || len(between(got, `response="`)) != 64 {
		t.Error(got)
	}
}

func between(s, after string) string {
	_, s, _ = strings.Cut(s, after)
	s, _, _ = strings.Cut(s, `"`)
	return s
}

func TestChoose(t *testing.T) {
	ch := func(alg, realm string) string {
		return `Digest realm="` + realm + `", nonce="` + alg + realm + `", qop="auth", algorithm=` + alg
	}
	c := Credentials{User: "u"}
	for _, x := range []struct {
		realm  string
		values []string
		want   string
	}{
		{"", []string{ch("MD5", "a"), ch("SHA-256", "a")}, "SHA-256a"},
		{"", []string{ch("SHA-256", "a"), ch("MD5", "a"), ch("SHA-256", "b")}, "SHA-256a"},
		{"", []string{ch("SHA-512-256", "a"), ch("SHA-256", "a")}, "SHA-512-256a"},
		{"b", []string{ch("SHA-256", "a"), ch("md5", "b")}, "md5b"},
		{"", []string{ch("MD5-sess", "a"), ch("AKAv1-MD5", "a")}, ""},
		{"c", []string{ch("MD5", "a")}, ""},
		{"", []string{`Basic realm="a"`, `Digest realm="a", nonce="n", qop="auth-int"`, "", "Digest"}, ""},
		{"", nil, ""},
	} {
		c.Realm = x.realm
		got, err := c.Choose(x.values)
		if (err == nil) != (x.want != "") || err == nil && got.Nonce != x.want {
			t.Errorf("%v: %q %v, want %q", x.values, got.Nonce, err, x.want)
		}
	}
}

func TestParse(t *testing.T) {
	got, err := Parse("digest  Realm = \"a, \\\"b\\\" = c\" , nonce=abc,stale=TRUE,qop=\"auth-int , AUTH\", unknown=\"x\" ,opaque=\"\"")
	want := Challenge{Realm: `a, \"b\" = c`, Nonce: "abc", Stale: true, Auth: true}
	if err != nil || got != want {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []string{`Digest realm="a`, `Digest realm="a", realm="b", nonce="n"`, `Digest realm`, `Digest nonce="n"`, `Digest realm="a", nonce=""`,
		"Digest realm=\"a\x01\", nonce=\"n\"", `Digest realm="a", nonce="` + strings.Repeat("n", maxChallenge) + `"`} {
		if c, err := Parse(bad); err == nil {
			t.Errorf("%.60q was taken as %+v", bad, c)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`Digest realm="a", nonce="n", qop="auth", algorithm=SHA-256, opaque="o", stale=true`)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			return
		}
		v := Credentials{User: `a"b`, Password: NewSecret("p")}.Answer(c, "INVITE", "sip:x", "c", 1)
		if strings.ContainsAny(v, "\r\n\x00") {
			t.Errorf("%q", v)
		}
		// What we echo is read as we read it.
		back, err := Parse(strings.Replace(v, `username="a\"b", `, "", 1))
		if err != nil || back.Realm != c.Realm || back.Nonce != c.Nonce || back.Opaque != c.Opaque {
			t.Errorf("%q came back as %+v %v", v, back, err)
		}
	})
}

func TestSecretPrintsNothing(t *testing.T) {
	c := Credentials{User: "u", Password: NewSecret("hunter2")}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "c", c, "p", c.Password)
	js, _ := json.Marshal(c)
	if all := fmt.Sprintf("%v %+v %#v %s %x", c, c, c, c.Password, c.Password) + log.String() + string(js); strings.Contains(all, "hunter2") || strings.Contains(all, "68756e74") {
		t.Error(all)
	}
}
