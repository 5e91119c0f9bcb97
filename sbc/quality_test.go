package sbc_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// next is the next datagram, and nothing after some seconds.
func (e *udpEnd) next() []byte {
	e.t.Helper()
	b := make([]byte, 2048)
	e.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, _, err := e.conn.ReadFromUDPAddrPort(b)
	if err != nil {
		e.t.Fatal(err)
	}
	return b[:n]
}

func (e *udpEnd) to(gateway netip.AddrPort, b []byte) {
	e.t.Helper()
	if _, err := e.conn.WriteToUDPAddrPort(b, gateway); err != nil {
		e.t.Fatal(err)
	}
}

// words is an RTCP packet of 32-bit words behind its first.
func words(count, kind byte, w ...uint32) []byte {
	b := []byte{0x80 | count, kind, 0, byte(len(w))}
	for _, v := range w {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// TestQualityInTheRecord: loss, jitter by the clock of Opus, the round trip
// and the far end's loss by RTCP are in the record, each at its leg.
func TestQualityInTheRecord(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	ea, eb, ca, cb := w.a.udpEnd(), w.b.udpEnd(), w.a.udpEnd(), w.b.udpEnd()
	opus := func(r *raw, rtp, rtcp *udpEnd) []byte {
		return r.lines(fmt.Sprintf("m=audio %d RTP/AVP 111 0", rtp.port()), "a=rtpmap:111 opus/48000/2", fmt.Sprintf("a=rtcp:%d", rtcp.port()))
	}
	c := rawCall{tag: unique("t")}
	c.inv = w.a.invite("+33123456789", func(m *siptest.Message) { m.Body = opus(w.a, ea, ca) })
	c.in = w.b.request("INVITE")
	w.b.reply(c.in, 200, c.tag, opus(w.b, eb, cb))
	c.ok = w.a.code(200)
	w.b.request("ACK")
	w.a.send(w.a.within("ACK", 1, c.inv, c.ok))

	towardsB, towardsA := mediaAt(t, c.in, 0), mediaAt(t, c.ok, 0) // where each sends
	packet := func(seq byte, ssrc byte) []byte {
		b := rtpOf(111, seq, "sound")
		binary.BigEndian.PutUint32(b[4:], uint32(seq)*960) // 20 ms
		b[11] = ssrc
		return b
	}
	began := time.Now()
	for seq := byte(0); seq < 100; seq++ { // at once, so that each is about 20 ms early
		if seq%10 != 5 {
			ea.to(towardsA, packet(seq, 1))
			eb.next()
		}
	}
	quick := time.Since(began) < time.Second
	for seq := range byte(10) {
		eb.to(towardsB, packet(seq, 2))
		ea.next()
	}
	// B's sender report, and A's answer to it 100 ms later, of which A says
	// that it took 40. Two of B's ten packets did not come.
	rtcpAt := func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), a.Port()+1) }
	cb.to(rtcpAt(towardsB), words(0, 200, 2, 0x11112222, 0x33334444, 0, 10, 50))
	ca.next()
	asked := time.Now()
	timer := time.NewTimer(100 * time.Millisecond)
	<-timer.C
	ca.to(rtcpAt(towardsA), words(1, 201, 1, 2, 2, 9, 0, 0x22223333, 65536*40/1000))
	cb.next()
	most := time.Since(asked)
	w.bye(c, 2)
	r := w.rep.lastRecord(t, 1)
	legs := r.Passes[0].MediaLegs
	if len(legs) != 2 {
		t.Fatalf("%+v", legs)
	}
	a, b := legs[0], legs[1]
	if a.LossPercent != 10 || b.LossPercent != 0 {
		t.Errorf("loss %g %% and %g %%, want 10 and 0", a.LossPercent, b.LossPercent)
	}
	if a.JitterMs > 60 && quick { // by a clock of 8 kHz it is 120
		t.Errorf("jitter %.1f ms", a.JitterMs)
	}
	if upper := most.Seconds()*1000 - 40 + 30; a.RTTMs < 55 || a.RTTMs > upper || b.RTTMs != 0 {
		t.Errorf("round trips %.1f and %.1f ms, want 60 to %.1f and none", a.RTTMs, b.RTTMs, upper)
	}
	if math.Abs(a.ReportedLossPercent-20) > 1e-9 || b.ReportedLossPercent != 0 {
		t.Errorf("reported loss %g %% and %g %%", a.ReportedLossPercent, b.ReportedLossPercent)
	}
	if a.MOS <= 1 || b.MOS <= a.MOS {
		t.Errorf("MOS %g and %g", a.MOS, b.MOS)
	}
	w.hidden()
}
