package media

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// ntp is an NTP time stamp; its middle is what an LSR holds.
func ntp(mid uint32) uint64 { return 0xaaaa<<48 | uint64(mid)<<16 | 0xbbbb }

func senderReport(ssrc, mid uint32, blocks ...rtcp.ReceptionReport) *rtcp.SenderReport {
	return &rtcp.SenderReport{SSRC: ssrc, NTPTime: ntp(mid), Reports: blocks}
}

// TestRoundTrip: sender reports of one leg and the other leg's answers to them
// give the distance to that other leg, whatever protects them, on each engine.
func TestRoundTrip(t *testing.T) { onEngines(t, testRoundTrip) }

func testRoundTrip(t *testing.T, plane planeFunc) {
	clk := newClock()
	r := newRig(t, plane(t, func(c *Config) { c.Clock = clk.Now }), rigSpec{suite: [2]Suite{AES_CM_128_HMAC_SHA1_80, 0}})
	say := func(leg Leg, p rtcp.Packet) {
		t.Helper()
		before := r.s.Stats()[leg].RTCPIn
		ph := r.ph[leg]
		send(t, ph.rtcp, ph.seal(marshal(t, p)), r.rtcp[leg])
		if b, _ := read(t, r.ph[leg.Other()].rtcp, 3*time.Second); b == nil {
			t.Fatal("nothing arrived")
		}
		eventually(t, "the report to be counted", func() bool { return r.s.Stats()[leg].RTCPIn == before+1 })
	}
	say(B, senderReport(2, 0x11112222)) // passes us on its way to A
	clk.add(100 * time.Millisecond)
	say(A, &rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{ // A has had it for 40 ms
		{SSRC: 2, LastSenderReport: 0x11112222, Delay: 65536 * 40 / 1000}}})
	say(A, senderReport(1, 0x33334444))
	clk.add(10 * time.Millisecond)
	say(B, senderReport(2, 0x55556666, rtcp.ReceptionReport{SSRC: 1, LastSenderReport: 0x33334444}))
	st := r.s.Stats()
	if a := st[A]; math.Abs(a.RTTMs-60) > 0.1 || a.RTTs != 1 {
		t.Errorf("A is %.2f ms away by %d reports", a.RTTMs, a.RTTs)
	}
	if b := st[B]; math.Abs(b.RTTMs-10) > 0.1 || b.RTTs != 1 {
		t.Errorf("B is %.2f ms away by %d reports", b.RTTMs, b.RTTs)
	}
}

// TestReports: what is believed of a leg's reports, and that nothing in them
// makes state grow.
func TestReports(t *testing.T) {
	at := newClock().now
	var r reports
	hear := func(after time.Duration, blocks ...rtcp.ReceptionReport) {
		t.Helper()
		r.heard(at.Add(after), marshal(t, senderReport(9, 1, blocks...), &rtcp.ReceiverReport{SSRC: 9}))
	}
	trip := func(what string, want time.Duration, n uint64) {
		t.Helper()
		if d := r.trips - want; d < -50*time.Microsecond || d > 50*time.Microsecond || r.counted != n {
			t.Errorf("%s: %v by %d, want %v by %d", what, r.trips, r.counted, want, n)
		}
	}
	hear(0, rtcp.ReceptionReport{SSRC: 1}) // an LSR of zero is none, and no report passed
	r.passed(at, marshal(t, senderReport(1, 0)))
	hear(time.Second, rtcp.ReceptionReport{SSRC: 1})
	trip("none", 0, 0)

	for i := range uint32(6) { // the two oldest are forgotten
		r.passed(at, marshal(t, senderReport(1, 100+i), sdes(1, cname(token))))
	}
	hear(time.Second, rtcp.ReceptionReport{SSRC: 1, LastSenderReport: 101}, rtcp.ReceptionReport{SSRC: 1, LastSenderReport: 999})
	trip("unknown", 0, 0)
	hear(250*time.Millisecond, rtcp.ReceptionReport{SSRC: 1, LastSenderReport: 102, Delay: 65536 / 5})
	trip("the oldest known", 50*time.Millisecond, 1)
	hear(100*time.Millisecond, rtcp.ReceptionReport{SSRC: 1, LastSenderReport: 105, Delay: 65536*101/1000 + 1})
	trip("rounded below zero", 50*time.Millisecond, 2)
	hear(100*time.Millisecond, rtcp.ReceptionReport{SSRC: 1, LastSenderReport: 105, Delay: 65536 / 2})
	hear(100*time.Millisecond, rtcp.ReceptionReport{SSRC: 1, LastSenderReport: 105, Delay: math.MaxUint32})
	hear(maxTrip+time.Millisecond, rtcp.ReceptionReport{SSRC: 1, LastSenderReport: 105})
	trip("nonsense", 50*time.Millisecond, 2)

	r = reports{}
	hear(0, rtcp.ReceptionReport{SSRC: 1, TotalLost: 5}, rtcp.ReceptionReport{SSRC: 2, TotalLost: 7})
	hear(0, rtcp.ReceptionReport{SSRC: 1, TotalLost: 8}, rtcp.ReceptionReport{SSRC: 2, TotalLost: 1<<24 - 3}) // -3: duplicates
	if n := r.totalLost(); n != 8+7 {
		t.Errorf("%d lost", n)
	}
	for i := range uint32(1000) {
		hear(0, rtcp.ReceptionReport{SSRC: 100 + i, TotalLost: 1})
	}
	if n := r.totalLost(); n != 8+7+1000 {
		t.Errorf("%d lost, of many sources", n)
	}
}

