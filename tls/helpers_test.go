package tls

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

// authority is a CA of the tests, made by other code than the one under test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	up   *authority // nil for a root
}

func newTestCA(t *testing.T, name string, up *authority, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	a := &authority{t: t, up: up}
	tmpl := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: noon.Add(-24 * time.Hour), NotAfter: noon.Add(1000 * time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	for _, f := range change {
		f(tmpl)
	}
	a.cert, a.key = sign(t, tmpl, up)
	return a
}

func sign(t *testing.T, tmpl *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := tmpl, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// issued is a certificate of the tests with its key and chain.
type issued struct {
	t     *testing.T
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	chain [][]byte
}

// issue makes an end certificate with SANs as text: "sip:…" is a URI, an
// address is an IP, everything else a DNS name.
func (a *authority) issue(sans []string, change ...func(*x509.Certificate)) *issued {
	a.t.Helper()
	tmpl := &x509.Certificate{
		Subject: pkix.Name{CommonName: "test"}, NotBefore: noon.Add(-24 * time.Hour), NotAfter: noon.Add(500 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, s := range sans {
		addSAN(a.t, tmpl, s)
	}
	for _, f := range change {
		f(tmpl)
	}
	out := &issued{t: a.t}
	out.cert, out.key = sign(a.t, tmpl, a)
	out.chain = append(out.chain, out.cert.Raw)
	for up := a; up != nil && up.up != nil; up = up.up { // without the root
		out.chain = append(out.chain, up.cert.Raw)
	}
	return out
}

func addSAN(t testing.TB, c *x509.Certificate, s string) {
	if ip, err := netip.ParseAddr(s); err == nil {
		c.IPAddresses = append(c.IPAddresses, net.IP(ip.AsSlice()))
	} else if strings.Contains(s, ":") {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = append(c.URIs, u)
	} else {
		c.DNSNames = append(c.DNSNames, s)
	}
}

func usages(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = u }
}

func valid(from, to time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = noon.Add(from), noon.Add(to) }
}

func (i *issued) tls() cryptotls.Certificate {
	return cryptotls.Certificate{Certificate: i.chain, PrivateKey: i.key}
}

// files writes chain and key below dir.
func (i *issued) files(dir, name string) Pair {
	i.t.Helper()
	p := Pair{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	key, err := encodeKey(i.key)
	if err != nil {
		i.t.Fatal(err)
	}
	write(i.t, p.Cert, encodeCerts(i.chain...), 0o644)
	write(i.t, p.Key, key, 0o600)
	return p
}

func (a *authority) file(dir, name string) string {
	file := filepath.Join(dir, name+".pem")
	write(a.t, file, encodeCerts(a.cert.Raw), 0o644)
	return file
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func write(t *testing.T, file string, b []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// result is a handshake seen from both ends. The client's error includes what
// it reads after its own part: in TLS 1.3 a refused client learns of it there.
type result struct {
	server, client           cryptotls.ConnectionState
	serverErr, clientErr     error
	serverConn, clientConn   *cryptotls.Conn
	serverRaw, clientRawConn net.Conn
}

func (r *result) ok() bool { return r.serverErr == nil && r.clientErr == nil }

func (r *result) close() { r.serverRaw.Close(); r.clientRawConn.Close() }

// connect gives two ends of a loopback connection with a deadline.
func connect(t *testing.T) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	_ = server.SetDeadline(deadline)
	_ = client.SetDeadline(deadline)
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

func handshake(t *testing.T, server, client *cryptotls.Config) *result {
	t.Helper()
	r := &result{}
	r.serverRaw, r.clientRawConn = connect(t)
	r.serverConn, r.clientConn = cryptotls.Server(r.serverRaw, server), cryptotls.Client(r.clientRawConn, client)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if r.serverErr = r.serverConn.HandshakeContext(context.Background()); r.serverErr != nil {
			r.serverRaw.Close()
			return
		}
		_, r.serverErr = r.serverConn.Write([]byte{'!'})
	}()
	if r.clientErr = r.clientConn.HandshakeContext(context.Background()); r.clientErr == nil {
		_, r.clientErr = r.clientConn.Read(make([]byte, 1))
	}
	if r.clientErr != nil {
		r.clientRawConn.Close()
	}
	<-done
	r.server, r.client = r.serverConn.ConnectionState(), r.clientConn.ConnectionState()
	return r
}

func open(t *testing.T, s Settings) *Store {
	t.Helper()
	st, err := Open(s, clock)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// phone is a client that trusts the CA of the tests and has no certificate.
func phone(ca *authority, change ...func(*cryptotls.Config)) *cryptotls.Config {
	c := &cryptotls.Config{RootCAs: ca.pool(), ServerName: "sip.example.com", Time: clock}
	for _, f := range change {
		f(c)
	}
	return c
}

func with(cert *issued) func(*cryptotls.Config) {
	// Always, whatever the server hints at: as a careless client does.
	return func(c *cryptotls.Config) {
		c.GetClientCertificate = func(*cryptotls.CertificateRequestInfo) (*cryptotls.Certificate, error) {
			x := cert.tls()
			return &x, nil
		}
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
}
