package sbc_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// udpEnd is a UDP socket for media at one end.
type udpEnd struct {
	t    *testing.T
	conn *net.UDPConn
}

func (r *raw) udpEnd() *udpEnd {
	r.t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.addr().Addr(), 0)))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return &udpEnd{r.t, c}
}

func (e *udpEnd) port() int { return e.conn.LocalAddr().(*net.UDPAddr).Port }

// hears sends a packet to the gateway until it arrives at to, the same to the
// octet.
func (e *udpEnd) hears(what string, to *udpEnd, gateway netip.AddrPort, packet []byte) {
	e.t.Helper()
	buf := make([]byte, 2048)
	var got []string
	for range 50 {
		if _, err := e.conn.WriteToUDPAddrPort(packet, gateway); err != nil {
			e.t.Fatal(err)
		}
		to.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		for {
			n, _, err := to.conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				break // later, or once more
			}
			if bytes.Equal(buf[:n], packet) {
				return
			}
			got = append(got, fmt.Sprintf("%x", buf[:n])) // repeats of what came before
		}
	}
	e.t.Errorf("%s: %x does not arrive; there came %q", what, packet, got)
}

// mediaAt is the address of the i-th m-line of a description.
func mediaAt(t *testing.T, m *siptest.Message, i int) netip.AddrPort {
	t.Helper()
	var host string
	for line := range strings.SplitSeq(string(m.Body), "\r\n") {
		if v, ok := strings.CutPrefix(line, "c=IN IP4 "); ok && host == "" {
			host = v
		}
		if strings.HasPrefix(line, "m=") {
			if i--; i < 0 {
				return netip.MustParseAddrPort(host + ":" + strings.Fields(line)[1])
			}
		}
	}
	t.Fatalf("no such line in %s", m.Body)
	return netip.AddrPort{}
}

func (r *raw) lines(lines ...string) []byte {
	return []byte(fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n", r.host(), r.host()) + strings.Join(append(lines, ""), "\r\n"))
}

func rtpOf(pt byte, seq byte, payload string) []byte {
	return append([]byte{0x80, pt, 0, seq, 0, 0, 0, seq, 1, 2, 3, 4}, payload...)
}

// TestFaxThroughTheGateway: a call becomes T.38 and audio again.
func TestFaxThroughTheGateway(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	c := w.up()
	w.confirmed()
	ea, eb := w.a.udpEnd(), w.b.udpEnd()
	fax := func(e *udpEnd) string {
		return fmt.Sprintf("m=image %d udptl t38\r\na=T38FaxVersion:0\r\na=T38FaxRateManagement:transferredTCF\r\na=T38FaxUdpEC:t38UDPRedundancy\r\na=T38VendorInfo:%s9", e.port(), insideNet)
	}
	w.b.send(withSDP(w.b.back("INVITE", 1, c.in, c.tag), w.b.lines(fax(eb))))
	re := w.a.request("INVITE")
	if s := string(re.Body); !strings.Contains(s, "udptl t38\r\na=T38FaxVersion:0\r\na=T38FaxRateManagement:transferredTCF\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n") || strings.Contains(s, "m=audio") {
		t.Errorf("A got %s", s)
	}
	w.a.reply(re, 200, "", w.a.lines(fax(ea)))
	ok := w.b.code(200)
	w.a.request("ACK")
	w.b.send(w.b.back("ACK", 1, c.in, c.tag))
	packet := []byte{0, 1, 1, 6, 0, 0}
	ea.hears("fax to the PBX", eb, mediaAt(t, re, 0), packet)
	eb.hears("fax to the carrier", ea, mediaAt(t, ok, 0), packet)
	// And audio again.
	w.a.send(withSDP(w.a.within("INVITE", 2, c.inv, c.ok), w.a.sdpAt(ea.port())))
	back := w.b.request("INVITE")
	w.b.reply(back, 200, "", w.b.sdpAt(eb.port()))
	ok = w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 2, c.inv, c.ok))
	ea.hears("speech to the PBX", eb, mediaAt(t, ok, 0), rtpOf(0, 1, "speech"))
	// The other end will not have fax: the call goes on.
	w.a.send(withSDP(w.a.within("INVITE", 3, c.inv, c.ok), w.a.lines(fax(ea))))
	w.b.reply(w.b.request("INVITE"), 488, "", nil)
	w.a.code(488)
	ea.hears("speech after a refused fax", eb, mediaAt(t, ok, 0), rtpOf(0, 2, "speech"))
	w.bye(c, 4)
	w.hidden()
}

