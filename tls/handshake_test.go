package tls

import (
	"crypto/rand"
	"crypto/rsa"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const ourName = "sip.example.com"

func TestVersionsAndSuites(t *testing.T) {
	ca := newTestCA(t, "ca", nil)
	pair := ca.issue([]string{ourName}).files(t.TempDir(), "server")
	store := open(t, Settings{Certificates: []Pair{pair}})
	versions := func(lo, hi uint16) func(*cryptotls.Config) {
		return func(c *cryptotls.Config) { c.MinVersion, c.MaxVersion = lo, hi }
	}
	suites := func(ids ...uint16) func(*cryptotls.Config) {
		return func(c *cryptotls.Config) {
			c.MinVersion, c.MaxVersion, c.CipherSuites = cryptotls.VersionTLS12, cryptotls.VersionTLS12, ids
		}
	}
	tests := []struct {
		name    string
		options Options
		client  func(*cryptotls.Config)
		version string // "" when it must fail
		fails   Failure
	}{
		{"1.3 is preferred", Options{}, versions(cryptotls.VersionTLS10, cryptotls.VersionTLS13), "1.3", ""},
		{"1.2", Options{}, versions(cryptotls.VersionTLS12, cryptotls.VersionTLS12), "1.2", ""},
		{"1.1", Options{}, versions(cryptotls.VersionTLS11, cryptotls.VersionTLS11), "", FailVersion},
		{"1.0", Options{}, versions(cryptotls.VersionTLS10, cryptotls.VersionTLS10), "", FailVersion},
		{"the option cannot lower it", Options{MinVersion: cryptotls.VersionTLS10}, versions(cryptotls.VersionTLS10, cryptotls.VersionTLS11), "", FailVersion},
		{"1.2 where 1.3 is the least", Options{MinVersion: TLS13}, versions(cryptotls.VersionTLS12, cryptotls.VersionTLS12), "", FailVersion},
		{"1.3 where 1.3 is the least", Options{MinVersion: TLS13}, versions(cryptotls.VersionTLS12, cryptotls.VersionTLS13), "1.3", ""},
		{"ECDHE and GCM", Options{}, suites(cryptotls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), "1.2", ""},
		{"ECDHE and ChaCha20", Options{}, suites(cryptotls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), "1.2", ""},
		{"CBC", Options{}, suites(cryptotls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, cryptotls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256), "", FailSuite},
		{"RSA key exchange", Options{}, suites(cryptotls.TLS_RSA_WITH_AES_128_GCM_SHA256), "", FailSuite},
		{"RC4", Options{}, suites(cryptotls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA), "", FailSuite},
	}
	for _, tt := range tests {
		r := handshake(t, store.Server(tt.options), phone(ca, tt.client))
		version, cipher, subject := Describe(r.server)
		switch {
		case tt.version == "" && (r.ok() || Classify(r.serverErr) != tt.fails):
			t.Errorf("%s: %q (%v), want %q", tt.name, Classify(r.serverErr), r.serverErr, tt.fails)
		case tt.version == "" && Classify(r.clientErr) != tt.fails:
			t.Errorf("%s: client sees %q (%v)", tt.name, Classify(r.clientErr), r.clientErr)
		case tt.version != "" && (!r.ok() || version != tt.version || subject != "" || !strings.HasPrefix(cipher, "TLS_")):
			t.Errorf("%s: %q %q %q, %v, %v", tt.name, version, cipher, subject, r.serverErr, r.clientErr)
		}
	}
}

// Every suite that is offered for 1.2 is one that Go itself calls secure, with
// forward secrecy and AEAD.
func TestSuiteList(t *testing.T) {
	secure := map[uint16]string{}
	for _, s := range cryptotls.CipherSuites() {
		secure[s.ID] = s.Name
	}
	for _, id := range suites12() {
		n := secure[id]
		if !strings.HasPrefix(n, "TLS_ECDHE_") || !(strings.Contains(n, "GCM") || strings.Contains(n, "POLY1305")) {
			t.Errorf("suite %#x %q", id, n)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	ca := newTestCA(t, "ca", nil)
	carriers := newTestCA(t, "carriers", nil)
	middle := newTestCA(t, "middle", carriers)
	webCA := newTestCA(t, "web", carriers, usages(x509.ExtKeyUsageServerAuth))
	stranger := newTestCA(t, "stranger", nil)
	pair := ca.issue([]string{ourName}).files(dir, "server")
	settings := Settings{
		Certificates: []Pair{pair}, ClientCA: carriers.file(dir, "carriers"),
		Peers: []Peer{
			{Name: "a", Certificate: "sip.a.example"},
			{Name: "b", Certificate: "sip.b.example", Rules: Rules{ServerOnly: true}},
			{Name: "w", Certificate: "x.w.example", Rules: Rules{Wildcard: true}},
			{Name: "s", Certificate: "x.s.example"},
		},
	}
	store := open(t, settings)
	client, server := usages(x509.ExtKeyUsageClientAuth), usages(x509.ExtKeyUsageServerAuth)
	sipDomain := func(c *x509.Certificate) {
		c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 20}}
	}
	forged := carriers.issue([]string{"sip:sip.a.example"})
	forged.chain = stranger.issue([]string{"sip:sip.a.example"}).chain
	long := middle.issue([]string{"sip:sip.a.example"})
	for range maxChain {
		long.chain = append(long.chain, middle.cert.Raw)
	}
	noChain := middle.issue([]string{"sip:sip.a.example"})
	noChain.chain = noChain.chain[:1]

	tests := []struct {
		name    string
		cert    *issued // nil: none
		refused string  // what our error says; "" when the handshake must succeed
		peer    string
	}{
		{"none: a phone", nil, "", ""},
		{"any usage", carriers.issue([]string{"sip:sip.a.example"}), "", "a"},
		{"client usage", carriers.issue([]string{"sip.a.example"}, client), "", "a"},
		{"SIP usage", carriers.issue([]string{"sip.a.example"}, sipDomain), "", "a"},
		{"by an intermediate", middle.issue([]string{"sip:sip.a.example"}, client), "", "a"},
		{"intermediate left out", noChain, "unknown authority", ""},
		{"somebody else's name", carriers.issue([]string{"evil.example"}, client), "", ""}, // a stranger, for sbc to refuse
		{"name only as suffix", carriers.issue([]string{"x.sip.a.example"}, client), "", ""},
		{"wildcard, allowed", carriers.issue([]string{"*.w.example"}, client), "", "w"},
		{"wildcard, not allowed", carriers.issue([]string{"*.s.example"}, client), "", ""},
		{"server only, allowed", carriers.issue([]string{"sip.b.example"}, server), "", "b"},
		{"server only by its issuer, allowed", webCA.issue([]string{"sip.b.example"}), "", "b"},
		{"server only, not allowed", carriers.issue([]string{"sip.a.example"}, server), "extended key usage", ""},
		{"server only by its issuer, not allowed", webCA.issue([]string{"sip.a.example"}), "extended key usage", ""},
		{"server only, nobody's name", carriers.issue([]string{"evil.example"}, server), "extended key usage", ""},
		{"useless usage", carriers.issue([]string{"sip.b.example"}, usages(x509.ExtKeyUsageCodeSigning)), "extended key usage", ""},
		{"another CA", stranger.issue([]string{"sip:sip.a.example"}), "unknown authority", ""},
		{"our server CA", ca.issue([]string{"sip:sip.a.example"}), "unknown authority", ""},
		{"expired", carriers.issue([]string{"sip:sip.a.example"}, valid(-48*time.Hour, -time.Minute)), "expired", ""},
		{"not valid yet", carriers.issue([]string{"sip:sip.a.example"}, valid(time.Minute, time.Hour)), "not valid before", ""},
		{"a chain without end", long, "at most", ""},
	}
	for _, tt := range tests {
		for _, v := range []uint16{cryptotls.VersionTLS12, cryptotls.VersionTLS13} {
			c := phone(ca)
			c.MaxVersion = v
			if tt.cert != nil {
				with(tt.cert)(c)
			}
			r := handshake(t, store.Server(Options{}), c)
			if tt.refused != "" {
				var ce *CertificateError
				if !errors.As(r.serverErr, &ce) || Classify(r.serverErr) != FailCertificate || ce.Subject == "" {
					t.Errorf("%s: %v, want a refusal", tt.name, r.serverErr)
					continue
				}
				wantError(t, r.serverErr, tt.refused)
				// Reset is possible: the client may still have been writing.
				if got := Classify(r.clientErr); got != FailRefused && got != FailClosed {
					t.Errorf("%s: client sees %q (%v)", tt.name, got, r.clientErr)
				}
				continue
			}
			if !r.ok() {
				t.Errorf("%s: %v, %v", tt.name, r.serverErr, r.clientErr)
				continue
			}
			peer, err := Identify(r.server, store.Peers())
			if peer != tt.peer || (err != nil) != (tt.peer == "" && tt.cert != nil) {
				t.Errorf("%s: identified as %q, %v; want %q", tt.name, peer, err, tt.peer)
			}
		}
	}
	// A certificate without its key proves nothing.
	if r := handshake(t, store.Server(Options{}), phone(ca, with(forged))); r.serverErr == nil {
		t.Error("a certificate with another's key was accepted")
	}
}

// Without a client CA nobody is asked, so nobody can be identified.
func TestNoClientCA(t *testing.T) {
	ca := newTestCA(t, "ca", nil)
	store := open(t, Settings{Certificates: []Pair{ca.issue([]string{ourName}).files(t.TempDir(), "s")}})
	r := handshake(t, store.Server(Options{}), phone(ca, with(ca.issue([]string{"sip.a.example"}))))
	if !r.ok() || len(r.server.PeerCertificates) != 0 {
		t.Errorf("%v %v, %d certificates", r.serverErr, r.clientErr, len(r.server.PeerCertificates))
	}
	// Should crypto/tls ever let one through: the roots of the system must not vouch for a peer.
	state := cryptotls.ConnectionState{PeerCertificates: []*x509.Certificate{ca.issue([]string{"sip.a.example"}).cert}}
	wantError(t, verifyClient(state, nil, nil, noon), "no client CA")
}

func TestServerCertificates(t *testing.T) {
	dir := t.TempDir()
	own := newTestCA(t, "own", nil)
	ca := newTestCA(t, "carriers", nil)
	middle := newTestCA(t, "middle", ca)
	other := newTestCA(t, "other", nil)
	store := open(t, Settings{
		Certificates: []Pair{own.issue([]string{ourName}).files(dir, "s")},
		Roots:        []string{ca.file(dir, "roots")},
	})
	noChain := middle.issue([]string{"sip:carrier.example"})
	noChain.chain = noChain.chain[:1]
	tests := []struct {
		name    string
		server  *issued
		call    string
		options Options
		refused string
	}{
		{"sip URI", ca.issue([]string{"sip:carrier.example", "host.carrier.example"}), "carrier.example", Options{}, ""},
		{"DNS", ca.issue([]string{"carrier.example"}, usages(x509.ExtKeyUsageServerAuth)), "Carrier.Example.", Options{}, ""},
		{"by an intermediate", middle.issue([]string{"sip:carrier.example"}), "carrier.example", Options{}, ""},
		{"intermediate left out", noChain, "carrier.example", Options{}, "unknown authority"},
		{"what the web would take: DNS beside a sip URI", ca.issue([]string{"sip:carrier.example", "host.carrier.example"}), "host.carrier.example", Options{}, "not for host.carrier.example"},
		{"wrong name", ca.issue([]string{"evil.example"}), "carrier.example", Options{}, "is for evil.example, not for carrier.example"},
		{"wildcard", ca.issue([]string{"*.carrier.example"}), "sip.carrier.example", Options{}, "not for"},
		{"wildcard, allowed", ca.issue([]string{"*.carrier.example"}), "sip.carrier.example", Options{Rules: Rules{Wildcard: true}}, ""},
		{"CN alone", ca.issue(nil, cn("carrier.example")), "carrier.example", Options{}, "not for"},
		{"CN alone, allowed", ca.issue(nil, cn("carrier.example")), "carrier.example", Options{Rules: Rules{CommonName: true}}, ""},
		{"address", ca.issue([]string{"192.0.2.7"}), "192.0.2.7", Options{}, ""},
		{"address, IPv6", ca.issue([]string{"2001:db8::7"}), "[2001:db8::7]", Options{}, ""},
		{"wrong address", ca.issue([]string{"192.0.2.7"}), "192.0.2.8", Options{}, "not for"},
		{"client only", ca.issue([]string{"carrier.example"}, usages(x509.ExtKeyUsageClientAuth)), "carrier.example", Options{}, "extended key usage"},
		{"another CA", other.issue([]string{"carrier.example"}), "carrier.example", Options{}, "unknown authority"},
		{"another CA, given for it", other.issue([]string{"carrier.example"}), "carrier.example", Options{Roots: other.pool()}, ""},
		{"the store's CA where another is given", ca.issue([]string{"carrier.example"}), "carrier.example", Options{Roots: other.pool()}, "unknown authority"},
		{"expired", ca.issue([]string{"carrier.example"}, valid(-48*time.Hour, -time.Second)), "carrier.example", Options{}, "expired"},
		{"no name to call", ca.issue([]string{"carrier.example"}), "", Options{}, "not for"},
	}
	for _, tt := range tests {
		server := &cryptotls.Config{Certificates: []cryptotls.Certificate{tt.server.tls()}, Time: clock}
		r := handshake(t, server, store.Client(tt.options, tt.call))
		if tt.refused == "" {
			if !r.ok() {
				t.Errorf("%s: %v, %v", tt.name, r.serverErr, r.clientErr)
			}
			continue
		}
		if Classify(r.clientErr) != FailCertificate {
			t.Errorf("%s: %v, want a refusal", tt.name, r.clientErr)
			continue
		}
		wantError(t, r.clientErr, tt.refused)
		if got := Classify(r.serverErr); got != FailRefused && got != FailClosed {
			t.Errorf("%s: server sees %q (%v)", tt.name, got, r.serverErr)
		}
	}
	// Old servers and weak suites are refused on the way out as well.
	cert := ca.issue([]string{"carrier.example"}).tls()
	for _, c := range []*cryptotls.Config{
		{MinVersion: cryptotls.VersionTLS10, MaxVersion: cryptotls.VersionTLS11},
		{MaxVersion: cryptotls.VersionTLS12, CipherSuites: []uint16{cryptotls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}},
	} {
		c.Certificates, c.Time = []cryptotls.Certificate{cert}, clock
		if r := handshake(t, c, store.Client(Options{}, "carrier.example")); r.ok() {
			t.Errorf("connected with version %x, suite %x", r.client.Version, r.client.CipherSuite)
		}
	}
}

func cn(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject.CommonName = name }
}

