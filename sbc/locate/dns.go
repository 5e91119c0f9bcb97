package locate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	typeA     = dns.TypeA
	typeAAAA  = dns.TypeAAAA
	typeSRV   = dns.TypeSRV
	typeNAPTR = dns.TypeNAPTR
)

// Config of a Resolver. Zero values mean the defaults given.
type Config struct {
	Servers []netip.AddrPort // none: those of ResolvConf
	// ResolvConf and Hosts are read again when they change
	// (/etc/resolv.conf, /etc/hosts).
	ResolvConf, Hosts string
	Timeout           time.Duration // for one question to one server (1 s)
	Now               func() time.Time
}

// Resolver asks and remembers. It is safe for concurrent use.
type Resolver struct {
	cfg   Config
	now   func() time.Time
	hosts *hostsFile
	conf  *resolvConf
	cache cache
}

// New makes a Resolver. It reads and asks nothing yet.
func New(cfg Config) *Resolver {
	if cfg.ResolvConf == "" {
		cfg.ResolvConf = "/etc/resolv.conf"
	}
	if cfg.Hosts == "" {
		cfg.Hosts = "/etc/hosts"
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &Resolver{cfg: cfg, now: cfg.Now, hosts: &hostsFile{file: watched{path: cfg.Hosts}}, conf: &resolvConf{file: watched{path: cfg.ResolvConf}}}
	r.cache.init()
	return r
}

// records gives the records of a name, from the cache while they are good. A
// name of too few dots is looked for in the search list of resolv.conf.
func (r *Resolver) records(ctx context.Context, name string, t uint16) (entry, error) {
	names := []string{dns.Fqdn(name)}
	if len(r.cfg.Servers) == 0 && !strings.Contains(name, ".") {
		names = r.conf.names(name)
	}
	var err error
	for _, n := range names {
		var e entry
		if e, err = r.one(ctx, n, t); err == nil || !errors.Is(err, ErrNotFound) {
			return e, err
		}
	}
	return entry{}, err
}

func (r *Resolver) one(ctx context.Context, name string, t uint16) (entry, error) {
	if len(name) > 254 {
		return entry{}, fmt.Errorf("%.60s…: name too long: %w", name, ErrNotFound)
	}
	k := cacheKey{strings.ToLower(name), t}
	now := r.now()
	if e, ok := r.cache.get(k, now); ok {
		return e.answer()
	}
	// One question at a time for one thing, whoever asks for it.
	defer r.cache.turn(ctx, k)()
	if e, ok := r.cache.get(k, r.now()); ok {
		return e.answer()
	}
	e, err := r.ask(ctx, name, t, 0)
	if err != nil {
		if old, ok := r.cache.last(k, now); ok {
			old.stale, old.expires = true, now.Add(staleTTL)
			r.cache.put(k, old, now)
			return old.answer()
		}
		return entry{}, err
	}
	r.cache.put(k, e, now)
	return e.answer()
}

// ask puts one question to the servers in turn and follows CNAMEs.
func (r *Resolver) ask(ctx context.Context, name string, t uint16, depth int) (entry, error) {
	if depth > maxChain {
		return entry{}, fmt.Errorf("%s: more than %d CNAMEs", name, maxChain)
	}
	m, err := r.exchange(ctx, name, t)
	if err != nil {
		return entry{}, err
	}
	now := r.now()
	answers := m.Answer[:min(len(m.Answer), maxRecords)]
	at, ttl := dns.CanonicalName(name), maxTTL
	for hops := 0; ; hops++ {
		var e entry
		next := ""
		for _, rr := range answers {
			h := rr.Header()
			if h.Class != dns.ClassINET || dns.CanonicalName(h.Name) != at {
				continue
			}
			life := time.Duration(h.Ttl) * time.Second
			if c, ok := rr.(*dns.CNAME); ok && t != dns.TypeCNAME {
				next, ttl = dns.CanonicalName(c.Target), min(ttl, life)
				continue
			}
			if h.Rrtype == t && e.add(rr) {
				ttl = min(ttl, life)
			}
		}
		if !e.empty() {
			e.expires = now.Add(max(ttl, minTTL))
			return e, nil
		}
		switch {
		case next == "" && at == dns.CanonicalName(name):
			return entry{negative: true, expires: now.Add(negativeTTL(m))}, nil
		case next == "" || hops >= maxChain:
			// The chain goes on elsewhere.
			if at == dns.CanonicalName(name) || m.Rcode == dns.RcodeNameError {
				return entry{negative: true, expires: now.Add(negativeTTL(m))}, nil
			}
			e, err := r.ask(ctx, at, t, depth+1+hops)
			if limit := now.Add(max(ttl, minTTL)); err == nil && limit.Before(e.expires) {
				e.expires = limit
			}
			return e, err
		}
		at = next
	}
}

// exchange asks the servers until one answers. A truncated answer is asked
// for again over TCP (RFC 7766). Each question has a random id and comes from
// a port of its own.
func (r *Resolver) exchange(ctx context.Context, name string, t uint16) (*dns.Msg, error) {
	servers := r.cfg.Servers
	if len(servers) == 0 {
		servers = r.conf.servers()
	}
	if len(servers) == 0 {
		return nil, errors.New("no DNS server is known")
	}
	err := errors.New("no answer")
	for try := range 2 {
		for _, s := range servers[:min(len(servers), maxServers)] {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("ask for %s %s: %w", name, dns.TypeToString[t], errors.Join(ctx.Err(), err))
			}
			q := new(dns.Msg)
			q.SetQuestion(name, t)
			q.SetEdns0(1232, false)
			m, e := r.put(ctx, "udp", q, s, r.cfg.Timeout<<try)
			if e == nil && m.Truncated {
				m, e = r.put(ctx, "tcp", q, s, r.cfg.Timeout<<try)
			}
			switch {
			case e != nil:
				err = fmt.Errorf("ask %s for %s %s: %w", s, name, dns.TypeToString[t], e)
			case m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError:
				return m, nil
			default:
				err = fmt.Errorf("ask %s for %s %s: %s", s, name, dns.TypeToString[t], dns.RcodeToString[m.Rcode])
			}
		}
	}
	return nil, err
}

