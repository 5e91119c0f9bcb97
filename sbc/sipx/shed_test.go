package sipx

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/rampart-sbc/rampart/call"
)

// shedAll is a Shedder that does with every request what it is told.
type shedAll struct {
	busy atomic.Bool
	what atomic.Int32
	seen atomic.Int32
}

func (s *shedAll) Busy() bool { return s.busy.Load() }
func (s *shedAll) Shed(*Glance) Shed {
	s.seen.Add(1)
	return Shed{ShedKind(s.what.Load()), 7}
}

func shedStack(t testing.TB, h Handler) (*Stack, *shedAll, *net.UDPConn) {
	t.Helper()
	sh := &shedAll{}
	s, err := New(Config{Listeners: []Listener{{Side: call.Public, Transport: "udp", Bind: netip.MustParseAddrPort("127.0.0.1:0")}},
		Shed: sh, T1: 20 * time.Millisecond, T2: 40 * time.Millisecond, T4: 20 * time.Millisecond}, h)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Close)
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.Addrs(call.Public, "udp")[0]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s, sh, c
}

// ask sends m until there is an answer: datagrams may be lost on a busy machine.
func ask(t testing.TB, c *net.UDPConn, m string) string {
	t.Helper()
	buf := make([]byte, 65536)
	for range 10 {
		if _, err := c.Write([]byte(m)); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		if n, err := c.Read(buf); err == nil {
			return string(buf[:n])
		}
	}
	t.Fatal("no answer")
	return ""
}

