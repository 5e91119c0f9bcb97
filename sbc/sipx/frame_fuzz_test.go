package sipx

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// frames cuts a stream that comes in two pieces as the reader does: the kinds
// and octets of what was found, and what was left when it ended or was refused.
func frames(stream []byte, split int, lim Limits) (found []string, rest []byte, refused string) {
	var buf []byte
	for _, piece := range [][]byte{stream[:split], stream[split:]} {
		buf = append(buf, piece...)
		for len(buf) > 0 {
			n, kind, bad := Frame(buf, lim)
			if bad != nil {
				return found, buf, bad.Error()
			}
			if n == 0 {
				break
			}
			if kind == FrameMessage {
				found = append(found, string(buf[:n]))
			}
			buf = buf[n:]
		}
	}
	return found, buf, ""
}

// FuzzFrame: wherever a stream is cut into pieces, the same messages come out
// of it and it is refused at the same place, but for lines that are too long;
// what is a frame is a whole message to Check, or is refused there.
func FuzzFrame(f *testing.F) {
	one := string(crlf(goodRegister))
	f.Add([]byte(one+"\r\n\r\n"+one), uint16(20), uint16(700))
	f.Add([]byte("\r\n"+one+"x"), uint16(1), uint16(2))
	f.Add([]byte(strings.Replace(one, "Content-Length: 0", "Content-Length: 3", 1)+"abc"+one), uint16(3), uint16(9))
	for _, c := range siptest.Smuggled() {
		if b := c.Bytes(trickValues); c.Cut != "" && len(b) < 1200 {
			f.Add(append(b, one...), uint16(len(b)/2), uint16(len(b)))
		}
	}
	lim := Limits{Message: 4000, Line: 500, HeaderValue: 500, Headers: 30, Body: 2000}
	f.Fuzz(func(t *testing.T, stream []byte, a, b uint16) {
		if len(stream) > 8000 {
			return
		}
		whole, _, refused := frames(stream, len(stream), lim)
		for _, cut := range []uint16{a, b} {
			found, rest, why := frames(stream, min(int(cut), len(stream)), lim)
			switch same := strings.Join(found, "|") == strings.Join(whole, "|"); {
			case same && (why == "") == (refused == ""):
			case strings.Contains(why, "too long") && len(found) <= len(whole) && strings.Join(found, "|") == strings.Join(whole[:len(found)], "|"):
				// A line that is too long ends the connection while its message is not
				// there; when it is, Check answers it. So none is lost that Check takes.
				if len(found) < len(whole) {
					if _, bad := Check([]byte(whole[len(found)]), true, lim); bad == nil {
						t.Fatalf("cut at %d: %q, and Check takes %q", cut, why, whole[len(found)])
					}
				}
			default:
				t.Fatalf("cut at %d: %q %q, whole: %q %q", cut, found, why, whole, refused)
			}
			if why == "" && len(rest) > lim.Message+lim.HeaderValue {
				t.Fatalf("%d octets are held", len(rest))
			}
		}
		for _, m := range whole {
			if n, bad := Check([]byte(m), true, lim); bad == nil && n != len(m) {
				t.Fatalf("Check sees %d octets of %d", n, len(m))
			}
			if !bytes.Contains([]byte(m), crlfcrlf) {
				t.Fatalf("%q", m)
			}
		}
	})
}

// FuzzCredentials: of what is taken as an answer to a challenge every reader
// sees the same username, realm and nonce: the first of each and the last, who
// knows quotes and who only looks for commas outside of them.
func FuzzCredentials(f *testing.F) {
	for _, v := range []string{`Digest username="1001", realm="r", nonce="n", uri="sip:a", response="0", qop=auth, nc=00000001, cnonce="c"`,
		`Digest  username=1001 , Realm = "a\"b, username=x" ,,nonce="n",`, `DIGEST username="a" realm="b"`, `NoOneKnowsThisScheme opaque-data=here`, `Digest`,
		`Digest username="a",username="b"`, `Digest username="a, realm="b"`, "Digest username=\"a\tb\""} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		v = string(trimLWS([]byte(v)))
		if strings.ContainsAny(v, "\r\n") || credentials([]byte(v)) != "" || !strings.EqualFold(digestScheme(v), "digest") {
			return
		}
		seen := map[string]string{}
		_, rest, _ := strings.Cut(v, " ")
		for _, p := range outsideQuotes(rest) {
			name, value, ok := strings.Cut(p, "=")
			if name = strings.ToLower(strings.TrimSpace(name)); name == "" && !ok {
				continue
			}
			if _, twice := seen[name]; twice {
				t.Fatalf("%s twice in %q", name, v)
			}
			seen[name] = strings.TrimSpace(value)
		}
		for name, want := range seen {
			if strings.HasPrefix(want, `"`) {
				want = unquoted(want)
			}
			if got := digestParam(v, name); got != want {
				t.Fatalf("%s is %q, or %q, in %q", name, got, want, v)
			}
		}
	})
}

// outsideQuotes cuts at commas.
func outsideQuotes(s string) (out []string) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			out = append(out, s[from:i])
			from = i + 1
		}
	}
	return append(out, s[from:])
}

func unquoted(s string) string {
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
