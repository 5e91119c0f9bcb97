package sipx

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// recorder is a Handler that hands everything to the test.
type recorder struct {
	requests chan *Request
	acks     chan *Request
	closed   chan *Flow
	tell     bool
	admit    func(netip.Addr) bool
	known    func(netip.Addr) bool
	wait     func(netip.Addr) (time.Duration, bool)
	on       func(*Request) // instead of requests, in the reading goroutine
}

func newRecorder() *recorder {
	return &recorder{requests: make(chan *Request, 1000), acks: make(chan *Request, 1000), closed: make(chan *Flow, 1000), tell: true}
}

func (h *recorder) AdmitDatagram(side call.Side, a netip.Addr, n int) bool {
	return h.AdmitStream(side, a, n)
}
func (h *recorder) AdmitStream(_ call.Side, a netip.Addr, _ int) bool {
	return h.admit == nil || h.admit(a)
}
func (h *recorder) AdmitConn(_ call.Side, a netip.Addr) bool   { return h.admit == nil || h.admit(a) }
func (h *recorder) KnownSource(_ call.Side, a netip.Addr) bool { return h.known != nil && h.known(a) }
func (h *recorder) AdmitHandshake(_ call.Side, a netip.Addr, _ time.Duration) (time.Duration, bool) {
	if h.wait == nil {
		return 0, true
	}
	return h.wait(a)
}
func (h *recorder) Request(r *Request) {
	if h.on != nil {
		h.on(r)
		return
	}
	h.requests <- r
}
func (h *recorder) Ack(r *Request)                   { h.acks <- r }
func (h *recorder) Malformed(*Flow, *Malformed) bool { return h.tell }
func (h *recorder) Connected(*Flow) bool             { return true }

func (h *recorder) HandshakeFailed(call.Side, netip.AddrPort, error) {}
func (h *recorder) FlowClosed(f *Flow)                               { h.closed <- f }