// TestShedAnswer: what a request is refused with at a glance is a whole
// response, its ACK is taken, and neither reaches the gateway or is kept.
func TestShedAnswer(t *testing.T) {
	var got atomic.Int32
	h := &answering{f: func(r *Request) { got.Add(1); r.Refuse(480, nil) }}
	s, sh, c := shedStack(t, h)
	sh.busy.Store(true)
	sh.what.Store(int32(ShedRefuse))
	m := benchInvite(c.LocalAddr().String(), "shed")
	answer := ask(t, c, m)
	if !strings.HasPrefix(answer, "SIP/2.0 503 ") || !strings.Contains(answer, "\r\nRetry-After: 7\r\n") {
		t.Fatalf("answered %q", answer)
	}
	if _, bad := Check([]byte(answer), false, Limits{}); bad != nil {
		t.Errorf("the answer: %v", bad)
	}
	p, err := sip.NewParser().ParseSIP([]byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	res := p.(*sip.Response)
	branch, _ := res.Via().Params.Get("branch")
	if !strings.Contains(m, branch) || string(*res.CallID()) == "" || !strings.Contains(m, string(*res.CallID())) || res.CSeq().SeqNo != 1 {
		t.Errorf("the answer is of another request: %q", answer)
	}
	if again := ask(t, c, m); again != answer {
		t.Errorf("again: %q\nfirst %q", again, answer)
	}
	// Its ACK, and one with another tag, which goes on.
	ack := strings.Replace(strings.SplitN(m, "Content-Type", 2)[0], "INVITE sip", "ACK sip", 1) + "Content-Length: 0\r\n\r\n"
	ack = strings.Replace(ack, "1 INVITE", "1 ACK", 1)
	var to string
	for _, l := range strings.Split(answer, "\r\n") {
		if strings.HasPrefix(l, "To: ") {
			to = l
		}
	}
	own := strings.Split(ack, "\r\n")
	for i, l := range own {
		if strings.HasPrefix(l, "To: ") {
			own[i] = to
		}
	}
	f := s.udp[0].flow(s.udp[0].conns[0], c.LocalAddr().(*net.UDPAddr).AddrPort())
	if done, _ := s.shed(f, []byte(strings.Join(own, "\r\n"))); !done {
		t.Errorf("the ACK of the refusal is not known: %q", strings.Join(own, "\r\n"))
	}
	if done, _ := s.shed(f, []byte(strings.Replace(strings.Join(own, "\r\n"), ";tag=ov", ";tag=xy", 1))); done {
		t.Error("the ACK of something else was taken for it")
	}
	if got.Load() != 0 || s.Transactions() != 0 {
		t.Errorf("%d requests went on, %d transactions are kept", got.Load(), s.Transactions())
	}
}

// TestShedKnowsTransactions: a request that was let in is not refused when it
// comes again; nothing is asked while there is no overload.
func TestShedKnowsTransactions(t *testing.T) {
	var letIn atomic.Int32
	h := &answering{f: func(r *Request) {
		if r.LetIn {
			letIn.Add(1)
		}
		if tx := r.Begin(); tx != nil {
			tx.Respond(180, "", "", nil, nil)
		}
	}}
	_, sh, c := shedStack(t, h)
	m := benchInvite(c.LocalAddr().String(), "known")
	if a := ask(t, c, m); !strings.HasPrefix(a, "SIP/2.0 180") || sh.seen.Load() != 0 {
		t.Fatalf("%q, asked %d", a, sh.seen.Load())
	}
	sh.busy.Store(true)
	sh.what.Store(int32(ShedRefuse))
	for range 3 {
		if a := ask(t, c, m); !strings.HasPrefix(a, "SIP/2.0 180") {
			t.Fatalf("a request that was let in is refused when it comes again: %q", a)
		}
	}
	sh.what.Store(int32(ShedPass))
	if a := ask(t, c, benchInvite(c.LocalAddr().String(), "passes")); !strings.HasPrefix(a, "SIP/2.0 180") || letIn.Load() != 1 {
		t.Errorf("%q, %d were marked as let in", a, letIn.Load())
	}
}

// TestShedStaysInDialog: what has a To tag, and what is no request, is never
// asked about.
func TestShedStaysInDialog(t *testing.T) {
	f := &Flow{Transport: "udp", Remote: netip.MustParseAddrPort("192.0.2.7:5060")}
	base := msg("INVITE", "192.0.2.7:5060", "b1", "c1", "", 1)
	for _, m := range []string{
		strings.Replace(base, "\r\nCall-ID", ";tag=theirs\r\nCall-ID", 1),
		strings.ReplaceAll(base, "INVITE", "BYE"),
		strings.ReplaceAll(base, "INVITE", "CANCEL"),
		strings.ReplaceAll(base, "INVITE", "PRACK"),
		strings.ReplaceAll(base, "INVITE", "UPDATE"),
		strings.ReplaceAll(base, "INVITE", "INFO"),
		"SIP/2.0 200 OK\r\n\r\n", "", "INVITE", "INVITE sip:a SIP/2.0\r\n\r\n", strings.Replace(base, "SIP/2.0\r\n", "SIP/3.0\r\n", 1),
		strings.Replace(base, "Call-ID: ", "Call-ID: x\r\nCall-ID: ", 1),
	} {
		if strings.Contains(m, "tag=theirs") && !strings.Contains(m, "To: ") {
			t.Fatal(m)
		}
		var g Glance
		if g.of(f, []byte(m)) {
			t.Errorf("judged by a glance: %q", m)
		}
	}
	var g Glance
	if !g.of(f, []byte(base)) {
		t.Errorf("not judged by a glance: %q", base)
	}
	user, host := UserHost(g.URI)
	if len(user) == 0 || len(host) == 0 {
		t.Errorf("URI %q is %q at %q", g.URI, user, host)
	}
}

// FuzzGlance: of what passes Check, a glance sees the same transaction, users
// and tags as the parser, or nothing.
func FuzzGlance(f *testing.F) {
	via := "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKfz;rport"
	for _, seed := range [][5]string{
		{"sip:600@example.test", via, "<sip:1001@example.test>;tag=1", "<sip:600@h>", "k: timer"},
		{"sip:600@example.test:5070;x=y", "SIP/2.0/TLS h.example:5061;rport;branch=z9hG4bK1;received=1.2.3.4", `"A B" <sip:1001:pw@h>;x=y;tag=1`, `Bob <sips:6@h>`, "Authorization: Digest x=y"},
		{"sips:6%30%0d0;x=y:p@h", "SIP / 2.0 / UDP\r\n [::1]:5070;branch=z9hG4bK1", `"evil\" <sip:1000@pbx>;x=\"" <sip:1001@h>;tag=1`, "<sip:600@h>", `v: SIP/2.0/UDP x;branch=z9hG4bK2`},
		{"tel:+33123;phone-context=x", "SIP/2.0/UDP a:5060;BRANCH=z9hG4bKa", "tel:+33123;tag=2", "<sip:@h>", "f: <sip:a@b>;tag=9"},
		{"urn:service:sos", via + ",SIP/2.0/UDP b;branch=z9hG4bKq", "Bob <sip:b@h;p=%00>;TAG=3", "<mailto:x@y>", "x: y"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4])
	}
	parser := sip.NewParser()
	flow := &Flow{Transport: "udp", advertise: "192.0.2.1:5060", Remote: netip.MustParseAddrPort("[fe80::7%lo]:5061")}
	f.Fuzz(func(t *testing.T, uri, via, from, to, extra string) {
		raw := []byte("INVITE " + uri + " SIP/2.0\r\nVia: " + via + "\r\nMax-Forwards: 70\r\nFrom: " + from + "\r\nTo: " + to + "\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:a@b>\r\n" +
			extra + "\r\nContent-Length: 0\r\n\r\n")
		var g Glance
		if !g.of(flow, raw) {
			return
		}
		n, bad := Check(raw, false, Limits{})
		if bad != nil {
			return
		}
		m, err := parser.ParseSIP(Tidy(raw[:n]))
		if err != nil {
			return
		}
		req, ok := m.(*sip.Request)
		if !ok || req.Via() == nil || req.From() == nil || req.To() == nil {
			return
		}
		r := &Request{message: message{Flow: flow}, msg: req}
		if g.key() != serverKey(r) {
			t.Errorf("another transaction: %q", raw)
		}
		if string(g.FromTag) != r.FromTag() || r.ToTag() != "" || string(g.CallID) != r.CallID() {
			t.Errorf("tags %q and %q, Call-ID %q: %q", g.FromTag, r.ToTag(), g.CallID, raw)
		}
		if u := r.From().URI; u.Scheme == "sip" {
			if user, _ := UserHost(g.From); string(user) != u.User {
				t.Errorf("From is of %q, by a glance of %q: %q", u.User, user, raw)
			}
		}
	})
}

