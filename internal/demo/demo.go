// Package demo is the story that "rampart demo" plays: a gateway between
// telephones, a PBX and a carrier on the loopback interface. It answers "does
// all of it work, here and now?" and shows what an operator would see.
//
// It does not build the gateway (the command does, and hands it in as [Start])
// and is no test of details. The story owns a temporary directory, the
// telephones, the PBX and the carrier; all of it ends with Run. Time is the
// wall clock: the calls are real. What does not happen is told at its place,
// the story goes on, and Run fails at its end.
//
// Start reading at [Run].
package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// Gateway is a running gateway.
type Gateway struct {
	CA string // PEM file that telephones must trust
	// Explain says how the decision about a call came about, by its Call-ID.
	Explain func(callID string) (string, error)
	Close   func() // ends it and writes what is left to its files
}

// Start runs a gateway with a configuration file.
type Start func(config string) (*Gateway, error)

// Options of the story.
type Options struct {
	Out   io.Writer
	Start Start
	Keep  bool // leave everything running until the context ends
	// Verbose gets a line for what the telephones have to say; may be nil.
	Verbose func(format string, args ...any)

	step time.Duration // for one scene; 0: stepTime
}

// Limits of the story, so that a broken gateway ends it too.
const (
	storyTime = 60 * time.Second
	stepTime  = 6 * time.Second
)

// world is everything that takes part.
type world struct {
	*script
	dir       string
	ports     ports
	keys      *authority
	gateway   *Gateway
	pbx       *siptest.PBX
	carrier   *siptest.Phone
	rang      chan string    // numbers that reached the carrier
	inbound   *siptest.Phone // the carrier's other end: it calls
	alice     *siptest.Phone
	bob       *siptest.Phone
	carol     *siptest.Phone
	wire      *recorder // what the public side got to see
	respelt   string    // Call-ID of a call that was refused however it was spelt
	roots     *tls.Config
	onVerbose func(format string, args ...any)
	step      time.Duration
}

