package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// Host is what a configuration may ask of the machine it is for.
type Host struct {
	Env      func(name string) string
	ReadFile func(path string) ([]byte, error)
	Stat     func(path string) (fs.FileInfo, error)
	Glob     func(pattern string) ([]string, error)
	Hostname func() (string, error)
	// Route returns the machine's own address on the way to another. It
	// sends nothing.
	Route func(to netip.Addr) (netip.Addr, error)
}

// ThisHost is the machine that the program runs on.
func ThisHost() Host {
	return Host{Env: os.Getenv, ReadFile: readFile, Stat: os.Stat, Glob: filepath.Glob, Hostname: os.Hostname, Route: route}
}

// maxFile bounds what is read of one file: the longest that is read whole is a
// list of a policy.
const maxFile = 64<<20 + 1

// readFile reads a file that may be anything somebody wrote into a
// configuration, /dev/zero too.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// route asks the routing table by connecting a datagram socket, which sends
// nothing.
func route(to netip.Addr) (netip.Addr, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the own address towards %s: %w", to, err)
	}
	defer c.Close()
	a, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("find the own address towards %s: none", to)
	}
	return a.AddrPort().Addr().Unmap().WithZone(""), nil
}

// Load reads and checks the configuration at path. It returns all problems of
// the file, sorted by place. Where one of them is an error the Config is nil.
//
// What the file leaves out follows from the profile ([Defaults]) and from the
// rest: the inside listens on the machine's address towards the PBX, media
// takes the addresses of the listeners (or of the default route where those are
// unspecified), logs lie in the state directory, and the state directory is
// store.path or "rampart-state" beside the file.
func Load(path string, host Host) (*Config, strictyaml.Problems) {
	c, ps := Inspect(path, host)
	if ps.Err() != nil {
		return nil, ps
	}
	return c, ps
}

// Inspect is [Load] for tools that look further: it returns the Config in spite
// of errors, as far as the file is YAML at all; parts of it may be missing.
func Inspect(path string, host Host) (*Config, strictyaml.Problems) {
	data, err := host.ReadFile(path)
	if err != nil {
		p := strictyaml.At(path, strictyaml.Pos{}, "the configuration cannot be read: %v", cause(err))
		if errors.Is(err, fs.ErrNotExist) {
			p = p.WithHint("rampart init writes one; -c names another file")
		}
		return nil, strictyaml.Problems{p}
	}
	return Parse(path, data, host)
}

// Parse is [Inspect] for a file that has been read already; path is its name.
func Parse(path string, data []byte, host Host) (*Config, strictyaml.Problems) {
	// The profile decides the defaults that decoding starts from, so it is
	// looked up first; its problems are reported by the second reading.
	var first struct {
		Profile Profile `yaml:"profile"`
	}
	strictyaml.Decode(path, data, &first)
	if first.Profile == "" {
		first.Profile = Office
	}
	c := Defaults(first.Profile)
	c.File = path
	at, ps := strictyaml.DecodeAt(path, data, &c)
	if len(at) == 1 && ps.Err() != nil {
		return nil, ps // not even YAML; nothing further can be said
	}
	k := &checker{c: &c, host: host, at: at, dir: filepath.Dir(path), ps: ps}
	k.bad = badPlaces(ps)
	k.fill()
	k.check()
	k.ps.Sort()
	c.at = at
	return &c, k.ps
}

// badPlaces are where decoding failed already, so that no second problem is
// reported for the same value.
func badPlaces(ps strictyaml.Problems) map[strictyaml.Pos]bool {
	bad := map[strictyaml.Pos]bool{}
	for _, p := range ps {
		bad[strictyaml.Pos{Line: p.Line, Col: p.Col}] = true
	}
	return bad
}

// cause drops the path that errors of the file system repeat.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// abs makes a path of the file relative to the file's directory.
func (k *checker) abs(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(k.dir, path)
}

