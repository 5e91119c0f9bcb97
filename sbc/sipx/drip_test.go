package sipx

import (
	cryptotls "crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// drip writes one octet after the other, slowly, until the connection ends.
func drip(t *testing.T, c net.Conn, text string, ended <-chan struct{}) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ended:
			return
		case <-tick.C:
			if i == len(text) {
				t.Fatal("all of it was taken")
			}
			c.Write([]byte(text[i : i+1]))
		}
	}
}

// phases are what of a message is there when the slow sender begins, and what
// he sends then, slowly.
func phases() map[string][2]string {
	head := tcp(msg("INVITE", "127.0.0.1:9", "dr", "dr", "", 1))
	head = head[:strings.Index(head, "Content-Length")]
	const long = 2000
	return map[string][2]string{
		"first line":          {"", "INVITE sip:" + strings.Repeat("x", long)},
		"header":              {head, "Subject: " + strings.Repeat("x", long)},
		"end of the header":   {head + "Content-Length: 0\r\n", "\r"}, // and nothing more
		"body":                {head + fmt.Sprintf("Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n", 2*long), strings.Repeat("b", long)},
		"after a keep-alive":  {"\r\n\r\n", "INVITE sip:" + strings.Repeat("x", long)},
		"after whole message": {head + "Content-Length: 0\r\n\r\n", "INVITE sip:" + strings.Repeat("x", long)},
	}
}

// TestSlowSenders: whoever sends an octet now and then has the time of one
// message, wherever in it he is, over TCP and TLS, known or not.
func TestSlowSenders(t *testing.T) {
	for name, p := range phases() {
		for _, transport := range []string{"tcp", "tls"} {
			for _, known := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s over %s, known %v", name, transport, known), func(t *testing.T) {
					t.Parallel()
					h := newRecorder()
					h.on = func(*Request) {}
					s, c := streamed(t, transport, Config{MessageTimeout: 200 * time.Millisecond, IdleTimeout: time.Hour}, h)
					waitFor(t, func() bool { return s.Stats.Conns.Load() == 1 })
					s.mu.Lock()
					flows := slices.Collect(maps.Keys(s.conns))
					s.mu.Unlock()
					flows[0].MarkKnown(known)
					fmt.Fprint(c, p[0])
					ended := make(chan struct{})
					go func() { <-h.closed; close(ended) }()
					if len(p[1]) == 1 {
						c.Write([]byte(p[1]))
						select {
						case <-ended:
						case <-time.After(20 * time.Second):
							t.Error("still open")
						}
						return
					}
					drip(t, c, p[1], ended)
				})
			}
		}
	}
}

// TestSlowHandshake: the same before there is any message, in the first record
// and between two of them.
func TestSlowHandshake(t *testing.T) {
	s, addr := tlsStack(t, Config{HandshakeTimeout: 200 * time.Millisecond}, newRecorder())
	gone := func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.guests.accepted == 0 }
	ended := func(text string) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		waitFor(t, func() bool { return !gone() })
		done := make(chan struct{})
		go func() {
			defer close(done)
			waitFor(t, gone)
		}()
		drip(t, c, text, done)
	}
	ended("\x16\x03\x01\x07\xd0\x01\x00\x07\xcc\x03\x03" + strings.Repeat("x", 2000))
	ended(strings.Repeat("\x16\x03\x01\x00\x01\x01", 1000)) // records of one octet each

	// The whole hello, and nothing for what the server answers.
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	go cryptotls.Client(firstWrite{raw, new(bool)}, clientTLS(t)).Handshake()
	waitFor(t, func() bool { return !gone() })
	waitFor(t, gone)
}

// firstWrite loses all that is written after the first time.
type firstWrite struct {
	net.Conn
	done *bool
}

func (f firstWrite) Write(b []byte) (int, error) {
	if *f.done {
		return len(b), nil
	}
	*f.done = true
	return f.Conn.Write(b)
}

// TestHalfClosed: a connection whose other side has closed its half, or broken
// it off, goes at once, in every phase.
func TestHalfClosed(t *testing.T) {
	for name, p := range phases() {
		for _, transport := range []string{"tcp", "tls"} {
			for how, end := range map[string]func(*net.TCPConn){
				"closes its half": func(c *net.TCPConn) { c.CloseWrite() },
				"breaks off":      func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
			} {
				t.Run(name+" over "+transport+" "+how, func(t *testing.T) {
					t.Parallel()
					h := newRecorder()
					h.on = func(*Request) {}
					s, c := streamed(t, transport, Config{MessageTimeout: time.Hour, IdleTimeout: time.Hour}, h)
					waitFor(t, func() bool { return s.Stats.Conns.Load() == 1 })
					c.Write([]byte(p[0] + p[1][:1]))
					if tc, ok := c.(*cryptotls.Conn); ok {
						c = tc.NetConn()
					}
					end(c.(*net.TCPConn))
					select {
					case <-h.closed:
					case <-time.After(20 * time.Second):
						t.Error("still open")
					}
				})
			}
		}
	}
}

