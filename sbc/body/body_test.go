package body

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const sdpText = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n"

func multi(boundary string, parts ...string) []byte {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--" + boundary + "\r\n" + p + "\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	return []byte(b.String())
}

func leaf(header, content string) string { return header + "\r\n\r\n" + content }

var theSDP = leaf("Content-Type: application/sdp", sdpText)

func TestSplit(t *testing.T) {
	nested := leaf("Content-Type: multipart/alternative;boundary=in", string(multi("in", leaf("Content-Type: text/plain", "hello"), theSDP)))
	for _, c := range []struct {
		name, ct string
		content  []byte
		others   int
		status   int
	}{
		{"one", "multipart/mixed;boundary=b", multi("b", theSDP), 0, 0},
		{"mixed case", `Multipart/Mixed; boundary="b"`, multi("b", theSDP), 0, 0},
		{"session", "multipart/mixed;boundary=b", multi("b", leaf("Content-Type: application/sdp\r\nContent-Disposition: session;handling=required", sdpText)), 0, 0},
		{"with a location", "multipart/mixed;boundary=b", multi("b", theSDP, leaf("Content-Type: application/pidf+xml\r\nContent-ID: <a@b>", "<presence/>")), 1, 0},
		{"nested", "multipart/related;boundary=b", multi("b", nested, leaf("Content-Type: application/isup;version=itu-t92+", "\x01\x00")), 2, 0},
		{"early-session is another", "multipart/mixed;boundary=b", multi("b", theSDP, leaf("Content-Type: application/sdp\r\nContent-Disposition: early-session", sdpText)), 1, 0},
		{"two descriptions", "multipart/mixed;boundary=b", multi("b", theSDP, theSDP), 0, 400},
		{"a second one inside", "multipart/mixed;boundary=b", multi("b", theSDP, nested), 0, 400},
		{"an empty one", "multipart/mixed;boundary=b", multi("b", leaf("Content-Type: application/sdp", "")), 0, 400},
		{"encoded", "multipart/mixed;boundary=b", multi("b", leaf("Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64", "dj0w")), 0, 415},
		{"signed", "multipart/signed;boundary=b", multi("b", theSDP), 0, 415},
		{"no boundary", "multipart/mixed", multi("b", theSDP), 0, 400},
		{"another boundary", "multipart/mixed;boundary=c", multi("b", theSDP), 0, 400},
		{"cut off", "multipart/mixed;boundary=b", []byte("--b\r\n" + theSDP), 0, 400},
		{"empty", "multipart/mixed;boundary=b", nil, 0, 400},
		{"no part", "multipart/mixed;boundary=b", []byte("--b--\r\n"), 0, 400},
		{"two types", "multipart/mixed;boundary=b", multi("b", leaf("Content-Type: application/sdp\r\nContent-Type: text/plain", sdpText)), 0, 400},
		{"many fields", "multipart/mixed;boundary=b", multi("b", leaf("Content-Type: application/sdp"+strings.Repeat("\r\nX-A: b", maxHeader), sdpText)), 0, 400},
	} {
		b, err := Split(c.ct, c.content)
		status := 0
		var e *Error
		if errors.As(err, &e) {
			status = e.Status
		}
		if status != c.status {
			t.Errorf("%s: %v, want %d", c.name, err, c.status)
			continue
		}
		if err == nil && (string(b.SDP) != sdpText || len(b.Others) != c.others) {
			t.Errorf("%s: %q and %d others", c.name, b.SDP, len(b.Others))
		}
	}
}