// Run plays the story. The error says how many things did not happen.
func Run(ctx context.Context, o Options) error {
	dir, err := os.MkdirTemp("", "rampart-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	life, stop := context.WithCancel(ctx) // of the telephones: with Keep, longer than the story
	defer stop()
	play, cancel := context.WithTimeout(ctx, storyTime)
	defer cancel()

	w := &world{script: &script{out: o.Out}, dir: dir, rang: make(chan string, 64), wire: &recorder{}, onVerbose: o.Verbose, step: o.step}
	if w.step == 0 {
		w.step = stepTime
	}
	w.sayf("Rampart: a gateway, telephones, a PBX and a carrier on this computer. Nothing to configure.\n")
	if err := w.build(life, o.Start); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	closed := false
	end := func() {
		if !closed {
			closed = true
			w.gateway.Close()
		}
	}
	defer end()

	for _, scene := range []func(context.Context){
		w.register, w.securedCall, w.betweenPhones, w.outsideCalls, w.deniedCountry, w.insecure, w.burst, w.emergency,
		w.spendCap, w.tollFraud, w.pingCalls, w.hidden, w.why,
	} {
		scene(play)
		if play.Err() != nil {
			break
		}
	}
	w.alerts(play)
	took := time.Since(began).Round(100 * time.Millisecond)
	switch {
	case ctx.Err() != nil && !o.Keep:
		return fmt.Errorf("demo: interrupted: %w", context.Cause(ctx))
	case w.failed > 0:
		w.sayf("\n%d of %d things did not happen (%s).", w.failed, w.told, took)
		err = fmt.Errorf("demo: %d of %d things did not happen", w.failed, w.told)
	default:
		w.sayf("\nAll %d things happened, in %s.", w.told, took)
	}
	if o.Keep {
		w.sayf("\nEverything keeps running. Press Ctrl-C to end it.\n"+
			"  metrics and live calls  http://%s/metrics\n"+
			"  register a telephone    sips, %s, domain %s, user 1001, password %s\n"+
			"                          trust %s\n"+
			"  its files               %s",
			w.ports.admin, w.ports.tls, domain, password("1001"), w.gateway.CA, dir)
		<-ctx.Done()
	}
	return err
}

// build starts everything.
func (w *world) build(ctx context.Context, start Start) error {
	var err error
	if w.ports, err = freePorts(); err != nil {
		return err
	}
	if w.keys, err = newAuthority(carrierName); err != nil {
		return err
	}
	if err := w.keys.write(filepath.Join(w.dir, "carrier-ca.pem")); err != nil {
		return err
	}
	if w.carrier, err = siptest.NewCarrier(ctx, siptest.CarrierConfig{Domain: carrierName, Transport: "tls", TLS: w.keys.server(),
		Listen: w.ports.carrier, SRTP: []string{siptest.SuiteGCM, siptest.SuiteCM80}, OnInvite: w.ring, Log: w.onVerbose, Trace: w.wire.trace}); err != nil {
		return err
	}
	users := map[string]string{}
	for _, u := range []string{"1001", "1002", "1003"} {
		users[u] = password(u)
	}
	if w.pbx, err = siptest.NewPBX(ctx, siptest.PBXConfig{Domain: domain, Users: users, DIDs: dids(),
		Trunk: w.ports.inside, Listen: w.ports.pbx, Log: w.onVerbose}); err != nil {
		return err
	}
	file := filepath.Join(w.dir, "rampart.yaml")
	if err := errors.Join(os.WriteFile(file, []byte(w.config()), 0o600), os.WriteFile(filepath.Join(w.dir, "demo.yaml"), []byte(rules), 0o600),
		os.WriteFile(filepath.Join(w.dir, "rates.csv"), []byte(rates), 0o600)); err != nil {
		return err
	}
	if w.gateway, err = start(file); err != nil {
		return err
	}
	pem, err := os.ReadFile(w.gateway.CA)
	if err != nil {
		return fmt.Errorf("the gateway's CA: %w", err)
	}
	if w.roots, err = trust(pem); err != nil {
		return fmt.Errorf("the gateway's CA %s: %w", w.gateway.CA, err)
	}
	w.sayf("  gateway    TLS %s, inside UDP %s", w.ports.tls, w.ports.inside)
	w.sayf("  PBX        UDP %s, users 1001 to 1003", w.ports.pbx)
	w.sayf("  carrier    TLS %s, known by its certificate", w.ports.carrier)
	w.sayf("  admin      http://%s/", w.ports.admin)
	return nil
}

// ring is the carrier's side of a call to it.
func (w *world) ring(in *siptest.Incoming) {
	select {
	case w.rang <- in.To():
	default:
	}
	in.Ring()
	if _, err := in.Answer(); err != nil && w.onVerbose != nil {
		w.onVerbose("carrier: %v", err)
	}
}

// phone makes a telephone that speaks TLS and SRTP.
func (w *world) phone(ctx context.Context, user string, tone float64, trace bool) (*siptest.Phone, error) {
	cfg := siptest.PhoneConfig{User: user, Password: password(user), Domain: domain, Server: w.ports.tls, Transport: "tls", TLS: w.roots,
		Tone: tone, SRTP: []string{siptest.SuiteGCM, siptest.SuiteCM80}, UserAgent: "Demo Phone 1.0", Log: w.onVerbose}
	if trace {
		cfg.Trace = w.wire.trace
	}
	return siptest.NewPhone(ctx, cfg)
}

func (w *world) config() string {
	return fmt.Sprintf(`domain: %s
node: demo
listen:
  tls: ["%s"]
  udp: ["%s"]                      # for the old trunk alone
inside: {udp: ["%s"]}
media: {public: ["127.0.0.1"], inside: ["127.0.0.1"], ports: 21000-21499}
tls: {client_ca: carrier-ca.pem}
pbx: {name: pbx, uri: "sip:%s;transport=udp"}
peers:
  - name: carrier
    identify: {certificate: %s}
    uri: "sip:%s;transport=tls"
    ca: carrier-ca.pem
    srtp: required
  - name: old-trunk
    identify: {ip: ["127.0.0.9/32"]}
    allow_plaintext: true
    srtp: off
home: {country: GB, international: ["00"], national: "0", extensions: "^[1-9][0-9]{2,4}$", emergency: ["112", "999"]}
policy: {use: [base, countries, scanners, toll-fraud, ping-call, messages, callers], files: ["demo.yaml"]}
rates: rates.csv
routes:
  - {peers: [carrier]}
state: state
alerts: [{file: alerts.jsonl}]
cdr: [{file: cdr.jsonl}]
events: [{file: events.jsonl}]
admin: {listen: "%s"}
`, domain, w.ports.tls, w.ports.udp, w.ports.inside, w.ports.pbx, carrierName, w.ports.carrier, w.ports.admin)
}

const (
	domain        = "demo.rampart.test"
	carrierName   = "carrier.rampart.test"
	inboundNumber = "+442079460123"

	rules = `version: 1
countries:
  default: deny
  allow: [GB, FR, DE, US, ES, IT, NL, BE]
limits:
  - {id: toll-fraud/calls-abroad-at-night, mode: off} # or the story would be another one at night
  - {id: toll-fraud/calls-abroad-per-hour, mode: off} # else it speaks first
  - {id: demo/burst, on: invite, match: {user: ["1003"]}, key: [user], rate: 1/m, burst: 5, then: reject 480}
detectors:
  - {id: fraud/spend-cap, mode: enforce, user: 1} # at once; elsewhere it watches for a week first
`
	// A minute to Italy costs so much that nobody has to wait.
	rates = "prefix,code,usd_per_min,class\n44,GB,0.01,home\n39,IT,20,high\n"
)

// dids are the numbers that carriers may call.
func dids() map[string]string {
	out := map[string]string{inboundNumber: "1002"}
	for _, number := range rung {
		out[number] = siptest.ExtRing
	}
	return out
}

// password of a user; the demonstration is reachable from this computer only.
func password(user string) string { return "demo-" + user }

// sides of an address that must not cross.
func (w *world) secrets() []string {
	port := func(a netip.AddrPort) string { return fmt.Sprintf(":%d", a.Port()) }
	return []string{port(w.ports.pbx), port(w.ports.inside)}
}

// script tells the story and counts.
type script struct {
	out          io.Writer
	told, failed int
	scene        int
}

func (s *script) sayf(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *script) title(text string) {
	s.scene++
	fmt.Fprintf(s.out, "\n%d. %s\n", s.scene, text)
}

// expect tells one thing that should have happened.
func (s *script) expect(err error, format string, args ...any) bool {
	s.told++
	text := fmt.Sprintf(format, args...)
	if err == nil {
		fmt.Fprintf(s.out, "   ok      %s\n", text)
		return true
	}
	s.failed++
	fmt.Fprintf(s.out, "   FAILED  %s\n           %s\n", text, strings.ReplaceAll(err.Error(), "\n", "\n           "))
	return false
}

// skip tells that the rest of a scene cannot be played.
func (s *script) skip(why string) { s.expect(errors.New(why), "the rest of this scene") }
