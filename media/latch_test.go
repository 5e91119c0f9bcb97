package media

import (
	"net/netip"
	"testing"
	"time"
)

// TestSRTPLatch: media goes to the SDP address until a packet authenticates,
// then to its source; a newer authentic packet moves it, an older one or a
// copy does not.
func TestSRTPLatch(t *testing.T) { onEngines(t, testSRTPLatch) }

func testSRTPLatch(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{AES_CM_128_HMAC_SHA1_80, 0}})
	ph, moved := r.ph[A], newPhone(t, loop4)
	moved.in, moved.out = ph.in, ph.out

	b := rtpPacket(2, 1, "to the SDP address")
	send(t, r.ph[B].rtp, b, r.rtp[B])
	ph.expect(ph.rtp, b)

	overtaken := ph.seal(rtpPacket(1, 1, "overtaken"))
	b = rtpPacket(1, 2, "from the translator's new mapping")
	fromMoved := moved.seal(b)
	send(t, moved.rtp, fromMoved, r.rtp[A])
	r.ph[B].expect(r.ph[B].rtp, b)
	b = rtpPacket(2, 2, "follows")
	send(t, r.ph[B].rtp, b, r.rtp[B])
	moved.expect(moved.rtp, b)

	send(t, ph.rtp, overtaken, r.rtp[A])
	r.ph[B].expect(r.ph[B].rtp, rtpPacket(1, 1, "overtaken"))
	send(t, ph.rtp, fromMoved, r.rtp[A])
	waitRefused(t, r.s, A, Replay, 1)
	b = rtpPacket(2, 3, "stays")
	send(t, r.ph[B].rtp, b, r.rtp[B])
	moved.expect(moved.rtp, b)

	// RTCP has its own mapping, and a Set with the same address keeps both.
	r.set(A)
	send(t, moved.rtcp, moved.seal(rrPacket(1)), r.rtcp[A])
	r.ph[B].expect(r.ph[B].rtcp, rrPacket(1))
	send(t, r.ph[B].rtcp, rrPacket(2), r.rtcp[B])
	moved.expect(moved.rtcp, rrPacket(2))
	if got := r.s.Stats()[A].Source; got != addrOf(moved.rtp) {
		t.Errorf("source %s", got)
	}

	// Another SDP address is where media goes now.
	third := newPhone(t, loop4)
	third.in = moved.in
	r.rem[A].RTP, r.rem[A].RTCP = addrOf(third.rtp), addrOf(third.rtcp)
	r.set(A)
	b = rtpPacket(2, 4, "to the new SDP address")
	send(t, r.ph[B].rtp, b, r.rtp[B])
	third.expect(third.rtp, b)
}

// TestPlainSource: plain RTP comes from the SDP's address and port or is
// dropped; it never moves where media goes.
func TestPlainSource(t *testing.T) { onEngines(t, testPlainSource) }

func testPlainSource(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{})
	stranger := newPhone(t, loop4)
	send(t, stranger.rtp, rtpPacket(1, 1, "x"), r.rtp[A])
	send(t, stranger.rtcp, rrPacket(1), r.rtcp[A])
	waitRefused(t, r.s, A, WrongSource, 2)
	r.pass(A, rtpPacket(1, 1, "x"))
	r.pass(B, rtpPacket(2, 1, "x"))
}

// TestNATLatch: the first plausible packet wins, once.
func TestNATLatch(t *testing.T) { onEngines(t, testNATLatch) }

func testNATLatch(t *testing.T, plane planeFunc) {
	p := plane(t, nil)
	private := netip.MustParseAddrPort("192.0.2.7:4000")
	r := newRig(t, p, rigSpec{rem: func(leg Leg, rem *Remote) {
		if leg == A {
			rem.NAT, rem.RTP, rem.RTCP, rem.From = true, private, netip.AddrPort{}, loop4
		}
	}})
	stranger := newPhone(t, loop4)
	send(t, stranger.rtp, []byte{0x80, 0, 0}, r.rtp[A])                   // not plausible
	send(t, stranger.rtp, append([]byte{0x4f}, rrPacket(1)...), r.rtp[A]) // not plausible
	waitRefused(t, r.s, A, NotRTP, 1)
	r.pass(A, rtpPacket(1, 1, "first"))
	r.pass(B, rtpPacket(2, 1, "to where it came from"))
	send(t, stranger.rtp, rtpPacket(1, 2, "late"), r.rtp[A])
	waitRefused(t, r.s, A, WrongSource, 1)
	send(t, r.ph[A].rtcp, rrPacket(1), r.rtcp[A])
	r.ph[B].expect(r.ph[B].rtcp, rrPacket(1))

	r.set(A) // the same address: latched as before
	send(t, stranger.rtp, rtpPacket(1, 2, "late"), r.rtp[A])
	waitRefused(t, r.s, A, WrongSource, 2)
	r.rem[A].RTP = netip.MustParseAddrPort("192.0.2.7:5000")
	r.set(A)
	send(t, stranger.rtp, rtpPacket(1, 3, "first again"), r.rtp[A])
	r.ph[B].expect(r.ph[B].rtp, rtpPacket(1, 3, "first again"))

	r.rem[A].From, r.rem[A].RTP = netip.MustParseAddr("198.51.100.1"), private
	r.set(A)
	send(t, r.ph[A].rtp, rtpPacket(1, 4, "not from the signalling source"), r.rtp[A])
	waitRefused(t, r.s, A, WrongSource, 3)
}

