package media

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// rrPacket is an empty receiver report.
func rrPacket(ssrc byte) []byte { return []byte{0x80, 201, 0, 1, 0, 0, 0, ssrc} }

func marshal(t testing.TB, list ...rtcp.Packet) []byte {
	t.Helper()
	b, err := rtcp.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var report = &rtcp.SenderReport{SSRC: 1, NTPTime: 7, RTPTime: 8, PacketCount: 9, OctetCount: 10,
	Reports: []rtcp.ReceptionReport{{SSRC: 2, LastSequenceNumber: 3, Jitter: 4}}}

func sdes(ssrc uint32, items ...rtcp.SourceDescriptionItem) *rtcp.SourceDescription {
	return &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: ssrc, Items: items}}}
}

func cname(text string) rtcp.SourceDescriptionItem {
	return rtcp.SourceDescriptionItem{Type: rtcp.SDESCNAME, Text: text}
}

// spoke are the sources an end has sent sound with.
func spoke(ssrcs ...uint32) *voices {
	v := &voices{}
	for _, s := range ssrcs {
		v.speak(time.Time{}, s)
	}
	return v
}

const token = "0123456789abcdef"

func TestRewriteRTCP(t *testing.T) {
	extended := marshal(t, report)
	extended = append(extended, 'l', 'e', 'a', 'k')
	extended[3]++
	padded := append(marshal(t, &rtcp.ReceiverReport{SSRC: 1}), 0, 0, 0, 4)
	padded[0], padded[3] = padded[0]|0x20, padded[3]+1
	pli := &rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 2}
	remb := &rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: 1, Bitrate: 1e6, SSRCs: []uint32{2}}
	xr := &rtcp.ExtendedReport{SenderSSRC: 1, Reports: []rtcp.ReportBlock{
		&rtcp.ReceiverReferenceTimeReportBlock{NTPTimestamp: 5},
		&rtcp.UnknownReportBlock{XRHeader: rtcp.XRHeader{BlockType: 200}, Bytes: []byte("leak")}}}
	app := []byte{0x80, 204, 0, 3, 0, 0, 0, 1, 'n', 'a', 'm', 'e', 'l', 'e', 'a', 'k'}
	afb := []byte{0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 'l', 'e', 'a', 'k', 'l', 'e', 'a', 'k'}

	for _, c := range []struct {
		name string
		in   []byte
		want []rtcp.Packet // nil: nothing crosses
		why  Cause
	}{
		{name: "SR and CNAME", in: marshal(t, report, sdes(1, cname("alice@10.0.0.5"))),
			want: []rtcp.Packet{report, sdes(1, cname(token))}},
		{name: "other items go", in: marshal(t, report, sdes(1, cname("a"),
			rtcp.SourceDescriptionItem{Type: rtcp.SDESEmail, Text: "alice@leak.example"},
			rtcp.SourceDescriptionItem{Type: rtcp.SDESTool, Text: "leak 1.0"})),
			want: []rtcp.Packet{report, sdes(1, cname(token))}},
		{name: "a chunk without CNAME gets one", in: marshal(t, sdes(1, rtcp.SourceDescriptionItem{Type: rtcp.SDESName, Text: "leak"})),
			want: []rtcp.Packet{sdes(1, cname(token))}},
		{name: "profile extension", in: extended, want: []rtcp.Packet{report}},
		{name: "padding", in: padded, want: []rtcp.Packet{&rtcp.ReceiverReport{SSRC: 1}}},
		{name: "BYE loses its reason", in: marshal(t, report, &rtcp.Goodbye{Sources: []uint32{1}, Reason: "leak"}),
			want: []rtcp.Packet{report, &rtcp.Goodbye{Sources: []uint32{1}}}},
		{name: "BYE for another", in: marshal(t, report, &rtcp.Goodbye{Sources: []uint32{2}}), want: []rtcp.Packet{report}},
		{name: "BYE for another alone", in: marshal(t, &rtcp.Goodbye{Sources: []uint32{2, 3}}), why: Filtered},
		{name: "BYE for itself and others", in: marshal(t, report, &rtcp.Goodbye{Sources: []uint32{2, 1, 3}}),
			want: []rtcp.Packet{report, &rtcp.Goodbye{Sources: []uint32{1}}}},
		{name: "feedback", in: marshal(t, pli, remb), want: []rtcp.Packet{pli, remb}},
		{name: "NACK", in: marshal(t, &rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: 2, Nacks: []rtcp.NackPair{{PacketID: 5}}}),
			want: []rtcp.Packet{&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: 2, Nacks: []rtcp.NackPair{{PacketID: 5}}}}},
		{name: "application-layer feedback", in: afb, why: Filtered},
		{name: "APP", in: app, why: Filtered},
		{name: "APP among others", in: append(marshal(t, report), app...), want: []rtcp.Packet{report}},
		{name: "XR", in: marshal(t, xr), want: []rtcp.Packet{&rtcp.ExtendedReport{SenderSSRC: 1, Reports: xr.Reports[:1]}}},
		{name: "empty BYE", in: []byte{0x80, 203, 0, 0}, why: Filtered},
		{name: "length beyond the end", in: []byte{0x80, 201, 0, 2, 0, 0, 0, 1}, why: Malformed},
		{name: "rest behind", in: append(rrPacket(1), 0x80), why: Malformed},
		{name: "reports that are not there", in: []byte{0x83, 201, 0, 1, 0, 0, 0, 1}, why: Malformed},
		{name: "padding in the middle", in: append(padded, rrPacket(1)...), why: Malformed},
		{name: "SDES item beyond the end", in: []byte{0x81, 202, 0, 2, 0, 0, 0, 1, 1, 200, 'a', 'b'}, why: Malformed},
		{name: "SDES without end", in: []byte{0x81, 202, 0, 2, 0, 0, 0, 1, 1, 2, 'a', 'b'}, why: Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := bytes.Clone(c.in)
			got, why := rewriteRTCP(nil, c.in, token, spoke(1))
			if !bytes.Equal(before, c.in) {
				t.Error("the input was changed")
			}
			if c.want == nil {
				if got != nil || why != c.why {
					t.Errorf("%x, %s; want %s", got, why, c.why)
				}
				return
			}
			if !bytes.Equal(got, marshal(t, c.want...)) {
				t.Errorf("got  %x\nwant %x", got, marshal(t, c.want...))
			}
		})
	}
}

