package sbc_test

import (
	"bytes"
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/internal/siptest"
	"github.com/rampart-sbc/rampart/media"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
	rtls "github.com/rampart-sbc/rampart/tls"
)

// The two sides have networks of their own on loopback, so that an address of
// one side is easy to find on the other.
const domain = "sip.example.test"

// Two runs of these tests at the same time, in other checkouts say, are apart.
var (
	block     = 10 + os.Getpid()%200
	publicNet = fmt.Sprintf("127.%d.2.", block)
	insideNet = fmt.Sprintf("127.%d.3.", block)
)

// reports keeps what the gateway tells.
type reports struct {
	mu        sync.Mutex
	decisions []decided
	systems   []call.SystemEvent
	records   []call.Record
	events    []call.Event
}

type decided struct {
	a call.Attempt
	d call.Decision
}

func (r *reports) Decision(a *call.Attempt, d call.Decision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.decisions = append(r.decisions, decided{*a, d})
}
func (r *reports) System(e call.SystemEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.systems = append(r.systems, e)
}
func (r *reports) Record(x call.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, x)
}
func (r *reports) Event(e call.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// count is how many events of a kind there were.
func (r *reports) count(kind call.EventKind) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func (r *reports) rules() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.decisions {
		if d.d.Rule != "" {
			out = append(out, d.d.Rule)
		}
	}
	return out
}

func (r *reports) lastRecord(t *testing.T, n int) call.Record {
	t.Helper()
	eventually(t, fmt.Sprintf("%d records", n), func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.records) >= n })
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.records) != n {
		t.Fatalf("%d records, want %d: %+v", len(r.records), n, r.records)
	}
	return r.records[n-1]
}

// wire keeps every byte that one side saw.
type wire struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (w *wire) trace(_ bool, _ netip.AddrPort, b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(b)
}

func (w *wire) String() string { w.mu.Lock(); defer w.mu.Unlock(); return w.all.String() }

// world is a gateway with a PBX behind it and a CA of its own.
type world struct {
	t       *testing.T
	ctx     context.Context
	gw      *sbc.Gateway
	plane   *media.Plane
	pbx     *siptest.PBX
	rep     *reports
	pub     wire
	in      wire
	roots   *x509.CertPool
	dir     string
	tlsAddr netip.AddrPort
}

type option func(*worldConfig)

type worldConfig struct {
	sbc     sbc.Config
	deps    sbc.Deps
	pbx     siptest.PBXConfig
	pbxSRTP sdp.Policy
	client  string // client CA file
	names   []string
	peers   []rtls.Peer
}

var nets sync.Mutex

