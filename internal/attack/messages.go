package attack

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// hostile is a message that is wrong in one way. text has a marker in the
// called user, so that it is known again at the PBX.
type hostile struct {
	name string
	make func(good string) string // of a good INVITE
}

func replace(old, with string) func(string) string {
	return func(good string) string { return strings.Replace(good, old, with, 1) }
}

// add puts lines behind the Call-ID.
func add(lines string) func(string) string { return replace("CSeq:", lines+"CSeq:") }

// body replaces the empty one.
func body(contentType, text string, more ...string) func(string) string {
	return func(good string) string {
		head := strings.Replace(good, "Content-Length: 0\r\n\r\n", "", 1)
		return fmt.Sprintf("%s%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", head, strings.Join(more, ""), contentType, len(text), text)
	}
}

// hostiles are refused by whoever reads strictly; what one reader takes for one
// message and the next for another is how requests are smuggled past rules.
var hostiles = []hostile{
	{"another protocol version", replace(" SIP/2.0", " SIP/3.0")},
	{"method and CSeq differ", replace(" INVITE\r\n", " REGISTER\r\n")},
	{"CSeq beyond 2^31", replace("CSeq: 1 ", "CSeq: 4294967296 ")},
	{"two From", add("From: <sip:1001@other.invalid>;tag=2\r\n")},
	{"two To, one of them compact", add("t: <sip:1002@other.invalid>\r\n")},
	{"two Call-ID, one of them compact", add("i: second\r\n")},
	{"two CSeq", add("CSeq: 2 INVITE\r\n")},
	{"two Max-Forwards", add("Max-Forwards: 5\r\n")},
	{"two Content-Length", add("Content-Length: 10\r\n")},
	{"negative Content-Length", replace("Content-Length: 0", "Content-Length: -1")},
	{"Content-Length beyond the message size", replace("Content-Length: 0", "Content-Length: 99999999")},
	{"a bare LF that hides a header", add("Subject: a\nP-Asserted-Identity: <sip:boss@example.com>\r\n")},
	{"a bare CR that hides a header", add("Subject: a\rP-Asserted-Identity: <sip:boss@example.com>\r\n")},
	{"NUL in a header", add("Subject: a\x00b\r\n")},
	{"a space before the colon of a second From", add("From : <sip:boss@example.com>;tag=3\r\n")},
	{"a line that is no header", add("this is no header\r\n")},
	{"header without a name", add(": value\r\n")},
	{"port 99999 in Via", replace("Via: SIP/2.0/TLS ", "Via: SIP/2.0/TLS 192.0.2.1:99999;branch=z9hG4bKx,SIP/2.0/TLS ")},
	{"no Via", func(good string) string { return cutLine(good, "Via:") }},
	{"no From", func(good string) string { return cutLine(good, "From:") }},
	{"no Call-ID", func(good string) string { return cutLine(good, "Call-ID:") }},
	{"200 headers", add(strings.Repeat("X-Many: 1\r\n", 200))},
	{"a header of 40,000 characters", add("X-Long: " + strings.Repeat("a", 40_000) + "\r\n")},
	{"a Request-URI that carries headers", replace("sip:", "sip:%68%65:x?From=boss@")},
	{"white space in the Request-URI", replace("INVITE sip:", "INVITE  sip:")},
	{"a loop of 71 hops", replace("Max-Forwards: 70", "Max-Forwards: 0")},
	{"Max-Forwards 999", replace("Max-Forwards: 70", "Max-Forwards: 999")},
	{"a compressed body", body("application/sdp", "\x1f\x8b\x08\x00bomb", "Content-Encoding: gzip\r\n")},
	{"an unknown required extension", add("Require: zq-unknown\r\n")},
	{"multipart fifty deep", body(`multipart/mixed;boundary="b0"`, deepMultipart(50))},
	{"a body of XML entities", body("application/resource-lists+xml", `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>`)},
}

func cutLine(good, name string) string {
	i := strings.Index(good, name)
	if i < 0 {
		return good
	}
	j := strings.Index(good[i:], "\r\n")
	return good[:i] + good[i+j+2:]
}

func deepMultipart(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "--b%d\r\nContent-Type: multipart/mixed;boundary=\"b%d\"\r\n\r\n", i, i+1)
	}
	fmt.Fprintf(&b, "--b%d\r\nContent-Type: text/plain\r\n\r\nx\r\n", n)
	for i := n; i >= 0; i-- {
		fmt.Fprintf(&b, "--b%d--\r\n", i)
	}
	return b.String()
}

// invite is a good INVITE of a telephone, written by hand.
func invite(p *siptest.Phone, to, domain string) string {
	return fmt.Sprintf("INVITE sip:%s@%s SIP/2.0\r\nVia: SIP/2.0/TLS %s;branch=z9hG4bK%s;rport\r\nMax-Forwards: 70\r\n"+
		"From: <%s>;tag=%s\r\nTo: <sip:%s@%s>\r\nCall-ID: %s\r\nCSeq: 1 INVITE\r\nContact: <sip:x@%s;transport=tls>\r\nContent-Length: 0\r\n\r\n",
		to, domain, p.Addr(), marker(), p.AOR(), marker(), to, domain, marker(), p.Addr())
}

