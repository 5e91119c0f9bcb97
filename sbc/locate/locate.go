// Package locate finds where a SIP URI is: transports, addresses and ports,
// in the order they are to be tried (RFC 3263). It answers "where does a
// request for this host go".
//
// It connects to nothing and knows no call; who is down is for the caller to
// know. TLS is verified by the caller against the domain of the URI, never
// against a name that the DNS gave (RFC 5922 §4): a lie in the DNS leads
// nowhere. The [Resolver] owns its cache, which is bounded. Time comes from
// the clock of the machine, or from [Config.Now]. When the DNS does not
// answer, what was known last is used (RFC 8767) for a day.
//
// Start reading at [Resolver.Find].
package locate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Query is what a URI and our own abilities demand.
type Query struct {
	Host      string // a name, or an address with or without brackets
	Port      uint16 // 0: by SRV, else the transport's own
	Transport string // udp, tcp, tls; "": by NAPTR and SRV
	// Transports that may be used where the URI names none, the preferred one
	// first; that one is used where the DNS says nothing.
	Transports []string
	// IPv4 and IPv6 say which families we have at all.
	IPv4, IPv6 bool
}

// Target is one place to try.
type Target struct {
	Transport string
	Addr      netip.AddrPort
}

// Answer is what was found. Its order is drawn anew for each request, as the
// weights of SRV records want it.
type Answer struct {
	services []service
	Expires  time.Time // when to ask again
	Stale    bool      // the DNS did not answer; this is what it said before
}

// service is the SRV records, or the plain host, of one transport.
type service struct {
	transport string
	hosts     []host
}

// host is one SRV target and where it is.
type host struct {
	priority, weight uint16
	port             uint16
	addrs            []netip.Addr
}

// Caps: whoever answers our questions decides nothing beyond them.
const (
	maxRecords  = 32 // of one answer that are looked at
	maxServices = 6
	maxHosts    = 16 // SRV targets whose addresses are asked for, of one service
	maxAddrs    = 8  // of one host
	maxTargets  = 16 // in all
	maxChain    = 8  // CNAMEs
)

// ErrNotFound: the DNS says that there is no such host or service.
var ErrNotFound = errors.New("no such host")

// Find looks a URI up, in the cache first. An address is its own answer.
func (r *Resolver) Find(ctx context.Context, q Query) (Answer, error) {
	q.Host = strings.ToLower(strings.TrimSuffix(strings.Trim(q.Host, "[]"), "."))
	transport := q.Transport
	if transport == "" && len(q.Transports) > 0 {
		transport = q.Transports[0]
	}
	if a, err := netip.ParseAddr(q.Host); err == nil {
		h := host{port: portOf(q.Port, transport), addrs: []netip.Addr{a.Unmap()}}
		return Answer{services: []service{{transport, []host{h}}}, Expires: r.now().Add(maxTTL)}, nil
	}
	l := &lookup{r: r, ctx: ctx, q: q, expires: r.now().Add(maxTTL)}
	var services []service
	var err error
	switch {
	case q.Port != 0:
		services, err = l.plain(transport, q.Port)
	case q.Transport != "":
		services, err = l.transport(transport)
	default:
		services, err = l.any()
	}
	if err != nil {
		return Answer{}, fmt.Errorf("find %s: %w", q.Host, err)
	}
	return Answer{services: services, Expires: l.expires, Stale: l.stale}, nil
}

// Targets lists where to go, in order. n draws a number below its argument;
// nil is the usual one.
func (a Answer) Targets(n func(int) int) (out []Target) {
	if n == nil {
		n = rand.IntN
	}
	for _, s := range a.services {
		for _, h := range ordered(s.hosts, n) {
			for _, ip := range h.addrs {
				t := Target{s.transport, netip.AddrPortFrom(ip, h.port)}
				if len(out) == maxTargets {
					return out
				}
				out = append(out, t)
			}
		}
	}
	return out
}

// At reports whether an address with its port is one of those found.
func (a Answer) At(ap netip.AddrPort) bool {
	for _, s := range a.services {
		for _, h := range s.hosts {
			if h.port == ap.Port() && slices.Contains(h.addrs, ap.Addr()) {
				return true
			}
		}
	}
	return false
}

// Has reports whether an address is one of those found, at whatever port.
func (a Answer) Has(ip netip.Addr) bool {
	for _, s := range a.services {
		for _, h := range s.hosts {
			if slices.Contains(h.addrs, ip) {
				return true
			}
		}
	}
	return false
}

