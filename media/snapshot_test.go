package media

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"
)

// TestTakeover: a session is snapshotted in the middle of its streams, right
// before a sequence number wraps, sent as JSON, and goes on in another plane:
// same ports, latch, keys, ROC, replay window, CNAME, counters.
func TestTakeover(t *testing.T) { onEngines(t, testTakeover) }

func testTakeover(t *testing.T, plane planeFunc) {
	for _, suite := range append(Suites(), 0) {
		for _, mki := range [][]byte{nil, {1, 2}} {
			if suite == 0 && mki != nil {
				continue
			}
			first := plane(t, nil)
			r := newRig(t, first, rigSpec{suite: [2]Suite{suite, 0}, mki: mki})
			moved := newPhone(t, loop4) // not where the SDP said, where SRTP allows
			if suite != 0 {
				moved.in, moved.out = r.ph[A].in, r.ph[A].out
				r.ph[A] = moved
			}
			for seq := uint16(65520); seq != 65535; seq++ {
				r.pass(A, rtpPacket(1, seq, "a"))
				r.pass(B, rtpPacket(2, seq, "b"))
			}
			gap := r.ph[A].seal(rtpPacket(1, 65535, "reordered across the takeover"))
			last := r.ph[A].seal(rtpPacket(1, 0, "the last one before"))
			send(t, r.ph[A].rtp, last, r.rtp[A])
			r.ph[B].expect(r.ph[B].rtp, rtpPacket(1, 0, "the last one before"))
			r.pass(B, rtpPacket(2, 0, "b"))
			rtcpLast := r.ph[A].seal(rrPacket(1))
			send(t, r.ph[A].rtcp, rtcpLast, r.rtcp[A])
			r.ph[B].expect(r.ph[B].rtcp, rrPacket(1))
			send(t, r.ph[B].rtcp, rrPacket(2), r.rtcp[B])
			r.ph[A].expect(r.ph[A].rtcp, rrPacket(2))

			snap := roundTrip(t, r.s.Snapshot())
			r.s.Close()
			first.Close()

			second := plane(t, nil)
			s, err := second.Restore(snap, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			was := r.s
			r.s = s
			if a, _ := s.Local(A, 0); a != r.rtp[A] {
				t.Fatalf("%s became %s", r.rtp[A], a)
			}
			if s.cname != was.cname {
				t.Error("other CNAME")
			}
			r.pass(B, rtpPacket(2, 1, "to the latch, ROC 1"))
			if suite != 0 {
				send(t, r.ph[A].rtp, last, r.rtp[A])
				send(t, r.ph[A].rtcp, rtcpLast, r.rtcp[A])
				waitRefused(t, s, A, Replay, 2)
				send(t, r.ph[B].rtp, rtpPacket(2, 0, "again"), r.rtp[B])
				waitRefused(t, s, B, Repeat, 1)
			}
			send(t, r.ph[A].rtp, gap, r.rtp[A])
			r.ph[B].expect(r.ph[B].rtp, rtpPacket(1, 65535, "reordered across the takeover"))
			for seq := uint16(1); seq < 5; seq++ {
				r.pass(A, rtpPacket(1, seq, "a"))
				r.pass(B, rtpPacket(2, seq+1, "b"))
			}
			send(t, r.ph[A].rtcp, r.ph[A].seal(rrPacket(1)), r.rtcp[A])
			r.ph[B].expect(r.ph[B].rtcp, rrPacket(1))
			send(t, r.ph[B].rtcp, rrPacket(2), r.rtcp[B])
			r.ph[A].expect(r.ph[A].rtcp, rrPacket(2))
			if st := s.Stats(); st[A].PacketsIn != 21 || st[A].RTCPIn != 2 {
				t.Errorf("%+v", st[A].Counts)
			}
			// The keys are the same again: a re-INVITE changes nothing.
			if suite != 0 {
				send(t, r.ph[A].rtp, last, r.rtp[A])
				r.set(A)
				send(t, r.ph[A].rtp, last, r.rtp[A])
				waitRefused(t, s, A, Replay, 4)
			}
			r.pass(A, rtpPacket(1, 5, "a"))
			second.Close()
		}
	}
}

// roundTrip checks that a snapshot is plain data in two encodings.
func roundTrip(t *testing.T, s Snapshot) Snapshot {
	t.Helper()
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var a, b Snapshot
	if err := json.Unmarshal(j, &a); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(s); err != nil {
		t.Fatal(err)
	}
	if err := gob.NewDecoder(&buf).Decode(&b); err != nil {
		t.Fatal(err)
	}
	ja, _ := json.Marshal(a)
	jb, _ := json.Marshal(b)
	if !reflect.DeepEqual(ja, j) || !reflect.DeepEqual(jb, j) {
		t.Fatal("a snapshot does not survive encoding")
	}
	return a
}

// TestTakeoverSkipsIndices: what the other gateway sent after the snapshot
// was under SRTCP indices that are not used again.
func TestTakeoverSkipsIndices(t *testing.T) { onEngines(t, testTakeoverSkipsIndices) }

func testTakeoverSkipsIndices(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}})
	index := func() uint32 {
		send(t, r.ph[B].rtcp, rrPacket(2), r.rtcp[B])
		b, _ := read(t, r.ph[A].rtcp, time.Second)
		i, ok := r.s.streams[0][A].send.cipher.RTCPIndex(b)
		if !ok {
			t.Fatalf("%x", b)
		}
		return i
	}
	if i := index(); i != 1 {
		t.Fatal(i)
	}
	snap := r.s.Snapshot()
	r.s.Close()
	s, err := r.p.Restore(snap, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.s = s
	if i := index(); i != 2+srtcpGap {
		t.Fatal(i)
	}
	s.Close()
}

