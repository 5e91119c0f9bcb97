package sipx

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// benchInvite is an INVITE as phones send it: 17 headers, a description of
// one audio stream.
func benchInvite(host, branch string) string {
	body := "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0 8 101\r\n" +
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
	m := strings.Replace(msg("INVITE", host, branch, branch, "", 1), "Content-Length: 0\r\n\r\n", fmt.Sprintf(
		"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\nSupported: timer, replaces, outbound\r\nSession-Expires: 1800\r\nMin-SE: 90\r\n"+
			"User-Agent: bench/1.0\r\nAccept: application/sdp\r\nPriority: normal\r\nSubject: a call\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(body), body), 1)
	return m
}

// answering refuses or answers in the reading goroutine, as the gateway's
// cheapest paths do.
type answering struct {
	recorder
	f func(*Request)
}

func (a *answering) Request(r *Request) { a.f(r) }

func benchStack(b *testing.B, f func(*Request)) (*Stack, *net.UDPConn) {
	b.Helper()
	h := &answering{f: f}
	s, err := New(Config{Listeners: []Listener{{Side: call.Public, Transport: "udp", Bind: netip.MustParseAddrPort("127.0.0.1:0")}}, T1: 20 * time.Millisecond, T2: 40 * time.Millisecond, T4: 20 * time.Millisecond}, h)
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	b.Cleanup(s.Close)
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.Addrs(call.Public, "udp")[0]))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return s, c
}

func benchRound(b *testing.B, c *net.UDPConn, m func(i int) []byte) {
	buf := make([]byte, 65536)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if _, err := c.Write(m(i)); err != nil {
			b.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefuse is one INVITE in and one stateless answer out over UDP,
// the client's two system calls included.
func BenchmarkRefuse(b *testing.B) {
	_, c := benchStack(b, func(r *Request) { r.Refuse(403, nil) })
	m := []byte(benchInvite(c.LocalAddr().String(), "bench"))
	benchRound(b, c, func(int) []byte { return m })
}

// BenchmarkTransaction is one OPTIONS with a server transaction of its own.
func BenchmarkTransaction(b *testing.B) {
	_, c := benchStack(b, func(r *Request) {
		if tx := r.Begin(); tx != nil {
			tx.Respond(200, "", "", nil, nil)
		}
	})
	m := []byte(msg("OPTIONS", c.LocalAddr().String(), "bench0000000000", "bench", "", 1))
	at := strings.Index(string(m), "bench0000000000") + 5
	benchRound(b, c, func(i int) []byte { copy(m[at:], fmt.Sprintf("%010d", i)); return m })
}

// BenchmarkRead is what every request costs before anybody decides.
func BenchmarkRead(b *testing.B) {
	s, c := benchStack(b, func(*Request) {})
	m := []byte(benchInvite(c.LocalAddr().String(), "bench"))
	u := s.udp[0]
	f := u.flow(u.conns[0], netip.MustParseAddrPort("192.0.2.7:5060"))
	b.ReportAllocs()
	for b.Loop() {
		s.handle(f, m)
	}
}

func benchRequest(b *testing.B) *Request {
	var got *Request
	s, c := benchStack(b, func(r *Request) { got = r })
	u := s.udp[0]
	s.handle(u.flow(u.conns[0], netip.MustParseAddrPort("192.0.2.7:5060")), []byte(benchInvite(c.LocalAddr().String(), "bench")))
	return got
}

func BenchmarkReply(b *testing.B) {
	r := benchRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		_ = r.reply(200, "OK", "tag", nil, nil)
	}
}

func BenchmarkCarry(b *testing.B) {
	r := benchRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		r.Carry(call.Inside)
	}
}

func BenchmarkAttempt(b *testing.B) {
	r := benchRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		r.Attempt()
	}
}

func BenchmarkSerialize(b *testing.B) {
	r := benchRequest(b)
	d := r.Accept("tag", "sip:rampart@192.0.2.1")
	hs := r.Carry(call.Inside)
	b.ReportAllocs()
	for b.Loop() {
		o := d.Request("INVITE", 0, hs, r.Body())
		if o.safe() == nil {
			o.serialize("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabcdef;rport")
		}
	}
}
