package integration_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/internal/peers"
)

// marker is what every forged packet carries.
var marker = bytes.Repeat([]byte{0x5a, 0xa5, 0x77, 0x01}, 40)

// forged are the packets that somebody sends who sees a stream and does not
// have its key: the next packets of it, its end, other types, and what is no RTP.
func forged(next []byte) (out [][]byte) {
	rtp := func(pt byte, ssrc []byte, ahead uint16) []byte {
		b := append([]byte{0x80, pt}, next[2:12]...)
		binary.BigEndian.PutUint16(b[2:], binary.BigEndian.Uint16(next[2:])+ahead)
		copy(b[8:], ssrc)
		return append(b, marker...)
	}
	ssrc, other := next[8:12], []byte{1, 2, 3, 4}
	for ahead := range uint16(5) {
		out = append(out, rtp(next[1]&0x7f, ssrc, ahead+1), rtp(next[1]&0x7f, other, ahead), rtp(99, ssrc, ahead+1))
	}
	bye := append([]byte{0x81, 203, 0, 1}, ssrc...)
	report := append([]byte{0x80, 201, 0, 1}, other...)
	return append(out, bye, append(slices.Clone(report), bye...), append(append(slices.Clone(bye), 0x80, 0, 0, 1), make([]byte, 10)...),
		append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, marker[:12]...), append([]byte{22, 254, 253}, marker[:60]...), marker, []byte("x"))
}

// raw sends datagrams from an address and port of somebody else.
type raw struct{ c *net.IPConn }

func (w *world) forger(from, to netip.Addr) raw {
	w.tb.Helper()
	c, err := net.DialIP("ip4:17", &net.IPAddr{IP: from.AsSlice()}, &net.IPAddr{IP: to.AsSlice()})
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(func() { c.Close() })
	return raw{c}
}

func (r raw) send(from, to uint16, payload []byte) {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	r.c.Write(append(append(b, 0, 0), payload...)) // without a checksum
}

