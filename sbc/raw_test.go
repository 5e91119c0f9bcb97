package sbc_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/sdp"
)

// raw is a SIP end over UDP that says exactly what it is told, and nothing by
// itself: the carrier or the PBX in tests of message flows.
type raw struct {
	t     *testing.T
	conn  *net.UDPConn // nil on a stream
	out   func([]byte) error
	local netip.AddrPort
	kind  string // of transport, as Via shows it
	close func()
	gw    netip.AddrPort
	mu    sync.Mutex
	queue []*siptest.Message
	seen  bytes.Buffer
	more  chan struct{}
	had   map[string]bool // requests that request gave, by method and branch
	auto  atomic.Value    // func(*siptest.Message) bool: answers at once what it can
	tap   atomic.Value    // func([]byte): is given every datagram as it came
	// change alters what send sends.
	change func(string) string
}

func newRaw(t *testing.T, addr string) *raw {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
	if err != nil {
		t.Fatal(err)
	}
	r := &raw{t: t, conn: c, local: netip.MustParseAddrPort(c.LocalAddr().String()), kind: "UDP", more: make(chan struct{}, 1)}
	r.out = func(b []byte) error { _, err := c.WriteToUDPAddrPort(b, r.gw); return err }
	t.Cleanup(func() { c.Close() })
	go r.read(c)
	return r
}

func (r *raw) read(c *net.UDPConn) {
	buf := make([]byte, 65536)
	for {
		n, _, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if f, ok := r.tap.Load().(func([]byte)); ok {
			f(bytes.Clone(buf[:n]))
		}
		m, _, err := siptest.Parse(buf[:n], true)
		if err != nil {
			continue
		}
		if f, ok := r.auto.Load().(func(*siptest.Message) bool); ok && f(m) {
			continue
		}
		r.came(m, buf[:n])
	}
}

func (r *raw) came(m *siptest.Message, b []byte) {
	r.mu.Lock()
	r.seen.Write(b)
	r.queue = append(r.queue, m)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *raw) addr() netip.AddrPort { return r.local }

func (r *raw) saw() string { r.mu.Lock(); defer r.mu.Unlock(); return r.seen.String() }

func (r *raw) send(m *siptest.Message) {
	r.t.Helper()
	b := m.Bytes()
	if r.change != nil {
		b = []byte(r.change(string(b)))
	}
	if err := r.out(b); err != nil {
		r.t.Fatal(err)
	}
}

// take gives the first message in the queue that fits, nil when there is none.
func (r *raw) take(fits func(*siptest.Message) bool) *siptest.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, m := range r.queue {
		if fits(m) {
			r.queue = append(r.queue[:i:i], r.queue[i+1:]...)
			return m
		}
	}
	return nil
}

func (r *raw) expect(what string, fits func(*siptest.Message) bool) *siptest.Message {
	r.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		if m := r.take(fits); m != nil {
			return m
		}
		select {
		case <-r.more:
		case <-deadline.C:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Fatalf("%s never came; there is %v\n%s", what, r.queue, r.seen.String())
		}
	}
}

