package media

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// typed is an RTP packet of a payload type.
func typed(pt byte, ssrc uint32, seq uint16) []byte {
	b := rtpPacket(ssrc, seq, "sound of that type")
	b[1] = pt
	return b
}

// TestAttacks runs what can be sent at the ports of a call that is up: an
// encrypted leg (A) and a plain one (B). Every packet is refused for its
// cause, nothing of it comes out anywhere, nobody gets a byte back, and the
// call goes on from where it was.
func TestAttacks(t *testing.T) { onEngines(t, testAttacks) }

func testAttacks(t *testing.T, plane planeFunc) {
	clk := newClock()
	r := newRig(t, plane(t, func(c *Config) { c.Clock = clk.Now }), rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}, rem: func(_ Leg, r *Remote) {
		r.Types = TypesOf([]uint8{0, 8}, []uint8{101})
	}})
	x := newPhone(t, loop4) // the attacker
	const ssrcA, ssrcB = 0xa, 0xb
	seq := uint16(0)
	talk := func() {
		t.Helper()
		seq++
		r.pass(A, typed(0, ssrcA, seq))
		r.pass(B, typed(8, ssrcB, seq))
	}
	talk()
	talk()
	a := r.ph[A]
	recorded := a.seal(typed(0, ssrcA, 3))
	recordedRTCP := a.seal(rrPacket(ssrcA))
	send(t, a.rtp, bytes.Clone(recorded), r.rtp[A])
	r.ph[B].expect(r.ph[B].rtp, typed(0, ssrcA, 3))
	send(t, a.rtcp, bytes.Clone(recordedRTCP), r.rtcp[A])
	r.ph[B].expect(r.ph[B].rtcp, rrPacket(ssrcA))
	seq = 3

	flipped := bytes.Clone(recorded)
	flipped[len(flipped)-1] ^= 1
	foreign := a.seal(typed(0, ssrcA, 900))
	foreign[11] = ssrcB // another source under the tag of the first
	stun := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	dtls := append([]byte{22, 254, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 1}, make([]byte, 40)...)
	zrtp := append([]byte{0x10, 0, 0, 1, 'Z', 'R', 'T', 'P', 0, 0, 0, 1, 0x50, 0x5a}, make([]byte, 100)...)
	turn := append([]byte{0x40, 1, 0, 20}, make([]byte, 20)...)
	bye := marshal(t, &rtcp.ReceiverReport{SSRC: ssrcA}, &rtcp.Goodbye{Sources: []uint32{ssrcA}})
	byeB := marshal(t, &rtcp.ReceiverReport{SSRC: ssrcB}, &rtcp.Goodbye{Sources: []uint32{ssrcB}})
	jumbo := append(typed(0, ssrcA, 4), make([]byte, 1600)...)

	for _, c := range []struct {
		name string
		leg  Leg
		rtcp bool // at the RTCP port
		own  bool // from where the leg's own packets come
		b    []byte
		why  Cause
	}{
		{"plain sound at the encrypted leg", A, false, false, typed(0, ssrcA, 2000), Auth},
		{"plain sound with the leg's address", A, false, true, typed(0, ssrcA, 2000), Auth},
		{"a recorded packet", A, false, false, recorded, Replay},
		{"a recorded packet with the leg's address", A, false, true, recorded, Replay},
		{"a recorded packet, changed", A, false, false, flipped, Replay},
		{"another source under a good tag", A, false, true, foreign, Auth},
		{"another payload type from elsewhere", A, false, false, typed(99, ssrcA, 2000), Auth},
		{"another payload type with the leg's address", A, false, true, typed(99, ssrcA, 4), PayloadType},
		{"a recorded report", A, true, false, recordedRTCP, Replay},
		{"a plain BYE", A, true, false, bye, Malformed},
		{"a plain BYE with the leg's address", A, true, true, bye, Malformed},
		{"sound at the RTCP port", A, true, false, typed(0, ssrcA, 4), Misdirected},
		{"a report at the RTP port", A, false, false, rrPacket(ssrcA), Misdirected},
		{"STUN", A, false, false, stun, NotRTP},
		{"STUN with the leg's address", A, false, true, stun, NotRTP},
		{"a DTLS hello", A, false, false, dtls, NotRTP},
		{"a ZRTP hello", A, false, false, zrtp, NotRTP},
		{"TURN channel data", A, false, false, turn, NotRTP},
		{"a SIP request", A, false, false, []byte("OPTIONS sip:a@b SIP/2.0\r\n\r\n"), NotRTP},
		{"an empty datagram", A, false, false, nil, Runt},
		{"one byte", A, false, false, []byte{0x80}, Runt},
		{"too long", A, false, false, jumbo, Jumbo},

		{"sound at the plain leg", B, false, false, typed(8, ssrcB, 4), WrongSource},
		{"sound of a new source", B, false, false, typed(8, 77, 4), WrongSource},
		{"a BYE at the plain leg", B, true, false, byeB, WrongSource},
		{"a telephone-event", B, false, false, typed(101, ssrcB, 4), WrongSource},
		{"another payload type", B, false, true, typed(99, ssrcB, 4), PayloadType},
		{"an RTCP type as a payload type", B, false, true, typed(72|0x80, ssrcB, 4), Misdirected},
		{"STUN at the plain leg", B, false, true, stun, NotRTP},
		{"sound at the plain RTCP port", B, true, true, typed(8, ssrcB, 4), Misdirected},
		{"too long at the plain leg", B, false, true, jumbo, Jumbo},
		{"CSRCs that are not there", B, false, true, []byte{0x8f, 8, 0, 9, 0, 0, 0, 0, 0, 0, 0, ssrcB}, Malformed},
	} {
		src, to := x, r.rtp[c.leg]
		if c.own {
			src = r.ph[c.leg]
		}
		sock := src.rtp
		if c.rtcp {
			sock, to = src.rtcp, r.rtcp[c.leg]
		}
		before := r.s.Stats()[c.leg].Refused
		send(t, sock, bytes.Clone(c.b), to)
		eventually(t, c.name+" to be refused", func() bool { return r.s.Stats()[c.leg].Refused.Total() > before.Total() })
		want := before
		want[c.why]++
		if got := r.s.Stats()[c.leg].Refused; got != want {
			t.Errorf("%s: refused as %v, want %s", c.name, got, c.why)
		}
		talk()
	}

	// Under new keys what was recorded under the old ones is worth nothing,
	// nor is it again under the old keys when a re-INVITE goes back to them.
	was := r.rem[A]
	old := bytes.Clone(a.seal(typed(0, ssrcA, seq+50)))
	r.rem[A] = a.secured(AES_CM_128_HMAC_SHA1_80, nil)
	r.rem[A].Types = was.Types
	r.set(A)
	clk.add(2 * rekeyOverlap)
	talk()
	n := refused(r.s, A, Auth)
	send(t, x.rtp, bytes.Clone(old), r.rtp[A])
	send(t, x.rtp, bytes.Clone(recorded), r.rtp[A])
	waitRefused(t, r.s, A, Auth, n+2)
	r.rem[A] = was
	a.use(was)
	r.set(A)
	clk.add(2 * rekeyOverlap)
	n = refused(r.s, A, Replay)
	send(t, x.rtp, bytes.Clone(recorded), r.rtp[A])
	waitRefused(t, r.s, A, Replay, n+1)

	if b, from := read(t, x.rtp, time.Millisecond); b != nil {
		t.Errorf("the attacker got %x from %s", b, from)
	}
	if b, from := read(t, x.rtcp, time.Millisecond); b != nil {
		t.Errorf("the attacker got %x from %s", b, from)
	}
}

