package sipx

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
)

func TestFrame(t *testing.T) {
	one := crlf(goodRegister)
	two := crlf(strings.Replace(goodInvite, "Length: 9", "Length: 11", 1))
	stream := bytes.Join([][]byte{[]byte("\r\n\r\n"), one, []byte("\r\n"), two, one}, nil)
	// Whatever the pieces it comes in, the same messages come out.
	for _, step := range []int{1, 2, 3, 7, 100, len(stream)} {
		var buf []byte
		var got [][]byte
		pings := 0
		for rest := stream; len(rest) > 0; {
			k := min(step, len(rest))
			buf, rest = append(buf, rest[:k]...), rest[k:]
			for {
				n, kind, bad := Frame(buf, Limits{})
				if bad != nil {
					t.Fatalf("step %d: %v", step, bad)
				}
				if kind == FrameMore {
					if n != 0 {
						t.Fatalf("more with n = %d", n)
					}
					break
				}
				if kind == FrameMessage {
					if m, bad := Check(buf[:n], true, Limits{}); bad != nil || m != n {
						t.Fatalf("step %d: Check of a frame: %d of %d, %v", step, m, n, bad)
					}
					got = append(got, bytes.Clone(buf[:n]))
				}
				if kind == FramePing {
					pings++
				}
				buf = buf[n:]
			}
		}
		if len(got) != 3 || !bytes.Equal(got[0], one) || !bytes.Equal(got[1], two) || !bytes.Equal(got[2], one) {
			t.Errorf("step %d: %d messages", step, len(got))
		}
		if step >= 4 && pings != 1 {
			t.Errorf("step %d: %d pings", step, pings)
		}
	}
	for name, in := range map[string]string{
		"no length":       strings.Replace(goodRegister, "Content-Length: 0\n", "", 1),
		"two lengths":     strings.Replace(goodRegister, "Content-Length: 0\n", "Content-Length: 0\nl: 5\n", 1),
		"negative length": strings.Replace(goodRegister, "Content-Length: 0\n", "Content-Length: -1\n", 1),
		"big body":        strings.Replace(goodRegister, "Content-Length: 0\n", "Content-Length: 70000\n", 1),
		"http":            "GET / HTTP/1.1\n",
		"binary":          "\x16\x03\x01\x02\x00\x01",
		"no method":       "a(b",
		"bare LF":         strings.Replace(goodRegister, "Call-ID: reg-1", "Call-ID: reg-1\x00", 1),
		"long line":       "INVITE " + strings.Repeat("a", 9000),
		"long header":     "INVITE sip:a@b SIP/2.0\nX: " + strings.Repeat("a", 9000),
		"many headers":    "INVITE sip:a@b SIP/2.0\n" + strings.Repeat("X: a\n", 300),
		"long head":       "INVITE sip:a@b SIP/2.0\n" + strings.Repeat("X: "+strings.Repeat("a", 4000)+"\n", 17),
	} {
		b := bytes.ReplaceAll(crlf(in), []byte{0}, []byte("\nX: y"))
		if _, _, bad := Frame(b, Limits{}); bad == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func TestStatelessReply(t *testing.T) {
	src := netip.MustParseAddrPort("[2001:db8::9]:4000")
	msg := crlf(strings.Replace(goodInvite, "\nMax", "\nv: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKq ,\n SIP/2.0/TCP 10.0.0.10;branch=z9hG4bKr\nMax", 1))
	got := string(StatelessReply(msg, 400, "Bad Request", src, "Warning: 399 gw \"x\""))
	want := string(crlf(`SIP/2.0 400 Bad Request
Via: SIP/2.0/TLS 192.0.2.7:51234;branch=z9hG4bK-524287-1---7d1a;received=2001:db8::9;rport=4000
Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKq
Via: SIP/2.0/TCP 10.0.0.10;branch=z9hG4bKr
From: "Alice Smith" <sip:1001@sip.example.com>;tag=a8f3c2
To: <sip:+442079460000@sip.example.com>;tag=`))
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "\r\nWarning: 399 gw \"x\"\r\nContent-Length: 0\r\n\r\n") {
		t.Errorf("got\n%s", got)
	}
	if again := string(StatelessReply(msg, 400, "Bad Request", src, "Warning: 399 gw \"x\"")); again != got {
		t.Error("a retransmission gets another answer")
	}
	reply := func(old, new string) []byte {
		return StatelessReply([]byte(strings.Replace(string(crlf(goodInvite)), old, new, 1)), 400, "Bad Request", src)
	}
	if r := reply("example.com>\r\nCall", "example.com>;tag=x\r\nCall"); !bytes.Contains(r, []byte(";tag=x\r\n")) || bytes.Count(r, []byte(";tag=")) != 2 {
		t.Errorf("a To tag is not kept: %s", r)
	}
	if r := reply("<sip:+442079460000@sip.example.com>", `"Open <sip:x@y>`); !bytes.Contains(r, []byte("To: \"Open <sip:x@y>\r\n")) {
		t.Errorf("a broken To is not repeated as it came: %s", r)
	}
	for name, c := range map[string][2]string{
		"ACK":         {"INVITE sip", "ACK sip"},
		"response":    {"INVITE sip:+442079460000@sip.example.com;user=phone SIP/2.0", "SIP/2.0 200 OK"},
		"bare LF":     {"Phone 3.2", "Phone\n3.2"},
		"NUL":         {"Alice", "A\x00"},
		"no Via":      {"Via:", "X:"},
		"bad Via":     {"192.0.2.7:51234;branch", "a b;branch"},
		"two Call-ID": {"CSeq", "i: x\r\nCSeq"},
		"two From":    {"CSeq", "f: x\r\nCSeq"},
		"no To":       {"\r\nTo:", "\r\nX:"},
		"no end":      {"\r\n\r\n", "\r\n"},
		"many Vias":   {"Max-", strings.Repeat("Via: SIP/2.0/UDP a;branch=z9hG4bKx\r\n", 16) + "Max-"},
	} {
		if r := reply(c[0], c[1]); r != nil {
			t.Errorf("%s: answered with %s", name, r)
		}
	}
}