// request waits for a request; code for a response to an INVITE; answer for
// one to another method.
func (r *raw) request(method string) *siptest.Message {
	r.t.Helper()
	m := r.expect(method, func(m *siptest.Message) bool {
		// A slow reader gets a repeated request: not the next one.
		return m.Method == method && (m.Branch() == "" || !r.had[m.Method+m.Branch()])
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.had == nil {
		r.had = map[string]bool{}
	}
	r.had[m.Method+m.Branch()] = true
	return m
}

// another is a request that request has not given yet, repeats of those left
// out.
func (r *raw) another(method string) func(*siptest.Message) bool {
	return func(m *siptest.Message) bool { return m.Method == method && !r.had[m.Method+m.Branch()] }
}

// again waits for a request that was there before.
func (r *raw) again(method string) *siptest.Message {
	r.t.Helper()
	return r.expect("repeated "+method, func(m *siptest.Message) bool { return m.Method == method && r.had[m.Method+m.Branch()] })
}

func (r *raw) code(code int) *siptest.Message { r.t.Helper(); return r.answer("INVITE", code) }

func (r *raw) answer(method string, code int) *siptest.Message {
	r.t.Helper()
	return r.expect(fmt.Sprint(code, " to ", method), func(m *siptest.Message) bool {
		_, to := m.CSeq()
		return m.Code == code && to == method
	})
}

// never asserts that such a message does not come for a while.
func (r *raw) never(what string, fits func(*siptest.Message) bool) {
	r.t.Helper()
	deadline := time.NewTimer(300 * time.Millisecond)
	defer deadline.Stop()
	for {
		if m := r.take(fits); m != nil {
			r.t.Fatalf("%s came: %s", what, m.Bytes())
		}
		select {
		case <-r.more:
		case <-deadline.C:
			return
		}
	}
}

func is(method string) func(*siptest.Message) bool {
	return func(m *siptest.Message) bool { return m.Method == method }
}

var serial atomic.Uint64

func unique(prefix string) string { return fmt.Sprint(prefix, serial.Add(1)) }

func (r *raw) via() string {
	return fmt.Sprintf("SIP/2.0/%s %s;branch=z9hG4bK%s;rport", r.kind, r.addr(), unique("b"))
}

func (r *raw) host() string {
	a := r.addr().Addr()
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// sdp is a description with audio at the raw end; extra lines follow.
func (r *raw) sdp(extra ...string) []byte {
	return r.sdpAt(40000, extra...)
}

func (r *raw) sdpAt(port int, extra ...string) []byte {
	family := "IP4"
	if r.addr().Addr().Is6() {
		family = "IP6"
	}
	a := r.addr().Addr()
	return []byte(fmt.Sprintf("v=0\r\no=- 1 1 IN %s %s\r\ns=-\r\nc=IN %s %s\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\n", family, a, family, a, port) +
		strings.Join(append(extra, ""), "\r\n"))
}

// invite sends an INVITE and returns it.
func (r *raw) invite(to string, change ...func(*siptest.Message)) *siptest.Message {
	r.t.Helper()
	m := &siptest.Message{Method: "INVITE", URI: "sip:" + to + "@" + r.gw.String(), Body: r.sdp()}
	m.Add("Via", r.via())
	m.Add("Max-Forwards", "70")
	m.Add("From", "<sip:+33199001234@"+r.host()+">;tag="+unique("f"))
	m.Add("To", "<sip:"+to+"@"+r.gw.String()+">")
	m.Add("Call-ID", unique("call"))
	m.Add("CSeq", "1 INVITE")
	m.Add("Contact", "<sip:raw@"+r.addr().String()+">")
	m.Add("Content-Type", "application/sdp")
	for _, f := range change {
		f(m)
	}
	r.send(m)
	return m
}

// reply answers a request; a tag of "" takes none.
func (r *raw) reply(req *siptest.Message, code int, tag string, body []byte, extra ...siptest.Field) {
	r.t.Helper()
	r.replyOf(req, code, tag, "application/sdp", body, extra...)
}

// replyOf is reply with a body of another type.
func (r *raw) replyOf(req *siptest.Message, code int, tag, contentType string, body []byte, extra ...siptest.Field) {
	r.t.Helper()
	m := &siptest.Message{Code: code, Reason: "Whatever", Body: body}
	for _, v := range req.All("Via") {
		m.Add("Via", v)
	}
	for _, n := range []string{"From", "To", "Call-ID", "CSeq"} {
		m.Add(n, req.Get(n))
	}
	if tag != "" && siptest.Param(req.Get("To"), "tag") == "" {
		m.Set("To", req.Get("To")+";tag="+tag)
	}
	if req.Method == "INVITE" && !slices.ContainsFunc(extra, func(f siptest.Field) bool { return f.Name == "Contact" }) {
		m.Add("Contact", "<sip:raw@"+r.addr().String()+">")
	}
	if body != nil {
		m.Add("Content-Type", contentType)
	}
	m.Headers = append(m.Headers, extra...)
	r.send(m)
}

// within builds a request in the dialog of an INVITE that we sent and its
// answer.
func (r *raw) within(method string, seq int, inv, res *siptest.Message) *siptest.Message {
	m := &siptest.Message{Method: method, URI: siptest.URIOf(res.Get("Contact"))}
	m.Add("Via", r.via())
	m.Add("Max-Forwards", "70")
	m.Add("From", inv.Get("From"))
	m.Add("To", res.Get("To"))
	m.Add("Call-ID", inv.Get("Call-ID"))
	m.Add("CSeq", fmt.Sprintf("%d %s", seq, method))
	m.Add("Contact", "<sip:raw@"+r.addr().String()+">")
	return m
}

// back builds a request in the dialog of an INVITE that came to us and that
// we answered with tag.
func (r *raw) back(method string, seq int, inv *siptest.Message, tag string) *siptest.Message {
	m := &siptest.Message{Method: method, URI: siptest.URIOf(inv.Get("Contact"))}
	m.Add("Via", r.via())
	m.Add("Max-Forwards", "70")
	m.Add("From", inv.Get("To")+";tag="+tag)
	m.Add("To", inv.Get("From"))
	m.Add("Call-ID", inv.Get("Call-ID"))
	m.Add("CSeq", fmt.Sprintf("%d %s", seq, method))
	m.Add("Contact", "<sip:raw@"+r.addr().String()+">")
	return m
}

// withSDP adds a description to a request.
func withSDP(m *siptest.Message, body []byte) *siptest.Message {
	m.Add("Content-Type", "application/sdp")
	m.Body = body
	return m
}

// cancel and ackFailure follow an INVITE of ours.
func (r *raw) cancel(inv *siptest.Message) {
	r.t.Helper()
	r.send(hop("CANCEL", inv, inv.Get("To")))
}

func (r *raw) ackFailure(inv, res *siptest.Message) {
	r.t.Helper()
	r.send(hop("ACK", inv, res.Get("To")))
}

func hop(method string, inv *siptest.Message, to string) *siptest.Message {
	m := &siptest.Message{Method: method, URI: inv.URI}
	n, _ := inv.CSeq()
	for _, f := range []siptest.Field{{Name: "Via", Value: inv.Get("Via")}, {Name: "Max-Forwards", Value: "70"}, {Name: "From", Value: inv.Get("From")},
		{Name: "To", Value: to}, {Name: "Call-ID", Value: inv.Get("Call-ID")}, {Name: "CSeq", Value: fmt.Sprintf("%d %s", n, method)}} {
		m.Add(f.Name, f.Value)
	}
	return m
}

// rawWorld has a raw carrier in front and a raw PBX behind, plain RTP on both
// sides.
type rawWorld struct {
	*world
	a, b *raw
}

func newRawWorld(t *testing.T, opts ...option) *rawWorld {
	t.Helper()
	return newRawWorldAt(t, publicNet+"66:0", insideNet+"66:0", opts...)
}

func newRawWorldAt(t *testing.T, pub, in string, opts ...option) *rawWorld {
	t.Helper()
	a, b := newRaw(t, pub), newRaw(t, in)
	opts = append([]option{func(c *worldConfig) {
		c.sbc.PBXs = []sbc.PBX{{Name: "main", Host: b.addr().Addr().String(), Port: b.addr().Port(), Transport: "udp", SRTP: sdp.SRTPOff}}
		c.sbc.Peers = []sbc.Peer{{Name: "raw", IP: []netip.Prefix{netip.PrefixFrom(a.addr().Addr(), a.addr().Addr().BitLen())},
			Host: a.addr().Addr().String(), Port: a.addr().Port(), Transport: "udp", AllowPlaintext: true, SRTP: sdp.SRTPOff}}
		c.sbc.Routes = []sbc.Route{{Peers: []string{"raw"}}}
	}}, opts...)
	w := &rawWorld{world: newWorld(t, opts...), a: a, b: b}
	gateway := func(side call.Side, v6 bool) netip.AddrPort {
		for _, x := range w.gw.Addrs(side, "udp") {
			if x.Addr().Is6() == v6 {
				return x
			}
		}
		t.Fatalf("no UDP listener on the %s side", side)
		return netip.AddrPort{}
	}
	a.gw, b.gw = gateway(call.Public, a.addr().Addr().Is6()), gateway(call.Inside, b.addr().Addr().Is6())
	return w
}

// up makes an established call: the INVITE and 200 on each side.
type rawCall struct {
	inv, ok *siptest.Message // A's
	in      *siptest.Message // as B got it
	tag     string           // B's
}

func (w *rawWorld) up(change ...func(*siptest.Message)) rawCall {
	w.t.Helper()
	c := rawCall{tag: unique("t")}
	c.inv = w.a.invite("+33123456789", change...)
	c.in = w.b.request("INVITE")
	w.b.reply(c.in, 180, c.tag, nil)
	w.a.code(180)
	w.b.reply(c.in, 200, c.tag, w.b.sdp())
	c.ok = w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, c.inv, c.ok))
	return c
}

// bye hangs up by A and sees it through.
func (w *rawWorld) bye(c rawCall, seq int) {
	w.t.Helper()
	w.a.send(w.a.within("BYE", seq, c.inv, c.ok))
	w.a.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
}

// hidden checks that no address of one side was seen on the other.
func (w *rawWorld) hidden() {
	w.t.Helper()
	if s := w.a.saw(); strings.Contains(s, insideNet) {
		w.t.Errorf("the public side saw the inside:\n%s", around(s, insideNet))
	}
	if s := w.b.saw(); strings.Contains(s, publicNet) {
		w.t.Errorf("the inside saw the public side:\n%s", around(s, publicNet))
	}
}
