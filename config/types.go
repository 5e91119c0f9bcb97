package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// Profile names a set of defaults.
type Profile string

const (
	Office     Profile = "office"
	CallCentre Profile = "call-centre"
)

// UnmarshalScalar reads the name.
func (p *Profile) UnmarshalScalar(text string, _ bool) error {
	return oneOf((*string)(p), text, string(Office), string(CallCentre))
}

// SRTPPolicy says whether media with a peer or PBX is encrypted. Empty in a
// file; never empty after [Load].
type SRTPPolicy string

const (
	SRTPOff      SRTPPolicy = "off"
	SRTPOptional SRTPPolicy = "optional"
	SRTPRequired SRTPPolicy = "required"
)

// UnmarshalScalar reads the word.
func (p *SRTPPolicy) UnmarshalScalar(text string, _ bool) error {
	return oneOf((*string)(p), text, string(SRTPRequired), string(SRTPOptional), string(SRTPOff))
}

func oneOf(to *string, text string, names ...string) error {
	for _, n := range names {
		if text == n {
			*to = n
			return nil
		}
	}
	if best := strictyaml.Nearest(text, names); best != "" {
		return fmt.Errorf("%q is not one of %s; did you mean %s?", clip(text), strings.Join(names, ", "), best)
	}
	return fmt.Errorf("%q is not one of %s", clip(text), strings.Join(names, ", "))
}

