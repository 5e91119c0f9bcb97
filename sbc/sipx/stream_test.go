package sipx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

func tcp(m string) string { return strings.ReplaceAll(m, "SIP/2.0/UDP", "SIP/2.0/TCP") }

// TestMessagesDoNotKeepAStranger: a stranger has one IdleTimeout from the
// start, whatever he sends, whole or in pieces; being known within it, or a
// call that was admitted, lifts that.
func TestMessagesDoNotKeepAStranger(t *testing.T) {
	const idle = 150 * time.Millisecond
	for name, cut := range map[string]int{"whole": 0, "the next one begun": 20} {
		t.Run(name, func(t *testing.T) {
			h := newRecorder()
			s := startStack(t, Config{IdleTimeout: idle}, h)
			c, _ := dialTCP(t, s, "127.0.0.1:0")
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			rest := ""
			for i := range 100 {
				select {
				case <-h.closed:
					return
				case r := <-h.requests:
					r.Refuse(401, nil)
				case <-tick.C:
					id := fmt.Sprint("m", i)
					m := tcp(msg("REGISTER", "127.0.0.1:9", id, id, "", 1))
					fmt.Fprint(c, rest+m[:len(m)-cut])
					rest = m[len(m)-cut:]
				}
			}
			t.Fatal("a stranger lives on messages")
		})
	}
	for name, lift := range map[string]func(*Flow){"known": func(f *Flow) { f.MarkKnown(true) }, "held": (*Flow).Hold} {
		t.Run(name, func(t *testing.T) {
			h := newRecorder()
			s := startStack(t, Config{IdleTimeout: idle}, h)
			c, _ := dialTCP(t, s, "127.0.0.1:0")
			var f *Flow
			for i := range 2 { // asked without credentials, then with them
				id := fmt.Sprint("k", i)
				fmt.Fprint(c, tcp(msg("REGISTER", "127.0.0.1:9", id, id, "", 1)))
				f = (<-h.requests).Flow
			}
			lift(f)
			select {
			case <-h.closed:
				t.Fatal("closed all the same")
			case <-time.After(2 * idle):
			}
			if name == "held" {
				f.Release()
				select {
				case <-h.closed:
				case <-time.After(3 * time.Second):
					t.Fatal("lives on after the call")
				}
			}
		})
	}
}

// TestPingsDoNotKeepAStranger: keep-alives are answered and earn a stranger no
// time.
func TestPingsDoNotKeepAStranger(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{IdleTimeout: 150 * time.Millisecond}, h)
	c, _ := dialTCP(t, s, "127.0.0.1:0")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		select {
		case <-h.closed:
			return
		case <-tick.C:
			fmt.Fprint(c, "\r\n\r\n")
		}
	}
	t.Fatal("a stranger lives on keep-alives")
}

// TestPingFlood: many keep-alives in one piece get one answer and harm
// nobody.
func TestPingFlood(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	c, r := dialTCP(t, s, "127.0.0.1:0")
	fmt.Fprint(c, strings.Repeat("\r\n\r\n", 2000)+tcp(msg("OPTIONS", "127.0.0.1:9", "pf", "pf", "", 1)))
	q := <-h.requests
	if !q.Flow.Alive() {
		t.Fatal("the connection was closed")
	}
	q.Refuse(200, nil)
	for pongs := 0; ; pongs++ {
		l, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(l, "SIP/2.0 200") {
			if pongs > 20 {
				t.Errorf("%d answers to keep-alives", pongs)
			}
			return
		}
	}
}