var errOther = errors.New("the answer is to another question")

func (r *Resolver) put(ctx context.Context, network string, q *dns.Msg, s netip.AddrPort, d time.Duration) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	c := dns.Client{Net: network, Timeout: d}
	conn, err := c.DialContext(ctx, s.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // the library reads on
	m, _, err := c.ExchangeWithConnContext(ctx, q, conn)
	if err != nil {
		return nil, err
	}
	if !m.Response || m.Id != q.Id || len(m.Question) != 1 || m.Question[0].Qtype != q.Question[0].Qtype ||
		!strings.EqualFold(m.Question[0].Name, q.Question[0].Name) {
		return nil, errOther
	}
	return m, nil
}

// negativeTTL is how long "there is none" holds (RFC 2308 §5).
func negativeTTL(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			d := time.Duration(min(soa.Minttl, soa.Hdr.Ttl)) * time.Second
			return min(max(d, minTTL), maxNegative)
		}
	}
	return minTTL
}

// maxServers bounds how many are asked, of resolv.conf as of the configuration.
const maxServers = 4

// resolvConf is /etc/resolv.conf as it is now.
type resolvConf struct {
	file watched
	conf *dns.ClientConfig
}

func (c *resolvConf) read() *dns.ClientConfig {
	c.file.mu.Lock()
	defer c.file.mu.Unlock()
	if c.file.changed() {
		if conf, err := dns.ClientConfigFromFile(c.file.path); err == nil {
			c.conf = conf
		}
	}
	return c.conf
}

func (c *resolvConf) servers() (out []netip.AddrPort) {
	conf := c.read()
	if conf == nil {
		return nil
	}
	for _, s := range conf.Servers {
		if ap, err := netip.ParseAddrPort(net.JoinHostPort(s, conf.Port)); err == nil {
			out = append(out, ap)
		}
	}
	return out
}

func (c *resolvConf) names(name string) []string {
	conf := c.read()
	if conf == nil {
		return []string{dns.Fqdn(name)}
	}
	ns := conf.NameList(name)
	return slices.Clone(ns[:min(len(ns), 8)])
}
