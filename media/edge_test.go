package media

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/media/bind"
)

// TestHoursOfWraps is five hours of a call over a bad network in virtual
// time: thirteen wraps of the sequence number both to and from us, most
// packets lost, some late, some twice. Another implementation seals what
// comes and opens what goes.
func TestHoursOfWraps(t *testing.T) {
	r := newFakeRig(t, [2]Suite{AES_CM_128_HMAC_SHA1_80, AEAD_AES_256_GCM})
	from, to := phoneContext(t, r.far[A].Recv), phoneContext(t, r.far[B].Send)
	rng := rand.New(rand.NewPCG(5, 6))
	const packets = 5 * 3600 * 50
	begin := r.now
	var last []byte
	relayed, late := 0, 0
	pass := func(i int, sealed []byte) {
		r.now = begin.Add(time.Duration(i) * 20 * time.Millisecond)
		out := r.give(r.in[A], sealed, r.far[A].RTP)
		if out == nil {
			t.Fatalf("packet %d: %v", i, r.s.Stats()[A].Refused)
		}
		plain, err := to.DecryptRTP(nil, out, nil)
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if want := rtpPacket(7, uint16(i), "sound"); !bytes.Equal(plain, want) {
			t.Fatalf("packet %d: %x", i, plain)
		}
		relayed++
	}
	seal := func(i int) []byte {
		b, err := from.EncryptRTP(nil, rtpPacket(7, uint16(i), "sound"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i := 1; i < packets; i += 1 + rng.IntN(60) {
		if rng.IntN(10) == 0 { // this one overtakes the one before it
			overtaken := seal(i)
			i++
			pass(i, seal(i))
			pass(i-1, overtaken)
			late++
		} else {
			last = seal(i)
			pass(i, last)
			if rng.IntN(20) == 0 && r.give(r.in[A], last, r.far[A].RTP) != nil {
				t.Fatalf("packet %d went on twice", i)
			}
		}
	}
	snap := r.s.Snapshot()
	for _, k := range []*KeySnapshot{snap.Streams[0][A].Recv, snap.Streams[0][B].Send} {
		if roc := k.RTP[0].Top >> 16; roc != packets>>16 || len(k.RTP) != 1 {
			t.Errorf("rollover counter %d, want %d", roc, packets>>16)
		}
	}
	st := r.s.Stats()[A]
	if st.Expected < packets-100 || st.Expected > packets || st.PacketsIn != uint64(relayed) || st.Lost != st.Expected-uint64(relayed) || late == 0 {
		t.Errorf("%d relayed: %+v", relayed, st)
	}
}

// TestPacketTimes: sound in packets of 20 to 60 ms crosses at its size, and a
// steady sender has no jitter and no loss, whatever its packets hold.
func TestPacketTimes(t *testing.T) {
	for _, ms := range []int{20, 30, 40, 60} {
		r := newFakeRig(t, [2]Suite{AES_CM_128_HMAC_SHA1_32, AEAD_AES_128_GCM})
		from, to := phoneContext(t, r.far[A].Recv), phoneContext(t, r.far[B].Send)
		for i := range 200 {
			b := rtpPacket(3, uint16(i), strings.Repeat("s", 8*ms))
			ts := uint32(i * 8 * ms)
			b[4], b[5], b[6], b[7] = byte(ts>>24), byte(ts>>16), byte(ts>>8), byte(ts)
			sealed, err := from.EncryptRTP(nil, b, nil)
			if err != nil {
				t.Fatal(err)
			}
			out, err := to.DecryptRTP(nil, r.give(r.in[A], sealed, r.far[A].RTP), nil)
			if err != nil || !bytes.Equal(out, b) {
				t.Fatalf("%d ms, packet %d: %v", ms, i, err)
			}
			r.now = r.now.Add(time.Duration(ms) * time.Millisecond)
		}
		if st := r.s.Stats()[A]; st.JitterMs > 0.001 || st.LossPercent != 0 || st.Expected != 200 {
			t.Errorf("%d ms: %+v", ms, st)
		}
	}
}

// TestSizes: the largest packets cross in every suite, also with the longest
// MKI; one byte more does not, and what is too short for its tag is refused.
func TestSizes(t *testing.T) {
	onEngines(t, func(t *testing.T, plane planeFunc) {
		p := plane(t, nil)
		for _, suite := range Suites() {
			for _, mki := range [][]byte{nil, bytes.Repeat([]byte{1}, maxMKI)} {
				r := newRig(t, p, rigSpec{suite: [2]Suite{suite, 0}, mki: mki})
				over := len(r.ph[A].seal(rtpPacket(1, 1, ""))) - rtpHeader
				largest := strings.Repeat("x", maxPacket-rtpHeader)
				r.pass(B, rtpPacket(2, 1, largest)) // grows on its way out
				r.pass(B, rtpPacket(2, 2, ""))
				r.pass(A, rtpPacket(1, 2, largest[over:]))
				r.pass(A, rtpPacket(1, 3, ""))
				send(t, r.ph[A].rtp, r.ph[A].seal(rtpPacket(1, 4, largest[over-1:])), r.rtp[A])
				waitRefused(t, r.s, A, Jumbo, 1)
				send(t, r.ph[B].rtp, append(rtpPacket(2, 3, largest), 'x'), r.rtp[B])
				send(t, r.ph[B].rtp, make([]byte, bind.ReadSize), r.rtp[B])
				send(t, r.ph[B].rtp, make([]byte, 9000), r.rtp[B])
				waitRefused(t, r.s, B, Jumbo, 3)
				whole := r.ph[A].seal(rtpPacket(1, 5, "x"))
				for n := rtpHeader; n < len(whole); n++ {
					send(t, r.ph[A].rtp, whole[:n], r.rtp[A])
				}
				waitRefused(t, r.s, A, Auth, uint64(len(whole)-rtpHeader))
				report := r.ph[A].seal(rrPacket(1))
				for n := rtcpHeader; n < len(report); n++ {
					send(t, r.ph[A].rtcp, report[:n], r.rtcp[A])
				}
				eventually(t, "short reports to be counted", func() bool {
					st := r.s.Stats()[A].Refused
					return st[Auth]+st[Malformed] == uint64(len(whole)-rtpHeader+len(report)-rtcpHeader)
				})
				r.pass(A, rtpPacket(1, 6, "goes on"))
				r.s.Close()
			}
		}
	})
}

// TestCollision: both ends of a call, and its RTCP, may speak as one source;
// a second sender under the first one's name and numbers is not protected
// under indices that were used, and is heard once its numbers are new.
func TestCollision(t *testing.T) {
	onEngines(t, func(t *testing.T, plane planeFunc) {
		r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_80}})
		for seq := uint16(65530); seq != 6; seq++ {
			r.pass(A, rtpPacket(1, seq, "a"))
			r.pass(B, rtpPacket(1, seq, "b"))
			for leg := A; leg <= B; leg++ {
				other := r.ph[leg.Other()]
				send(t, r.ph[leg].rtcp, r.ph[leg].seal(rrPacket(1)), r.rtcp[leg])
				other.expect(other.rtcp, rrPacket(1))
			}
		}

		plain := newRig(t, plane(t, func(c *Config) { c.PortMin, c.PortMax = 32000, 32999 }), rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}})
		for seq := uint16(1000); seq < 1005; seq++ {
			plain.pass(B, rtpPacket(1, seq, "first sender"))
		}
		for seq := uint16(1000); seq < 1005; seq++ {
			send(t, plain.ph[B].rtp, rtpPacket(1, seq, "second sender"), plain.rtp[B])
		}
		send(t, plain.ph[B].rtp, rtpPacket(1, 5, "far behind"), plain.rtp[B])
		waitRefused(t, plain.s, B, Repeat, 6)
		plain.pass(B, rtpPacket(1, 1005, "second sender"))
		plain.pass(B, rtpPacket(2, 5, "another name"))
	})
}

