package locate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// zone is a DNS server on loopback that says what the test wants.
type zone struct {
	t    *testing.T
	addr netip.AddrPort

	mu      sync.Mutex
	records map[string][]dns.RR // by "name type"
	alter   func(m *dns.Msg, network string)
	asked   []string
	silent  atomic.Bool
}

// samePort binds UDP and TCP to one port of the host's choice: what is free for
// the one may be taken for the other.
func samePort(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for try := 0; ; try++ {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, ln
		}
		pc.Close()
		if try == 20 {
			t.Fatal(err)
		}
	}
}

func newZone(t *testing.T, lines ...string) *zone {
	t.Helper()
	z := &zone{t: t, records: map[string][]dns.RR{}}
	pc, ln := samePort(t)
	z.addr = netip.MustParseAddrPort(pc.LocalAddr().String())
	for _, s := range []*dns.Server{{PacketConn: pc}, {Listener: ln}} {
		network := "udp"
		if s.Listener != nil {
			network = "tcp"
		}
		s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { z.serve(w, q, network) })
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		go s.ActivateAndServe()
		<-up
		t.Cleanup(func() { s.Shutdown() })
	}
	z.set(lines...)
	return z
}

func (z *zone) set(lines ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			z.t.Fatal(err)
		}
		k := rr.Header().Name + " " + dns.TypeToString[rr.Header().Rrtype]
		z.records[k] = append(z.records[k], rr)
	}
}

func (z *zone) serve(w dns.ResponseWriter, q *dns.Msg, network string) {
	if z.silent.Load() {
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	name, typ := q.Question[0].Name, dns.TypeToString[q.Question[0].Qtype]
	z.asked = append(z.asked, network+" "+name+" "+typ)
	m := new(dns.Msg)
	m.SetReply(q)
	for range 20 {
		if rrs := z.records[name+" "+typ]; len(rrs) > 0 {
			m.Answer = append(m.Answer, rrs...)
			break
		}
		c := z.records[name+" CNAME"]
		if len(c) == 0 {
			m.Rcode = dns.RcodeNameError
			soa, _ := dns.NewRR("test. 60 IN SOA ns.test. x.test. 1 1 1 1 60")
			m.Ns = []dns.RR{soa}
			break
		}
		m.Answer = append(m.Answer, c...)
		name = c[0].(*dns.CNAME).Target
	}
	if z.alter != nil {
		z.alter(m, network)
	}
	if network == "udp" {
		m.Truncate(1232)
	}
	w.WriteMsg(m)
}

// lies makes every answer another one.
func (z *zone) lies(f func(m *dns.Msg, network string)) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.alter = f
}

func (z *zone) questions() int { z.mu.Lock(); defer z.mu.Unlock(); return len(z.asked) }

// clock is a time that the test moves.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(1_800_000_000, c.ns.Load()) }
func (c *clock) pass(d time.Duration) { c.ns.Add(int64(d)) }

func resolver(t *testing.T, c *clock, servers ...netip.AddrPort) *Resolver {
	none := filepath.Join(t.TempDir(), "none")
	cfg := Config{Servers: servers, Hosts: none, ResolvConf: none, Timeout: 2 * time.Second}
	if c != nil {
		cfg.Now = c.now
	}
	return New(cfg)
}

func text(a Answer) string {
	var out []string
	for _, t := range a.Targets(func(int) int { return 0 }) {
		out = append(out, t.Transport+" "+t.Addr.String())
	}
	return strings.Join(out, ", ")
}

