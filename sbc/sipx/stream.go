package sipx

import (
	"context"
	cryptotls "crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// streamListener accepts TCP or TLS connections.
type streamListener struct {
	s  *Stack
	l  Listener
	ln net.Listener
}

func (s *Stack) listenStream(l Listener) error {
	if l.Transport == "tls" && s.cfg.ServerTLS == nil {
		return fmt.Errorf("listen %s tls %s: no certificate", l.Side, l.Bind)
	}
	ln, err := net.Listen(ipNetwork("tcp", l.Bind), l.Bind.String())
	if err != nil {
		return fmt.Errorf("listen %s %s %s: %w", l.Side, l.Transport, l.Bind, portHint(err))
	}
	l.Bind = foldAddrPort(ln.Addr())
	s.streams = append(s.streams, &streamListener{s: s, l: l, ln: ln})
	return nil
}

const acceptPause = 50 * time.Millisecond

// accept is the loop of one listener. Errors such as "too many open files"
// make it pause, never end.
func (sl *streamListener) accept() {
	s := sl.s
	for {
		c, err := sl.ln.Accept()
		if err != nil {
			if s.closing.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
				s.spare(time.Now())
			}
			s.log.Warn("accept failed", "listener", sl.l.Bind.String(), "error", err)
			time.Sleep(acceptPause)
			continue
		}
		s.safely("accept", func() { sl.admit(c) })
	}
}

func (sl *streamListener) admit(c net.Conn) {
	s := sl.s
	remote := foldAddrPort(c.RemoteAddr())
	served := false
	defer func() {
		if !served { // refused, or the handler failed
			s.Stats.ConnsRefused.Add(1)
			c.Close()
		}
	}()
	g := &guest{host: hostOf(remote.Addr()), known: s.handler.KnownSource(sl.l.Side, remote.Addr()), end: func() { c.Close() }, came: time.Now()}
	if !s.handler.AdmitConn(sl.l.Side, remote.Addr()) || !s.reserve(g) {
		return
	}
	served = true
	s.wg.Go(func() { s.safely("connection", func() { sl.serve(c, remote, g) }) })
}

func (sl *streamListener) serve(c net.Conn, remote netip.AddrPort, g *guest) {
	s := sl.s
	defer s.left(g)
	s.markConn(c)
	f := &Flow{ID: s.nextID.Add(1), Side: sl.l.Side, Transport: sl.l.Transport, Remote: remote,
		Local: foldAddrPort(c.LocalAddr())}
	f.advertise = advertise(sl.l, f.Local, remote.Addr())
	f.meter = &meter{}
	if sl.l.Transport == "tls" {
		w := &wireConn{Conn: c, most: mostHandshake}
		tc, err := sl.handshake(w, remote, g)
		if tc == nil {
			c.Close()
			s.Stats.ConnsRefused.Add(1)
			return
		}
		if err != nil {
			c.Close()
			s.handler.HandshakeFailed(sl.l.Side, remote, err)
			return
		}
		st := tc.ConnectionState()
		f.TLS, f.meter = &st, w.handshaken()
		c = tc
	}
	f.stream = newStreamConn(c)
	f.onKnown, f.idle = func() { s.settle(g) }, s.cfg.IdleTimeout
	if !s.becomes(g, f) || !s.handler.Connected(f) {
		s.Stats.ConnsRefused.Add(1)
		f.stream.close()
		c.Close()
		return
	}
	s.serveFlow(f, c)
}

// handshake waits for its turn and does it. No connection: it has no turn.
func (sl *streamListener) handshake(c net.Conn, remote netip.AddrPort, g *guest) (*cryptotls.Conn, error) {
	s := sl.s
	if !s.shake(g) {
		return nil, nil
	}
	defer s.shaken(g)
	wait, ok := s.handler.AdmitHandshake(sl.l.Side, remote.Addr(), s.cfg.HandshakeTimeout/2)
	if !ok || !s.turn(wait) {
		return nil, nil
	}
	tc := cryptotls.Server(c, s.cfg.ServerTLS)
	ctx, cancel := context.WithTimeout(s.life, s.cfg.HandshakeTimeout)
	defer cancel()
	return tc, tc.HandshakeContext(ctx)
}

