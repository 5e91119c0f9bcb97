package sipx

import (
	"strings"
	"testing"
)

// A proxy that records its route is in the answer, and so are the brackets of
// a v4-mapped address below the top Via.
func TestAnswerRepeatsTheWay(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	p := dialUDP(t, s, "127.0.0.1:0")
	way := "Record-Route: <sip:192.0.2.5;lr>, <sip:192.0.2.6;lr>\r\nVia: SIP/2.0/UDP [::ffff:192.0.2.2]:5062;branch=z9hG4bKx\r\n"
	p.send(strings.Replace(msg("INVITE", p.host(), "w1", "w1", "", 1), "From:", way+"From:", 1))
	tx := (<-h.requests).Begin()
	tx.Respond(180, "", "", nil, nil)
	for _, want := range []string{"<sip:192.0.2.5;lr>", "<sip:192.0.2.6;lr>", "Via: SIP/2.0/UDP [::ffff:192.0.2.2]:5062;branch=z9hG4bKx\r\n"} {
		if got := p.expect("SIP/2.0 180"); !strings.Contains(got, want) {
			t.Errorf("the answer lacks %q:\n%s", want, got)
		}
		tx.Respond(180, "", "", nil, nil)
	}
}
