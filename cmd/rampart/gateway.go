package main

import (
	"context"
	"crypto/rand"
	cryptotls "crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/fraud/geo"
	"github.com/rampart-sbc/rampart/media"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/digest"
	"github.com/rampart-sbc/rampart/sbc/sdp"
	"github.com/rampart-sbc/rampart/sbc/sipx"
	rtls "github.com/rampart-sbc/rampart/tls"
)

// gateway is the whole program put together: every part with its part of the
// configuration, and the order in which they begin and end.
type gateway struct {
	cfg    *config.Config
	log    *slog.Logger
	sbc    *sbc.Gateway
	media  *media.Plane
	certs  *rtls.Store
	admin  *admin.Server
	geo    *geo.DB
	bus    *alert.Bus
	cdr    *alert.CDR
	event  *alert.Stream
	rep    *reporter
	counts *ratelimit.Engine
	bans   *ratelimit.Bans
	// registeredBefore are the addresses of before a restart; set at start.
	registeredBefore []sbc.SeenSource
	// banByHand wakes the keeper of the file.
	banByHand    chan struct{}
	banFile      stateFile
	failureFile  stateFile
	failuresNow  string   // what became of a file that could not be used; set at start
	roots        []*roots // of PBXs and peers with a CA of their own; set at start
	gate         *ratelimit.Gate
	kernel       kernelDrop
	detectors    *fraud.Engine
	fraudSeen    fraudCounts
	incidents    *incidents
	incidentFile stateFile
	detectorFile stateFile
	fraudEvents  *alert.EventSub // set at start
	// detectorsFound wakes the keeper of what the detectors know.
	detectorsFound chan struct{}

	allowFailing bool // load rules whose tests fail

	policies policies
	drainFor atomic.Int64 // a duration, of the configuration as last read

	stop context.CancelFunc
	wg   sync.WaitGroup
}

