package media

import (
	"fmt"
	"testing"
	"time"
)

// TestRelay: every suite on either leg, plain, both families, with and
// without MKI, both directions.
func TestRelay(t *testing.T) { onEngines(t, testRelay) }

func testRelay(t *testing.T, plane planeFunc) {
	p := plane(t, nil)
	all := append([]Suite{0}, Suites()...)
	for _, a := range all {
		for _, b := range all {
			for _, v6 := range []bool{false, true} {
				for _, mki := range [][]byte{nil, {0, 0, 0, 7}} {
					if mki != nil && (v6 || a == 0 && b == 0) {
						continue
					}
					t.Run(fmt.Sprintf("%s-%s/v6=%t/mki=%d", a, b, v6, len(mki)), func(t *testing.T) {
						r := newRig(t, p, rigSpec{v6: v6, suite: [2]Suite{a, b}, mki: mki})
						for seq := uint16(100); seq < 103; seq++ {
							r.pass(A, rtpPacket(0xa, seq, "from the caller, twenty ms of sound"))
							r.pass(B, rtpPacket(0xb, seq, "from the callee, twenty ms of sound"))
						}
						st := r.s.Close()
						for leg, l := range st {
							if l.PacketsIn != 3 || l.PacketsOut != 3 || l.Refused.Total() != 0 || l.LossPercent != 0 {
								t.Errorf("leg %d: %+v", leg, l)
							}
						}
						if st[A].Suite != a || st[B].Suite != b {
							t.Errorf("suites %s %s", st[A].Suite, st[B].Suite)
						}
					})
				}
			}
		}
	}
	if st := p.Stats(); st.Streams != 0 || st.Ports != 0 || st.Sessions != 0 {
		t.Errorf("left over: %+v", st)
	}
}

func TestNothingBeforeSet(t *testing.T) { onEngines(t, testNothingBeforeSet) }

func testNothingBeforeSet(t *testing.T, plane planeFunc) {
	p := plane(t, nil)
	r := newRig(t, p, rigSpec{})
	s, err := p.Open(Spec{ID: "x", Streams: 1, Legs: r.s.legs})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rtp, _ := s.Local(A, 0)
	ph := newPhone(t, loop4)
	send(t, ph.rtp, rtpPacket(1, 1, "x"), rtp)
	waitRefused(t, s, A, Unready, 1)
	if err := s.Set(A, 0, ph.remote()); err != nil {
		t.Fatal(err)
	}
	send(t, ph.rtp, rtpPacket(1, 2, "x"), rtp) // accepted, but B is not there
	waitRefused(t, s, A, Unready, 2)
}

func TestDisabled(t *testing.T) { onEngines(t, testDisabled) }

func testDisabled(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}})
	r.pass(A, rtpPacket(1, 1, "x"))
	if err := r.s.Set(B, 0, Remote{Disabled: true}); err != nil {
		t.Fatal(err)
	}
	send(t, r.ph[A].rtp, r.ph[A].seal(rtpPacket(1, 2, "x")), r.rtp[A])
	waitRefused(t, r.s, A, Unready, 1)
	r.set(B)
	r.pass(A, rtpPacket(1, 3, "x"))
}

func TestHeaderChecks(t *testing.T) { onEngines(t, testHeaderChecks) }

func testHeaderChecks(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{})
	padded := append(rtpPacket(1, 5, "abcd"), 9, 200)
	padded[0] |= 0x20
	long := rtpPacket(1, 1, "")
	long[0] |= 0x0f // 15 CSRCs that are not there
	ext := append(rtpPacket(1, 1, ""), 0xbe, 0xde, 0xff, 0xff)
	ext[0] |= 0x10
	for _, c := range []struct {
		name string
		b    []byte
		why  Cause
	}{
		{"empty", nil, Runt},
		{"seven bytes", make([]byte, 7), Runt},
		{"eleven bytes of RTP", rtpPacket(1, 1, "")[:11], Runt},
		{"jumbo", append(rtpPacket(1, 1, ""), make([]byte, 1490)...), Jumbo},
		{"STUN", append([]byte{0, 1}, make([]byte, 18)...), NotRTP},
		{"DTLS", append([]byte{22, 254, 253}, make([]byte, 18)...), NotRTP},
		{"version 1", append([]byte{0x40, 0}, make([]byte, 18)...), NotRTP},
		{"CSRC", long, Malformed},
		{"extension", ext, Malformed},
		{"padding", padded, Malformed},
		{"RTCP on the RTP port", rrPacket(1), Misdirected},
	} {
		before := refused(r.s, A, c.why)
		send(t, r.ph[A].rtp, c.b, r.rtp[A])
		eventually(t, c.name, func() bool { return refused(r.s, A, c.why) == before+1 })
	}
	whole := append(rtpPacket(1, 6, ""), make([]byte, 1488)...)
	r.pass(A, whole)
	good := append(rtpPacket(1, 7, "abcd"), 0, 2)
	good[0] |= 0x20
	r.pass(A, good)
}

