package tls

import (
	cryptotls "crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestReload(t *testing.T) {
	dir := t.TempDir()
	ca := newTestCA(t, "ca", nil)
	pair := ca.issue([]string{ourName}, cn("old")).files(dir, "server")
	store := open(t, Settings{Certificates: []Pair{pair}})
	listener := store.Server(Options{}) // one for all: reload must reach it

	live := handshake(t, listener, phone(ca))
	if !live.ok() {
		t.Fatal(live.serverErr, live.clientErr)
	}
	served := func() string {
		r := handshake(t, listener, phone(ca))
		if !r.ok() {
			t.Fatal(r.serverErr, r.clientErr)
		}
		return r.client.PeerCertificates[0].Subject.CommonName
	}

	ca.issue([]string{ourName}, cn("new")).files(dir, "server")
	if got := served(); got != "old" {
		t.Errorf("before the reload %q is served", got)
	}
	if err := store.Reload(noon); err != nil {
		t.Fatal(err)
	}
	if got := served(); got != "new" {
		t.Errorf("after the reload %q is served", got)
	}

	// Each way of failing keeps what was there.
	good, err := os.ReadFile(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	breaks := map[string]func(){
		"expired":                 func() { ca.issue([]string{ourName}, valid(-48*time.Hour, -time.Hour)).files(dir, "server") },
		"does not belong":         func() { write(t, pair.Cert, encodeCerts(ca.issue(nil).chain...), 0o644) },
		"no PEM certificate":      func() { write(t, pair.Cert, nil, 0o644) },
		"no such file":            func() { os.Remove(pair.Cert) },
		"chmod 600":               func() { write(t, pair.Cert, good, 0o644); os.Chmod(pair.Key, 0o644) },
		"no PEM private key":      func() { write(t, pair.Key, []byte("nothing"), 0o600) },
		"not a regular file":      func() { os.Remove(pair.Key); os.Mkdir(pair.Key, 0o700) },
		"may not be used by a se": func() { os.Remove(pair.Key); ca.issue(nil, usages(2)).files(dir, "server") },
	}
	for says, f := range breaks {
		f()
		wantError(t, store.Reload(noon), says)
		if got := served(); got != "new" {
			t.Errorf("%s: after a failed reload %q is served", says, got)
		}
		os.RemoveAll(pair.Key)
		ca.issue([]string{ourName}, cn("new")).files(dir, "server")
	}
	if err := store.Replace(Settings{}, noon); err == nil || served() != "new" {
		t.Errorf("empty settings were taken: %v", err)
	}
	if err := store.Reload(noon); err != nil { // with the settings from before
		t.Error(err)
	}

	// The connection from before all this lives on, in both directions.
	for _, dir := range [][2]*cryptotls.Conn{{live.serverConn, live.clientConn}, {live.clientConn, live.serverConn}} {
		b := make([]byte, 4)
		if _, err := dir[0].Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := dir[1].Read(b); err != nil || string(b) != "ping" {
			t.Fatalf("live connection after reload: %q, %v", b, err)
		}
	}
}

// Trust that was taken away does not live on, neither in new handshakes nor in
// the tickets of old ones; trust that was given counts at once.
func TestReloadTrust(t *testing.T) {
	dir := t.TempDir()
	ca, carriers, other := newTestCA(t, "ca", nil), newTestCA(t, "carriers", nil), newTestCA(t, "other", nil)
	settings := Settings{
		Certificates: []Pair{ca.issue([]string{ourName}).files(dir, "s")},
		Peers:        []Peer{{Name: "a", Certificate: "sip.a.example"}},
	}
	store := open(t, settings)
	listener := store.Server(Options{})
	cert := carriers.issue([]string{"sip:sip.a.example"})
	for _, v := range []uint16{cryptotls.VersionTLS12, cryptotls.VersionTLS13} {
		c := phone(ca, with(cert), func(c *cryptotls.Config) {
			c.MaxVersion, c.ClientSessionCache = v, cryptotls.NewLRUClientSessionCache(4)
		})
		if err := store.Replace(settings, noon); err != nil {
			t.Fatal(err)
		}
		if r := handshake(t, listener, c); !r.ok() || len(r.server.PeerCertificates) != 0 {
			t.Fatalf("without client CA: %v %v", r.serverErr, r.clientErr)
		}
		trusting := settings
		trusting.ClientCA = carriers.file(dir, "clients")
		if err := store.Replace(trusting, noon); err != nil {
			t.Fatal(err)
		}
		c.ClientSessionCache = cryptotls.NewLRUClientSessionCache(4) // ask for a full handshake
		for i := range 2 {
			r := handshake(t, listener, c)
			peer, err := Identify(r.server, store.Peers())
			if !r.ok() || peer != "a" || err != nil {
				t.Fatalf("with client CA: %v %v, %q %v", r.serverErr, r.clientErr, peer, err)
			}
			if r.server.DidResume != (i == 1) {
				t.Fatalf("handshake %d: resumed %v", i, r.server.DidResume)
			}
		}
		other.file(dir, "clients")
		if err := store.Reload(noon); err != nil {
			t.Fatal(err)
		}
		r := handshake(t, listener, c)
		if Classify(r.serverErr) != FailCertificate {
			t.Fatalf("version %x: the CA is gone, but: resumed %v, %v", v, r.server.DidResume, r.serverErr)
		}
	}
}

func TestReloadOutbound(t *testing.T) {
	dir := t.TempDir()
	ca, other := newTestCA(t, "ca", nil), newTestCA(t, "other", nil)
	store := open(t, Settings{
		Certificates: []Pair{ca.issue([]string{ourName}).files(dir, "s")},
		Client:       ca.issue([]string{"old.example"}).files(dir, "client"),
		Roots:        []string{ca.file(dir, "roots")},
	})
	client := store.Client(Options{}, "carrier.example") // one for all
	call := func(by *authority) *result {
		return handshake(t, &cryptotls.Config{
			Certificates: []cryptotls.Certificate{by.issue([]string{"carrier.example"}).tls()}, Time: clock,
			ClientAuth: cryptotls.RequireAnyClientCert,
		}, client)
	}
	if r := call(ca); !r.ok() || r.server.PeerCertificates[0].DNSNames[0] != "old.example" {
		t.Fatal(r.serverErr, r.clientErr)
	}
	ca.issue([]string{"new.example"}).files(dir, "client")
	other.file(dir, "roots")
	if err := store.Reload(noon); err != nil {
		t.Fatal(err)
	}
	if r := call(other); !r.ok() || r.server.PeerCertificates[0].DNSNames[0] != "new.example" {
		t.Error(r.serverErr, r.clientErr)
	}
	if r := call(ca); Classify(r.clientErr) != FailCertificate {
		t.Errorf("the old root still counts: %v", r.clientErr)
	}
}

// A certificate that was good at start is judged by the clock of each handshake.
func TestClockOfHandshakes(t *testing.T) {
	dir := t.TempDir()
	ca := newTestCA(t, "ca", nil)
	var mu sync.Mutex
	now := noon
	store, err := Open(Settings{
		Certificates: []Pair{ca.issue([]string{ourName}).files(dir, "s")}, ClientCA: ca.file(dir, "ca"),
	}, func() time.Time { mu.Lock(); defer mu.Unlock(); return now })
	if err != nil {
		t.Fatal(err)
	}
	c := phone(ca, with(ca.issue([]string{"a.example"}, valid(-time.Hour, time.Hour))))
	if r := handshake(t, store.Server(Options{}), c); !r.ok() {
		t.Fatal(r.serverErr, r.clientErr)
	}
	mu.Lock()
	now = noon.Add(2 * time.Hour)
	mu.Unlock()
	r := handshake(t, store.Server(Options{}), c)
	wantError(t, r.serverErr, "expired")
}

func TestReloadWhileHandshaking(t *testing.T) {
	dir := t.TempDir()
	ca := newTestCA(t, "ca", nil)
	store := open(t, Settings{Certificates: []Pair{ca.issue([]string{ourName}).files(dir, "s")}, ClientCA: ca.file(dir, "ca")})
	listener := store.Server(Options{})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := store.Reload(noon); err != nil {
				t.Error(err)
				return
			}
			store.Expires()
		}
	}()
	for range 20 {
		if r := handshake(t, listener, phone(ca, with(ca.issue([]string{"a.example"})))); !r.ok() {
			t.Error(r.serverErr, r.clientErr)
		}
	}
	close(stop)
	<-done
}

