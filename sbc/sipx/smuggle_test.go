package sipx

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/rampart-sbc/rampart/call"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

var trickValues = map[string]string{"to": "+33123456789", "gw": "sip.example.com", "user": "1001", "host": "192.0.2.7", "me": "192.0.2.7:5066", "id": "7"}

// TestSmuggled: what Check says of each trick as a datagram, and Frame and
// Check of it on a stream.
func TestSmuggled(t *testing.T) {
	list := siptest.Smuggled()
	if len(list) < 150 {
		t.Fatalf("%d tricks", len(list))
	}
	names := map[string]bool{}
	for _, c := range list {
		if names[c.Name] {
			t.Errorf("%q is there twice", c.Name)
		}
		names[c.Name] = true
		msg := c.Bytes(trickValues)
		n, bad := Check(msg, false, Limits{})
		got := 0
		if bad != nil {
			got = bad.Status
			if bad.Response != c.Response() {
				t.Errorf("%s: Response = %v", c.Name, bad.Response)
			}
		} else {
			agree(t, msg[:n])
		}
		cut := ""
		switch size, kind, framing := Frame(msg, Limits{}); {
		case framing != nil:
			cut = "close"
		case kind == FrameMore:
			cut = "wait"
		case size < len(msg):
			cut = "rest"
		default:
			m, streamed := Check(msg[:size], true, Limits{})
			if (streamed == nil) != (bad == nil) || m != n || bad != nil && *streamed != *bad {
				t.Errorf("%s: %v as a datagram, %v on a stream", c.Name, bad, streamed)
			}
		}
		want := c.Code
		if c.Late {
			want = 0
		}
		if got != want {
			t.Errorf("%s: %d (%v), want %d", c.Name, got, bad, want)
		}
		if cut != c.Cut {
			t.Errorf("%s: on a stream %q, want %q", c.Name, cut, c.Cut)
		}
	}
}

// sentOn is the request as it goes to the other side, of the parts that the
// gateway puts it together from.
func sentOn(t *testing.T, r *Request, to call.Side) []byte {
	t.Helper()
	from, callee := r.From(), r.To()
	d := Dialog{CallID: "ours", LocalTag: "ours", LocalSeq: 1, Local: NameAddrText(from.Display, from.URI.String()),
		Remote: NameAddrText(callee.Display, callee.URI.String()), Target: targetOf(r.URI()), Contact: "sip:rampart@192.0.2.1"}
	var hs []HeaderField
	for _, h := range r.Carry(to) {
		switch h.Name {
		case "Content-Type", "Content-Disposition":
		default:
			hs = append(hs, h)
		}
	}
	content := r.Body()
	if len(content) > 0 {
		hs = append(hs, HeaderField{"Content-Type", r.ContentType()})
	}
	o := d.Request(r.Method(), r.CSeq(), hs, content)
	if err := o.safe(); err != nil {
		t.Fatal(err)
	}
	return o.serialize("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours")
}

// FuzzSmuggle: whatever is taken, of all octets of a datagram, goes on as a
// message that every reader reads alike, however careless.
func FuzzSmuggle(f *testing.F) {
	for _, c := range siptest.Smuggled() {
		if b := c.Bytes(trickValues); !c.Response() && len(b) < 2000 && (c.Code == 0 || c.Late) {
			f.Add(b)
		}
	}
	for _, c := range siptest.Odd() {
		if b := c.Bytes(trickValues); len(b) < 2000 {
			f.Add(b)
		}
	}
	f.Add(crlf(goodRegister))
	parser := sip.NewParser()
	stack := &Stack{}
	stack.tx.init(1)
	flow := &Flow{Transport: "udp", advertise: "192.0.2.1:5060", Remote: netip.MustParseAddrPort("192.0.2.7:5061")}
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, bad := Check(raw, false, Limits{})
		if bad != nil {
			return
		}
		tidy := Tidy(raw[:n])
		m, err := parser.ParseSIP(tidy)
		if err != nil {
			t.Fatalf("accepted, but the parser says %v\n%q", err, raw[:n])
		}
		readVias(m, tidy)
		req, ok := m.(*sip.Request)
		if !ok || len(req.GetHeaders("Record-Route")) > maxRoutes || doubleCredentials(req) != "" {
			return
		}
		r := (&Request{message: message{Flow: flow, At: time.Now(), Size: n}, msg: req, stack: stack}).unpacked()
		switch r.Method() {
		case "ACK", "CANCEL", "REGISTER": // the registrar's To and From are its own matter
			return
		}
		if u := r.URI(); u.Scheme != "sip" && u.Scheme != "sips" && u.Scheme != "tel" {
			return
		}
		for _, to := range []call.Side{call.Inside, call.Public} {
			out := sentOn(t, r, to)
			if err := siptest.Ambiguous(out); err != nil {
				t.Fatalf("%v\n%q\nof\n%q", err, out, raw[:n])
			}
			if i := strings.Index(string(out), "\r\n\r\n"); string(out[i+4:]) != string(r.Body()) {
				t.Fatalf("the body became %q", out[i+4:])
			}
		}
	})
}

// TestOddButLegal: what real devices write is taken, as a datagram and on a
// stream, and the parser reads it as it is meant.
func TestOddButLegal(t *testing.T) {
	for _, c := range siptest.Odd() {
		msg := c.Bytes(trickValues)
		n, bad := Check(msg, false, Limits{})
		if bad != nil {
			t.Errorf("%s: %v", c.Name, bad)
			continue
		}
		if !mayBeSIP(msg) {
			t.Errorf("%s: the first look drops it", c.Name)
		}
		if size, kind, framing := Frame(msg, Limits{}); (framing != nil || kind != FrameMessage || size != len(msg)) && c.Cut != "close" {
			t.Errorf("%s: on a stream %d of %d: %v", c.Name, size, len(msg), framing)
		}
		t.Run(c.Name, func(t *testing.T) { agree(t, msg[:n]) })
	}
}