// TestFaxTowardsSRTP: fax cannot be encrypted, so a phone that must have SRTP
// never hears of it, and the call goes on as it was.
func TestFaxTowardsSRTP(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	c := w.dial(p, "1002")
	w.confirmed()
	w.b.send(withSDP(w.b.back("INVITE", 1, c.in, c.tag), w.b.lines("m=image 4000 udptl t38")))
	w.b.code(488)
	p.never("a fax re-INVITE", is("INVITE"))
	if len(w.gw.Calls()) != 1 {
		t.Error("the call is gone")
	}
	// A hold still works.
	w.b.send(w.b.back("ACK", 1, c.in, c.tag))
	w.b.send(withSDP(w.b.back("INVITE", 2, c.in, c.tag), w.b.sdp("a=sendonly")))
	re := p.request("INVITE")
	if !strings.Contains(string(re.Body), "RTP/SAVP") || !strings.Contains(string(re.Body), "a=sendonly") {
		t.Errorf("hold: %s", re.Body)
	}
	p.reply(re, 200, "", p.accept(re.Body))
	w.b.code(200)
	p.request("ACK")
	w.b.send(w.b.back("BYE", 3, c.in, c.tag))
	w.b.answer("BYE", 200)
	p.reply(p.request("BYE"), 200, "", nil)
	w.quiet()
}

const videoLines = "b=AS:512\r\nb=RR:0\r\nb=AS:7\r\nb=X-Host:10.1.1.1\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:* ccm fir\r\na=ssrc:1 cname:10.1.1.1"

// TestVideo: two streams, each with its own numbers, feedback and bandwidth.
func TestVideo(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	ea, va, eb, vb := w.a.udpEnd(), w.a.udpEnd(), w.b.udpEnd(), w.b.udpEnd()
	inv := w.a.invite("+33123456789", func(m *siptest.Message) {
		m.Body = w.a.lines(fmt.Sprintf("m=audio %d RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15", ea.port()),
			fmt.Sprintf("m=video %d RTP/AVPF 96\r\n%s", va.port(), videoLines))
	})
	in := w.b.request("INVITE")
	s := string(in.Body)
	for _, want := range []string{"RTP/AVPF 96\r\n", "b=AS:512\r\nb=RR:0\r\n", "a=rtpmap:96 H264/90000\r\n", "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n", "a=rtcp-fb:96 nack pli\r\n", "a=rtcp-fb:* ccm fir\r\n"} {
		if !strings.Contains(s, want) {
			t.Errorf("B did not get %q:\n%s", want, s)
		}
	}
	if strings.Contains(s, "10.1.1.1") || strings.Contains(s, "ssrc") {
		t.Errorf("B got %s", s)
	}
	// B has numbers of its own.
	w.b.reply(in, 200, "t1", w.b.lines(fmt.Sprintf("m=audio %d RTP/AVP 0 97\r\na=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15", eb.port()),
		fmt.Sprintf("m=video %d RTP/AVPF 98\r\nb=TIAS:256000\r\na=rtpmap:98 H264/90000\r\na=rtcp-fb:98 nack pli", vb.port())))
	ok := w.a.code(200)
	for _, want := range []string{"RTP/AVP 0 97\r\n", "a=rtpmap:97 telephone-event/8000\r\n", "RTP/AVPF 98\r\n", "b=TIAS:256000\r\n", "a=rtcp-fb:98 nack pli\r\n"} {
		if !strings.Contains(string(ok.Body), want) {
			t.Errorf("A did not get %q:\n%s", want, ok.Body)
		}
	}
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	ea.hears("audio to B", eb, mediaAt(t, ok, 0), rtpOf(0, 1, "sound"))
	va.hears("video to B", vb, mediaAt(t, ok, 1), rtpOf(98, 1, "picture"))
	vb.hears("video to A", va, mediaAt(t, in, 1), rtpOf(96|0x80, 1, "picture"))
	// A key: each end gets it by the number it asked for, marker and all.
	key := string([]byte{5, 0x8a, 3, 0x20})
	ea.hears("a key to B", eb, mediaAt(t, ok, 0), rtpOf(97|0x80, 2, key))
	eb.hears("a key to A", ea, mediaAt(t, in, 0), rtpOf(101|0x80, 2, key))
	w.bye(rawCall{inv: inv, ok: ok, in: in, tag: "t1"}, 2)
	w.hidden()
}

