package sbc_test

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
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

// TestRegistersStayInOrder: those of one connection reach a PBX on a stream
// as they came (RFC 3261 §10.2), the first ones while it is being dialled.
func TestRegistersStayInOrder(t *testing.T) {
	in, pbx := netip.MustParseAddr(insideNet+"1"), netip.MustParseAddrPort(insideNet+"9:15069")
	w := newWorld(t, func(c *worldConfig) {
		for i := range c.sbc.Stack.Listeners {
			if c.sbc.Stack.Listeners[i].Side == call.Inside {
				c.sbc.Stack.Listeners[i] = sipx.Listener{Side: call.Inside, Transport: "tcp", Bind: netip.AddrPortFrom(in, 0)}
			}
		}
		c.pbx.Listen, c.pbx.Transport = pbx, "tcp"
		c.sbc.PBXs = []sbc.PBX{{Name: "main", Host: pbx.Addr().String(), Port: pbx.Port(), Transport: "tcp", SRTP: sdp.SRTPOff}}
	})
	const n = 200
	c, err := cryptotls.Dial("tcp", w.tlsAddr.String(), &cryptotls.Config{RootCAs: w.roots, ServerName: domain})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go io.Copy(io.Discard, c)
	for i := range n {
		if _, err := fmt.Fprintf(c, "REGISTER sip:%[1]s SIP/2.0\r\nVia: SIP/2.0/TLS %[2]s;branch=z9hG4bK%[3]d\r\nMax-Forwards: 70\r\n"+
			"From: <sip:1001@%[1]s>;tag=a\r\nTo: <sip:1001@%[1]s>\r\nCall-ID: order\r\nCSeq: %[3]d REGISTER\r\nContact: <sip:1001@%[2]s>\r\nContent-Length: 0\r\n\r\n",
			domain, c.LocalAddr(), i+1); err != nil {
			t.Fatal(err)
		}
	}
	var seen []int
	eventually(t, "every REGISTER", func() bool {
		seen = seen[:0]
		for _, m := range strings.Split(w.in.String(), "REGISTER sip:")[1:] {
			_, v, _ := strings.Cut(m, "CSeq: ")
			v, _, _ = strings.Cut(v, " ")
			i, _ := strconv.Atoi(v)
			seen = append(seen, i)
		}
		return len(seen) == n
	})
	if !slices.IsSorted(seen) {
		t.Errorf("they came as %v", seen)
	}
	eventually(t, "nobody waits", func() bool { return w.gw.Tables()["turns"] == 0 })
}
