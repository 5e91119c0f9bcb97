package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

var transports = []string{"tls", "udp", "tcp"}

// packs are the shipped rule packs by whether this version has them.
var packs = map[string]bool{"base": true, "countries": true, "scanners": true,
	"toll-fraud": true, "ping-call": true, "messages": true, "callers": true}

// HasPack reports whether a shipped rule pack of that name may be used.
func HasPack(name string) bool { return packs[name] }

// suites are the SRTP suites by their registered names (RFC 4568 §6.2,
// RFC 7714 §14.2).
var suites = []string{"AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"}

// checker holds the values while they are completed and checked.
type checker struct {
	c    *Config
	host Host
	at   strictyaml.Positions
	dir  string
	ps   strictyaml.Problems
	bad  map[strictyaml.Pos]bool // places that decoding complained about
}

func (k *checker) badAt(path string) bool { return k.bad[k.at.At(path)] }

func (k *checker) problem(path, hint, format string, args ...any) {
	k.ps = append(k.ps, strictyaml.At(k.c.File, k.at.At(path), format, args...).WithHint("%s", hint))
}

func (k *checker) warning(path, hint, format string, args ...any) {
	k.ps = append(k.ps, strictyaml.At(k.c.File, k.at.At(path), format, args...).WithHint("%s", hint).AsWarning())
}

// check asks what only the whole file can tell.
func (k *checker) check() {
	k.domains()
	k.listeners()
	k.media()
	k.tls()
	k.pbx()
	k.peers()
	k.phones()
	k.registrations()
	k.kernel()
	k.answers()
	k.authentication()
	k.overload()
	k.home()
	k.policy()
	k.routes()
	k.rest()
	k.limits()
}

func (k *checker) domains() {
	seen := map[string]bool{}
	if len(k.c.Domains) == 0 && k.at.Has("domain") && !k.badAt("domain") {
		k.problem("domain", "the name that phones and carriers call", "domain is empty")
	}
	for i, d := range k.c.Domains {
		path := fmt.Sprintf("domain[%d]", i)
		addr, err := netip.ParseAddr(strings.Trim(d, "[]"))
		lower := strings.ToLower(strings.TrimSuffix(d, "."))
		switch {
		case d == "" && k.badAt(path):
			continue
		case err == nil:
			k.warning(path, "phones check the certificate against this name, and the realm of the PBX crosses to them as it is",
				"domain: %s is an address; a host name hides less and survives a move", d)
			lower = addr.Unmap().String()
		case !isHostName(d) || isDigitsAndDots(d):
			k.problem(path, "a host name such as sip.example.com, without scheme or port", "domain: %q is not a host name", clip(d))
		}
		if seen[lower] {
			k.problem(path, "keep one of them", "domain: %s is given twice", d)
		}
		seen[lower] = true
		k.c.Domains[i] = lower
	}
}

// socket is one listener in the comparison of all.
type socket struct {
	path      string
	transport string
	ap        netip.AddrPort
}

// listeners finds sockets that cannot both be bound: the same port of one
// protocol on the same address, or on all addresses of a family.
func (k *checker) listeners() {
	var all []socket
	for _, side := range []struct {
		name string
		l    Listen
	}{{"listen", k.c.Listen}, {"inside", k.c.Inside}} {
		n := 0
		for _, t := range transports {
			for i, ap := range side.l.Of(t) {
				n++
				s := socket{fmt.Sprintf("%s.%s[%d]", side.name, t, i), t, ap}
				if k.badAt(s.path) {
					continue
				}
				if ap.Port() == 0 {
					k.problem(s.path, "SIP has 5060, with TLS 5061", "%s.%s: port 0 would be another one at each start", side.name, t)
					continue
				}
				for _, o := range all {
					if overlap(s, o) {
						k.problem(s.path, "give each an address or a port of its own; the public side and the inside must not share one",
							"%s %s overlaps with %s %s of %s", t, ap, o.transport, o.ap, trimIndex(o.path))
						break
					}
				}
				all = append(all, s)
			}
		}
		if n == 0 && side.name == "listen" && !k.badAt("listen") {
			k.problem("listen", `tls: ["0.0.0.0:5061"]`, "listen: no public listener is left")
		}
	}
	plain := slices.ContainsFunc(k.c.Peers, func(p Peer) bool { return p.AllowPlaintext })
	for _, t := range []string{"udp", "tcp"} {
		if len(k.c.Listen.Of(t)) > 0 && !plain {
			k.warning("listen."+t, "remove it, or set allow_plaintext: true for the peer that needs it",
				"listen.%s is a plaintext listener, but no peer is allowed to use it", t)
		}
	}
	for i, ap := range k.c.Inside.UDP {
		if ap.Addr().IsUnspecified() {
			k.warning(fmt.Sprintf("inside.udp[%d]", i), "name the address that faces the PBX",
				"inside.udp listens on every address of the machine, the public ones included")
		}
	}
	for i, ap := range k.c.Inside.TCP {
		if ap.Addr().IsUnspecified() {
			k.warning(fmt.Sprintf("inside.tcp[%d]", i), "name the address that faces the PBX",
				"inside.tcp listens on every address of the machine, the public ones included")
		}
	}
}

