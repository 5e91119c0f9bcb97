package media

import (
	"testing"
	"time"
)

// TestRekeyOverlap: after a re-INVITE with new keys, what the phone had sent
// under the former ones still arrives for a moment, RTP and RTCP, and then no
// more. It never moves the latch, and a replay stays a replay.
func TestRekeyOverlap(t *testing.T) { onEngines(t, testRekeyOverlap) }

func testRekeyOverlap(t *testing.T, plane planeFunc) {
	for _, suites := range [][2]Suite{ // before, after
		{AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_80}, {AEAD_AES_128_GCM, AEAD_AES_256_GCM},
		{AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_32}, {AES_CM_128_HMAC_SHA1_32, AEAD_AES_128_GCM},
	} {
		clk := newClock()
		r := newRig(t, plane(t, func(c *Config) { c.Clock = clk.Now }), rigSpec{suite: [2]Suite{suites[0], 0}})
		ph, far := r.ph[A], r.ph[B]
		r.pass(A, rtpPacket(1, 1, "first"))
		seal := func(b []byte) []byte { return ph.seal(b) }
		onItsWay, replay, late := seal(rtpPacket(1, 3, "on its way")), seal(rtpPacket(1, 2, "overtaken")), seal(rtpPacket(1, 4, "late"))
		elsewhere, control, lateControl := seal(rtpPacket(1, 5, "elsewhere")), seal(rrPacket(1)), seal(rrPacket(1))

		r.rem[A] = ph.secured(suites[1], nil)
		r.set(A)
		r.pass(A, rtpPacket(1, 100, "new key"))
		send(t, ph.rtp, onItsWay, r.rtp[A])
		far.expect(far.rtp, rtpPacket(1, 3, "on its way"))
		send(t, ph.rtcp, control, r.rtcp[A])
		far.expect(far.rtcp, rrPacket(1))
		send(t, ph.rtp, replay, r.rtp[A])
		far.expect(far.rtp, rtpPacket(1, 2, "overtaken"))
		send(t, ph.rtp, replay, r.rtp[A])
		waitRefused(t, r.s, A, Auth, 1)

		other := listen(t, loop4)
		send(t, other, elsewhere, r.rtp[A])
		far.expect(far.rtp, rtpPacket(1, 5, "elsewhere"))
		r.pass(B, rtpPacket(2, 1, "to the phone, under the new key")) // and not to other

		clk.add(rekeyOverlap)
		send(t, ph.rtp, late, r.rtp[A])
		waitRefused(t, r.s, A, Auth, 2)
		send(t, ph.rtcp, lateControl, r.rtcp[A])
		// Too short for a longer tag, or not authentic under it.
		eventually(t, "the report to be refused", func() bool { return refused(r.s, A, Auth)+refused(r.s, A, Malformed) == 3 })
		r.pass(A, rtpPacket(1, 101, "new key"))
		e := r.s.streams[0][A]
		r.s.shard.engine.Do(func() {
			if e.former != nil {
				t.Error("the former keys are kept")
			}
		})
	}
}

// TestRekeyManyTimes: only the keys before the last change overlap, however
// fast they change, and going to plain RTP and back leaves none.
func TestRekeyManyTimes(t *testing.T) {
	r := newRig(t, testPlane(t, nil), rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}})
	ph := r.ph[A]
	first := ph.seal(rtpPacket(1, 1, "x"))
	for range 2 {
		r.rem[A] = ph.secured(AEAD_AES_128_GCM, nil)
		r.set(A)
	}
	send(t, ph.rtp, first, r.rtp[A])
	waitRefused(t, r.s, A, Auth, 1)
	r.pass(A, rtpPacket(1, 2, "y"))
	secured, last := r.rem[A], ph.seal(rtpPacket(1, 3, "z"))
	r.rem[A].Recv, r.rem[A].Send = nil, nil
	r.set(A)
	r.rem[A] = secured
	r.rem[A].Recv = newKeys(t, AEAD_AES_128_GCM, nil)
	r.set(A)
	send(t, ph.rtp, last, r.rtp[A])
	waitRefused(t, r.s, A, Auth, 2)
}

// TestKeyUsedUp: the owner is told once that a key has protected all it may,
// and which leg it belongs to.
func TestKeyUsedUp(t *testing.T) {
	p := testPlane(t, nil)
	r := newRig(t, p, rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}})
	r.pass(B, rtpPacket(2, 1, "x"))
	snap := r.s.Snapshot()
	r.s.Close()
	snap.Streams[0][A].Send.RTP[0].Top = 1<<48 - 1
	told := make(chan Event, 10)
	s, err := p.Restore(snap, func(e Event) { told <- e })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range uint16(3) {
		send(t, r.ph[B].rtp, rtpPacket(2, i, "too many"), r.rtp[B])
	}
	waitRefused(t, s, B, UsedUp, 3)
	p.sweep(time.Now())
	p.sweep(time.Now().Add(time.Hour))
	e := <-told
	if e.Kind != KeyUsedUp || e.Leg != A || e.ID != r.s.id || e.Kind.String() != "key used up" {
		t.Errorf("%+v", e)
	}
	select {
	case e := <-told:
		t.Errorf("told again: %+v", e)
	default:
	}
	if b, _ := read(t, r.ph[A].rtp, 50*time.Millisecond); b != nil {
		b, _ = read(t, r.ph[A].rtp, 50*time.Millisecond) // the one before
		if b != nil {
			t.Error("sent under a used-up key")
		}
	}
}