func TestSecuredHeaderExtension(t *testing.T) { onEngines(t, testSecuredHeaderExtension) }

func testSecuredHeaderExtension(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{AES_CM_128_HMAC_SHA1_80, AEAD_AES_256_GCM}})
	b := append(rtpPacket(9, 1, ""), 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0, 's', 'o', 'u', 'n', 'd')
	b[0] |= 0x10
	r.pass(A, b)
	r.pass(B, b)
}

func TestRateCap(t *testing.T) { onEngines(t, testRateCap) }

func testRateCap(t *testing.T, plane planeFunc) {
	clk := newClock()
	p := plane(t, func(c *Config) { c.Clock, c.PacketRate, c.PacketBurst = clk.Now, 100, 20 })
	r := newRig(t, p, rigSpec{})
	for seq := range uint16(20) {
		r.pass(A, rtpPacket(1, seq, "x"))
	}
	send(t, r.ph[A].rtp, rtpPacket(1, 20, "x"), r.rtp[A])
	waitRefused(t, r.s, A, Rate, 1)
	r.pass(B, rtpPacket(2, 1, "the other direction has its own"))
	clk.add(50 * time.Millisecond)
	for seq := range uint16(5) {
		r.pass(A, rtpPacket(1, 30+seq, "x"))
	}
	send(t, r.ph[A].rtp, rtpPacket(1, 40, "x"), r.rtp[A])
	waitRefused(t, r.s, A, Rate, 2)
	if got := r.s.Stats()[B].PacketsOut; got != 25 {
		t.Errorf("%d packets out", got)
	}
}

// TestTwice: a call that passes through the same gateway twice.
func TestTwice(t *testing.T) { onEngines(t, testTwice) }

func testTwice(t *testing.T, plane planeFunc) {
	p := plane(t, nil)
	r := newRig(t, p, rigSpec{suite: [2]Suite{AEAD_AES_256_GCM, 0}})
	s := newRig(t, p, rigSpec{suite: [2]Suite{0, AES_CM_128_HMAC_SHA1_80}})
	r.rem[B] = Remote{RTP: s.rtp[A], RTCP: s.rtcp[A]}
	s.rem[A] = Remote{RTP: r.rtp[B], RTCP: r.rtcp[B]}
	r.set(B)
	s.set(A)
	for seq := uint16(1); seq < 5; seq++ {
		b := rtpPacket(1, seq, "through both sessions")
		send(t, r.ph[A].rtp, r.ph[A].seal(b), r.rtp[A])
		s.ph[B].expect(s.ph[B].rtp, b)
		b = rtpPacket(2, seq, "and back again")
		send(t, s.ph[B].rtp, s.ph[B].seal(b), s.rtp[B])
		r.ph[A].expect(r.ph[A].rtp, b)
	}
}

func TestPanicCostsOnePacket(t *testing.T) { onEngines(t, testPanicCostsOnePacket) }

func testPanicCostsOnePacket(t *testing.T, plane planeFunc) {
	p := plane(t, nil)
	r := newRig(t, p, rigSpec{})
	e := r.s.streams[0][A]
	r.s.shard.engine.Do(func() { e.peer = nil })
	send(t, r.ph[A].rtp, rtpPacket(1, 1, "x"), r.rtp[A])
	waitRefused(t, r.s, A, Panicked, 1)
	r.s.shard.engine.Do(func() { e.peer = r.s.streams[0][B] })
	r.pass(A, rtpPacket(1, 2, "x"))
}