func trimIndex(path string) string {
	path, _, _ = strings.Cut(path, "[")
	return path
}

func overlap(a, b socket) bool {
	if (a.transport == "udp") != (b.transport == "udp") || a.ap.Port() != b.ap.Port() {
		return false
	}
	x, y := a.ap.Addr(), b.ap.Addr()
	return x == y || x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified())
}

func (k *checker) media() {
	m := k.c.Media
	for _, side := range []struct {
		name string
		list []Address
	}{{"public", m.Public}, {"inside", m.Inside}} {
		family := map[bool]bool{}
		if k.at.Has("media."+side.name) && len(side.list) == 0 && !k.badAt("media."+side.name) {
			k.problem("media."+side.name, "one address per family", "media.%s is empty", side.name)
		}
		for i, a := range side.list {
			path := fmt.Sprintf("media.%s[%d]", side.name, i)
			if !a.Bind.IsValid() || !a.Advertise.IsValid() {
				continue
			}
			for _, x := range []netip.Addr{a.Bind, a.Advertise} {
				if x.IsUnspecified() || x.IsMulticast() {
					k.problem(path, "name one address; behind a 1:1 NAT {bind: …, advertise: …}",
						"media.%s: %s is not an address that audio can be sent to", side.name, x)
					break
				}
			}
			if family[a.Bind.Is4()] {
				k.problem(path, "at most one IPv4 and one IPv6 address on each side", "media.%s: a second address of the same family", side.name)
			}
			family[a.Bind.Is4()] = true
		}
	}
	if !k.badAt("media.ports") {
		p := m.Ports
		switch {
		case p.Min >= p.Max:
			k.problem("media.ports", "the lower port comes first", "media.ports: %s is empty", p)
		case p.Min%2 != 0 || p.Max%2 == 0:
			k.problem("media.ports", "begin with an even port and end with an odd one, such as 20000-39999: audio takes the even port, RTCP the odd one above",
				"media.ports: %s does not hold whole pairs", p)
		case p.Min < 1024:
			k.problem("media.ports", "begin at 1024 or above", "media.ports: %s reaches into the system's ports", p)
		case int(p.Max)-int(p.Min)+1 < 100:
			k.problem("media.ports", "a call takes two ports on each side", "media.ports: %s has room for %d calls only; at least 50 are wanted", p, (int(p.Max)-int(p.Min)+1)/2)
		default:
			k.mediaPortsHit()
		}
	}
	if m.DSCP < 0 || m.DSCP > 63 {
		k.problem("media.dscp", "46 is Expedited Forwarding, 0 leaves packets unmarked", "media.dscp: %d is not 0 to 63", m.DSCP)
	}
	if m.Shards < 0 || m.Shards > 256 {
		k.problem("media.shards", "0 means one per processor", "media.shards: %d is not 0 to 256", m.Shards)
	}
	k.between("media.inactivity", int64(m.Inactivity), 5e9, 3600e9, "5s to 1h")
	k.between("media.max_call", int64(m.MaxCall), 60e9, 7*24*3600e9, "1m to 7d")
	if !m.SRTP.SDES {
		k.problem("media.srtp.sdes", "leave it out", "media.srtp: without SDES this version has no way to agree on a key")
	}
	if len(m.SRTP.Suites) == 0 && !k.badAt("media.srtp.suites") {
		k.problem("media.srtp.suites", "leave it out for the defaults", "media.srtp.suites is empty")
	}
	for i, s := range m.SRTP.Suites {
		path := fmt.Sprintf("media.srtp.suites[%d]", i)
		switch {
		case k.badAt(path):
		case slices.Contains(m.SRTP.Suites[:i], s):
			k.problem(path, "keep one of them", "media.srtp.suites: %s is given twice", s)
		case !slices.Contains(suites, s):
			k.problem(path, suggestion(strings.ToUpper(s), suites), "media.srtp.suites: %q is not a suite that is known here", clip(s))
		}
	}
}

