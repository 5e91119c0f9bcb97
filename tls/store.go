package tls

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Pair names the two files of a certificate. They may be the same.
type Pair struct{ Cert, Key string }

// Settings say what a [Store] reads. They hold file names, no secrets.
type Settings struct {
	// Certificates are shown to whoever connects to us; the first is the one
	// for a client that asks for no name, or for one we do not have. At least one.
	Certificates []Pair
	// ClientCA is a PEM bundle. When it is given, clients are asked for a
	// certificate; they may have none, but what they show must chain to it.
	ClientCA string
	// Roots are PEM bundles that servers we connect to must chain to. Without
	// any, the system's roots count.
	Roots []string
	// Client is shown to servers that ask. When empty, the first of
	// Certificates is, if its usage allows it and the server wants its issuer.
	Client Pair
	// Peers identify by certificate. The handshake needs them only to tell who
	// may show a server-only certificate.
	Peers []Peer
}

// snapshot is what one reading of the files gave. It never changes.
type snapshot struct {
	settings Settings
	certs    []*Certificate
	clientCA *x509.CertPool // nil: clients are not asked
	roots    *x509.CertPool // nil: the system's
	client   *Certificate   // nil: nothing to show
}

// Store serves the certificates of the gateway to TLS handshakes. All its
// methods may be called at the same time. A handshake works with the snapshot
// it began with; connections that are up are not touched by a reload.
type Store struct {
	now   func() time.Time
	state atomic.Pointer[snapshot]
	mu    sync.Mutex // one reload at a time
}

// Open reads everything that the settings name. The clock is for handshakes.
// The error lists all problems, one a line.
func Open(settings Settings, now func() time.Time) (*Store, error) {
	st, err := read(settings, now())
	if err != nil {
		return nil, err
	}
	s := &Store{now: now}
	s.state.Store(st)
	return s, nil
}

// Reload reads the same files again. On any error everything stays as it was.
func (s *Store) Reload(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.swap(s.state.Load().settings, now)
}

// Replace reads with new settings, those of a changed configuration. On any
// error everything stays as it was, settings included.
func (s *Store) Replace(settings Settings, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.swap(settings, now)
}

func (s *Store) swap(settings Settings, now time.Time) error {
	st, err := read(settings, now)
	if err != nil {
		return err
	}
	s.state.Store(st)
	return nil
}

// Peers are those of the current settings, for [Identify].
func (s *Store) Peers() []Peer { return s.state.Load().settings.Peers }

// Certificates are the ones in use: those for clients first, then our own
// client certificate when it is another one.
func (s *Store) Certificates() []*Certificate {
	st := s.state.Load()
	out := slices.Clone(st.certs)
	if st.client != nil && !slices.Contains(out, st.client) {
		out = append(out, st.client)
	}
	return out
}

// Expires is when the first of all certificates in use expires, and its file.
func (s *Store) Expires() (file string, at time.Time) {
	for _, c := range s.Certificates() {
		if e := c.Expires(); at.IsZero() || e.Before(at) {
			file, at = c.File(), e
		}
	}
	return file, at
}

