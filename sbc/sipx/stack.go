package sipx

import (
	"context"
	"crypto/rand"
	cryptotls "crypto/tls"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/rampart-sbc/rampart/call"
)

// Listener is one socket to open.
type Listener struct {
	Side      call.Side
	Transport string // "udp", "tcp", "tls"
	Bind      netip.AddrPort
	// Advertise is the address that Via and Contact show; zero means Bind.
	Advertise netip.Addr
}

// Config of a Stack. Zero values mean the defaults given.
type Config struct {
	Listeners []Listener
	ServerTLS *cryptotls.Config // for "tls" listeners
	Limits    Limits

	MaxConns          int // stream connections accepted at a time (20,000)
	MaxConnsPerSource int // of strangers, per address (100)
	MaxHandshakes     int // TLS handshakes that strangers are in at a time (1000)
	// MaxHandshakesPerSource is how many of them one address may be in (64).
	MaxHandshakesPerSource int
	MaxTransactions        int           // server and client together (200,000)
	HandshakeTimeout       time.Duration // TLS (5 s)
	IdleTimeout            time.Duration // until a stranger is known (30 s)
	MessageTimeout         time.Duration // from a message's first byte to its last (10 s)
	UDPShards              int           // sockets per UDP listener (1)
	UDPBuffer              int           // receive buffer of each, octets (4 MiB)

	Shed     Shedder // asked while there is too much; nil: never
	NoFilter bool    // no socket filter in front of public UDP sockets

	DSCP int // of what we send, 0 to 63; 0 leaves packets unmarked

	T1, T2, T4 time.Duration // RFC 3261 §17: 500 ms, 4 s, 5 s
	Log        *slog.Logger
}

func (c *Config) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	seti := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	set(&c.HandshakeTimeout, 5*time.Second)
	set(&c.IdleTimeout, 30*time.Second)
	set(&c.MessageTimeout, 10*time.Second)
	set(&c.T1, 500*time.Millisecond)
	set(&c.T2, 4*time.Second)
	set(&c.T4, 5*time.Second)
	seti(&c.MaxConns, 20000)
	seti(&c.MaxConnsPerSource, 100)
	seti(&c.MaxHandshakes, 1000)
	seti(&c.MaxHandshakesPerSource, 64)
	seti(&c.MaxTransactions, 200000)
	seti(&c.UDPShards, 1)
	seti(&c.UDPBuffer, 4<<20)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Handler is what the gateway does with what arrives. Its methods are called
// from reading goroutines, in the order of arrival on each flow; they must
// not block.
type Handler interface {
	// AdmitDatagram is asked for every datagram that begins as SIP does, before
	// the rest of it is looked at.
	AdmitDatagram(side call.Side, src netip.Addr, n int) bool
	// AdmitStream is asked for every message on a connection of a stranger.
	AdmitStream(side call.Side, src netip.Addr, n int) bool
	// AdmitConn is asked for every connection before its handshake.
	AdmitConn(side call.Side, src netip.Addr) bool
	// KnownSource says whether connections of that address go before those
	// of strangers.
	KnownSource(side call.Side, src netip.Addr) bool
	// AdmitHandshake says how long the TLS handshake of a connection waits
	// for its turn, at most patience, or that it has none.
	AdmitHandshake(side call.Side, src netip.Addr, patience time.Duration) (wait time.Duration, ok bool)
	// Connected says whether an accepted connection may speak, after its
	// handshake.
	Connected(f *Flow) bool
	// Request gets every new request but ACK and CANCEL. It answers by
	// Begin and the transaction, by Refuse, or not at all.
	Request(*Request)
	// Ack gets an ACK that belongs to a 2xx.
	Ack(*Request)
	// Malformed says whether the sender may be told.
	Malformed(f *Flow, m *Malformed) (tell bool)
	// HandshakeFailed reports a connection that never became a flow.
	HandshakeFailed(side call.Side, remote netip.AddrPort, err error)
	// FlowClosed reports the end of a stream flow.
	FlowClosed(*Flow)
}

// Stats counts what the stack saw; read at any time.
type Stats struct {
	Requests, Responses, Malformed, Dropped, Strays atomic.Uint64
	Evicted                                         atomic.Uint64 // strangers' connections that made room
	Junk                                            atomic.Uint64 // datagrams that do not begin as SIP does
	Retransmits, Conns, ConnsRefused                atomic.Uint64
	Panics                                          atomic.Uint64
}

// Stack owns the listeners, flows and transactions.
type Stack struct {
	cfg     Config
	handler Handler
	parser  *sip.Parser
	log     *slog.Logger
	Stats   Stats

	udp     []*udpListener
	streams []*streamListener
	nextID  atomic.Uint64
	closing atomic.Bool
	wg      sync.WaitGroup

	tx txTable

	shedSeed maphash.Seed
	lags     lags

	life context.Context // ends with Close: handshakes and dialling
	end  context.CancelFunc

	mu       sync.Mutex
	conns    map[*Flow]struct{}
	guests   guests              // connections from outside, handshakes included
	outbound map[string]*dialing // pooled connections we opened, by side, transport, address and hop name
}