func (k *checker) mediaPortsHit() {
	for _, side := range []struct {
		name string
		l    Listen
	}{{"listen", k.c.Listen}, {"inside", k.c.Inside}} {
		for i, ap := range side.l.UDP {
			if p := k.c.Media.Ports; ap.Port() >= p.Min && ap.Port() <= p.Max {
				k.problem(fmt.Sprintf("%s.udp[%d]", side.name, i), "use a port outside "+p.String(), "%s.udp: port %d is one of media.ports", side.name, ap.Port())
			}
		}
	}
}

func suggestion(s string, names []string) string {
	if best := strictyaml.Nearest(s, names); best != "" {
		return "did you mean " + best + "?"
	}
	return "known: " + strings.Join(names, ", ")
}

// between reports a value outside its bounds (both included).
func (k *checker) between(path string, v, lo, hi int64, text string) {
	if (v < lo || v > hi) && !k.badAt(path) {
		k.problem(path, "", "%s must be %s", path, text)
	}
}

func (k *checker) tls() {
	t := k.c.TLS
	if t.MinVersion != "1.2" && t.MinVersion != "1.3" && !k.badAt("tls.min_version") {
		k.problem("tls.min_version", `"1.2" or "1.3"`, "tls.min_version: %q is not supported", clip(t.MinVersion))
	}
	for i := range t.Certificates {
		k.certificate(fmt.Sprintf("tls.certificate[%d]", i), &t.Certificates[i])
	}
	k.file("tls.client_ca", t.ClientCA)
}

func (k *checker) certificate(path string, c *Certificate) {
	if c == nil {
		return
	}
	k.file(path+".cert", c.Cert)
	if c.Key != "" {
		if err := checkPrivate(k.host, c.Key); err != nil {
			k.problem(path+".key", privateHint(err, c.Key), "%v", err)
		}
	}
}

// errMode is a secret that others can read.
var errMode = errors.New("others can read it")

func privateHint(err error, path string) string {
	if errors.Is(err, errMode) {
		return "chmod 600 " + path
	}
	return "paths are relative to the directory of this file"
}

// checkPrivate wants a regular file that only its owner can read.
func checkPrivate(host Host, path string) error {
	fi, err := host.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", path, cause(err))
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", path)
	case fi.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s has mode %04o: %w", path, fi.Mode().Perm(), errMode)
	}
	return nil
}

// file wants a file that exists and can be read.
func (k *checker) file(path, name string) {
	if name == "" {
		return
	}
	fi, err := k.host.Stat(name)
	if err == nil && fi.IsDir() {
		err = errors.New("is a directory")
	} else if err == nil && fi.Size() <= 4<<20 { // databases are not read here
		_, err = k.host.ReadFile(name)
	}
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = "paths are relative to the directory of this file"
		}
		k.problem(path, hint, "%s: %v", name, cause(err))
	}
}

