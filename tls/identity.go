package tls

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Rules are what one peer may do that RFC 5922 or our caution forbids. The
// zero value is the strict one.
type Rules struct {
	Wildcard   bool // *.example.com in a DNS name covers one label; RFC 5922 §7.2 forbids it
	ServerOnly bool // as a client it may show a certificate whose usage is serverAuth only; public CAs issue no other
	CommonName bool // the CN counts when there is no subjectAltName at all; RFC 5922 §7.1 leaves it open
}

// Peer is somebody who identifies by certificate.
type Peer struct {
	Name        string // as configured
	Certificate string // the SIP domain its certificate must carry, ASCII (A-labels), or an IP address
	Rules
}

// NameError says that a certificate which chains well is somebody else's.
type NameError struct {
	Want []string // what would have been right
	Got  []string // what the certificate says
}

func (e *NameError) Error() string {
	return fmt.Sprintf("the certificate is for %s, not for %s", list(e.Got), list(e.Want))
}

func list(names []string) string {
	const most = 5
	if len(names) == 0 {
		return "nobody (no name in subjectAltName)"
	}
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = clean(n)
	}
	return strings.Join(q, ", ") + more
}

// Identify tells which peer the client certificate of a connection belongs
// to. The connection must come from a listener of [Store.Server], whose
// handshake has verified the chain. No certificate gives "" and no error; a
// certificate of nobody we know gives a *NameError. The first peer that
// matches wins.
func Identify(state cryptotls.ConnectionState, peers []Peer) (peer string, err error) {
	if len(state.PeerCertificates) == 0 {
		return "", nil
	}
	for _, p := range peers {
		if p.Shows(state) {
			return p.Name, nil
		}
	}
	want := make([]string, len(peers))
	for i := range peers {
		want[i] = peers[i].Certificate
	}
	return "", &NameError{Want: want, Got: Names(state.PeerCertificates[0])}
}

// Shows tells whether the client certificate of a connection is this peer's,
// by all its rules. As for [Identify], the handshake must have verified the chain.
func (p Peer) Shows(state cryptotls.ConnectionState) bool {
	certs := state.PeerCertificates
	return len(certs) > 0 && (p.ServerOnly || permits(certs, asClient)) && Match(certs[0], p.Certificate, p.Rules)
}

// Names are the SIP domain identities of a certificate by RFC 5922 §7.1: the
// hosts of the sip: URIs in the subjectAltName, and only if there is none, its
// DNS names (a wildcard is returned as it stands). URIs of another scheme or
// with a user part are no identities. Names are lower case, without a trailing
// dot and each once. The CN never counts here.
func Names(cert *x509.Certificate) []string {
	var names []string
	add := func(n string) {
		if !slices.Contains(names, n) && len(names) < maxNames {
			names = append(names, n)
		}
	}
	for _, u := range cert.URIs {
		if h, ok := sipHost(u); ok {
			add(h.String())
		}
	}
	if len(names) > 0 {
		return names
	}
	for _, d := range cert.DNSNames {
		d, wild := strings.CutPrefix(d, "*.")
		h, ok := parseHost(d)
		switch {
		case !ok || h.ip.IsValid(): // an address in a DNS name is a mistake, not an identity
		case wild:
			add("*." + h.name)
		default:
			add(h.name)
		}
	}
	return names
}

// maxNames bounds the work and the memory a certificate can ask for.
const maxNames = 256

// Match tells whether a certificate is one for the domain or address name, by
// RFC 5922 §7.2: the whole name, without regard to case, no suffix and, unless
// the rules allow it, no wildcard. Names are compared in ASCII; a name with
// other letters never matches. For an address (with or without brackets) the
// IP entries of the subjectAltName count, and a sip: URI with that address.
// Usages are not looked at: for the certificate of a client ask [Peer.Shows].
func Match(cert *x509.Certificate, name string, r Rules) bool {
	want, ok := parseHost(name)
	if !ok {
		return false
	}
	if want.ip.IsValid() {
		for _, b := range cert.IPAddresses {
			if a, ok := netip.AddrFromSlice(b); ok && a.Unmap() == want.ip {
				return true
			}
		}
	}
	for _, got := range Names(cert) {
		if got == want.String() {
			return true
		}
		if r.Wildcard && want.name != "" && wildcard(got, want.name) {
			return true
		}
	}
	if r.CommonName && want.name != "" && !hasSAN(cert) {
		cn, ok := parseHost(cert.Subject.CommonName)
		return ok && cn == want
	}
	return false
}