// New opens every listener; on any failure none stays open.
func New(cfg Config, h Handler) (*Stack, error) {
	cfg.defaults()
	s := &Stack{cfg: cfg, handler: h, log: cfg.Log,
		parser:   sip.NewParser(),
		conns:    map[*Flow]struct{}{},
		guests:   guests{hosts: map[netip.Addr]*host{}},
		outbound: map[string]*dialing{},
		shedSeed: maphash.MakeSeed(),
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.tx.init(cfg.MaxTransactions)
	s.tx.memory.init(&s.tx, cfg.T1)
	for _, l := range cfg.Listeners {
		if err := s.listen(l); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Stack) listen(l Listener) error {
	switch l.Transport {
	case "udp":
		return s.listenUDP(l)
	case "tcp", "tls":
		return s.listenStream(l)
	}
	return fmt.Errorf("listen %s %s: unknown transport", l.Transport, l.Bind)
}

// Start begins to read; Request and the others are called from here on.
func (s *Stack) Start() {
	for _, u := range s.udp {
		for _, c := range u.conns {
			s.wg.Go(func() { u.read(c) })
		}
	}
	for _, l := range s.streams {
		s.wg.Go(l.accept)
	}
}

// Addrs lists the bound addresses of a side and transport, in order of the
// configuration.
func (s *Stack) Addrs(side call.Side, transport string) (out []netip.AddrPort) {
	for _, u := range s.udp {
		if u.l.Side == side && transport == "udp" {
			out = append(out, u.l.Bind)
		}
	}
	for _, l := range s.streams {
		if l.l.Side == side && l.l.Transport == transport {
			out = append(out, l.l.Bind)
		}
	}
	return out
}

// Families reports the families of addresses that a side has listeners of.
func (s *Stack) Families(side call.Side) (v4, v6 bool) {
	for _, l := range s.cfg.Listeners {
		if l.Side == side {
			v4, v6 = v4 || l.Bind.Addr().Unmap().Is4(), v6 || l.Bind.Addr().Unmap().Is6()
		}
	}
	return v4, v6
}

// Close stops listening, closes every connection and waits for the readers.
func (s *Stack) Close() {
	s.closing.Store(true)
	s.end()
	for _, u := range s.udp {
		for _, c := range u.conns {
			c.close()
		}
	}
	for _, l := range s.streams {
		l.ln.Close()
	}
	s.mu.Lock()
	for f := range s.conns {
		f.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	s.tx.stop()
}

// safely runs what a message or timer gives rise to: neither may end the
// process; what it broke is ours.
func (s *Stack) safely(what string, f func()) {
	defer s.recovered(what)
	f()
}

func (s *Stack) recovered(what string) {
	if p := recover(); p != nil {
		s.Stats.Panics.Add(1)
		s.log.Error("failed", "in", what, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

// handle takes one whole message of a flow, in order.
func (s *Stack) handle(f *Flow, b []byte) {
	defer s.recovered("message handler")
	asked := false
	if s.cfg.Shed != nil && s.cfg.Shed.Busy() {
		var done bool
		if done, asked = s.shed(f, b); done {
			return
		}
	}
	now := time.Now()
	n, bad := Check(b, f.Reliable(), s.cfg.Limits)
	if bad != nil {
		s.malformed(f, b, bad)
		return
	}
	tidy := Tidy(b[:n])
	m, err := s.parser.ParseSIP(tidy)
	if err == nil {
		readVias(m, tidy)
	}
	if err != nil {
		// Check and the parser disagree: the stricter one wins.
		s.malformed(f, b, &Malformed{Status: 400, Reason: "unparsable: " + err.Error(), Response: strings.HasPrefix(string(b[:min(4, len(b))]), "SIP/")})
		return
	}
	switch m := m.(type) {
	case *sip.Request:
		s.Stats.Requests.Add(1)
		if m.CallID() == nil || m.From() == nil || m.To() == nil || m.CSeq() == nil || m.Via() == nil {
			s.malformed(f, b, &Malformed{Status: 400, Reason: "mandatory header unreadable"})
			return
		}
		if name := doubleCredentials(m); name != "" {
			s.malformed(f, b, &Malformed{Status: 400, Header: name, Reason: "two for one realm"})
			return
		}
		if len(m.GetHeaders("Record-Route")) > maxRoutes {
			s.malformed(f, b, &Malformed{Status: 513, Header: "Record-Route", Reason: "too many routes"})
			return
		}
		s.request((&Request{message: message{f, now, n}, msg: m, stack: s, LetIn: asked}).unpacked())
	case *sip.Response:
		s.Stats.Responses.Add(1)
		if m.CallID() == nil || m.From() == nil || m.To() == nil || m.CSeq() == nil || m.Via() == nil || len(m.GetHeaders("Record-Route")) > maxRoutes {
			s.malformed(f, b, &Malformed{Status: 400, Reason: "mandatory header unreadable, or too many routes", Response: true})
			return
		}
		s.response((&Response{message: message{f, now, n}, msg: m}).unpacked())
	}
}

func (s *Stack) malformed(f *Flow, b []byte, bad *Malformed) {
	s.Stats.Malformed.Add(1)
	tell := s.handler.Malformed(f, bad)
	if !tell || bad.Response {
		return
	}
	if r := StatelessReply(b, bad.Status, reasonPhrase(bad.Status), f.Remote); r != nil {
		s.send(f, r)
	}
}

func (s *Stack) request(r *Request) {
	method := r.Method()
	tx, p, over := s.tx.server(serverKey(r))
	switch {
	case over:
		s.repeated(r, p)
		return
	case tx != nil && method == "ACK":
		tx.ack(r)
		return
	case tx != nil:
		s.Stats.Retransmits.Add(1)
		tx.retransmit()
		return
	}
	switch method {
	case "ACK":
		s.handler.Ack(r)
	case "CANCEL":
		s.cancel(r)
	default:
		s.handler.Request(r)
	}
}

// repeated takes a request, or the ACK, of a transaction that is over.
func (s *Stack) repeated(r *Request, p past) {
	if r.Method() == "ACK" {
		return
	}
	s.Stats.Retransmits.Add(1)
	if p.again != nil {
		s.sendResponse(r, p.again)
	}
}

// cancel matches a CANCEL with its INVITE (RFC 3261 §9.2): the same branch
// from the same source. The transaction's owner decides what it does.
func (s *Stack) cancel(r *Request) {
	tx, p, over := s.tx.server(serverKeyFor(r, "INVITE"))
	if tx == nil && !over {
		r.Refuse(481, nil)
		return
	}
	ctx := r.Begin()
	if ctx == nil {
		return
	}
	if over { // too late
		ctx.Respond(200, "", p.tag, nil, nil)
		return
	}
	ctx.Respond(200, "", tx.ToTag(), nil, nil)
	tx.cancelled(r)
}

func (s *Stack) response(res *Response) {
	tx, p, over := s.tx.client(clientKeyOf(res.msg))
	switch {
	case tx != nil && cameBack(tx.flow, res.Flow):
		tx.receive(res)
	case over && cameBack(p.flow, res.Flow):
		if p.acknowledges(res) {
			s.send(p.flow, p.again)
		}
	default:
		s.Stats.Strays.Add(1)
	}
}

// cameBack: a response must come the way the request went: not a datagram,
// whose source anybody can write, for a request on a connection. Another
// connection or port of the same host will do (RFC 3261 §18.2.2).
func cameBack(sent, got *Flow) bool {
	return sent.Side == got.Side && sent.Transport == got.Transport && sent.Remote.Addr() == got.Remote.Addr()
}

func (s *Stack) send(f *Flow, b []byte) {
	if err := f.send(b); err != nil {
		s.log.Debug("send failed", "transport", f.Transport, "to", f.Remote.String(), "error", err)
	}
}

// Refuse answers without a transaction (and without keeping anything): right
// for everything that was not admitted. Retransmissions of the request get
// the same answer again, as the To tag is derived from the request.
func (r *Request) Refuse(code int, hs []HeaderField) {
	if r.Method() == "ACK" {
		return
	}
	r.stack.sendResponse(r, r.reply(code, reasonPhrase(code), statelessTag(r), hs, nil))
}

// sendResponse sends where RFC 3261 §18.2.2 and RFC 3581 §4 say.
func (s *Stack) sendResponse(r *Request, b []byte) {
	f := r.Flow
	if f.udp != nil && !r.msg.Via().Params.Has("rport") {
		port := r.msg.Via().Port
		if port == 0 {
			port = 5060
		}
		if port != int(f.Remote.Port()) {
			s.send(f.listener.flow(f.udp, netip.AddrPortFrom(f.Remote.Addr(), uint16(port))), b)
			return
		}
	}
	s.send(f, b)
}

func randomToken(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// NewTag makes a From or To tag (RFC 3261 §19.3).
func NewTag() string { return randomToken(8) }

// NewCallID makes a Call-ID that says nothing about this host.
func NewCallID() string { return randomToken(16) }

func newBranch() string { return "z9hG4bK" + randomToken(12) }

func foldAddrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return call.FoldAddr(a.AddrPort())
	case *net.UDPAddr:
		return call.FoldAddr(a.AddrPort())
	}
	return netip.AddrPort{}
}