func (k *checker) home() {
	h := &k.c.Home
	if k.badAt("home") {
		return
	}
	k.callerPrefixes("home.numbers", "home.numbers", h.Numbers)
	set := len(h.Emergency) > 0
	reviewed := h.fill()
	switch {
	case h.Country == "" && !k.badAt("home.country"):
		k.warning("home", "home: {country: DE}", "home.country is not set: national numbers cannot be understood, and 112 is the only emergency number")
	case h.Country != "" && !k.c.NumberData().Known(h.Country):
		k.problem("home.country", "two capital letters of ISO 3166-1, such as FR", "home.country: %q is not a country with telephone numbers", clip(h.Country))
		return
	case h.Country != "" && !reviewed && !set:
		k.warning("home.country", "check them and write home.emergency", "home.emergency is not set; the emergency numbers of %s come from the numbering data and were not reviewed", h.Country)
	}
	if _, err := h.Zone(); err != nil {
		k.problem("home.timezone", "", "home.timezone: %v", err)
	}
	if _, err := k.c.Plan(); err != nil {
		text := strings.TrimPrefix(err.Error(), "home: ")
		for part := range strings.SplitSeq(text, "; ") {
			field, _, _ := strings.Cut(part, ":")
			k.problem("home."+field, "", "home.%s", part)
		}
	}
	k.techPrefixes()
}

