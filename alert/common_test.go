package alert

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rampart-sbc/rampart/call"
)

var update = flag.Bool("update", false, "rewrite golden files and the generated parts of the docs")

var t0 = time.Date(2026, 1, 5, 3, 6, 18, 728_000_000, time.UTC)

var meta = Meta{Node: "sbc-1", Version: "0.1.0", PolicyRevision: "sha256:4f1c", NumberData: "libphonenumber 9.0.32"}

// compile gives the schema of a kind, with format and pattern asserted.
func compile(t testing.TB, kind string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema(kind)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(kind+".json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(kind + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// valid fails the test unless each line is one JSON object of the schema.
func valid(t testing.TB, s *jsonschema.Schema, data []byte) (lines int) {
	t.Helper()
	if len(data) > 0 && data[len(data)-1] != '\n' {
		t.Fatalf("the last line has no end: %q", data)
	}
	for l := range bytes.Lines(data) {
		lines++
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(l))
		if err != nil {
			t.Fatalf("line %d is not JSON: %v\n%s", lines, err, l)
		}
		if err := s.Validate(v); err != nil {
			t.Fatalf("line %d: %v\n%s", lines, err, l)
		}
	}
	return lines
}

// golden compares with testdata/NAME, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("..", "testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (rewrite with -update if that is meant)\n got %s\nwant %s", name, got, want)
	}
}

// memory is a sink to look into, with a switch that breaks it.
type memory struct {
	name string
	mu   sync.Mutex
	buf  bytes.Buffer
	err  error
	gate chan struct{} // when set, Write waits for it
	open int           // times Reopen was called
}

func (m *memory) Name() string { return m.name }

func (m *memory) Write(b []byte) (int, error) {
	m.mu.Lock()
	gate := m.gate
	m.mu.Unlock()
	if gate != nil {
		<-gate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return 0, m.err
	}
	return m.buf.Write(b)
}

func (m *memory) Reopen() error { m.mu.Lock(); defer m.mu.Unlock(); m.open++; return nil }
func (m *memory) Close() error  { return nil }

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) data() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.buf.Bytes())
}

func (m *memory) lines() int { return bytes.Count(m.data(), []byte("\n")) }

var errDisk = errors.New("no space left on device")

// attempt is an INVITE of a registered phone to Jamaica.
func attempt() *call.Attempt {
	return &call.Attempt{
		At: t0, Method: "INVITE", Side: call.Public,
		Source: call.Source{
			Addr: netip.MustParseAddrPort("203.0.113.77:40112"), Local: netip.MustParseAddrPort("192.0.2.10:5061"),
			Transport: "tls", TLSVersion: "1.3", TLSCipher: "TLS_AES_128_GCM_SHA256", Country: "FR", ASN: 64500, Registered: true,
		},
		PeerKind: call.Phone, Account: "main", User: "1001", Direction: call.Outbound,
		From: call.Party{User: "1001", Host: "sip.example.com", Display: "Front desk", Number: "1001", Kind: call.Extension},
		To: call.Party{User: "0018765550100", Host: "sip.example.com", Number: "+18765550100", Kind: call.International,
			Country: "JM", Class: "fixed"},
		ID: "01JGT7", Pass: 1, SIPCallID: "a84b4c76e66710@192.168.1.20", RequestURI: "sip:0018765550100@sip.example.com",
		UserAgent: "baresip v3", Hops: 70, Media: call.Media{Offered: true, Profile: "RTP/SAVP", SRTP: true},
	}
}

// stranger is an INVITE of nobody known, over UDP and IPv6.
func stranger() *call.Attempt {
	return &call.Attempt{
		At: t0, Method: "INVITE", Side: call.Public,
		Source:    call.Source{Addr: netip.MustParseAddrPort("[2001:db8:66::5]:5060"), Transport: "udp", Country: "NL"},
		Direction: call.Internal,
		From:      call.Party{User: "100", Host: "1.1.1.1"},
		To:        call.Party{User: "900441234567890", Host: "192.0.2.10"},
		ID:        "01JGT8", Pass: 1, SIPCallID: "1234567890", UserAgent: "friendly-scanner\x1b[2J", Hops: 70,
	}
}

func register() *call.Attempt {
	a := stranger()
	a.Method, a.RegisterUser, a.AuthUser = "REGISTER", "1002", "1002"
	a.Source.Addr, a.Source.Transport, a.Source.TLSVersion = netip.MustParseAddrPort("198.51.100.9:50001"), "tls", "1.2"
	a.Source.TLSSubject = "sip.carrier.example"
	a.UserAgent = "phone"
	a.From.User, a.To.User = "1002", "1002"
	return a
}
