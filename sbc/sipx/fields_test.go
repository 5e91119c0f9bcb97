package sipx

import (
	"strings"
	"testing"
)

// The fields that a policy reads are found whatever their case, in compact
// form, and as often as they are there.
func TestFields(t *testing.T) {
	r := parseRequest(t, strings.ReplaceAll("INVITE sip:1@example.com SIP/2.0\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK1\nMax-Forwards: 70\n"+
		"f: <sip:a@example.com>;tag=1\nt: <sip:1@example.com>\ni: x\nCSeq: 1 INVITE\nm: <sip:a@192.0.2.1>\n"+
		"x-tenant: red\ns: hello\nX-TENANT: blue\nb: <sip:b@example.com>\nX-Long: "+strings.Repeat("a", 2000)+"\nContent-Length: 0\n\n", "\n", "\r\n"))
	var got []string
	for _, h := range r.Fields([]string{"from", "referred-by", "subject", "x-long", "x-none", "x-tenant"}) {
		got = append(got, h.Name+"="+h.Value[:min(len(h.Value), 20)])
		if len(h.Value) > maxFieldValue {
			t.Errorf("%s has %d bytes", h.Name, len(h.Value))
		}
	}
	want := "from=<sip:a@example.com>; referred-by=<sip:b@example.com>; subject=hello; x-long=aaaaaaaaaaaaaaaaaaaa; x-tenant=red; x-tenant=blue"
	if s := strings.Join(got, "; "); !strings.HasPrefix(s, "from=<sip:a@example.com>"[:24]) || strings.Replace(s, got[0], "from=<sip:a@example.com>", 1) != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	if r.Fields(nil) != nil {
		t.Error("fields that nobody asked for")
	}
}