// TestVideoRefused: audio alone is a call too, and what is no media of ours is
// declined.
func TestVideoRefused(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	ea, eb := w.a.udpEnd(), w.b.udpEnd()
	inv := w.a.invite("+33123456789", func(m *siptest.Message) {
		m.Body = w.a.lines(fmt.Sprintf("m=audio %d RTP/AVP 0", ea.port()), "m=video 5000 RTP/AVP 96\r\na=rtpmap:96 H264/90000", "m=application 5002 UDP/BFCP *")
	})
	in := w.b.request("INVITE")
	if !strings.Contains(string(in.Body), "m=application 0 ") {
		t.Errorf("B got %s", in.Body)
	}
	w.b.reply(in, 200, "t1", w.b.lines(fmt.Sprintf("m=audio %d RTP/AVP 0", eb.port()), "m=video 0 RTP/AVP 96", "m=application 0 UDP/BFCP *"))
	ok := w.a.code(200)
	if s := string(ok.Body); !strings.Contains(s, "m=video 0 RTP/AVP 96\r\n") || !strings.Contains(s, "m=application 0 UDP/BFCP *\r\n") {
		t.Errorf("A got %s", s)
	}
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	ea.hears("audio", eb, mediaAt(t, ok, 0), rtpOf(0, 1, "sound"))
	w.bye(rawCall{inv: inv, ok: ok, in: in, tag: "t1"}, 2)
}

// TestSecureVideo: SRTP towards the phone, RTP towards the PBX, on both
// streams.
func TestSecureVideo(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	line := func(kind string, port int, profile, pts string) string {
		return fmt.Sprintf("m=%s %d %s %s\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s", kind, port, profile, pts, strings.Repeat(kind[:1]+"bcd", 10))
	}
	inv := withSDP(p.outside("INVITE", "sip:1002@"+domain), p.lines(line("audio", 4000, "RTP/SAVP", "0"), line("video", 4002, "RTP/SAVPF", "96")+"\r\n"+videoLines))
	p.send(inv)
	in := w.b.request("INVITE")
	if s := string(in.Body); !strings.Contains(s, " RTP/AVP 0\r\n") || !strings.Contains(s, " RTP/AVPF 96\r\n") || strings.Contains(s, "crypto") {
		t.Errorf("the PBX got %s", s)
	}
	w.b.reply(in, 200, "t1", w.b.lines("m=audio 5000 RTP/AVP 0", "m=video 5002 RTP/AVPF 96\r\na=rtpmap:96 H264/90000\r\na=rtcp-fb:96 nack"))
	ok := p.code(200)
	s := string(ok.Body)
	if !strings.Contains(s, " RTP/SAVP 0\r\n") || !strings.Contains(s, " RTP/SAVPF 96\r\n") || strings.Count(s, "a=crypto:1 ") != 2 || !strings.Contains(s, "a=rtcp-fb:96 nack\r\n") {
		t.Errorf("the phone got %s", s)
	}
	w.b.request("ACK")
	p.send(p.within("ACK", 1, inv, ok))
	w.confirmed()
	p.send(p.within("BYE", 2, inv, ok))
	p.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
}
