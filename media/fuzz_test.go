package media

import (
	"bytes"
	"net/netip"
	"testing"
)

// FuzzPacket hands any bytes to every port of a session, from the right
// address and from a wrong one. What comes out of plain ports is what went in
// (or RTCP rewritten); nothing comes out of a secured port; nothing panics;
// nothing grows.
func FuzzPacket(f *testing.F) {
	f.Add(rtpPacket(1, 1, "sound"), false)
	f.Add(rrPacket(1), true)
	f.Add(marshal(f, report, sdes(1, cname("x"))), true)
	f.Add([]byte{0xbf, 0xff}, false)
	stranger := netip.MustParseAddrPort("192.0.2.66:666")
	f.Fuzz(func(t *testing.T, b []byte, rtcp bool) {
		if len(b) > 1536 {
			return
		}
		plain := newFakeRig(t, [2]Suite{})
		secured := newFakeRig(t, [2]Suite{AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80})
		for leg := A; leg <= B; leg++ {
			from, to := plain.far[leg].RTP, plain.far[leg.Other()].RTP
			sink := plain.in[leg]
			if rtcp {
				from, to, sink = plain.far[leg].RTCP, plain.far[leg.Other()].RTCP, plain.rtcp[leg]
			}
			if out := plain.give(sink, b, stranger); out != nil {
				t.Fatalf("a stranger's packet went on: %x", out)
			}
			out := plain.give(sink, b, from)
			if out != nil {
				if plain.net.to != to {
					t.Fatalf("sent to %s", plain.net.to)
				}
				want := b
				if isRTCP(b) {
					want, _ = rewriteRTCP(nil, b, plain.s.cname[leg], &plain.s.streams[0][leg].voices)
				}
				if !bytes.Equal(out, want) {
					t.Fatalf("got %x\nwant %x", out, want)
				}
				if isRTCP(b) != rtcp || len(b) < rtcpHeader || len(b) > maxPacket {
					t.Fatalf("%x went on", b)
				}
			}
			if secured.give(secured.in[leg], b, secured.far[leg].RTP) != nil || secured.give(secured.rtcp[leg], b, secured.far[leg].RTCP) != nil {
				t.Fatal("a packet without authentication went on")
			}
			e := secured.s.streams[0][leg]
			if len(e.recv.rtp)+len(e.recv.rtcp)+len(e.peer.send.rtp)+len(e.peer.send.rtcp) != 0 || e.latch[0].IsValid() || e.latch[1].IsValid() {
				t.Fatal("state without authentication")
			}
		}
		for _, r := range []*fakeRig{plain, secured} {
			if n := r.p.Stats().Refused[Panicked]; n != 0 {
				t.Fatalf("%d panics", n)
			}
		}
	})
}

// FuzzAuthentic: what an authenticated but hostile peer sends, protected
// properly, neither panics nor leaves unprotected.
func FuzzAuthentic(f *testing.F) {
	f.Add(rtpPacket(1, 1, "sound"))
	f.Add(marshal(f, report, sdes(1, cname("x"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 12 || len(b) > 1400 || !isRTP(b) {
			return
		}
		r := newFakeRig(t, [2]Suite{AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_80})
		peer, far := phoneContext(t, r.far[A].Recv), phoneContext(t, r.far[B].Send)
		var out, want []byte
		if isRTCP(b) {
			c, err := peer.EncryptRTCP(nil, b, nil)
			if err != nil {
				return
			}
			want, _ = rewriteRTCP(nil, b, r.s.cname[A], &voices{})
			if out = r.give(r.rtcp[A], c, r.far[A].RTCP); out != nil {
				if out, err = far.DecryptRTCP(nil, out, nil); err != nil {
					t.Fatal(err)
				}
			}
		} else {
			c, err := peer.EncryptRTP(nil, b, nil)
			if err != nil {
				return
			}
			if want = b; !paddingFits(b, rtpHeaderLen(b)) {
				want = nil
			}
			if out = r.give(r.in[A], c, r.far[A].RTP); out != nil {
				if out, err = far.DecryptRTP(nil, out, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		if out != nil && !bytes.Equal(out, want) {
			t.Fatalf("got %x\nwant %x", out, want)
		}
		if n := r.p.Stats().Refused[Panicked]; n != 0 {
			t.Fatal("panicked")
		}
	})
}