// malformed sends every hostile message over the connection of a registered
// telephone: a stranger's would be refused whatever it says.
func (y *yard) malformed(ctx context.Context, n *notes) {
	n.did = fmt.Sprintf("%d messages over the connection of a registered telephone, which a strict reader refuses", len(hostiles))
	send := func(change func(string) string, mark string) error {
		// Anew each time: what cannot be framed ends the connection, and one
		// user that registers so often would be slowed down for it.
		p, err := y.phone(y.spare(), y.attacker())
		if err != nil {
			return err
		}
		defer p.Close()
		if p.Path().Send([]byte(change(invite(p, mark, y.gw.Domain)))) != nil {
			return nil
		}
		// What comes after it on the same connection is answered after it; where
		// the connection has been ended there is no answer.
		ask, cancel := context.WithTimeout(ctx, stepTime)
		defer cancel()
		p.Ping(ask)
		return nil
	}
	mark := marker()
	if err := send(func(good string) string { return good }, mark); err != nil {
		n.wrong("%v", err)
		return
	}
	if !y.waitInside(ctx, mark) {
		n.skip("this configuration does not let a good call to a name through, so the bad ones would prove nothing")
		return
	}
	marks := map[string]string{}
	for _, h := range hostiles {
		if ctx.Err() != nil {
			return
		}
		marks[h.name] = marker()
		if err := send(h.make, marks[h.name]); err != nil {
			n.wrong("after %q: %v", h.name, err)
			return
		}
	}
	// A good one behind them, so that all of them had their time.
	mark = marker()
	if err := send(func(good string) string { return good }, mark); err != nil || !y.waitInside(ctx, mark) {
		n.wrong("after them a good call does not reach the PBX any more (%v)", err)
	}
	for name, m := range marks {
		if b := y.inside.got(m); b != nil {
			n.wrong("%s: it reached the PBX", name)
		}
	}
	y.torture(ctx, n)
}

// waitInside waits for a marker at the PBX.
func (y *yard) waitInside(ctx context.Context, mark string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for y.inside.got(mark) == nil {
		if !pause(ctx, 20*time.Millisecond) {
			return false
		}
	}
	return true
}

// torture sends what a folder holds, as a stranger. The gateway must live, and
// nothing of it may reach the PBX.
func (y *yard) torture(ctx context.Context, n *notes) {
	if y.o.Torture == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(y.o.Torture, "*.dat"))
	if err != nil || len(files) == 0 {
		n.wrong("no *.dat in %s", y.o.Torture)
		return
	}
	at := y.attacker()
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || ctx.Err() != nil {
			n.wrong("%s: %v %v", filepath.Base(file), err, ctx.Err())
			return
		}
		if p, err := y.stranger(victim, "", at, "Desk Phone 1.0"); err == nil {
			p.Path().Send(b[:min(len(b), 1<<16)])
			p.Close()
		}
		y.datagram(at, b)
	}
	n.saw("%d messages of %s", len(files), filepath.Base(y.o.Torture))
}

// datagram sends one from an address, where there is a listener for it.
func (y *yard) datagram(from netip.Addr, b []byte) {
	if !y.gw.UDP.IsValid() {
		return
	}
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(y.gw.UDP))
	if err != nil {
		return
	}
	defer c.Close()
	c.Write(b)
}

// hidden looks at what a stranger and a telephone are sent for words of the
// inside.
func (y *yard) hidden(ctx context.Context, n *notes) {
	n.did = "a registration, a call and an OPTIONS; every byte that came back was searched for addresses and names of the inside"
	var all strings.Builder
	at := y.attacker()
	listen := func(user, pass string) (*siptest.Phone, error) {
		return siptest.NewPhone(y.life, siptest.PhoneConfig{User: user, Password: pass, Domain: y.gw.Domain, Server: y.gw.TLS, Transport: "tls",
			TLS: y.gw.Roots, Local: at, SRTP: []string{siptest.SuiteGCM, siptest.SuiteCM80}, Log: y.o.Log,
			Trace: func(sent bool, _ netip.AddrPort, b []byte) {
				if !sent && all.Len() < 1<<20 {
					all.Write(b)
				}
			}})
	}
	ctx, cancel := context.WithTimeout(ctx, 2*stepTime)
	defer cancel()
	known, err := listen(victim, password(victim))
	if err != nil {
		n.wrong("%v", err)
		return
	}
	if err := known.Register(ctx, time.Minute); err != nil {
		n.wrong("%v", err)
	} else if call, err := known.Invite(ctx, siptest.ExtTone); err != nil {
		n.wrong("%v", err)
	} else {
		call.Bye(ctx)
	}
	known.Options(ctx)
	known.Register(ctx, 0)
	known.Close()
	if p, err := listen("nobody", "x"); err == nil {
		short, cancel := context.WithTimeout(ctx, time.Second)
		p.Register(short, time.Minute)
		p.Options(short)
		cancel()
		p.Close()
	}
	text := strings.ToLower(all.String())
	n.saw("%d bytes came back", len(text))
	for _, s := range append([]string{y.pbx.Addr().String(), y.pbx.Addr().Addr().String()}, y.gw.Secret...) {
		if strings.Contains(text, strings.ToLower(s)) {
			n.wrong("%q of the inside was sent outside", s)
		}
	}
}

