// Package attack is the repertoire that "rampart attack-me" plays against a
// gateway in a sandbox. It answers "does this configuration hold?": while an
// attack goes on, telephones of the sandbox make calls and one call is up, and
// what the attack must not do is looked for at the PBX, on the wire and in what
// the gateway wrote.
//
// It attacks nothing but the gateway that it was handed ([Start]), on loopback
// addresses; it does not build the gateway and reads no configuration. The
// sandbox owns its telephones, PBX and attackers; all of it ends with [Run].
// Floods are bounded in number and in time. Time is the wall clock. An attack
// that fails to run is told as a failure, never as a pass.
//
// Start reading at [Run].
package attack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Gateway is the one under attack.
type Gateway struct {
	Domain string
	TLS    netip.AddrPort // where telephones connect
	UDP    netip.AddrPort // zero: there is no public listener of that kind
	TCP    netip.AddrPort
	Roots  *tls.Config // what telephones trust
	// Trunk is an address of a peer that is known by its address and may speak
	// plaintext; invalid: there is none.
	Trunk  netip.Addr
	Alerts string   // file of alerts
	Files  []string // everything the gateway writes, the alerts and its log among them
	Secret []string // texts of the inside that nobody outside may see
	Close  func()   // ends it and writes what is left
	// Process is its process, of which nothing else is a part; 0: memory cannot
	// be told.
	Process int
}

// Place is what the sandbox gives the gateway.
type Place struct {
	PBX   netip.AddrPort    // of the inside, UDP
	Users map[string]string // names and passwords of its telephones
	Self  netip.Addr        // where the gateway is to listen
	Trunk netip.Addr        // an address for a peer
}

// Start runs the gateway.
type Start func(Place) (*Gateway, error)

// Options of a run.
type Options struct {
	Start   Start
	Only    []string // names of attacks; none: all
	Torture string   // a folder with messages (*.dat) to try beside our own
	Told    func(Result)
	Log     func(format string, args ...any) // may be nil
}

// Result is what became of one attack.
type Result struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Outcome Outcome  `json:"outcome"`
	Did     string   `json:"did,omitempty"`
	Saw     []string `json:"saw,omitempty"`
	Wrong   []string `json:"wrong,omitempty"`
	Advice  string   `json:"advice,omitempty"` // where the operator can do something
	Seconds float64  `json:"seconds"`
}

// Outcome of an attack.
type Outcome string

const (
	Held    Outcome = "held"
	Broke   Outcome = "broke"
	Skipped Outcome = "skipped" // it cannot be tried on this configuration
)

// Attack is one of the repertoire.
type Attack struct {
	Name, Title string
	Advice      string
	run         func(*yard, context.Context, *notes)
}

// Attacks is the repertoire, in the order it is played.
func Attacks() []Attack {
	return []Attack{
		{"hidden", "What a stranger and a telephone get to see of the inside", "", (*yard).hidden},
		{"malformed", "Malformed and smuggled messages", "", (*yard).malformed},
		{"plaintext", "SIP without TLS", "", (*yard).plaintext},
		{"scanner", "Scanners by name", "enable the pack scanners (policy.use)", (*yard).scanner},
		{"identity", "Callers under another's name", "", (*yard).identity},
		{"stranger-calls", "Calls and messages of strangers", "", (*yard).strangerCalls},
		{"denied-numbers", "Premium and satellite numbers, spelt in many ways", "enable the pack countries, or deny the classes in your policy", (*yard).deniedNumbers},
		{"brute-force", "Guessing a password", "enable the pack base, or limit failed registrations (limits: failures)", (*yard).bruteForce},
		{"enumeration", "Looking for extensions that exist", "enable the packs base and scanners", (*yard).enumeration},
		{"rtp-inject", "Audio injected into a call, and audio drawn out of it", "", (*yard).rtpInject},
		{"slow-tls", "Half-open, slow and silent connections", "lower limits.connections_per_source and limits.handshake_timeout", (*yard).slowTLS},
		{"flood-tls", "Floods of connections and requests over TLS", "", (*yard).floodTLS},
		{"flood-udp", "Floods of datagrams: garbage, REGISTER, INVITE, OPTIONS", "", (*yard).floodUDP},
		{"forged-ban", "Forged attacks in the name of a peer and of telephones", "", (*yard).forgedBan},
		{"log-injection", "Line breaks and terminal escapes in what is logged", "", (*yard).logInjection},
	}
}

