package main

import (
	"bufio"
	"context"
	"crypto/rand"
	cryptotls "crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/sbc/locate"
	rtls "github.com/rampart-sbc/rampart/tls"
)

// pbxs asks each PBX for its OPTIONS, at every address that it has.
func (x *examination) pbxs(ctx context.Context) {
	r := x.resolver()
	for _, p := range x.cfg.PBX {
		targets, err := x.find(ctx, r, p.URI, nil)
		if err != nil {
			x.say(broken, "look at dns.servers, /etc/resolv.conf and the name", "pbx %s (%s): %v", p.Name, p.URI, err)
			continue
		}
		for _, t := range targets {
			x.pbx(ctx, p, t)
		}
	}
}

func (x *examination) pbx(ctx context.Context, p config.PBX, t locate.Target) {
	what := fmt.Sprintf("pbx %s at %s over %s", p.Name, t.Addr, t.Transport)
	start := time.Now()
	status, err := x.options(ctx, p, t)
	switch {
	case err == nil && status < 300:
		x.ok("%s answers OPTIONS with %d after %s", what, status, time.Since(start).Round(100*time.Microsecond))
	case err == nil:
		x.ok("%s answers OPTIONS with %d: it is there, and speaks SIP", what, status)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		x.say(broken, "is the address right, does the PBX run, is a firewall between, does it let this host's address speak?", "%s does not answer OPTIONS", what)
	default:
		x.say(broken, pbxHint(err), "%s: %v", what, err)
	}
}

func pbxHint(err error) string {
	if v := new(cryptotls.CertificateVerificationError); errors.As(err, &v) {
		return "name the CA of its certificate in pbx.ca, and call it by a name that the certificate has"
	}
	return "is the address right, and does the PBX run?"
}

// optionsTimeout is how long a PBX may take.
const optionsTimeout = 4 * time.Second

// options sends one request as the gateway would, from the inside address but
// another port, and returns the code of the answer.
func (x *examination) options(ctx context.Context, p config.PBX, t locate.Target) (code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, optionsTimeout)
	defer cancel()
	d := net.Dialer{}
	if from := x.insideAddr(t); from.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
		if t.Transport == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: from.AsSlice()}
		}
	}
	network := "tcp"
	if t.Transport == "udp" {
		network = "udp"
	}
	c, err := d.DialContext(ctx, network, t.Addr.String())
	if err != nil {
		return 0, rootOf(err)
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	if t.Transport == "tls" {
		conf, err := pbxTLS(p)
		if err != nil {
			return 0, err
		}
		tc := cryptotls.Client(c, conf)
		if err := tc.HandshakeContext(ctx); err != nil {
			return 0, err
		}
		c = tc
	}
	msg := optionsMessage(x.cfg.Domains[0], p.URI, t.Transport, c.LocalAddr().String())
	if t.Transport != "udp" {
		if _, err := c.Write(msg); err != nil {
			return 0, err
		}
		return statusOf(c)
	}
	return askUDP(c, msg, deadline)
}

// askUDP repeats the request, as datagrams are lost (RFC 3261 §17.1.2).
func askUDP(c net.Conn, msg []byte, deadline time.Time) (code int, err error) {
	buf := make([]byte, 4096)
	for wait := 500 * time.Millisecond; ; wait *= 2 {
		if _, err := c.Write(msg); err != nil {
			return 0, rootOf(err)
		}
		until := time.Now().Add(wait)
		if until.After(deadline) {
			until = deadline
		}
		_ = c.SetReadDeadline(until)
		n, err := c.Read(buf)
		switch {
		case err == nil:
			return statusOf(strings.NewReader(string(buf[:n])))
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return 0, rootOf(err)
		case !time.Now().Before(deadline):
			return 0, err
		}
	}
}

// statusOf reads the first line of an answer.
func statusOf(r io.Reader) (int, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil {
		return 0, err
	}
	f := strings.Fields(line)
	if len(f) >= 2 && f[0] == "SIP/2.0" {
		if code, err := strconv.Atoi(f[1]); err == nil && code >= 100 && code < 700 {
			return code, nil
		}
	}
	return 0, errors.New("what answers there does not speak SIP")
}

