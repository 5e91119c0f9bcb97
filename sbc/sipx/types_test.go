package sipx

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/sbc/body"
)

// TestContentTypes: what a body calls itself and its parts, bounded whatever is
// sent.
func TestContentTypes(t *testing.T) {
	part := func(ct, content string) string { return "--b\r\nContent-Type: " + ct + "\r\n\r\n" + content + "\r\n" }
	many := ""
	for i := range 30 {
		many += part(fmt.Sprint("application/x", i), "x")
	}
	long := "application/" + strings.Repeat("x", 500)
	for _, c := range []struct {
		method, ct, body string
		want             []string
	}{
		{"MESSAGE", "text/plain", "", nil},
		{"MESSAGE", "Text/PLAIN; charset=UTF-8", "hello", []string{"text/plain"}},
		{"INVITE", "application/sdp", "v=0\r\n", []string{"application/sdp"}},
		{"MESSAGE", "multipart/mixed;boundary=b", part("text/plain", "a") + part("Application/X-SH;name=x", "b") + "--b--\r\n",
			[]string{"multipart/mixed", "text/plain", "application/x-sh"}},
		{"INVITE", `multipart/mixed;boundary="b"`, part("application/isup", "a") + part("application/sdp", "v=0\r\n") + "--b--\r\n",
			[]string{"multipart/mixed", "application/sdp", "application/isup"}},
		// Encoded: nobody here reads it, and it says what it is all the same.
		{"MESSAGE", "multipart/mixed;boundary=b", "--b\r\nContent-Type: application/x-msdownload\r\nContent-Transfer-Encoding: base64\r\n\r\nTVo=\r\n--b--\r\n",
			[]string{"multipart/mixed", "application/x-msdownload"}},
		// Nested, broken, too many: its own name is all that is known of it.
		{"MESSAGE", "multipart/mixed;boundary=b", part("multipart/mixed;boundary=c", "--c\r\nContent-Type: text/html\r\n\r\nx\r\n--c--") + "--b--\r\n", []string{"multipart/mixed", "text/html"}},
		{"MESSAGE", "multipart/mixed;boundary=b", "nothing", []string{"multipart/mixed"}},
		{"MESSAGE", "multipart/mixed", "nothing", []string{"multipart/mixed"}},
		{"MESSAGE", "multipart/signed;boundary=b", part("text/plain", "a") + "--b--\r\n", []string{"multipart/signed"}},
		{"MESSAGE", "multipart/mixed;boundary=b", many + "--b--\r\n", []string{"multipart/mixed"}},
		{"MESSAGE", long, "x", []string{long[:maxType]}},
		{"MESSAGE", "multipart/mixed;boundary=b", part(long, "x") + "--b--\r\n", []string{"multipart/mixed", long[:maxType]}},
	} {
		m := c.method + " sip:1002@example.test SIP/2.0\r\nVia: SIP/2.0/TLS a.test;branch=z9hG4bKx\r\nMax-Forwards: 70\r\nFrom: <sip:1001@example.test>;tag=x\r\n" +
			"To: <sip:1002@example.test>\r\nCall-ID: x\r\nCSeq: 1 " + c.method + "\r\nContact: <sip:1001@a.test>\r\nContent-Type: " + c.ct + "\r\nContent-Length: " + fmt.Sprint(len(c.body)) + "\r\n\r\n" + c.body
		got := parseRequest(t, m).unpacked().contentTypes()
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %.60s: %q, want %q", c.method, c.ct, got, c.want)
		}
		if len(got) > body.MaxParts+2 {
			t.Errorf("%d types", len(got))
		}
	}
}
