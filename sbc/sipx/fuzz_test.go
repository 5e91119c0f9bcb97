package sipx

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/rampart-sbc/rampart/call"
)

// FuzzAnswers: whatever passes Check can be answered, and asked again inside
// its dialog, by messages that pass Check themselves and say what was meant.
func FuzzAnswers(f *testing.F) {
	via := "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKfz;rport"
	for _, seed := range [][6]string{
		{"sip:600@example.test", via, "<sip:1001@example.test>;tag=1", "<sip:a@192.0.2.7>", "<sip:p;lr>", "k: timer"},
		{"sips:6%30%0d0;x=y:p@h", "SIP / 2.0 / UDP\r\n [::1]:5070;branch=z9hG4bK1", `"evil\" <sip:1000@pbx>;x=\"" <sip:1001@h>;tag=1`, "<sip:a@b;method=BYE?X=y>", `"x" <sip:q>;y=z`, `Reason: SIP;cause=480;text="x"`},
		{"tel:+33123;phone-context=x", via, "tel:+33123;tag=2", "sip:a@[::1]:5062", "<sip:[2001:db8::1];lr>, <sip:x>", `Authorization: Digest username="a\"b", qop=auth-int`},
		{"urn:service:sos", via + ";received=1.2.3.4", "Bob <sip:b@h;p=%00>;tag=3", "<mailto:x@y>", "<tel:1>", "Retry-After: 5 (x)"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4], seed[5])
	}
	parser := sip.NewParser()
	stack := &Stack{}
	stack.tx.init(1)
	flow := &Flow{Transport: "udp", advertise: "192.0.2.1:5060", Remote: netip.MustParseAddrPort("[fe80::7%lo]:5061")}
	f.Fuzz(func(t *testing.T, uri, via, from, contact, route, extra string) {
		raw := []byte("INVITE " + uri + " SIP/2.0\r\nVia: " + via + "\r\nMax-Forwards: 70\r\nFrom: " + from + "\r\nTo: <sip:600@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: " +
			contact + "\r\nRecord-Route: " + route + "\r\n" + extra + "\r\nContent-Length: 0\r\n\r\n")
		n, bad := Check(raw, false, Limits{})
		if bad != nil {
			return
		}
		m, err := parser.ParseSIP(Tidy(raw[:n]))
		if err != nil {
			return
		}
		req, ok := m.(*sip.Request)
		if !ok || len(req.GetHeaders("Record-Route")) > maxRoutes || req.Via() == nil {
			return
		}
		r := &Request{message: message{Flow: flow, At: time.Now(), Size: n}, msg: req, stack: stack}
		carried := [][]HeaderField{r.Carry(call.Inside), r.Carry(call.Public)}
		r.Attempt()
		a := r.reply(183, "Session Progress", statelessTag(r), nil, nil)
		if slow := slowReply(r, 183, "Session Progress", statelessTag(r), nil, nil).String(); slow != string(a) {
			t.Errorf("the answer is\n%q\nand by the library\n%q", a, slow)
		}
		if _, bad := Check(a, true, Limits{}); bad != nil && bad.Header != "Via" && bad.Header != "CSeq" {
			t.Errorf("answer: %v\n%q", bad, a)
		}
		if strings.Count(string(a), "\r\n\r\n") != 1 {
			t.Errorf("the answer is more than one: %q", a)
		}
		if _, ok := r.Contact(); !ok {
			return
		}
		d := r.Accept("ours", "sip:gw@192.0.2.1")
		for _, hs := range carried {
			o := d.Request("BYE", 0, nil, nil)
			for _, h := range hs {
				if h.Name != "Content-Type" && h.Name != "Expires" && h.Name != "Session-Expires" {
					o.Headers = append(o.Headers, h)
				}
			}
			if err := o.safe(); err != nil {
				t.Fatalf("%v\n%q", err, raw)
			}
			b := o.serialize(flow.via("z9hG4bKf"))
			if _, bad := Check(b, true, Limits{HeaderValue: 65535, Headers: 300, Line: 65535}); bad != nil && bad.Status != 416 {
				t.Errorf("BYE: %v\n%q\nof\n%q", bad, b, raw)
			}
		}
		back, err := ParseNameAddr(d.Remote)
		if err != nil || back.URI.String() != r.msg.From().Address.String() {
			t.Errorf("From %q became %q", r.msg.From().Value(), d.Remote)
		}
	})
}