func newWorld(t *testing.T, opts ...option) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, rep: &reports{}, dir: t.TempDir()}
	pub, in := netip.MustParseAddr(publicNet+"1"), netip.MustParseAddr(insideNet+"1")

	c := worldConfig{pbxSRTP: sdp.SRTPOff}
	paths, _, err := rtls.EnsureCA(filepath.Join(w.dir, "ca"), []string{domain}, []netip.Addr{pub}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.pbx = siptest.PBXConfig{Domain: domain, Users: map[string]string{"1001": "one", "1002": "two", "1003": "three"},
		DIDs: map[string]string{"+33123456789": "1001"}, Listen: netip.MustParseAddrPort(insideNet + "9:0"), Trace: w.in.trace, Log: t.Logf}
	plan, err := number.Compile(number.Home{Country: "FR", OutsidePrefix: "0"}, number.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	w.plane, err = media.New(media.Config{Public: []media.Address{{Bind: pub}}, Inside: []media.Address{{Bind: in}}, PortMin: 20000, PortMax: 39999})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.plane.Close() })
	logFile, _ := os.Create(filepath.Join(w.dir, "log"))
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := os.ReadFile(logFile.Name())
			t.Logf("gateway log:\n%s", b)
		}
	})
	c.deps = sbc.Deps{Media: w.plane, Plan: plan, Reporter: w.rep, Log: slog.New(slog.NewTextHandler(logFile, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	c.sbc = sbc.Config{Node: "test", Domains: []string{domain}, TokenKey: make([]byte, 32), ForwardCanonical: true,
		Stack: sipx.Config{T1: 50 * time.Millisecond, T2: 200 * time.Millisecond, T4: 250 * time.Millisecond, HandshakeTimeout: time.Minute, Listeners: []sipx.Listener{
			{Side: call.Public, Transport: "tls", Bind: netip.AddrPortFrom(pub, 0)},
			{Side: call.Public, Transport: "udp", Bind: netip.AddrPortFrom(pub, 0)},
			{Side: call.Inside, Transport: "udp", Bind: netip.AddrPortFrom(in, 0)},
		}}}
	for _, o := range opts {
		o(&c)
	}
	w.pbx, err = siptest.NewPBX(ctx, c.pbx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.pbx.Close)
	certs, err := rtls.Open(rtls.Settings{Certificates: []rtls.Pair{{Cert: paths.Cert, Key: paths.Key}}, ClientCA: paths.CA, Peers: c.peers}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	c.sbc.Stack.ServerTLS = certs.Server(rtls.Options{})
	if c.sbc.PBXs == nil {
		c.sbc.PBXs = []sbc.PBX{{Name: "main", Host: w.pbx.Addr().Addr().String(), Port: w.pbx.Addr().Port(), Transport: "udp", SRTP: c.pbxSRTP}}
	}
	w.gw, err = sbc.New(c.sbc, c.deps)
	if err != nil {
		t.Fatal(err)
	}
	w.gw.Start()
	t.Cleanup(w.gw.Close)
	w.tlsAddr = w.gw.Addrs(call.Public, "tls")[0]
	pem, err := os.ReadFile(paths.CA)
	if err != nil {
		t.Fatal(err)
	}
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(pem)
	return w
}

var passwords = map[string]string{"1001": "one", "1002": "two", "1003": "three"}

// phone is a telephone on the public side over TLS with SRTP; not registered.
func (w *world) phone(user string, change ...func(*siptest.PhoneConfig)) *siptest.Phone {
	w.t.Helper()
	p, err := siptest.NewPhone(w.ctx, w.phoneConfig(user, change...))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	return p
}

func (w *world) phoneConfig(user string, change ...func(*siptest.PhoneConfig)) siptest.PhoneConfig {
	c := siptest.PhoneConfig{User: user, Password: passwords[user], Domain: domain, Server: w.tlsAddr, Transport: "tls",
		TLS:   &cryptotls.Config{RootCAs: w.roots, ServerName: domain},
		Local: netip.MustParseAddr(publicNet + "1" + user[len(user)-2:]), SRTP: []string{siptest.SuiteGCM, siptest.SuiteCM80},
		Tone: 440, UserAgent: "siptest", Trace: w.pub.trace, Log: w.t.Logf}
	for _, f := range change {
		f(&c)
	}
	return c
}

func (w *world) registered(user string, change ...func(*siptest.PhoneConfig)) *siptest.Phone {
	w.t.Helper()
	p := w.phone(user, change...)
	if err := p.Register(w.ctx, time.Hour); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func tone(f float64) func(*siptest.PhoneConfig) {
	return func(c *siptest.PhoneConfig) { c.Tone = f }
}

func (w *world) call(from *siptest.Phone, to string, opts ...siptest.Option) *siptest.Call {
	w.t.Helper()
	c, err := from.Invite(w.ctx, to, opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) refused(from *siptest.Phone, to string, code int, opts ...siptest.Option) *siptest.Message {
	w.t.Helper()
	c, err := from.Invite(w.ctx, to, opts...)
	var r *siptest.Refused
	if !as(err, &r) {
		w.t.Fatalf("call to %s: %v %v, want %d", to, c, err, code)
	}
	if r.Response.Code != code {
		w.t.Fatalf("call to %s: %d, want %d", to, r.Response.Code, code)
	}
	return r.Response
}

// quiet waits until nothing of any call is left.
func (w *world) quiet() {
	w.t.Helper()
	eventually(w.t, "no call, no media", func() bool { return w.gw.Live() == 0 && w.plane.Stats().Sessions == 0 })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func has(list []string, s string) bool { return slices.Contains(list, s) }