// wildcard: the star stands for exactly one label, and never for all of a
// top-level domain.
func wildcard(pattern, name string) bool {
	suffix, ok := strings.CutPrefix(pattern, "*.")
	if !ok || !strings.Contains(suffix, ".") {
		return false
	}
	_, rest, ok := strings.Cut(name, ".")
	return ok && rest == suffix
}

func hasSAN(cert *x509.Certificate) bool {
	oid := asn1.ObjectIdentifier{2, 5, 29, 17}
	for _, e := range cert.Extensions {
		if e.Id.Equal(oid) {
			return true
		}
	}
	return len(cert.DNSNames)+len(cert.URIs)+len(cert.IPAddresses)+len(cert.EmailAddresses) > 0
}

// host is a domain in lower case or an address, never both.
type host struct {
	name string
	ip   netip.Addr
}

func (h host) String() string {
	if h.ip.IsValid() {
		return h.ip.String()
	}
	return h.name
}

// sipHost takes the host of a sip: URI as a certificate carries it. Port and
// parameters do not change whose domain it is. A user part makes the URI the
// identity of a person, which cannot vouch for a domain (RFC 5922 §7.1).
func sipHost(u *url.URL) (host, bool) {
	if u == nil || !strings.EqualFold(u.Scheme, "sip") || u.RawQuery != "" || u.Fragment != "" {
		return host{}, false
	}
	s, _, _ := strings.Cut(u.Opaque, ";")
	if strings.Contains(u.Opaque, "@") {
		return host{}, false
	}
	end := strings.LastIndexByte(s, ':')
	if strings.HasPrefix(s, "[") {
		if bracket := strings.IndexByte(s, ']'); end < bracket {
			end = -1 // that colon is the address's
		}
	}
	if end >= 0 {
		port := s[end+1:]
		if port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return host{}, false
		}
		s = s[:end]
	}
	return parseHost(s)
}

// CheckName tells what is wrong with a configured name that a certificate
// shall be compared with. A name that fails here would never match.
func CheckName(name string) error {
	if _, ok := parseHost(name); ok {
		return nil
	}
	for _, r := range name {
		if r > 127 {
			return fmt.Errorf("%q is not ASCII; write the domain with its xn-- labels", name)
		}
	}
	if strings.HasPrefix(name, "*.") {
		return fmt.Errorf("%q: name one domain and allow the peer a wildcard certificate instead", name)
	}
	return fmt.Errorf("%q is neither a domain name nor an IP address", clean(name))
}

// parseHost accepts an LDH domain name (underscores too, they exist) or an IP
// address. What looks half like an address (10.1, 0x7f.1, a zone) is refused:
// two programs would read it in two ways.
func parseHost(s string) (host, bool) {
	if len(s) > 255 {
		return host{}, false
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		a, err := netip.ParseAddr(s[1 : len(s)-1])
		if err != nil || !a.Is6() || a.Zone() != "" {
			return host{}, false
		}
		return host{ip: a.Unmap()}, true
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return host{ip: a.Unmap()}, a.Zone() == ""
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return host{}, false
	}
	digits := false
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return host{}, false
		}
		digits = true
		for i := range len(label) {
			switch c := label[i]; {
			case c >= '0' && c <= '9':
			case c|0x20 >= 'a' && c|0x20 <= 'z', c == '-', c == '_':
				digits = false
			default:
				return host{}, false
			}
		}
		if len(label) > 1 && (label[:2] == "0x" || label[:2] == "0X") && strings.Trim(label[2:], "0123456789abcdefABCDEF") == "" {
			digits = true
		}
	}
	if digits { // the last label
		return host{}, false
	}
	return host{name: strings.ToLower(s)}, true
}