// TestBurst: a moment's worth of messages for one connection does not end it,
// and they arrive in order.
func TestBurst(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	c, r := dialTCP(t, s, "127.0.0.1:0")
	fmt.Fprint(c, tcp(msg("OPTIONS", "127.0.0.1:9", "b1", "b1", "", 1)))
	f := (<-h.requests).Flow
	f.MarkKnown(true)
	const n = 1000
	for i := range n {
		if err := f.send(fmt.Appendf(nil, "%04d%s\n", i, strings.Repeat("x", 800))); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	for i := range n {
		l, err := r.ReadString('\n')
		if err != nil || l[:4] != fmt.Sprintf("%04d", i) {
			t.Fatalf("message %d: %.10q %v", i, l, err)
		}
	}
}

// TestQueueCap: what waits for a peer that does not read is bounded, and
// less so for strangers.
func TestQueueCap(t *testing.T) {
	for _, known := range []bool{false, true} {
		limit := strangerQueue
		if known {
			limit = knownQueue
		}
		a, b := net.Pipe()
		defer b.Close()
		sc := newStreamConn(a)
		queued := 0
		for sc.send(make([]byte, 1000), limit) == nil {
			if queued += 1000; queued > limit {
				t.Fatalf("%d octets wait", queued)
			}
		}
		if !sc.closed.Load() {
			t.Error("the connection stays open")
		}
		if err := sc.send([]byte("x"), limit); !errors.Is(err, ErrFlowClosed) {
			t.Error(err)
		}
		b.Close()
		sc.writeLoop() // ends, and closes the socket
	}
}

// TestWriteErrorClosesTheSocket: a connection that cannot be written to is
// closed, not left to the collector.
func TestWriteErrorClosesTheSocket(t *testing.T) {
	a, b := net.Pipe()
	sc := newStreamConn(failing{a})
	sc.send([]byte("x"), knownQueue)
	sc.writeLoop()
	b.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the other end sees %v", err)
	}
}

type failing struct{ net.Conn }

func (failing) Write([]byte) (int, error) { return 0, errors.New("broken") }

// TestKnownFlowsAreNotStrangers: an office behind one address registers one
// phone after the other.
func TestKnownFlowsAreNotStrangers(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{MaxConnsPerSource: 1}, h)
	for i := range 5 {
		c, _ := dialTCP(t, s, "127.0.0.1:0")
		fmt.Fprint(c, tcp(msg("OPTIONS", "127.0.0.1:9", fmt.Sprint("o", i), fmt.Sprint("o", i), "", 1)))
		select {
		case r := <-h.requests:
			r.Flow.MarkKnown(true)
		case <-time.After(2 * time.Second):
			t.Fatalf("phone %d was refused", i)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.guests.hosts) + s.guests.strangers.Len(); n != 0 {
		t.Errorf("still counted as strangers: %d", n)
	}
}

// TestNoLongerKnown: the deadlines of strangers apply again at once.
func TestNoLongerKnown(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{IdleTimeout: 80 * time.Millisecond}, h)
	c, _ := dialTCP(t, s, "127.0.0.1:0")
	fmt.Fprint(c, tcp(msg("OPTIONS", "127.0.0.1:9", "nk", "nk", "", 1)))
	f := (<-h.requests).Flow
	f.MarkKnown(true)
	select {
	case <-h.closed:
		t.Fatal("closed while known")
	case <-time.After(250 * time.Millisecond):
	}
	f.MarkKnown(false)
	select {
	case <-h.closed:
	case <-time.After(3 * time.Second):
		t.Fatal("a stranger's connection lives on")
	}
}

// TestOutboundIsForgotten: a hop whose address changes leaves nothing behind.
func TestOutboundIsForgotten(t *testing.T) {
	s := startStack(t, Config{}, newRecorder())
	for range 3 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		hop := Hop{Name: "x", Side: call.Public, Transport: "tcp", Addr: netip.MustParseAddrPort(ln.Addr().String())}
		f, err := s.Connect(t.Context(), hop)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		ln.Close()
		waitFor(t, func() bool { return !f.Alive() })
		if _, err := s.Connect(t.Context(), hop); err == nil {
			t.Error("connected to nobody")
		}
	}
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.outbound) == 0 })
}

// TestCloseDoesNotWait: neither for handshakes nor for peers that do not
// read; and nothing begins after it.
func TestCloseDoesNotWait(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{HandshakeTimeout: 20 * time.Second, ServerTLS: testTLS(t),
		Listeners: []Listener{{Side: call.Public, Transport: "tls", Bind: netip.MustParseAddrPort("127.0.0.1:0")}}}, h)
	c, err := net.Dial("tcp", s.Addrs(call.Public, "tls")[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "\x16\x03\x01") // a handshake that goes no further
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	hop := Hop{Name: "x", Side: call.Public, Transport: "tls", Addr: netip.MustParseAddrPort(silent.Addr().String()), TLS: clientTLS(t)}
	dialled := make(chan error, 1)
	go func() { _, err := s.Connect(context.Background(), hop); dialled <- err }()
	if sc, err := silent.Accept(); err == nil {
		defer sc.Close()
	}
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.guests.accepted == 1 })
	start := time.Now()
	s.Close()
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("Close took %s", d)
	}
	if err := <-dialled; err == nil {
		t.Error("connected after Close")
	}
	if _, err := s.Connect(t.Context(), hop); !errors.Is(err, ErrFlowClosed) {
		t.Errorf("Connect after Close: %v", err)
	}
}

