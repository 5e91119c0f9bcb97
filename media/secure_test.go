package media

import (
	"bytes"
	"testing"
)

func TestReplay(t *testing.T) { onEngines(t, testReplay) }

func testReplay(t *testing.T, plane planeFunc) {
	for _, suite := range Suites() {
		t.Run(suite.String(), func(t *testing.T) {
			r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{suite, 0}})
			ph := r.ph[A]
			one := ph.seal(rtpPacket(1, 10, "one"))
			late := ph.seal(rtpPacket(1, 11, "late"))
			send(t, ph.rtp, one, r.rtp[A])
			r.ph[B].expect(r.ph[B].rtp, rtpPacket(1, 10, "one"))
			r.pass(A, rtpPacket(1, 12, "two"))
			send(t, ph.rtp, one, r.rtp[A])
			waitRefused(t, r.s, A, Replay, 1)
			send(t, ph.rtp, late, r.rtp[A]) // reordered is not replayed
			r.ph[B].expect(r.ph[B].rtp, rtpPacket(1, 11, "late"))
			for seq := uint16(13); seq < 13+windowSize+10; seq++ {
				r.pass(A, rtpPacket(1, seq, "x"))
			}
			send(t, ph.rtp, late, r.rtp[A]) // too old to tell
			waitRefused(t, r.s, A, Replay, 2)

			report := ph.seal(rrPacket(1))
			send(t, ph.rtcp, report, r.rtcp[A])
			r.ph[B].expect(r.ph[B].rtcp, rrPacket(1))
			send(t, ph.rtcp, report, r.rtcp[A])
			waitRefused(t, r.s, A, Replay, 3)
		})
	}
}

// TestForged: what does not authenticate moves no latch, makes no state and
// does not reach the other side, on either port.
func TestForged(t *testing.T) { onEngines(t, testForged) }

func testForged(t *testing.T, plane planeFunc) {
	for _, suite := range Suites() {
		t.Run(suite.String(), func(t *testing.T) {
			r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{suite, 0}})
			r.pass(A, rtpPacket(1, 10, "x"))
			stranger := newPhone(t, loop4)
			stranger.out = phoneContext(t, newKeys(t, suite, nil))
			e := r.s.streams[0][A]
			for i := range 500 {
				send(t, stranger.rtp, stranger.seal(rtpPacket(uint32(1000+i), 11, "forged")), r.rtp[A])
				send(t, stranger.rtcp, stranger.seal(rrPacket(byte(i))), r.rtcp[A])
				eventually(t, "forgeries to be counted", func() bool { return refused(r.s, A, Auth) == uint64(2*i+2) })
			}
			broken := r.ph[A].seal(rtpPacket(1, 11, "sound"))
			broken[len(broken)-1] ^= 1
			send(t, stranger.rtp, broken, r.rtp[A])
			send(t, stranger.rtp, rtpPacket(1, 11, "in the clear, long enough for a tag"), r.rtp[A])
			waitRefused(t, r.s, A, Auth, 1002)
			r.s.shard.engine.Do(func() {
				if n := len(e.recv.rtp) + len(e.recv.rtcp); n != 1 {
					t.Errorf("%d sources known, want 1", n)
				}
				if e.latch[0] != addrOf(r.ph[A].rtp) || e.latch[1].IsValid() {
					t.Errorf("latches %v", e.latch)
				}
			})
			r.pass(B, rtpPacket(2, 1, "still to the phone"))
			r.pass(A, rtpPacket(1, 12, "still from the phone"))
		})
	}
}

// TestRollover: 70,000 packets both ways, over the wrap of the sequence
// number, with the packets at the wrap out of order.
func TestRollover(t *testing.T) { onEngines(t, testRollover) }

func testRollover(t *testing.T, plane planeFunc) {
	p := plane(t, func(c *Config) { c.PacketRate, c.PacketBurst = 1<<30, 1<<30 })
	r := newRig(t, p, rigSpec{suite: [2]Suite{AES_CM_128_HMAC_SHA1_32, AEAD_AES_128_GCM}})
	for seq := 65000; seq < 65536+300; seq++ {
		s := uint16(seq)
		if seq >= 65530 && seq < 65550 {
			s ^= 1
		}
		r.pass(A, rtpPacket(1, s, "x"))
		r.pass(B, rtpPacket(2, s, "x"))
	}
	snap := r.s.Snapshot()
	for leg := range 2 {
		if top := snap.Streams[0][leg].Recv.RTP[0].Top; top != 65536+299 {
			t.Errorf("leg %d: index %d", leg, top)
		}
	}
}

