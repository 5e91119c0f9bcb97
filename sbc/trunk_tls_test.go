package sbc_test

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/digest"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	rtls "github.com/rampart-sbc/rampart/tls"
)

// tlsEnd is a carrier on TLS that says what the test tells it.
type tlsEnd struct {
	t     *testing.T
	ln    net.Listener
	conns chan *tlsPath
}

// tlsPath is one connection to it.
type tlsPath struct {
	net.Conn
	got chan *siptest.Message
}

func newTLSEnd(t *testing.T, addr string, cert cryptotls.Certificate) *tlsEnd {
	t.Helper()
	ln, err := cryptotls.Listen("tcp", addr, &cryptotls.Config{Certificates: []cryptotls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	e := &tlsEnd{t: t, ln: ln, conns: make(chan *tlsPath, 16)}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p := &tlsPath{c, make(chan *siptest.Message, 64)}
			go p.read(e.conns)
		}
	}()
	return e
}

func (p *tlsPath) read(up chan<- *tlsPath) {
	defer close(p.got)
	defer p.Close()
	if p.Conn.(*cryptotls.Conn).Handshake() != nil {
		return
	}
	up <- p
	var buf []byte
	chunk := make([]byte, 4096)
	for {
		n, err := p.Read(chunk)
		if err != nil {
			return
		}
		for buf = append(buf, chunk[:n]...); ; {
			m, size, err := siptest.Parse(buf, false)
			if err != nil || m == nil {
				break
			}
			buf = buf[size:]
			p.got <- m
		}
	}
}

func (p *tlsPath) expect(t *testing.T, what string, fits func(*siptest.Message) bool) *siptest.Message {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case m, ok := <-p.got:
			if !ok {
				t.Fatalf("%s: the connection ended", what)
			}
			if fits(m) {
				return m
			}
		case <-deadline:
			t.Fatalf("%s never came", what)
		}
	}
}

func (p *tlsPath) reply(m *siptest.Message, code int, extra ...siptest.Field) {
	r := &siptest.Message{Code: code, Reason: "Whatever"}
	for _, n := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		r.Add(n, m.Get(n))
	}
	r.Set("To", r.Get("To")+";tag=t")
	r.Headers = append(r.Headers, extra...)
	p.Write(r.Bytes())
}

// TestTrunkOverTLS: the certificate must be for the domain of the URI, not for
// what an SRV record names (RFC 5922 §4); calls on the connection of the
// registration are the carrier's; when it goes, the gateway registers again.
func TestTrunkOverTLS(t *testing.T) {
	n := newNames(t)
	paths, _, err := rtls.EnsureCA(t.TempDir(), []string{"authority.test"}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(paths.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	cert := func(name string) cryptotls.Certificate { return issue(t, filepath.Dir(paths.CA), name) }
	liar := newTLSEnd(t, carrierIP+":16161", cert("one.provider.test"))
	honest := newTLSEnd(t, carrierIP+":16162", cert("carrier.test"))
	n.set(t, "_sips._tcp.carrier.test. 60 IN SRV 10 0 16161 one.provider.test.", "_sips._tcp.carrier.test. 60 IN SRV 20 0 16162 two.provider.test.",
		"one.provider.test. 60 IN A "+carrierIP, "two.provider.test. 60 IN A "+carrierIP)
	w := newRawWorld(t, func(c *worldConfig) {
		c.sbc.DNS = []netip.AddrPort{n.addr}
		c.sbc.Peers = []sbc.Peer{{Name: "carrier-tls", Host: "carrier.test", Transport: "tls", SRTP: sdp.SRTPOff,
			TLS:      &cryptotls.Config{RootCAs: pool, ServerName: "carrier.test"},
			Register: &sbc.TrunkAccount{Credentials: digest.Credentials{User: "4711", Password: digest.NewSecret("x")}, Retry: 50 * time.Millisecond}}}
		c.sbc.Routes = nil
	})
	path := <-honest.conns
	m := path.expect(t, "REGISTER", is("REGISTER"))
	if m.URI != "sip:carrier.test" || !strings.Contains(m.Get("Contact"), "transport=tls") {
		t.Errorf("%s", m.Bytes())
	}
	path.reply(m, 200, field("Contact", m.Get("Contact")+";expires=600"))
	eventually(t, "registered", func() bool { return w.gw.Trunks()["carrier-tls"].Registered })
	select {
	case <-liar.conns:
		t.Error("a certificate of the SRV target's own name was taken")
	default:
	}
	inv := &siptest.Message{Method: "INVITE", URI: siptest.URIOf(m.Get("Contact")), Body: w.a.sdp()}
	for _, f := range []siptest.Field{{Name: "Via", Value: "SIP/2.0/TLS carrier.test;branch=z9hG4bK" + unique("b")}, {Name: "Max-Forwards", Value: "70"},
		{Name: "From", Value: "<sip:+33199001234@carrier.test>;tag=f"}, {Name: "To", Value: "<sip:4711@carrier.test>"}, {Name: "Call-ID", Value: unique("call")},
		{Name: "CSeq", Value: "1 INVITE"}, {Name: "Contact", Value: "<sip:c@" + carrierIP + ";transport=tls>"}, {Name: "Content-Type", Value: "application/sdp"}} {
		inv.Add(f.Name, f.Value)
	}
	path.Write(inv.Bytes())
	w.b.reply(w.b.request("INVITE"), 486, "t", nil)
	res := path.expect(t, "486", func(m *siptest.Message) bool { return m.Code == 486 })
	path.Write(hop("ACK", inv, res.Get("To")).Bytes())
	w.quiet()
	if r := w.rep.lastRecord(t, 1); r.Peer != "carrier-tls" || r.Direction != call.Inbound {
		t.Errorf("record %+v", r)
	}
	path.Close()
	again := <-honest.conns
	m = again.expect(t, "REGISTER over a new connection", is("REGISTER"))
	again.reply(m, 200, field("Contact", m.Get("Contact")+";expires=600"))
}
