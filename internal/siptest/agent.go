package siptest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	t1        = 500 * time.Millisecond
	maxRemote = 4096 // remembered answers of an agent
	maxBusy   = 512  // requests being handled at a time
)

// Agent is a SIP endpoint: sockets, transactions and the calls on them.
type Agent struct {
	Name string
	Log  func(format string, args ...any) // may be nil
	// Trace sees every message sent and received; may be nil.
	Trace func(sent bool, remote netip.AddrPort, b []byte)

	local netip.Addr // where its connections come from; zero: the system chooses

	// handle gets every new request that belongs to no call. It runs in a
	// goroutine of its own.
	handle func(*Message, *Path)
	// forward gets responses that belong to no transaction of ours.
	forward func(*Message)

	mu       sync.Mutex
	udp      []*net.UDPConn
	lns      []net.Listener
	conns    map[netip.AddrPort]*stream
	waiting  map[string]chan *Message // by branch and method
	answered map[string][]byte        // by branch and method; nil while at work
	acks     map[string][]byte        // by branch of the INVITE
	order    []string                 // of answered and acks, oldest first
	calls    map[string]*Call         // by Call-ID and local tag
	ringing  map[string]*Incoming     // by branch of the INVITE
	closed   bool
	busy     chan struct{}
	ready    chan struct{} // closed when handle may be called
	wg       sync.WaitGroup
}

func newAgent(name string) *Agent {
	return &Agent{Name: name, conns: map[netip.AddrPort]*stream{}, waiting: map[string]chan *Message{},
		answered: map[string][]byte{}, acks: map[string][]byte{}, calls: map[string]*Call{}, ringing: map[string]*Incoming{},
		busy: make(chan struct{}, maxBusy), ready: make(chan struct{})}
}

func (a *Agent) logf(format string, args ...any) {
	if a.Log != nil {
		a.Log(a.Name+": "+format, args...)
	}
}

// stream is one TCP or TLS connection.
type stream struct {
	net.Conn
	transport string
	mu        sync.Mutex
	pong      chan struct{}
	gone      chan struct{} // closed when nothing more is read
}

// Path is the way to a peer: a UDP socket and an address, or a connection.
type Path struct {
	agent  *Agent
	udp    *net.UDPConn
	conn   *stream
	Remote netip.AddrPort
}

func (p *Path) transport() string {
	if p.conn != nil {
		return p.conn.transport
	}
	return "udp"
}

// Local is our end.
func (p *Path) Local() netip.AddrPort {
	if p.conn != nil {
		return addrPort(p.conn.LocalAddr())
	}
	return addrPort(p.udp.LocalAddr())
}

// Send puts octets on the wire as they are.
func (p *Path) Send(b []byte) error {
	if p.agent.Trace != nil {
		p.agent.Trace(true, p.Remote, b)
	}
	if p.conn != nil {
		p.conn.mu.Lock()
		defer p.conn.mu.Unlock()
		p.conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, err := p.conn.Write(b)
		return err
	}
	_, err := p.udp.WriteToUDPAddrPort(b, p.Remote)
	return err
}

func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// listen opens a socket for requests: transport udp, tcp or tls.
func (a *Agent) listen(transport string, bind netip.AddrPort, conf *tls.Config) (netip.AddrPort, error) {
	if transport == "udp" {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(bind))
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("%s: listen: %w", a.Name, err)
		}
		a.mu.Lock()
		a.udp = append(a.udp, c)
		a.mu.Unlock()
		a.wg.Go(func() { a.readUDP(c) })
		return addrPort(c.LocalAddr()), nil
	}
	ln, err := net.Listen("tcp", bind.String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%s: listen: %w", a.Name, err)
	}
	local := addrPort(ln.Addr())
	if transport == "tls" {
		ln = tls.NewListener(ln, conf)
	}
	a.mu.Lock()
	a.lns = append(a.lns, ln)
	a.mu.Unlock()
	a.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			a.wg.Go(func() {
				a.serve(&stream{Conn: c, transport: transport, pong: make(chan struct{}, 1), gone: make(chan struct{})})
			})
		}
	})
	return local, nil
}