func TestFind(t *testing.T) {
	z := newZone(t,
		`naptr.test. 300 IN NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp.naptr.test.`,
		`naptr.test. 300 IN NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp.elsewhere.test.`,
		`_sips._tcp.elsewhere.test. 300 IN SRV 20 0 5071 b.test.`,
		`_sips._tcp.elsewhere.test. 300 IN SRV 10 0 5061 a.test.`,
		`_sip._udp.naptr.test. 300 IN SRV 10 0 5062 a.test.`,
		`a.test. 300 IN A 192.0.2.1`,
		`a.test. 300 IN AAAA 2001:db8::1`,
		`b.test. 300 IN A 192.0.2.2`,
		`_sip._udp.srv.test. 300 IN SRV 10 0 5080 alias.test.`,
		`_sip._udp.srv.test. 300 IN SRV 20 0 5080 gone.test.`,
		`alias.test. 300 IN CNAME alias2.test.`,
		`alias2.test. 300 IN CNAME b.test.`,
		`_sips._tcp.closed.test. 300 IN SRV 0 0 0 .`,
		`closed.test. 300 IN A 192.0.2.9`,
		`loop.test. 300 IN CNAME loop2.test.`,
		`loop2.test. 300 IN CNAME loop.test.`,
		`badptr.test. 300 IN NAPTR 10 10 "s" "SIP+D2T" "" _sip._tcp.badptr.test.`,
		`_sips._tcp.badptr.test. 300 IN SRV 1 1 5061 b.test.`,
	)
	all := []string{"tls", "tcp", "udp"}
	for _, c := range []struct{ name, q, want string }{
		{"NAPTR, SRV, A and AAAA", "naptr.test", "tls [2001:db8::1]:5061, tls 192.0.2.1:5061, tls 192.0.2.2:5071, udp [2001:db8::1]:5062, udp 192.0.2.1:5062"},
		{"in capitals and with a dot", "NAPTR.test.", "tls [2001:db8::1]:5061, tls 192.0.2.1:5061, tls 192.0.2.2:5071, udp [2001:db8::1]:5062, udp 192.0.2.1:5062"},
		{"transport given: no NAPTR", "naptr.test;udp", "udp [2001:db8::1]:5062, udp 192.0.2.1:5062"},
		{"transport given without SRV", "a.test;tcp", "tcp [2001:db8::1]:5060, tcp 192.0.2.1:5060"},
		{"port given: no SRV", "a.test:5099;udp", "udp [2001:db8::1]:5099, udp 192.0.2.1:5099"},
		{"port given, no transport", "b.test:5099", "tls 192.0.2.2:5099"},
		{"an address", "192.0.2.7", "tls 192.0.2.7:5061"},
		{"an address with transport", "[2001:db8::7];udp", "udp [2001:db8::7]:5060"},
		{"no NAPTR; one SRV target is gone, the other an alias", "srv.test", "udp 192.0.2.2:5080"},
		{"nothing but an address record", "b.test", "tls 192.0.2.2:5061"},
		{"a NAPTR of no transport we have", "badptr.test|tls", "tls 192.0.2.2:5061"},
		{"the service is not offered", "closed.test;tls", "no such host"},
		{"nowhere", "nowhere.test", "no such host"},
		{"CNAMEs in a circle", "loop.test", "find loop.test: "},
		{"a name too long", strings.Repeat("a.", 200) + "test", "name too long"},
		{"a label too long", strings.Repeat("a", 70) + ".test", "bad rdata"},
	} {
		q := Query{Transports: all, IPv4: true, IPv6: true}
		rest, may, ok := strings.Cut(c.q, "|")
		if ok {
			q.Transports = []string{may}
		}
		rest, q.Transport, _ = strings.Cut(rest, ";")
		q.Host = rest
		if h, p, ok := strings.Cut(rest, ":"); ok && !strings.HasPrefix(rest, "[") {
			q.Host = h
			fmt.Sscan(p, &q.Port)
		}
		a, err := resolver(t, nil, z.addr).Find(t.Context(), q)
		got := text(a)
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %s\n got %s\nwant %s", c.name, c.q, got, c.want)
		}
	}
	// Only the families that we have are asked for.
	a, err := resolver(t, nil, z.addr).Find(t.Context(), Query{Host: "a.test", Port: 1, Transport: "udp", IPv4: true})
	if err != nil || text(a) != "udp 192.0.2.1:1" || !a.Has(netip.MustParseAddr("192.0.2.1")) || a.Has(netip.MustParseAddr("2001:db8::1")) {
		t.Errorf("%s %v", text(a), err)
	}
}

var a4 = Query{Host: "a.test", Port: 5060, Transport: "udp", IPv4: true}

func TestCache(t *testing.T) {
	c := &clock{}
	z := newZone(t, `a.test. 100 IN A 192.0.2.1`, `short.test. 0 IN A 192.0.2.1`, `long.test. 999999 IN A 192.0.2.1`)
	r := resolver(t, c, z.addr)
	find := func(host string) (Answer, error) {
		q := a4
		q.Host = host
		return r.Find(t.Context(), q)
	}
	for _, s := range []struct {
		host       string
		keeps, end time.Duration
		ok         bool
	}{{"a.test", 99 * time.Second, 100 * time.Second, true}, {"short.test", 4 * time.Second, minTTL, true},
		{"long.test", maxTTL - time.Second, maxTTL, true}, {"none.test", 59 * time.Second, time.Minute, false}} {
		start := z.questions()
		for _, p := range []struct {
			after time.Duration
			more  int
		}{{0, 1}, {s.keeps, 1}, {s.end - s.keeps, 2}} {
			c.pass(p.after)
			a, err := find(s.host)
			if (err == nil) != s.ok || !s.ok && !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v", s.host, err)
			}
			if n := z.questions() - start; n != p.more {
				t.Errorf("%s: %d questions after %v, want %d", s.host, n, p.after, p.more)
			}
			if s.ok && p.after == 0 && a.Expires.Sub(c.now()) != s.end {
				t.Errorf("%s: good for %v, want %v", s.host, a.Expires.Sub(c.now()), s.end)
			}
		}
	}
	for i := range maxEntries + 500 {
		r.cache.put(cacheKey{fmt.Sprint(i), typeA}, entry{expires: c.now()}, c.now())
	}
	if n := len(r.cache.entries); n > maxEntries {
		t.Errorf("%d entries", n)
	}
}