// Two telephones talk by SRTP through the gateway and a PBX, and somebody sends
// at every port of the call, from an address of his own and in the names of the
// telephones: before there is media (RTP Bleed), the next packets of streams that
// he sees, what was recorded of them, their end, and whatever else. Both hear
// what they heard, not one packet more comes to them, he gets nothing, and an
// alert says what happened.
func TestTelephonesUnderMediaAttack(t *testing.T) {
	t.Parallel()
	w, _ := office(t, peers.PBX{})
	w.attacked = true
	seen := peers.StartCapture(t, w.net)
	a := w.registered(peers.Phone{User: "1001", Tone: 440})
	b := w.registered(peers.Phone{User: "1002", Tone: 800})
	thief := w.net.Addr(t)
	own, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(thief, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()

	a.Dial("1002")
	b.Incoming(soon)
	// The ports are open, and nobody has sent anything yet: who comes first?
	first := append([]byte{0x80, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4}, marker...)
	for port := uint16(20000); port < 20200; port++ {
		for _, addr := range []netip.Addr{w.public, w.inside} {
			own.WriteToUDPAddrPort(first, netip.AddrPortFrom(addr, port))
		}
	}
	b.Answer()
	a.Established(soon)
	b.Established(soon)
	a.Hears(800, soon)
	b.Hears(440, soon)

	media := func(p peers.Packet) bool { return !p.TCP && len(p.Payload) > 160 && p.Payload[0] == 0x80 }
	type stream struct{ phone, gw netip.AddrPort }
	streams := map[stream][]peers.Packet{} // from each telephone
	for _, p := range seen.Packets(func(p peers.Packet) bool { return media(p) && p.To.Addr() == w.public && p.From.Addr() != thief }) {
		s := stream{p.From, p.To}
		streams[s] = append(streams[s], p)
	}
	if len(streams) != 2 {
		t.Fatalf("%d streams come from telephones", len(streams))
	}
	inside := map[netip.AddrPort]bool{}
	for _, p := range seen.Packets(func(p peers.Packet) bool { return media(p) && p.To.Addr() == w.inside && p.From.Addr() == w.inside }) {
		inside[p.To] = true
	}
	if len(inside) != 2 {
		t.Fatalf("%d ports of the inside", len(inside))
	}

	sent := 0
	attack := func() {
		for s, packets := range streams {
			last := packets[len(packets)-1].Payload
			name := w.forger(s.phone.Addr(), s.gw.Addr())
			old := packets[max(0, len(packets)-20):]
			for _, f := range forged(last) {
				for _, port := range []uint16{s.gw.Port(), s.gw.Port() + 1} {
					own.WriteToUDPAddrPort(f, netip.AddrPortFrom(s.gw.Addr(), port))
					name.send(s.phone.Port(), port, f)
					sent += 2
				}
				for at := range inside {
					own.WriteToUDPAddrPort(f, at)
					sent++
				}
			}
			for _, p := range old { // recorded, with a tag that is right
				own.WriteToUDPAddrPort(p.Payload, s.gw)
				name.send(s.phone.Port(), s.gw.Port(), p.Payload)
				sent += 2
			}
		}
	}
	attack()
	for range 3 {
		a.Hears(800, soon)
		b.Hears(440, soon)
		attack()
	}
	a.Hears(800, soon)
	b.Hears(440, soon)

	own.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	buf := make([]byte, 2048)
	if n, from, err := own.ReadFromUDPAddrPort(buf); err == nil {
		t.Errorf("%d octets came to the attacker from %v", n, from)
	}
	told := w.waitLine("alerts.jsonl", "event.action", "media-injection")
	for _, p := range []string{"rampart.call_id", "source.ip", "rampart.subject.value"} {
		if told.str(p) == "" {
			t.Errorf("the alert has no %s: %v", p, told)
		}
	}
	metrics := w.get("/metrics")
	for _, cause := range []string{"auth", "replay", "wrong_source", "misdirected", "not_rtp"} {
		if !strings.Contains(metrics, `rampart_media_refused_packets_total{cause="`+cause+`"} `) || strings.Contains(metrics, `{cause="`+cause+"\"} 0\n") {
			t.Errorf("nothing is counted as %s", cause)
		}
	}
	b.Hangup()
	a.Closed(soon)
	b.Closed(soon)
	aSent, aGot := a.Packets(soon)
	bSent, bGot := b.Packets(soon)
	if aGot > bSent || bGot > aSent || aGot == 0 || bGot == 0 {
		t.Errorf("1001 sent %d and got %d, 1002 sent %d and got %d", aSent, aGot, bSent, bGot)
	}
	// On the wire: one source from the gateway to each telephone, no packet twice.
	for s := range streams {
		numbers, sources := map[uint16]int{}, map[uint32]bool{}
		for _, p := range seen.Packets(func(p peers.Packet) bool { return media(p) && p.From == s.gw && p.To == s.phone }) {
			numbers[binary.BigEndian.Uint16(p.Payload[2:])]++
			sources[binary.BigEndian.Uint32(p.Payload[8:])] = true
		}
		if len(sources) != 1 {
			t.Errorf("%d sources come to %v", len(sources), s.phone)
		}
		for n, times := range numbers {
			if times > 1 {
				t.Errorf("packet %d came to %v %d times", n, s.phone, times)
			}
		}
	}
	for _, p := range seen.Packets(func(p peers.Packet) bool {
		return p.From.Addr() == w.inside && !p.TCP && bytes.Contains(p.Payload, marker[:12])
	}) {
		t.Errorf("a forged packet went on from %v to %v", p.From, p.To)
		break
	}
	if left := seen.Packets(func(p peers.Packet) bool { return p.To.Addr() == thief }); len(left) > 0 {
		t.Errorf("%d packets went to the attacker", len(left))
	}
	if n := len(w.lines("alerts.jsonl", "event.action", "source-banned")); n != 0 {
		t.Errorf("%d sources are banned for packets that anybody can forge", n)
	}
	t.Logf("%d forged packets; 1001 sent %d and got %d, 1002 sent %d and got %d", sent, aSent, aGot, bSent, bGot)
	w.idle()
}