// TestShedAllocs: a refusal at a glance allocates nothing.
func TestShedAllocs(t *testing.T) {
	s, sh, c := shedStack(t, &answering{f: func(*Request) {}})
	sh.busy.Store(true)
	sh.what.Store(int32(ShedRefuse))
	m := []byte(benchInvite(c.LocalAddr().String(), "shed"))
	f := s.udp[0].flow(s.udp[0].conns[0], c.LocalAddr().(*net.UDPAddr).AddrPort())
	if a := testing.AllocsPerRun(500, func() { s.handle(f, m) }); a >= 1 {
		t.Errorf("%v allocations", a)
	}
}

// BenchmarkShed is what refusing an INVITE at a glance costs, its sending
// included; BenchmarkShedInFull what it costs after a look at all of it.
func BenchmarkShed(b *testing.B) {
	s, sh, c := shedStack(b, &answering{f: func(*Request) {}})
	sh.busy.Store(true)
	sh.what.Store(int32(ShedRefuse))
	benchHandle(b, s, c)
}

func BenchmarkShedSilent(b *testing.B) {
	s, sh, c := shedStack(b, &answering{f: func(*Request) {}})
	sh.busy.Store(true)
	sh.what.Store(int32(ShedSilent))
	benchHandle(b, s, c)
}

func BenchmarkShedInFull(b *testing.B) {
	s, _, c := shedStack(b, &answering{f: func(r *Request) { r.Refuse(503, []HeaderField{{"Retry-After", "7"}}) }})
	benchHandle(b, s, c)
}

func benchHandle(b *testing.B, s *Stack, c *net.UDPConn) {
	m := []byte(benchInvite(c.LocalAddr().String(), "shed"))
	f := s.udp[0].flow(s.udp[0].conns[0], c.LocalAddr().(*net.UDPAddr).AddrPort())
	b.ReportAllocs()
	for b.Loop() {
		s.handle(f, m)
	}
}

// TestLag: how long datagrams waited in the socket is seen, and what is left
// of a burst is not taken for a queue.
func TestLag(t *testing.T) {
	l := &lag{}
	for i := range lagSamples {
		l.note(time.Duration(50-i) * time.Millisecond)
	}
	if got := l.take(); got != time.Duration(50-lagSamples+1)*time.Millisecond {
		t.Errorf("%s, want the least", got)
	}
	for range lagSamples - 1 {
		l.note(time.Second)
	}
	if got := l.take(); got != 0 {
		t.Errorf("%s of too few samples", got)
	}
	// The kernel's clock: a datagram that lies in the buffer for 30 ms is that old.
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	sock, err := newUDPSocket(c)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.close()
	from, err := net.DialUDP("udp4", nil, c.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	sock.age(time.Now()) // begins
	for i := range 2 {
		fmt.Fprintf(from, "%d", i)
		timer := time.NewTimer(30 * time.Millisecond)
		<-timer.C
		if _, err := sock.receive(); err != nil {
			t.Fatal(err)
		}
		if age, ok := sock.age(time.Now()); i == 1 && (!ok || age < 30*time.Millisecond || age > time.Minute) {
			t.Errorf("a datagram that waited for 30 ms is %s old, known %v", age, ok)
		}
	}
	sock.finish()
}