// TestStale: what was known stays in use while the DNS is gone, for a day.
func TestStale(t *testing.T) {
	c := &clock{}
	z := newZone(t, `a.test. 60 IN A 192.0.2.1`)
	r := resolver(t, c, z.addr)
	r.cfg.Timeout = 20 * time.Millisecond
	for want := range 3 {
		if want == 1 {
			z.silent.Store(true)
			c.pass(time.Minute)
		}
		if want == 2 {
			c.pass(maxStale - time.Minute - time.Second)
		}
		a, err := r.Find(t.Context(), a4)
		if err != nil || text(a) != "udp 192.0.2.1:5060" || a.Stale != (want > 0) {
			t.Fatalf("%d: %s %v stale %v", want, text(a), err, a.Stale)
		}
	}
	c.pass(time.Minute)
	if a, err := r.Find(t.Context(), a4); err == nil {
		t.Errorf("%s after a day without DNS", text(a))
	}
	z.silent.Store(false)
	r.cfg.Timeout = 2 * time.Second
	if a, err := r.Find(t.Context(), a4); err != nil || a.Stale {
		t.Errorf("the DNS is back: %v stale %v", err, a.Stale)
	}
}

// TestStaleNotWhenGone: a host that the DNS says is gone is gone.
func TestStaleNotWhenGone(t *testing.T) {
	c := &clock{}
	z := newZone(t, `a.test. 60 IN A 192.0.2.1`)
	r := resolver(t, c, z.addr)
	r.Find(t.Context(), a4)
	c.pass(time.Minute)
	z.mu.Lock()
	clear(z.records)
	z.mu.Unlock()
	if a, err := r.Find(t.Context(), a4); !errors.Is(err, ErrNotFound) {
		t.Errorf("%s %v", text(a), err)
	}
}

func TestTruncated(t *testing.T) {
	z := newZone(t, `a.test. 60 IN A 192.0.2.1`, `a.test. 60 IN A 192.0.2.2`)
	z.lies(func(m *dns.Msg, network string) {
		if network == "udp" {
			m.Truncated, m.Answer = true, m.Answer[:1]
		}
	})
	a, err := resolver(t, nil, z.addr).Find(t.Context(), a4)
	if err != nil || text(a) != "udp 192.0.2.1:5060, udp 192.0.2.2:5060" {
		t.Errorf("%s %v", text(a), err)
	}
}

// TestServers: one that is silent or fails does not keep the next from being
// asked; an answer to another question is none.
func TestServers(t *testing.T) {
	good := newZone(t, `a.test. 60 IN A 192.0.2.1`)
	for name, bad := range map[string]func(*zone){
		"silent":         func(z *zone) { z.silent.Store(true) },
		"failing":        func(z *zone) { z.lies(func(m *dns.Msg, _ string) { m.Rcode = dns.RcodeServerFailure }) },
		"refusing":       func(z *zone) { z.lies(func(m *dns.Msg, _ string) { m.Rcode = dns.RcodeRefused }) },
		"other question": func(z *zone) { z.lies(func(m *dns.Msg, _ string) { m.Question[0].Name = "b.test." }) },
		"other id":       func(z *zone) { z.lies(func(m *dns.Msg, _ string) { m.Id++ }) },
		"no response":    func(z *zone) { z.lies(func(m *dns.Msg, _ string) { m.Response = false }) },
	} {
		z := newZone(t, `a.test. 60 IN A 192.0.2.66`)
		bad(z)
		r := resolver(t, nil, z.addr, good.addr)
		r.cfg.Timeout = 300 * time.Millisecond
		if a, err := r.Find(t.Context(), a4); err != nil || text(a) != "udp 192.0.2.1:5060" {
			t.Errorf("%s: %s %v", name, text(a), err)
		}
	}
}