// byRFC is RFC 3550 A.3 and A.8 for one source without reordering across its
// beginning, in the integers of the RFC.
type byRFC struct {
	seen            map[int]bool
	first, last     int
	transit, jitter int64
	any             bool
}

func (n *byRFC) see(at time.Duration, i int, ts, rate int64) {
	if n.seen == nil {
		n.seen, n.first, n.last = map[int]bool{}, i, i
	}
	n.seen[i], n.last = true, max(n.last, i)
	transit := int64(at)*rate/int64(time.Second) - ts
	if n.any {
		d := transit - n.transit
		if d < 0 {
			d = -d
		}
		n.jitter += d - (n.jitter+8)>>4 // scaled by 16
	}
	n.transit, n.any = transit, true
}

// TestQualityFigures: a lossy, jittery stream gives the loss of the script
// exactly and the jitter of the RFC's own arithmetic, for the clocks of
// narrowband, wideband and video codecs.
func TestQualityFigures(t *testing.T) {
	for _, rate := range []uint32{8000, 16000, 48000, 90000} {
		r := newFakeRig(t, [2]Suite{AES_CM_128_HMAC_SHA1_80, 0})
		rem := r.far[A]
		rem.ClockRates = map[uint8]uint32{96: rate}
		if err := r.s.Set(A, 0, rem); err != nil {
			t.Fatal(err)
		}
		phone := phoneContext(t, rem.Recv)
		rng, begin, want := rand.New(rand.NewPCG(1, uint64(rate))), r.now, byRFC{}
		lost := 0
		for i := range 3000 {
			ts := uint32(i) * rate / 50
			b := rtpPacket(7, uint16(65000+i), "x") // over the wrap
			b[1] = 96
			binary.BigEndian.PutUint32(b[4:], ts)
			sealed, err := phone.EncryptRTP(nil, b, nil)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 && i < 2999 && rng.IntN(10) == 0 {
				lost++
				continue
			}
			at := time.Duration(i)*20*time.Millisecond + time.Duration(rng.IntN(9000))*time.Microsecond
			r.now = begin.Add(at)
			if r.give(r.in[A], sealed, rem.RTP) == nil {
				t.Fatal(r.s.Stats()[A].Refused)
			}
			want.see(at, i, int64(ts), int64(rate))
		}
		st := r.s.Stats()[A]
		if st.Lost != uint64(lost) || st.Expected != 3000 || len(want.seen) != 3000-lost {
			t.Errorf("%d Hz: %d of %d lost, want %d", rate, st.Lost, st.Expected, lost)
		}
		if math.Abs(st.LossPercent-float64(lost)/30) > 1e-9 {
			t.Errorf("%d Hz: %.3f %% lost", rate, st.LossPercent)
		}
		ms := float64(want.jitter) / 16 * 1000 / float64(rate)
		if math.Abs(st.JitterMs-ms) > 0.3 || ms < 1 {
			t.Errorf("%d Hz: jitter %.3f ms, the RFC says %.3f", rate, st.JitterMs, ms)
		}
		// A wrong clock would show: the script's jitter is far below it.
		if st.JitterMs > 6 {
			t.Errorf("%d Hz: jitter %.3f ms", rate, st.JitterMs)
		}
	}
}

// TestClockChanges: comfort noise or digits of another clock between the
// packets of a codec are no jitter.
func TestClockChanges(t *testing.T) {
	r := newFakeRig(t, [2]Suite{})
	rem := r.far[A]
	rem.ClockRates = map[uint8]uint32{111: 48000}
	if err := r.s.Set(A, 0, rem); err != nil {
		t.Fatal(err)
	}
	begin := r.now
	for i := range 500 {
		b := rtpPacket(7, uint16(i), "x")
		b[1] = 111
		rate := uint32(48000)
		if i%50 > 40 {
			b[1], rate = 101, 8000
		}
		binary.BigEndian.PutUint32(b[4:], uint32(i)*rate/50)
		r.now = begin.Add(time.Duration(i) * 20 * time.Millisecond)
		if r.give(r.in[A], b, rem.RTP) == nil {
			t.Fatal(r.s.Stats()[A].Refused)
		}
	}
	if st := r.s.Stats()[A]; st.JitterMs > 0.01 || st.Lost != 0 {
		t.Errorf("%+v", st)
	}
}

// TestReportedLoss: what a leg says it lost is of what the other leg sent.
func TestReportedLoss(t *testing.T) {
	r := newFakeRig(t, [2]Suite{})
	for i := range 200 {
		if r.give(r.in[B], rtpPacket(2, uint16(i), "x"), r.far[B].RTP) == nil {
			t.Fatal(r.s.Stats()[B].Refused)
		}
	}
	rr := marshal(t, &rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 2, TotalLost: 5}}})
	if r.give(r.rtcp[A], rr, r.far[A].RTCP) == nil {
		t.Fatal(r.s.Stats()[A].Refused)
	}
	st := r.s.Stats()
	if a := st[A]; a.ReportedLost != 5 || a.ReportedLossPercent != 2.5 || st[B].ReportedLost != 0 {
		t.Errorf("%+v", st)
	}
	rr = marshal(t, &rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 2, TotalLost: 1 << 22}}})
	r.give(r.rtcp[A], rr, r.far[A].RTCP)
	if a := r.s.Stats()[A]; a.ReportedLossPercent != 100 {
		t.Errorf("%+v", a)
	}
}