func optionsMessage(domain string, uri config.URI, transport, local string) []byte {
	host := uri.Host
	if uri.Addr.Is6() {
		host = "[" + host + "]"
	}
	target := "sip:" + host
	if uri.Port != 0 {
		target += ":" + strconv.Itoa(int(uri.Port))
	}
	return []byte(strings.Join([]string{
		"OPTIONS " + target + " SIP/2.0",
		"Via: SIP/2.0/" + strings.ToUpper(transport) + " " + local + ";branch=z9hG4bK" + rand.Text()[:16] + ";rport",
		"Max-Forwards: 70",
		"From: <sip:doctor@" + domain + ">;tag=" + rand.Text()[:16],
		"To: <" + target + ">",
		"Call-ID: " + rand.Text(),
		"CSeq: 1 OPTIONS",
		"Contact: <sip:doctor@" + local + ";transport=" + transport + ">",
		"Accept: application/sdp",
		"User-Agent: rampart-doctor",
		"Content-Length: 0", "", ""}, "\r\n"))
}

// insideAddr is the address that the PBX knows the gateway by.
func (x *examination) insideAddr(t locate.Target) netip.Addr {
	for _, ap := range x.cfg.Inside.Of(t.Transport) {
		if a := ap.Addr(); a.Is4() == t.Addr.Addr().Is4() && !a.IsUnspecified() {
			return a
		}
	}
	return netip.Addr{}
}

// pbxTLS verifies as the gateway does: the name of the URI, the PBX's own CA.
func pbxTLS(p config.PBX) (*cryptotls.Config, error) {
	conf := &cryptotls.Config{ServerName: p.URI.Host, MinVersion: cryptotls.VersionTLS12}
	if p.CA != "" {
		pool, err := rtls.LoadPool(p.CA)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = pool
	}
	if p.Certificate != nil {
		own, err := rtls.Load(p.Certificate.Cert, p.Certificate.Key, time.Now())
		if err != nil {
			return nil, err
		}
		conf.Certificates = []cryptotls.Certificate{*own.TLS()}
	}
	return conf, nil
}

func (x *examination) resolver() *locate.Resolver {
	c := locate.Config{Timeout: 2 * time.Second}
	for _, s := range x.cfg.DNS.Servers {
		c.Servers = append(c.Servers, s.AddrPort)
	}
	return locate.New(c)
}

// find looks a URI up as the gateway does.
func (x *examination) find(ctx context.Context, r *locate.Resolver, u config.URI, transports []string) ([]locate.Target, error) {
	a, err := r.Find(ctx, locate.Query{Host: u.Host, Port: u.Port, Transport: u.Transport, Transports: transports, IPv4: true, IPv6: true})
	if err != nil {
		return nil, err
	}
	ts := a.Targets(nil)
	if len(ts) == 0 {
		return nil, errors.New("no address")
	}
	return ts, nil
}

// names looks up the names of carriers, and whether phones find the gateway by
// its own.
func (x *examination) names(ctx context.Context) {
	r := x.resolver()
	for _, p := range x.cfg.Peers {
		if p.URI.IsZero() || p.URI.Addr.IsValid() {
			continue
		}
		ts, err := x.find(ctx, r, p.URI, transports(x.cfg, p))
		if err != nil {
			x.say(broken, "look at dns.servers, /etc/resolv.conf and the name", "peer %s (%s): %v", p.Name, p.URI, err)
			continue
		}
		x.ok("peer %s (%s) is at %s over %s%s", p.Name, p.URI, ts[0].Addr, ts[0].Transport, andMore(len(ts)-1))
	}
	var ours []netip.Addr
	for _, m := range x.cfg.Media.Public {
		ours = append(ours, m.Advertise)
	}
	for _, l := range x.cfg.Listen.TLS {
		ours = append(ours, l.Addr())
	}
	for _, domain := range x.cfg.Domains {
		if _, err := netip.ParseAddr(domain); err == nil {
			continue
		}
		ts, err := x.find(ctx, r, config.URI{Host: domain, Transport: "tls"}, nil)
		if err != nil {
			x.say(warning, "an A or AAAA record, and an SRV record _sips._tcp for another port than 5061; or give phones the gateway's address as outbound proxy",
				"domain %s does not resolve here, so phones do not find the gateway by it: %v", domain, err)
			continue
		}
		found := false
		for _, t := range ts {
			for _, a := range ours {
				found = found || t.Addr.Addr() == a
			}
		}
		if found {
			x.ok("domain %s leads to this gateway", domain)
		} else {
			x.say(warning, "right where a load balancer or another NAT is between; else correct the record", "domain %s leads to %s, which is none of media.public or listen.tls", domain, ts[0].Addr)
		}
	}
}

func andMore(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}