func clip(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// Address is a media address: what sockets are bound to and what the other end
// is told, which differs behind a 1:1 NAT.
type Address struct{ Bind, Advertise netip.Addr }

// UnmarshalNode reads an address or {bind: …, advertise: …}.
func (a *Address) UnmarshalNode(n strictyaml.Node) {
	if n.Kind() != strictyaml.Map {
		n.Decode(&a.Bind)
		a.Advertise = a.Bind
		return
	}
	var m struct {
		Bind      netip.Addr `yaml:"bind,required"`
		Advertise netip.Addr `yaml:"advertise,required"`
	}
	n.Decode(&m)
	a.Bind, a.Advertise = m.Bind, m.Advertise
	if a.Bind.IsValid() && a.Advertise.IsValid() && a.Bind.Is4() != a.Advertise.Is4() {
		n.Problem("write one entry per family", "bind and advertise must both be IPv4 or both IPv6")
	}
}

// Ports is a range of ports, both ends included.
type Ports struct{ Min, Max uint16 }

// UnmarshalScalar reads "20000-39999".
func (p *Ports) UnmarshalScalar(text string, _ bool) error {
	lo, hi, ok := strings.Cut(text, "-")
	a, err1 := strconv.ParseUint(strings.TrimSpace(lo), 10, 16)
	b, err2 := strconv.ParseUint(strings.TrimSpace(hi), 10, 16)
	if !ok || err1 != nil || err2 != nil {
		return fmt.Errorf("%q is not a range of ports such as 20000-39999", clip(text))
	}
	p.Min, p.Max = uint16(a), uint16(b)
	return nil
}

func (p Ports) String() string { return fmt.Sprintf("%d-%d", p.Min, p.Max) }

// Rate is a number of events per second.
type Rate float64

// UnmarshalScalar reads "20/s", "100/m" or "500/h".
func (r *Rate) UnmarshalScalar(text string, _ bool) error {
	n, unit, ok := strings.Cut(text, "/")
	per := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	v, err := strconv.ParseFloat(n, 64)
	if !ok || per == 0 || err != nil || !(v > 0) || math.IsInf(v, 0) {
		return fmt.Errorf("%q is not a rate such as 20/s, 100/m or 500/h", clip(text))
	}
	*r = Rate(v / per)
	return nil
}

func (r Rate) String() string { return strconv.FormatFloat(float64(r), 'g', 6, 64) + "/s" }

// Size is a number of bytes.
type Size int64

var sizeUnits = []struct {
	name string
	each int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// UnmarshalScalar reads "64KiB", "1MB" or a plain number of bytes.
func (s *Size) UnmarshalScalar(text string, _ bool) error {
	for _, u := range sizeUnits {
		if digits, ok := strings.CutSuffix(text, u.name); ok {
			n, err := strconv.ParseUint(digits, 10, 63)
			if err != nil || int64(n) > math.MaxInt64/u.each {
				break
			}
			*s = Size(int64(n) * u.each)
			return nil
		}
	}
	return fmt.Errorf("%q is not a size such as 64KiB or 1MiB", clip(text))
}

func (s Size) String() string {
	for i := 2; i >= 0; i-- {
		if u := sizeUnits[i]; s > 0 && int64(s)%u.each == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.each, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}

// Optional is an address with a port, or "off".
type Optional struct{ netip.AddrPort }

// String is as in the file.
func (o Optional) String() string {
	if !o.IsValid() {
		return "off"
	}
	return o.AddrPort.String()
}

// UnmarshalScalar reads it.
func (o *Optional) UnmarshalScalar(text string, _ bool) error {
	if text == "off" {
		o.AddrPort = netip.AddrPort{}
		return nil
	}
	ap, err := netip.ParseAddrPort(text)
	if err != nil {
		return fmt.Errorf(`%q is not an address with a port, such as "127.0.0.1:8080", nor off`, clip(text))
	}
	o.AddrPort = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	return nil
}

// Server is the address of a DNS server, with or without a port.
type Server struct{ netip.AddrPort }

// UnmarshalScalar reads "10.0.0.53" or "10.0.0.53:5353".
func (s *Server) UnmarshalScalar(text string, _ bool) error {
	if a, err := netip.ParseAddr(text); err == nil {
		s.AddrPort = netip.AddrPortFrom(a.Unmap(), 53)
		return nil
	}
	ap, err := netip.ParseAddrPort(text)
	if err != nil || ap.Port() == 0 {
		return fmt.Errorf(`%q is not an address such as "10.0.0.53" or "10.0.0.53:53"`, clip(text))
	}
	s.AddrPort = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	return nil
}

// DTLS is false in this version.
type DTLS bool

// UnmarshalScalar accepts false only.
func (d *DTLS) UnmarshalScalar(text string, quoted bool) error {
	switch {
	case text == "false" && !quoted:
		return nil
	case text == "true" && !quoted:
		return errors.New("DTLS-SRTP is not available in this version; leave it out, phones use SDES")
	}
	return fmt.Errorf("%q is not true or false", clip(text))
}

// URI is where requests for a PBX or peer go: sip:HOST[:PORT][;transport=T].
type URI struct {
	Host      string     // lower case; an address without brackets
	Addr      netip.Addr // the host where it is an address, else zero
	Port      uint16     // 0: by RFC 3263
	Transport string     // udp, tcp, tls; "": by RFC 3263
}

// IsZero reports a URI that was not given.
func (u URI) IsZero() bool { return u.Host == "" }

// String gives the URI as it would be written.
func (u URI) String() string {
	if u.IsZero() {
		return ""
	}
	host := u.Host
	if u.Addr.Is6() {
		host = "[" + host + "]"
	}
	s := "sip:" + host
	if u.Port != 0 {
		s += ":" + strconv.Itoa(int(u.Port))
	}
	if u.Transport != "" {
		s += ";transport=" + u.Transport
	}
	return s
}

// UnmarshalScalar reads the URI.
func (u *URI) UnmarshalScalar(text string, _ bool) error {
	v, err := ParseURI(text)
	if err != nil {
		return err
	}
	*u = v
	return nil
}

// ParseURI reads a SIP URI that names a next hop. A scheme of sips: means TLS.
// A user part, headers and parameters other than transport are refused, for
// they would not be used.
func ParseURI(text string) (URI, error) {
	var u URI
	fail := func(why string) (URI, error) {
		return URI{}, fmt.Errorf(`%q is not a SIP URI such as "sip:10.0.0.5:5060;transport=udp": %s`, clip(text), why)
	}
	scheme, rest, ok := strings.Cut(text, ":")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "sip" && scheme != "sips" {
		return fail("it must begin with sip:")
	}
	if strings.ContainsAny(rest, "@?/ <>\"") {
		return fail("only host, port and transport belong here")
	}
	rest, params, _ := strings.Cut(rest, ";")
	if scheme == "sips" {
		u.Transport = "tls"
	}
	if params != "" {
		name, value, _ := strings.Cut(params, "=")
		value = strings.ToLower(value)
		switch {
		case !strings.EqualFold(name, "transport"):
			return fail("the only parameter is transport")
		case value != "udp" && value != "tcp" && value != "tls":
			return fail("transport is udp, tcp or tls")
		case scheme == "sips" && value == "udp":
			return fail("sips: cannot go over udp")
		case scheme == "sip":
			u.Transport = value
		}
	}
	host, port := rest, ""
	if strings.HasPrefix(rest, "[") {
		var ok bool
		if host, port, ok = strings.Cut(rest[1:], "]"); !ok {
			return fail("the ] of the address is missing")
		}
		if port != "" && port[0] != ':' {
			return fail("there is something odd after ]")
		}
		port = strings.TrimPrefix(port, ":")
		a, err := netip.ParseAddr(host)
		if err != nil || !a.Is6() || a.Zone() != "" {
			return fail("this is no IPv6 address")
		}
		u.Addr = a.Unmap()
		u.Host = u.Addr.String()
	} else {
		host, port, _ = strings.Cut(rest, ":")
		if a, err := netip.ParseAddr(host); err == nil {
			u.Addr, u.Host = a, a.String()
		} else if isDigitsAndDots(host) || !isHostName(host) {
			return fail("this is neither a host name nor an address (an IPv6 address needs brackets)")
		} else {
			u.Host = strings.ToLower(strings.TrimSuffix(host, "."))
		}
	}
	if strings.HasSuffix(rest, ":") {
		return fail("the port is missing")
	}
	if port != "" {
		p, err := strconv.ParseUint(port, 10, 16)
		if err != nil || p == 0 {
			return fail("the port must be 1 to 65535")
		}
		u.Port = uint16(p)
	}
	if u.Addr.IsValid() && u.Addr.IsUnspecified() {
		return fail("nothing can be sent to the unspecified address")
	}
	return u, nil
}

// withDefaults fills in the transport, and the port where there is no DNS to
// ask: of a name it comes from an SRV record if there is one.
func (u URI) withDefaults() URI {
	if u.Transport == "" {
		u.Transport = "udp"
	}
	if u.Port == 0 && u.Addr.IsValid() {
		u.Port = 5060
		if u.Transport == "tls" {
			u.Port = 5061
		}
	}
	return u
}

func isDigitsAndDots(s string) bool { return strings.Trim(s, "0123456789.") == "" }

// isHostName checks the letters, digits and hyphens of RFC 1123 §2.1.
func isHostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' {
				return false
			}
		}
	}
	return true
}

