package sipx

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/rampart-sbc/rampart/call"
)

// What a hostile or broken peer may write, and what must not become of it.

func parseRequest(t *testing.T, raw string) *Request {
	t.Helper()
	n, bad := Check([]byte(raw), false, Limits{})
	if bad != nil {
		t.Fatal(bad)
	}
	m, err := sip.NewParser().ParseSIP(Tidy([]byte(raw[:n])))
	if err != nil {
		t.Fatal(err)
	}
	f := &Flow{Transport: "udp", Remote: netip.MustParseAddrPort("192.0.2.7:5060")}
	return &Request{message: message{Flow: f, At: time.Now()}, msg: m.(*sip.Request)}
}

func withLines(m string, lines ...string) string {
	return strings.Replace(m, "Max-Forwards: 70\r\n", "Max-Forwards: 70\r\n"+strings.Join(lines, "\r\n")+"\r\n", 1)
}

// TestDisplayNameStaysQuoted: a display name that crosses must not end its
// own quotes and put another address before the real one.
func TestDisplayNameStaysQuoted(t *testing.T) {
	for _, display := range []string{`"evil\" <sip:1000@pbx>;x=\""`, `"a\\"`, `"\""`, `"\\\""`, `Bob Smith`, `""`, `"Bob, <b>"`, `"\<sip:1000@pbx\>;tag=1"`} {
		raw := strings.Replace(msg("INVITE", "192.0.2.7", "d1", "d1", "", 1), "From: <", "From: "+display+" <", 1)
		n := parseRequest(t, raw).From()
		out := NameAddrText(n.Display, n.URI.String()) + ";tag=z"
		a, end, why := address([]byte(out), 0, false)
		if why != "" || end != len(out) || !a.tag {
			t.Errorf("%s becomes %s: %s", display, out, why)
		}
		back, err := ParseNameAddr(out)
		kept := strings.NewReplacer(`\<`, "", `\>`, "", "<", "", ">", "", ";", "").Replace(n.Display)
		if err != nil || back.URI.User != "1001" || back.Display != kept {
			t.Errorf("%s becomes %s, read as %v %v", display, out, back, err)
		}
	}
	for _, display := range []string{`a"b`, `a\`, "a\r\nb", `\`, "\x00"} {
		out := NameAddrText(display, "sip:1@x")
		if _, end, why := address([]byte(out), 0, false); why != "" || end != len(out) {
			t.Errorf("display %q becomes %q: %s", display, out, why)
		}
	}
}

func TestRouteSet(t *testing.T) {
	for route, loose := range map[string]bool{
		"<sip:p.example;lr>": true, "<sip:p.example;lr=on>": true, "<sip:p.example;transport=tcp;LR>": true, "<sip:[2001:db8::1]:5070;lr>": true,
		"<sip:p.example>": false, "<sip:p.example;lrx>": false, "<sip:a;lr@p.example>": false, `"p;lr" <sip:p.example>`: false, "<sip:p.example>;lr": false,
	} {
		d := Dialog{CallID: "c", LocalTag: "l", RemoteTag: "r", Local: "<sip:a@b>", Remote: "<sip:c@d>", Target: "sip:t@192.0.2.1", Routes: []string{route, "<sip:q.example;lr>"}, Contact: "sip:us"}
		o := d.Request("BYE", 0, nil, nil)
		var routes []string
		for _, h := range o.Headers {
			if h.Name == "Route" {
				routes = append(routes, h.Value)
			}
		}
		if (o.URI == "sip:t@192.0.2.1") != loose {
			t.Errorf("%s: Request-URI %q", route, o.URI)
		}
		if !loose && (strings.ContainsAny(o.URI, "<>\" ") || len(routes) != 2 || routes[1] != "<sip:t@192.0.2.1>") {
			t.Errorf("%s: Request-URI %q, routes %q", route, o.URI, routes)
		}
		if status, why := requestURI([]byte(o.URI)); why != "" {
			t.Errorf("%s: Request-URI %q: %d %s", route, o.URI, status, why)
		}
	}
}

// TestTargetIsARequestURI: what a Contact may carry and a Request-URI may not
// is left out (RFC 3261 §19.1.1).
func TestTargetIsARequestURI(t *testing.T) {
	for contact, want := range map[string]string{
		"<sip:a@192.0.2.9;transport=tcp;method=BYE?Subject=x&Route=%3Csip:evil%3E>": "sip:a@192.0.2.9;transport=tcp",
		"<sip:a@[2001:db8::9]:5070;ob>":                                             "sip:a@[2001:db8::9]:5070;ob",
	} {
		raw := strings.Replace(msg("INVITE", "192.0.2.7", "d1", "d1", "", 1), "Contact: <sip:1001@192.0.2.7>", "Contact: "+contact, 1)
		if d := parseRequest(t, raw).Accept("x", "sip:us"); d.Target != want {
			t.Errorf("target %q of %s, want %q", d.Target, contact, want)
		}
	}
}

// TestRecordRouteIsRepeated: RFC 3261 §12.1.1.
func TestRecordRouteIsRepeated(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	p := dialUDP(t, s, "127.0.0.1:0")
	m := withLines(msg("INVITE", p.host(), "rr", "rr", "", 1), "Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr;x=1>", "Record-Route: <sip:[2001:db8::1]:5070;lr>")
	p.send(m)
	tx := (<-h.requests).Begin()
	for _, code := range []int{100, 183, 200} {
		tx.Respond(code, "", "", nil, nil)
		got := strings.Join(headersOf(p.expect(fmt.Sprint("SIP/2.0 ", code)), "Record-Route"), ",")
		want := "<sip:p1.example;lr>,<sip:p2.example;lr;x=1>,<sip:[2001:db8::1]:5070;lr>"
		if code == 100 {
			want = ""
		}
		if strings.ReplaceAll(got, " ", "") != want {
			t.Errorf("%d: Record-Route %q, want %q", code, got, want)
		}
	}
	tx.Acknowledged()
	q := dialUDP(t, s, "127.0.0.1:0")
	q.send(withLines(msg("OPTIONS", q.host(), "ro", "ro", "", 1), "Record-Route: <sip:p1.example;lr>"))
	(<-h.requests).Refuse(200, nil)
	if m := q.expect("SIP/2.0 200"); strings.Contains(m, "Record-Route") {
		t.Error("Record-Route in an answer that makes no dialog")
	}
}

func headersOf(m, name string) (out []string) {
	for l := range strings.SplitSeq(m, "\r\n") {
		if v, ok := strings.CutPrefix(l, name+": "); ok {
			out = append(out, v)
		}
	}
	return out
}

// TestRouteSetCap: every request of a dialog repeats its route set, so the
// other side must not choose how long it is.
func TestRouteSetCap(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	p := dialUDP(t, s, "127.0.0.1:0")
	rr := strings.TrimSuffix(strings.Repeat("<sip:p.example;lr>, ", maxRoutes+1), ", ")
	p.send(withLines(msg("INVITE", p.host(), "rc", "rc", "", 1), "Record-Route: "+rr))
	p.expect("SIP/2.0 513")
	if len(h.requests) != 0 {
		t.Error("it went to the handler")
	}
	_, out := clientTo(t, s, p, invite(p.host()))
	req := p.expect("INVITE")
	p.send(fmt.Sprintf("SIP/2.0 200 OK\r\nVia: %s\r\nFrom: %s\r\nTo: %s;tag=1\r\nCall-ID: %s\r\nCSeq: %s\r\nContact: <sip:p@%s>\r\nRecord-Route: %s\r\nContent-Length: 0\r\n\r\n",
		headerOf(req, "Via"), headerOf(req, "From"), headerOf(req, "To"), headerOf(req, "Call-ID"), headerOf(req, "CSeq"), p.host(), rr))
	p.reply(req, 486, "t")
	if r := <-out; r.Res.Code() != 486 {
		t.Errorf("a response with too long a route set was taken: %d", r.Res.Code())
	}
}

// TestNothingIsInjected: whatever a caller of this package puts together, a
// line break or a space never makes two headers or another request line.
func TestNothingIsInjected(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	p := dialUDP(t, s, "127.0.0.1:0")
	f, err := s.Connect(t.Context(), Hop{Side: call.Public, Transport: "udp", Addr: netip.MustParseAddrPort(p.host())})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []*Out{
		{Method: "BYE", URI: "sip:a@b\r\nX: y"}, {Method: "BYE", URI: "sip:a b@c"}, {Method: "BYE", URI: "sip:a@b>"}, {Method: "BYE", URI: ""},
		{Method: "BYE", URI: "sip:a@b", Headers: []HeaderField{{"Subject", "x\r\nRoute: <sip:evil>"}}},
		{Method: "BYE", URI: "sip:a@b", Headers: []HeaderField{{"Subject", "x\ny"}}},
		{Method: "BYE", URI: "sip:a@b", Headers: []HeaderField{{"Sub:ject", "x"}}},
		{Method: "BYE", URI: "sip:a@b", Headers: []HeaderField{{"Subject", "x\x00"}}},
	} {
		if _, err := s.Send(f, o, nil); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%v was sent: %v", o, err)
		}
	}
	if n := s.Transactions(); n != 0 {
		t.Errorf("%d transactions left", n)
	}
	p.send(msg("OPTIONS", p.host(), "inj", "inj", "", 1))
	(<-h.requests).Refuse(200, []HeaderField{{"Warning", "399 x \"a\r\nEvil: b\""}, {"Allow", "INVITE"}})
	if m := p.expect("SIP/2.0 200"); strings.Contains(m, "Evil") || headerOf(m, "Allow") != "INVITE" {
		t.Errorf("answered %q", m)
	}
}

func TestCancelTwice(t *testing.T) {
	s := startStack(t, Config{T1: 5 * time.Millisecond, T2: 20 * time.Millisecond, T4: 20 * time.Millisecond}, newRecorder())
	p := dialUDP(t, s, "127.0.0.1:0")
	tx, out := clientTo(t, s, p, invite(p.host()))
	p.reply(p.expect("INVITE"), 180, "t1")
	<-out
	for range 3 {
		tx.Cancel(nil)
	}
	waitFor(t, func() bool { return s.Transactions() == 0 })
	if n := s.tx.n.Load(); n != 0 {
		t.Errorf("the count of transactions is off by %d", n)
	}
}

// TestOwnerPanics: a callback that fails in a timer ends nothing else.
func TestOwnerPanics(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{T1: 2 * time.Millisecond, T2: 8 * time.Millisecond, T4: 8 * time.Millisecond}, h)
	p := dialUDP(t, s, "127.0.0.1:0")
	f, _ := s.Connect(t.Context(), Hop{Side: call.Public, Transport: "udp", Addr: netip.MustParseAddrPort(p.host())})
	if _, err := s.Send(f, invite(p.host()), func(Outcome) { panic("owner") }); err != nil {
		t.Fatal(err)
	}
	p.send(msg("INVITE", p.host(), "pp", "pp", "", 1))
	tx := (<-h.requests).Begin()
	tx.OnNoAck(func() { panic("owner") })
	tx.Respond(486, "", "", nil, nil)
	waitFor(t, func() bool { return s.Stats.Panics.Load() == 2 && s.Transactions() == 0 })
}

// TestResponseByAnotherTransport: the answer to a request on a connection is
// not taken from a datagram, which anybody can send in the peer's name.
func TestResponseByAnotherTransport(t *testing.T) {
	s := startStack(t, Config{}, newRecorder())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := s.Connect(t.Context(), Hop{Side: call.Public, Transport: "tcp", Addr: netip.MustParseAddrPort(ln.Addr().String())})
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan Outcome, 10)
	if _, err := s.Send(f, invite("x"), func(o Outcome) { out <- o }); err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 65536)
	n, _ := c.Read(b)
	req := string(b[:n])
	p := dialUDP(t, s, "127.0.0.1:0")
	p.reply(req, 200, "forged")
	waitFor(t, func() bool { return s.Stats.Strays.Load() == 1 })
	if len(out) != 0 {
		t.Error("a forged response was taken")
	}
}

// TestAnswersGoToTheSource: nothing a request says can send the answer to
// another host.
func TestAnswersGoToTheSource(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	p, victim := dialUDP(t, s, "127.0.0.1:0"), dialUDP(t, s, "127.0.0.2:0")
	_, port, _ := net.SplitHostPort(p.host())
	for i, via := range []string{
		victim.host() + ";rport;branch=z9hG4bKx%d", victim.host() + ";rport=9;received=127.0.0.2;branch=z9hG4bKx%d",
		"127.0.0.2:" + port + ";maddr=127.0.0.2;received=127.0.0.2;branch=z9hG4bKx%d",
	} {
		m := msg("OPTIONS", p.host(), "v", fmt.Sprint("v", i), "", 1)
		m = strings.Replace(m, headerOf(m, "Via"), "SIP/2.0/UDP "+fmt.Sprintf(via, i), 1)
		p.send(m)
		(<-h.requests).Refuse(200, nil)
		if v := headerOf(p.expect("SIP/2.0 200"), "Via"); !strings.Contains(v, "received=127.0.0.1") {
			t.Errorf("Via %s", v)
		}
	}
	if m := victim.read(50 * time.Millisecond); m != "" {
		t.Errorf("the victim got %q", m)
	}
}

func TestReceivedHasNoZone(t *testing.T) {
	r := parseRequest(t, msg("OPTIONS", "192.0.2.7", "z", "z", "", 1))
	r.Flow.Remote = netip.MustParseAddrPort("[fe80::1%lo]:5060")
	v, _, _ := strings.Cut(string(r.reply(200, "OK", "t", nil, nil)), "\r\nFrom")
	if strings.Contains(v, "%") || !strings.Contains(v, "received=fe80::1;") && !strings.HasSuffix(v, "received=fe80::1") {
		t.Errorf("Via %s", v)
	}
}

func TestWhatCrosses(t *testing.T) {
	carried := func(to call.Side, line string) string {
		r := parseRequest(t, withLines(msg("BYE", "192.0.2.7", "w", "w", "t", 2), line))
		for _, h := range r.Carry(to) {
			return h.Name + ": " + h.Value
		}
		return ""
	}
	for _, c := range []struct {
		line, want string
	}{
		{`Reason: Q.850;cause=16;text="Normal call clearing"`, `Reason: Q.850;cause=16;text="Normal call clearing"`},
		{`Reason: SIP;cause=480;text="no route to 10.0.0.5:5060"`, `Reason: SIP;cause=480`},
		{`Reason: SIP;cause=480;text="pbx7.corp.example says no"`, `Reason: SIP;cause=480`},
		{`Reason: SIP;cause=480;text="ask \"bob\"@host"`, `Reason: SIP;cause=480`},
		{`Reason: SIP;cause=480;x-host="10.0.0.5";text=gone`, `Reason: SIP;cause=480;text="gone"`},
		{`Reason: SIP;cause=abc`, `Reason: SIP`},
		{`Reason: Q.850;cause=16;text="a, b",SIP;cause=200;text="at 10.0.0.5", <x>`, `Reason: Q.850;cause=16;text="a, b", SIP;cause=200`},
		{`reason: q.850 ; cause = 16`, `Reason: q.850;cause=16`},
		{`Reason: <sip:10.0.0.5>`, ``},
		{`Retry-After: 18 (ask pbx7) ;duration=60`, `Retry-After: 18`},
		{`Retry-After: soon`, ``},
		{`Min-Expires: 60 (pbx7)`, `Min-Expires: 60`},
		{`Unsupported: 100rel, pbx7.corp.example`, `Unsupported: 100rel`}, {`Unsupported: pbx7`, ``},
		{"Subject: a\r\n b", "Subject: a b"},
		{`Warning: 399 pbx7.corp.example "x"`, ``}, {`Server: x`, ``}, {`User-Agent: x`, ``}, {`Route: <sip:evil;lr>`, ``},
		{`P-Asserted-Identity: <sip:boss@x>`, ``}, {`Alert-Info: <http://10.0.0.5/x.wav>`, ``}, {`Call-Info: <http://10.0.0.5>`, ``}, {`X-Anything: y`, ``},
	} {
		if got := carried(call.Public, c.line); got != c.want {
			t.Errorf("%q crosses as %q, want %q", c.line, got, c.want)
		}
	}
	for in, want := range map[string]string{
		`Digest realm="a", qop="auth,auth-int", nonce="n"`:             `Digest realm="a", qop="auth", nonce="n"`,
		`Digest realm="a", qop="auth-int", nonce="n"`:                  `Digest realm="a", qop="auth", nonce="n"`,
		`Digest realm="a", qop = "auth, auth-int", nonce="n"`:          `Digest realm="a", qop = "auth", nonce="n"`,
		`Digest realm="a",QOP=auth-int,nonce="n"`:                      `Digest realm="a",QOP=auth,nonce="n"`,
		`Digest realm="qop=\"auth-int\"", nonce="n"`:                   `Digest realm="qop=\"auth-int\"", nonce="n"`,
		`Digest realm="a", xqop="auth-int", nonce="n"`:                 `Digest realm="a", xqop="auth-int", nonce="n"`,
		`Digest username="u", realm="a", qop=auth, nc=00000001, uri=x`: `Digest username="u", realm="a", qop=auth, nc=00000001, uri=x`,
		`Digest`: `Digest`, `Digest qop`: `Digest qop`, `Digest qop="auth`: `Digest qop="auth`, ``: ``,
	} {
		if got := withoutAuthInt(in); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		`Digest realm="a", domain="sip:10.0.0.5, sip:x", nonce="n"`: `Digest realm="a", nonce="n"`,
		`Digest Domain = "sip:10.0.0.5",realm="a\", domain=\"b"`:    `Digest realm="a\", domain=\"b"`,
		`Digest realm="a",nonce="domain=b",  qop="auth"`:            `Digest realm="a",nonce="domain=b",  qop="auth"`,
		`Digest`: `Digest`, `Digest domain`: `Digest `, `Digest realm="a\`: `Digest realm="a\`, `Bearer domain=x`: `Bearer domain=x`, ``: ``,
	} {
		if got := withoutDomain(in); got != want {
			t.Errorf("%s crosses as %s, want %s", in, got, want)
		}
	}
	if got := carried(call.Public, `WWW-Authenticate: Digest realm="a", domain="sip:10.0.0.5", nonce="n", qop="auth,auth-int"`); got != `WWW-Authenticate: Digest realm="a", nonce="n", qop="auth"` {
		t.Errorf("a challenge crosses as %s", got)
	}
}