// connect opens a path to a peer.
func (a *Agent) connect(ctx context.Context, transport string, remote netip.AddrPort, conf *tls.Config) (*Path, error) {
	if transport == "udp" {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, c := range a.udp {
			if addrPort(c.LocalAddr()).Addr().Is4() == remote.Addr().Is4() {
				return &Path{agent: a, udp: c, Remote: remote}, nil
			}
		}
		return nil, fmt.Errorf("%s: no UDP socket for %s", a.Name, remote)
	}
	a.mu.Lock()
	s := a.conns[remote]
	a.mu.Unlock()
	if s != nil && s.transport == transport {
		return &Path{agent: a, conn: s, Remote: remote}, nil
	}
	var dialer net.Dialer
	if a.local.IsValid() && a.local.Is4() == remote.Addr().Is4() {
		dialer.LocalAddr = &net.TCPAddr{IP: a.local.AsSlice()}
	}
	c, err := dialer.DialContext(ctx, "tcp", remote.String())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.Name, err)
	}
	if transport == "tls" {
		t := tls.Client(c, conf)
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, fmt.Errorf("%s: TLS with %s: %w", a.Name, remote, err)
		}
		c = t
	}
	s = &stream{Conn: c, transport: transport, pong: make(chan struct{}, 1), gone: make(chan struct{})}
	a.mu.Lock()
	a.conns[remote] = s
	a.mu.Unlock()
	a.wg.Go(func() { a.serve(s) })
	return &Path{agent: a, conn: s, Remote: remote}, nil
}

// Close ends every call without a word and closes every socket.
func (a *Agent) Close() {
	a.mu.Lock()
	a.closed = true
	calls := make([]*Call, 0, len(a.calls))
	for _, c := range a.calls {
		calls = append(calls, c)
	}
	for _, c := range a.udp {
		c.Close()
	}
	for _, l := range a.lns {
		l.Close()
	}
	for _, c := range a.conns {
		c.Close()
	}
	a.mu.Unlock()
	for _, c := range calls {
		c.end("closed")
	}
	a.wg.Wait()
}

func (a *Agent) readUDP(c *net.UDPConn) {
	buf := make([]byte, maxMessage)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < 5 {
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if a.Trace != nil {
			a.Trace(false, from, buf[:n])
		}
		m, _, err := Parse(buf[:n], true)
		if err != nil {
			a.logf("from %s: %v", from, err)
			continue
		}
		a.receive(m, &Path{agent: a, udp: c, Remote: from})
	}
}

func (a *Agent) serve(s *stream) {
	defer close(s.gone)
	remote := addrPort(s.RemoteAddr())
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		s.Close()
		return
	}
	a.conns[remote] = s
	a.mu.Unlock()
	defer func() {
		s.Close()
		a.mu.Lock()
		if a.conns[remote] == s {
			delete(a.conns, remote)
		}
		a.mu.Unlock()
	}()
	path := &Path{agent: a, conn: s, Remote: remote}
	var buf []byte
	chunk := make([]byte, 8192)
	for {
		n, err := s.Read(chunk)
		buf = append(buf, chunk[:n]...)
		for len(buf) > 0 {
			if strings.HasPrefix(string(buf), "\r\n\r\n") {
				path.Send([]byte("\r\n"))
				buf = buf[4:]
				continue
			}
			if strings.HasPrefix(string(buf), "\r\n") {
				select {
				case s.pong <- struct{}{}:
				default:
				}
				buf = buf[2:]
				continue
			}
			m, used, perr := Parse(buf, false)
			if errors.Is(perr, errMore) {
				break
			}
			if perr != nil {
				a.logf("from %s: %v", remote, perr)
				return
			}
			if a.Trace != nil {
				a.Trace(false, remote, buf[:used])
			}
			buf = buf[used:]
			a.receive(m, path)
		}
		if err != nil {
			return
		}
	}
}

