package sipx

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	cryptotls "crypto/tls"

	"github.com/rampart-sbc/rampart/call"
)

// Flow is one path messages travel: a stream connection, or a UDP socket and
// one remote address (RFC 5626 §3.1). Responses and, for registered phones,
// requests go back over the flow they came on. Its exported fields never
// change.
type Flow struct {
	ID        uint64 // unique in this process; UDP flows of one remote share an ID by value of Remote only
	Side      call.Side
	Transport string // "udp", "tcp", "tls"
	Local     netip.AddrPort
	Remote    netip.AddrPort // v4-mapped addresses folded
	Outbound  bool           // we opened it
	Hop       string         // name of the configured hop, when we opened it
	TLS       *cryptotls.ConnectionState

	advertise string       // host:port for Via and Contact; of UDP see HostPort
	listener  *udpListener // of UDP
	udp       *udpSocket
	stream    *streamConn
	meter     *meter // of stream
	known     atomic.Bool
	onKnown   func()        // once: it no longer counts as a stranger's
	idle      time.Duration // a stranger's connection lives so long from since on
	since     atomic.Pointer[time.Time]
	held      atomic.Int32 // calls of a stranger that were admitted
	begun     atomic.Int32 // see Begins

	mu      sync.Mutex
	waiting map[*ClientTx]struct{} // of a stream: our requests without a final response
}

// ErrFlowClosed is returned by sends on a connection that is gone.
var ErrFlowClosed = errors.New("connection closed")

// ErrFlowStuck is returned when a peer does not read and its queue is full;
// the connection is closed.
var ErrFlowStuck = errors.New("send queue full: the other side does not read")

// begins is how many requests a new connection takes to make itself known: one
// that is challenged, and the answer.
const begins = 2

// Begins counts the requests of an accepted connection, and reports whether it
// is one of the first: the handshake before them has cost more than they do.
func (f *Flow) Begins() bool {
	return f.Reliable() && !f.Outbound && f.begun.Load() < begins && f.begun.Add(1) <= begins
}

// Reliable reports whether the transport delivers (RFC 3261 §17).
func (f *Flow) Reliable() bool { return f.Transport != "udp" }

// Secure reports whether the hop is encrypted.
func (f *Flow) Secure() bool { return f.Transport == "tls" || f.Transport == "wss" }

// Alive reports whether messages can still be sent.
func (f *Flow) Alive() bool { return f.stream == nil || !f.stream.closed.Load() }

// MarkKnown lifts the deadlines and caps that strangers have, or brings the
// deadline back. A reader that waits under a stranger's deadline looks again
// when it has passed.
func (f *Flow) MarkKnown(known bool) {
	if f.stream == nil {
		return // of UDP, where anybody can write the source
	}
	was := f.known.Swap(known)
	switch {
	case known == was:
	case !known:
		f.strangerAgain()
	case f.onKnown != nil:
		f.onKnown()
	}
}

// Known reports what MarkKnown said.
func (f *Flow) Known() bool { return f.known.Load() }

// Hold keeps a stranger's connection while a call that was admitted needs it;
// every Hold has its Release. It makes nobody known.
func (f *Flow) Hold() { f.held.Add(1) }

// Release takes one Hold back: a stranger's time begins anew with the last.
func (f *Flow) Release() {
	if f.held.Add(-1) == 0 && f.stream != nil && !f.Known() {
		f.strangerAgain()
	}
}

// strangerAgain begins the time that a stranger's connection lives.
func (f *Flow) strangerAgain() {
	now := time.Now()
	f.since.Store(&now)
	f.stream.conn.SetReadDeadline(now.Add(f.idle))
}

// lasting: the connection may be idle for as long as it likes.
func (f *Flow) lasting() bool { return f.Outbound || f.Known() || f.held.Load() > 0 }

// Close ends a stream connection; it does nothing to UDP.
func (f *Flow) Close() {
	if f.stream != nil {
		f.stream.close()
	}
}

