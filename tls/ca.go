package tls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	caLife     = 10 * 365 * 24 * time.Hour
	serverLife = 397 * 24 * time.Hour // the longest that common clients accept
	renewAt    = 30 * 24 * time.Hour  // a server certificate with less left is issued anew
	backdate   = time.Hour            // phones whose clock is slow
	caPrefix   = "Rampart private CA "
)

// Paths are the files of a private CA.
type Paths struct {
	CA    string // ca.pem: what phones and carriers must trust
	CAKey string // ca.key: mode 0600; may be kept elsewhere until the next renewal
	Cert  string // server.pem: the gateway's certificate, then the CA's
	Key   string // server.key: mode 0600

	// Issued tells why the server certificate was issued in this run; empty
	// when the one on disk was kept.
	Issued string
}

// EnsureCA makes sure that dir holds a private CA and a server certificate for
// names and addresses, and makes what is missing: the directory (0700), a CA
// (ECDSA P-256, 10 years, path length 0), a server certificate (397 days;
// subjectAltName with every name as DNS and as sip: URI, and the addresses).
// The server certificate is issued anew when names or addresses changed, when
// less than 30 days are left, or when it is damaged; its key is kept, so that
// the change is the replacement of one file. created tells that a CA was made:
// phones must be told to trust it.
//
// The CA has no name constraints: they could not follow when a domain is added,
// and all phones would have to trust a new CA. Hence ca.key is worth as much as
// everything that trusts ca.pem.
//
// Nothing that a person may have put there is overwritten: a key with a mode
// too open, a certificate of another issuer or an expired CA are errors that
// say what to do.
func EnsureCA(dir string, names []string, ips []netip.Addr, now time.Time) (p Paths, created bool, err error) {
	p = Paths{
		CA: filepath.Join(dir, "ca.pem"), CAKey: filepath.Join(dir, "ca.key"),
		Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key"),
	}
	san, err := newSAN(names, ips)
	if err != nil {
		return p, false, err
	}
	if err := ensureDir(dir); err != nil {
		return p, false, err
	}
	ca, caKey, created, err := ensureAuthority(p, now)
	if err != nil {
		return p, false, err
	}
	p.Issued, err = needsIssue(p, ca, san, now)
	if err != nil || p.Issued == "" {
		return p, created, err
	}
	if caKey == nil {
		return p, created, fmt.Errorf("tls: the server certificate must be issued anew (%s), but %s is missing; put it back, or remove %s as well to make a new CA, which every phone must then trust",
			p.Issued, p.CAKey, p.CA)
	}
	return p, created, issue(p, ca, caKey, san, now)
}

// ensureDir makes the directory, or refuses one in which others could replace
// our files.
func ensureDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("tls: private CA: %w", hint(err))
	}
	fi, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("tls: private CA: %w", hint(err))
	}
	if !fi.IsDir() {
		return fmt.Errorf("tls: private CA: %s is not a directory", dir)
	}
	if fi.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("tls: private CA: directory %s can be written by others (mode %04o); fix it with: chmod 700 %s", dir, fi.Mode().Perm(), dir)
	}
	return nil
}

// ensureAuthority reads or makes the CA. The key is nil when only the
// certificate is there: a careful operator keeps it elsewhere.
func ensureAuthority(p Paths, now time.Time) (ca *x509.Certificate, key crypto.Signer, created bool, err error) {
	key, err = readKey(p.CAKey)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, false, err
	}
	certs, err := readCerts(p.CA)
	switch {
	case err == nil:
		ca = certs[0]
	case !errors.Is(err, fs.ErrNotExist):
		return nil, nil, false, err
	default:
		// Key first: a crash in between leaves a key, from which the next start
		// makes the certificate. The other way round it could never sign.
		if key == nil {
			if key, err = newKey(p.CAKey); err != nil {
				return nil, nil, false, err
			}
		}
		if ca, err = newAuthority(p.CA, key, now); err != nil {
			return nil, nil, false, err
		}
		return ca, key, true, nil
	}
	if !ca.IsCA {
		return nil, nil, false, fmt.Errorf("tls: %s is not a CA certificate; move it away and start again to make one", p.CA)
	}
	if key != nil && !samePublic(ca.PublicKey, key) {
		return nil, nil, false, fmt.Errorf("tls: key %s does not belong to the CA %s; put the right one there, or remove both to make a new CA, which every phone must then trust", p.CAKey, p.CA)
	}
	if now.After(ca.NotAfter) {
		return nil, nil, false, fmt.Errorf("tls: CA %s expired on %s; remove it and %s to make a new CA, which every phone must then trust", p.CA, ca.NotAfter.UTC().Format(time.DateOnly), p.CAKey)
	}
	if err := checkDates(ca, now); err != nil {
		return nil, nil, false, fmt.Errorf("tls: CA %s %w", p.CA, err)
	}
	return ca, key, false, nil
}

func samePublic(pub crypto.PublicKey, key crypto.Signer) bool {
	k, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(pub)
}

func newKey(file string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("tls: make a key: %w", err)
	}
	b, err := encodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("tls: make a key: %w", err)
	}
	if err := writeFile(file, 0o600, b); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return key, nil
}

