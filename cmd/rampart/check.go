package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/fraud/geo"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/rules"
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
			f := finding{p.File, p.Line, p.Col, "error", p.Message, p.Hint}
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

// inspect collects the problems of a configuration and of all that it names.
func inspect(path string, host config.Host, now time.Time) strictyaml.Problems {
	cfg, ps := config.Inspect(path, host)
	if cfg == nil {
		return ps
	}
	reported := map[strictyaml.Pos]bool{}
	for _, p := range ps {
		if !p.Warning {
			reported[strictyaml.Pos{Line: p.Line, Col: p.Col}] = true
		}
	}
	add := func(path string, err error) {
		// A file that is missing was reported with its place already.
		p := cfg.Problem(path, "%v", err)
		if err != nil && !reported[strictyaml.Pos{Line: p.Line, Col: p.Col}] {
			ps = append(ps, p)
		}
	}
	pair := func(path string, c config.Certificate) {
		if reported[posOf(cfg, path+".cert")] || reported[posOf(cfg, path+".key")] {
			return
		}
		_, err := rtls.Load(c.Cert, c.Key, now)
		add(path+".cert", err)
	}
	pool := func(path, file string) {
		if file != "" {
			_, err := rtls.LoadPool(file)
			add(path, err)
		}
	}
	for i, c := range cfg.TLS.Certificates {
		pair(fmt.Sprintf("tls.certificate[%d]", i), c)
	}
	pool("tls.client_ca", cfg.TLS.ClientCA)
	for i, p := range cfg.PBX {
		pool(fmt.Sprintf("pbx[%d].ca", i), p.CA)
		if p.Certificate != nil {
			pair(fmt.Sprintf("pbx[%d].certificate", i), *p.Certificate)
		}
	}
	for i, p := range cfg.Peers {
		pool(fmt.Sprintf("peers[%d].ca", i), p.CA)
		if p.Certificate != nil {
			pair(fmt.Sprintf("peers[%d].certificate", i), *p.Certificate)
		}
	}
	for path, file := range map[string]string{"geoip.country": cfg.GeoIP.Country, "geoip.asn": cfg.GeoIP.ASN} {
		if file == "" {
			continue
		}
		country, asn := file, ""
		if path == "geoip.asn" {
			country, asn = "", file
		}
		_, err := geo.Open(country, asn)
		add(path, err)
	}
	plan, err := number.Compile(cfg.Home.Number(), number.Builtin())
	if err != nil {
		plan = nil // reported by config, with its place
	}
	_, more := compileRules(cfg, plan, host.ReadFile, now)
	ps = append(ps, more...)
	ps.Sort()
	return ps
}

// compileRules reads the packs and rule files of a configuration and makes one
// policy of them. The Set is nil when a problem is an error.
func compileRules(cfg *config.Config, plan *number.Plan, read func(string) ([]byte, error), now time.Time) (*policy.Set, strictyaml.Problems) {
	var sources []policy.Source
	var ps strictyaml.Problems
	for i, name := range cfg.Policy.Use {
		// An unknown name was reported by config.
		if data, ok := rules.Pack(name); ok {
			sources = append(sources, policy.Source{Name: name, Data: data, Pack: true})
		} else if config.HasPack(name) {
			ps = append(ps, cfg.Problem(fmt.Sprintf("policy.use[%d]", i), "policy.use: the pack %s is missing from this binary", name))
		}
	}
	for _, file := range cfg.PolicyFiles {
		data, err := read(file)
		if err != nil {
			ps = append(ps, strictyaml.At(file, strictyaml.Pos{}, "cannot be read: %v", err))
			continue
		}
		sources = append(sources, policy.Source{Name: file, Data: data})
	}
	set, more := policy.Compile(sources, policy.Options{Plan: plan, Now: now})
	if ps = append(ps, more...); ps.Err() != nil {
		set = nil
	}
	return set, ps
}

func posOf(cfg *config.Config, path string) strictyaml.Pos {
	p := cfg.Problem(path, "")
	return strictyaml.Pos{Line: p.Line, Col: p.Col}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