// plaintext speaks SIP without TLS wherever the gateway listens.
func (y *yard) plaintext(ctx context.Context, n *notes) {
	n.did = "REGISTER and INVITE without TLS, to every public listener"
	at := y.attacker()
	mark := marker()
	text := func(method, transport string) string {
		return fmt.Sprintf("%s sip:%s@%s SIP/2.0\r\nVia: SIP/2.0/%s %s:5060;branch=z9hG4bK%s;rport\r\nMax-Forwards: 70\r\nFrom: <sip:%s@%s>;tag=1\r\nTo: <sip:%s@%s>\r\n"+
			"Call-ID: %s\r\nCSeq: 1 %s\r\nContact: <sip:x@%s:5060>\r\nContent-Length: 0\r\n\r\n", method, mark, y.gw.Domain, transport, at, marker(), mark, y.gw.Domain, mark, y.gw.Domain,
			marker(), method, at)
	}
	answered := func(to netip.AddrPort, network string) {
		if !to.IsValid() {
			return
		}
		d := net.Dialer{LocalAddr: local(network, at), Timeout: stepTime}
		c, err := d.DialContext(ctx, network, to.String())
		if err != nil {
			n.saw("%s %s: refused", network, to)
			return
		}
		defer c.Close()
		for _, m := range []string{"REGISTER", "INVITE"} {
			c.Write([]byte(text(m, strings.ToUpper(network))))
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		buf := make([]byte, 4096)
		k, _ := c.Read(buf)
		if answer := string(buf[:k]); strings.HasPrefix(answer, "SIP/2.0 ") {
			code := answer[8:min(len(answer), 11)]
			n.saw("%s: %s", network, code)
			if strings.HasPrefix(code, "1") || strings.HasPrefix(code, "2") || code == "401" || code == "407" {
				n.wrong("%s: a stranger is answered %s in plaintext", network, code)
			}
		} else {
			n.saw("%s: silence", network)
		}
	}
	answered(y.gw.TLS, "tcp")
	answered(y.gw.TCP, "tcp")
	answered(y.gw.UDP, "udp")
	if y.inside.got(mark) != nil {
		n.wrong("it reached the PBX")
	}
}

// local is an address to send from.
func local(network string, a netip.Addr) net.Addr {
	if network == "udp" {
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
}

// logInjection tries to write lines and terminal escapes of its own into what
// the gateway writes.
func (y *yard) logInjection(ctx context.Context, n *notes) {
	mark := marker()
	n.did = "names, user agents and numbers with escapes, line breaks and right-to-left marks"
	poison := []string{"\x1b[2J" + mark, "%0d%0a" + mark, "\u202e" + mark, "\u2028" + mark, `","event":{"action":"` + mark}
	at := y.attacker()
	for i, s := range poison {
		p, err := y.stranger(fmt.Sprintf("1%03d", i), "x", at, s)
		if err != nil {
			continue // banned by now: as good
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		p.Register(short, time.Minute)
		m := p.NewRequest("INVITE", "sip:600@"+y.gw.Domain)
		m.Set("From", fmt.Sprintf("%q <%s>;tag=%s", s, p.AOR(), marker()))
		p.Do(short, p.Path(), m)
		cancel()
		p.Close()
		if y.gw.UDP.IsValid() {
			y.datagram(at, []byte(strings.ReplaceAll(m.String(), "User-Agent: ", "User-Agent: "+s)))
		}
	}
	// The last of them has been told of when a later, plain one has.
	if _, err := y.alerts(); err != nil {
		n.wrong("%v", err)
	}
	pause(ctx, 300*time.Millisecond)
	for _, file := range y.gw.Files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // nothing was written to it
		}
		for _, bad := range []string{"\x1b", "\u202e", "\u2028", "\r", "\x00"} {
			if strings.Contains(string(b), bad) {
				n.wrong("%s holds a raw %q", filepath.Base(file), bad)
			}
		}
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(strings.TrimSpace(line), mark) {
				n.wrong("%s has a line that an attacker wrote", filepath.Base(file))
			}
		}
		n.saw("%s: %d bytes, clean", filepath.Base(file), len(b))
	}
}
