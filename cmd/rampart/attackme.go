package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/internal/attack"
	"github.com/rampart-sbc/rampart/sbc/digest"
)

// attackMeCmd attacks the operator's own configuration in a sandbox.
type attackMeCmd struct {
	Config  string   `short:"c" help:"Configuration file. Default: ./rampart.yaml, then /etc/rampart/rampart.yaml." type:"path" placeholder:"FILE"`
	Only    []string `help:"Play these attacks only." placeholder:"NAME"`
	List    bool     `help:"List the attacks."`
	Torture string   `help:"A folder with further messages (*.dat) to send, such as those of RFC 4475." type:"existingdir" placeholder:"DIR"`
	JSON    bool     `name:"json" help:"Print the report card as JSON."`
	Verbose bool     `short:"v" help:"Show what the telephones of the sandbox have to say, on stderr."`
}

// Help is shown under the flags.
func (attackMeCmd) Help() string {
	return "Starts a gateway with this configuration in a sandbox on loopback addresses: its limits, rules and profile, with a PBX, telephones and " +
		"certificates of the sandbox's own. Then it attacks it, while telephones make calls, and prints a report card. The gateway that may be running, " +
		"the PBX and the carriers get nothing of it. Takes about two minutes and much of the processor. Ends with 1 when an attack was not held off.\n\n" +
		"Example:\n  rampart attack-me -c /etc/rampart/rampart.yaml"
}

func (c *attackMeCmd) Run(app *app) error {
	if c.List {
		for _, a := range attack.Attacks() {
			fmt.Fprintf(app.stdout, "%-16s %s\n", a.Name, a.Title)
		}
		return nil
	}
	path := app.configPath(c.Config)
	cfg, ps := config.Load(path, app.host)
	if cfg == nil {
		return failure(listed("configuration", ps))
	}
	if len(cfg.Listen.TLS) == 0 {
		return failure(errors.New("the configuration has no public TLS listener (listen.tls), so no telephone could call meanwhile"))
	}
	dir, err := os.MkdirTemp("", "rampart-attack-me-")
	if err != nil {
		return failure(err)
	}
	defer os.RemoveAll(dir)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	card := &reportCard{out: app.stdout, quiet: c.JSON}
	o := attack.Options{Only: c.Only, Torture: c.Torture, Told: card.told,
		Start: func(p attack.Place) (*attack.Gateway, error) {
			return startSandbox(sandbox{File: path, Dir: dir, Place: p})
		}}
	if c.Verbose {
		o.Log = func(format string, args ...any) { fmt.Fprintf(app.stderr, format+"\n", args...) }
	}
	for _, name := range c.Only {
		if !strings.Contains(" "+strings.Join(attack.Names(), " ")+" ", " "+name+" ") {
			return usageError{fmt.Errorf("no attack is called %q; --list shows them", name)}
		}
	}
	card.sayf("Attacking %s (profile %s) in a sandbox on loopback. Nothing outside this computer is touched.\n", path, cfg.Profile)
	results, err := attack.Run(ctx, o)
	if err != nil {
		return failure(fmt.Errorf("attack-me: %w", err))
	}
	return card.close(results)
}