// A client that minds the hint keeps a certificate of another issuer to
// itself, and is let in as one without.
func TestHintOfClientCA(t *testing.T) {
	dir := t.TempDir()
	ca, carriers := newTestCA(t, "ca", nil), newTestCA(t, "carriers", nil)
	store := open(t, Settings{Certificates: []Pair{ca.issue([]string{ourName}).files(dir, "s")}, ClientCA: carriers.file(dir, "carriers")})
	for by, shown := range map[*authority]int{ca: 0, carriers: 1} {
		c := phone(ca)
		c.Certificates = []cryptotls.Certificate{by.issue([]string{"sip.a.example"}).tls()}
		if r := handshake(t, store.Server(Options{}), c); !r.ok() || len(r.server.PeerCertificates) != shown {
			t.Errorf("%v %v, %d certificates, want %d", r.serverErr, r.clientErr, len(r.server.PeerCertificates), shown)
		}
	}
}

// An old phone that knows RSA only is served beside those that want ECDSA.
func TestTwoKindsOfKey(t *testing.T) {
	dir := t.TempDir()
	ca := newTestCA(t, "ca", nil)
	ec := ca.issue([]string{ourName}).files(dir, "ec")
	key := must(rsa.GenerateKey(rand.Reader, minRSA))
	tmpl := &x509.Certificate{NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour), DNSNames: []string{ourName}}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, ca.cert, &key.PublicKey, ca.key))
	old := Pair{filepath.Join(dir, "rsa.pem"), filepath.Join(dir, "rsa.key")}
	write(t, old.Cert, encodeCerts(der), 0o644)
	write(t, old.Key, must(encodeKey(key)), 0o600)
	store := open(t, Settings{Certificates: []Pair{ec, old}})
	for suite, want := range map[uint16]x509.PublicKeyAlgorithm{
		cryptotls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:   x509.RSA,
		cryptotls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: x509.ECDSA,
	} {
		c := phone(ca)
		c.MaxVersion, c.CipherSuites = cryptotls.VersionTLS12, []uint16{suite}
		r := handshake(t, store.Server(Options{}), c)
		if !r.ok() || r.client.PeerCertificates[0].PublicKeyAlgorithm != want {
			t.Errorf("suite %x: %v %v", suite, r.serverErr, r.clientErr)
		}
	}
}

