package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// isName accepts what may stand in a rule, a metric and a file name.
func isName(s string) bool {
	if s == "" || len(s) > 64 || strings.Trim(s[:1], "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

func (k *checker) name(path, what, name string, seen map[string]string) {
	switch {
	case name == "" || k.badAt(path):
	case !isName(name):
		k.problem(path, "small letters, digits, - _ and . (at most 64)", "%s: %q cannot be a name", what, clip(name))
	case seen[name] != "":
		k.problem(path, "names are unique among pbx and peers, for rules and logs refer to them", "%s: the name %s is already taken by %s", what, name, seen[name])
	default:
		seen[name] = trimIndex(path)
	}
}

func (k *checker) pbx() {
	if len(k.c.PBX) == 0 && k.at.Has("pbx") && !k.badAt("pbx") {
		k.problem("pbx", `pbx: "sip:10.0.0.5:5060"`, "pbx is empty")
	}
	defer k.everyDomain()
	seen := map[string]string{}
	for i := range k.c.PBX {
		p := &k.c.PBX[i]
		path := fmt.Sprintf("pbx[%d]", i)
		k.name(path+".name", "pbx", p.Name, seen)
		if !p.URI.IsZero() {
			k.pbxURI(path, p)
		}
		if p.Health != 0 {
			k.between(path+".health", int64(p.Health), 1e9, 3600e9, "0s (off), or 1s to 1h")
		}
		k.between(path+".weight", int64(p.Weight), 1, 1000, "1 to 1000")
		for j, d := range p.Domains {
			p.Domains[j] = strings.ToLower(strings.TrimSuffix(d, "."))
			if at := fmt.Sprintf("%s.domains[%d]", path, j); !slices.Contains(k.c.Domains, p.Domains[j]) && !k.badAt(at) {
				k.problem(at, suggestion(d, k.c.Domains), "pbx %s: %s is not one of the domains", p.Name, clip(d))
			}
		}
		k.failover(path, p.Failover)
		k.bodies(path, p.Bodies)
		k.tlsOnly(path, p.URI, p.CA, p.Certificate, p.AllowWildcard)
		k.file(path+".ca", p.CA)
		k.certificate(path+".certificate", p.Certificate)
	}
}

// everyDomain: a domain without a PBX would refuse whatever is for it.
func (k *checker) everyDomain() {
	for i, d := range k.c.Domains {
		if len(k.c.PBX) > 0 && !slices.ContainsFunc(k.c.PBX, func(p PBX) bool { return len(p.Domains) == 0 || slices.Contains(p.Domains, d) }) {
			k.problem(fmt.Sprintf("domain[%d]", i), "name it in the domains of a pbx, or give one pbx no domains", "domain %s: no pbx serves it", d)
		}
	}
}

func (k *checker) pbxURI(path string, p *PBX) {
	u := p.URI
	if len(k.c.Inside.Of(u.Transport)) == 0 && k.insideSet() && !k.badAt("inside."+u.Transport) {
		k.problem(path+".uri", fmt.Sprintf(`inside: {%s: ["ADDRESS:PORT"]}, or another transport in the uri`, u.Transport),
			"pbx %s is reached over %s, but inside.%s is empty", p.Name, u.Transport, u.Transport)
	}
	for _, side := range []struct {
		name string
		l    Listen
	}{{"listen", k.c.Listen}, {"inside", k.c.Inside}} {
		for _, ap := range side.l.Of(u.Transport) {
			if u.Addr.IsValid() && ap == netip.AddrPortFrom(u.Addr, u.Port) {
				k.problem(path+".uri", "the gateway and the PBX need different addresses or ports", "pbx %s has the address of our own %s.%s", p.Name, side.name, u.Transport)
			}
		}
	}
	if u.Transport != "tls" && p.SRTP != SRTPOff {
		k.warning(path+".srtp", "use transport=tls towards the PBX, or srtp: off", "pbx %s: the SRTP keys travel in plaintext over %s", p.Name, u.Transport)
	}
	// The realm is the one text of the inside that must cross (digest passes
	// through): a name or address in it is seen by every phone.
	hint := "give the PBX a realm that says nothing of the inside, best the public domain"
	if p.Realm != "" {
		if _, err := netip.ParseAddr(p.Realm); err == nil || strings.EqualFold(p.Realm, u.Host) {
			k.warning(path+".realm", hint, "pbx %s: the realm %s shows phones an address or host of the inside", p.Name, clip(p.Realm))
		}
	} else if slices.Contains(k.c.Domains, u.Host) {
		k.warning(path+".uri", hint, "pbx %s has the name of the public domain; a realm that is the PBX's host or address reaches the phones as it is", p.Name)
	}
}

// tlsOnly reports what has no meaning without TLS.
func (k *checker) tlsOnly(path string, u URI, ca string, cert *Certificate, wildcard bool) {
	if u.IsZero() || u.Transport == "tls" || u.Transport == "" {
		return
	}
	for key, set := range map[string]bool{"ca": ca != "", "certificate": cert != nil, "allow_wildcard": wildcard} {
		if set {
			k.problem(path+"."+key, "write transport=tls in the uri, or remove "+key, "%s is for TLS, but the uri says %s", key, u.Transport)
		}
	}
}

func (k *checker) peers() {
	seen := map[string]string{}
	for i := range k.c.PBX {
		if name := k.c.PBX[i].Name; name != "" {
			seen[name] = "pbx"
		}
	}
	for i := range k.c.Peers {
		p := &k.c.Peers[i]
		path := fmt.Sprintf("peers[%d]", i)
		k.name(path+".name", "peers", p.Name, seen)
		k.identify(path, i, p)
		k.register(path, p)
		k.peerTransport(path, p)
		if p.Health != 0 {
			k.between(path+".health", int64(p.Health), 1e9, 3600e9, "0s (off), or 1s to 1h")
		}
		if p.Health != 0 && p.URI.IsZero() && !k.badAt(path+".health") {
			k.problem(path+".health", "give it a uri, or remove health", "peer %s has no uri, so it cannot be asked whether it is up", p.Name)
		}
		k.failover(path, p.Failover)
		k.bodies(path, p.Bodies)
		k.identity(path+".identity", p)
		k.tlsOnly(path, p.URI, p.CA, p.Certificate, false)
		k.file(path+".ca", p.CA)
		k.certificate(path+".certificate", p.Certificate)
		k.between(path+".limits.calls", int64(p.Limits.Calls), 0, 1_000_000, "0 (none) to 1000000")
		if (p.Limits.CPS < 0 || p.Limits.CPS > 100_000) && !k.badAt(path+".limits.cps") {
			k.problem(path+".limits.cps", "", "%s.limits.cps must be 0 (none) to 100000", path)
		}
	}
}

// failover: answers that say something of the one who gave them, not of the
// call. A challenge is answered, never taken elsewhere.
func (k *checker) failover(path string, codes []int) {
	for i, c := range codes {
		at := fmt.Sprintf("%s.failover[%d]", path, i)
		if (c < 400 || c > 599 || c == 401 || c == 407 || c == 487) && !k.badAt(at) {
			k.problem(at, "[500, 502, 503, 504]", "%s.failover: after %d no other may be tried; 400 to 599 without 401, 407 and 487", path, c)
		}
	}
}

// register: a carrier to register with needs an address and, if nothing else
// identifies it, a way for its calls to come.
func (k *checker) register(path string, p *Peer) {
	r := p.Register
	if r == nil {
		return
	}
	path += ".register"
	if p.URI.IsZero() && !k.badAt(path) {
		k.problem(path, "give the peer a uri", "peer %s has no uri to register with", p.Name)
	}
	for key, v := range map[string]string{"user": r.User, "contact": r.Contact} {
		if strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()&=+$,;?/") != "" && !k.badAt(path+"."+key) {
			k.problem(path+"."+key, "as the carrier gave it, without @ and host", "%s.%s: %q cannot be the user of a SIP URI", path, key, clip(v))
		}
	}
	if strings.ContainsAny(r.Realm, "\"\\") || len(r.Realm) > 255 {
		k.problem(path+".realm", "the text that the carrier's challenges show", "%s.realm: %q cannot be a realm", path, clip(r.Realm))
	}
	if r.Expires != 0 {
		k.between(path+".expires", int64(r.Expires), 60e9, 24*3600e9, "1m to 1d")
	}
	if t := p.URI.Transport; (t == "udp" || t == "tcp") && p.AllowPlaintext {
		k.warning(path, "use TLS as soon as the carrier has it", "peer %s: whoever listens to a registration over %s can guess at the password for as long as he likes", p.Name, t)
	}
}

func (k *checker) identify(path string, i int, p *Peer) {
	id := p.Identify
	if !k.at.Has(path+".identify") && !k.badAt(path) {
		if p.Register == nil {
			k.problem(path, "identify: {certificate: NAME} or {ip: [ADDRESS/LENGTH]} or both", "%s.identify is missing", path)
		}
		return
	}
	if id.Certificate == "" && len(id.IP) == 0 {
		if k.at.Has(path+".identify") && !k.badAt(path+".identify") {
			k.problem(path+".identify", "identify: {certificate: NAME} or {ip: [ADDRESS/LENGTH]} or both", "peer %s: nothing identifies it", p.Name)
		}
		return
	}
	if id.Certificate != "" {
		switch {
		case !isHostName(id.Certificate):
			k.problem(path+".identify.certificate", "the host name in the certificate, such as sip.carrier.example", "peer %s: %q is not a host name", p.Name, clip(id.Certificate))
		case k.c.TLS.ClientCA == "" && !k.badAt("tls.client_ca"):
			k.problem(path+".identify.certificate", "tls: {client_ca: FILE} with the authorities of carriers", "peer %s identifies by certificate, but tls.client_ca is not set", p.Name)
		case len(k.c.Listen.TLS) == 0:
			k.problem(path+".identify.certificate", `listen: {tls: ["0.0.0.0:5061"]}`, "peer %s identifies by certificate, but listen.tls is empty", p.Name)
		}
		p.Identify.Certificate = strings.ToLower(strings.TrimSuffix(id.Certificate, "."))
	}
	for j, net := range id.IP {
		at := fmt.Sprintf("%s.identify.ip[%d]", path, j)
		if !net.IsValid() {
			continue
		}
		if net.Masked() != net {
			k.problem(at, "write "+net.Masked().String()+" or "+netip.PrefixFrom(net.Addr(), net.Addr().BitLen()).String(), "peer %s: %s has bits set beyond its length", p.Name, net)
		}
		if id.Certificate == "" && (net.Addr().Is4() && net.Bits() < 8 || net.Addr().Is6() && net.Bits() < 16) {
			k.problem(at, "name the carrier's own networks", "peer %s: %s is too large to identify anybody", p.Name, net)
		}
		for o := range i {
			other := k.c.Peers[o]
			for _, n := range other.Identify.IP {
				if other.Identify.Certificate == "" && id.Certificate == "" && n.IsValid() && n.Overlaps(net) {
					k.problem(at, "an address can identify one peer only", "peer %s: %s overlaps with %s of peer %s", p.Name, net, n, other.Name)
				}
			}
		}
	}
	if id.Certificate == "" && p.AllowPlaintext && len(k.c.Listen.UDP) > 0 {
		k.warning(path+".identify", "add identify.certificate, or take the calls over TLS",
			"peer %s is identified by its address alone, which anybody can forge over UDP; such calls reach DIDs and never routes", p.Name)
	}
}

func (k *checker) peerTransport(path string, p *Peer) {
	if p.AllowRefer {
		k.warning(path+".allow_refer", "leave it out unless the carrier's service needs it", "peer %s may send calls on to any number that policy allows, at your cost", p.Name)
	}
	if p.AllowPlaintext {
		k.warning(path+".allow_plaintext", "use TLS as soon as the carrier has it", "peer %s may signal without encryption", p.Name)
		if len(k.c.Listen.UDP)+len(k.c.Listen.TCP) == 0 && !k.badAt("listen") {
			k.problem(path+".allow_plaintext", `listen: {udp: ["ADDRESS:5060"]}, or remove allow_plaintext`, "peer %s may use plaintext, but listen.udp and listen.tcp are empty", p.Name)
		}
	}
	t := p.URI.Transport
	if t != "udp" && t != "tcp" {
		return
	}
	switch {
	case !p.AllowPlaintext:
		k.problem(path+".uri", "transport=tls, or allow_plaintext: true for this peer", "peer %s: the uri says %s, which is plaintext, and allow_plaintext is not set", p.Name, t)
	case len(k.c.Listen.Of(t)) == 0 && len(k.c.Listen.UDP)+len(k.c.Listen.TCP) > 0:
		k.problem(path+".uri", fmt.Sprintf(`listen: {%s: ["ADDRESS:5060"]}`, t), "peer %s is reached over %s, but listen.%s is empty", p.Name, t, t)
	}
	if p.SRTP == SRTPRequired {
		k.problem(path+".srtp", "transport=tls, or srtp: off", "peer %s: SRTP keys must not be sent over %s, so a required SRTP would refuse every call", p.Name, t)
	}
}

// all reports a callee that is everybody.
func (c Callee) all() bool { return !c.Emergency && len(c.Country)+len(c.Prefix) == 0 }

func (k *checker) routes() {
	names := make([]string, 0, len(k.c.Peers))
	for _, p := range k.c.Peers {
		names = append(names, p.Name)
	}
	for i, r := range k.c.Routes {
		path := fmt.Sprintf("routes[%d]", i)
		if len(r.Peers) == 0 && k.at.Has(path+".peers") && !k.badAt(path+".peers") {
			k.problem(path+".peers", "", "routes: a route to nobody")
		}
		for j, name := range r.Peers {
			at := fmt.Sprintf("%s.peers[%d]", path, j)
			n := slices.Index(names, name)
			switch {
			case k.badAt(at):
			case n < 0:
				k.problem(at, suggestion(name, names), "routes: there is no peer named %q", clip(name))
			case k.c.Peers[n].URI.IsZero() && !k.badAt(fmt.Sprintf("peers[%d].uri", n)):
				k.problem(at, "give it a uri", "routes: peer %s has no uri, so no call can be sent to it", name)
			case slices.Contains(r.Peers[:j], name):
				k.problem(at, "keep one of them", "routes: %s is given twice", name)
			}
		}
		for j, c := range r.Match.To.Country {
			if at := fmt.Sprintf("%s.match.to.country[%d]", path, j); !k.badAt(at) && !k.c.NumberData().Known(c) {
				k.problem(at, "two capital letters of ISO 3166-1, such as FR", "routes: %q is not a country with telephone numbers", clip(c))
			}
		}
		for j, p := range r.Match.To.Prefix {
			if at := fmt.Sprintf("%s.match.to.prefix[%d]", path, j); !k.badAt(at) && (len(p) < 2 || len(p) > 16 || p[0] != '+' || strings.Trim(p[1:], "0123456789") != "") {
				k.problem(at, `the canonical form, such as "+4420"`, "routes: %q is not a prefix of a number", clip(p))
			}
		}
		to := r.Match.To
		if to.Emergency && len(to.Country)+len(to.Prefix) > 0 {
			k.problem(path+".match.to", "leave country and prefix out", "routes: an emergency number belongs to no country and has no prefix")
		}
		if at := path + ".match.to.emergency"; k.at.Has(at) && !to.Emergency {
			k.problem(at, "leave it out: a route without emergency: true is for every call", "routes: emergency: false")
		}
		if i > 0 && !to.Emergency && k.c.Routes[i-1].Match.To.all() {
			k.warning(path, "put the route without a match last", "routes: this one is never reached; the one before it matches every call")
		}
	}
	if len(k.c.Routes) == 0 && slices.ContainsFunc(k.c.Peers, func(p Peer) bool { return !p.URI.IsZero() }) {
		k.warning("peers", "routes: [{peers: ["+strings.Join(names, ", ")+"]}]", "there are peers but no routes: no call goes out to a carrier")
	}
}
