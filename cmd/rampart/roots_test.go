package main

import (
	cryptotls "crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	rtls "github.com/rampart-sbc/rampart/tls"
)

// The authorities of a carrier are those of its ca file as last read.
func TestReloadReadsAuthorities(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddr("127.91.5.9")
	issue := func() (rtls.Paths, []byte) {
		p, _, err := rtls.EnsureCA(t.TempDir(), []string{"sip.carrier.example"}, []netip.Addr{addr}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(p.CA)
		if err != nil {
			t.Fatal(err)
		}
		return p, b
	}
	first, firstCA := issue()
	second, secondCA := issue()
	file := filepath.Join(t.TempDir(), "carrier.pem")
	put := func(b []byte) {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(firstCA)
	s := newSite(t, 5, fmt.Sprintf("peers: [{name: a, identify: {ip: [%s/32]}, uri: \"sip:%s;transport=tls\", ca: %s}]\nroutes: [{peers: [a]}]\n", addr, addr, file))
	if len(s.g.roots) != 1 {
		t.Fatalf("%d files of authorities, want the carrier's", len(s.g.roots))
	}
	conf := s.g.certs.Client(rtls.Options{}, addr.String())
	conf.VerifyConnection = s.g.roots[0].verify(s.g.certs, rtls.Options{}, addr.String())
	believes := func(p rtls.Paths) bool {
		t.Helper()
		pair, err := cryptotls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		go cryptotls.Server(theirs, &cryptotls.Config{Certificates: []cryptotls.Certificate{pair}}).Handshake()
		return cryptotls.Client(ours, conf).Handshake() == nil
	}
	if !believes(first) || believes(second) {
		t.Error("at start the first CA counts, and no other")
	}
	put(secondCA)
	s.reload()
	if believes(first) || !believes(second) {
		t.Error("after a reload the second CA counts, and no other")
	}
	put([]byte("junk"))
	s.reload()
	s.waitAlert("tls/certificate-not-loaded", "carrier.pem")
	if believes(first) || !believes(second) {
		t.Error("after a broken file the second CA counts, and no other")
	}
}

// A private CA that cannot renew its certificate says so.
func TestRenewalFailureIsAlert(t *testing.T) {
	t.Parallel()
	s := newSite(t, 6, "")
	s.g.renewCA()
	if got := s.alerts(); len(got) > 0 {
		t.Errorf("a good CA: %q", got)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "state/server.pem"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.dir, "state/ca.key")); err != nil {
		t.Fatal(err)
	}
	s.g.renewCA()
	s.waitAlert("tls/ca-not-renewed", "ca.key")
}
