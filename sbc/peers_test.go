package sbc_test

import (
	"context"
	cryptotls "crypto/tls"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

var carrierIP = publicNet + "77"

// udpCarrier is a carrier that has nothing but UDP and RTP, and the peer entry
// that allows it.
func udpCarrier(name string, ip string, port uint16) option {
	return func(c *worldConfig) {
		c.sbc.Peers = append(c.sbc.Peers, sbc.Peer{Name: name, IP: []netip.Prefix{netip.MustParsePrefix(ip + "/32")}, Host: ip, Port: port,
			Transport: "udp", AllowPlaintext: true, SRTP: sdp.SRTPOff})
		if len(c.sbc.Routes) == 0 {
			c.sbc.Routes = []sbc.Route{{}}
		}
		c.sbc.Routes[0].Peers = append(c.sbc.Routes[0].Peers, name)
	}
}

// trunk tells the PBX to send outside calls to the gateway's inside.
func trunk(w *worldConfig) {
	in := netip.MustParseAddrPort(insideNet + "1:15060")
	for i := range w.sbc.Stack.Listeners {
		if w.sbc.Stack.Listeners[i].Side == call.Inside {
			w.sbc.Stack.Listeners[i].Bind = in
		}
	}
	w.pbx.Trunk = in
}

func (w *world) carrier(change ...func(*siptest.CarrierConfig)) *siptest.Phone {
	w.t.Helper()
	c := siptest.CarrierConfig{Domain: "carrier.example", Gateway: w.gw.Addrs(call.Public, "udp")[0],
		Listen: netip.MustParseAddrPort(carrierIP + ":16060"), Trace: w.pub.trace, Log: w.t.Logf}
	for _, f := range change {
		f(&c)
	}
	p, err := siptest.NewCarrier(w.ctx, c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	return p
}

func TestOutboundByCarrier(t *testing.T) {
	w := newWorld(t, udpCarrier("carrier-a", carrierIP, 16060), trunk)
	got := make(chan string, 4)
	w.carrier(func(c *siptest.CarrierConfig) {
		c.OnInvite = func(in *siptest.Incoming) { got <- in.To() + " " + in.From(); in.Answer() }
	})
	p := w.registered("1001")
	c := w.call(p, "0+442079460000"[1:])
	if err := c.Media.WaitTone(w.ctx, siptest.CarrierTone); err != nil {
		t.Fatal(err)
	}
	if n := <-got; n != "+442079460000 1001" {
		t.Errorf("the carrier was called as %q", n)
	}
	c.Bye(w.ctx)
	r := w.rep.lastRecord(t, 1)
	if r.Direction != call.Outbound || r.ToE164 != "+442079460000" || r.Country != "GB" || len(r.Passes) != 2 || r.Passes[1].RoutedTo != "carrier-a" {
		t.Errorf("record %+v", r)
	}
	w.quiet()
	for _, side := range []struct{ saw, of string }{{w.pub.String(), insideNet}, {w.in.String(), publicNet}} {
		if strings.Contains(side.saw, side.of) {
			t.Errorf("%s crossed:\n%s", side.of, around(side.saw, side.of))
		}
	}
	// What is not a number does not reach a carrier.
	w.refused(p, "+", 404)
}

func TestInboundFromCarrier(t *testing.T) {
	w := newWorld(t, udpCarrier("carrier-a", carrierIP, 16060), trunk)
	carrier := w.carrier()
	p := w.registered("1001", tone(440))
	c := w.call(carrier, "+33123456789", siptest.Suites())
	if err := c.Media.WaitTone(w.ctx, 440); err != nil {
		t.Fatal(err)
	}
	if err := p.Answered()[0].Media.WaitTone(w.ctx, siptest.CarrierTone); err != nil {
		t.Fatal(err)
	}
	c.Bye(w.ctx)
	r := w.rep.lastRecord(t, 1)
	if r.Direction != call.Inbound || r.Peer != "carrier-a" || len(r.Passes) != 2 {
		t.Errorf("record %+v", r)
	}
	// Another host on the same network is nobody.
	stranger := w.carrier(func(c *siptest.CarrierConfig) { c.Listen = netip.MustParseAddrPort(publicNet + "78:16060") })
	ctx, cancel := context.WithTimeout(w.ctx, time.Second)
	defer cancel()
	if c, err := stranger.Invite(ctx, "+33123456789", siptest.Suites()); err == nil || as(err, new(*siptest.Refused)) {
		t.Errorf("a stranger's call: %v %v, want silence", c, err)
	}
	eventually(t, "an alert for plaintext of a stranger", func() bool { return has(w.rep.rules(), "base/plaintext") })
	w.quiet()
}

func TestRouteFailover(t *testing.T) {
	w := newWorld(t, udpCarrier("dead", publicNet+"70", 16060), udpCarrier("busy", publicNet+"71", 16060), udpCarrier("carrier-a", carrierIP, 16060), trunk,
		func(c *worldConfig) { c.sbc.Stack.T1 = 5 * time.Millisecond })
	w.carrier(func(c *siptest.CarrierConfig) {
		c.Listen = netip.MustParseAddrPort(publicNet + "71:16060")
		c.OnInvite = func(in *siptest.Incoming) { in.Reject(503, "No Circuits") }
	})
	w.carrier()
	p := w.registered("1001")
	c := w.call(p, "+442079460000")
	c.Bye(w.ctx)
	r := w.rep.lastRecord(t, 1)
	if f := r.Passes[1].FailedOver; r.Passes[1].RoutedTo != "carrier-a" || len(f) != 2 || f[0] != "dead" || f[1] != "busy" {
		t.Errorf("pass %+v", r.Passes[1])
	}
	w.quiet()
}

func TestPBXFailover(t *testing.T) {
	w := newWorld(t, func(c *worldConfig) {
		c.sbc.Stack.T1 = 5 * time.Millisecond
		c.sbc.PBXs = []sbc.PBX{{Name: "gone", Host: insideNet + "66", Port: 5060, Transport: "udp", SRTP: sdp.SRTPOff},
			{Name: "main", Host: insideNet + "9", Port: 15061, Transport: "udp", SRTP: sdp.SRTPOff}}
		c.pbx.Listen = netip.MustParseAddrPort(insideNet + "9:15061")
	})
	p := w.phone("1001")
	// The first PBX does not answer: the phone gets 504 once, then is served.
	var late *siptest.Refused
	if err := p.Register(w.ctx, time.Hour); !as(err, &late) || late.Response.Code != 504 {
		t.Fatalf("REGISTER to a PBX that is gone: %v, want 504", err)
	}
	if err := p.Register(w.ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	c := w.call(p, "600")
	c.Bye(w.ctx)
	if r := w.rep.lastRecord(t, 1); r.Passes[0].RoutedTo != "main" {
		t.Errorf("pass %+v", r.Passes[0])
	}
	w.quiet()
}

// TestCarrierByCertificate: RFC 5922 identity, and a wrong name refused.
func TestCarrierByCertificate(t *testing.T) {
	w := newWorld(t, func(c *worldConfig) {
		c.sbc.Peers = []sbc.Peer{{Name: "carrier-tls", Certificate: "sip.carrier.example", SRTP: sdp.SRTPRequired, Transport: "tls"}}
	}, trunk)
	ca := filepath.Join(w.dir, "ca")
	w.registered("1001", tone(440))
	dial := func(name string, n string) *siptest.Phone {
		return w.carrier(func(c *siptest.CarrierConfig) {
			c.Gateway, c.Transport, c.SRTP = w.tlsAddr, "tls", []string{siptest.SuiteCM80}
			c.Listen = netip.MustParseAddrPort(publicNet + n + ":16061")
			c.TLS = &cryptotls.Config{RootCAs: w.roots, ServerName: domain, Certificates: []cryptotls.Certificate{issue(t, ca, name)}}
		})
	}
	good := dial("sip.carrier.example", "80")
	c := w.call(good, "+33123456789")
	if err := c.Media.WaitTone(w.ctx, 440); err != nil {
		t.Fatal(err)
	}
	c.Bye(w.ctx)
	r := w.rep.lastRecord(t, 1)
	if r.Peer != "carrier-tls" || r.Direction != call.Inbound || r.Passes[0].TLSVersion != "1.3" {
		t.Errorf("record %+v", r)
	}
	w.refused(good, "+33123456789", 488, siptest.Suites())
	bad := dial("sip.carrier.example.evil.test", "81")
	w.refused(bad, "+33123456789", 403)
	if !has(w.rep.rules(), "base/peer-identity") {
		t.Errorf("no decision base/peer-identity among %v", w.rep.rules())
	}
	w.quiet()
}

// TestPhoneComesBack: a phone behind NAT loses its connection in a call and
// comes back over another; the PBX reaches it there, with the same contact.
func TestPhoneComesBack(t *testing.T) {
	w := newWorld(t, trunk)
	a := w.registered("1001", tone(440))
	b := w.registered("1002", tone(620))
	bound := w.pbx.Bound("1002")
	c := w.call(a, "1002")
	b.Close()
	eventually(t, "the connection is gone", func() bool {
		for _, r := range w.gw.Registrations() {
			if r.User == "1002" && r.Connected {
				return false
			}
		}
		return true
	})
	w.refused(a, "1002", 430) // the PBX hands our answer on
	b2 := w.registered("1002", tone(620))
	if got := w.pbx.Bound("1002"); got != bound {
		t.Errorf("contact at the PBX changed from %s to %s", bound, got)
	}
	d := w.call(a, "1002")
	d.Bye(w.ctx)
	if len(b2.Answered()) != 1 {
		t.Error("the new connection got no call")
	}
	c.Bye(w.ctx)
	w.quiet()
}

func TestUnregister(t *testing.T) {
	w := newWorld(t)
	a := w.registered("1001")
	b := w.registered("1002")
	if err := b.Register(w.ctx, 0); err != nil {
		t.Fatal(err)
	}
	w.refused(b, "600", 403) // a stranger again
	w.refused(a, "1002", 480)
	if n := w.gw.Bindings(); n != 1 {
		t.Errorf("%d bindings", n)
	}
	w.quiet()
}

func TestSeveralPhonesOneUser(t *testing.T) {
	w := newWorld(t)
	a := w.registered("1001")
	ring := make(chan *siptest.Incoming, 2)
	w.registered("1002", func(c *siptest.PhoneConfig) {
		c.Local = netip.MustParseAddr(publicNet + "52")
		c.OnInvite = func(in *siptest.Incoming) { in.Ring(); ring <- in; <-in.Cancelled() }
	})
	b := w.registered("1002", func(c *siptest.PhoneConfig) { c.Local = netip.MustParseAddr(publicNet + "53") })
	if n := w.gw.Bindings(); n != 3 {
		t.Errorf("%d bindings, want 3", n)
	}
	c := w.call(a, "1002")
	if len(b.Answered()) != 1 {
		t.Fatal("the second phone did not get the call")
	}
	c.Bye(w.ctx)
	w.quiet()
}

func TestEmergencyNeedsNoSRTP(t *testing.T) {
	w := newWorld(t, udpCarrier("carrier-a", carrierIP, 16060), trunk, func(c *worldConfig) {
		c.deps.Guards = []sbc.Guard{closed{}}
	})
	w.carrier()
	p := w.registered("1001")
	w.refused(p, "+442079460000", 403)
	c := w.call(p, "112", siptest.Suites())
	c.Bye(w.ctx)
	w.refused(p, "1120", 403) // exactly the number
	w.quiet()
}

// closed is a guard that refuses every call.
type closed struct{}

func (closed) Name() string { return "closed" }
func (closed) Judge(a *call.Attempt) call.Decision {
	if a.Method != "INVITE" {
		return call.Decision{}
	}
	return call.Decision{Verdict: call.Reject, Status: 403, Rule: "test/closed", Trace: []string{"test/closed"}}
}

// broken is a guard that fails.
type broken struct{}

func (broken) Name() string                      { return "broken" }
func (broken) Judge(*call.Attempt) call.Decision { panic("guard") }

func TestBrokenGuardRefuses(t *testing.T) {
	w := newWorld(t)
	p := w.registered("1001")
	w.gw.SetPolicy(sbc.Policy{Guards: []sbc.Guard{broken{}}})
	w.refused(p, "600", 500)
	w.gw.SetPolicy(sbc.Policy{})
	c := w.call(p, "600")
	c.Bye(w.ctx)
	w.quiet()
}

func TestGatewayEndsCalls(t *testing.T) {
	t.Parallel()
	t.Run("duration", func(t *testing.T) {
		w := newWorld(t, func(c *worldConfig) { c.sbc.MaxCall = 300 * time.Millisecond })
		c := w.call(w.registered("1001"), "600")
		if err := c.WaitEnd(w.ctx); err != nil {
			t.Fatal(err)
		}
		if r := w.rep.lastRecord(t, 1); r.EndedBy != call.ByGateway || r.Passes[0].HangupCause != "max-duration" {
			t.Errorf("record %+v", r)
		}
		w.quiet()
	})
	t.Run("silence", func(t *testing.T) {
		w := newWorld(t, func(c *worldConfig) { c.sbc.Inactivity = 500 * time.Millisecond })
		p := w.registered("1001")
		c := w.call(p, "601") // echoes; we fall silent
		c.Media.Close()
		if err := c.WaitEnd(w.ctx); err != nil {
			t.Fatal(err)
		}
		if r := w.rep.lastRecord(t, 1); r.Passes[0].HangupCause != "media-inactivity" {
			t.Errorf("record %+v", r)
		}
		w.quiet()
	})
	t.Run("drain", func(t *testing.T) {
		w := newWorld(t)
		p := w.registered("1001")
		c := w.call(p, "600")
		ctx, cancel := context.WithCancel(w.ctx)
		done := make(chan struct{})
		go func() { w.gw.Drain(ctx); close(done) }()
		eventually(t, "draining", w.gw.Draining)
		m := w.refused(p, "600", 503)
		if m.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		cancel()
		<-done
		if err := c.WaitEnd(w.ctx); err != nil {
			t.Fatal(err)
		}
		w.quiet()
	})
}

// TestSRTPInside: SRTP on both sides, each leg with keys of its own.
func TestSRTPInside(t *testing.T) {
	w := newWorld(t, udpCarrier("carrier-a", carrierIP, 16060), func(c *worldConfig) {
		c.sbc.Peers[0].SRTP = sdp.SRTPOptional
	}, trunk)
	w.carrier()
	p := w.registered("1001")
	c := w.call(p, "+442079460000")
	if err := c.Media.WaitTone(w.ctx, siptest.CarrierTone); err != nil {
		t.Fatal(err)
	}
	c.Bye(w.ctx)
	w.quiet()
}

func TestCaps(t *testing.T) {
	w := newWorld(t, func(c *worldConfig) { c.sbc.MaxCalls = 2 })
	p := w.registered("1001")
	c1, c2 := w.call(p, "600"), w.call(p, "600")
	if m := w.refused(p, "600", 503); m.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	c1.Bye(w.ctx)
	c2.Bye(w.ctx)
	w.quiet()
	c3 := w.call(p, "600")
	c3.Bye(w.ctx)
	w.quiet()
}

var _ sipx.Handler = (*sbc.Gateway)(nil)
