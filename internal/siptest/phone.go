package siptest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// PhoneConfig describes a telephone. Only User, Domain and Server are needed.
type PhoneConfig struct {
	User, Password, Domain string
	Server                 netip.AddrPort // where its requests go
	Transport              string         // udp (default), tcp or tls
	TLS                    *tls.Config    // of a tls client, and of a tls listener
	Local                  netip.Addr     // default: loopback of the server's family
	Listen                 string         // transport to listen on, "" for none but what Transport needs
	ListenAt               netip.AddrPort // default: Local, any port
	SRTP                   []string       // suites to offer and to demand; none: RTP
	Tone                   float64        // played in calls; 0 is silence
	UserAgent              string
	// OnInvite answers calls. The default rings and answers.
	OnInvite func(*Incoming)
	// OnRequest answers other requests that belong to no call: NOTIFY,
	// MESSAGE. The default refuses them with 405.
	OnRequest func(*Message) (code int, reason string)
	Log       func(format string, args ...any)
	Trace     func(sent bool, remote netip.AddrPort, b []byte)

	hook func(*Phone) // sets what must be there before the first message
}

// Phone is a telephone, or anything else that calls and is called.
type Phone struct {
	*Agent
	cfg    PhoneConfig
	path   *Path
	listen netip.AddrPort

	mu    sync.Mutex
	regID string
	regN  int
	calls []*Call // that came in and were answered
}