// serveFlow reads a stream until it ends.
func (s *Stack) serveFlow(f *Flow, c net.Conn) {
	s.mu.Lock()
	if s.closing.Load() {
		s.mu.Unlock()
		f.stream.close()
		c.Close()
		return
	}
	s.conns[f] = struct{}{}
	s.mu.Unlock()
	s.Stats.Conns.Add(1)
	s.wg.Go(f.stream.writeLoop)
	defer func() {
		f.stream.close()
		s.mu.Lock()
		delete(s.conns, f)
		s.mu.Unlock()
		f.ended()
		s.handler.FlowClosed(f)
	}()

	buf := make([]byte, 0, readBuffer)
	accepted := time.Now()
	f.since.Store(&accepted)
	var partial time.Time // when the first byte of the unfinished message came
	for {
		var deadline time.Time
		if len(buf) > 0 {
			deadline = partial.Add(s.cfg.MessageTimeout)
		}
		if !f.lasting() {
			// One IdleTimeout in all: no message that a stranger sends earns
			// him more, or a slow one would stay for ever.
			if t := f.since.Load().Add(s.cfg.IdleTimeout); deadline.IsZero() || t.Before(deadline) {
				deadline = t
			}
		}
		c.SetReadDeadline(deadline)
		if f.stream.closed.Load() {
			return
		}
		if len(buf) == cap(buf) {
			// Frame refuses what is too large before this is out of hand.
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, err := c.Read(buf[len(buf):cap(buf)])
		now := time.Now()
		if n > 0 {
			if len(buf) == 0 {
				partial = now
			}
			buf = buf[:len(buf)+n]
			f.meter.read(n)
			rest, messages, ok := s.messages(f, buf)
			if !ok || !s.paid(f, f.meter.due()) {
				return
			}
			if messages > 0 && f.Side == call.Inside {
				t := now
				f.since.Store(&t) // a PBX lives by what it sends
			}
			if len(rest) < len(buf) {
				partial = now
			}
			switch full := n > cap(buf)/2; {
			case len(rest) > 0:
				buf = buf[:copy(buf, rest)]
			case full && cap(buf) < 16*readBuffer:
				buf = make([]byte, 0, 4*cap(buf)) // a busy trunk
			case !full && cap(buf) > readBuffer:
				buf = make([]byte, 0, readBuffer)
			default:
				buf = buf[:0]
			}
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && f.lasting() && !f.stream.closed.Load() &&
				(len(buf) == 0 || now.Before(partial.Add(s.cfg.MessageTimeout))) {
				continue // became known while we waited with a stranger's deadline
			}
			return
		}
	}
}

// readBuffer is what an idle connection holds.
const readBuffer = 4096

// messages handles every whole message at the head of buf and returns the
// rest and their number; false ends the connection.
func (s *Stack) messages(f *Flow, buf []byte) (rest []byte, n int, ok bool) {
	pinged := false
	for len(buf) > 0 {
		size, kind, bad := Frame(buf, s.cfg.Limits)
		switch {
		case bad != nil:
			// Where one message ends cannot be known any more.
			s.malformed(f, buf, bad)
			return nil, n, false
		case size == 0:
			return buf, n, true
		case kind == FramePing:
			// RFC 5626 §4.4.1: a double CRLF is answered by a single one;
			// many that come at once are one question.
			if !pinged {
				pinged = true
				s.send(f, []byte("\r\n"))
			}
		case kind == FrameMessage:
			n++
			if !s.paid(f, max(1, f.meter.message(size))) {
				return nil, n, false
			}
			s.handle(f, buf[:size])
		}
		buf = buf[size:]
	}
	return nil, n, true
}

// paid reports whether a flow may go on after so many octets. Only strangers
// are asked.
func (s *Stack) paid(f *Flow, octets int) bool {
	if f.Known() {
		f.meter.owed = 0
		return true
	}
	if octets == 0 || s.handler.AdmitStream(f.Side, f.Remote.Addr(), octets) {
		return true
	}
	s.Stats.Dropped.Add(1)
	return false
}

// Hop is where a request goes when there is no flow yet.
type Hop struct {
	Name      string // of the PBX or peer; connections are shared per name
	Side      call.Side
	Transport string
	Addr      netip.AddrPort
	TLS       *cryptotls.Config // for "tls": verifies the server's name
}

// dialing is one pooled outbound connection, or the attempt to open it.
type dialing struct {
	done chan struct{}
	flow *Flow
	err  error
}

// Connect returns a flow to the hop. UDP is immediate; streams are dialled
// (so call it from a child of the call, never from its owner) and shared:
// only connections that we opened ourselves, never accepted ones.
func (s *Stack) Connect(ctx context.Context, h Hop) (*Flow, error) {
	if h.Transport == "udp" {
		return s.udpFlow(h.Side, h.Addr)
	}
	key := fmt.Sprintf("%d %s %s %s", h.Side, h.Transport, h.Addr, h.Name)
	s.mu.Lock()
	if s.closing.Load() {
		s.mu.Unlock()
		return nil, fmt.Errorf("connect %s %s: %w", h.Transport, h.Addr, ErrFlowClosed)
	}
	d := s.outbound[key]
	if d != nil {
		select {
		case <-d.done:
			if d.err != nil || !d.flow.Alive() {
				d = nil
			}
		default:
		}
	}
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		s.outbound[key] = d
		s.wg.Go(func() { s.dial(h, d, key) })
	}
	s.mu.Unlock()
	select {
	case <-d.done:
		return d.flow, d.err
	case <-ctx.Done():
		return nil, fmt.Errorf("connect %s %s: %w", h.Transport, h.Addr, ctx.Err())
	}
}

