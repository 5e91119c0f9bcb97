package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/config"
	rtls "github.com/rampart-sbc/rampart/tls"
)

// certificates looks at what phones and carriers are shown: dates, names, and
// whether the chain leads to somebody they trust.
func (x *examination) certificates(context.Context) {
	cfg := x.cfg
	private := len(cfg.TLS.Certificates) == 0
	pairs := cfg.TLS.Certificates
	if private {
		pairs = []config.Certificate{{Cert: filepath.Join(cfg.State, "server.pem"), Key: filepath.Join(cfg.State, "server.key")}}
		if _, err := os.Stat(pairs[0].Cert); errors.Is(err, os.ErrNotExist) {
			x.ok("the private CA is made at the first start; phones must trust %s then", filepath.Join(cfg.State, "ca.pem"))
			return
		}
	}
	var all []*rtls.Certificate
	for _, p := range pairs {
		c, err := rtls.Load(p.Cert, p.Key, x.now)
		if err != nil {
			x.say(broken, "", "%v", err)
			continue
		}
		all = append(all, c)
		x.expiry(p.Cert, c.Expires(), private)
		x.chain(p.Cert, c, private)
	}
	for _, domain := range cfg.Domains {
		named := func(c *rtls.Certificate) bool { return rtls.Match(c.Leaf(), domain, rtls.Rules{Wildcard: true}) }
		switch {
		case len(all) == 0:
		case slices.ContainsFunc(all, named):
			x.ok("a certificate names %s", domain)
		default:
			x.say(broken, "the certificate names "+strings.Join(all[0].Names(), ", "), "no certificate names %s, so phones that check it will not connect", domain)
		}
	}
	for i, p := range cfg.Peers {
		if p.Certificate != nil {
			x.own(fmt.Sprintf("peer %s", cfg.Peers[i].Name), *p.Certificate)
		}
	}
	for _, p := range cfg.PBX {
		if p.Certificate != nil {
			x.own("pbx "+p.Name, *p.Certificate)
		}
	}
}

func (x *examination) own(what string, p config.Certificate) {
	c, err := rtls.Load(p.Cert, p.Key, x.now)
	if err != nil {
		x.say(broken, "", "for %s: %v", what, err)
		return
	}
	x.expiry(p.Cert+" (for "+what+")", c.Expires(), false)
}

func (x *examination) expiry(what string, end time.Time, private bool) {
	left := int(end.Sub(x.now).Hours() / 24)
	hint := "renew it; the gateway takes the new file without a restart"
	if private {
		hint = "the gateway renews it by itself while it runs"
	}
	if end.Sub(x.now) < expiring {
		x.say(warning, hint, "%s expires in %s, on %s", what, count(left, "day"), end.UTC().Format(time.DateOnly))
		return
	}
	x.ok("%s is good for %s", what, count(left, "day"))
}

// chain verifies as a phone does that has the roots of this host.
func (x *examination) chain(file string, c *rtls.Certificate, private bool) {
	if private {
		x.ok("the certificate is of the private CA: phones must trust %s", filepath.Join(x.cfg.State, "ca.pem"))
		return
	}
	between := x509.NewCertPool()
	for _, raw := range c.TLS().Certificate[1:] {
		if more, err := x509.ParseCertificate(raw); err == nil {
			between.AddCert(more)
		}
	}
	_, err := c.Leaf().Verify(x509.VerifyOptions{Intermediates: between, CurrentTime: x.now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	switch {
	case err == nil:
		x.ok("the chain of %s leads to a CA that this host trusts", file)
	case len(c.TLS().Certificate) == 1:
		x.say(warning, "append the intermediate certificates of the CA, leaf first; right as it is where phones are given this certificate's CA", "%s has no chain: %v", file, err)
	default:
		x.say(warning, "right where phones are given that CA", "the chain of %s leads to no CA that this host trusts: %v", file, err)
	}
}
