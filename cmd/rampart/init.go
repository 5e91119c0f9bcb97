package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/rampart-sbc/rampart/config"
	rtls "github.com/rampart-sbc/rampart/tls"
)

//go:embed template/*.tmpl
var templates embed.FS

// initCmd writes a first configuration.
type initCmd struct {
	Domain  string   `required:"" help:"The name that phones and carriers call." placeholder:"NAME"`
	PBX     string   `name:"pbx" required:"" help:"Your PBX, such as sip:10.0.0.5:5060;transport=udp." placeholder:"URI"`
	Country string   `help:"ISO code of the country whose numbers people dial, such as FR. Its numbers are allowed, all others are refused." placeholder:"CC"`
	Profile string   `enum:"office,call-centre" default:"office" help:"office or call-centre."`
	Config  string   `short:"c" default:"rampart.yaml" help:"File to write." placeholder:"FILE"`
	Listen  []string `help:"Public addresses for TLS (default 0.0.0.0:5061)." placeholder:"ADDR:PORT"`
	Inside  string   `help:"Address that faces the PBX (default: found by the route to it)." placeholder:"ADDR:PORT"`
	Media   []string `help:"Public addresses for audio (default: found by the route to the internet)." placeholder:"ADDR"`
}

// Help is shown under the flags.
func (initCmd) Help() string {
	return "Writes a commented configuration, a file for your own rules and a private CA with a server certificate. Overwrites nothing.\n\n" +
		"Example:\n  rampart init --domain sip.example.com --pbx 'sip:10.0.0.5:5060' --country FR"
}

// Run writes the files.
func (c *initCmd) Run(a *app) error {
	rules := filepath.Join(filepath.Dir(c.Config), "policy", "local.yaml")
	for _, path := range []string{c.Config, rules} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("init: %s exists already and is not overwritten; move it away, or name another file with -c", path)
		}
	}
	main, local, err := c.render(a.host)
	if err != nil {
		return err
	}
	// What would be written is checked before anything is, as if the rule
	// file were there.
	host := a.host
	host.Glob = func(string) ([]string, error) { return []string{rules}, nil }
	cfg, ps := config.Parse(c.Config, main, host)
	if err := ps.Err(); err != nil {
		return usageError{fmt.Errorf("init: these flags do not make a working configuration:\n%w", err)}
	}
	if err := os.MkdirAll(filepath.Dir(rules), 0o755); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	ca, _, err := rtls.EnsureCA(cfg.State, cfg.Domains, publicAddresses(cfg), time.Now())
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	for path, text := range map[string][]byte{rules: local, c.Config: main} {
		if err := writeNew(path, text); err != nil {
			return fmt.Errorf("init: %w", err)
		}
	}
	if err := writeSchemas(filepath.Join(filepath.Dir(c.Config), "schema")); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	for _, p := range ps {
		fmt.Fprintln(a.stderr, p)
	}
	inside := ""
	for _, t := range []string{"udp", "tcp", "tls"} {
		for _, ap := range cfg.Inside.Of(t) {
			inside = fmt.Sprintf("%s (%s)", ap, t)
		}
	}
	fmt.Fprintf(a.stdout, "Wrote %s, %s and the private CA in %s.\n", c.Config, rules, cfg.State)
	fmt.Fprintf(a.stdout, "1. Let phones trust %s and register with %s over TLS.\n", ca.CA, cfg.Domains[0])
	fmt.Fprintf(a.stdout, "2. Tell the PBX that calls and registrations come from %s.\n", inside)
	fmt.Fprintf(a.stdout, "3. Look at this host: rampart doctor -c %s\n", c.Config)
	fmt.Fprintf(a.stdout, "4. Start: rampart run -c %s\n", c.Config)
	return nil
}