// TestForeignBYE: an end says goodbye for itself, never for another.
func TestForeignBYE(t *testing.T) { onEngines(t, testForeignBYE) }

func testForeignBYE(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{AES_CM_128_HMAC_SHA1_80, 0}})
	r.pass(A, rtpPacket(1, 1, "x"))
	r.pass(B, rtpPacket(2, 1, "x"))
	for leg := A; leg <= B; leg++ {
		own, other := uint32(1), uint32(2)
		if leg == B {
			own, other = 2, 1
		}
		rr := &rtcp.ReceiverReport{SSRC: own}
		for _, c := range []struct{ said, heard []uint32 }{
			{[]uint32{own}, []uint32{own}}, {[]uint32{other}, nil}, {[]uint32{7, own, other}, []uint32{own}}, {[]uint32{0xdead}, nil},
		} {
			want := []rtcp.Packet{rr}
			if c.heard != nil {
				want = append(want, &rtcp.Goodbye{Sources: c.heard})
			}
			ph, to := r.ph[leg], r.ph[leg.Other()]
			send(t, ph.rtcp, ph.seal(marshal(t, rr, &rtcp.Goodbye{Sources: c.said})), r.rtcp[leg])
			to.expect(to.rtcp, marshal(t, want...))
		}
		n := refused(r.s, leg, Filtered)
		ph := r.ph[leg]
		send(t, ph.rtcp, ph.seal(marshal(t, &rtcp.Goodbye{Sources: []uint32{other}})), r.rtcp[leg])
		waitRefused(t, r.s, leg, Filtered, n+1)
	}
}

