package tls

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	cryptotls "crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// minRSA is the shortest RSA key that is accepted, ours or theirs.
const minRSA = 2048

// Certificate is a checked chain with its private key. It never prints the
// key: every way of printing it gives file and names.
type Certificate struct {
	file  string
	chain []*x509.Certificate // leaf first, each issued by the next
	tls   cryptotls.Certificate
}

// Load reads a chain and its key and checks at now that they are one usable
// certificate: the leaf comes first, each certificate issued the one before it,
// the key belongs to the leaf and only its owner can read it, and nothing has
// expired or is not valid yet. certFile and keyFile may be the same file. An
// error is one line and says what would be right.
func Load(certFile, keyFile string, now time.Time) (*Certificate, error) {
	key, err := readKey(keyFile)
	if err != nil {
		return nil, err
	}
	chain, err := readCerts(certFile)
	if err != nil {
		return nil, err
	}
	if err := checkOrder(certFile, keyFile, chain, key); err != nil {
		return nil, err
	}
	for i, c := range chain {
		what := "certificate"
		if i > 0 {
			what = fmt.Sprintf("number %d of the chain (%s)", i+1, clean(c.Subject.String()))
		}
		if err := checkDates(c, now); err != nil {
			return nil, fmt.Errorf("tls: certificate %s: %s %w", certFile, what, err)
		}
		if err := checkStrength(c); err != nil {
			return nil, fmt.Errorf("tls: certificate %s: %s %w", certFile, what, err)
		}
	}
	out := &Certificate{file: certFile, chain: chain}
	out.tls = cryptotls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		out.tls.Certificate = append(out.tls.Certificate, c.Raw)
	}
	return out, nil
}

func checkOrder(certFile, keyFile string, chain []*x509.Certificate, key crypto.Signer) error {
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return fmt.Errorf("tls: key %s is of an unknown kind", keyFile)
	}
	if !pub.Equal(chain[0].PublicKey) {
		for i, c := range chain[1:] {
			if pub.Equal(c.PublicKey) {
				return fmt.Errorf("tls: certificate %s: wrong order: the certificate of the key is number %d; put it first, then its issuers", certFile, i+2)
			}
		}
		return fmt.Errorf("tls: key %s does not belong to the certificate %s (%s)", keyFile, certFile, clean(chain[0].Subject.String()))
	}
	for i := 1; i < len(chain); i++ {
		child, parent := chain[i-1], chain[i]
		if !bytes.Equal(child.RawIssuer, parent.RawSubject) {
			return fmt.Errorf("tls: certificate %s: wrong order: number %d (%s) did not issue number %d; put the leaf first, then each issuer",
				certFile, i+1, clean(parent.Subject.String()), i)
		}
		if err := child.CheckSignatureFrom(parent); err != nil {
			return fmt.Errorf("tls: certificate %s: number %d was not signed by number %d: %w", certFile, i, i+1, err)
		}
	}
	return nil
}

func checkDates(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("expired on %s; renew it and reload", c.NotAfter.UTC().Format(time.DateTime+" UTC"))
	case now.Before(c.NotBefore):
		return fmt.Errorf("is not valid before %s; is the clock right?", c.NotBefore.UTC().Format(time.DateTime+" UTC"))
	}
	return nil
}

func checkStrength(c *x509.Certificate) error {
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < minRSA {
		return fmt.Errorf("has an RSA key of %d bits; at least %d are needed", k.N.BitLen(), minRSA)
	}
	return nil
}

// File is the file the chain was read from.
func (c *Certificate) File() string { return c.file }

// Leaf is the certificate itself, without its issuers. Do not change it.
func (c *Certificate) Leaf() *x509.Certificate { return c.chain[0] }

// Names are the SIP identities of the leaf, see [Names].
func (c *Certificate) Names() []string { return Names(c.chain[0]) }

// Expires is when the first certificate of the chain expires.
func (c *Certificate) Expires() time.Time {
	t := c.chain[0].NotAfter
	for _, x := range c.chain[1:] {
		if x.NotAfter.Before(t) {
			t = x.NotAfter
		}
	}
	return t
}

// TLS is the certificate as crypto/tls wants it. It holds the private key: do
// not print it.
func (c *Certificate) TLS() *cryptotls.Certificate { return &c.tls }

func (c *Certificate) String() string {
	if c == nil {
		return "no certificate"
	}
	return fmt.Sprintf("certificate %s %v, key redacted", c.file, c.Names())
}

// Format keeps the key out of every verb, %#v included.
func (c *Certificate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue keeps the key out of structured logs.
func (c *Certificate) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText keeps the key out of JSON and friends.
func (c *Certificate) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