// TestOldHold: 0.0.0.0 stops what is sent there, and the latch survives it.
func TestOldHold(t *testing.T) { onEngines(t, testOldHold) }

func testOldHold(t *testing.T, plane planeFunc) {
	r := newRig(t, plane(t, nil), rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}})
	behind := newPhone(t, loop4)
	behind.in, behind.out = r.ph[A].in, r.ph[A].out
	b := rtpPacket(1, 1, "x")
	send(t, behind.rtp, behind.seal(b), r.rtp[A])
	r.ph[B].expect(r.ph[B].rtp, b)
	was := r.rem[A]
	r.rem[A].RTP, r.rem[A].RTCP = netip.MustParseAddrPort("0.0.0.0:9"), netip.AddrPort{}
	r.set(A)
	send(t, r.ph[B].rtp, rtpPacket(2, 1, "x"), r.rtp[B])
	waitRefused(t, r.s, B, NoTarget, 1)
	r.rem[A] = was
	r.set(A)
	b = rtpPacket(2, 2, "x")
	send(t, r.ph[B].rtp, b, r.rtp[B])
	behind.expect(behind.rtp, b)
}

// TestUnspecifiedAddresses: whatever the family of a held leg's 0.0.0.0, and
// wherever it stands, nothing is sent to it.
func TestUnspecifiedAddresses(t *testing.T) { onEngines(t, testUnspecifiedAddresses) }

func testUnspecifiedAddresses(t *testing.T, plane planeFunc) {
	p := plane(t, nil)
	for _, v6 := range []bool{false, true} {
		for _, hold := range []string{"0.0.0.0:9", "[::]:9"} {
			r := newRig(t, p, rigSpec{v6: v6})
			was := r.rem[A]
			r.rem[A] = Remote{RTP: netip.MustParseAddrPort(hold)}
			r.set(A)
			send(t, r.ph[B].rtp, rtpPacket(2, 1, "x"), r.rtp[B])
			send(t, r.ph[B].rtcp, rrPacket(2), r.rtcp[B])
			waitRefused(t, r.s, B, NoTarget, 2)

			r.rem[A] = was
			r.rem[A].RTCP = netip.MustParseAddrPort(hold) // a=rtcp:9 IN IP4 0.0.0.0
			r.set(A)
			r.pass(B, rtpPacket(2, 2, "x"))
			e := r.s.streams[0][A]
			r.s.shard.engine.Do(func() {
				if want := netip.AddrPortFrom(was.RTP.Addr(), was.RTP.Port()+1); e.sdp[1] != want {
					t.Errorf("RTCP to %s, want %s", e.sdp[1], want)
				}
			})
		}
	}
}

// events collects what a session tells.
type events chan Event

func (e events) notify(ev Event) { e <- ev }

func (e events) all() (list []Event) {
	for {
		select {
		case ev := <-e:
			list = append(list, ev)
		default:
			return list
		}
	}
}

func TestInactivity(t *testing.T) { onEngines(t, testInactivity) }