// fill derives what the file left out.
func (k *checker) fill() {
	c := k.c
	if !k.at.Has("node") && k.host.Hostname != nil {
		if name, err := k.host.Hostname(); err == nil && name != "" {
			c.Node, _, _ = strings.Cut(name, ".")
		}
	}
	for _, p := range []*string{&c.State, &c.Store.Path, &c.TLS.ClientCA, &c.GeoIP.Country, &c.GeoIP.ASN, &c.Rates, &c.Home.Numbering, &c.Authentication.File} {
		*p = k.abs(*p)
	}
	if c.State == "" {
		if c.State = c.Store.Path; c.State == "" {
			c.State = k.abs("rampart-state")
		}
	}
	if c.Store.Path == "" {
		c.Store.Path = c.State
	}
	for i := range c.TLS.Certificates {
		k.absCert(&c.TLS.Certificates[i])
	}
	for i := range c.PBX {
		c.PBX[i].CA = k.abs(c.PBX[i].CA)
		k.absCert(c.PBX[i].Certificate)
	}
	for i := range c.Peers {
		if r := c.Peers[i].Register; r != nil && r.Password.text != "" {
			var err error
			if r.Password, err = secret(r.Password.text, k.host, k.abs); err != nil {
				k.problem(fmt.Sprintf("peers[%d].register.password", i), `"file:carrier.secret" or "${NAME}"`, "peer %s: password: %v", c.Peers[i].Name, err)
			}
		}
		c.Peers[i].CA = k.abs(c.Peers[i].CA)
		k.absCert(c.Peers[i].Certificate)
		if !k.at.Has(fmt.Sprintf("peers[%d].failover", i)) {
			c.Peers[i].Failover = []int{500, 502, 503, 504}
		}
		if c.Peers[i].SRTP == "" {
			c.Peers[i].SRTP = SRTPRequired
			// Keys cannot cross a plaintext hop, so required would mean
			// that no call ever comes about.
			if t := c.Peers[i].URI.Transport; c.Peers[i].AllowPlaintext && (t == "udp" || t == "tcp") {
				c.Peers[i].SRTP = SRTPOff
			}
		}
	}
	k.fillIdentity()
	k.numbering()
	for _, sinks := range []struct {
		key  string
		list *[]Sink
		name string
	}{{"alerts", &c.Alerts, "alerts.jsonl"}, {"cdr", &c.CDR, "cdr.jsonl"}, {"events", &c.Events, ""}} {
		if !k.at.Has(sinks.key) && sinks.name != "" {
			*sinks.list = []Sink{{File: filepath.Join(c.State, sinks.name)}}
			continue
		}
		for i := range *sinks.list {
			s := &(*sinks.list)[i]
			s.File = k.abs(s.File)
			if sinks.key == "events" && !k.at.Has(fmt.Sprintf("events[%d].max_size", i)) {
				s.MaxSize = defaultEvents
			}
		}
	}
	k.fillInside()
	k.fillMedia()
	k.findPolicy()
}

func (k *checker) absCert(c *Certificate) {
	if c != nil {
		c.Cert, c.Key = k.abs(c.Cert), k.abs(c.Key)
	}
}

func (k *checker) insideSet() bool {
	return slices.ContainsFunc(transports, func(t string) bool { return k.at.Has("inside." + t) })
}

// fillInside gives every PBX without a listener for its transport one, on the
// machine's address towards it.
func (k *checker) fillInside() {
	if k.insideSet() {
		return
	}
	for i, p := range k.c.PBX {
		if p.URI.IsZero() || len(k.c.Inside.Of(p.URI.Transport)) > 0 {
			continue
		}
		path := fmt.Sprintf("pbx[%d].uri", i)
		hint := fmt.Sprintf(`inside: {%s: ["ADDRESS:PORT"]}, the address that faces the PBX`, p.URI.Transport)
		if !p.URI.Addr.IsValid() {
			k.problem(path, hint, "inside is not set, and it cannot be derived because pbx %s is given by name", p.Name)
			continue
		}
		own, err := k.host.Route(p.URI.Addr)
		if err != nil {
			k.problem(path, hint, "inside is not set, and it cannot be derived: %v", err)
			continue
		}
		k.c.Inside.add(p.URI.Transport, netip.AddrPortFrom(own, insidePort(p.URI, own)))
	}
}

// insidePort is 5060, or 5070 where the PBX has that itself; with TLS 5071,
// because 5061 is the public side's.
func insidePort(pbx URI, own netip.Addr) uint16 {
	switch {
	case pbx.Transport == "tls" && (pbx.Addr != own || pbx.Port != 5071):
		return 5071
	case pbx.Transport == "tls":
		return 5081
	case pbx.Addr == own && pbx.Port == 5060:
		return 5070
	}
	return 5060
}