// Both ends are ours: a gateway calls a gateway, each by the other's rules.
func TestMutual(t *testing.T) {
	dir := t.TempDir()
	ca := newTestCA(t, "ca", nil)
	root := ca.file(dir, "ca")
	a := open(t, Settings{
		Certificates: []Pair{ca.issue([]string{"sip:a.example"}).files(dir, "a")}, ClientCA: root, Roots: []string{root},
		Peers: []Peer{{Name: "b", Certificate: "b.example"}},
	})
	b := open(t, Settings{Certificates: []Pair{ca.issue([]string{"sip:b.example"}).files(dir, "b")}, ClientCA: root, Roots: []string{root}})
	r := handshake(t, a.Server(Options{}), b.Client(Options{}, "a.example"))
	if !r.ok() {
		t.Fatal(r.serverErr, r.clientErr)
	}
	if peer, err := Identify(r.server, a.Peers()); peer != "b" || err != nil {
		t.Errorf("identified as %q, %v", peer, err)
	}
	if _, _, subject := Describe(r.server); subject != "CN=test" {
		t.Errorf("subject %q", subject)
	}
}

func TestClientCertificateWeShow(t *testing.T) {
	dir := t.TempDir()
	ca, other := newTestCA(t, "ca", nil), newTestCA(t, "other", nil)
	first := ca.issue([]string{ourName}).files(dir, "first")
	serverOnly := ca.issue([]string{ourName}, usages(x509.ExtKeyUsageServerAuth)).files(dir, "serveronly")
	chosen := ca.issue([]string{"chosen.example"}).files(dir, "chosen")
	tests := []struct {
		name     string
		settings Settings
		hint     *authority // the CA the server says it wants
		want     string     // the DNS name of what it gets
	}{
		{"the first by default", Settings{Certificates: []Pair{first}}, ca, ourName},
		{"not to a server that wants another issuer", Settings{Certificates: []Pair{first}}, other, ""},
		{"not when it is for servers only", Settings{Certificates: []Pair{serverOnly}}, ca, ""},
		{"the chosen one", Settings{Certificates: []Pair{first}, Client: chosen}, ca, "chosen.example"},
		{"the chosen one, whatever the hint", Settings{Certificates: []Pair{first}, Client: chosen}, other, "chosen.example"},
	}
	server := ca.issue([]string{"carrier.example"})
	for _, tt := range tests {
		store := open(t, tt.settings)
		r := handshake(t, &cryptotls.Config{
			Certificates: []cryptotls.Certificate{server.tls()}, Time: clock,
			ClientAuth: cryptotls.RequestClientCert, ClientCAs: tt.hint.pool(),
		}, store.Client(Options{Roots: ca.pool()}, "carrier.example"))
		got := ""
		if len(r.server.PeerCertificates) > 0 {
			got = r.server.PeerCertificates[0].DNSNames[0]
		}
		if !r.ok() || got != tt.want {
			t.Errorf("%s: shown %q, want %q (%v, %v)", tt.name, got, tt.want, r.serverErr, r.clientErr)
		}
	}
}

func TestSNI(t *testing.T) {
	dir := t.TempDir()
	ca := newTestCA(t, "ca", nil)
	store := open(t, Settings{Certificates: []Pair{
		ca.issue([]string{"sip:one.example"}, cn("one")).files(dir, "1"),
		ca.issue([]string{"two.example", "alias.example"}, cn("two")).files(dir, "2"),
		ca.issue([]string{"*.three.example"}, cn("three")).files(dir, "3"),
	}})
	for sni, want := range map[string]string{
		"one.example": "one", "two.example": "two", "ALIAS.example": "two", "x.three.example": "three",
		"unknown.example": "one", "": "one", "192.0.2.1": "one",
	} {
		c := phone(ca)
		c.ServerName, c.InsecureSkipVerify = sni, true
		r := handshake(t, store.Server(Options{}), c)
		if !r.ok() || r.client.PeerCertificates[0].Subject.CommonName != want {
			t.Errorf("SNI %q: %v %v, certificate %q, want %q", sni, r.serverErr, r.clientErr, r.client.PeerCertificates[0].Subject, want)
		}
	}
}