// TestLateLatch: a leg behind NAT that has not sent yet is nobody else's, and
// after it has sent it stays its own.
func TestLateLatch(t *testing.T) { onEngines(t, testLateLatch) }

func testLateLatch(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{rem: func(leg Leg, rem *Remote) {
		if leg == A {
			rem.NAT, rem.From = true, loop4
			rem.RTP, rem.RTCP = netip.MustParseAddrPort("192.0.2.7:4000"), netip.AddrPort{}
		}
	}})
	x := newPhone(t, netip.MustParseAddr("127.0.0.66"))
	for i := range uint16(5) { // RTP Bleed, before there is a latch
		send(t, x.rtp, rtpPacket(1, i, "give me what the other one says"), r.rtp[A])
		send(t, x.rtcp, rrPacket(1), r.rtcp[A])
	}
	waitRefused(t, r.s, A, WrongSource, 10)
	r.pass(A, rtpPacket(1, 1, "the phone's first"))
	r.pass(B, rtpPacket(2, 1, "goes to it"))
	for i := range uint16(5) {
		send(t, x.rtp, rtpPacket(1, i, "and after"), r.rtp[A])
	}
	waitRefused(t, r.s, A, WrongSource, 15)
	r.pass(B, rtpPacket(2, 2, "still"))
	if b, _ := read(t, x.rtp, time.Millisecond); b != nil {
		t.Errorf("the attacker got %x", b)
	}
}

// TestPayloadTypes: what was agreed on passes, on either side of a re-INVITE
// that changes it, and so does the comfort noise that telephones send unasked.
func TestPayloadTypes(t *testing.T) { onEngines(t, testPayloadTypes) }

func testPayloadTypes(t *testing.T, plane planeFunc) {
	clk := newClock()
	r := newRig(t, plane(t, func(c *Config) { c.Clock = clk.Now }), rigSpec{})
	seq := uint16(0)
	passes := func(pt byte) { t.Helper(); seq++; r.pass(A, typed(pt, 1, seq)) }
	dropped := func(pt byte) {
		t.Helper()
		seq++
		n := refused(r.s, A, PayloadType)
		send(t, r.ph[A].rtp, typed(pt, 1, seq), r.rtp[A])
		waitRefused(t, r.s, A, PayloadType, n+1)
	}
	passes(50) // nothing is known
	r.rem[A].Types = TypesOf([]uint8{0, 96, 101})
	r.set(A)
	clk.add(injectionGrace)
	for _, pt := range []byte{0, 96, 101, 13, 101 | 0x80} {
		passes(pt)
	}
	for _, pt := range []byte{8, 18, 97, 127, 50, 1} {
		dropped(pt)
	}
	r.rem[A].Types = TypesOf([]uint8{8, 97, 127})
	r.set(A)
	passes(96) // was on its way
	passes(97)
	clk.add(injectionGrace)
	dropped(96)
	passes(127)
	r.set(A) // the same again opens nothing
	dropped(96)
}

// TestVoices: new sources are let in at a pace; the ones that speak go on.
func TestVoices(t *testing.T) { onEngines(t, testVoices) }

func testVoices(t *testing.T, plane planeFunc) {
	clk := newClock()
	r := newRig(t, plane(t, func(c *Config) { c.Clock = clk.Now }), rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}})
	r.pass(B, rtpPacket(1, 1, "the PBX"))
	for ssrc := range uint32(voiceBurst - 1) {
		r.pass(B, rtpPacket(100+ssrc, 1, "forged with its address"))
	}
	for ssrc := range uint32(300) {
		send(t, r.ph[B].rtp, rtpPacket(1000+ssrc, 1, "more"), r.rtp[B])
		if n := uint64(ssrc + 1); n%50 == 0 {
			waitRefused(t, r.s, B, Sources, n)
		}
	}
	r.pass(B, rtpPacket(1, 2, "the PBX goes on"))
	clk.add(voiceEvery)
	r.pass(B, rtpPacket(2, 1, "music on hold"))
	r.s.shard.engine.Do(func() {
		if n := len(r.s.streams[0][A].send.rtp); n != voiceBurst+1 {
			t.Errorf("%d sources under the key towards A, want %d", n, voiceBurst+1)
		}
	})
}

