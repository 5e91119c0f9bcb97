package digest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/sbc/digest"
)

// The examples of RFC 7616 §3.9.1: user Mufasa, both algorithms.
const mufasa = `# what the RFC shows
Mufasa:http-auth@example.org:MD5:3d78807defe7de2157e2b0b6573a855f
Mufasa:http-auth@example.org:SHA-256:7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232
`

func rfc(algorithm, response string) digest.Proof {
	return digest.Proof{User: "Mufasa", Realm: "http-auth@example.org", Nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", URI: "/dir/index.html",
		Response: response, Algorithm: algorithm, QOP: "auth", NC: "00000001", CNonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"}
}

func read(t *testing.T, text string) *digest.Users {
	t.Helper()
	u, faults := digest.ReadUsers([]byte(text), "nobody")
	if faults != nil {
		t.Fatal(faults)
	}
	return u
}

var both = []string{digest.SHA256, digest.MD5}

func TestCheckIsTheRFCs(t *testing.T) {
	u := read(t, mufasa)
	for algorithm, response := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		good := rfc(algorithm, response)
		if !u.Check(good, "GET", both) {
			t.Errorf("%s: the RFC's own answer is refused", algorithm)
		}
		good.Response = strings.ToUpper(response)
		if !u.Check(good, "GET", both) {
			t.Errorf("%s: in capitals", algorithm)
		}
		if n, ok := good.Count(); n != 1 || !ok {
			t.Error(n, ok)
		}
		for name, change := range map[string]func(*digest.Proof){
			"user": func(p *digest.Proof) { p.User = "Scar" }, "realm": func(p *digest.Proof) { p.Realm = "x" }, "nonce": func(p *digest.Proof) { p.Nonce += "x" },
			"uri": func(p *digest.Proof) { p.URI += "x" }, "nc": func(p *digest.Proof) { p.NC = "00000002" }, "cnonce": func(p *digest.Proof) { p.CNonce += "x" },
			"no cnonce": func(p *digest.Proof) { p.CNonce = "" }, "qop": func(p *digest.Proof) { p.QOP = "auth-int" }, "no qop": func(p *digest.Proof) { p.QOP = "" },
			"response": func(p *digest.Proof) { p.Response = strings.Repeat("0", len(p.Response)) }, "no response": func(p *digest.Proof) { p.Response = "" },
			"algorithm": func(p *digest.Proof) { p.Algorithm = "SHA-512-256" }, "long": func(p *digest.Proof) { p.CNonce = strings.Repeat("x", 5000) },
		} {
			bad := rfc(algorithm, response)
			change(&bad)
			if u.Check(bad, "GET", both) {
				t.Errorf("%s: another %s is taken", algorithm, name)
			}
		}
		if u.Check(rfc(algorithm, response), "POST", both) || u.Check(rfc(algorithm, response), "GET", nil) {
			t.Errorf("%s: another method, or an algorithm that was not offered", algorithm)
		}
	}
	for _, nc := range []string{"", "0", "00000000", "000000001", "xyzxyzxy", "+0000001"} {
		if _, ok := (digest.Proof{NC: nc}).Count(); ok {
			t.Errorf("nonce count %q", nc)
		}
	}
}

// A user that does not exist is compared with a hash that nobody has, not with
// nothing.
func TestNobodyKnowsTheDummy(t *testing.T) {
	u, _ := digest.ReadUsers(nil, strings.Repeat("0", 32))
	p := rfc("MD5", "")
	p.User = "4711"
	c, _ := read(t, strings.ReplaceAll(mufasa, "3d78807defe7de2157e2b0b6573a855f", strings.Repeat("0", 32))).Credentials("http-auth@example.org", "Mufasa")
	answer := c.Answer(digest.Challenge{Realm: p.Realm, Nonce: p.Nonce, Algorithm: "MD5", Auth: true}, "GET", p.URI, p.CNonce, 1)
	_, rest, _ := strings.Cut(answer, `response="`)
	if p.Response, _, _ = strings.Cut(rest, `"`); len(p.Response) != 32 {
		t.Fatal(answer)
	}
	if u.Check(p, "GET", both) {
		t.Error("who knows the dummy is let in")
	}
}

func TestUsersFile(t *testing.T) {
	u := read(t, "a:r:"+strings.Repeat("A", 32)+"\r\na:r:"+strings.Repeat("b", 64)+"\nlogin:r:sha-256:"+strings.Repeat("c", 64)+":1001, 1002\nlogin:r:MD5:"+strings.Repeat("c", 32)+":1001,1002\n"+
		"b:s:"+strings.Repeat("A", 32)+"\n")
	if u.Len() != 5 || !slices.Equal(u.Algorithms("r"), both) || !slices.Equal(u.Algorithms("s"), []string{"MD5"}) || !slices.Equal(u.Algorithms("t"), both) || !slices.Equal(u.Realms(), []string{"r", "s"}) {
		t.Error(u.Len(), u.Algorithms("r"), u.Algorithms("s"), u.Realms())
	}
	for _, c := range []struct {
		user, realm, extension string
		want                   bool
	}{{"a", "r", "a", true}, {"login", "r", "1001", true}, {"login", "r", "1002", true}, {"login", "r", "login", false}, {"a", "s", "a", false}, {"a", "r", "1001", false}, {"", "r", "", false}} {
		if u.Speaks(c.user, c.realm, c.extension) != c.want {
			t.Errorf("%+v", c)
		}
	}
	if _, ok := u.Credentials("r", "login"); ok {
		t.Error("credentials for an extension that is nobody's")
	}
	for e := range u.All() {
		again := read(t, e.Text())
		for x := range again.All() {
			if x.Text() != e.Text() {
				t.Errorf("%q became %q", e.Text(), x.Text())
			}
		}
	}
	e := digest.Entry{User: "u", Realm: "r", Algorithm: digest.MD5}.WithPassword("secret")
	if m := e.Matcher(); !m("secret") || m("Secret") || !m("secret") {
		t.Error("a matcher that does not")
	}
}