func read(settings Settings, now time.Time) (*snapshot, error) {
	// A copy: the caller may go on with its slices.
	settings.Certificates = slices.Clone(settings.Certificates)
	settings.Roots = slices.Clone(settings.Roots)
	settings.Peers = slices.Clone(settings.Peers)
	st := &snapshot{settings: settings}
	var errs []error
	if len(settings.Certificates) == 0 {
		errs = append(errs, errors.New("tls: no certificate is configured"))
	}
	for _, p := range settings.Certificates {
		c, err := Load(p.Cert, p.Key, now)
		if err == nil && !permits(c.chain, asServer) {
			err = fmt.Errorf("tls: certificate %s may not be used by a server (extended key usage)", p.Cert)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		st.certs = append(st.certs, c)
	}
	var err error
	if settings.Client != (Pair{}) {
		if st.client, err = Load(settings.Client.Cert, settings.Client.Key, now); err != nil {
			errs = append(errs, err)
		}
	} else if len(st.certs) > 0 && permits(st.certs[0].chain, asClient) {
		st.client = st.certs[0]
	}
	if settings.ClientCA != "" {
		if st.clientCA, err = LoadPool(settings.ClientCA); err != nil {
			errs = append(errs, err)
		}
	}
	if len(settings.Roots) > 0 {
		if st.roots, err = LoadPool(settings.Roots...); err != nil {
			errs = append(errs, err)
		}
	}
	for _, p := range settings.Peers {
		if err := CheckName(p.Certificate); err != nil {
			errs = append(errs, fmt.Errorf("tls: peer %s: certificate name: %w", p.Name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return st, nil
}

// LoadPool reads PEM bundles of CA certificates. Expired ones are taken (a
// public bundle always has a few; no chain through them will verify), but
// something that is not a CA is an error: it would silently match nothing.
func LoadPool(files ...string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for _, file := range files {
		certs, err := readCerts(file)
		if err != nil {
			return nil, err
		}
		for i, c := range certs {
			// A self-signed version 1 or end certificate may be trusted as itself.
			if !c.IsCA && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
				return nil, fmt.Errorf("tls: %s: number %d (%s) is not a CA certificate", file, i+1, clean(c.Subject.String()))
			}
			pool.AddCert(c)
		}
	}
	return pool, nil
}

// Version is the lowest protocol version that is spoken. Its zero value is
// TLS 1.2.
type Version uint16

const (
	TLS12 Version = cryptotls.VersionTLS12
	TLS13 Version = cryptotls.VersionTLS13
)

// ParseVersion reads "1.2" or "1.3"; empty is "1.2".
func ParseVersion(s string) (Version, error) {
	switch s {
	case "", "1.2":
		return TLS12, nil
	case "1.3":
		return TLS13, nil
	}
	return 0, fmt.Errorf("TLS version %q: use \"1.2\" or \"1.3\"", clean(s))
}

// suites12 are the TLS 1.2 suites with forward secrecy and authenticated
// encryption (RFC 9325 §4.2). Those of 1.3 are all sound and not configurable.
func suites12() []uint16 {
	return []uint16{
		cryptotls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		cryptotls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		cryptotls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		cryptotls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		cryptotls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		cryptotls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

// Options are those of one listener or of one peer that is called. The zero
// value is the strict one.
type Options struct {
	MinVersion Version
	// Protocols for ALPN, e.g. "http/1.1" for WebSocket. Empty: whatever the
	// other end offers is ignored.
	Protocols []string
	// Rules for the certificate of the server (Client only).
	Rules Rules
	// Roots replace those of the store (Client only): a PBX with a CA of its own.
	Roots *x509.CertPool
}

func (s *Store) base(o Options) *cryptotls.Config {
	return &cryptotls.Config{
		MinVersion:    uint16(max(o.MinVersion, TLS12)),
		CipherSuites:  suites12(),
		NextProtos:    o.Protocols,
		Time:          s.now,
		Renegotiation: cryptotls.RenegotiateNever,
	}
}

// Server is the configuration of a listener. Use one for all its connections:
// it owns the session ticket keys, which crypto/tls changes every day. Each
// handshake takes what is current in the store. A resumed session is judged
// anew, so that a certificate which lost our trust does not live on in a ticket.
func (s *Store) Server(o Options) *cryptotls.Config {
	listener := s.base(o)
	listener.GetCertificate = func(h *cryptotls.ClientHelloInfo) (*cryptotls.Certificate, error) {
		return s.state.Load().certificate(h), nil
	}
	listener.GetConfigForClient = func(*cryptotls.ClientHelloInfo) (*cryptotls.Config, error) {
		st := s.state.Load()
		c := s.base(o)
		c.GetCertificate = func(h *cryptotls.ClientHelloInfo) (*cryptotls.Certificate, error) {
			return st.certificate(h), nil
		}
		if st.clientCA != nil {
			// Only request: crypto/tls would verify by the rules of the web.
			c.ClientAuth = cryptotls.RequestClientCert
			c.ClientCAs = st.clientCA // the hint to the client, RFC 8446 §4.2.4
		}
		c.VerifyConnection = func(cs cryptotls.ConnectionState) error {
			return verifyClient(cs, st.clientCA, st.settings.Peers, s.now())
		}
		return c, nil
	}
	return listener
}

// Client is the configuration for connections to the server name: the domain
// of the SIP URI before any DNS lookup (RFC 5922 §7.3; what NAPTR and SRV say
// is not to be trusted), or an address. Make it once for each peer.
func (s *Store) Client(o Options, name string) *cryptotls.Config {
	c := s.base(o)
	c.ServerName = name
	if h, ok := parseHost(name); ok {
		c.ServerName = h.String()
	}
	// Not insecure: crypto/tls would compare names by the rules of the web, and
	// VerifyConnection does all of it, for resumed sessions too.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(cs cryptotls.ConnectionState) error {
		roots := o.Roots
		if roots == nil {
			roots = s.state.Load().roots
		}
		return verifyServer(cs, roots, name, o.Rules, s.now())
	}
	c.GetClientCertificate = func(r *cryptotls.CertificateRequestInfo) (*cryptotls.Certificate, error) {
		st := s.state.Load()
		if st.client == nil {
			return &cryptotls.Certificate{}, nil
		}
		if st.settings.Client == (Pair{}) && r.SupportsCertificate(st.client.TLS()) != nil {
			// Nobody chose this certificate for that server: rather none than a wrong one.
			return &cryptotls.Certificate{}, nil
		}
		return st.client.TLS(), nil
	}
	return c
}

// certificate chooses by SNI among those whose key the client can use: first
// one that carries the name, else the first. A phone that asks for a name of
// its own invention, or for none, is served; it will judge what it gets.
func (st *snapshot) certificate(h *cryptotls.ClientHelloInfo) *cryptotls.Certificate {
	nameless := *h
	nameless.ServerName = "" // SupportsCertificate compares names as the web does
	var first *cryptotls.Certificate
	for _, c := range st.certs {
		if nameless.SupportsCertificate(c.TLS()) != nil {
			continue
		}
		if h.ServerName == "" || Match(c.Leaf(), h.ServerName, Rules{Wildcard: true, CommonName: true}) {
			return c.TLS()
		}
		if first == nil {
			first = c.TLS()
		}
	}
	if first == nil {
		first = st.certs[0].TLS() // the handshake will fail and say why
	}
	return first
}
