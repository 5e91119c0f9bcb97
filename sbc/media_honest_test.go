package sbc_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// voice is one end of a stream: it sends packets of its own and knows those that
// came.
type voice struct {
	t    *testing.T
	c    *net.UDPConn
	to   netip.AddrPort // the gateway's port
	ssrc uint32
	seq  uint16
}

func newVoice(t *testing.T, ip string, ssrc uint32) *voice {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(ip+":0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &voice{t: t, c: c, ssrc: ssrc, seq: 100}
}

func (e *voice) port() int { return e.c.LocalAddr().(*net.UDPAddr).Port }

// says sends packets of a type until one of them is at the other end: the
// agreement may be a moment behind the message that made it.
func (e *voice) says(at *voice, what string, pt byte) {
	e.t.Helper()
	buf := make([]byte, 2048)
	eventually(e.t, what, func() bool {
		e.seq++
		p := make([]byte, 172)
		p[0], p[1] = 0x80, pt
		binary.BigEndian.PutUint16(p[2:], e.seq)
		binary.BigEndian.PutUint32(p[4:], uint32(e.seq)*160)
		binary.BigEndian.PutUint32(p[8:], e.ssrc)
		e.c.WriteToUDPAddrPort(p, e.to)
		for {
			at.c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			n, err := at.c.Read(buf)
			if err != nil {
				return false
			}
			if n == len(p) && buf[1]&0x7f == pt && binary.BigEndian.Uint16(buf[2:]) == e.seq {
				return true
			}
		}
	})
}

func portIn(t *testing.T, body []byte, line int) netip.AddrPort {
	t.Helper()
	s, err := siptest.ParseSDP(body)
	if err != nil {
		t.Fatal(err)
	}
	n := -1
	for l := range strings.SplitSeq(string(body), "\r\n") {
		if rest, ok := strings.CutPrefix(l, "m="); ok {
			if n++; n == line {
				var port uint16
				fmt.Sscan(strings.Fields(rest)[1], &port)
				return netip.AddrPortFrom(s.Addr.Addr(), port)
			}
		}
	}
	t.Fatalf("no line %d in %s", line, body)
	return netip.AddrPort{}
}

// described is the start of a description at addr; m-lines follow.
func described(addr string, lines ...string) []byte {
	return []byte(fmt.Sprintf("v=0\r\no=- 1 %d IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n", serial.Add(1), addr, addr) + strings.Join(append(lines, ""), "\r\n"))
}

// TestHonestMedia: what telephones, PBXs and their music do in a call is no
// attack: sound before the answer, comfort noise, keys, another source on hold,
// another packet time, types that each side numbers itself, types that a later
// offer brings, video. All of it crosses and no alert tells of it.
func TestHonestMedia(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	pub, in := publicNet+"66", insideNet+"66"
	a, b, va, vb := newVoice(t, pub, 7), newVoice(t, in, 9), newVoice(t, pub, 17), newVoice(t, in, 19)
	audio := func(e *voice, rest string, more ...string) []string {
		return append([]string{fmt.Sprintf("m=audio %d RTP/AVP %s", e.port(), rest)}, more...)
	}
	video := func(e *voice, pt string) []string {
		return []string{fmt.Sprintf("m=video %d RTP/AVP %s", e.port(), pt), "a=rtpmap:" + pt + " H264/90000"}
	}
	opus := func(pt string) []string {
		return []string{"a=rtpmap:" + pt + " opus/48000/2", "a=rtpmap:101 telephone-event/8000", "a=ptime:20"}
	}
	inv := w.a.invite("+33123456789", func(m *siptest.Message) {
		m.Body = described(pub, append(audio(a, "0 8 96 101", opus("96")...), video(va, "97")...)...)
	})
	req := w.b.request("INVITE")
	answer := described(in, append(audio(b, "0 111 101", opus("111")...), video(vb, "120")...)...)
	tag := unique("t")
	w.b.reply(req, 183, tag, answer)
	early := w.a.code(183)
	a.to, va.to = portIn(t, early.Body, 0), portIn(t, early.Body, 1)
	b.to, vb.to = portIn(t, req.Body, 0), portIn(t, req.Body, 1)
	b.says(a, "the callee's sound before the answer", 0)
	a.says(b, "the caller's sound before the answer", 0)
	w.b.reply(req, 200, tag, answer)
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	for _, end := range []struct {
		name     string
		from, to *voice
		opus     byte // as the other end numbers it
	}{{"the caller's", a, b, 111}, {"the callee's", b, a, 96}} {
		end.from.says(end.to, end.name+" sound", 0)
		end.from.says(end.to, end.name+" keys", 101)
		end.from.says(end.to, end.name+" comfort noise", 13)
		end.from.says(end.to, end.name+" Opus, as the other numbers it", end.opus)
		end.from.seq += 3000 // silence that was not sent
		end.from.says(end.to, end.name+" sound after silence", 0)
		end.from.ssrc, end.from.seq = end.from.ssrc+1000, 40000
		end.from.says(end.to, end.name+" music, of another source", 0)
		end.from.ssrc, end.from.seq = end.from.ssrc-1000, end.from.seq-30000
		end.from.says(end.to, end.name+" sound, of the first source", 0)
	}
	va.says(vb, "the caller's video", 120)
	vb.says(va, "the callee's video", 97)

	// A later offer: other types, another packet time, no video.
	re := withSDP(w.a.within("INVITE", 2, inv, ok), described(pub, append(audio(a, "8 9 101", "a=rtpmap:101 telephone-event/8000", "a=ptime:60"), fmt.Sprintf("m=video 0 RTP/AVP 97"))...))
	w.a.send(re)
	in2 := w.b.request("INVITE")
	w.b.reply(in2, 200, "", described(in, append(audio(b, "8 9 101", "a=rtpmap:101 telephone-event/8000", "a=ptime:60"), fmt.Sprintf("m=video 0 RTP/AVP 120"))...))
	w.a.expect("200 to the offer", func(m *siptest.Message) bool { n, _ := m.CSeq(); return m.Code == 200 && n == 2 })
	w.a.send(w.a.within("ACK", 2, inv, ok))
	w.b.request("ACK")
	for _, pt := range []byte{8, 9, 101, 13} {
		a.says(b, fmt.Sprint("type ", pt, " of the caller's offer"), pt)
		b.says(a, fmt.Sprint("type ", pt, " of the callee's answer"), pt)
	}
	// On hold by the PBX: its music goes on from somewhere else in it.
	hold := withSDP(w.b.back("INVITE", 5, req, tag), described(in, append(audio(b, "8", "a=sendonly"), "m=video 0 RTP/AVP 120")...))
	w.b.send(hold)
	h := w.a.expect("hold", func(m *siptest.Message) bool { return m.Method == "INVITE" })
	w.a.reply(h, 200, "", described(pub, append(audio(a, "8", "a=recvonly"), "m=video 0 RTP/AVP 97")...))
	okHold := w.b.expect("200 to hold", func(m *siptest.Message) bool { n, _ := m.CSeq(); return m.Code == 200 && n == 5 })
	w.b.send(w.b.back("ACK", 5, req, tag))
	_ = okHold
	w.a.request("ACK")
	b.ssrc, b.seq = 4242, 60000
	b.says(a, "music on hold", 8)

	w.a.send(w.a.within("BYE", 3, inv, ok))
	w.a.answer("BYE", 200)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.quiet()
	r := w.rep.lastRecord(t, 1)
	if n := len(r.Passes[0].MediaLegs); n != 2 {
		t.Errorf("%d legs", n)
	}
	for _, l := range r.Passes[0].MediaLegs {
		if l.Refused != 0 {
			t.Errorf("%d packets were refused: %+v", l.Refused, l)
		}
	}
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	if i := slices.IndexFunc(w.rep.systems, func(e call.SystemEvent) bool { return e.Action == call.MediaInjection }); i >= 0 {
		t.Errorf("alert %+v", w.rep.systems[i])
	}
}