// NewPhone opens the sockets. Close ends them, as does the end of ctx.
func NewPhone(ctx context.Context, cfg PhoneConfig) (*Phone, error) {
	if cfg.Transport == "" {
		cfg.Transport = "udp"
	}
	if !cfg.Local.IsValid() {
		cfg.Local = netip.IPv6Loopback()
		if cfg.Server.Addr().Is4() || !cfg.Server.IsValid() {
			cfg.Local = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "siptest"
	}
	p := &Phone{Agent: newAgent(cfg.User), cfg: cfg, regID: token(8)}
	p.Log, p.Trace, p.local = cfg.Log, cfg.Trace, cfg.Local
	p.handle = p.request
	if cfg.hook != nil {
		cfg.hook(p)
	}
	if cfg.Listen == "" && cfg.Transport == "udp" {
		p.cfg.Listen = "udp"
	}
	if p.cfg.Listen != "" {
		at := cfg.ListenAt
		if !at.IsValid() {
			at = netip.AddrPortFrom(cfg.Local, 0)
		}
		var err error
		if p.listen, err = p.Agent.listen(p.cfg.Listen, at, cfg.TLS); err != nil {
			return nil, err
		}
	}
	if cfg.Server.IsValid() {
		var err error
		if p.path, err = p.connect(ctx, cfg.Transport, cfg.Server, cfg.TLS); err != nil {
			close(p.ready)
			p.Close()
			return nil, err
		}
	}
	context.AfterFunc(ctx, p.Close)
	close(p.ready)
	return p, nil
}

// Addr is where the phone listens, or its end of the connection.
func (p *Phone) Addr() netip.AddrPort {
	if p.listen.IsValid() {
		return p.listen
	}
	return p.path.Local()
}

// Path is the way to the server, for messages that are written by hand.
func (p *Phone) Path() *Path { return p.path }

// AOR is the phone's address of record.
func (p *Phone) AOR() string { return "sip:" + p.cfg.User + "@" + p.cfg.Domain }

func (p *Phone) contact() string {
	transport := p.cfg.Transport
	if p.listen.IsValid() {
		transport = p.cfg.Listen
	}
	c := "<sip:" + p.cfg.User + "@" + p.Addr().String()
	if transport != "udp" {
		c += ";transport=" + transport
	}
	return c + ">"
}

// Refused is the error of a request that was answered by 300 or more.
type Refused struct{ Response *Message }

func (r *Refused) Error() string { return "refused: " + r.Response.String() }

// Register registers for that time; 0 unregisters. It answers a challenge.
func (p *Phone) Register(ctx context.Context, expires time.Duration) error {
	_, err := p.RegisterMessage(ctx, expires)
	return err
}

// RegisterMessage is Register with the final answer.
func (p *Phone) RegisterMessage(ctx context.Context, expires time.Duration) (*Message, error) {
	build := func() *Message {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.regN++
		m := &Message{Method: "REGISTER", URI: "sip:" + p.cfg.Domain}
		m.Add("Max-Forwards", "70")
		m.Add("From", "<"+p.AOR()+">;tag="+token(6))
		m.Add("To", "<"+p.AOR()+">")
		m.Add("Call-ID", p.regID)
		m.Add("CSeq", fmt.Sprintf("%d REGISTER", p.regN))
		m.Add("Contact", p.contact())
		m.Add("Expires", strconv.Itoa(int(expires/time.Second)))
		m.Add("User-Agent", p.cfg.UserAgent)
		return m
	}
	return p.authenticated(ctx, build)
}

// authenticated sends a request, and again with credentials when challenged.
func (p *Phone) authenticated(ctx context.Context, build func() *Message) (*Message, error) {
	req := build()
	res, err := p.Do(ctx, p.path, req)
	for try := 0; err == nil && (res.Code == 401 || res.Code == 407) && (try == 0 || try < 3 && isStale(res)); try++ {
		again := build()
		if !p.credentials(again, res) {
			break
		}
		again.Set("From", req.Get("From"))
		res, err = p.Do(ctx, p.path, again)
	}
	if err == nil && res.Code >= 300 {
		err = &Refused{res}
	}
	return res, err
}

// isStale: the challenge says that only the nonce was old. Any other one, after
// credentials, says that they were wrong.
func isStale(res *Message) bool {
	for _, v := range append(res.All("WWW-Authenticate"), res.All("Proxy-Authenticate")...) {
		if strings.EqualFold(digestParams(v)["stale"], "true") {
			return true
		}
	}
	return false
}

// credentials answers the challenge of res in m.
func (p *Phone) credentials(m, res *Message) bool {
	challenge, credential := "WWW-Authenticate", "Authorization"
	if res.Code == 407 {
		challenge, credential = "Proxy-Authenticate", "Proxy-Authorization"
	}
	v := Answer(res.All(challenge), m.Method, m.URI, p.cfg.User, p.cfg.Password)
	if v == "" {
		return false
	}
	m.Add(credential, v)
	return true
}

// Ask sends a request outside any dialog, and again with credentials when it
// is challenged. build makes it anew for each try, with the next CSeq.
func (p *Phone) Ask(ctx context.Context, build func(try int) *Message) (*Message, error) {
	try := 0
	res, err := p.authenticated(ctx, func() *Message { try++; return build(try) })
	var refused *Refused
	if errors.As(err, &refused) {
		return refused.Response, nil
	}
	return res, err
}

// Ping sends a keep-alive of RFC 5626 on a connection and waits for the pong.
func (p *Phone) Ping(ctx context.Context) error {
	if p.path.conn == nil {
		return p.path.Send([]byte("\r\n\r\n"))
	}
	if err := p.path.Send([]byte("\r\n\r\n")); err != nil {
		return err
	}
	select {
	case <-p.path.conn.pong:
		return nil
	case <-p.path.conn.gone:
		return fmt.Errorf("%s: no pong: the connection has ended", p.Name)
	case <-ctx.Done():
		return fmt.Errorf("%s: no pong: %w", p.Name, ctx.Err())
	}
}

// Options sends OPTIONS to the domain, outside any call.
func (p *Phone) Options(ctx context.Context) (*Message, error) {
	return p.Do(ctx, p.path, p.NewRequest("OPTIONS", "sip:"+p.cfg.Domain))
}

// NewRequest builds a request outside any dialog, to be sent with Do.
func (p *Phone) NewRequest(method, uri string) *Message {
	m := &Message{Method: method, URI: uri}
	m.Add("Max-Forwards", "70")
	m.Add("From", "<"+p.AOR()+">;tag="+token(6))
	m.Add("To", "<"+uri+">")
	m.Add("Call-ID", token(10))
	m.Add("CSeq", "1 "+method)
	m.Add("Contact", p.contact())
	m.Add("User-Agent", p.cfg.UserAgent)
	return m
}

// Option changes one call.
type Option func(*invitation)

type invitation struct {
	headers  []Field
	from     string
	uri      string
	suites   []string
	noSDP    bool
	sdp      []byte
	tone     float64
	progress func(*Message)
}

// Header adds a header line to the INVITE.
func Header(name, value string) Option {
	return func(i *invitation) { i.headers = append(i.headers, Field{name, value}) }
}

// From calls with another address in From.
func From(uri string) Option { return func(i *invitation) { i.from = uri } }

// Suites offers those instead of the phone's; none at all is plain RTP.
func Suites(s ...string) Option { return func(i *invitation) { i.suites = s } }

// SDP offers a description written by hand.
func SDP(b []byte) Option { return func(i *invitation) { i.sdp = b } }

// Tone plays another tone than the phone's.
func Tone(freq float64) Option { return func(i *invitation) { i.tone = freq } }

// Progress sees every provisional answer.
func Progress(f func(*Message)) Option { return func(i *invitation) { i.progress = f } }

// Invite calls a user of the domain, a number, or a whole URI and returns
// when the call is answered. A refusal is a [*Refused]. When ctx ends before,
// the call is cancelled.
func (p *Phone) Invite(ctx context.Context, to string, opts ...Option) (*Call, error) {
	inv := invitation{from: p.AOR(), suites: p.cfg.SRTP, tone: p.cfg.Tone, uri: to}
	if !strings.Contains(to, ":") {
		inv.uri = "sip:" + to + "@" + p.cfg.Domain
	}
	for _, o := range opts {
		o(&inv)
	}
	media, err := newMedia(p.cfg.Local)
	if err != nil {
		return nil, err
	}
	c := &Call{Media: media, agent: p.Agent, path: p.path, id: token(12), localTag: token(6), local: "<" + inv.from + ">",
		remote: "<" + inv.uri + ">", target: inv.uri, contact: p.contact(),
		Infos: make(chan *Message, 16), acked: make(chan struct{}), done: make(chan struct{})}
	for i, s := range inv.suites {
		c.keys = append(c.keys, newCrypto(i+1, s))
	}
	media.Play(inv.tone)
	if err := p.invite(ctx, c, &inv); err != nil {
		media.Close()
		return nil, err
	}
	return c, nil
}

func (p *Phone) invite(ctx context.Context, c *Call, inv *invitation) error {
	build := func() *Message {
		c.cseq++
		m := &Message{Method: "INVITE", URI: inv.uri}
		m.Add("Max-Forwards", "70")
		m.Add("From", c.local+";tag="+c.localTag)
		m.Add("To", c.remote)
		m.Add("Call-ID", c.id)
		m.Add("CSeq", fmt.Sprintf("%d INVITE", c.cseq))
		m.Add("Contact", c.contact)
		m.Add("Allow", allow)
		m.Add("User-Agent", p.cfg.UserAgent)
		m.Headers = append(m.Headers, inv.headers...)
		m.Add("Content-Type", "application/sdp")
		if m.Body = inv.sdp; m.Body == nil {
			m.Body = c.Media.offer(c.keys, "sendrecv").Bytes(1, 1)
		}
		c.version = 1
		return m
	}
	req := build()
	for tries := 0; ; tries++ {
		res, err := p.attempt(ctx, c, req, inv)
		if err != nil {
			return err
		}
		if (res.Code == 401 || res.Code == 407) && (tries == 0 || tries < 3 && isStale(res)) {
			if next := build(); p.credentials(next, res) {
				req = next
				continue
			}
		}
		if res.Code >= 300 {
			return &Refused{res}
		}
		c.Request, c.Answer = req, res
		c.remoteTag = Param(res.Get("To"), "tag")
		c.target = URIOf(res.Get("Contact"))
		for _, line := range res.All("Record-Route") {
			for r := range strings.SplitSeq(line, ",") {
				c.routes = append([]string{strings.TrimSpace(r)}, c.routes...)
			}
		}
		p.addCall(c)
		c.sendAck(req.Branch())
		if err := c.negotiated(res.Body, c.keys); err != nil {
			c.Bye(ctx)
			return fmt.Errorf("answer of %s: %w", res.Get("To"), err)
		}
		return nil
	}
}

// attempt sends one INVITE up to its final answer. It cancels when ctx ends
// and then waits a little for the answer to that.
func (p *Phone) attempt(ctx context.Context, c *Call, req *Message, inv *invitation) (*Message, error) {
	t, err := p.begin(p.path, req)
	if err != nil {
		return nil, err
	}
	defer t.end()
	cancelled, provisional := false, false
	wait := ctx
	for {
		res, err := t.next(wait)
		if err != nil {
			if cancelled {
				return nil, err
			}
			cancelled = true
			var stop context.CancelFunc
			patience := 5 * time.Second
			if !provisional { // nobody may be there at all
				patience = time.Second
			}
			wait, stop = context.WithTimeout(context.WithoutCancel(ctx), patience)
			defer stop()
			if provisional {
				p.cancelInvite(wait, req)
			}
			continue
		}
		if res.Code < 200 {
			provisional = true
			if inv.progress != nil {
				inv.progress(res)
			}
			if cancelled {
				p.cancelInvite(wait, req)
			}
			continue
		}
		return res, nil
	}
}

func (p *Phone) cancelInvite(ctx context.Context, req *Message) {
	m := &Message{Method: "CANCEL", URI: req.URI}
	for _, name := range []string{"Via", "Max-Forwards", "From", "To", "Call-ID"} {
		m.Add(name, req.Get(name))
	}
	n, _ := req.CSeq()
	m.Add("CSeq", fmt.Sprintf("%d CANCEL", n))
	p.Do(ctx, p.path, m)
}

// Answered lists the calls that came in and were answered.
func (p *Phone) Answered() []*Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*Call(nil), p.calls...)
}