// TestMuxOnOneSide: RTCP crosses between a leg with one port and a leg with
// two, secured on both, and not through the port that was not agreed.
func TestMuxOnOneSide(t *testing.T) {
	onEngines(t, func(t *testing.T, plane planeFunc) {
		p := plane(t, nil)
		for one := A; one <= B; one++ {
			for _, suites := range [][2]Suite{{AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80}, {AES_CM_128_HMAC_SHA1_32, AEAD_AES_256_GCM}} {
				r := newRig(t, p, rigSpec{suite: suites, rem: func(leg Leg, rem *Remote) { rem.Mux = leg == one }})
				two := one.Other()
				for seq := range uint16(5) {
					r.pass(one, rtpPacket(1, seq, "sound"))
					r.pass(two, rtpPacket(2, seq, "sound"))
					send(t, r.ph[one].rtp, r.ph[one].seal(rrPacket(1)), r.rtp[one])
					r.ph[two].expect(r.ph[two].rtcp, rrPacket(1))
					send(t, r.ph[two].rtcp, r.ph[two].seal(rrPacket(2)), r.rtcp[two])
					r.ph[one].expect(r.ph[one].rtp, rrPacket(2))
				}
				send(t, r.ph[one].rtcp, r.ph[one].seal(rrPacket(1)), r.rtcp[one])
				send(t, r.ph[two].rtp, r.ph[two].seal(rrPacket(2)), r.rtp[two])
				waitRefused(t, r.s, one, Misdirected, 1)
				waitRefused(t, r.s, two, Misdirected, 1)
			}
		}
	})
}