// TestPace: a stream has what it was agreed to have and no more; reports have
// a budget of their own.
func TestPace(t *testing.T) { onEngines(t, testPace) }

func testPace(t *testing.T, plane planeFunc) {
	clk := newClock()
	r := newRig(t, plane(t, func(c *Config) { c.Clock = clk.Now }), rigSpec{rem: func(_ Leg, r *Remote) { r.PacketRate = 50 }})
	for seq := range uint16(100) {
		r.pass(A, rtpPacket(1, seq, "x"))
	}
	send(t, r.ph[A].rtp, rtpPacket(1, 100, "x"), r.rtp[A])
	waitRefused(t, r.s, A, Rate, 1)
	for range rtcpBurst {
		send(t, r.ph[A].rtcp, rrPacket(1), r.rtcp[A])
		r.ph[B].expect(r.ph[B].rtcp, rrPacket(1))
	}
	send(t, r.ph[A].rtcp, rrPacket(1), r.rtcp[A])
	waitRefused(t, r.s, A, Rate, 2)
	clk.add(time.Second / 50)
	r.pass(A, rtpPacket(1, 101, "a packet time later"))
}

// TestUnreachable: the far end's host says that a port is closed (anybody can
// say so in its name). Media goes on when the port is there again.
func TestUnreachable(t *testing.T) { onEngines(t, testUnreachable) }

func testUnreachable(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{})
	r.pass(A, rtpPacket(1, 1, "x"))
	at := addrOf(r.ph[B].rtp)
	r.ph[B].rtp.Close()
	for seq := range uint16(20) {
		send(t, r.ph[A].rtp, rtpPacket(1, 2+seq, "into the void"), r.rtp[A])
	}
	eventually(t, "20 packets", func() bool { return r.s.Stats()[A].PacketsIn == 21 })
	c, err := listenOn(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	r.ph[B].rtp = c
	eventually(t, "media to go on", func() bool {
		send(t, r.ph[A].rtp, rtpPacket(1, 100, "again"), r.rtp[A])
		b, _ := read(t, c, 50*time.Millisecond)
		return b != nil
	})
	send(t, c, rtpPacket(2, 1, "and back"), r.rtp[B])
	r.ph[A].expect(r.ph[A].rtp, rtpPacket(2, 1, "and back"))
}

// TestSuspicion: some causes are told of at once, others from a number on, and
// a few packets in a long call never.
func TestSuspicion(t *testing.T) { onEngines(t, testSuspicion) }

func testSuspicion(t *testing.T, plane planeFunc) {
	clk := newClock()
	got := make(events, 100)
	p := plane(t, func(c *Config) { c.Clock = clk.Now })
	r := newRig(t, p, rigSpec{spec: func(s *Spec) { s.Notify = got.notify }, rem: func(_ Leg, r *Remote) { r.Types = TypesOf([]uint8{0}) }})
	after := func(d time.Duration) []Event {
		clk.add(d)
		p.sweep(clk.Now())
		return got.all()
	}
	flood := func(n int) {
		t.Helper()
		before := refused(r.s, A, PayloadType)
		for i := range n {
			send(t, r.ph[A].rtp, typed(99, 1, uint16(i)), r.rtp[A])
		}
		waitRefused(t, r.s, A, PayloadType, before+uint64(n))
	}
	for range 5 { // 30 in each 10 s
		flood(30)
		if list := after(injectionEvery); len(list) != 0 {
			t.Fatalf("%+v", list)
		}
	}
	flood(int(PayloadType.Suspicious()))
	list := after(time.Second)
	if len(list) != 1 || list[0].Leg != A || list[0].By[PayloadType] != PayloadType.Suspicious() || list[0].Source != addrOf(r.ph[A].rtp) {
		t.Fatalf("%+v", list)
	}
	// One packet from elsewhere among many odd ones is what is shown.
	flood(3)
	x := newPhone(t, loop4)
	send(t, x.rtp, typed(0, 1, 1), r.rtp[A])
	waitRefused(t, r.s, A, WrongSource, 1)
	list = after(injectionEvery)
	if len(list) != 1 || list[0].Source != addrOf(x.rtp) || list[0].Count != 4 || list[0].By[WrongSource] != 1 || list[0].By[PayloadType] != 3 {
		t.Fatalf("%+v", list)
	}
}
