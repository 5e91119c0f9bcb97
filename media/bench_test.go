package media

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/media/bind"
)

// BenchmarkRelay is the whole way of one packet of 160 bytes of sound through
// the plane, without the system calls: checks, one unprotect, one protect.
func BenchmarkRelay(b *testing.B) {
	for _, c := range []struct {
		name   string
		suites [2]Suite
	}{
		{"RTP-RTP", [2]Suite{}},
		{"GCM128-RTP", [2]Suite{AEAD_AES_128_GCM, 0}},
		{"GCM256-RTP", [2]Suite{AEAD_AES_256_GCM, 0}},
		{"CM80-RTP", [2]Suite{AES_CM_128_HMAC_SHA1_80, 0}},
		{"RTP-CM80", [2]Suite{0, AES_CM_128_HMAC_SHA1_80}},
		{"CM80-GCM256", [2]Suite{AES_CM_128_HMAC_SHA1_80, AEAD_AES_256_GCM}},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newFakeRig(b, c.suites)
			packets := sealedRun(b, r, 1<<12)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i == len(packets) {
					b.StopTimer()
					r = newFakeRig(b, c.suites)
					packets, i = sealedRun(b, r, 1<<12), 0
					b.StartTimer()
				}
				if r.give(r.in[A], packets[i], r.far[A].RTP) == nil {
					b.Fatal(r.s.Stats()[A].Refused)
				}
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}

// BenchmarkLoopback is one packet from a phone's socket to the other phone's,
// one at a time: the time of four system calls and of the engine's wake-up.
func BenchmarkLoopback(b *testing.B) {
	for name, engine := range engines {
		b.Run(name, func(b *testing.B) {
			p := testPlane(b, func(c *Config) { c.PacketRate, c.PacketBurst, c.Engine = 1<<40, 1<<40, engine })
			r := newRig(b, p, rigSpec{})
			buf := make([]byte, 2048)
			r.ph[B].rtp.SetReadDeadline(time.Now().Add(time.Minute))
			packet := rtpPacket(1, 1, string(make([]byte, 160)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.ph[A].rtp.WriteToUDPAddrPort(packet, r.rtp[A]); err != nil {
					b.Fatal(err)
				}
				if _, _, err := r.ph[B].rtp.ReadFromUDPAddrPort(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkForged is what a packet costs that does not authenticate.
func BenchmarkForged(b *testing.B) {
	r := newFakeRig(b, [2]Suite{AEAD_AES_128_GCM, 0})
	p := rtpPacket(1, 1, string(make([]byte, 176)))
	i := uint32(0)
	b.ReportAllocs()
	for b.Loop() {
		i++
		binary.BigEndian.PutUint32(p[8:], i)
		r.give(r.in[A], p, r.far[A].RTP)
	}
}

// sealedRun is n packets as leg A sends them.
func sealedRun(t testing.TB, r *fakeRig, n int) [][]byte {
	ctx := phoneContext(t, r.far[A].Recv)
	list := make([][]byte, n)
	for i := range list {
		p := rtpPacket(1, uint16(i), string(make([]byte, 160)))
		if ctx != nil {
			var err error
			if p, err = ctx.EncryptRTP(nil, p, nil); err != nil {
				t.Fatal(err)
			}
		}
		list[i] = p
	}
	return list
}

// BenchmarkManyStreams is BenchmarkRelay/CM80 with 800 streams that take
// turns, so that the state of a stream is seldom in the nearest cache when its
// next packet comes: what a gateway with 400 calls sees.
func BenchmarkManyStreams(b *testing.B) {
	const sessions, each = 400, 64
	type stream struct {
		in      bind.Sink
		from    netip.AddrPort
		packets [][]byte
	}
	var r *fakeRig
	var streams []stream
	again := func() {
		r, streams = newFakeRig(b, [2]Suite{}), nil
		for range sessions {
			s, err := r.p.Open(Spec{ID: "many", Streams: 1, Legs: [2]LegSpec{{Side: call.Public}, {Side: call.Inside}}})
			if err != nil {
				b.Fatal(err)
			}
			far := r.far
			far[A].Recv, far[A].Send = newKeys(b, AES_CM_128_HMAC_SHA1_80, nil), newKeys(b, AES_CM_128_HMAC_SHA1_80, nil)
			for leg := A; leg <= B; leg++ {
				if err := s.Set(leg, 0, far[leg]); err != nil {
					b.Fatal(err)
				}
				rtp, _ := s.Local(leg, 0)
				streams = append(streams, stream{r.net.open[rtp], far[leg].RTP, sealedRun(b, &fakeRig{far: [2]Remote{far[leg]}}, each)})
			}
		}
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(streams), func(i, j int) { streams[i], streams[j] = streams[j], streams[i] })
	}
	again()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if i == each*len(streams) {
			b.StopTimer()
			again()
			i = 0
			b.StartTimer()
		}
		st := &streams[i%len(streams)]
		if r.give(st.in, st.packets[i/len(streams)], st.from) == nil {
			b.Fatal("not relayed")
		}
		i++
	}
}