// TestRetryAfterOf503StaysBehind: RFC 3261 §21.5.4: whoever gets it sends us
// nothing at all for that time, however many other ways we have.
func TestRetryAfterOf503StaysBehind(t *testing.T) {
	for code, crosses := range map[int]bool{503: false, 480: true, 500: true} {
		raw := fmt.Sprintf("SIP/2.0 %d X\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n", code)
		m, err := sip.NewParser().ParseSIP([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		if hs := (&Response{msg: m.(*sip.Response)}).Carry(call.Inside); (len(hs) == 1) != crosses {
			t.Errorf("%d: %v", code, hs)
		}
	}
}

// TestTelURIsHaveAUser: a number is a number whichever scheme carries it.
func TestTelURIsHaveAUser(t *testing.T) {
	m := msg("INVITE", "192.0.2.7", "tel", "tel", "", 1)
	m = strings.Replace(m, "INVITE sip:600@example.test", "INVITE tel:+33-1-23;phone-context=x", 1)
	m = strings.Replace(m, "From: <sip:1001@example.test>", "From: <TEL:+18765550100;ext=1>", 1)
	a := parseRequest(t, m).Attempt()
	if a.From.User != "+18765550100" || a.To.User != "+33-1-23" {
		t.Errorf("from %q, to %q", a.From.User, a.To.User)
	}
}

// TestCallOverIPv6: a whole call each way over [::1].
func TestCallOverIPv6(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{Listeners: []Listener{{Side: call.Public, Transport: "udp", Bind: netip.MustParseAddrPort("[::1]:0")},
		{Side: call.Public, Transport: "tcp", Bind: netip.MustParseAddrPort("[::1]:0")}}}, h)
	p := dialUDP(t, s, "[::1]:0")
	p.send(withLines(msg("INVITE", p.host(), "6a", "6a", "", 1), "Record-Route: <sip:[2001:db8::5]:5062;lr>"))
	r := <-h.requests
	tx := r.Begin()
	d := r.Accept(tx.ToTag(), r.Flow.ContactURI("gw"))
	if d.Contact != "sip:gw@"+s.Addrs(call.Public, "udp")[0].String() || d.Target != "sip:1001@"+p.host() {
		t.Errorf("contact %q, target %q", d.Contact, d.Target)
	}
	tx.Respond(180, "", "", nil, nil)
	tx.Respond(200, "", "", []HeaderField{{"Contact", "<" + d.Contact + ">"}}, nil)
	p.expect("SIP/2.0 180")
	ok := p.expect("SIP/2.0 200")
	if v := headerOf(ok, "Via"); !strings.Contains(v, p.host()) || !strings.Contains(v, "received=::1") {
		t.Errorf("Via %q", v)
	}
	p.send(msg("ACK", p.host(), "6b", "6a", d.LocalTag, 1))
	if a := <-h.acks; a.DialogKey() != d.Key() {
		t.Errorf("%v is not %v", a.DialogKey(), d.Key())
	}
	tx.Acknowledged()
	gone := make(chan Outcome, 1)
	if _, err := s.Send(r.Flow, d.Request("BYE", 0, nil, nil), func(o Outcome) { gone <- o }); err != nil {
		t.Fatal(err)
	}
	var bye string
	for bye = p.read(time.Second); !strings.HasPrefix(bye, "BYE"); bye = p.read(time.Second) {
		if bye == "" {
			t.Fatal("no BYE")
		}
	}
	if !strings.HasPrefix(bye, "BYE sip:1001@"+p.host()+" SIP/2.0\r\nVia: SIP/2.0/UDP [::1]:") || headerOf(bye, "Route") != "<sip:[2001:db8::5]:5062;lr>" {
		t.Errorf("BYE %q", bye)
	}
	if _, bad := Check([]byte(bye), false, Limits{}); bad != nil {
		t.Error(bad)
	}
	p.reply(bye, 200, "")
	if o := <-gone; o.Err != nil || o.Res.Code() != 200 {
		t.Fatal(o)
	}

	ctx, out := clientTo(t, s, p, invite(p.host()))
	req := p.expect("INVITE sip:600@[::1]:")
	p.reply(req, 200, "t6")
	res := (<-out).Res
	e := Dialog{CallID: "out1", LocalTag: "x", Local: "<sip:a@b>", Remote: "<sip:600@b>", Contact: "sip:a@b", LocalSeq: 1}
	e.Established(res)
	if err := ctx.Ack(ctx.Flow(), "t6", e.Request("ACK", 1, nil, nil)); err != nil {
		t.Fatal(err)
	}
	p.expect("ACK sip:p@" + p.host())
}

// TestConnectionLostWhileRinging: nobody waits for an answer for ever when
// the connection it would come on has gone.
func TestConnectionLostWhileRinging(t *testing.T) {
	s := startStack(t, Config{T1: 2 * time.Millisecond}, newRecorder())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := s.Connect(t.Context(), Hop{Side: call.Public, Transport: "tcp", Addr: netip.MustParseAddrPort(ln.Addr().String())})
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan Outcome, 10)
	if _, err := s.Send(f, invite("x"), func(o Outcome) { out <- o }); err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 65536)
	n, _ := c.Read(b)
	req := string(b[:n])
	fmt.Fprintf(c, "SIP/2.0 180 Ringing\r\nVia: %s\r\nFrom: %s\r\nTo: %s;tag=1\r\nCall-ID: %s\r\nCSeq: %s\r\nContent-Length: 0\r\n\r\n",
		headerOf(req, "Via"), headerOf(req, "From"), headerOf(req, "To"), headerOf(req, "Call-ID"), headerOf(req, "CSeq"))
	if o := <-out; o.Err != nil || o.Res.Code() != 180 {
		t.Fatal(o)
	}
	c.Close()
	select {
	case o := <-out:
		if !errors.Is(o.Err, ErrTimeout) {
			t.Fatal(o)
		}
	case <-time.After(3 * time.Second):
		t.Fatal("it waits for ever")
	}
	waitFor(t, func() bool { return s.Transactions() == 0 && len(f.waiting) == 0 })
}

// TestCompactForms: a short name, or another case, hides no header.
func TestCompactForms(t *testing.T) {
	r := parseRequest(t, withLines(msg("INVITE", "192.0.2.7", "cf", "cf", "", 1), "K: Timer", "supported: replaces", "REQUIRE: precondition", "s: hello", "X: 1800;refresher=uac", "e: gzip",
		"r: <sip:1@x>", "B: <sip:2@x>", "y: eyJ"))
	if got := strings.Join(r.OptionTags("Supported"), " "); got != "timer replaces" {
		t.Errorf("Supported %q", got)
	}
	if got := strings.Join(r.UnsupportedTags(), " "); got != "precondition" {
		t.Errorf("Require %q", got)
	}
	if r.Header("Subject") != "hello" || r.Header("Session-Expires") != "1800;refresher=uac" || r.Header("Content-Encoding") != "gzip" ||
		r.Header("Refer-To") != "<sip:1@x>" || r.Header("Referred-By") != "<sip:2@x>" || r.Header("Identity") != "eyJ" {
		t.Error("a compact form was not read")
	}
}