// wait notes a request of ours on a stream, forget strikes it off.
func (f *Flow) wait(tx *ClientTx) {
	if f.stream == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting == nil {
		f.waiting = map[*ClientTx]struct{}{}
	}
	f.waiting[tx] = struct{}{}
}

func (f *Flow) forget(tx *ClientTx) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiting, tx)
}

// ended tells the requests that wait on a stream that it has gone.
func (f *Flow) ended() {
	f.mu.Lock()
	txs := slices.Collect(maps.Keys(f.waiting))
	f.mu.Unlock()
	for _, tx := range txs {
		tx.flowEnded()
	}
}

// HostPort is our address on this flow as the other side should see it.
func (f *Flow) HostPort() string {
	if f.listener != nil {
		return f.listener.hostPort(f.Remote.Addr())
	}
	return f.advertise
}

// send queues or writes one message. It never blocks on the other side.
func (f *Flow) send(b []byte) error {
	if f.udp != nil {
		return f.udp.send(b, f.Remote)
	}
	limit := strangerQueue
	switch {
	case f.Outbound:
		limit = outboundQueue
	case f.Known():
		limit = knownQueue
	}
	return f.stream.send(b, limit)
}

// via is the Via value of a request sent on this flow (RFC 3261 §18.1.1,
// RFC 3581 §3).
func (f *Flow) via(branch string) string {
	return "SIP/2.0/" + strings.ToUpper(f.Transport) + " " + f.HostPort() + ";branch=" + branch + ";rport"
}

// ContactURI is our own contact with the given user on this flow.
func (f *Flow) ContactURI(user string) string {
	u := "sip:"
	if user != "" {
		u += user + "@"
	}
	u += f.HostPort()
	if f.Transport != "udp" {
		u += ";transport=" + f.Transport
	}
	return u
}

const (
	strangerQueue = 64 << 10 // octets that wait for a peer that does not read
	knownQueue    = 1 << 20
	outboundQueue = 8 << 20 // shared by all calls to a PBX or carrier
	writeTimeout  = 5 * time.Second
)

// streamConn is a TCP or TLS connection with its writer. Reads happen in the
// accepting goroutine; writes in one of our own, so that a peer that does not
// read blocks nobody. What waits is written in one piece.
type streamConn struct {
	conn   net.Conn
	wake   chan struct{}
	done   chan struct{}
	closed atomic.Bool
	once   sync.Once

	mu  sync.Mutex
	out []byte // waits to be written
}

func newStreamConn(c net.Conn) *streamConn {
	return &streamConn{conn: c, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// send queues one message, up to limit octets in all.
func (s *streamConn) send(b []byte, limit int) error {
	if s.closed.Load() {
		return ErrFlowClosed
	}
	s.mu.Lock()
	if len(s.out) > 0 && len(s.out)+len(b) > limit {
		s.mu.Unlock()
		s.close()
		return ErrFlowStuck
	}
	s.out = append(s.out, b...)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// take exchanges what waits for an empty buffer.
func (s *streamConn) take(empty []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.out
	s.out = empty[:0]
	return b
}

// writeLoop ends when the connection is closed or cannot be written to, and
// closes the socket: nobody else does.
func (s *streamConn) writeLoop() {
	defer s.conn.Close()
	var b []byte
	for {
		select {
		case <-s.wake:
		case <-s.done:
		}
		// What was queued before the close still goes out: a refusal is
		// queued and the connection closed right after it.
		timeout, last := writeTimeout, s.closed.Load()
		if last {
			timeout = time.Second
		}
		if b = s.take(b); len(b) > 0 {
			s.conn.SetWriteDeadline(time.Now().Add(timeout))
			if _, err := s.conn.Write(b); err != nil {
				s.close()
				return
			}
		}
		if last {
			return
		}
		if cap(b) > 16<<10 {
			b = nil // a burst is over; idle connections hold nothing
		}
	}
}

func (s *streamConn) close() {
	s.once.Do(func() {
		s.closed.Store(true)
		close(s.done)
		// Wakes the reader; the writer flushes and closes.
		s.conn.SetReadDeadline(time.Now())
	})
}