func (l *Listen) add(transport string, ap netip.AddrPort) {
	switch transport {
	case "udp":
		l.UDP = append(l.UDP, ap)
	case "tcp":
		l.TCP = append(l.TCP, ap)
	case "tls":
		l.TLS = append(l.TLS, ap)
	}
}

// Addresses that stand for "the rest of the world" when the routing table is
// asked; they are reserved for documentation (RFC 5737, RFC 3849).
var (
	world4 = netip.MustParseAddr("192.0.2.1")
	world6 = netip.MustParseAddr("2001:db8::1")
)

func (k *checker) fillMedia() {
	m := &k.c.Media
	if !k.at.Has("media.public") {
		m.Public = k.mediaFrom(k.c.Listen, []netip.Addr{world4, world6})
		// One family may well have no route; none at all is a problem.
		if len(m.Public) == 0 {
			k.problem("media", "media: {public: [ADDRESS]}: the address that phones send their audio to",
				"media.public is not set and this machine has no route from which it could be derived")
		}
		for _, a := range m.Public {
			if (a.Bind.IsPrivate() || a.Bind.IsLinkLocalUnicast()) && k.anyUnspecified(k.c.Listen) {
				k.warning("media", fmt.Sprintf("behind a 1:1 NAT write media: {public: [{bind: %q, advertise: PUBLIC-ADDRESS}]}; if phones are inside, write media: {public: [%q]}", a.Bind, a.Bind),
					"media.public is not set; %s was taken, which phones outside cannot reach", a.Bind)
			}
		}
	}
	if !k.at.Has("media.inside") {
		var toward []netip.Addr
		for _, p := range k.c.PBX {
			if p.URI.Addr.IsValid() {
				toward = append(toward, p.URI.Addr)
			}
		}
		m.Inside = k.mediaFrom(k.c.Inside, toward)
		if len(m.Inside) == 0 && len(k.ps.Errors()) == 0 {
			k.problem("media", "media: {inside: [ADDRESS]}: the address that the PBX sends its audio to",
				"media.inside is not set and cannot be derived")
		}
	}
}

func (k *checker) anyUnspecified(l Listen) bool {
	for _, t := range transports {
		if slices.ContainsFunc(l.Of(t), func(ap netip.AddrPort) bool { return ap.Addr().IsUnspecified() }) {
			return true
		}
	}
	return false
}

// mediaFrom takes the first specified address of each family from listeners;
// unspecified ones stand for the machine's address towards others.
func (k *checker) mediaFrom(l Listen, toward []netip.Addr) (out []Address) {
	add := func(a netip.Addr) {
		if !a.IsValid() || a.IsUnspecified() || slices.ContainsFunc(out, func(b Address) bool { return b.Bind.Is4() == a.Is4() }) {
			return
		}
		out = append(out, Address{a, a})
	}
	for _, t := range transports {
		for _, ap := range l.Of(t) {
			if a := ap.Addr(); !a.IsUnspecified() {
				add(a)
				continue
			}
			for _, to := range toward {
				if to.Is4() == ap.Addr().Is4() {
					if own, err := k.host.Route(to); err == nil {
						add(own)
					}
				}
			}
		}
	}
	return out
}

// FindPolicy looks again for the files that each of policy.files finds.
func (c *Config) FindPolicy(glob func(string) ([]string, error)) map[string][]string {
	out := map[string][]string{}
	for _, pattern := range c.Policy.Files {
		at := pattern
		if !filepath.IsAbs(at) {
			at = filepath.Join(filepath.Dir(c.File), at)
		}
		found, err := glob(at)
		if err == nil {
			out[pattern] = found
		}
	}
	return out
}

func (k *checker) findPolicy() {
	for i, pattern := range k.c.Policy.Files {
		path := fmt.Sprintf("policy.files[%d]", i)
		found, err := k.host.Glob(k.abs(pattern))
		if err != nil {
			k.problem(path, "* and ? and [a-z] are known", "policy.files: %q is not a pattern", pattern)
			continue
		}
		if len(found) == 0 && k.at.Has("policy.files") {
			k.problem(path, "paths are relative to the directory of this file", "policy.files: no file is named %s", pattern)
		}
		k.c.PolicyFiles = append(k.c.PolicyFiles, found...)
	}
	slices.Sort(k.c.PolicyFiles)
	k.c.PolicyFiles = slices.Compact(k.c.PolicyFiles)
}