// remember keeps an entry of answered or acks, bounded; the caller holds mu.
func (a *Agent) remember(in map[string][]byte, key string, b []byte) {
	if _, ok := in[key]; !ok {
		a.order = append(a.order, key)
		if len(a.order) > maxRemote {
			delete(a.answered, a.order[0])
			delete(a.acks, a.order[0])
			a.order = a.order[1:]
		}
	}
	in[key] = b
}

func (a *Agent) receive(m *Message, p *Path) {
	if m.Method == "" {
		a.response(m, p)
		return
	}
	call := a.find(m)
	if m.Method == "ACK" {
		if call != nil {
			call.ack(m)
		} else if a.handle != nil && Param(m.Get("To"), "tag") != "" {
			a.spawn(m, p)
		}
		return
	}
	key := m.Branch() + " " + m.Method
	a.mu.Lock()
	again, seen := a.answered[key]
	if !seen {
		a.remember(a.answered, key, nil)
	}
	ring := a.ringing[m.Branch()]
	a.mu.Unlock()
	switch {
	case seen:
		if again != nil {
			p.Send(again)
		}
	case m.Method == "CANCEL" && ring != nil:
		a.Reply(p, m, 200, "OK")
		ring.cancel()
	case call != nil:
		call.receive(m, p)
	default:
		a.spawn(m, p)
	}
}

func (a *Agent) spawn(m *Message, p *Path) {
	select {
	case a.busy <- struct{}{}:
		a.wg.Go(func() {
			defer func() { <-a.busy }()
			<-a.ready
			a.handle(m, p)
		})
	default:
		a.logf("too busy for %s", m.Method)
	}
}

func (a *Agent) find(m *Message) *Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.calls[m.Get("Call-ID")+" "+Param(m.Get("To"), "tag")]
	if c == nil || c.remoteTag != Param(m.Get("From"), "tag") {
		return nil
	}
	return c
}

func (a *Agent) response(m *Message, p *Path) {
	_, method := m.CSeq()
	key := m.Branch() + " " + method
	a.mu.Lock()
	ch := a.waiting[key]
	ack := a.acks[m.Branch()]
	a.mu.Unlock()
	switch {
	case ch != nil:
		select {
		case ch <- m:
		default:
			a.logf("response %d %s lost: nobody reads", m.Code, method)
		}
	case ack != nil && method == "INVITE" && m.Code >= 200:
		p.Send(ack)
	case a.forward != nil:
		a.forward(m)
	}
}

// via is the Via value of a request we send on the path.
func (p *Path) via(branch string) string {
	return fmt.Sprintf("SIP/2.0/%s %s;branch=%s;rport", strings.ToUpper(p.transport()), p.Local(), branch)
}

func newBranch() string { return "z9hG4bK" + token(8) }

// transaction is a request on its way.
type transaction struct {
	a    *Agent
	p    *Path
	req  *Message
	key  string
	in   chan *Message
	stop chan struct{}
	once sync.Once
	mu   sync.Mutex
	calm bool // a response came: no more retransmissions
}

// begin sends a request with a new branch, or with its own when it has a Via.
func (a *Agent) begin(p *Path, req *Message) (*transaction, error) {
	if req.Get("Via") == "" {
		req.Push("Via", p.via(newBranch()))
	}
	t := &transaction{a: a, p: p, req: req, key: req.Branch() + " " + req.Method, in: make(chan *Message, 32), stop: make(chan struct{})}
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return nil, fmt.Errorf("%s: closed", a.Name)
	}
	a.waiting[t.key] = t.in
	a.mu.Unlock()
	b := req.Bytes()
	if err := p.Send(b); err != nil {
		t.end()
		return nil, fmt.Errorf("%s: send %s: %w", a.Name, req.Method, err)
	}
	if p.conn == nil {
		a.wg.Go(func() { t.retransmit(b) })
	}
	return t, nil
}

