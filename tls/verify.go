package tls

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// maxChain is the longest chain another end may send. Real ones have two or
// three certificates; path building grows with their number.
const maxChain = 8

// CertificateError is our refusal of the certificate of the other end, as the
// handshake returns it.
type CertificateError struct {
	Subject string   // as the certificate says, capped; not verified
	Names   []string // its SIP identities; not verified
	Err     error
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("tls: certificate %q refused: %v", e.Subject, e.Err)
}

func (e *CertificateError) Unwrap() error { return e.Err }

func refuse(leaf *x509.Certificate, err error) error {
	return &CertificateError{Subject: clean(leaf.Subject.String()), Names: Names(leaf), Err: err}
}

// usage is what a certificate may be used for, RFC 5280 §4.2.1.12.
type usage struct {
	known x509.ExtKeyUsage
	oid   asn1.ObjectIdentifier
}

var (
	asClient = usage{known: x509.ExtKeyUsageClientAuth}
	asServer = usage{known: x509.ExtKeyUsageServerAuth}
	asSIP    = usage{oid: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 20}} // id-kp-sipDomain, RFC 5924: both directions
)

// permits tells whether every certificate of a chain leaves a usage open: it
// has no list of usages, or lists this one or any. SIP's own usage is as good
// as the one that was asked for.
func permits(chain []*x509.Certificate, u usage) bool {
	return permitsOnly(chain, u) || permitsOnly(chain, asSIP)
}

func permitsOnly(chain []*x509.Certificate, u usage) bool {
	for _, c := range chain {
		if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
			continue
		}
		if u.oid != nil {
			if !slices.ContainsFunc(c.UnknownExtKeyUsage, u.oid.Equal) {
				return false
			}
		} else if !slices.Contains(c.ExtKeyUsage, u.known) {
			return false
		}
	}
	return true
}

// verifyChain builds chains to the roots (nil: those of the system) and
// returns them, at least one. Names and usages are the caller's business.
func verifyChain(certs []*x509.Certificate, roots *x509.CertPool, now time.Time) ([][]*x509.Certificate, error) {
	if len(certs) == 0 {
		return nil, errors.New("tls: no certificate")
	}
	leaf := certs[0]
	if len(certs) > maxChain {
		return nil, refuse(leaf, fmt.Errorf("a chain of %d certificates; at most %d are read", len(certs), maxChain))
	}
	if err := checkDates(leaf, now); err != nil {
		return nil, refuse(leaf, err)
	}
	if err := checkStrength(leaf); err != nil {
		return nil, refuse(leaf, err)
	}
	inter := x509.NewCertPool()
	for _, c := range certs[1:] {
		inter.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: inter, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // permits asks, SIP's usage included
	})
	if err != nil {
		return nil, refuse(leaf, err)
	}
	return chains, nil
}

func anyPermits(chains [][]*x509.Certificate, u usage) bool {
	return slices.ContainsFunc(chains, func(c []*x509.Certificate) bool { return permits(c, u) })
}

// verifyClient judges the certificate a client showed, if any. It does not
// ask whose it is (see [Identify]), except for a server-only certificate:
// that is let in only for a peer that was allowed one.
func verifyClient(state cryptotls.ConnectionState, roots *x509.CertPool, peers []Peer, now time.Time) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	if roots == nil { // never the system's: that would let the whole web in
		return refuse(leaf, errors.New("no client CA is configured"))
	}
	chains, err := verifyChain(state.PeerCertificates, roots, now)
	if err != nil {
		return err
	}
	if anyPermits(chains, asClient) {
		return nil
	}
	if anyPermits(chains, asServer) && slices.ContainsFunc(peers, func(p Peer) bool {
		return p.ServerOnly && Match(leaf, p.Certificate, p.Rules)
	}) {
		return nil
	}
	return refuse(leaf, errors.New("its extended key usage does not include client authentication, and no peer with its name is allowed a server-only certificate"))
}

// verifyServer judges the certificate of the server we called name.
func verifyServer(state cryptotls.ConnectionState, roots *x509.CertPool, name string, r Rules, now time.Time) error {
	chains, err := verifyChain(state.PeerCertificates, roots, now)
	if err != nil {
		return err
	}
	leaf := state.PeerCertificates[0]
	if !anyPermits(chains, asServer) {
		return refuse(leaf, errors.New("its extended key usage does not include server authentication"))
	}
	if !Match(leaf, name, r) {
		return refuse(leaf, &NameError{Want: []string{name}, Got: Names(leaf)})
	}
	return nil
}

// clean makes text from a certificate fit for a log line: printable and short.
func clean(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
