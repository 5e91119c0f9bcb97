package sbc_test

import (
	cryptotls "crypto/tls"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/sdp"
)

// TestAddressAloneReachesNoCarrier: whoever can write the address of a peer
// into a datagram reaches the phones behind a DID and no other carrier, by
// whatever the PBX lets the call be known again.
func TestAddressAloneReachesNoCarrier(t *testing.T) {
	for name, back := range map[string]func(in, out *siptest.Message){
		"by caller and number": func(_, _ *siptest.Message) {},
		"by Call-ID":           func(in, out *siptest.Message) { out.Set("Call-ID", in.Get("Call-ID")) },
		"by Session-ID": func(in, out *siptest.Message) {
			out.Set("From", "<sip:trunk@pbx.test>;tag=1")
			out.Set("Session-ID", in.Get("Session-ID"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRawWorld(t)
			w.a.invite("+442079460000")
			in := w.b.request("INVITE")
			w.b.invite("+442079460000", func(m *siptest.Message) { back(in, m) })
			w.b.code(403)
			w.a.never("INVITE at the carrier", is("INVITE"))
			w.b.reply(in, 486, "t", nil)
			w.quiet()
			w.rep.mu.Lock()
			defer w.rep.mu.Unlock()
			last := w.rep.decisions[len(w.rep.decisions)-1].d
			if last.Rule != "base/ip-peer-route" || last.Action != call.CallRejected || last.Subject.Value != "raw" {
				t.Errorf("decision %+v", last)
			}
		})
	}
	w := newRawWorld(t)
	w.b.invite("+442079460000") // the PBX by itself may
	w.a.reply(w.a.request("INVITE"), 486, "t", nil)
	w.quiet()
}

// TestCertificateReachesCarriers: a peer that proved who it is may use the
// PBX as a transit, if the PBX lets it.
func TestCertificateReachesCarriers(t *testing.T) {
	w := newRawWorld(t, func(c *worldConfig) {
		c.sbc.Peers = append(c.sbc.Peers, sbc.Peer{Name: "carrier-tls", Certificate: "sip.carrier.example", SRTP: sdp.SRTPRequired, Transport: "tls"})
	})
	sure := w.carrier(func(c *siptest.CarrierConfig) {
		c.Gateway, c.Transport, c.SRTP = w.tlsAddr, "tls", []string{siptest.SuiteCM80}
		c.Listen = netip.MustParseAddrPort(publicNet + "80:16061")
		c.TLS = &cryptotls.Config{RootCAs: w.roots, ServerName: domain,
			Certificates: []cryptotls.Certificate{issue(t, filepath.Join(w.dir, "ca"), "sip.carrier.example")}}
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		sure.Invite(w.ctx, "+442079460000")
	}()
	in := w.b.request("INVITE")
	w.b.invite("+442079460000", set("Session-ID", in.Get("Session-ID")))
	out := w.a.request("INVITE")
	w.a.reply(out, 486, "t1", nil)
	w.b.ackFailure(out, w.b.code(486))
	w.b.reply(in, 486, "t2", nil)
	<-ended
	if len(w.rep.lastRecord(t, 1).Passes) != 2 {
		t.Error("the two passes are not one call")
	}
}