func (t *transaction) retransmit(b []byte) {
	for wait := t1; wait < 64*t1; wait *= 2 {
		timer := time.NewTimer(wait)
		select {
		case <-t.stop:
			timer.Stop()
			return
		case <-timer.C:
			t.mu.Lock()
			calm := t.calm
			t.mu.Unlock()
			if calm {
				return
			}
			t.p.Send(b)
		}
	}
}

// next waits for a response. A final answer other than 2xx to an INVITE is
// acknowledged here.
func (t *transaction) next(ctx context.Context) (*Message, error) {
	var gone chan struct{}
	if t.p.conn != nil {
		gone = t.p.conn.gone
	}
	select {
	case m := <-t.in:
		return t.took(m), nil
	case <-gone:
		select {
		case m := <-t.in: // it came before the end
			return t.took(m), nil
		default:
			return nil, fmt.Errorf("%s: no answer to %s: the connection is gone", t.a.Name, t.req.Method)
		}
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: no answer to %s: %w", t.a.Name, t.req.Method, ctx.Err())
	}
}

// took acknowledges a refusal of an INVITE and ends retransmission.
func (t *transaction) took(m *Message) *Message {
	t.mu.Lock()
	t.calm = true
	t.mu.Unlock()
	if t.req.Method == "INVITE" && m.Code >= 300 {
		ack := &Message{Method: "ACK", URI: t.req.URI}
		ack.Add("Via", t.req.Get("Via"))
		ack.Add("Max-Forwards", "70")
		ack.Add("From", t.req.Get("From"))
		ack.Add("To", m.Get("To"))
		ack.Add("Call-ID", t.req.Get("Call-ID"))
		n, _ := t.req.CSeq()
		ack.Add("CSeq", fmt.Sprintf("%d ACK", n))
		for _, r := range t.req.All("Route") {
			ack.Add("Route", r)
		}
		t.a.acked(t.req.Branch(), ack.Bytes())
		t.p.Send(ack.Bytes())
	}
	return m
}

func (a *Agent) acked(branch string, ack []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remember(a.acks, branch, ack)
}

func (t *transaction) end() {
	t.once.Do(func() {
		close(t.stop)
		t.a.mu.Lock()
		delete(t.a.waiting, t.key)
		t.a.mu.Unlock()
	})
}

// Do sends a request and waits for its final answer.
func (a *Agent) Do(ctx context.Context, p *Path, req *Message) (*Message, error) {
	t, err := a.begin(p, req)
	if err != nil {
		return nil, err
	}
	defer t.end()
	for {
		m, err := t.next(ctx)
		if err != nil || m.Code >= 200 {
			return m, err
		}
	}
}

// response builds an answer.
func response(req *Message, code int, reason string) *Message {
	m := &Message{Code: code, Reason: reason}
	for _, v := range req.All("Via") {
		m.Add("Via", v)
	}
	for _, v := range req.All("Record-Route") {
		m.Add("Record-Route", v)
	}
	for _, name := range []string{"From", "To", "Call-ID", "CSeq"} {
		m.Add(name, req.Get(name))
	}
	return m
}

// Reply answers a request statefully: a retransmission gets the same again.
func (a *Agent) Reply(p *Path, req *Message, code int, reason string, extra ...Field) {
	m := response(req, code, reason)
	if Param(m.Get("To"), "tag") == "" && code > 100 {
		m.Set("To", m.Get("To")+";tag="+token(6))
	}
	m.Headers = append(m.Headers, extra...)
	a.send(p, req, m)
}

func (a *Agent) send(p *Path, req, m *Message) {
	b := m.Bytes()
	a.mu.Lock()
	a.remember(a.answered, req.Branch()+" "+req.Method, b)
	a.mu.Unlock()
	if err := p.Send(b); err != nil {
		a.logf("answer %d: %v", m.Code, err)
	}
}