// maxAnswered bounds the list of Answered.
const maxAnswered = 1024

func (p *Phone) noteAnswered(c *Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.calls) == maxAnswered {
		p.calls = p.calls[1:]
	}
	p.calls = append(p.calls, c)
}

// request gets what belongs to no call.
func (p *Phone) request(m *Message, path *Path) {
	switch m.Method {
	case "INVITE":
		if Param(m.Get("To"), "tag") != "" {
			p.Reply(path, m, 481, "Call/Transaction Does Not Exist")
			return
		}
		in := &Incoming{Request: m, Phone: p, path: path, tag: token(6), cancelled: make(chan struct{})}
		p.Agent.mu.Lock()
		p.ringing[m.Branch()] = in
		p.Agent.mu.Unlock()
		defer func() {
			p.Agent.mu.Lock()
			delete(p.ringing, m.Branch())
			p.Agent.mu.Unlock()
		}()
		if p.cfg.OnInvite != nil {
			p.cfg.OnInvite(in)
			return
		}
		in.Ring()
		if _, err := in.Answer(); err != nil {
			p.logf("incoming call: %v", err)
		}
	case "OPTIONS":
		p.Reply(path, m, 200, "OK", Field{"Allow", allow})
	case "ACK":
	case "BYE", "CANCEL", "INFO", "UPDATE":
		p.Reply(path, m, 481, "Call/Transaction Does Not Exist")
	default:
		if p.cfg.OnRequest != nil {
			code, reason := p.cfg.OnRequest(m)
			p.Reply(path, m, code, reason)
			return
		}
		p.Reply(path, m, 405, "Method Not Allowed", Field{"Allow", allow})
	}
}