// Names lists the attacks.
func Names() (out []string) {
	for _, a := range Attacks() {
		out = append(out, a.Name)
	}
	return out
}

// Run plays the repertoire. The error says why it could not be played; what
// attacks found is in the results.
func Run(ctx context.Context, o Options) ([]Result, error) {
	for _, name := range o.Only {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("no attack is called %q; there are %s", name, strings.Join(Names(), ", "))
		}
	}
	life, stop := context.WithCancel(ctx)
	defer stop()
	y, err := open(life, o)
	if err != nil {
		return nil, err
	}
	defer y.close()
	if err := y.quiet(ctx); err != nil {
		return nil, err
	}
	var out []Result
	for _, a := range Attacks() {
		if len(o.Only) > 0 && !slices.Contains(o.Only, a.Name) {
			continue
		}
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		r := y.play(ctx, a)
		out = append(out, r)
		if o.Told != nil {
			o.Told(r)
		}
	}
	return out, nil
}

// attackTime bounds one attack.
const (
	attackTime = 40 * time.Second
	// mostWritten is what one attack may make the gateway write.
	mostWritten = 8 << 20
	// mostGrown is what the gateway's memory may grow by: tables that had been
	// empty, and what is kept for answers that may have to be given again.
	mostGrown = 256 << 20
)

// play runs one attack beside the good calls.
func (y *yard) play(ctx context.Context, a Attack) Result {
	began := time.Now()
	n := &notes{}
	y.begin()
	limited, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	before, memory := y.written(), y.memory()
	y.during(limited, n, func(ctx context.Context) {
		defer func() {
			if p := recover(); p != nil {
				n.wrong("the attack itself failed: %v", p)
			}
		}()
		a.run(y, ctx, n)
	})
	if grew := y.written() - before; grew > mostWritten {
		n.wrong("%d MiB of logs, alerts and records were written: a disk can be filled so", grew>>20)
	}
	if now := y.memory(); now > memory+mostGrown {
		n.wrong("memory grew from %d to %d MiB", memory>>20, now>>20)
	}
	if limited.Err() != nil && ctx.Err() == nil {
		n.wrong("it took longer than %s", attackTime)
	}
	r := Result{Name: a.Name, Title: a.Title, Did: n.did, Saw: n.seen, Wrong: n.bad, Outcome: Held, Seconds: time.Since(began).Seconds()}
	switch {
	case len(n.bad) > 0:
		r.Outcome, r.Advice = Broke, a.Advice
	case n.skipped != "":
		r.Outcome, r.Did = Skipped, n.skipped
	}
	return r
}

// notes are what an attack has to say; attacks of several goroutines join
// theirs.
type notes struct {
	did, skipped string
	seen, bad    []string
}

func (n *notes) saw(format string, args ...any) {
	n.seen = append(n.seen, fmt.Sprintf(format, args...))
}

func (n *notes) wrong(format string, args ...any) {
	const most = 8
	if len(n.bad) < most {
		n.bad = append(n.bad, fmt.Sprintf(format, args...))
	}
}

// skip says why the attack cannot be tried.
func (n *notes) skip(format string, args ...any) { n.skipped = fmt.Sprintf(format, args...) }

// Trust is what telephones need: the sandbox's CA and the domain.
func Trust(pem []byte, domain string) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in the CA's file")
	}
	return &tls.Config{RootCAs: pool, ServerName: domain, MinVersion: tls.VersionTLS12}, nil
}