// Secret is a password or key. It never prints; [Secret.Reveal] gives it.
type Secret struct{ text string }

// Reveal returns the secret for the one place that needs it.
func (s Secret) Reveal() string { return s.text }

// UnmarshalScalar keeps what the file says; [Load] resolves it.
func (s *Secret) UnmarshalScalar(text string, _ bool) error {
	s.text = text
	return nil
}

const redacted = "[redacted]"

func (s Secret) String() string               { return redacted }
func (s Secret) GoString() string             { return redacted }
func (s Secret) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// secret resolves what a file says where a secret belongs: "${NAME}" from the
// environment, "file:PATH" from a file without its last line break, anything
// else as it stands. The error never contains the secret.
func secret(text string, host Host, abs func(string) string) (Secret, error) {
	if name, ok := strings.CutPrefix(text, "${"); ok && strings.HasSuffix(name, "}") {
		name = strings.TrimSuffix(name, "}")
		v := host.Env(name)
		if v == "" {
			return Secret{}, fmt.Errorf("the environment variable %s is empty or not set", clip(name))
		}
		return Secret{v}, nil
	}
	if path, ok := strings.CutPrefix(text, "file:"); ok {
		path = abs(path)
		if err := checkPrivate(host, path); err != nil {
			return Secret{}, err
		}
		data, err := host.ReadFile(path)
		if err != nil {
			return Secret{}, fmt.Errorf("the secret file cannot be read: %w", err)
		}
		v := strings.TrimRight(string(data), "\r\n")
		if v == "" {
			return Secret{}, fmt.Errorf("the secret file %s is empty", path)
		}
		return Secret{v}, nil
	}
	return Secret{text}, nil
}

// pbxYAML is a PBX as a mapping.
type pbxYAML struct {
	Name          string        `yaml:"name"`
	URI           URI           `yaml:"uri,required"`
	SRTP          SRTPPolicy    `yaml:"srtp"`
	Health        time.Duration `yaml:"health"`
	Weight        int           `yaml:"weight"`
	CA            string        `yaml:"ca"`
	Certificate   *Certificate  `yaml:"certificate"`
	AllowWildcard bool          `yaml:"allow_wildcard"`
	Realm         string        `yaml:"realm"`
	Domains       []string      `yaml:"domains,single"`
	Failover      []int         `yaml:"failover,single"`
	Bodies        []string      `yaml:"bodies,single"`
	Redirects     Redirects     `yaml:"redirects"`
}

// UnmarshalNode reads an entry of `pbx`: a URI, or a mapping.
func (p *PBX) UnmarshalNode(n strictyaml.Node) {
	m := pbxYAML{Name: "main", SRTP: SRTPOff, Health: 10 * time.Second, Weight: 1, Failover: []int{502, 503, 504}}
	if n.Kind() == strictyaml.Scalar {
		n.Decode(&m.URI)
	} else {
		n.Decode(&m)
	}
	if !m.URI.IsZero() {
		m.URI = m.URI.withDefaults()
	}
	*p = PBX(m)
}
