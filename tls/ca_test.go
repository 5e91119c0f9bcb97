package tls

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	caNames = []string{"SIP.Example.com.", "example.com"}
	caIPs   = []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
)

func ensure(t *testing.T, dir string, now time.Time) (Paths, bool) {
	t.Helper()
	p, created, err := EnsureCA(dir, caNames, caIPs, now)
	if err != nil {
		t.Fatal(err)
	}
	return p, created
}

func mode(t *testing.T, file string) os.FileMode {
	t.Helper()
	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Mode().Perm()
}

func TestEnsureCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "tls")
	p, created := ensure(t, dir, noon)
	if !created || p.Issued == "" {
		t.Errorf("created %v, issued %q", created, p.Issued)
	}
	for file, want := range map[string]os.FileMode{dir: 0o700, p.CAKey: 0o600, p.Key: 0o600, p.CA: 0o644, p.Cert: 0o644} {
		if got := mode(t, file); got != want {
			t.Errorf("%s has mode %04o, want %04o", file, got, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Errorf("%d files left, %v", len(entries), err)
	}

	c, err := Load(p.Cert, p.Key, noon)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Expires(); !got.Equal(noon.Add(397 * 24 * time.Hour)) {
		t.Errorf("expires %v", got)
	}
	if got := c.Names(); !slices.Equal(got, []string{"example.com", "sip.example.com"}) {
		t.Errorf("names %q", got)
	}
	for _, n := range []string{"example.com", "sip.example.com", "192.0.2.1", "2001:db8::1"} {
		if !Match(c.Leaf(), n, Rules{}) {
			t.Errorf("not for %s by RFC 5922", n)
		}
		if err := c.Leaf().VerifyHostname(n); err != nil { // phones and browsers that know only the web's rules
			t.Error(err)
		}
	}
	pool, err := LoadPool(p.CA)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := c.Leaf().Verify(x509.VerifyOptions{Roots: pool, CurrentTime: noon, KeyUsages: []x509.ExtKeyUsage{u}}); err != nil {
			t.Errorf("usage %d: %v", u, err)
		}
	}
	ca, err := readCerts(p.CA)
	if err != nil {
		t.Fatal(err)
	}
	if !ca[0].IsCA || !ca[0].MaxPathLenZero || ca[0].NotAfter.Before(noon.Add(3649*24*time.Hour)) || !strings.HasPrefix(ca[0].Subject.CommonName, caPrefix) {
		t.Errorf("CA %v until %v", ca[0].Subject, ca[0].NotAfter)
	}

	// A gateway with it works for a phone that trusts ca.pem.
	store := open(t, Settings{Certificates: []Pair{{p.Cert, p.Key}}, Roots: []string{p.CA}, ClientCA: p.CA})
	for _, name := range []string{"sip.example.com", "[2001:db8::1]"} {
		if r := handshake(t, store.Server(Options{}), store.Client(Options{}, name)); !r.ok() || len(r.server.PeerCertificates) == 0 {
			t.Error(r.serverErr, r.clientErr)
		}
	}
}

func TestEnsureCAAgain(t *testing.T) {
	const day = 24 * time.Hour
	one := []string{"example.com"}
	tests := []struct {
		name    string
		names   []string
		after   time.Duration
		break_  func(p Paths)
		issued  string // "" when nothing must change
		created bool
	}{
		{"nothing changed", one, day, nil, "", false},
		{"the same name written otherwise, and twice", []string{"EXAMPLE.com.", "example.com"}, day, nil, "", false},
		{"31 days left", one, (397 - 31) * day, nil, "", false},
		{"29 days left", one, (397 - 29) * day, nil, "expires", false},
		{"expired", one, 500 * day, nil, "expires", false},
		{"the last days of the CA", one, (3650 - 20) * day, nil, "expires", false},
		{"the clock went back", one, day, func(p Paths) {
			for i, n := range []string{"example.net", "example.com"} {
				must2(EnsureCA(filepath.Dir(p.CA), []string{n}, nil, noon.Add(time.Duration(9+i)*day)))
			}
		}, "not valid yet", false},
		{"a name more", []string{"example.com", "example.net"}, day, nil, "names", false},
		{"another name", []string{"example.net"}, day, nil, "names", false},
		{"certificate lost", one, day, func(p Paths) { os.Remove(p.Cert) }, "none", false},
		{"certificate damaged", one, day, func(p Paths) { os.Truncate(p.Cert, 100) }, "cannot be read", false},
		{"key lost", one, day, func(p Paths) { os.Remove(p.Key) }, "key is missing", false},
		{"CA key kept elsewhere", one, day, func(p Paths) { os.Remove(p.CAKey) }, "", false},
		{"CA certificate lost: made again from its key", one, day, func(p Paths) { os.Remove(p.CA) }, "CA is new", true},
		{"CA removed", one, day, func(p Paths) { os.Remove(p.CA); os.Remove(p.CAKey) }, "CA is new", true},
		{"everything removed", one, day, func(p Paths) { os.RemoveAll(filepath.Dir(p.CA)) }, "none", true},
	}
	for _, tt := range tests {
		dir := filepath.Join(t.TempDir(), "tls")
		p, _, err := EnsureCA(dir, one, nil, noon)
		if err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(p.Cert)
		keyBefore, _ := os.ReadFile(p.Key)
		if tt.break_ != nil {
			tt.break_(p)
		}
		now := noon.Add(tt.after)
		p, created, err := EnsureCA(dir, tt.names, nil, now)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		after, _ := os.ReadFile(p.Cert)
		keyAfter, _ := os.ReadFile(p.Key)
		if created != tt.created || !strings.Contains(p.Issued, tt.issued) || (p.Issued == "") != (tt.issued == "") || bytes.Equal(before, after) != (tt.issued == "") {
			t.Errorf("%s: created %v, issued %q, changed %v", tt.name, created, p.Issued, !bytes.Equal(before, after))
		}
		if lost := strings.Contains(tt.name, "key lost") || strings.Contains(tt.name, "everything"); bytes.Equal(keyBefore, keyAfter) == lost {
			t.Errorf("%s: server key changed: %v", tt.name, !lost)
		}
		c, err := Load(p.Cert, p.Key, now)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		pool, err := LoadPool(p.CA)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verifyChain(c.chain, pool, now); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if c.Leaf().NotAfter.After(c.chain[1].NotAfter) {
			t.Errorf("%s: outlives its CA", tt.name)
		}
		if p, created, err = EnsureCA(dir, tt.names, nil, now); err != nil || created || p.Issued != "" {
			t.Errorf("%s: the run after that: created %v, issued %q, %v", tt.name, created, p.Issued, err)
		}
	}
}