// TestCaps: a server that says very much is believed some of it.
func TestCaps(t *testing.T) {
	z := newZone(t)
	for i := range 200 {
		z.set(fmt.Sprintf("many.test. 60 IN A 192.0.2.%d", i+1), fmt.Sprintf("_sip._udp.many.test. 60 IN SRV 1 1 5060 h%d.test.", i),
			fmt.Sprintf("h%d.test. 60 IN A 198.51.100.%d", i, i+1))
	}
	r := resolver(t, nil, z.addr)
	q := a4
	q.Host = "many.test"
	if a, err := r.Find(t.Context(), q); err != nil || len(a.Targets(nil)) != maxAddrs {
		t.Errorf("%d addresses %v", len(a.Targets(nil)), err)
	}
	q.Port = 0
	before := z.questions()
	a, err := r.Find(t.Context(), q)
	if n := z.questions() - before; err != nil || len(a.Targets(nil)) != maxTargets || n > maxHosts+2 { // one is asked again over TCP
		t.Errorf("%d targets, %d questions, %v", len(a.Targets(nil)), n, err)
	}
	chain := newZone(t, `c99.test. 60 IN A 192.0.2.1`)
	for i := range 99 {
		chain.set(fmt.Sprintf("c%d.test. 60 IN CNAME c%d.test.", i, i+1))
	}
	chain.lies(func(m *dns.Msg, _ string) { m.Answer = m.Answer[:min(1, len(m.Answer))]; m.Rcode = dns.RcodeSuccess })
	q.Host, q.Port = "c0.test", 5060
	if a, err := resolver(t, nil, chain.addr).Find(t.Context(), q); err == nil || chain.questions() > 2*maxChain {
		t.Errorf("a chain of 99: %s after %d questions", text(a), chain.questions())
	}
	q.Host = "c95.test"
	if a, err := resolver(t, nil, chain.addr).Find(t.Context(), q); err != nil {
		t.Errorf("a chain of 4: %s %v", text(a), err)
	}
}

// TestOneQuestion: many who want to know the same at once ask once.
func TestOneQuestion(t *testing.T) {
	z := newZone(t, `a.test. 60 IN A 192.0.2.1`)
	r := resolver(t, nil, z.addr)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := r.Find(t.Context(), a4); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := z.questions(); n != 1 {
		t.Errorf("%d questions", n)
	}
}

func TestCancelled(t *testing.T) {
	z := newZone(t)
	z.silent.Store(true)
	r := resolver(t, nil, z.addr)
	r.cfg.Timeout = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := r.Find(ctx, a4); done <- err }()
	cancel()
	if err := <-done; err == nil {
		t.Error("found without an answer")
	}
}

func TestFiles(t *testing.T) {
	z := newZone(t, `pbx.corp.test. 60 IN A 192.0.2.1`, `a.test. 60 IN A 192.0.2.2`)
	dir := t.TempDir()
	hosts, conf := filepath.Join(dir, "hosts"), filepath.Join(dir, "resolv.conf")
	write := func(file, s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(hosts, "# comment\n198.51.100.1 Carrier.test other # x\n2001:db8::5 carrier.test\nnonsense carrier.test\n")
	write(conf, "nameserver 127.0.0.1\nsearch none.test corp.test\noptions ndots:1\n")
	r := New(Config{Hosts: hosts, ResolvConf: conf, Timeout: 2 * time.Second})
	r.conf.read().Port = fmt.Sprint(z.addr.Port())
	for host, want := range map[string]string{
		"carrier.test": "udp [2001:db8::5]:5060, udp 198.51.100.1:5060", "other": "udp 198.51.100.1:5060",
		"localhost": "udp [::1]:5060, udp 127.0.0.1:5060", "pbx": "udp 192.0.2.1:5060", "a.test": "udp 192.0.2.2:5060",
	} {
		q := a4
		q.Host, q.IPv6 = host, true
		if a, err := r.Find(t.Context(), q); err != nil || text(a) != want {
			t.Errorf("%s: %s %v, want %s", host, text(a), err, want)
		}
	}
	write(hosts, "198.51.100.77 carrier.test\n")
	q := a4
	q.Host = "carrier.test"
	for deadline := time.Now().Add(10 * time.Second); ; {
		r.hosts.file.mu.Lock()
		r.hosts.file.looked = time.Time{} // as if a second had passed
		r.hosts.file.mu.Unlock()
		if a, _ := r.Find(t.Context(), q); text(a) == "udp 198.51.100.77:5060" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the new hosts file was never read")
		}
	}
}
