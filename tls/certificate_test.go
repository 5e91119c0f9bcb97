package tls

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	root := newTestCA(t, "root", nil)
	middle := newTestCA(t, "middle", root)
	impostor := newTestCA(t, "middle", root) // the same name, another key
	old := newTestCA(t, "old", root, valid(-48*time.Hour, -time.Hour))
	leaf := middle.issue([]string{ourName})
	key := leaf.files(dir, "leaf").Key
	at := func(name string) string { return filepath.Join(dir, name) }
	pemFile := func(name string, certs ...*x509.Certificate) string {
		var b []byte
		for _, c := range certs {
			b = append(b, encodeCerts(c.Raw)...)
		}
		write(t, at(name), b, 0o644)
		return at(name)
	}
	both := append(must(os.ReadFile(key)), must(os.ReadFile(at("leaf.pem")))...)
	write(t, at("both.pem"), both, 0o600)
	write(t, at("encrypted.key"), pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), 0o600)
	write(t, at("broken.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), 0o600)
	write(t, at("broken.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), 0o600)
	write(t, at("large.pem"), make([]byte, maxFile+1), 0o600)
	sec1 := must(x509.MarshalECPrivateKey(leaf.key))
	write(t, at("sec1.key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}), 0o400)
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	otherKey := middle.issue(nil).files(dir, "other").Key
	late := root.issue([]string{ourName}, valid(time.Hour, 2*time.Hour)).files(dir, "late")
	gone := root.issue([]string{ourName}, valid(-2*time.Hour, -time.Second)).files(dir, "gone")
	byOld := old.issue([]string{ourName}).files(dir, "byold")

	tests := []struct {
		name      string
		cert, key string
		says      []string // nil when it must load
	}{
		{"leaf and issuer", at("leaf.pem"), key, nil},
		{"leaf alone", pemFile("alone.pem", leaf.cert), key, nil},
		{"with the root", pemFile("all.pem", leaf.cert, middle.cert, root.cert), key, nil},
		{"one file for both", at("both.pem"), at("both.pem"), nil},
		{"SEC 1 key, read only", at("leaf.pem"), at("sec1.key"), nil},
		{"wrong order", pemFile("order.pem", middle.cert, leaf.cert), key, []string{"number 2", "put it first"}},
		{"a hole in the chain", pemFile("hole.pem", leaf.cert, root.cert), key, []string{"did not issue number 1", "root"}},
		{"an impostor in the chain", pemFile("impostor.pem", leaf.cert, impostor.cert), key, []string{"was not signed by number 2"}},
		{"another key", at("leaf.pem"), otherKey, []string{"does not belong"}},
		{"expired", gone.Cert, gone.Key, []string{"gone.pem", "expired on 2026-11-23 11:59:59 UTC", "renew"}},
		{"not valid yet", late.Cert, late.Key, []string{"not valid before 2026-11-23 13:00:00 UTC", "clock"}},
		{"issuer expired", byOld.Cert, byOld.Key, []string{"number 2 of the chain (CN=old)", "expired"}},
		{"no file", at("none.pem"), key, []string{"none.pem", "no such file"}},
		{"no key", at("leaf.pem"), at("none.key"), []string{"none.key", "no such file"}},
		{"key in the place of the certificate", key, key, []string{"no PEM certificate"}},
		{"certificate in the place of the key", at("leaf.pem"), pemFileMode(t, at("swap.pem"), leaf), []string{"no PEM private key"}},
		{"encrypted key", at("leaf.pem"), at("encrypted.key"), []string{"encrypted", "decrypted"}},
		{"damaged key", at("leaf.pem"), at("broken.key"), []string{"cannot be parsed"}},
		{"damaged certificate", at("broken.pem"), key, []string{"number 1 cannot be parsed"}},
		{"huge file", at("large.pem"), key, []string{"larger than"}},
		{"a pipe", at("leaf.pem"), at("pipe"), []string{"not a regular file"}},
		{"a directory", dir, key, []string{"not a regular file"}},
	}
	for _, tt := range tests {
		c, err := Load(tt.cert, tt.key, noon)
		if tt.says == nil {
			if err != nil || c.Leaf() == nil || c.File() != tt.cert {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		wantError(t, err, tt.says...)
	}

	for _, m := range []os.FileMode{0o644, 0o640, 0o604, 0o660, 0o610} {
		os.Chmod(key, m)
		_, err := Load(at("leaf.pem"), key, noon)
		wantError(t, err, fmt.Sprintf("%04o", m), "chmod 600 "+key)
		if !errors.Is(err, ErrKeyMode) {
			t.Errorf("%v is not ErrKeyMode", err)
		}
	}
	// A link is judged by what it leads to, as certbot's are.
	os.Chmod(key, 0o600)
	if err := os.Symlink(key, at("link.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(at("leaf.pem"), at("link.key"), noon); err != nil {
		t.Error(err)
	}
}

func pemFileMode(t *testing.T, file string, i *issued) string {
	write(t, file, encodeCerts(i.cert.Raw), 0o600)
	return file
}

func TestShortRSAKey(t *testing.T) {
	key := must(rsa.GenerateKey(rand.Reader, 1024))
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "short"}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key))
	dir := t.TempDir()
	cert, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "c.key")
	write(t, cert, encodeCerts(der), 0o644)
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600)
	_, err := Load(cert, keyFile, noon)
	wantError(t, err, "1024 bits")
	_, err = verifyChain([]*x509.Certificate{must(x509.ParseCertificate(der))}, must(LoadPool(cert)), noon)
	wantError(t, err, "1024 bits")
}

// However somebody prints a certificate or a store, the key stays in.
func TestKeyIsNeverPrinted(t *testing.T) {
	ca := newTestCA(t, "ca", nil)
	leaf := ca.issue([]string{ourName})
	pair := leaf.files(t.TempDir(), "s")
	c := must(Load(pair.Cert, pair.Key, noon))
	store := open(t, Settings{Certificates: []Pair{pair}})
	scalar := leaf.key.D
	secrets := []string{scalar.String(), scalar.Text(16), fmt.Sprint(scalar.Bytes()), fmt.Sprintf("%v", scalar.Bits())}
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("x", "certificate", c, "store", store, "settings", Settings{Certificates: []Pair{pair}})
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "certificate", c, "store", store)
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, f+"\n"+f+"\n", c, []*Certificate{c})
		fmt.Fprintf(&out, "%v %+v\n", store, map[string]any{"c": c, "s": store})
	}
	out.Write(must(json.Marshal(map[string]any{"c": c, "s": store})))
	for _, s := range secrets {
		if strings.Contains(out.String(), s) {
			t.Errorf("the key was printed: %s", out.String())
		}
	}
	if !strings.Contains(out.String(), "key redacted") {
		t.Error("nothing was printed at all")
	}
	if got := (*Certificate)(nil).String(); got != "no certificate" {
		t.Error(got)
	}
}
