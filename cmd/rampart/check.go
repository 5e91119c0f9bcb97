package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/fraud/geo"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy/number"
	rtls "github.com/rampart-sbc/rampart/tls"
)

// checkCmd looks for everything that is wrong before the gateway starts.
type checkCmd struct {
	Config string `short:"c" help:"Configuration file. Default: ./rampart.yaml, then /etc/rampart/rampart.yaml." placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (checkCmd) Help() string {
	return "Reads the configuration, the rule files, certificates and databases and prints all problems with file, line, column and a hint. " +
		"Warnings leave the exit code at 0, errors make it 1.\n\nExample:\n  rampart check -c /etc/rampart/rampart.yaml"
}

// finding is a problem in rampart check --json.
type finding struct {
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"`
	Col      int    `json:"col,omitempty"`
	Severity string `json:"severity"` // error or warning
	Message  string `json:"message"`
	Excerpt  string `json:"excerpt,omitempty"` // of a condition: its line, and a caret below
	Hint     string `json:"hint,omitempty"`
}

// Run prints the problems.
func (c *checkCmd) Run(a *app) error {
	path := a.configPath(c.Config)
	ps := inspect(path, a.host, time.Now())
	errs := len(ps.Errors())
	if c.JSON {
		out := struct {
			OK       bool      `json:"ok"`
			File     string    `json:"file"`
			Problems []finding `json:"problems"`
		}{errs == 0, path, []finding{}}
		for _, p := range ps {
			f := finding{p.File, p.Line, p.Col, "error", p.Message, p.Excerpt, p.Hint}
			if p.Warning {
				f.Severity = "warning"
			}
			out.Problems = append(out.Problems, f)
		}
		if err := printJSON(a, out); err != nil {
			return err
		}
	} else {
		for _, p := range ps {
			fmt.Fprintln(a.stdout, p)
		}
		if errs == 0 {
			fmt.Fprintf(a.stdout, "%s: ok, %s\n", path, count(len(ps), "warning"))
		}
	}
	if errs > 0 {
		return fmt.Errorf("%s: %s, %s", path, count(errs, "error"), count(len(ps)-errs, "warning"))
	}
	return nil
}

// expiring is how long before its end a certificate is worth a warning.
const expiring = 21 * 24 * time.Hour

// inspect collects the problems of a configuration and of all that it names.
func inspect(path string, host config.Host, now time.Time) strictyaml.Problems {
	cfg, ps := config.Inspect(path, host)
	if cfg == nil {
		return ps
	}
	in := inspection{cfg: cfg, now: now, ps: ps, reported: map[strictyaml.Pos]bool{}}
	for _, p := range ps.Errors() {
		in.reported[strictyaml.Pos{Line: p.Line, Col: p.Col}] = true
	}
	in.certificates()
	in.databases()
	in.privileges()
	plan, err := cfg.Plan()
	if err != nil {
		plan = nil // reported by config, with its place
	}
	set, _, more := compileRules(cfg, plan, host.ReadFile, now, nil)
	in.ps = append(in.ps, more...)
	if set != nil && plan != nil {
		in.ps = append(in.ps, runTests(cfg, set)...)
		in.ps = append(in.ps, prove(cfg, set)...)
	}
	in.ps = append(in.ps, withoutGeo(cfg, set)...)
	in.ps.Sort()
	return in.ps
}

// inspection opens the files that a configuration names.
type inspection struct {
	cfg      *config.Config
	now      time.Time
	ps       strictyaml.Problems
	reported map[strictyaml.Pos]bool // places that config complained about
}

// failed says that a value is wrong already, so that a missing file is not
// reported twice.
func (in *inspection) failed(path string) bool {
	p := in.cfg.Problem(path, "")
	return in.reported[strictyaml.Pos{Line: p.Line, Col: p.Col}]
}

func (in *inspection) add(path string, err error) {
	if err != nil && !in.failed(path) {
		in.ps = append(in.ps, in.cfg.Problem(path, "%v", err))
	}
}

func (in *inspection) certificates() {
	var own []*rtls.Certificate
	for i, c := range in.cfg.TLS.Certificates {
		if cert := in.pair(fmt.Sprintf("tls.certificate[%d]", i), c); cert != nil {
			own = append(own, cert)
		}
	}
	for i, domain := range in.cfg.Domains {
		named := func(c *rtls.Certificate) bool { return rtls.Match(c.Leaf(), domain, rtls.Rules{Wildcard: true}) }
		if len(own) == len(in.cfg.TLS.Certificates) && len(own) > 0 && !slices.ContainsFunc(own, named) {
			in.ps = append(in.ps, in.cfg.Problem(fmt.Sprintf("domain[%d]", i), "no certificate names %s, so phones that check it will not connect", domain).
				WithHint("the certificate names %s", strings.Join(own[0].Names(), ", ")).AsWarning())
		}
	}
	in.pool("tls.client_ca", in.cfg.TLS.ClientCA)
	for i, p := range in.cfg.PBX {
		in.pool(fmt.Sprintf("pbx[%d].ca", i), p.CA)
		if p.Certificate != nil {
			in.pair(fmt.Sprintf("pbx[%d].certificate", i), *p.Certificate)
		}
	}
	for i, p := range in.cfg.Peers {
		in.pool(fmt.Sprintf("peers[%d].ca", i), p.CA)
		if p.Certificate != nil {
			in.pair(fmt.Sprintf("peers[%d].certificate", i), *p.Certificate)
		}
	}
}

// pair loads a certificate with its key as the gateway would.
func (in *inspection) pair(path string, c config.Certificate) *rtls.Certificate {
	if in.failed(path+".cert") || in.failed(path+".key") {
		return nil
	}
	cert, err := rtls.Load(c.Cert, c.Key, in.now)
	if err != nil {
		in.add(path+".cert", err)
		return nil
	}
	if end := cert.Expires(); end.Sub(in.now) < expiring {
		in.ps = append(in.ps, in.cfg.Problem(path+".cert", "%s expires on %s", c.Cert, end.UTC().Format(time.DateOnly)).
			WithHint("renew it; the gateway takes the new file without a restart").AsWarning())
	}
	return cert
}

func (in *inspection) pool(path, file string) {
	if file != "" {
		_, err := rtls.LoadPool(file)
		in.add(path, err)
	}
}

func (in *inspection) databases() {
	_, err := geo.Open(in.cfg.GeoIP.Country, "")
	in.add("geoip.country", err)
	_, err = geo.Open("", in.cfg.GeoIP.ASN)
	in.add("geoip.asn", err)
	_, err = rates(in.cfg, number.Builtin())
	in.add("rates", err)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