// A phone that trusts the ca.pem of before a loss trusts the one that was made
// again from the same key.
func TestCAFromSameKeyKeepsTrust(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	p, _ := ensure(t, dir, noon)
	trusted, err := LoadPool(p.CA)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(p.CA)
	ensure(t, dir, noon.Add(time.Hour))
	c, err := Load(p.Cert, p.Key, noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifyChain(c.chain, trusted, noon.Add(time.Hour)); err != nil {
		t.Error(err)
	}
}

func TestEnsureCARefuses(t *testing.T) {
	foreign := newTestCA(t, "foreign", nil)
	tests := []struct {
		name   string
		break_ func(p Paths)
		after  time.Duration
		says   []string
	}{
		{"CA key open to the group", func(p Paths) { os.Chmod(p.CAKey, 0o640) }, 0, []string{"0640", "chmod 600 ", "ca.key"}},
		{"server key open to the world", func(p Paths) { os.Chmod(p.Key, 0o644) }, 0, []string{"0644", "chmod 600 ", "server.key"}},
		{"directory open", func(p Paths) { os.Chmod(filepath.Dir(p.CA), 0o777) }, 0, []string{"0777", "chmod 700 "}},
		{"CA expired", nil, 11 * 365 * 24 * time.Hour, []string{"expired", "remove"}},
		{"clock before the CA", nil, -48 * time.Hour, []string{"clock"}},
		{"CA key needed but elsewhere", func(p Paths) { os.Remove(p.CAKey); os.Remove(p.Cert) }, 0, []string{"ca.key is missing", "put it back"}},
		{"CA key of another", func(p Paths) { os.WriteFile(p.CAKey, must(os.ReadFile(p.Key)), 0o600) }, 0, []string{"does not belong"}},
		{"CA damaged", func(p Paths) { os.Truncate(p.CA, 10) }, 0, []string{"ca.pem", "no PEM"}},
		{"CA key damaged", func(p Paths) { os.Truncate(p.CAKey, 10) }, 0, []string{"ca.key", "no PEM"}},
		{"not a CA", func(p Paths) { os.WriteFile(p.CA, must(os.ReadFile(p.Cert)), 0o644) }, 0, []string{"not a CA"}},
		{"somebody's own certificate in our place", func(p Paths) {
			os.WriteFile(p.Cert, encodeCerts(foreign.issue([]string{"example.com"}).cert.Raw), 0o644)
		}, 0, []string{"foreign", "move it away"}},
	}
	for _, tt := range tests {
		dir := filepath.Join(t.TempDir(), "tls")
		p, _ := ensure(t, dir, noon)
		if tt.break_ != nil {
			tt.break_(p)
		}
		before := must(os.ReadFile(p.CA))
		_, created, err := EnsureCA(dir, caNames, caIPs, noon.Add(tt.after))
		wantError(t, err, tt.says...)
		if created || !bytes.Equal(before, must(os.ReadFile(p.CA))) {
			t.Errorf("%s: the CA was replaced", tt.name)
		}
	}
	for _, tt := range []struct {
		names []string
		ips   []netip.Addr
		says  string
	}{
		{nil, nil, "at least one"},
		{[]string{"*.example.com"}, nil, "wildcard"},
		{[]string{"bücher.example"}, nil, "xn--"},
		{[]string{"exa mple"}, nil, "neither"},
		{nil, []netip.Addr{netip.IPv4Unspecified()}, "connect to"},
		{nil, []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}, "connect to"},
		{nil, []netip.Addr{{}}, "connect to"},
	} {
		dir := filepath.Join(t.TempDir(), "tls")
		_, _, err := EnsureCA(dir, tt.names, tt.ips, noon)
		wantError(t, err, tt.says)
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: something was made", tt.names)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil, 0o600)
	if _, _, err := EnsureCA(file, caNames, nil, noon); err == nil {
		t.Error("a file was taken for a directory")
	}
	// An address among the names is one of the addresses.
	p, _, err := EnsureCA(filepath.Join(t.TempDir(), "tls"), []string{"127.0.0.1"}, nil, noon)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := Load(p.Cert, p.Key, noon); err != nil || !Match(c.Leaf(), "127.0.0.1", Rules{}) {
		t.Error(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func must2[T, U any](_ T, _ U, err error) {
	if err != nil {
		panic(err)
	}
}