func TestFaultyUsersFile(t *testing.T) {
	h := strings.Repeat("a", 32)
	for text, want := range map[string]struct {
		line, col int
		message   string
	}{
		"a:r":                                {1, 1, "fields"},
		"\n\n:r:" + h:                        {3, 1, "the user"},
		"a::" + h:                            {1, 3, "the realm"},
		"a:r\":" + h:                         {1, 3, "the realm"},
		"a:r:hunter2":                        {1, 5, "hexadecimal"},
		"a:r:MD5:" + h + h:                   {1, 9, "hexadecimal"},
		"a:r:SHA-1:" + h:                     {1, 5, "algorithm"},
		"a:r:" + h + "\na:r:MD5:" + h:        {2, 1, "already, line 1"},
		"a:r:MD5:" + h + ":":                 {1, 42, "extension"},
		"a:r:" + h + "\nb:r:MD5:" + h + ":a": {2, 1, "extension a of realm r is user a's"},
		"a:r:" + h + "\nb:r:" + h + h:        {1, 1, "no algorithm"},
		" a:r:" + h:                          {1, 1, "the user"},
	} {
		_, faults := digest.ReadUsers([]byte(text), "nobody")
		if len(faults) == 0 {
			t.Errorf("%q has no fault", text)
			continue
		}
		if f := faults[0]; f.Line != want.line || f.Col != want.col || !strings.Contains(f.Message, want.message) {
			t.Errorf("%q: %+v", text, f)
		}
		if strings.Contains(fmt.Sprint(faults), "hunter2") {
			t.Error("a password is repeated")
		}
	}
}

// The file is bounded, and so is what is said of it.
func TestUsersFileIsBounded(t *testing.T) {
	if _, faults := digest.ReadUsers(make([]byte, digest.MaxUsersFile+1), "x"); len(faults) != 1 {
		t.Errorf("%d faults of a file that is too long", len(faults))
	}
	if _, faults := digest.ReadUsers([]byte(strings.Repeat("x\n", 1000)), "x"); len(faults) != 50 {
		t.Errorf("%d faults are told", len(faults))
	}
	var b strings.Builder
	h := strings.Repeat("a", 32)
	for i := range 200_001 {
		fmt.Fprintf(&b, "u%d:r:%s\n", i, h)
	}
	u, faults := digest.ReadUsers([]byte(b.String()), "x")
	if u.Len() != 200_000 || len(faults) != 1 {
		t.Error(u.Len(), faults)
	}
}

// Nothing that is printed has a hash in it.
func TestHashesDoNotPrint(t *testing.T) {
	u := read(t, mufasa)
	c, _ := u.Credentials("http-auth@example.org", "Mufasa")
	for e := range u.All() {
		for _, v := range []any{u, *u, e, &e, c, digest.NewHA1("MD5", "Mufasa", "http-auth@example.org", "Circle of Life")} {
			for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
				if s := fmt.Sprintf(format, v); strings.Contains(s, "3d78807d") || strings.Contains(s, "7987c64c") {
					t.Errorf("%T with %s prints a hash", v, format)
				}
			}
		}
	}
}

// An answer made from a hash is that made from the password.
func TestAnswersFromHashes(t *testing.T) {
	u := read(t, mufasa)
	c, ok := u.Credentials("http-auth@example.org", "Mufasa")
	if !ok {
		t.Fatal("no credentials")
	}
	plain := digest.Credentials{User: "Mufasa", Password: digest.NewSecret("Circle of Life")}
	values := []string{`Digest realm="http-auth@example.org", nonce="n", algorithm=SHA-512-256, qop="auth"`, `Digest realm="http-auth@example.org", nonce="n", algorithm=MD5, qop="auth"`,
		`Digest realm="http-auth@example.org", nonce="n", algorithm=SHA-256, qop="auth"`}
	ch, err := c.Choose(values)
	if err != nil || ch.Algorithm != "SHA-256" {
		t.Fatalf("of what it has no hash for, it chose %v, %v", ch, err)
	}
	for _, v := range values[1:] {
		ch, _ := digest.Parse(v)
		want := plain.Answer(ch, "REGISTER", "sip:x", "c", 1)
		if got := c.Answer(ch, "REGISTER", "sip:x", "c", 1); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	if _, err := c.Choose([]string{`Digest realm="elsewhere", nonce="n", qop="auth"`}); err == nil {
		t.Error("a realm that it has no hash for")
	}
}

// FuzzUsers: whatever is read can be written and read again, and has no fault
// that was not told.
func FuzzUsers(f *testing.F) {
	f.Add(mufasa)
	f.Add("a:r:MD5:" + strings.Repeat("a", 32) + ":1,2,3\n")
	f.Fuzz(func(t *testing.T, text string) {
		u, _ := digest.ReadUsers([]byte(text), "x")
		for e := range u.All() {
			again, _ := digest.ReadUsers([]byte(e.Text()), "x")
			if again.Len() != 1 || strings.ContainsAny(e.Text(), "\r\n\"") {
				t.Fatalf("%q is not one line", e.Text())
			}
		}
	})
}
