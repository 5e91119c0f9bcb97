package media

import (
	"testing"
	"time"
)

// TestRaw: UDPTL passes as it is, from where the description says, once both
// ends speak it; and the stream can be audio again afterwards.
func TestRaw(t *testing.T) { onEngines(t, testRaw) }

func testRaw(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{})
	defer r.s.Close()
	fax := []byte{0x00, 0x01, 0x01, 0x06, 0x00, 0x00} // no RTP: version 0, six octets
	rtp := rtpPacket(1, 7, "sound")
	r.pass(A, rtp)

	raw := func(leg Leg) {
		t.Helper()
		x := r.ph[leg].remote()
		x.Raw = true
		if err := r.s.Set(leg, 0, x); err != nil {
			t.Fatal(err)
		}
	}
	toA, _ := r.s.Local(A, 0)
	raw(A)
	send(t, r.ph[A].rtp, fax, toA)
	waitRefused(t, r.s, A, Unready, 1) // B still speaks RTP
	raw(B)
	r.pass(A, fax)
	r.pass(B, fax)
	r.pass(B, []byte{0x80, 0, 1, 2, 3})
	_, control := r.s.Local(A, 0)
	send(t, r.ph[A].rtcp, fax, control)
	waitRefused(t, r.s, A, Misdirected, 1)
	send(t, r.ph[A].rtp, fax[:3], toA)
	waitRefused(t, r.s, A, Runt, 1)
	stranger := newPhone(t, loop4)
	send(t, stranger.rtp, fax, toA)
	waitRefused(t, r.s, A, WrongSource, 1)
	if b, _ := read(t, r.ph[B].rtp, 50*time.Millisecond); b != nil {
		t.Fatalf("a stranger's %x arrived", b)
	}
	for _, leg := range []Leg{A, B} {
		if err := r.s.Set(leg, 0, r.ph[leg].remote()); err != nil {
			t.Fatal(err)
		}
	}
	r.pass(A, rtp)
	send(t, r.ph[A].rtp, fax, toA)
	waitRefused(t, r.s, A, Runt, 2)

	x := r.ph[A].remote()
	x.Raw = true
	x.Recv, x.Send = newKeys(t, AEAD_AES_128_GCM, nil), newKeys(t, AEAD_AES_128_GCM, nil)
	if err := r.s.Set(A, 0, x); err == nil {
		t.Error("keys for UDPTL were taken")
	}
}