// TestHoldKeepsState: the same keys again go on with window and ROC; other
// keys start fresh; going back to the former ones goes on where they were.
func TestHoldKeepsState(t *testing.T) { onEngines(t, testHoldKeepsState) }

func testHoldKeepsState(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{AEAD_AES_256_GCM, 0}})
	ph := r.ph[A]
	for _, seq := range []uint16{65534, 65535, 0, 1} {
		r.pass(A, rtpPacket(1, seq, "a"))
		r.pass(B, rtpPacket(2, seq, "b"))
	}
	old := ph.seal(rtpPacket(1, 2, "old"))
	send(t, ph.rtp, old, r.rtp[A])
	r.ph[B].expect(r.ph[B].rtp, rtpPacket(1, 2, "old"))

	r.rem[A].Muted = true
	r.set(A)
	send(t, ph.rtp, old, r.rtp[A])
	waitRefused(t, r.s, A, Replay, 1)
	r.rem[A].Muted = false
	r.set(A)
	r.pass(A, rtpPacket(1, 3, "ROC is still 1"))
	r.pass(B, rtpPacket(2, 3, "ROC is still 1"))

	former, in, out := r.rem[A], ph.in, ph.out
	r.rem[A] = ph.secured(AES_CM_128_HMAC_SHA1_80, nil)
	r.set(A)
	r.pass(A, rtpPacket(1, 3, "new keys, ROC 0"))
	r.pass(B, rtpPacket(2, 3, "new keys, ROC 0"))
	send(t, ph.rtp, old, r.rtp[A])
	waitRefused(t, r.s, A, Auth, 1)

	r.rem[A], ph.in, ph.out = former, in, out
	r.set(A)
	send(t, ph.rtp, old, r.rtp[A])
	waitRefused(t, r.s, A, Replay, 2)
	r.pass(A, rtpPacket(1, 4, "ROC is 1 again"))
	send(t, r.ph[B].rtp, rtpPacket(2, 3, "b, under an index that was used"), r.rtp[B])
	waitRefused(t, r.s, B, Repeat, 1)
	r.pass(B, rtpPacket(2, 4, "ROC is 1 again"))

	for range 3 * maxPast {
		r.rem[A] = ph.secured(AEAD_AES_128_GCM, nil)
		r.set(A)
	}
	e := r.s.streams[0][A]
	r.s.shard.engine.Do(func() {
		if len(e.pastRecv) != maxPast || len(e.pastSend) != maxPast {
			t.Errorf("%d and %d former keys kept", len(e.pastRecv), len(e.pastSend))
		}
	})
	r.pass(A, rtpPacket(1, 5, "x"))
}

// TestNoIndexTwice: two packets of plain RTP with one sequence number do not
// both leave protected.
func TestNoIndexTwice(t *testing.T) { onEngines(t, testNoIndexTwice) }

func testNoIndexTwice(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}})
	r.pass(B, rtpPacket(5, 100, "the one"))
	send(t, r.ph[B].rtp, rtpPacket(5, 100, "another"), r.rtp[B])
	waitRefused(t, r.s, B, Repeat, 1)
	r.pass(B, rtpPacket(5, 101, "next"))
}

func TestSourcesCap(t *testing.T) { onEngines(t, testSourcesCap) }