// render fills the templates. Addresses that were not given are looked up now
// and written down, so that the file shows what will be used.
func (c *initCmd) render(host config.Host) (main, local []byte, err error) {
	usage := func(format string, args ...any) ([]byte, []byte, error) {
		return nil, nil, usageError{fmt.Errorf("init: "+format, args...)}
	}
	uri, err := config.ParseURI(c.PBX)
	if err != nil {
		return usage("--pbx: %w", err)
	}
	c.Country = strings.ToUpper(c.Country)
	home, _ := config.HomeOf(c.Country)
	type listener struct {
		Transport string
		Addrs     []string
	}
	if len(c.Listen) == 0 && hasIPv6(host) {
		c.Listen = []string{"0.0.0.0:5061", "[::]:5061"}
	}
	data := struct {
		File, Domain, Profile, PBX, State, Ports, NationalPrefix string
		Listen, Public, InsideMedia                              []string
		Inside                                                   []listener
		Home                                                     config.Home
		National, Derived                                        bool
		Abroad                                                   string
	}{Abroad: abroad(c.Country), File: c.Config, Domain: c.Domain, Profile: c.Profile, PBX: c.PBX, State: "rampart-state", Home: home, Listen: c.Listen, Public: c.Media}
	if home.National != nil {
		data.National, data.NationalPrefix = true, *home.National
	}
	for _, l := range c.Listen {
		if _, err := netip.ParseAddrPort(l); err != nil {
			return usage("--listen: %q is not an address with a port, such as 0.0.0.0:5061", l)
		}
	}
	for _, m := range c.Media {
		if _, err := netip.ParseAddr(m); err != nil {
			return usage("--media: %q is not an address", m)
		}
	}
	transport := uri.Transport
	if transport == "" {
		transport = "udp"
	}
	// A minimal configuration of the same flags tells what follows from them.
	var b bytes.Buffer
	fmt.Fprintf(&b, "domain: %s\npbx: %s\nprofile: %s\n", strconv.Quote(c.Domain), strconv.Quote(c.PBX), c.Profile)
	if len(c.Listen) > 0 {
		fmt.Fprintf(&b, "listen: {tls: [%s]}\n", quoted(c.Listen))
	}
	if c.Inside != "" {
		if _, err := netip.ParseAddrPort(c.Inside); err != nil {
			return usage("--inside: %q is not an address with a port, such as 10.0.0.2:5060", c.Inside)
		}
		fmt.Fprintf(&b, "inside: {%s: [%s]}\n", transport, strconv.Quote(c.Inside))
	}
	if len(c.Media) > 0 {
		fmt.Fprintf(&b, "media: {public: [%s]}\n", quoted(c.Media))
	}
	probe := host
	probe.Glob = func(string) ([]string, error) { return nil, nil }
	cfg, ps := config.Parse("flags", b.Bytes(), probe)
	if err := ps.Err(); err != nil {
		var lines []string
		for _, p := range ps.Errors() {
			lines = append(lines, "  "+p.Message+"\n    hint: "+p.Hint)
		}
		return usage("these flags do not make a working configuration (see --inside, --media, --listen):\n%s", strings.Join(lines, "\n"))
	}
	data.Ports = cfg.Media.Ports.String()
	for _, t := range []string{"udp", "tcp", "tls"} {
		l := listener{Transport: t}
		for _, ap := range cfg.Inside.Of(t) {
			l.Addrs = append(l.Addrs, ap.String())
		}
		if l.Addrs != nil {
			data.Inside = append(data.Inside, l)
		}
	}
	if len(data.Listen) == 0 {
		for _, ap := range cfg.Listen.TLS {
			data.Listen = append(data.Listen, ap.String())
		}
	}
	if len(data.Public) == 0 {
		data.Derived = true
		for _, m := range cfg.Media.Public {
			data.Public = append(data.Public, m.Bind.String())
		}
	}
	for _, m := range cfg.Media.Inside {
		data.InsideMedia = append(data.InsideMedia, m.Bind.String())
	}
	t, err := template.New("").Funcs(template.FuncMap{"quote": strconv.Quote, "list": quoted}).ParseFS(templates, "template/*.tmpl")
	if err != nil {
		return nil, nil, fmt.Errorf("init: templates: %w", err)
	}
	var m, l bytes.Buffer
	if err := errors.Join(t.ExecuteTemplate(&m, "rampart.yaml.tmpl", data), t.ExecuteTemplate(&l, "local.yaml.tmpl", data)); err != nil {
		return nil, nil, fmt.Errorf("init: templates: %w", err)
	}
	return m.Bytes(), l.Bytes(), nil
}

// abroad is a number in another country, for the first test.
func abroad(country string) string {
	if country == "GB" || country == "" {
		return "+33123456789"
	}
	return "+442079460000"
}

// writeSchemas puts the JSON Schemas where the first lines of the files say.
// They are made by the program, so newer ones take their place.
func writeSchemas(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"rampart", "policy"} {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), schemas()[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// hasIPv6 reports a way to the IPv6 internet from an address of its own.
func hasIPv6(host config.Host) bool {
	a, err := host.Route(netip.MustParseAddr("2001:db8::1"))
	return err == nil && a.IsGlobalUnicast() && !a.IsPrivate()
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strconv.Quote(s)
	}
	return strings.Join(out, ", ")
}

// writeNew writes a file that does not exist yet.
func writeNew(path string, text []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(text)
	return err
}
