package sbc_test

import (
	cryptotls "crypto/tls"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/sdp"
)

// streamed are the events of calls so far, in their order.
func (w *world) streamed() (out []call.Event) {
	w.rep.mu.Lock()
	defer w.rep.mu.Unlock()
	for _, e := range w.rep.events {
		if slices.Contains([]call.EventKind{call.EventInvite, call.EventRinging, call.EventAnswer, call.EventEnd}, e.Kind) {
			out = append(out, e)
		}
	}
	return out
}

func kindsOf(es []call.Event, id string) (out []string) {
	for _, e := range es {
		if e.ID == id {
			out = append(out, string(e.Kind))
		}
	}
	return out
}

// The answer of a call says through which trunk it went.
func TestAnswerNamesTheTrunk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, udpCarrier("carrier-a", carrierIP, 16060), trunk)
	w.carrier(func(c *siptest.CarrierConfig) { c.OnInvite = func(in *siptest.Incoming) { in.Answer() } })
	p := w.registered("1001")
	c := w.call(p, "+442079460000")
	c.Bye(w.ctx)
	w.rep.lastRecord(t, 1)
	w.quiet()
	for _, e := range w.streamed() {
		if want := map[bool]string{true: "carrier-a"}[e.Kind == call.EventAnswer]; e.Peer != want {
			t.Errorf("%s names %q", e.Kind, e.Peer)
		}
	}
}

// A call that comes in and that the PBX sends out again is in the stream as one
// that came in and one that goes out and costs; ending the second ends both.
func TestForwardedIsSeen(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, func(c *worldConfig) {
		c.sbc.Peers = append(c.sbc.Peers, sbc.Peer{Name: "carrier-tls", Certificate: "sip.carrier.example", SRTP: sdp.SRTPRequired, Transport: "tls"})
	})
	sure := w.carrier(func(c *siptest.CarrierConfig) {
		c.Gateway, c.Transport, c.SRTP = w.tlsAddr, "tls", []string{siptest.SuiteCM80}
		c.Listen = netip.MustParseAddrPort(publicNet + "80:16061")
		c.TLS = &cryptotls.Config{RootCAs: w.roots, ServerName: domain,
			Certificates: []cryptotls.Certificate{issue(t, filepath.Join(w.dir, "ca"), "sip.carrier.example")}}
	})
	ended := make(chan error, 1)
	go func() {
		_, err := sure.Invite(w.ctx, "+33123456789")
		ended <- err
	}()
	in := w.b.request("INVITE")
	w.b.reply(in, 180, "t2", nil)
	inv := w.b.invite("+442079460000", set("Session-ID", in.Get("Session-ID")))
	out := w.a.request("INVITE")
	w.a.reply(out, 200, "t1", w.a.sdp())
	ok := w.b.code(200)
	w.a.request("ACK")
	w.b.send(w.b.within("ACK", 1, inv, ok))
	es := w.streamed()
	var half call.Event
	for _, e := range es {
		if strings.HasSuffix(e.ID, ".2") && e.Kind == call.EventInvite {
			half = e
		}
	}
	if half.Direction != "outbound" || half.To != "+442079460000" || half.Diversion == "" {
		t.Fatalf("%+v", es)
	}
	if got := strings.Join(kindsOf(es, half.ID), " "); got != "invite answer" {
		t.Errorf("the half that goes out: %s", got)
	}
	if got := kindsOf(es, strings.TrimSuffix(half.ID, ".2")); strings.Join(got, " ") != "invite ringing" {
		t.Errorf("the half that came in: %q", got)
	}
	if !w.gw.End(half.ID, "fraud/spend-cap") {
		t.Error("it is not known")
	}
	w.a.reply(w.a.request("BYE"), 200, "", nil)
	w.b.reply(w.b.request("BYE"), 200, "", nil)
	w.b.reply(w.b.request("CANCEL"), 200, "", nil)
	w.b.reply(in, 487, "t2", nil)
	if err := <-ended; err == nil {
		t.Error("whoever called was not told")
	}
	w.quiet()
	if got := strings.Join(kindsOf(w.streamed(), half.ID), " "); got != "invite answer end" {
		t.Errorf("the half that went out: %s", got)
	}
}

// So is one that its callee redirects to a number outside.
func TestRedirectedOutIsSeen(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t, redirects(sbc.RefuseRedirects, sbc.RefuseRedirects, sbc.FollowRedirects))
	p := w.desk("1001")
	inv := w.b.invite(siptest.UserOf(p.contact), from("<sip:1009@"+w.b.host()+">"))
	p.reply(p.request("INVITE"), 302, "t1", nil, contacts("<sip:0199007777@"+domain+";user=phone>")...)
	w.a.reply(w.a.request("INVITE"), 486, "t1", nil)
	w.a.request("ACK")
	w.b.ackFailure(inv, w.b.code(486))
	w.quiet()
	es := w.streamed()
	for _, e := range es {
		if e.Kind == call.EventInvite && strings.Contains(e.ID, ".") {
			if e.To != "+33199007777" || e.User != "1001" || e.Diversion != "1001" || e.Direction != "outbound" {
				t.Errorf("%+v", e)
			}
			if got := strings.Join(kindsOf(es, e.ID), " "); got != "invite end" {
				t.Error(got)
			}
			return
		}
	}
	t.Errorf("%+v", es)
}