func startStack(t *testing.T, cfg Config, h Handler) *Stack {
	t.Helper()
	if cfg.Listeners == nil {
		for _, tr := range []string{"udp", "tcp"} {
			cfg.Listeners = append(cfg.Listeners, Listener{Side: call.Public, Transport: tr, Bind: netip.MustParseAddrPort("127.0.0.1:0")})
		}
	}
	if cfg.T1 == 0 {
		cfg.T1, cfg.T2, cfg.T4 = 20*time.Millisecond, 80*time.Millisecond, 100*time.Millisecond
	}
	s, err := New(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// peer is a UDP socket that speaks raw SIP.
type peer struct {
	t *testing.T
	c *net.UDPConn
}

func dialUDP(t *testing.T, s *Stack, from string) *peer {
	t.Helper()
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.UDPAddrFromAddrPort(s.Addrs(call.Public, "udp")[0]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &peer{t, c}
}

func (p *peer) send(m string) {
	p.t.Helper()
	if _, err := p.c.Write([]byte(m)); err != nil {
		p.t.Fatal(err)
	}
}

// read returns the next message within d, or "".
func (p *peer) read(d time.Duration) string {
	b := make([]byte, 65536)
	p.c.SetReadDeadline(time.Now().Add(d))
	n, err := p.c.Read(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

func (p *peer) expect(start string) string {
	p.t.Helper()
	m := p.read(2 * time.Second)
	if !strings.HasPrefix(m, start) {
		p.t.Fatalf("got %q, want %q…", m, start)
	}
	return m
}

func (p *peer) host() string { return p.c.LocalAddr().String() }

func msg(method, host, branch, callID, toTag string, cseq int) string {
	if toTag != "" {
		toTag = ";tag=" + toTag
	}
	return fmt.Sprintf("%s sip:600@example.test SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s;rport\r\nMax-Forwards: 70\r\nFrom: <sip:1001@example.test>;tag=f1\r\n"+
		"To: <sip:600@example.test>%s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:1001@%s>\r\nContent-Length: 0\r\n\r\n", method, host, branch, toTag, callID, cseq, method, host)
}

func headerOf(m, name string) string {
	for l := range strings.SplitSeq(m, "\r\n") {
		if v, ok := strings.CutPrefix(l, name+": "); ok {
			return v
		}
	}
	return ""
}

func TestServerRepeatsRefusalUntilAck(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	p := dialUDP(t, s, "127.0.0.1:0")
	p.send(msg("INVITE", p.host(), "a1", "c1", "", 1))
	tx := (<-h.requests).Begin()
	noAck := make(chan struct{}, 1)
	tx.OnNoAck(func() { noAck <- struct{}{} })
	tx.Respond(486, "", "", nil, nil)
	first := p.expect("SIP/2.0 486")
	if again := p.expect("SIP/2.0 486"); again != first {
		t.Errorf("a retransmission differs:\n%s\n%s", first, again)
	}
	if !strings.Contains(headerOf(first, "Via"), "rport="+p.host()[strings.LastIndex(p.host(), ":")+1:]) {
		t.Errorf("no rport in %q", headerOf(first, "Via"))
	}
	p.send(msg("ACK", p.host(), "a1", "c1", tx.ToTag(), 1))
	waitFor(t, func() bool { return s.Transactions() == 0 }) // T4 later
	select {
	case <-noAck:
		t.Error("NoAck although the ACK came")
	default:
	}
	if len(h.acks) != 0 {
		t.Error("the ACK of a refusal went to the handler")
	}
}

func TestServerRepeats2xxUntilAcknowledged(t *testing.T) {
	for _, acked := range []bool{true, false} {
		h := newRecorder()
		s := startStack(t, Config{}, h)
		p := dialUDP(t, s, "127.0.0.1:0")
		p.send(msg("INVITE", p.host(), "a2", "c2", "", 1))
		tx := (<-h.requests).Begin()
		noAck := make(chan struct{}, 1)
		tx.OnNoAck(func() { noAck <- struct{}{} })
		tx.Respond(200, "", "", nil, []byte("v=0\r\n"))
		p.expect("SIP/2.0 200")
		p.expect("SIP/2.0 200")
		if acked {
			p.send(msg("ACK", p.host(), "other", "c2", tx.ToTag(), 1))
			<-h.acks
			tx.Acknowledged()
			for p.read(200*time.Millisecond) != "" { // one may be on its way
			}
			// The INVITE itself, repeated, is absorbed: no second call.
			p.send(msg("INVITE", p.host(), "a2", "c2", "", 1))
			if m := p.read(150 * time.Millisecond); m != "" {
				t.Errorf("answered after ACK: %q", m)
			}
			if len(h.requests) != 0 {
				t.Error("a retransmitted INVITE went to the handler")
			}
			continue
		}
		select {
		case <-noAck:
		case <-time.After(5 * time.Second):
			t.Error("no word of the missing ACK")
		}
	}
}

func TestRefuseKeepsNothing(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	p := dialUDP(t, s, "127.0.0.1:0")
	var tags []string
	for range 3 {
		p.send(msg("INVITE", p.host(), "a3", "c3", "", 1))
		(<-h.requests).Refuse(403, nil)
		tags = append(tags, headerOf(p.expect("SIP/2.0 403"), "To"))
	}
	if tags[0] != tags[1] || tags[1] != tags[2] {
		t.Errorf("To tags differ between retransmissions: %v", tags)
	}
	if n := s.Transactions(); n != 0 {
		t.Errorf("%d transactions kept", n)
	}
	if m := p.read(100 * time.Millisecond); m != "" {
		t.Errorf("a stateless answer was repeated: %q", m)
	}
}

func TestTransactionCap(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{MaxTransactions: 3}, h)
	p := dialUDP(t, s, "127.0.0.1:0")
	for i := range 5 {
		p.send(msg("OPTIONS", p.host(), fmt.Sprint("cap", i), fmt.Sprint("cc", i), "", 1))
		tx := (<-h.requests).Begin()
		if (tx == nil) != (i >= 3) {
			t.Fatalf("request %d: transaction %v", i, tx != nil)
		}
		if tx == nil {
			p.expect("SIP/2.0 503")
		}
	}
}

func TestCancelOnlyFromItsSource(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	p, q := dialUDP(t, s, "127.0.0.1:0"), dialUDP(t, s, "127.0.0.2:0")
	p.send(msg("INVITE", p.host(), "a4", "c4", "", 1))
	tx := (<-h.requests).Begin()
	cancelled := make(chan struct{}, 2)
	tx.OnCancel(func(*Request) { cancelled <- struct{}{} })
	q.send(msg("CANCEL", p.host(), "a4", "c4", "", 1)) // rport brings the answer back
	q.expect("SIP/2.0 481")
	p.send(msg("CANCEL", p.host(), "a4", "c4", "", 1))
	p.expect("SIP/2.0 200")
	<-cancelled
	p.send(msg("CANCEL", p.host(), "a4", "c4", "", 1))
	p.expect("SIP/2.0 200")
	if len(cancelled) != 0 {
		t.Error("cancelled twice")
	}
}

func invite(host string) *Out {
	return &Out{Method: "INVITE", URI: "sip:600@" + host, Headers: []HeaderField{{"From", "<sip:a@b>;tag=x"}, {"To", "<sip:600@b>"},
		{"Call-ID", "out1"}, {"CSeq", "1 INVITE"}, {"Contact", "<sip:a@b>"}}}
}

func (p *peer) reply(req string, code int, toTag string) {
	p.t.Helper()
	to := headerOf(req, "To")
	if toTag != "" {
		to += ";tag=" + toTag
	}
	p.send(fmt.Sprintf("SIP/2.0 %d X\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\nContact: <sip:p@%s>\r\nContent-Length: 0\r\n\r\n",
		code, headerOf(req, "Via"), headerOf(req, "From"), to, headerOf(req, "Call-ID"), headerOf(req, "CSeq"), p.host()))
}

func clientTo(t *testing.T, s *Stack, p *peer, o *Out) (*ClientTx, chan Outcome) {
	t.Helper()
	f, err := s.Connect(t.Context(), Hop{Side: call.Public, Transport: "udp", Addr: netip.MustParseAddrPort(p.host())})
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan Outcome, 1000)
	tx, err := s.Send(f, o, func(x Outcome) { out <- x })
	if err != nil {
		t.Fatal(err)
	}
	return tx, out
}

func TestClientInvite(t *testing.T) {
	s := startStack(t, Config{}, newRecorder())
	p := dialUDP(t, s, "127.0.0.1:0")
	tx, out := clientTo(t, s, p, invite(p.host()))
	req := p.expect("INVITE")
	if again := p.expect("INVITE"); again != req {
		t.Error("a retransmission differs")
	}
	p.reply(req, 180, "t1")
	if r := <-out; r.Res.Code() != 180 {
		t.Fatal(r)
	}
	for p.read(150*time.Millisecond) != "" { // those on their way
	}
	if m := p.read(200 * time.Millisecond); m != "" {
		t.Fatalf("repeated after a provisional: %q", m)
	}
	p.reply(req, 200, "t1")
	if r := <-out; r.Res.Code() != 200 {
		t.Fatal(r)
	}
	d := Dialog{CallID: "out1", LocalTag: "x", Local: "<sip:a@b>", Remote: "<sip:600@b>", RemoteTag: "t1", Target: "sip:p@" + p.host(), Contact: "sip:a@b"}
	if err := tx.Ack(tx.Flow(), "t1", d.Request("ACK", 1, nil, nil)); err != nil {
		t.Fatal(err)
	}
	ack := p.expect("ACK")
	p.reply(req, 200, "t1") // the ACK was lost
	if m := p.expect("ACK"); m != ack {
		t.Error("the repeated ACK differs")
	}
	p.reply(req, 200, "t2") // another fork
	if r := <-out; r.Res.ToTag() != "t2" {
		t.Fatal(r)
	}
	if len(out) != 0 {
		t.Error("a repeated 2xx was told twice")
	}
}

func TestClientRefused(t *testing.T) {
	s := startStack(t, Config{}, newRecorder())
	p := dialUDP(t, s, "127.0.0.1:0")
	_, out := clientTo(t, s, p, invite(p.host()))
	req := p.expect("INVITE")
	p.reply(req, 486, "t9")
	for range 2 {
		ack := p.expect("ACK")
		if headerOf(ack, "Via") != headerOf(req, "Via") || !strings.HasSuffix(headerOf(ack, "To"), "tag=t9") || headerOf(ack, "CSeq") != "1 ACK" {
			t.Fatalf("wrong ACK %q", ack)
		}
		p.reply(req, 486, "t9")
	}
	if r := <-out; r.Res.Code() != 486 || len(out) != 0 {
		t.Fatal(r, len(out))
	}
}

func TestClientTimesOut(t *testing.T) {
	s := startStack(t, Config{T1: 5 * time.Millisecond, T2: 20 * time.Millisecond, T4: 20 * time.Millisecond}, newRecorder())
	p := dialUDP(t, s, "127.0.0.1:0")
	o := invite(p.host())
	_, out := clientTo(t, s, p, o)
	select {
	case r := <-out:
		if !errors.Is(r.Err, ErrTimeout) {
			t.Fatal(r)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("no timeout")
	}
	waitFor(t, func() bool { return s.Transactions() == 0 })
}

func TestCancelledClientEnds(t *testing.T) {
	s := startStack(t, Config{T1: 5 * time.Millisecond, T2: 20 * time.Millisecond, T4: 20 * time.Millisecond}, newRecorder())
	p := dialUDP(t, s, "127.0.0.1:0")
	tx, out := clientTo(t, s, p, invite(p.host()))
	req := p.expect("INVITE")
	p.reply(req, 180, "t1")
	<-out
	tx.Cancel(nil)
	for {
		m := p.read(time.Second)
		if strings.HasPrefix(m, "CANCEL") {
			if headerOf(m, "Via") != headerOf(req, "Via") || headerOf(m, "CSeq") != "1 CANCEL" {
				t.Fatalf("wrong CANCEL %q", m)
			}
			break
		}
		if m == "" {
			t.Fatal("no CANCEL")
		}
	}
	p.reply(req, 180, "t1") // must not revive it
	for r := range out {
		if r.Err != nil {
			break // nobody answers: the transaction ends all the same
		}
	}
}

// TestProvisionalsStayInOrder: back-to-back responses are told in order.
func TestProvisionalsStayInOrder(t *testing.T) {
	s := startStack(t, Config{}, newRecorder())
	p := dialUDP(t, s, "127.0.0.1:0")
	for i := range 100 {
		o := invite(p.host())
		o.Headers[2].Value = fmt.Sprint("order", i)
		tx, out := clientTo(t, s, p, o)
		var req string
		for !strings.Contains(req, o.Headers[2].Value) || !strings.HasPrefix(req, "INVITE") {
			req = p.read(time.Second)
		}
		for _, c := range []int{100, 180, 183, 200} {
			p.reply(req, c, "t")
		}
		for _, c := range []int{100, 180, 183, 200} {
			if r := <-out; r.Res == nil || r.Res.Code() != c {
				t.Fatalf("call %d: got %v, want %d", i, r, c)
			}
		}
		tx.stop()
	}
}

func TestResponseFromElsewhereIsNobodys(t *testing.T) {
	s := startStack(t, Config{}, newRecorder())
	p, q := dialUDP(t, s, "127.0.0.1:0"), dialUDP(t, s, "127.0.0.3:0")
	_, out := clientTo(t, s, p, invite(p.host()))
	req := p.expect("INVITE")
	q.reply(req, 200, "evil")
	p.reply(req, 180, "t1")
	if r := <-out; r.Res.Code() != 180 {
		t.Fatalf("a forged response was taken: %v", r.Res.Code())
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("condition never came true")
		}
		<-tick.C
	}
}

func dialTCP(t *testing.T, s *Stack, from string) (net.Conn, *bufio.Reader) {
	t.Helper()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
	c, err := d.Dial("tcp", s.Addrs(call.Public, "tcp")[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	return c, bufio.NewReader(c)
}

func TestStream(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	c, r := dialTCP(t, s, "127.0.0.1:0")
	fmt.Fprint(c, "\r\n\r\n")
	if b, err := r.ReadString('\n'); err != nil || b != "\r\n" {
		t.Fatalf("keep-alive: %q %v", b, err)
	}
	// Two messages in three pieces.
	m := msg("OPTIONS", "127.0.0.1:9", "s1", "sc1", "", 1) + msg("OPTIONS", "127.0.0.1:9", "s2", "sc2", "", 1)
	m = strings.ReplaceAll(m, "SIP/2.0/UDP", "SIP/2.0/TCP")
	fmt.Fprint(c, m[:50])
	fmt.Fprint(c, m[50:len(m)-20])
	fmt.Fprint(c, m[len(m)-20:])
	a, b := <-h.requests, <-h.requests
	if a.CallID() != "sc1" || b.CallID() != "sc2" {
		t.Fatalf("order: %s, %s", a.CallID(), b.CallID())
	}
	b.Refuse(200, nil)
	if l, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(l, "SIP/2.0 200") {
		t.Fatal(l, err)
	}
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-h.closed
}

func TestStreamDeadlines(t *testing.T) {
	for name, send := range map[string]string{"silent": "", "half a message": "OPTIONS sip:x SIP/2.0\r\nVia: "} {
		t.Run(name, func(t *testing.T) {
			h := newRecorder()
			s := startStack(t, Config{IdleTimeout: 80 * time.Millisecond, MessageTimeout: 80 * time.Millisecond}, h)
			c, _ := dialTCP(t, s, "127.0.0.1:0")
			fmt.Fprint(c, send)
			select {
			case <-h.closed:
			case <-time.After(3 * time.Second):
				t.Fatal("the connection lives on")
			}
		})
	}
	t.Run("known", func(t *testing.T) {
		h := newRecorder()
		s := startStack(t, Config{IdleTimeout: 80 * time.Millisecond}, h)
		c, _ := dialTCP(t, s, "127.0.0.1:0")
		fmt.Fprint(c, strings.ReplaceAll(msg("OPTIONS", "127.0.0.1:9", "k1", "k1", "", 1), "UDP", "TCP"))
		(<-h.requests).Flow.MarkKnown(true)
		select {
		case <-h.closed:
			t.Fatal("a known flow was closed for being idle")
		case <-time.After(300 * time.Millisecond):
		}
	})
}

func TestConnectionCaps(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{MaxConnsPerSource: 2, MaxConns: 3}, h)
	refused := func() uint64 { return s.Stats.ConnsRefused.Load() }
	for range 3 {
		dialTCP(t, s, "127.0.0.1:0")
	}
	waitFor(t, func() bool { return refused() == 1 && s.Stats.Conns.Load() == 2 })
	dialTCP(t, s, "127.0.0.2:0")
	waitFor(t, func() bool { return s.Stats.Conns.Load() == 3 })
	dialTCP(t, s, "127.0.0.3:0")
	waitFor(t, func() bool { return refused() == 2 })
}

// TestSlowReader: a peer that does not read loses its connection and holds
// up nobody.
func TestSlowReader(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	c, _ := dialTCP(t, s, "127.0.0.1:0")
	c.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprint(c, strings.ReplaceAll(msg("OPTIONS", "127.0.0.1:9", "k1", "k1", "", 1), "UDP", "TCP"))
	f := (<-h.requests).Flow
	big := make([]byte, 1<<20)
	deadline := time.Now().Add(3 * time.Second)
	for f.send(big) == nil {
		if time.Now().After(deadline) {
			t.Fatal("an unread queue grows without an end")
		}
	}
	if f.Alive() {
		t.Error("the flow is still alive")
	}
}

// TestOutboundIsNeverInbound: a request for a hop goes to a connection that we
// opened, not to one that somebody else opened from that address.
func TestOutboundIsNeverInbound(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialTCP(t, s, "127.0.0.1:0")
	var mu sync.Mutex
	accepted := 0
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			mu.Lock()
			accepted++
			mu.Unlock()
		}
	}()
	hop := Hop{Name: "x", Side: call.Public, Transport: "tcp", Addr: netip.MustParseAddrPort(ln.Addr().String())}
	f1, err := s.Connect(t.Context(), hop)
	if err != nil || !f1.Outbound {
		t.Fatal(f1, err)
	}
	f2, _ := s.Connect(t.Context(), hop)
	hop.Name = "y"
	f3, _ := s.Connect(t.Context(), hop)
	if f1 != f2 || f1 == f3 {
		t.Error("connections are shared by hop name, and only so")
	}
	waitFor(t, func() bool { mu.Lock(); defer mu.Unlock(); return accepted == 2 })
}

func TestPortInUse(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = New(Config{Listeners: []Listener{{Side: call.Public, Transport: "udp", Bind: netip.MustParseAddrPort(c.LocalAddr().String())}}}, newRecorder())
	if err == nil || !strings.Contains(err.Error(), "another program uses this port") {
		t.Fatal(err)
	}
}
