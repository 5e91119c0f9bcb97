package sbc_test

import (
	cryptotls "crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// rawPhone is a raw end over TLS whose registration the raw PBX has accepted.
type rawPhone struct {
	*raw
	user    string
	contact string // its token, as the PBX has it
}

// desk connects a raw phone from an address of its own and registers it.
func (w *rawWorld) desk(user string) *rawPhone {
	w.t.Helper()
	p := w.plug(user)
	p.register(w)
	return p
}

func (w *rawWorld) plug(user string) *rawPhone {
	w.t.Helper()
	p, err := w.tryPlug(user)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *rawWorld) tryPlug(user string) (*rawPhone, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(publicNet + "1" + user[len(user)-2:])}}
	c, err := cryptotls.DialWithDialer(&dialer, "tcp", w.tlsAddr.String(), &cryptotls.Config{RootCAs: w.roots, ServerName: domain})
	if err != nil {
		return nil, err
	}
	r := &raw{t: w.t, gw: w.tlsAddr, local: netip.MustParseAddrPort(c.LocalAddr().String()), kind: "TLS", more: make(chan struct{}, 1)}
	r.out = func(b []byte) error { _, err := c.Write(b); return err }
	r.close = func() { c.Close() }
	w.t.Cleanup(func() { c.Close() })
	go func() {
		var buf []byte
		chunk := make([]byte, 8192)
		for {
			n, err := c.Read(chunk)
			if err != nil {
				return
			}
			for buf = append(buf, chunk[:n]...); len(buf) > 0; {
				m, used, err := siptest.Parse(buf, false)
				if err != nil {
					break
				}
				r.came(m, buf[:used])
				buf = buf[used:]
			}
		}
	}()
	return &rawPhone{raw: r, user: user}, nil
}

func (p *rawPhone) register(w *rawWorld) {
	w.t.Helper()
	m := p.outside("REGISTER", "sip:"+domain)
	m.Set("To", "<sip:"+p.user+"@"+domain+">")
	m.Add("Expires", "3600")
	p.send(m)
	in := w.b.request("REGISTER")
	p.contact = siptest.URIOf(in.Get("Contact"))
	w.granted(in, 3600)
	p.answer("REGISTER", 200)
}

// outside builds a request outside of any dialog.
func (p *rawPhone) outside(method, uri string, change ...func(*siptest.Message)) *siptest.Message {
	m := &siptest.Message{Method: method, URI: uri}
	m.Add("Via", p.via())
	m.Add("Max-Forwards", "70")
	m.Add("From", "<sip:"+p.user+"@"+domain+">;tag="+unique("f"))
	m.Add("To", "<"+uri+">")
	m.Add("Call-ID", unique("call"))
	m.Add("CSeq", "1 "+method)
	m.Add("Contact", "<sip:"+p.user+"@"+p.addr().String()+";transport=tls>")
	m.Add("User-Agent", "Desk/"+publicNet)
	for _, f := range change {
		f(m)
	}
	return m
}

// srtp is a description with audio at the phone.
func (p *rawPhone) srtp() []byte {
	a := p.addr().Addr()
	return []byte(fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio 40000 RTP/SAVP 0\r\n"+
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n", a, a, strings.Repeat("Abcd", 10)))
}

// accept is srtp as the answer to an offer.
func (p *rawPhone) accept(offer []byte) []byte {
	p.t.Helper()
	for line := range strings.SplitSeq(string(offer), "\r\n") {
		if rest, ok := strings.CutPrefix(line, "a=crypto:"); ok && strings.Contains(rest, "AES_CM_128_HMAC_SHA1_80") {
			tag, _, _ := strings.Cut(rest, " ")
			return []byte(strings.Replace(string(p.srtp()), "crypto:1 ", "crypto:"+tag+" ", 1))
		}
	}
	p.t.Fatalf("no suite to take in %s", offer)
	return nil
}

// deskCall is a call of a phone to the PBX: its messages on either side.
type deskCall struct {
	rawCall
	phone *rawPhone
}

func (w *rawWorld) dial(p *rawPhone, to string, change ...func(*siptest.Message)) deskCall {
	w.t.Helper()
	c := deskCall{phone: p, rawCall: rawCall{tag: unique("t")}}
	c.inv = withSDP(p.outside("INVITE", "sip:"+to+"@"+domain, change...), p.srtp())
	p.send(c.inv)
	c.in = w.b.request("INVITE")
	w.b.reply(c.in, 200, c.tag, w.b.sdp())
	c.ok = p.code(200)
	w.b.request("ACK")
	p.send(p.within("ACK", 1, c.inv, c.ok))
	return c
}

// rung is a call of the PBX to a phone.
type rungCall struct {
	inv, ok *siptest.Message // as the PBX sent and got them
	in      *siptest.Message // as the phone got it
	tag     string           // the phone's
}

func (w *rawWorld) rung(p *rawPhone, change ...func(*siptest.Message)) rungCall {
	w.t.Helper()
	c := rungCall{tag: unique("t")}
	c.inv = w.b.invite("x", append([]func(*siptest.Message){func(m *siptest.Message) {
		m.URI = p.contact
		m.Set("From", "<sip:1009@"+w.b.host()+">;tag="+unique("f"))
	}}, change...)...)
	c.in = p.request("INVITE")
	p.reply(c.in, 200, c.tag, p.accept(c.in.Body))
	c.ok = w.b.code(200)
	p.request("ACK")
	w.b.send(w.b.within("ACK", 1, c.inv, c.ok))
	return c
}