// sandboxed makes a configuration that is the operator's in all that protects
// it, and touches nothing outside the sandbox.
func sandboxed(cfg config.Config, p attack.Place, dir string) (config.Config, netip.Addr, error) {
	var errs []error
	at := func(network string) []netip.AddrPort {
		a, err := freePort(network, p.Self)
		errs = append(errs, err)
		return []netip.AddrPort{a}
	}
	listen := config.Listen{TLS: at("tcp")}
	if len(cfg.Listen.UDP) > 0 {
		listen.UDP = at("udp")
	}
	if len(cfg.Listen.TCP) > 0 {
		listen.TCP = at("tcp")
	}
	cfg.Listen, cfg.Inside = listen, config.Listen{UDP: at("udp")}
	here := []config.Address{{Bind: p.Self, Advertise: p.Self}}
	cfg.Media.Public, cfg.Media.Inside = here, here
	cfg.TLS.Certificates, cfg.Admin.Listen = nil, config.Optional{}
	cfg.State, cfg.Store.Path = dir, dir
	file := func(name string) []config.Sink { return []config.Sink{{File: filepath.Join(dir, name)}} }
	cfg.Alerts, cfg.CDR = file("alerts.jsonl"), file("cdr.jsonl")
	if len(cfg.Events) > 0 { // every attempt is in them, by design
		cfg.Events = file("events.jsonl")
	}
	cfg.DNS = config.DNS{}
	cfg.Kernel = config.Defaults(cfg.Profile).Kernel // off: the kernel is not the sandbox's
	cfg.Policy.Watch = false

	pbx := cfg.PBX[0]
	pbx.URI = config.URI{Host: p.PBX.Addr().String(), Addr: p.PBX.Addr(), Port: p.PBX.Port(), Transport: "udp"}
	pbx.SRTP, pbx.CA, pbx.Certificate, pbx.Domains, pbx.Health, pbx.Realm = config.SRTPOff, "", nil, nil, 0, ""
	cfg.PBX = []config.PBX{pbx}
	var trunk netip.Addr
	peers := make([]config.Peer, len(cfg.Peers))
	for i, q := range cfg.Peers {
		q.Register, q.Health, q.CA, q.Certificate = nil, 0, "", nil
		if !q.URI.IsZero() { // nobody is there
			q.URI = config.URI{Host: p.Trunk.String(), Addr: p.Trunk, Port: uint16(6000 + i), Transport: "tls"}
		}
		if q.Identify.Certificate == "" && len(q.Identify.IP) > 0 && q.AllowPlaintext && !trunk.IsValid() {
			trunk = p.Trunk
			q.Identify.IP = []netip.Prefix{netip.PrefixFrom(trunk, 32)}
		}
		peers[i] = q
	}
	cfg.Peers = peers
	if cfg.Authentication.File != "" {
		cfg.Authentication.File = filepath.Join(dir, "users.digest")
		errs = append(errs, sandboxUsers(cfg.Authentication.File, cfg.Realms()[0], p.Users))
	}
	return cfg, trunk, errors.Join(errs...)
}

// sandboxUsers writes the users of the sandbox where the operator's would be.
func sandboxUsers(file, realm string, users map[string]string) error {
	var lines []digest.Entry
	for _, u := range sortedKeys(users) {
		for _, algorithm := range []string{digest.SHA256, digest.MD5} {
			lines = append(lines, digest.Entry{User: u, Realm: realm, Algorithm: algorithm}.WithPassword(users[u]))
		}
	}
	return writeUsersFile(file, "", lines)
}

// freePort is one that nobody has: a gateway that runs may have the usual ones
// on all addresses.
func freePort(network string, a netip.Addr) (netip.AddrPort, error) {
	at := netip.AddrPortFrom(a, 0)
	if network == "udp" {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return at, fmt.Errorf("find a free port: %w", err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).AddrPort(), nil
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return at, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

// reportCard prints results as they come.
type reportCard struct {
	out   io.Writer
	quiet bool
}

func (r *reportCard) sayf(format string, args ...any) {
	if !r.quiet {
		fmt.Fprintf(r.out, format+"\n", args...)
	}
}

func (r *reportCard) told(x attack.Result) {
	grade := map[attack.Outcome]string{attack.Held: "held", attack.Broke: "BROKE", attack.Skipped: "-"}[x.Outcome]
	r.sayf("%-6s %-15s %s", grade, x.Name, x.Title)
	if x.Did != "" {
		r.sayf("%22s %s", "", x.Did)
	}
	for _, s := range x.Saw {
		r.sayf("%22s %s", "", s)
	}
	for _, s := range x.Wrong {
		r.sayf("%20s ! %s", "", s)
	}
	if x.Advice != "" {
		r.sayf("%20s > %s", "", x.Advice)
	}
}

// close prints the sum. An attack that was not held off is a finding: exit 1.
func (r *reportCard) close(results []attack.Result) error {
	count := map[attack.Outcome]int{}
	for _, x := range results {
		count[x.Outcome]++
	}
	if r.quiet {
		if results == nil {
			results = []attack.Result{}
		}
		enc := json.NewEncoder(r.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(struct {
			Held    int             `json:"held"`
			Broke   int             `json:"broke"`
			Skipped int             `json:"skipped"`
			Attacks []attack.Result `json:"attacks"`
		}{count[attack.Held], count[attack.Broke], count[attack.Skipped], results}); err != nil {
			return failure(err)
		}
	}
	r.sayf("\n%d attacks: %d held off, %d not, %d could not be tried on this configuration.", len(results), count[attack.Held], count[attack.Broke], count[attack.Skipped])
	if n := count[attack.Broke]; n > 0 {
		return failure(fmt.Errorf("attack-me: %d attacks were not held off", n))
	}
	return nil
}