func TestRestoreRefuses(t *testing.T) { onEngines(t, testRestoreRefuses) }

func testRestoreRefuses(t *testing.T, plane planeFunc) {
	p := plane(t, nil)
	r := newRig(t, p, rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}})
	r.pass(A, rtpPacket(1, 1, "x"))
	if _, err := p.Restore(r.s.Snapshot(), nil); !errors.Is(err, ErrNoPorts) {
		t.Errorf("over a live session: %v", err)
	}
	base := r.s.Snapshot()
	r.s.Close()
	for name, change := range map[string]func(*Snapshot){
		"no stream":      func(s *Snapshot) { s.Streams = nil },
		"odd port":       func(s *Snapshot) { s.Streams[0][A].Port |= 1 },
		"alien port":     func(s *Snapshot) { s.Streams[0][B].Port = 22 },
		"suite":          func(s *Snapshot) { s.Streams[0][A].Recv.Suite = "NULL" },
		"short key":      func(s *Snapshot) { s.Streams[0][A].Send.Key = nil },
		"half keyed":     func(s *Snapshot) { s.Streams[0][A].Send = nil },
		"window":         func(s *Snapshot) { s.Streams[0][A].Recv.RTP[0].Bits = nil },
		"index":          func(s *Snapshot) { s.Streams[0][A].Recv.RTP[0].Top = 1 << 48 },
		"a source twice": func(s *Snapshot) { k := s.Streams[0][A].Recv; k.RTP = append(k.RTP, k.RTP[0]) },
		"sources": func(s *Snapshot) {
			s.Streams[0][A].Recv.RTCP = make([]SourceSnapshot, maxSources+1)
		},
		"side":   func(s *Snapshot) { s.Legs[0].Side = 9 },
		"remote": func(s *Snapshot) { s.Streams[0][A].Remote.RTP = s.Streams[0][A].Latch[1] },
	} {
		snap := roundTrip(t, base)
		change(&snap)
		if s, err := p.Restore(snap, nil); err == nil {
			s.Close()
			t.Error(name, "was accepted")
		}
		if st := p.Stats(); st.Ports != 0 || st.Streams != 0 {
			t.Fatalf("%s: left over %+v", name, st)
		}
	}
	s, err := p.Restore(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}