func (k *checker) policy() {
	known := make([]string, 0, len(packs))
	for name, here := range packs {
		if here {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	for i, name := range k.c.Policy.Use {
		path := fmt.Sprintf("policy.use[%d]", i)
		here, exists := packs[name]
		switch {
		case k.badAt(path):
		case !exists:
			k.problem(path, suggestion(name, known), "policy.use: there is no pack named %q", clip(name))
		case !here:
			k.problem(path, "known: "+strings.Join(known, ", "), "policy.use: the pack %s is not available in this version", name)
		case slices.Contains(k.c.Policy.Use[:i], name):
			k.problem(path, "keep one of them", "policy.use: %s is given twice", name)
		}
	}
}

func (k *checker) dns() {
	for i, s := range k.c.DNS.Servers {
		at := fmt.Sprintf("dns.servers[%d]", i)
		switch {
		case k.badAt(at):
		case i >= 4:
			k.problem(at, "name four at most", "dns.servers: only four are asked")
		case !s.IsValid() || s.Addr().IsUnspecified() || s.Addr().IsMulticast():
			k.problem(at, "", "dns.servers: %s cannot be asked", s.AddrPort)
		}
	}
}

func (k *checker) rest() {
	if d := k.c.Signalling.DSCP; (d < 0 || d > 63) && !k.badAt("signalling.dscp") {
		k.problem("signalling.dscp", "24 is CS3, 0 leaves packets unmarked", "signalling.dscp: %d is not 0 to 63", d)
	}
	k.dns()
	c := k.c
	k.file("geoip.country", c.GeoIP.Country)
	k.file("geoip.asn", c.GeoIP.ASN)
	k.file("rates", c.Rates)
	if c.Store.Kind != "memory" && !k.badAt("store.kind") {
		if c.Store.Kind == "redis" {
			k.problem("store.kind", "kind: memory", "store.kind: redis is not available in this version")
		} else {
			k.problem("store.kind", "kind: memory", "store.kind: %q is not known", clip(c.Store.Kind))
		}
	}
	if a := c.Admin.Listen; a.IsValid() && !a.Addr().IsLoopback() {
		k.problem("admin.listen", `"127.0.0.1:8080", reached through SSH or a proxy of your own`,
			"admin.listen: %s is not a loopback address; TLS and a login, which it would need, are not available in this version", a)
	}
	if fi, err := k.host.Stat(c.State); err == nil && !fi.IsDir() {
		k.problem("state", "name a directory", "state: %s is not a directory", c.State)
	}
	files := map[string]string{}
	for _, s := range []struct {
		key  string
		list []Sink
	}{{"alerts", c.Alerts}, {"cdr", c.CDR}, {"events", c.Events}} {
		for i, sink := range s.list {
			path := fmt.Sprintf("%s[%d]", s.key, i)
			k.turn(path, sink)
			if sink.File == "" {
				continue
			}
			if other, dup := files[sink.File]; dup {
				k.problem(path, "give each a file of its own", "%s: %s is already used by %s", s.key, sink.File, other)
			}
			files[sink.File] = s.key
			k.sink(path+".file", sink.File)
		}
	}
	k.noVariable("state", c.State)
	k.noVariable("store.path", c.Store.Path)
}

// sink wants a file that can be appended to, as far as one can tell without
// opening it. The gateway makes the state directory itself.
func (k *checker) sink(path, file string) {
	if k.badAt(path) || k.noVariable(path, file) {
		return
	}
	dir := filepath.Dir(file)
	fi, err := k.host.Stat(dir)
	switch {
	case dir == filepath.Clean(k.c.State) && (err != nil || !fi.IsDir()): // made at start, or reported
	case err != nil:
		k.problem(path, "mkdir -p "+dir+", and let the gateway's user write there", "%s: its directory: %v", file, cause(err))
	case !fi.IsDir():
		k.problem(path, "", "%s: %s is not a directory", file, dir)
	default:
		if fi, err := k.host.Stat(file); err == nil && fi.IsDir() {
			k.problem(path, "name a file in it", "%s is a directory", file)
		}
	}
}

// noVariable reports a name with ${NAME} in it and whether it did.
func (k *checker) noVariable(path, file string) bool {
	if !strings.Contains(file, "${") {
		return false
	}
	if !k.badAt(path) && k.at.Has(path) {
		k.problem(path, "write the name itself", "%s: variables are not expanded in names of files", file)
	}
	return true
}

func (k *checker) limits() {
	l := k.c.Limits
	const million = 1_000_000
	for _, f := range []struct {
		key    string
		v      int64
		lo, hi int64
		text   string
	}{
		{"calls", int64(l.Calls), 1, million, "1 to 1000000"},
		{"registrations", int64(l.Registrations), 1, million, "1 to 1000000"},
		{"subscriptions", int64(l.Subscriptions), 1, million, "1 to 1000000"},
		{"subscriptions_per_user", int64(l.UserSubs), 1, million, "1 to 1000000"},
		{"transactions", int64(l.Transactions), 100, 10 * million, "100 to 10000000"},
		{"connections", int64(l.Connections), 1, million, "1 to 1000000"},
		{"connections_per_source", int64(l.SourceConns), 1, million, "1 to 1000000"},
		{"source_packets", int64(l.SourcePackets), 1, million, "1/s to 1000000/s"},
		{"stranger_packets", int64(l.StrangerPackets), 1, 10 * million, "1/s to 10000000/s"},
		{"phone_packets", int64(l.PhonePackets), 100, 10 * million, "100/s to 10000000/s"},
		{"source_connects", int64(l.SourceConnects), 1, million, "1/s to 1000000/s"},
		{"stranger_handshakes", int64(l.StrangerShakes), 1, million, "1/s to 1000000/s"},
		{"handshakes", int64(l.Handshakes), 1, million, "1 to 1000000"},
		{"handshakes_per_source", int64(l.SourceShakes), 1, million, "1 to 1000000"},
		{"udp_buffer", int64(l.UDPBuffer), 64 << 10, 1 << 30, "64KiB to 1GiB"},
		{"udp_sockets", int64(l.UDPSockets), 0, 64, "0 to 64"},
		{"message_size", int64(l.Message), 1 << 10, 64 << 10, "1KiB to 64KiB"},
		{"header_size", int64(l.Header), 256, 32 << 10, "256B to 32KiB"},
		{"headers", int64(l.Headers), 20, 1000, "20 to 1000"},
		{"handshake_timeout", int64(l.Handshake), 1e9, 60e9, "1s to 1m"},
		{"idle_timeout", int64(l.Idle), 1e9, 3600e9, "1s to 1h"},
		{"message_timeout", int64(l.Read), 1e9, 60e9, "1s to 1m"},
		{"setup_timeout", int64(l.Setup), 180e9, 3600e9, "3m to 1h (RFC 3261, Timer C)"},
		{"retry_timeout", int64(l.Retry), 1e9, 300e9, "1s to 5m"},
		{"failover_after", int64(l.Failover), 5e8, 32e9, "500ms to 32s"},
		{"session_interval", int64(l.Session), 90e9, 7200e9, "90s to 2h (RFC 4028)"},
	} {
		k.between("limits."+f.key, f.v, f.lo, f.hi, f.text)
	}
	k.peerPackets()
	k.between("drain_timeout", int64(k.c.Drain), 0, 24*3600e9, "0s to 1d")
	p := k.c.Media.Ports
	if room := (int(p.Max) - int(p.Min) + 1) / 2; k.at.Has("limits.calls") && l.Calls > room && room > 0 {
		k.warning("limits.calls", "widen media.ports or lower limits.calls", "limits.calls: media.ports has room for %d calls only", room)
	}
}
