package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"testing"
	"time"
)

// CA is a certificate authority of one test.
type CA struct {
	File string // PEM, the CA's own certificate
	Pool *x509.CertPool

	tb   testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

// NewCA makes an authority.
func NewCA(tb testing.TB, name string) *CA {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("peers: CA key: %v", err)
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		tb.Fatalf("peers: CA certificate: %v", err)
	}
	ca := &CA{Pool: x509.NewCertPool(), tb: tb, dir: tb.TempDir(), key: key, n: 1}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatalf("peers: CA certificate: %v", err)
	}
	ca.Pool.AddCert(ca.cert)
	ca.File = write(tb, filepath.Join(ca.dir, "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return ca
}

// Leaf says what a certificate is for. The zero value of the times means valid
// now.
type Leaf struct {
	DNS        []string
	URIs       []string // sip:carrier.example (RFC 5922)
	IPs        []netip.Addr
	CommonName string
	From, To   time.Time
	ServerOnly bool // without the clientAuth usage, as public CAs issue them
}

// Pair is a certificate with its key.
type Pair struct {
	CertFile, KeyFile string // PEM
	BothFile          string // PEM with certificate and key, as telephones want it
	TLS               tls.Certificate
}

// Issue makes a certificate.
func (ca *CA) Issue(l Leaf) Pair {
	tb := ca.tb
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("peers: key: %v", err)
	}
	ca.n++
	t := &x509.Certificate{
		SerialNumber: big.NewInt(ca.n), Subject: pkix.Name{CommonName: l.CommonName}, DNSNames: l.DNS,
		NotBefore: l.From, NotAfter: l.To, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if l.ServerOnly {
		t.ExtKeyUsage = t.ExtKeyUsage[:1]
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = time.Now().Add(-time.Hour)
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = time.Now().Add(24 * time.Hour)
	}
	for _, a := range l.IPs {
		t.IPAddresses = append(t.IPAddresses, net.IP(a.AsSlice()))
	}
	for _, s := range l.URIs {
		u, err := url.Parse(s)
		if err != nil {
			tb.Fatalf("peers: URI of a certificate: %v", err)
		}
		t.URIs = append(t.URIs, u)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		tb.Fatalf("peers: certificate: %v", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatalf("peers: key: %v", err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	base := filepath.Join(ca.dir, ca.cert.Subject.CommonName+"-"+t.SerialNumber.String())
	p := Pair{
		CertFile: write(tb, base+".pem", cert), KeyFile: write(tb, base+".key", keyPEM), BothFile: write(tb, base+".both.pem", cert+keyPEM),
	}
	if p.TLS, err = tls.X509KeyPair([]byte(cert), []byte(keyPEM)); err != nil {
		tb.Fatalf("peers: certificate: %v", err)
	}
	return p
}