// TestIndicesRunOut: at the end of the index space nothing is sent rather
// than something under an index that was used, and nothing is believed.
func TestIndicesRunOut(t *testing.T) {
	r := newRig(t, testPlane(t, nil), rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}})
	r.pass(B, rtpPacket(2, 1, "x"))
	send(t, r.ph[B].rtcp, rrPacket(2), r.rtcp[B])
	r.ph[A].expect(r.ph[A].rtcp, rrPacket(2))
	snap := r.s.Snapshot()
	r.s.Close()
	k := snap.Streams[0][A].Send
	k.RTP[0].Top, k.RTCP[0].Top = 1<<48-2, 1<<31-2
	s, err := r.p.Restore(snap, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	send(t, r.ph[B].rtp, rtpPacket(2, 65535, "the last"), r.rtp[B])
	if b, _ := read(t, r.ph[A].rtp, time.Second); b == nil {
		t.Error("the last index is not used")
	}
	send(t, r.ph[B].rtp, rtpPacket(2, 0, "one more"), r.rtp[B])
	waitRefused(t, s, B, UsedUp, 1)
	send(t, r.ph[B].rtcp, rrPacket(2), r.rtcp[B])
	waitRefused(t, s, B, UsedUp, 2)
}

// TestManySessions: a full shard hands each packet to its own session and
// keeps doing so while others come and go.
func TestManySessions(t *testing.T) {
	onEngines(t, func(t *testing.T, plane planeFunc) {
		p := plane(t, func(c *Config) { c.Shards = 1 })
		var rigs []*rig
		for range 40 {
			rigs = append(rigs, newRig(t, p, rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}}))
		}
		for round := range uint16(10) {
			extra, err := p.Open(Spec{ID: "passing", Streams: 2, Legs: [2]LegSpec{{}, {Side: call.Inside}}})
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range rigs {
				send(t, r.ph[A].rtp, r.ph[A].seal(rtpPacket(1, round, fmt.Sprint("session ", i))), r.rtp[A])
			}
			extra.Close()
			for i, r := range rigs {
				r.ph[B].expect(r.ph[B].rtp, rtpPacket(1, round, fmt.Sprint("session ", i)))
			}
		}
	})
}