func portOf(port uint16, transport string) uint16 {
	switch {
	case port != 0:
		return port
	case transport == "tls":
		return 5061
	}
	return 5060
}

// lookup is one Find.
type lookup struct {
	r       *Resolver
	ctx     context.Context
	q       Query
	expires time.Time
	stale   bool
}

// took notes how long what was used is good for.
func (l *lookup) took(e entry) {
	if e.expires.Before(l.expires) {
		l.expires = e.expires
	}
	l.stale = l.stale || e.stale
}

// any finds the transport, too (RFC 3263 §4.1): by NAPTR, else by which SRV
// records there are.
func (l *lookup) any() ([]service, error) {
	e, err := l.r.records(l.ctx, l.q.Host, typeNAPTR)
	switch {
	case err == nil:
		l.took(e)
	case !errors.Is(err, ErrNotFound):
		return nil, err
	}
	err = nil
	ps := pointers(e.naptr, l.q.Transports)
	if len(ps) == 0 {
		for _, t := range l.q.Transports {
			ps = append(ps, pointer{t, srvName(t, l.q.Host)})
		}
	}
	var out []service
	for _, p := range ps {
		s, ok, e := l.service(p.transport, p.name)
		switch {
		case ok:
			out = append(out, s)
		case e != nil && !errors.Is(e, ErrNotFound):
			return nil, e // a DNS that is gone must not make the next, weaker transport the first
		case e != nil:
			err = e
		}
	}
	switch {
	case len(out) > 0 || len(ps) == 0:
		return out, nil
	case err != nil:
		return nil, err
	}
	return l.plain(l.q.Transports[0], 0)
}

// transport is RFC 3263 §4.2 for a transport that is known.
func (l *lookup) transport(t string) ([]service, error) {
	s, ok, err := l.service(t, srvName(t, l.q.Host))
	switch {
	case err != nil:
		return nil, err
	case ok:
		return []service{s}, nil
	}
	return l.plain(t, 0)
}

// plain is a host without SRV.
func (l *lookup) plain(t string, port uint16) ([]service, error) {
	as, err := l.addresses(l.q.Host)
	if err != nil {
		return nil, err
	}
	return []service{{t, []host{{port: portOf(port, t), addrs: as}}}}, nil
}

// service reads SRV records and the addresses of their targets; not ok when
// there are none. One target that cannot be found does not hide the others.
func (l *lookup) service(transport, name string) (s service, ok bool, err error) {
	e, err := l.r.records(l.ctx, name, typeSRV)
	if errors.Is(err, ErrNotFound) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	l.took(e)
	s.transport = transport
	var last error
	for _, v := range e.srv {
		if v.target == "" || v.port == 0 {
			continue // "." says that the service is decidedly not there (RFC 2782)
		}
		as, err := l.addresses(v.target)
		if err != nil {
			last = err
			continue
		}
		s.hosts = append(s.hosts, host{v.priority, v.weight, v.port, as})
	}
	if len(s.hosts) == 0 && last != nil {
		return s, false, last
	}
	if len(s.hosts) == 0 && len(e.srv) > 0 {
		return s, false, fmt.Errorf("%s: the service is not offered: %w", name, ErrNotFound)
	}
	return s, len(s.hosts) > 0, nil
}

// addresses of a host in the families that we have, both asked at once.
func (l *lookup) addresses(name string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	if as := l.r.hosts.of(name); len(as) > 0 {
		if as = families(as, l.q.IPv4, l.q.IPv6); len(as) > 0 {
			return as[:min(len(as), maxAddrs)], nil
		}
	}
	type result struct {
		e   entry
		err error
	}
	ask := func(t uint16) chan result {
		c := make(chan result, 1)
		go func() {
			e, err := l.r.records(l.ctx, name, t)
			c <- result{e, err}
		}()
		return c
	}
	var all []netip.Addr
	var last error
	var pending []chan result
	if l.q.IPv6 {
		pending = append(pending, ask(typeAAAA))
	}
	if l.q.IPv4 {
		pending = append(pending, ask(typeA))
	}
	for _, c := range pending {
		got := <-c
		if got.err != nil {
			if last == nil || errors.Is(last, ErrNotFound) {
				last = got.err
			}
			continue
		}
		l.took(got.e)
		all = append(all, got.e.addrs...)
	}
	all = families(all, l.q.IPv4, l.q.IPv6)
	if len(all) == 0 {
		if last == nil {
			last = ErrNotFound
		}
		return nil, fmt.Errorf("%s: %w", name, last)
	}
	return all[:min(len(all), maxAddrs)], nil
}