func testInactivity(t *testing.T, plane planeFunc) {
	clk := newClock()
	p := plane(t, func(c *Config) { c.Clock = clk.Now })
	got := make(events, 100)
	r := newRig(t, p, rigSpec{spec: func(s *Spec) { s.Inactivity, s.Notify = 30*time.Second, got.notify }})
	step := func(d time.Duration, want int) {
		t.Helper()
		clk.add(d)
		p.sweep(clk.Now())
		list := got.all()
		if len(list) != want {
			t.Fatalf("%d events, want %d: %+v", len(list), want, list)
		}
		for _, ev := range list {
			if ev.Kind != Inactive || ev.ID != t.Name() {
				t.Fatalf("%+v", ev)
			}
		}
	}
	step(29*time.Second, 0)
	r.pass(A, rtpPacket(1, 1, "x"))
	step(29*time.Second, 0)
	send(t, r.ph[B].rtcp, rrPacket(1), r.rtcp[B]) // RTCP alone counts too
	r.ph[A].expect(r.ph[A].rtcp, rrPacket(1))
	step(29*time.Second, 0)
	send(t, newPhone(t, loop4).rtp, rtpPacket(1, 2, "x"), r.rtp[A]) // a stranger's does not
	waitRefused(t, r.s, A, WrongSource, 1)
	clk.add(time.Second)
	p.sweep(clk.Now())
	list := got.all()
	if len(list) != 2 || list[0].Kind != Injection || list[1].Kind != Inactive {
		t.Fatalf("%+v", list)
	}
	step(29*time.Second, 0)
	step(time.Second, 1) // again after as long

	clk.add(29 * time.Second)
	r.set(B) // an answer, a refresh: the time starts anew
	step(29*time.Second, 0)
	step(time.Second, 1)

	r.rem[B].Muted = true
	r.set(B)
	step(time.Hour, 0)
	r.rem[B].Muted = false
	r.set(B)
	step(29*time.Second, 0)
	step(time.Second, 1)

	r.s.Close()
	step(time.Hour, 0)
}

// TestInactivityNeedsBothLegs: while only the offer is known (ringing),
// silence is nobody's fault.
func TestInactivityNeedsBothLegs(t *testing.T) { onEngines(t, testInactivityNeedsBothLegs) }

func testInactivityNeedsBothLegs(t *testing.T, plane planeFunc) {
	clk := newClock()
	p := plane(t, func(c *Config) { c.Clock = clk.Now })
	got := make(events, 10)
	s, err := p.Open(Spec{ID: "x", Streams: 1, Legs: [2]LegSpec{{}, {Side: 1}}, Inactivity: time.Second, Notify: got.notify})
	if err != nil {
		t.Fatal(err)
	}
	a, b := newPhone(t, loop4), newPhone(t, loop4)
	if err := s.Set(A, 0, a.remote()); err != nil {
		t.Fatal(err)
	}
	clk.add(time.Minute)
	p.sweep(clk.Now())
	if err := s.Set(B, 0, b.remote()); err != nil {
		t.Fatal(err)
	}
	p.sweep(clk.Now())
	if list := got.all(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	clk.add(time.Second)
	p.sweep(clk.Now())
	if list := got.all(); len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

func TestInjectionEvent(t *testing.T) { onEngines(t, testInjectionEvent) }

func testInjectionEvent(t *testing.T, plane planeFunc) {
	clk := newClock()
	p := plane(t, func(c *Config) { c.Clock = clk.Now })
	got := make(events, 100)
	r := newRig(t, p, rigSpec{suite: [2]Suite{AEAD_AES_128_GCM, 0}, spec: func(s *Spec) { s.Notify = got.notify }})
	x := newPhone(t, loop4)
	for i := range 20 {
		send(t, x.rtp, rtpPacket(9, uint16(i), "no tag that would authenticate"), r.rtp[A])
	}
	waitRefused(t, r.s, A, Auth, 20)
	send(t, x.rtp, rtpPacket(9, 1, "x"), r.rtp[B])
	waitRefused(t, r.s, B, WrongSource, 1)
	var list []Event
	eventually(t, "the plane's own ticker", func() bool { list = append(list, got.all()...); return len(list) > 0 })
	want := Event{ID: t.Name(), Kind: Injection, Leg: A, Source: addrOf(x.rtp), Count: 21}
	want.By[Auth], want.By[WrongSource] = 20, 1
	if len(list) != 1 || list[0] != want {
		t.Fatalf("%+v\nwant %+v", list, want)
	}
	send(t, x.rtp, rtpPacket(9, 1, "x"), r.rtp[B])
	waitRefused(t, r.s, B, WrongSource, 2)
	clk.add(9 * time.Second)
	p.sweep(clk.Now())
	if list := got.all(); len(list) != 0 {
		t.Fatalf("too early: %+v", list)
	}
	clk.add(time.Second)
	p.sweep(clk.Now())
	if list := got.all(); len(list) != 1 || list[0].Leg != B || list[0].Count != 1 {
		t.Fatalf("%+v", list)
	}

	// Stragglers under former keys are refused in the end and are no attack.
	old := r.ph[A].seal(rtpPacket(1, 1, "sent before the re-INVITE"))
	r.rem[A] = r.ph[A].secured(AEAD_AES_256_GCM, nil)
	r.set(A)
	clk.add(rekeyOverlap)
	send(t, r.ph[A].rtp, old, r.rtp[A])
	waitRefused(t, r.s, A, Auth, 21)
	clk.add(10 * time.Second)
	p.sweep(clk.Now())
	if list := got.all(); len(list) != 0 {
		t.Fatalf("%+v", list)
	}
}
