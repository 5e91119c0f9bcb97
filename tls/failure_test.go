package tls

import (
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// answer lets the server of a store meet the bytes of a client that is none.
func answer(t *testing.T, store *Store, send string, hangup bool) error {
	t.Helper()
	server, client := connect(t)
	if _, err := io.WriteString(client, send); err != nil {
		t.Fatal(err)
	}
	if hangup {
		client.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if hangup {
		ctx = context.Background()
	}
	return cryptotls.Server(server, store.Server(Options{})).HandshakeContext(ctx)
}

func TestClassify(t *testing.T) {
	ca := newTestCA(t, "ca", nil)
	store := open(t, Settings{Certificates: []Pair{ca.issue([]string{ourName}).files(t.TempDir(), "s")}})
	tests := []struct {
		name, send string
		hangup     bool
		want       Failure
	}{
		{"SIP", "REGISTER sip:example.com SIP/2.0\r\n\r\n", false, FailPlaintext},
		{"keep-alive, then SIP", "\r\n\r\nOPTIONS sip:x SIP/2.0\r\n\r\n", false, FailPlaintext},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", false, FailPlaintext},
		{"garbage", "\x00\x01\x02\x03\x04\x05\x06\x07", false, FailProtocol},
		{"half text", "INV\x00TE sip:example.com", false, FailProtocol},
		{"SSL 2", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", false, FailVersion},
		{"silence", "", false, FailTimeout},
		{"half a record", "\x16\x03\x01\x02\x00\x01", false, FailTimeout},
		{"a scanner that connects and leaves", "", true, FailClosed},
		{"half a record, then gone", "\x16\x03\x01\x02\x00\x01", true, FailClosed},
	}
	for _, tt := range tests {
		err := answer(t, store, tt.send, tt.hangup)
		if got := Classify(fmt.Errorf("wrapped: %w", err)); got != tt.want {
			t.Errorf("%s: %q (%v), want %q", tt.name, got, err, tt.want)
		}
		first, ok := Plaintext(err)
		if ok != (tt.want == FailPlaintext) || ok && string(first) != tt.send[:5] {
			t.Errorf("%s: plaintext %q, %v", tt.name, first, ok)
		}
	}
	for _, tt := range []struct {
		err  error
		want Failure
	}{
		{nil, ""},
		{errors.New("x"), FailProtocol},
		{context.Canceled, FailClosed},
		{net.ErrClosed, FailClosed},
		{x509.UnknownAuthorityError{}, FailCertificate},
	} {
		if got := Classify(tt.err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

// A phone that does not trust us says so, and we can tell.
func TestTheyRefuseUs(t *testing.T) {
	ca, other := newTestCA(t, "ca", nil), newTestCA(t, "other", nil)
	store := open(t, Settings{Certificates: []Pair{ca.issue([]string{ourName}).files(t.TempDir(), "s")}})
	r := handshake(t, store.Server(Options{}), phone(other))
	if Classify(r.serverErr) != FailRefused {
		t.Errorf("server: %q (%v)", Classify(r.serverErr), r.serverErr)
	}
	if Classify(r.clientErr) != FailCertificate {
		t.Errorf("client: %q (%v)", Classify(r.clientErr), r.clientErr)
	}
}

func TestDescribe(t *testing.T) {
	v, c, s := Describe(cryptotls.ConnectionState{})
	if v+c+s != "" {
		t.Errorf("before the handshake: %q %q %q", v, c, s)
	}
	if v, c, _ = Describe(cryptotls.ConnectionState{Version: cryptotls.VersionTLS12}); v != "1.2" || c != "" {
		t.Errorf("no suite in common: %q %q", v, c)
	}
	evil := &x509.Certificate{Subject: pkix.Name{CommonName: "evil\r\n\x1b[2Jname" + strings.Repeat("ü", 4000)}}
	v, c, s = Describe(cryptotls.ConnectionState{
		Version: cryptotls.VersionTLS13, CipherSuite: cryptotls.TLS_AES_128_GCM_SHA256, PeerCertificates: []*x509.Certificate{evil},
	})
	if v != "1.3" || c != "TLS_AES_128_GCM_SHA256" {
		t.Errorf("%q %q", v, c)
	}
	if len(s) > 210 || strings.ContainsAny(s, "\r\n\x1b") || !strings.HasPrefix(s, "CN=evil") || !strings.HasSuffix(s, "…") {
		t.Errorf("subject %q", s)
	}
}
