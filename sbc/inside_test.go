package sbc_test

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
	rtls "github.com/rampart-sbc/rampart/tls"
)

// TestStreamsInside: the PBX over TCP and over TLS.
func TestStreamsInside(t *testing.T) {
	for _, transport := range []string{"tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			dir := t.TempDir()
			in := netip.MustParseAddr(insideNet + "1")
			pbx := netip.MustParseAddrPort(insideNet + "9:15069")
			paths, _, err := rtls.EnsureCA(dir, []string{"pbx.test"}, nil, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			pem, _ := os.ReadFile(paths.CA)
			roots.AppendCertsFromPEM(pem)
			w := newWorld(t, func(c *worldConfig) {
				for i := range c.sbc.Stack.Listeners {
					if c.sbc.Stack.Listeners[i].Side == call.Inside {
						c.sbc.Stack.Listeners[i] = sipx.Listener{Side: call.Inside, Transport: transport, Bind: netip.AddrPortFrom(in, 0)}
					}
				}
				c.pbx.Listen, c.pbx.Transport = pbx, transport
				// The PBX dials back to the gateway, whose CA is made later.
				c.pbx.TLS = &cryptotls.Config{Certificates: []cryptotls.Certificate{issue(t, dir, "pbx.test")}, InsecureSkipVerify: true}
				c.sbc.PBXs = []sbc.PBX{{Name: "main", Host: pbx.Addr().String(), Port: pbx.Port(), Transport: transport,
					TLS: &cryptotls.Config{RootCAs: roots, ServerName: "pbx.test"}, SRTP: sdp.SRTPOff}}
			})
			a := w.registered("1001", tone(440))
			b := w.registered("1002", tone(620))
			c := w.call(a, "1002")
			if err := c.Media.WaitTone(w.ctx, 620); err != nil {
				t.Fatal(err)
			}
			d := b.Answered()[0]
			if err := d.Media.WaitTone(w.ctx, 440); err != nil {
				t.Fatal(err)
			}
			if err := d.Hold(w.ctx); err != nil {
				t.Fatal(err)
			}
			if err := c.Bye(w.ctx); err != nil {
				t.Fatal(err)
			}
			w.refused(a, siptest.ExtBusy, 486)
			if transport == "tls" {
				// Every hop is encrypted: sips: may pass.
				s, err := a.Invite(w.ctx, "sips:"+siptest.ExtTone+"@"+domain)
				if err != nil {
					t.Fatal(err)
				}
				s.Bye(w.ctx)
			}
			w.quiet()
			if n := w.gw.Tables()["dialogs"]; n != 0 {
				t.Errorf("%d dialogs left", n)
			}
		})
	}
}
