package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	"time"
)

// ports are the addresses of this run.
type ports struct {
	tls, udp, inside, admin, pbx, carrier netip.AddrPort
}

// freePorts asks the system for ports nobody uses. Between here and their use
// somebody could take one; then the start fails with a clear line.
func freePorts() (p ports, err error) {
	lo := netip.MustParseAddr("127.0.0.1")
	var open []interface{ Close() error }
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	stream := func(at *netip.AddrPort) error {
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(lo, 0)))
		if err == nil {
			open = append(open, l)
			*at = netip.AddrPortFrom(lo, uint16(l.Addr().(*net.TCPAddr).Port))
		}
		return err
	}
	packet := func(at *netip.AddrPort) error {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(lo, 0)))
		if err == nil {
			open = append(open, c)
			*at = netip.AddrPortFrom(lo, uint16(c.LocalAddr().(*net.UDPAddr).Port))
		}
		return err
	}
	if err := errors.Join(stream(&p.tls), stream(&p.admin), stream(&p.carrier), packet(&p.udp), packet(&p.inside), packet(&p.pbx)); err != nil {
		return p, fmt.Errorf("find free ports on %s: %w", lo, err)
	}
	return p, nil
}

// authority is the carrier's CA with the carrier's certificate.
type authority struct {
	ca   *x509.Certificate
	leaf tls.Certificate
}

func newAuthority(name string) (*authority, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Demo carrier CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	a := &authority{}
	if a.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// A SIP URI names the carrier as RFC 5922 wants it, the address serves
	// the gateway, which calls it by number.
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		DNSNames: []string{name}, URIs: []*url.URL{{Scheme: "sip", Opaque: name}}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, a.ca, &key.PublicKey, caKey); err != nil {
		return nil, err
	}
	a.leaf = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return a, nil
}

func (a *authority) write(file string) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.ca.Raw}), 0o644)
}

// server is the carrier as it is called.
func (a *authority) server() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.leaf}, MinVersion: tls.VersionTLS12}
}

// client is the carrier as it calls the gateway.
func (a *authority) client(roots *x509.CertPool, name string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.leaf}, RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}
}

// trust is what a telephone needs: the gateway's CA and its name.
func trust(file []byte) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(file) {
		return nil, errors.New("no certificate in it")
	}
	return &tls.Config{RootCAs: pool, ServerName: domain, MinVersion: tls.VersionTLS12}, nil
}
