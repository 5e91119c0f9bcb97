package peers

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// TLSRelay gives TLS to a peer that has none: it passes octets between a TCP
// side and a TLS side and keeps a copy of the plain text.
type TLSRelay struct {
	Addr netip.AddrPort // where it listens

	tb  testing.TB
	mu  sync.Mutex
	out []byte // what the listening side's clients sent
	in  []byte // what they received
	err []error
	all map[net.Conn]struct{}
	end bool
}

// TLSClient listens on TCP and connects to a TLS server for each connection
// that comes in: a script behind it is a carrier with a certificate that calls
// the gateway.
func TLSClient(tb testing.TB, listen netip.AddrPort, to netip.AddrPort, conf *tls.Config) *TLSRelay {
	tb.Helper()
	l, err := net.Listen("tcp", listen.String())
	if err != nil {
		tb.Fatalf("peers: relay: %v", err)
	}
	from := net.TCPAddrFromAddrPort(netip.AddrPortFrom(listen.Addr(), 0))
	return relay(tb, l, func() (net.Conn, error) {
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second, LocalAddr: from}, Config: conf}
		return d.Dial("tcp", to.String())
	})
}

// TLSServer listens on TLS and connects to a TCP server: a script behind it is
// a carrier with a certificate that the gateway calls.
func TLSServer(tb testing.TB, listen netip.AddrPort, to netip.AddrPort, conf *tls.Config) *TLSRelay {
	tb.Helper()
	l, err := tls.Listen("tcp", listen.String(), conf)
	if err != nil {
		tb.Fatalf("peers: relay: %v", err)
	}
	return relay(tb, l, func() (net.Conn, error) { return net.DialTimeout("tcp", to.String(), 5*time.Second) })
}

// PassThrough passes the octets of TCP connections on as they are. It gives a
// telephone, whose connections all come from 127.0.0.1, the address of the
// relay, and it can cut them.
func PassThrough(tb testing.TB, listen, to netip.AddrPort) *TLSRelay {
	tb.Helper()
	l, err := net.Listen("tcp", listen.String())
	if err != nil {
		tb.Fatalf("peers: relay: %v", err)
	}
	from := net.TCPAddrFromAddrPort(netip.AddrPortFrom(listen.Addr(), 0))
	return relay(tb, l, func() (net.Conn, error) {
		d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: from}
		return d.Dial("tcp", to.String())
	})
}

func relay(tb testing.TB, l net.Listener, dial func() (net.Conn, error)) *TLSRelay {
	r := &TLSRelay{tb: tb, all: map[net.Conn]struct{}{}, Addr: l.Addr().(*net.TCPAddr).AddrPort()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { r.serve(c, dial) })
		}
	})
	tb.Cleanup(func() {
		l.Close()
		r.CloseAll()
		wg.Wait()
	})
	return r
}

func (r *TLSRelay) serve(c net.Conn, dial func() (net.Conn, error)) {
	defer c.Close()
	if t, ok := c.(*tls.Conn); ok {
		_ = t.SetDeadline(time.Now().Add(5 * time.Second))
		if err := t.Handshake(); err != nil {
			r.fail(err)
			return
		}
		_ = t.SetDeadline(time.Time{})
	}
	d, err := dial()
	if err != nil {
		r.fail(err)
		return
	}
	defer d.Close()
	r.mu.Lock()
	if r.end {
		r.mu.Unlock()
		return
	}
	r.all[c], r.all[d] = struct{}{}, struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.all, c)
		delete(r.all, d)
		r.mu.Unlock()
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.copy(d, c, &r.out)
		d.Close() // either end closes both: nobody half-closes a SIP connection
		c.Close()
	}()
	r.copy(c, d, &r.in)
	d.Close()
	c.Close()
	<-done
}

func (r *TLSRelay) copy(to io.Writer, from io.Reader, tap *[]byte) {
	b := make([]byte, 1<<16)
	for {
		n, err := from.Read(b)
		if n > 0 {
			r.mu.Lock()
			*tap = append(*tap, b[:n]...)
			r.mu.Unlock()
			if _, werr := to.Write(b[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			// A TLS 1.3 server tells a refused client certificate with the
			// first read, not in the handshake.
			if err != io.EOF && !errors.Is(err, net.ErrClosed) {
				r.fail(err)
			}
			return
		}
	}
}

func (r *TLSRelay) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.end && len(r.err) < 1000 {
		r.err = append(r.err, err)
	}
}

// Cut closes the connections that are up; new ones may come.
func (r *TLSRelay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.all {
		c.Close()
	}
}

// CloseAll cuts every connection and takes no new ones.
func (r *TLSRelay) CloseAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = true
	for c := range r.all {
		c.Close()
	}
}

// Errors are the failures so far: handshakes refused, connections broken.
func (r *TLSRelay) Errors() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]error(nil), r.err...)
}

// Text is the plain text so far: what the listening side's clients sent, and
// what they received.
func (r *TLSRelay) Text() (sent, received string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.out), string(r.in)
}