func testSourcesCap(t *testing.T, plane planeFunc) {
	clk := newClock()
	r := newRig(t, plane(t, func(c *Config) { c.Clock = clk.Now }), rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}})
	for i := range uint32(maxSources) {
		clk.add(voiceEvery)
		r.pass(A, rtpPacket(i, 1, "x"))
		r.pass(B, rtpPacket(i, 1, "x"))
	}
	send(t, r.ph[A].rtp, r.ph[A].seal(rtpPacket(maxSources, 1, "x")), r.rtp[A])
	waitRefused(t, r.s, A, Sources, 1)
	send(t, r.ph[B].rtp, rtpPacket(maxSources, 1, "x"), r.rtp[B])
	waitRefused(t, r.s, B, Sources, 1)
	r.pass(A, rtpPacket(0, 2, "the known ones go on"))
	for i := range maxSources + 5 {
		b := rrPacket(byte(i))
		b[6] = byte(i >> 8)
		send(t, r.ph[A].rtcp, r.ph[A].seal(b), r.rtcp[A])
		if i < maxSources {
			r.ph[B].expect(r.ph[B].rtcp, b)
		}
	}
	waitRefused(t, r.s, A, Sources, 6)
}

func TestMKI(t *testing.T) { onEngines(t, testMKI) }

func testMKI(t *testing.T, plane planeFunc) {
	for _, suite := range Suites() {
		r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{suite, 0}, mki: []byte{1, 2, 3, 4}})
		r.pass(A, rtpPacket(1, 1, "x"))
		send(t, r.ph[A].rtcp, r.ph[A].seal(rrPacket(1)), r.rtcp[A])
		r.ph[B].expect(r.ph[B].rtcp, rrPacket(1))
		send(t, r.ph[B].rtcp, rrPacket(2), r.rtcp[B])
		r.ph[A].expect(r.ph[A].rtcp, rrPacket(2))
		other := *r.rem[A].Recv
		other.MKI = []byte{4, 3, 2, 1}
		r.ph[A].out = phoneContext(t, &other)
		send(t, r.ph[A].rtp, r.ph[A].seal(rtpPacket(1, 2, "x")), r.rtp[A])
		waitRefused(t, r.s, A, Auth, 1)
	}
}

// TestRelabel: the same key and salt with another MKI and tag length go on
// with their state, whichever way the labels change.
func TestRelabel(t *testing.T) { onEngines(t, testRelabel) }

func testRelabel(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{AES_CM_128_HMAC_SHA1_80, 0}})
	for _, seq := range []uint16{65535, 0, 1} {
		r.pass(A, rtpPacket(1, seq, "a"))
		r.pass(B, rtpPacket(2, seq, "b"))
	}
	was := r.rem[A]
	recv, send1 := *was.Recv, *was.Send
	recv.Suite, recv.MKI = AES_CM_128_HMAC_SHA1_32, []byte{7}
	send1.Suite, send1.MKI = AES_CM_128_HMAC_SHA1_32, []byte{7}
	for i, k := range []Remote{{Recv: &recv, Send: &send1}, {Recv: was.Recv, Send: was.Send}} {
		r.rem[A].Recv, r.rem[A].Send = k.Recv, k.Send
		r.set(A)
		r.ph[A].use(r.rem[A])
		r.ph[A].out.SetROC(1, 1)
		send(t, r.ph[A].rtp, r.ph[A].seal(rtpPacket(1, 1, "a replay under a new label")), r.rtp[A])
		waitRefused(t, r.s, A, Replay, uint64(i+1))
		send(t, r.ph[B].rtp, rtpPacket(2, 1, "an index that was used"), r.rtp[B])
		waitRefused(t, r.s, B, Repeat, uint64(i+1))
		r.ph[A].in.SetROC(2, 1)
		r.pass(A, rtpPacket(1, uint16(2+i), "x"))
		r.pass(B, rtpPacket(2, uint16(2+i), "x"))
	}
}

func TestSRTCPIndexInTheClear(t *testing.T) {
	for _, suite := range Suites() {
		for _, mki := range [][]byte{nil, bytes.Repeat([]byte{9}, 128)} {
			k := newKeys(t, suite, mki)
			s, err := newSecure(k)
			if err != nil {
				t.Fatal(err)
			}
			ctx := phoneContext(t, k)
			ctx.SetIndex(1, 0x01020303)
			b, err := ctx.EncryptRTCP(nil, rrPacket(1), nil)
			if err != nil {
				t.Fatal(err)
			}
			if i, ok := s.cipher.RTCPIndex(b); !ok || i != 0x01020304 {
				t.Errorf("%s: index %x %t", suite, i, ok)
			}
		}
	}
}