// TestReadBuffer: messages of any allowed size, in pieces of any size, and
// no more memory than the largest needs.
func TestReadBuffer(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	c, _ := dialTCP(t, s, "127.0.0.1:0")
	body := strings.Repeat("b", 60000)
	var all bytes.Buffer
	for i := range 4 {
		m := tcp(msg("INVITE", "127.0.0.1:9", fmt.Sprint("rb", i), fmt.Sprint("rb", i), "", 1))
		if i%2 == 0 {
			m = strings.Replace(m, "Content-Length: 0\r\n\r\n", fmt.Sprintf("Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body), 1)
		}
		all.WriteString(m)
	}
	for all.Len() > 0 {
		if _, err := c.Write(all.Next(7001)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		r := <-h.requests
		if r.CallID() != fmt.Sprint("rb", i) || i%2 == 0 && string(r.Body()) != body {
			t.Errorf("message %d: %s, %d octets of body", i, r.CallID(), len(r.Body()))
		}
	}
}

// TestWildcardListener: a datagram costs no socket, and the address shown is
// one of the host's.
func TestWildcardListener(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{Listeners: []Listener{{Side: call.Public, Transport: "udp", Bind: netip.MustParseAddrPort("0.0.0.0:0")}}}, h)
	port := s.Addrs(call.Public, "udp")[0].Port()
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := &peer{t, c.(*net.UDPConn)}
	p.send(msg("OPTIONS", p.host(), "wl", "wl", "", 1))
	f := (<-h.requests).Flow
	if want := fmt.Sprintf("127.0.0.1:%d", port); f.HostPort() != want {
		t.Errorf("shows %s, want %s", f.HostPort(), want)
	}
	u, remote := s.udp[0], f.Remote
	if n := testing.AllocsPerRun(100, func() { u.flow(u.conns[0], remote) }); n > 0 {
		t.Errorf("a datagram of a known source costs %v allocations before it is read", n)
	}
}

// TestAcceptGoesOn: running out of descriptors ends no listener, and neither
// does a handler that fails.
func TestAcceptGoesOn(t *testing.T) {
	h := newRecorder()
	s := startStack(t, Config{}, h)
	asked := 0
	h.admit = func(netip.Addr) bool {
		if asked++; asked == 1 {
			panic("admission")
		}
		return true
	}
	ln := &flaky{closed: make(chan struct{}), conns: make(chan net.Conn, 3)}
	sl := &streamListener{s: s, l: Listener{Side: call.Public, Transport: "tcp"}, ln: ln}
	done := make(chan struct{})
	go func() { sl.accept(); close(done) }()
	var far net.Conn
	for range 2 {
		a, b := net.Pipe()
		ln.conns <- a
		far = b
	}
	go fmt.Fprint(far, tcp(msg("OPTIONS", "127.0.0.1:9", "ag", "ag", "", 1)))
	select {
	case <-h.requests:
	case <-time.After(3 * time.Second):
		t.Error("nothing is accepted any more")
	}
	if n := s.Stats.ConnsRefused.Load(); n != 1 {
		t.Errorf("%d connections refused, want the one whose admission failed", n)
	}
	far.Close()
	close(ln.closed)
	<-done
}

// flaky fails twice before each connection.
type flaky struct {
	closed chan struct{}
	conns  chan net.Conn
	failed int
}

func (l *flaky) Accept() (net.Conn, error) {
	if l.failed < 2 {
		l.failed++
		return nil, syscall.EMFILE
	}
	select {
	case c := <-l.conns:
		l.failed = 1
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *flaky) Close() error   { return nil }
func (l *flaky) Addr() net.Addr { return &net.TCPAddr{} }