// TestRTCPGrowth: a compound of tiny chunks grows by rewriting; it is refused
// before it is larger than a packet may be.
func TestRTCPGrowth(t *testing.T) {
	var b []byte
	for range 5 {
		one := []byte{0x80 | 31, 202, 0, 62}
		for i := range byte(31) {
			one = append(one, 0, 0, 0, i, 0, 0, 0, 0)
		}
		b = append(b, one...)
	}
	if out, why := rewriteRTCP(nil, b[:252], token, spoke()); len(out) != 4+31*24 {
		t.Errorf("%d bytes, %s", len(out), why)
	}
	if out, why := rewriteRTCP(nil, b, token, spoke()); out != nil || why != Malformed {
		t.Errorf("%d bytes, %s", len(out), why)
	}
}

func TestRTCPRelay(t *testing.T) { onEngines(t, testRTCPRelay) }

func testRTCPRelay(t *testing.T, plane planeFunc) {
	p := plane(t, nil)
	in := marshal(t, report, sdes(1, cname("alice@10.0.0.5")))
	for _, mux := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} {
		for _, suite := range []Suite{0, AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_32} {
			r := newRig(t, p, rigSpec{suite: [2]Suite{suite, 0}, rem: func(leg Leg, rem *Remote) { rem.Mux = mux[leg] }})
			for from := A; from <= B; from++ {
				src, dst := r.ph[from], r.ph[from.Other()]
				want := marshal(t, report, sdes(1, cname(r.s.cname[from])))
				c, to := src.rtcp, r.rtcp[from]
				if mux[from] {
					c, to = src.rtp, r.rtp[from]
				}
				send(t, c, src.seal(in), to)
				if mux[from.Other()] {
					dst.expect(dst.rtp, want)
				} else {
					dst.expect(dst.rtcp, want)
				}
			}
			st := r.s.Close()
			if st[A].RTCPIn != 1 || st[B].RTCPOut != 1 || st[A].Refused.Total() != 0 {
				t.Errorf("%v %s: %+v", mux, suite, st)
			}
		}
	}
	r := newRig(t, p, rigSpec{})
	if r.s.cname[A] == r.s.cname[B] || strings.ContainsAny(r.s.cname[A], "@. ") || len(r.s.cname[A]) != 16 {
		t.Errorf("tokens %q", r.s.cname)
	}
}

// FuzzRewriteRTCP: whatever comes out is well-formed by another parser's
// opinion, bounded, holds none of the text that went in, and is stable.
func FuzzRewriteRTCP(f *testing.F) {
	f.Add(marshal(f, report, sdes(1, cname("secretsecret")), &rtcp.Goodbye{Sources: []uint32{1}, Reason: "secret"}))
	f.Add([]byte{0x80, 207, 0, 1, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > maxPacket {
			return
		}
		out, _ := rewriteRTCP(nil, in, token, spoke(1))
		if out == nil {
			return
		}
		if len(out) > maxPacket || len(out)%4 != 0 {
			t.Fatalf("%d bytes", len(out))
		}
		for rest := out; len(rest) > 0; {
			var h rtcp.Header
			if err := h.Unmarshal(rest); err != nil {
				t.Fatal(err)
			}
			n := 4 * (int(h.Length) + 1)
			if h.Padding || n > len(rest) {
				t.Fatalf("%x", out)
			}
			if h.Type == rtcp.TypeSourceDescription {
				var d rtcp.SourceDescription
				if err := d.Unmarshal(rest[:n]); err != nil {
					t.Fatal(err)
				}
				for _, c := range d.Chunks {
					if len(c.Items) != 1 || c.Items[0].Text != token {
						t.Fatalf("%+v", c)
					}
				}
			}
			if h.Type == rtcp.TypeGoodbye {
				var bye rtcp.Goodbye
				if err := bye.Unmarshal(rest[:n]); err != nil {
					t.Fatal(err)
				}
				for _, s := range bye.Sources {
					if s != 1 {
						t.Fatalf("BYE for %d, of an end that spoke as 1", s)
					}
				}
			}
			rest = rest[n:]
		}
		if again, _ := rewriteRTCP(nil, out, token, spoke(1)); !bytes.Equal(again, out) {
			t.Fatalf("not stable:\n%x\n%x", out, again)
		}
	})
}
