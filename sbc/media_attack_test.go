package sbc_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
)

// forgeries are what somebody without the keys can send at a media port.
func forgeries(seq int, ssrc uint32) [][]byte {
	rtp := func(pt byte) []byte {
		b := make([]byte, 12+160)
		b[0], b[1] = 0x80, pt
		binary.BigEndian.PutUint16(b[2:], uint16(seq))
		binary.BigEndian.PutUint32(b[4:], uint32(seq)*160)
		binary.BigEndian.PutUint32(b[8:], ssrc)
		for i := range b[12:] {
			b[12+i] = byte(0x40 * (i & 3)) // loud
		}
		return b
	}
	bye := binary.BigEndian.AppendUint32([]byte{0x81, 203, 0, 1}, ssrc)
	return [][]byte{rtp(0), rtp(8), rtp(101), rtp(99), append(rtp(0), make([]byte, 10)...), append(rtp(0), make([]byte, 16)...),
		append([]byte{0x80, 201, 0, 1, 0, 0, 0, 1}, bye...), bye, append(append([]byte{}, bye...), 0x80, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
		append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...), append([]byte{22, 254, 253}, make([]byte, 60)...), []byte("x")}
}

// TestMediaUnderAttack: while sound goes both ways, strangers send all there is
// at the four ports of the call, on either side, and guess its source. The
// sound is the same, they get nothing, and one alert says what came and where.
func TestMediaUnderAttack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.registered("1001", tone(440))
	c := w.call(p, siptest.ExtEcho)
	if err := c.Media.WaitTone(w.ctx, 440); err != nil {
		t.Fatal(err)
	}
	public := c.Media.Remote()
	// The port towards the PBX stands in the description that it got.
	seen := w.in.String()
	_, at, _ := strings.Cut(seen[strings.LastIndex(seen, "c=IN IP4 "+insideNet+"1\r\n"):], "m=audio ")
	text, _, _ := strings.Cut(at, " ")
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	inside := netip.AddrPortFrom(netip.MustParseAddr(insideNet+"1"), uint16(port))

	var sockets []*net.UDPConn
	for _, from := range []string{publicNet + "66:0", insideNet + "66:0", publicNet + "101:0", insideNet + "9:0"} {
		x, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)))
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		sockets = append(sockets, x)
	}
	before, sent := c.Media.Stats(), 0
	for round := range 20 {
		for _, x := range sockets {
			for _, ssrc := range []uint32{c.Media.SSRC(), 0xdeadbeef} {
				for _, b := range forgeries(30000+round, ssrc) {
					for _, to := range []netip.AddrPort{public, netip.AddrPortFrom(public.Addr(), public.Port()+1), inside, netip.AddrPortFrom(inside.Addr(), inside.Port()+1)} {
						if _, err := x.WriteToUDPAddrPort(b, to); err == nil {
							sent++
						}
					}
				}
			}
		}
		c.Media.Forget()
		if err := c.Media.WaitTone(w.ctx, 440); err != nil {
			t.Fatalf("after %d forged packets: %v", sent, err)
		}
	}
	after := c.Media.Stats()
	if after.Bad != before.Bad {
		t.Errorf("the phone got %d packets that are not of the call", after.Bad-before.Bad)
	}
	for _, x := range sockets {
		x.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		buf := make([]byte, 2048)
		if n, from, err := x.ReadFromUDPAddrPort(buf); err == nil {
			t.Errorf("%s got %d octets from %s", x.LocalAddr(), n, from)
		}
	}
	var told call.SystemEvent
	eventually(t, "alert media-injection", func() bool {
		w.rep.mu.Lock()
		defer w.rep.mu.Unlock()
		i := slices.IndexFunc(w.rep.systems, func(e call.SystemEvent) bool { return e.Action == call.MediaInjection })
		if i >= 0 {
			told = w.rep.systems[i]
		}
		return i >= 0
	})
	evidence := fmt.Sprint(told.Evidence)
	if told.CallID == "" || !told.Source.IsValid() || !strings.Contains(evidence, "media.refused.auth") && !strings.Contains(evidence, "media.refused.wrong_source") ||
		!strings.Contains(evidence, "media.side") {
		t.Errorf("alert %+v", told)
	}
	if err := c.Bye(w.ctx); err != nil {
		t.Fatal(err)
	}
	r := w.rep.lastRecord(t, 1)
	legs := r.Passes[0].MediaLegs
	if len(legs) != 2 || legs[0].Refused+legs[1].Refused < uint64(sent)/4 || legs[0].Refused == 0 || legs[1].Refused == 0 {
		t.Errorf("%d forged packets, legs %+v", sent, legs)
	}
	w.quiet()
}

// TestMediaOfTheAgreement: an end that is who it says it is sends what was not
// agreed on: other payload types and far too many packets. They do not cross.
func TestMediaOfTheAgreement(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	media := func(ip string) *net.UDPConn {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(ip+":0")))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	a, b := media(publicNet+"66"), media(insideNet+"66")
	portOf := func(c *net.UDPConn) int { return c.LocalAddr().(*net.UDPAddr).Port }
	inv := w.a.invite("+33123456789", func(m *siptest.Message) { m.Body = w.a.sdpAt(portOf(a), "a=ptime:20") })
	in := w.b.request("INVITE")
	w.b.reply(in, 200, "t", w.b.sdpAt(portOf(b)))
	ok := w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, inv, ok))
	s, err := siptest.ParseSDP(ok.Body)
	if err != nil {
		t.Fatal(err)
	}
	packet := func(pt byte, seq uint16) []byte {
		p := make([]byte, 172)
		p[0], p[1], p[11] = 0x80, pt, 7
		binary.BigEndian.PutUint16(p[2:], seq)
		return p
	}
	buf := make([]byte, 2048)
	seq := uint16(0)
	eventually(t, "sound to cross", func() bool {
		seq++
		a.WriteToUDPAddrPort(packet(0, seq), s.Addr)
		b.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := b.Read(buf)
		return err == nil
	})
	for i := range uint16(10) {
		for _, pt := range []byte{3, 8, 18, 96, 127, 101} {
			a.WriteToUDPAddrPort(packet(pt, 1000+i), s.Addr)
		}
	}
	eventually(t, "what is sent behind them", func() bool {
		a.WriteToUDPAddrPort(packet(0, 2000), s.Addr)
		for {
			b.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if _, err := b.Read(buf); err != nil {
				return false
			}
			if buf[1]&0x7f != 0 {
				t.Fatalf("payload type %d crossed", buf[1]&0x7f)
			}
			if binary.BigEndian.Uint16(buf[2:]) == 2000 {
				return true
			}
		}
	})
	w.bye(rawCall{inv: inv, ok: ok, in: in, tag: "t"}, 2)
	if r := w.rep.lastRecord(t, 1); r.Passes[0].MediaLegs[0].Refused < 40 {
		t.Errorf("%+v", r.Passes[0].MediaLegs)
	}
}