func newAuthority(file string, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("tls: make the CA: %w", err)
	}
	// The key's hash in the name tells the CAs of two gateways apart, and gives
	// one that is made again from the same key the same name: old trust holds.
	id := sha256.Sum256(spki)
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: fmt.Sprintf("%s%x", caPrefix, id[:4])},
		NotBefore: now.Add(-backdate).UTC(), NotAfter: now.Add(caLife).UTC(),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		SubjectKeyId: id[:20],
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("tls: make the CA: %w", err)
	}
	if err := writeFile(file, 0o644, encodeCerts(der)); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return x509.ParseCertificate(der)
}

// needsIssue tells why the server certificate must be issued, or "" when it
// is good.
func needsIssue(p Paths, ca *x509.Certificate, want san, now time.Time) (string, error) {
	key, err := readKey(p.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", err
	}
	certs, err := readCerts(p.Cert)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is none", nil
	case errors.Is(err, fs.ErrPermission):
		return "", err
	case err != nil:
		return "it cannot be read", nil
	}
	leaf := certs[0]
	if !strings.HasPrefix(leaf.Issuer.CommonName, caPrefix) {
		return "", fmt.Errorf("tls: %s was issued by %q, not by the private CA; move it away, or configure it as the certificate", p.Cert, clean(leaf.Issuer.String()))
	}
	switch {
	case key == nil:
		return "its key is missing", nil
	case !samePublic(leaf.PublicKey, key):
		return "its key is another", nil
	case !bytes.Equal(leaf.RawIssuer, ca.RawSubject) || leaf.CheckSignatureFrom(ca) != nil,
		len(certs) < 2 || !certs[1].Equal(ca):
		return "the CA is new", nil
	case now.Before(leaf.NotBefore):
		return "it is not valid yet", nil
	case leaf.NotAfter.Sub(now) < renewAt && leaf.NotAfter.Before(ca.NotAfter):
		return "it expires on " + leaf.NotAfter.UTC().Format(time.DateOnly), nil
	case !want.equal(sanOf(leaf)):
		return "names changed", nil
	}
	return "", nil
}

func issue(p Paths, ca *x509.Certificate, caKey crypto.Signer, s san, now time.Time) error {
	key, err := readKey(p.Key)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = newKey(p.Key)
	}
	if err != nil {
		return err
	}
	until := now.Add(serverLife)
	if until.After(ca.NotAfter) {
		until = ca.NotAfter
	}
	t := &x509.Certificate{
		NotBefore: now.Add(-backdate).UTC(), NotAfter: until.UTC(),
		KeyUsage: x509.KeyUsageDigitalSignature,
		// Both: the gateway shows it to carriers that ask for one, too.
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		DNSNames:              s.names,
	}
	for _, n := range s.names {
		t.URIs = append(t.URIs, &url.URL{Scheme: "sip", Opaque: n})
	}
	for _, a := range s.ips {
		t.IPAddresses = append(t.IPAddresses, net.IP(a.AsSlice()))
	}
	t.Subject.CommonName = "Rampart"
	if len(s.names) > 0 && len(s.names[0]) <= 64 { // ub-common-name, RFC 5280 A.1
		t.Subject.CommonName = s.names[0]
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, key.Public(), caKey)
	if err != nil {
		return fmt.Errorf("tls: issue the server certificate: %w", err)
	}
	if err := writeFile(p.Cert, 0o644, encodeCerts(der, ca.Raw)); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// san is whom a server certificate is for: sorted, each once.
type san struct {
	names []string
	ips   []netip.Addr
}

func newSAN(names []string, ips []netip.Addr) (san, error) {
	var s san
	for _, n := range names {
		h, ok := parseHost(n)
		if !ok {
			return s, fmt.Errorf("tls: private CA: %w", CheckName(n))
		}
		if h.ip.IsValid() {
			ips = append(slices.Clone(ips), h.ip)
			continue
		}
		s.names = append(s.names, h.name)
	}
	for _, a := range ips {
		if a = a.Unmap(); !a.IsValid() || a.IsUnspecified() || a.Zone() != "" || a.IsMulticast() {
			return s, fmt.Errorf("tls: private CA: %s is not an address that anybody can connect to", a)
		}
		s.ips = append(s.ips, a.Unmap())
	}
	if len(s.names)+len(s.ips) == 0 {
		return s, errors.New("tls: private CA: a certificate needs at least one name or address")
	}
	return s.sorted(), nil
}

func sanOf(c *x509.Certificate) san {
	s := san{names: slices.Clone(c.DNSNames)}
	for _, b := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(b); ok {
			s.ips = append(s.ips, a.Unmap())
		}
	}
	return s.sorted()
}

func (s san) sorted() san {
	slices.Sort(s.names)
	slices.SortFunc(s.ips, netip.Addr.Compare)
	s.names, s.ips = slices.Compact(s.names), slices.Compact(s.ips)
	return s
}

func (s san) equal(o san) bool { return slices.Equal(s.names, o.names) && slices.Equal(s.ips, o.ips) }