func TestOpenTellsEverything(t *testing.T) {
	dir := t.TempDir()
	ca := newTestCA(t, "ca", nil)
	leaf := ca.issue([]string{ourName})
	good := leaf.files(dir, "good")
	notCA := filepath.Join(dir, "leaf.pem")
	write(t, notCA, encodeCerts(leaf.cert.Raw), 0o644)
	_, err := Open(Settings{
		Certificates: []Pair{good, {filepath.Join(dir, "none.pem"), good.Key}},
		ClientCA:     notCA, Roots: []string{filepath.Join(dir, "roots.pem")},
		Client: Pair{good.Cert, filepath.Join(dir, "none.key")},
		Peers:  []Peer{{Name: "a", Certificate: "*.example.com"}},
	}, clock)
	if err == nil {
		t.Fatal("opened")
	}
	lines := strings.Split(err.Error(), "\n")
	for i, want := range []string{"none.pem", "none.key", "is not a CA", "roots.pem", "peer a"} {
		if len(lines) != 5 || !strings.Contains(lines[i], want) {
			t.Fatalf("want a line about %s:\n%v", want, err)
		}
	}
}

func TestExpires(t *testing.T) {
	dir := t.TempDir()
	ca := newTestCA(t, "ca", nil)
	middle := newTestCA(t, "middle", ca, valid(-time.Hour, 90*time.Hour))
	store := open(t, Settings{
		Certificates: []Pair{
			ca.issue(nil, valid(-time.Hour, 100*time.Hour)).files(dir, "1"),
			middle.issue(nil, valid(-time.Hour, 200*time.Hour)).files(dir, "2"),
		},
		Client: ca.issue(nil, valid(-time.Hour, 95*time.Hour)).files(dir, "3"),
	})
	if n := len(store.Certificates()); n != 3 {
		t.Errorf("%d certificates", n)
	}
	file, at := store.Expires()
	if filepath.Base(file) != "2.pem" || !at.Equal(noon.Add(90*time.Hour)) { // its issuer, in the chain
		t.Errorf("%s at %v", file, at)
	}
}

func TestParseVersion(t *testing.T) {
	for s, want := range map[string]Version{"": TLS12, "1.2": TLS12, "1.3": TLS13} {
		if got, err := ParseVersion(s); got != want || err != nil {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"1.1", "1.0", "TLS1.2", "12"} {
		if _, err := ParseVersion(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}