// forget takes a connection, or the attempt, out of the pool.
func (s *Stack) forget(key string, d *dialing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outbound[key] == d {
		delete(s.outbound, key)
	}
}

func (s *Stack) dial(h Hop, d *dialing, key string) {
	defer close(d.done)
	defer func() {
		if d.err != nil {
			s.forget(key, d)
		}
	}()
	d.err = ErrFlowClosed // should the rest panic
	defer s.recovered("dial")
	ctx, cancel := context.WithTimeout(s.life, s.cfg.HandshakeTimeout)
	defer cancel()
	dialer := net.Dialer{KeepAlive: 15 * time.Second, Control: func(_, _ string, rc syscall.RawConn) error {
		if err := mark(rc, h.Addr.Addr().Is6(), s.cfg.DSCP); err != nil { // its SYN, too
			s.log.Debug("connection not marked", "error", err)
		}
		return nil
	}}
	c, err := dialer.DialContext(ctx, "tcp", h.Addr.String())
	if err != nil {
		d.err = fmt.Errorf("connect %s %s: %w", h.Transport, h.Addr, err)
		return
	}
	f := &Flow{ID: s.nextID.Add(1), Side: h.Side, Transport: h.Transport, Outbound: true, Hop: h.Name,
		Local: foldAddrPort(c.LocalAddr()), Remote: foldAddrPort(c.RemoteAddr())}
	f.advertise = s.streamAdvertise(h, f)
	if h.Transport == "tls" {
		tc := cryptotls.Client(c, h.TLS)
		if err := tc.HandshakeContext(ctx); err != nil {
			c.Close()
			d.err = fmt.Errorf("connect tls %s: %w", h.Addr, err)
			return
		}
		st := tc.ConnectionState()
		f.TLS = &st
		c = tc
	}
	f.known.Store(true)
	f.stream, f.meter = newStreamConn(c), &meter{}
	f.idle = s.cfg.IdleTimeout
	d.flow, d.err = f, nil
	s.wg.Go(func() {
		defer s.forget(key, d)
		s.safely("connection", func() { s.serveFlow(f, c) })
	})
}

// streamAdvertise shows our listener of the same transport, so that the other
// side can open a connection to us; without one, the connection itself.
func (s *Stack) streamAdvertise(h Hop, f *Flow) string {
	for _, l := range s.streams {
		if l.l.Side == h.Side && l.l.Transport == h.Transport && l.l.Bind.Addr().Is4() == h.Addr.Addr().Is4() {
			return advertise(l.l, netip.AddrPortFrom(l.l.Bind.Addr(), l.l.Bind.Port()), h.Addr.Addr())
		}
	}
	return hostPort(f.Local.Addr(), f.Local.Port())
}