// startGateway builds and starts everything. What fails is one clear line;
// nothing is left running then.
func startGateway(cfg *config.Config, log *slog.Logger, options ...func(*gateway)) (g *gateway, err error) {
	g = &gateway{cfg: cfg, log: log}
	g.drainFor.Store(int64(cfg.Drain))
	for _, o := range options {
		o(g)
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	begun := g // returning an error sets g to nil
	defer func() {
		if err != nil {
			begun.close(time.Second)
		}
	}()
	if err := os.MkdirAll(cfg.State, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := g.startPolicy(); err != nil {
		return nil, err
	}
	rules := g.policies.now.set
	lost, err := g.startCounts(limits(cfg, rules))
	if err != nil {
		return nil, err
	}
	if err := g.openReports(rules); err != nil {
		return nil, err
	}
	g.failuresNotLoaded(lost)
	g.startIncidents()
	g.rep.recall.keep(rules)
	if cfg.GeoIP.Country != "" || cfg.GeoIP.ASN != "" {
		if g.geo, err = geo.Open(cfg.GeoIP.Country, cfg.GeoIP.ASN); err != nil {
			return nil, fmt.Errorf("geoip: %w", err)
		}
	}
	if err := g.openCertificates(); err != nil {
		return nil, err
	}
	if g.media, err = media.New(media.Config{
		Public: addresses(cfg.Media.Public), Inside: addresses(cfg.Media.Inside),
		PortMin: cfg.Media.Ports.Min, PortMax: cfg.Media.Ports.Max, Shards: cfg.Media.Shards, DSCP: cfg.Media.DSCP, Log: log,
	}); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	conf, err := g.sbcConfig()
	if err != nil {
		return nil, err
	}
	gate := newGate(cfg)
	g.gate = gate
	g.detectorsFound = make(chan struct{}, 1)
	if g.detectors, err = newDetectors(cfg, rules); err != nil {
		return nil, err
	}
	first := judges(g.counts, rules, g.detectors)
	g.bans, g.banByHand = ratelimit.NewBans(ratelimit.BanCaps{}), make(chan struct{}, 1)
	g.loadBans(time.Now())
	g.loadDetectors()
	deps := sbc.Deps{Bans: g.bans, Media: g.media, Guards: first.Guards, Revision: first.Revision, Gate: gate, Siege: newSiege(cfg.Limits), Plan: first.Plan, Reporter: g.rep, Log: log,
		Refused: g.rep.counters.Refused}
	if g.geo != nil {
		deps.Geo = g.geo
	}
	if o := cfg.Overload; o.Shed {
		from := ratelimit.LoadConfig{Delay: o.Delay, CPU: o.CPU, Memory: o.Memory, Files: o.Files, Calls: o.Calls, Transactions: o.Transactions, PBX: o.PBX}
		deps.Load, deps.Datagrams = ratelimit.NewLoad(from), ratelimit.NewLoad(from)
		deps.Pressure = newPressure().measure
	}
	if g.sbc, err = sbc.New(conf, deps); err != nil {
		return nil, err
	}
	if n := g.sbc.Remember(g.registeredBefore, time.Now()); n > 0 {
		log.Info("addresses that were registered from before the restart", "count", n)
	}
	if cfg.Admin.Listen.IsValid() {
		if g.admin, err = admin.New(admin.Options{Listen: cfg.Admin.Listen.String(), Source: g.source(), Version: version(),
			Calls: admin.CallsFunc(g.callViews), Registrations: admin.RegistrationsFunc(g.registrationViews), Operations: g.operations(), Schemas: schemas(), Log: log}); err != nil {
			return nil, fmt.Errorf("admin: %w", err)
		}
		g.wg.Go(func() {
			if err := g.admin.Serve(); err != nil && ctx.Err() == nil {
				log.Error("admin listener ended", "error", err)
			}
		})
	}
	g.openKernel()
	g.startedPolicy()
	g.fraudEvents = g.event.Subscribe(fraudQueue)
	g.sbc.Start()
	g.wg.Go(func() { g.detect(ctx, g.fraudEvents) })
	g.wg.Go(func() { g.keepKernel(ctx) })
	g.wg.Go(func() { g.watchCertificates(ctx) })
	g.wg.Go(func() { g.heartbeat(ctx) })
	g.wg.Go(func() { g.watchPolicy(ctx) })
	g.wg.Go(func() { g.keepBans(ctx) })
	g.wg.Go(func() { g.keepFailures(ctx) })
	g.wg.Go(func() { g.keepIncidents(ctx) })
	g.wg.Go(func() { g.keepDetectors(ctx) })
	return g, nil
}

// heartbeatEvery is how often an alert says that the gateway lives: its absence
// is the alarm.
const heartbeatEvery = 5 * time.Minute

func (g *gateway) heartbeat(ctx context.Context) {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		up, all := g.sbc.PBXUp()
		g.rep.System(call.SystemEvent{At: time.Now(), Action: call.Heartbeat, Severity: call.Info, Rule: "base/heartbeat", Reason: "alive",
			Subject: call.Subject{Kind: "node", Value: g.cfg.Node},
			Evidence: []call.Evidence{{Name: "calls", Value: g.sbc.Active()}, {Name: "registrations", Value: g.sbc.Bindings()},
				{Name: "pbx.answering", Value: up, Threshold: all}}})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// openReports opens the sinks of alerts, CDRs and events.
func (g *gateway) openReports(rules *policy.Set) error {
	cfg := g.cfg
	meta := alert.Meta{Node: cfg.Node, Version: version(), PolicyRevision: rules.Revision(), NumberData: rules.Plan().Data().Version()}
	open := func(what string, sinks []config.Sink) (out []alert.Sink, err error) {
		for _, s := range sinks {
			f, err := alert.TurningFile(s.File, alert.Turn{Max: int64(s.MaxSize), Keep: s.Kept()})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			out = append(out, f)
		}
		return out, nil
	}
	alerts, err := open("alerts", cfg.Alerts)
	if err != nil {
		return err
	}
	cdrs, err := open("cdr", cfg.CDR)
	if err != nil {
		return err
	}
	events, err := open("events", cfg.Events)
	if err != nil {
		return err
	}
	g.bus = alert.NewBus(alert.Options{Meta: meta, Log: g.log}, alerts...)
	g.cdr = alert.NewCDR(alert.CDROptions{Node: cfg.Node, Log: g.log, Report: g.bus.Degraded}, cdrs...)
	g.event = alert.NewStream(alert.StreamOptions{Node: cfg.Node, Log: g.log, Report: g.bus.Degraded}, events...)
	g.rep = &reporter{bus: g.bus, cdr: g.cdr, events: g.event, counters: admin.NewCounters("malformed", "rate", "handshake", "banned", "connect")}
	g.rep.recall = newRecall()
	g.rep.meta.Store(&meta)
	return nil
}

// openCertificates loads what the configuration names, or makes the private
// CA at first start.
func (g *gateway) openCertificates() error {
	s := rtls.Settings{ClientCA: g.cfg.TLS.ClientCA}
	for _, c := range g.cfg.TLS.Certificates {
		s.Certificates = append(s.Certificates, rtls.Pair{Cert: c.Cert, Key: c.Key})
	}
	if len(s.Certificates) == 0 {
		p, err := g.ensureCA()
		if err != nil {
			return err
		}
		s.Certificates = []rtls.Pair{{Cert: p.Cert, Key: p.Key}}
	}
	for _, p := range g.cfg.Peers {
		if p.Identify.Certificate != "" {
			s.Peers = append(s.Peers, rtls.Peer{Name: p.Name, Certificate: p.Identify.Certificate,
				Rules: rtls.Rules{Wildcard: p.AllowWildcard, ServerOnly: p.AllowServer}})
		}
	}
	var err error
	g.certs, err = rtls.Open(s, time.Now)
	return err
}

func (g *gateway) ensureCA() (rtls.Paths, error) {
	p, created, err := rtls.EnsureCA(g.cfg.State, g.cfg.Domains, publicAddresses(g.cfg), time.Now())
	if err != nil {
		return p, err
	}
	if created {
		g.log.Info("private CA made; phones must trust it", "file", p.CA)
	}
	return p, nil
}

// renewCA issues the server certificate anew when it is time.
func (g *gateway) renewCA() {
	if _, err := g.ensureCA(); err != nil {
		g.failed(call.CertificateLoaded, "tls/ca-not-renewed", "the private CA's certificate was not renewed, the old one stays", err)
	}
}

// publicAddresses are those phones may connect to by number.
func publicAddresses(cfg *config.Config) (out []netip.Addr) {
	add := func(a netip.Addr) {
		if a.IsValid() && !a.IsUnspecified() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	for _, l := range cfg.Listen.TLS {
		add(l.Addr())
	}
	for _, m := range cfg.Media.Public {
		add(m.Advertise)
	}
	return out
}

// watchCertificates reloads certificates whose files changed, renews the
// private CA's, and tells when one is about to expire.
func (g *gateway) watchCertificates(ctx context.Context) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	seen := g.certificateTimes()
	var warned, renewed time.Time
	for {
		if file, at := g.certs.Expires(); time.Until(at) < 21*24*time.Hour && time.Since(warned) > 24*time.Hour {
			warned = time.Now()
			g.rep.System(call.SystemEvent{At: warned, Action: call.CertificateExpiry, Severity: call.High, Rule: "tls/certificate-expiring",
				Reason: fmt.Sprintf("%s expires on %s", filepath.Base(file), at.UTC().Format(time.DateOnly)), Subject: call.Subject{Kind: "node", Value: g.cfg.Node},
				Evidence: []call.Evidence{{Name: "certificate.days_left", Value: int(time.Until(at).Hours() / 24), Threshold: 21}}})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if len(g.cfg.TLS.Certificates) == 0 && time.Since(renewed) > time.Hour {
			renewed = time.Now()
			g.renewCA()
		}
		if now := g.certificateTimes(); !slices.Equal(now, seen) {
			seen = now
			g.reloadCertificates()
		}
	}
}

func (g *gateway) certificateTimes() (out []time.Time) {
	files := []string{g.cfg.TLS.ClientCA}
	for _, r := range g.roots {
		files = append(files, r.file)
	}
	for _, c := range g.certs.Certificates() {
		files = append(files, c.File())
	}
	for _, c := range g.cfg.TLS.Certificates {
		files = append(files, c.Key)
	}
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			out = append(out, st.ModTime())
		}
	}
	return out
}

func (g *gateway) reloadCertificates() {
	err := g.certs.Reload(time.Now())
	for _, r := range g.roots {
		err = errors.Join(err, r.load())
	}
	e := call.SystemEvent{At: time.Now(), Action: call.CertificateLoaded, Severity: call.Info, Rule: "tls/certificate-reloaded",
		Reason: "certificates loaded again; connections that are up go on", Subject: call.Subject{Kind: "node", Value: g.cfg.Node}}
	if err != nil {
		e.Severity, e.Rule, e.Reason = call.High, "tls/certificate-not-loaded", "certificates not loaded, the old ones stay: "+err.Error()
		g.log.Error("certificates not loaded, the old ones stay", "error", err)
		g.rep.Failed(e)
		return
	}
	g.log.Info("certificates loaded again")
	g.rep.System(e)
}

func (g *gateway) drainTime() time.Duration { return time.Duration(g.drainFor.Load()) }

// drain refuses new calls and lets live ones finish until the timeout.
func (g *gateway) drain(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	g.sbc.Drain(ctx)
}

// close ends what was started, in the reverse order.
func (g *gateway) close(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	g.stop()
	if g.sbc != nil {
		g.sbc.Close()
	}
	if g.media != nil {
		g.media.Close()
	}
	if g.admin != nil {
		g.admin.Close(ctx)
	}
	g.wg.Wait()
	g.settleDetectors()
	if g.event != nil {
		g.event.Close(ctx)
	}
	if g.cdr != nil {
		g.cdr.Close(ctx)
	}
	if g.bus != nil {
		g.bus.Close(ctx)
	}
}

// sbcConfig turns the configuration into the gateway's.
func (g *gateway) sbcConfig() (c sbc.Config, err error) {
	cfg := g.cfg
	c = sbc.Config{Node: cfg.Node, Domains: cfg.Domains, Suites: cfg.Media.SRTP.Suites,
		MaxCall: cfg.Media.MaxCall, Inactivity: cfg.Media.Inactivity, SetupTimeout: cfg.Limits.Setup, RetryTimeout: cfg.Limits.Retry, FailoverAfter: cfg.Limits.Failover,
		MinSession: cfg.Limits.Session,
		MaxCalls:   cfg.Limits.Calls, MaxBindings: cfg.Limits.Registrations, ForwardCanonical: cfg.Numbers.Carriers == config.Canonical, InsideCanonical: cfg.Numbers.Forward == config.Canonical,
		Stack: sipx.Config{UDPShards: udpSockets(cfg.Limits), UDPBuffer: int(cfg.Limits.UDPBuffer), NoFilter: !cfg.Limits.SocketFilter, MaxHandshakes: cfg.Limits.Handshakes, MaxHandshakesPerSource: cfg.Limits.SourceShakes, MaxConns: cfg.Limits.Connections, MaxConnsPerSource: cfg.Limits.SourceConns, MaxTransactions: cfg.Limits.Transactions,
			HandshakeTimeout: cfg.Limits.Handshake, IdleTimeout: cfg.Limits.Idle, MessageTimeout: cfg.Limits.Read,
			Limits: sipx.Limits{Message: int(cfg.Limits.Message), HeaderValue: int(cfg.Limits.Header), Headers: cfg.Limits.Headers}},
	}
	c.Registrations = sbc.Registrations{PhoneInterval: cfg.Registrations.PhoneInterval, PBXInterval: cfg.Registrations.PBXInterval,
		Minimum: cfg.Registrations.Minimum, Rate: float64(cfg.Registrations.Rate), Queue: cfg.Registrations.Queue,
		AsGiven: cfg.Phones.Answers == config.AnswersAsGiven}
	if c.Authentication, err = g.authentication(); err != nil {
		return c, err
	}
	c.MaxSubscriptions, c.MaxSubscriptionsPerUser = cfg.Limits.Subscriptions, cfg.Limits.UserSubs
	c.OwnNumbers = cfg.Home.Numbers
	c.Phones = sbc.Phones{Redirects: redirects(cfg.Phones.Redirects), Present: present(cfg.Phones.Identity.Present), STIR: cfg.Phones.Identity.STIR == config.STIRPass, Allowed: cfg.Phones.Identity.Allowed}
	c.Stack.DSCP = cfg.Signalling.DSCP
	for _, s := range cfg.DNS.Servers {
		c.DNS = append(c.DNS, s.AddrPort)
	}
	if len(cfg.Home.Emergency) > 0 {
		c.EmergencyNumber = cfg.Home.Emergency[0]
	}
	min := rtls.Options{}
	if cfg.TLS.MinVersion != "" {
		if min.MinVersion, err = rtls.ParseVersion(cfg.TLS.MinVersion); err != nil {
			return c, fmt.Errorf("tls.min_version: %w", err)
		}
	}
	c.Stack.ServerTLS = g.certs.Server(min)
	for _, side := range []call.Side{call.Public, call.Inside} {
		listen := cfg.Listen
		if side == call.Inside {
			listen = cfg.Inside
		}
		for _, tr := range []string{"tls", "tcp", "udp"} {
			for _, a := range listen.Of(tr) {
				c.Stack.Listeners = append(c.Stack.Listeners, sipx.Listener{Side: side, Transport: tr, Bind: a, Advertise: advertised(cfg, side, a.Addr())})
			}
		}
	}
	client := func(ca string, wildcard bool, host string, own *config.Certificate) (*cryptotls.Config, error) {
		o := min
		o.Rules = rtls.Rules{Wildcard: wildcard}
		conf := g.certs.Client(o, host)
		if ca != "" {
			r := &roots{file: ca}
			if err := r.load(); err != nil {
				return nil, err
			}
			g.roots = append(g.roots, r)
			conf.VerifyConnection = r.verify(g.certs, o, host)
		}
		if own != nil {
			if _, err := rtls.Load(own.Cert, own.Key, time.Now()); err != nil {
				return nil, err
			}
			// Read for each connection: a renewed file counts at once.
			conf.GetClientCertificate = func(*cryptotls.CertificateRequestInfo) (*cryptotls.Certificate, error) {
				c, err := rtls.Load(own.Cert, own.Key, time.Now())
				if err != nil {
					return nil, err
				}
				return c.TLS(), nil
			}
		}
		return conf, nil
	}
	for _, p := range cfg.PBX {
		x := sbc.PBX{Name: p.Name, Host: p.URI.Host, Port: p.URI.Port, Transport: p.URI.Transport, SRTP: srtpPolicy(p.SRTP), Health: p.Health, Failover: p.Failover, Bodies: p.Bodies, Redirects: redirects(p.Redirects)}
		x.Weight, x.Domains = p.Weight, p.Domains
		if x.Transport == "tls" {
			if x.TLS, err = client(p.CA, p.AllowWildcard, p.URI.Host, p.Certificate); err != nil {
				return c, fmt.Errorf("pbx %s: %w", p.Name, err)
			}
		}
		c.PBXs = append(c.PBXs, x)
	}
	for _, p := range cfg.Peers {
		x := sbc.Peer{Name: p.Name, Certificate: p.Identify.Certificate, IP: p.Identify.IP, TechPrefixes: p.TechPrefixes, Wildcard: p.AllowWildcard, ServerOnly: p.AllowServer,
			AllowPlaintext: p.AllowPlaintext, AllowRefer: p.AllowRefer, SRTP: srtpPolicy(p.SRTP), NAT: p.NAT, Transport: "tls", Failover: p.Failover, Bodies: p.Bodies, Redirects: redirects(p.Redirects), Identity: identity(p.Identity)}
		x.Health, x.Register = p.Health, account(p.Register)
		if !p.URI.IsZero() {
			x.Host, x.Port, x.Transport, x.Transports = p.URI.Host, p.URI.Port, p.URI.Transport, transports(cfg, p)
			if x.Transport == "tls" || x.Transport == "" {
				if x.TLS, err = client(p.CA, p.AllowWildcard, p.URI.Host, p.Certificate); err != nil {
					return c, fmt.Errorf("peer %s: %w", p.Name, err)
				}
			}
		}
		c.Peers = append(c.Peers, x)
	}
	for _, r := range cfg.Routes {
		c.Routes = append(c.Routes, sbc.Route{Emergency: r.Match.To.Emergency, Countries: r.Match.To.Country, Prefixes: r.Match.To.Prefix, Peers: r.Peers})
	}
	c.TokenKey, err = tokenKey(filepath.Join(cfg.State, "registration.key"))
	return c, err
}

// account is what a carrier gave us to register with.
func account(r *config.Register) *sbc.TrunkAccount {
	if r == nil {
		return nil
	}
	return &sbc.TrunkAccount{Credentials: digest.Credentials{User: r.User, Password: digest.NewSecret(r.Password.Reveal()), Realm: r.Realm},
		Expires: r.Expires, Contact: r.Contact}
}

// transports are those that the DNS may choose from for a peer whose URI names
// none; where it says nothing, the first one is used.
func transports(cfg *config.Config, p config.Peer) []string {
	out := []string{"tls"}
	if p.AllowPlaintext {
		out = append(out, "tcp")
		if len(cfg.Listen.UDP) > 0 {
			out = append(out, "udp")
		}
	}
	return out
}

// advertised is what Via and Contact show for a listener: its own address, or
// behind 1:1 NAT or on a wildcard address that of the media of its family.
func advertised(cfg *config.Config, side call.Side, bind netip.Addr) netip.Addr {
	ms := cfg.Media.Public
	if side == call.Inside {
		ms = cfg.Media.Inside
	}
	for _, m := range ms {
		if m.Bind.Is4() == bind.Unmap().Is4() && (bind.IsUnspecified() || m.Bind == bind) {
			return m.Advertise
		}
	}
	return netip.Addr{}
}

func addresses(as []config.Address) (out []media.Address) {
	for _, a := range as {
		out = append(out, media.Address{Bind: a.Bind, Advertise: a.Advertise})
	}
	return out
}

func redirects(r config.Redirects) sbc.Redirects {
	switch r {
	case config.RedirectsRelay:
		return sbc.RelayRedirects
	case config.RedirectsFollow:
		return sbc.FollowRedirects
	}
	return sbc.RefuseRedirects
}

func srtpPolicy(p config.SRTPPolicy) sdp.Policy {
	switch p {
	case config.SRTPOff:
		return sdp.SRTPOff
	case config.SRTPOptional:
		return sdp.SRTPOptional
	}
	return sdp.SRTPRequired
}

func identity(i config.Identity) sbc.Identity {
	return sbc.Identity{Trust: i.Trust, Present: present(i.Present), Allowed: i.Allowed, Default: i.Default, STIR: i.STIR == config.STIRPass}
}

func present(p config.Present) sbc.Present {
	switch p {
	case config.PresentFrom:
		return sbc.InFrom
	case config.PresentPAI:
		return sbc.InPAI
	case config.PresentRPID:
		return sbc.InRPID
	}
	return sbc.AsSent
}

// tokenKey reads the key that registration tokens are derived with, or makes
// it: phones keep their place at the PBX over a restart.
func tokenKey(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err == nil {
		if st, err := os.Stat(file); err == nil && st.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("registration key %s can be read by others; run: chmod 600 %s", file, file)
		}
		if len(b) < 32 {
			return nil, fmt.Errorf("registration key %s is damaged (%d bytes, want 32); delete it to make a new one, phones then register again", file, len(b))
		}
		return b, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("registration key: %w", err)
	}
	b = make([]byte, 32)
	rand.Read(b)
	tmp := file + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return nil, fmt.Errorf("registration key: %w", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return nil, fmt.Errorf("registration key: %w", err)
	}
	return b, nil
}

// reporter sends what the gateway tells to everybody who reads it.
type reporter struct {
	bus      *alert.Bus
	cdr      *alert.CDR
	events   *alert.Stream
	counters *admin.Counters
	quality  admin.Quality
	recall   *recall // of decisions, for explanations
	meta     atomic.Pointer[alert.Meta]
}

func (r *reporter) Decision(a *call.Attempt, d call.Decision) {
	r.recall.recent.Add(a, &d)
	r.counters.Decision(a, d)
	for _, e := range alert.All(a, d, *r.meta.Load()) {
		r.bus.Publish(e)
	}
}

func (r *reporter) System(e call.SystemEvent) { r.bus.Publish(alert.FromSystem(e, *r.meta.Load())) }

// Failed is a System event whose outcome is failure. It has a rule of its own,
// so that it is never folded into a success.
func (r *reporter) Failed(e call.SystemEvent) {
	r.bus.Publish(alert.FromSystem(e, *r.meta.Load()).Failed())
}

// Record: what the PBX sends is known even where it names no user.
func (r *reporter) Record(x call.Record) {
	r.recall.record(&x)
	r.quality.Record(x)
	if x.Account != "" {
		r.cdr.WriteKnown(x)
		return
	}
	r.cdr.Write(x)
}

func (r *reporter) Event(e call.Event) { r.events.Write(e) }