func TestCaps(t *testing.T) {
	parts := make([]string, MaxParts+1)
	for i := range parts {
		parts[i] = leaf("Content-Type: text/plain", "x")
	}
	if _, err := Split("multipart/mixed;boundary=b", multi("b", parts...)); err == nil {
		t.Error("too many parts were taken")
	}
	if _, err := Split("multipart/mixed;boundary=b", multi("b", parts[:MaxParts]...)); err != nil {
		t.Error(err)
	}
	deep := theSDP
	for i := range MaxDepth + 1 {
		if i == MaxDepth {
			if _, err := Split("multipart/mixed;boundary=b0", multi("b0", strings.ReplaceAll(deep, "\x00", ""))); err == nil {
				t.Error("too deep a body was taken")
			}
			break
		}
		name := "b" + strings.Repeat("1", i+1)
		deep = leaf("Content-Type: multipart/mixed;boundary="+name, string(multi(name, deep)))
	}
}

func TestHandling(t *testing.T) {
	b, err := Split("multipart/mixed;boundary=b", multi("b", theSDP,
		leaf("Content-Type: application/isup;version=itu;base=itu-t92+", "\x01"),
		leaf("Content-Type: application/x", "y"),
		leaf("Content-Type: application/x\r\nContent-Disposition: render;handling=OPTIONAL", "y"),
		leaf("Content-Type: application/isup\r\nContent-Disposition: signal;handling=required", "z"),
		leaf("Content-Type: application/pidf+xml\r\nContent-Transfer-Encoding: base64", "eA==")))
	if err != nil {
		t.Fatal(err)
	}
	want := []bool{false, true, false, true, true}
	for i, p := range b.Others {
		if p.Required != want[i] {
			t.Errorf("part %d %s: required %v", i, p.Type, p.Required)
		}
	}
	if p := b.Others[0]; p.Params["base"] != "itu-t92+" || p.Params["version"] != "itu" {
		t.Errorf("parameters %v", p.Params)
	}
	if b.Others[4].Type != "" {
		t.Error("an encoded part passes for what it is called")
	}
}

func TestJoin(t *testing.T) {
	in := Bundle{SDP: []byte(sdpText), Others: []Part{
		{Type: "application/isup", Params: map[string]string{"version": "itu-t92+"}, Disposition: "signal", Content: []byte{0, 13, 10, '-', '-', 1}},
		{Type: "application/pidf+xml", ID: "loc@example.com", Required: true, Content: []byte("<presence/> abc abcx")}}}
	boundary := Boundary(in, "abc")
	if boundary != "abcxx" {
		t.Errorf("boundary %q", boundary)
	}
	ct, content := Join(in, boundary)
	out, err := Split(ct, content)
	if err != nil {
		t.Fatalf("%v\n%s", err, content)
	}
	if !bytes.Equal(out.SDP, in.SDP) || len(out.Others) != 2 {
		t.Fatalf("%+v", out)
	}
	for i, p := range out.Others {
		if w := in.Others[i]; p.Type != w.Type || p.ID != w.ID || p.Required != w.Required || !bytes.Equal(p.Content, w.Content) {
			t.Errorf("part %d: %+v, want %+v", i, p, w)
		}
	}
}

// FuzzSplit: whatever was taken can be written and read again, and there is
// never a second description in what we write.
func FuzzSplit(f *testing.F) {
	f.Add("multipart/mixed;boundary=b", multi("b", theSDP, leaf("Content-Type: application/isup", "x")))
	f.Add("multipart/mixed;boundary=b", multi("b", theSDP, theSDP))
	f.Add("multipart/related;boundary=\"a b\"", multi("a b", leaf("Content-Type: multipart/mixed;boundary=c", string(multi("c", theSDP)))))
	f.Fuzz(func(t *testing.T, ct string, content []byte) {
		b, err := Split(ct, content)
		if err != nil {
			return
		}
		if n := len(b.Others); n > MaxParts {
			t.Fatalf("%d parts", n)
		}
		if b.SDP == nil {
			return
		}
		b.Others = nil
		ct, again := Join(b, Boundary(b, "zz"))
		got, err := Split(ct, again)
		if err != nil || !bytes.Equal(got.SDP, b.SDP) {
			t.Fatalf("%v\n%q\n%q", err, got.SDP, b.SDP)
		}
	})
}