// TestHalfClosedHandshakes: a storm of connections that break off at once, or
// in a handshake, leaves nothing behind, and the next one is served.
func TestHalfClosedHandshakes(t *testing.T) {
	h := newRecorder()
	s, addr := tlsStack(t, Config{HandshakeTimeout: time.Hour, MaxConnsPerSource: 10_000}, h)
	for i := range 600 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if i%3 > 0 {
			c.Write([]byte("\x16\x03\x01\x07")[:1+i%4])
		}
		if i%2 == 0 {
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	}
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.guests.accepted == 0 })
	empty(t, s)
	c, err := cryptotls.Dial("tcp", addr, clientTLS(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, tcp(msg("OPTIONS", "127.0.0.1:9", "hh", "hh", "", 1)))
	<-h.requests
}

// TestForeignProtocols: what is no TLS on a port of TLS, a proxy's header, HTTP,
// a hello on a port of TCP ends as soon as it can be told, without an answer
// that tells what listens here.
func TestForeignProtocols(t *testing.T) {
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x07", 600)
	for name, text := range map[string]string{
		"SIP in plaintext": tcp(msg("OPTIONS", "127.0.0.1:9", "fp", "fp", "", 1)),
		"HTTP":             "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"PROXY":            "PROXY TCP4 192.0.2.1 192.0.2.2 5060 5061\r\n",
		"PROXY v2":         "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x13\xc4\x13\xc5",
		"TLS":              hello,
		"noise":            strings.Repeat("\x00\xff\x80", 200),
	} {
		for _, transport := range []string{"tcp", "tls"} {
			if name == "SIP in plaintext" && transport == "tcp" || name == "TLS" && transport == "tls" {
				continue
			}
			t.Run(name+" on "+transport, func(t *testing.T) {
				t.Parallel()
				h := newRecorder()
				h.tell = false // a stranger
				cfg := Config{HandshakeTimeout: time.Hour, MessageTimeout: time.Hour, IdleTimeout: time.Hour}
				var addr string
				var s *Stack
				if transport == "tls" {
					s, addr = tlsStack(t, cfg, h)
				} else {
					s = startStack(t, cfg, h)
					addr = s.Addrs(call.Public, "tcp")[0].String()
				}
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				c.Write([]byte(text))
				c.SetReadDeadline(time.Now().Add(20 * time.Second))
				var got []byte
				for b := make([]byte, 256); err == nil; {
					var n int
					n, err = c.Read(b)
					got = append(got, b[:n]...)
				}
				var late net.Error
				if errors.As(err, &late) && late.Timeout() {
					t.Error("still open")
				}
				if strings.Contains(string(got), "SIP") || len(got) > 16 {
					t.Errorf("answered %q", got)
				}
				waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.guests.accepted == 0 })
				if len(h.requests) > 0 {
					t.Error("taken for a request")
				}
			})
		}
	}
}

// full is a listener of a process that has no file descriptor left, for a time.
type full struct {
	net.Listener
	left   int
	errs   int
	next   chan net.Conn
	closed chan struct{}
}

func (f *full) Accept() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		f.errs++
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	select {
	case c := <-f.next:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

func (f *full) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5061} }
func (f *full) Close() error   { close(f.closed); return nil }

// TestNoFileDescriptors: accepting pauses and does not spin, strangers that
// have been there longest give theirs back, and it goes on afterwards.
func TestNoFileDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{}, newRecorder())
		if err != nil {
			t.Fatal(err)
		}
		ln := &full{left: 40, next: make(chan net.Conn), closed: make(chan struct{})}
		s.streams = []*streamListener{{s: s, l: Listener{Side: call.Public, Transport: "tcp", Bind: netip.MustParseAddrPort("192.0.2.1:5061")}, ln: ln}}
		held, heldEnd := comes("192.0.2.1", false)
		held.keep = func() bool { return true }
		known, knownEnd := comes("198.51.100.1", true)
		old, oldEnd := comes("192.0.2.2", false)
		young, youngEnd := comes("192.0.2.3", false)
		young.came = time.Now().Add(time.Minute)
		for _, g := range []*guest{held, known, old, young} {
			if !s.reserve(g) {
				t.Fatal("refused")
			}
		}
		began := time.Now()
		s.Start()
		ours, theirs := net.Pipe()
		ln.next <- at{ours}
		if d := time.Since(began); d != 40*acceptPause || ln.errs != 40 {
			t.Errorf("%d errors in %s", ln.errs, d)
		}
		if *oldEnd != 1 || *heldEnd+*knownEnd+*youngEnd != 0 {
			t.Errorf("ended: the stranger %d, one that has just come %d, one with a call %d, the known %d times", *oldEnd, *youngEnd, *heldEnd, *knownEnd)
		}
		synctest.Wait()
		if n := s.Stats.Conns.Load(); n != 1 {
			t.Errorf("%d connections afterwards", n)
		}
		theirs.Close()
		for _, g := range []*guest{held, known, old, young} {
			s.left(g)
		}
		s.Close()
	})
}

// at is a connection with addresses.
type at struct{ net.Conn }

func (at) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 1} }
func (at) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5061} }
