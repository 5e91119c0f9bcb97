package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/explain"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/rules"
	"github.com/rampart-sbc/rampart/trial"
)

// policyTestCmd runs the `tests:` of rule files.
type policyTestCmd struct {
	Files    []string `arg:"" optional:"" name:"file" help:"Rule files, judged together. Default: those of the configuration." type:"path"`
	Config   string   `short:"c" help:"Configuration file: its packs, files, dialling plan and peers' limits. Default: ./rampart.yaml, then /etc/rampart/rampart.yaml." placeholder:"FILE"`
	Use      []string `help:"Packs that the files are judged with, where there is no configuration." placeholder:"PACK"`
	Home     string   `help:"Home country, where neither a file nor a configuration has one. Packs alone: FR." placeholder:"CC"`
	Name     string   `name:"run" help:"Run tests whose name contains this text." placeholder:"NAME"`
	Coverage bool     `help:"List rules, limits and sections of countries: that no test reached."`
	JUnit    string   `name:"junit" help:"Write JUnit XML for CI." placeholder:"FILE"`
	JSON     bool     `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (policyTestCmd) Help() string {
	return "Judges the requests of each test with the code of the gateway, in virtual time and without a network. Exit code 1 when a test fails. " +
		"Where there are no files the tests of the packs run, of each by itself.\n\nExamples:\n  rampart policy test\n  rampart policy test policy/*.yaml --use base,countries\n" +
		"  rampart policy test -c /etc/rampart/rampart.yaml --coverage --junit report.xml"
}

// Run runs the tests.
func (c *policyTestCmd) Run(a *app) error {
	if len(c.Files)+len(c.Use) == 0 && c.Config == "" && c.Home == "" {
		if path := a.configPath(""); exists(a, path) {
			c.Config = path
		}
	}
	begun := time.Now()
	report, err := c.try(a)
	if err != nil {
		return err
	}
	report.Took = time.Since(begun)
	if c.JUnit != "" {
		var b bytes.Buffer
		if err := report.JUnit(&b); err != nil {
			return err
		}
		if err := os.WriteFile(c.JUnit, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("junit: %w", err)
		}
	}
	if c.JSON {
		err = c.printJSON(a, report)
	} else {
		c.print(a, report)
	}
	switch failed := report.Failed(); {
	case err != nil:
		return err
	case len(report.Results) == 0 && c.Name != "":
		return fmt.Errorf("no test has %q in its name", c.Name)
	case failed > 0:
		return fmt.Errorf("%s of %d failed", count(failed, "test"), len(report.Results))
	}
	return nil
}

// try compiles and runs. Packs with no files beside them are tried one by one:
// the tests of each say what it does by itself.
func (c *policyTestCmd) try(a *app) (*trial.Report, error) {
	if len(c.Files) == 0 && len(c.Use) > 1 {
		var all *trial.Report
		for _, name := range c.Use {
			one := *c
			one.Use = []string{name}
			r, err := one.try(a)
			if err != nil {
				return nil, err
			}
			if all == nil {
				all = r
			} else {
				all.Join(r)
			}
		}
		return all, nil
	}
	set, o, ps, err := c.load(a)
	if err != nil {
		return nil, err
	}
	for _, p := range ps {
		if !c.JSON || !p.Warning {
			fmt.Fprintln(a.stderr, p)
		}
	}
	if set == nil {
		return nil, fmt.Errorf("%s in the rules", count(len(ps.Errors()), "error"))
	}
	packs := len(c.Files) == 0 && c.Config == ""
	return trial.RunAll(o, set.Tests(), func(t *policy.Test) bool {
		return (packs || !t.Pack) && strings.Contains(t.Name, c.Name)
	}), nil
}

func exists(a *app, path string) bool {
	_, err := a.host.Stat(path)
	return err == nil
}

// load compiles what is to be tested.
func (c *policyTestCmd) load(a *app) (set *policy.Set, o trial.Options, ps strictyaml.Problems, err error) {
	if c.Config != "" {
		if len(c.Files)+len(c.Use) > 0 || c.Home != "" {
			return nil, o, nil, usageError{errors.New("-c brings its own files, packs and home; give either it or them")}
		}
		cfg, err := a.load(c.Config)
		if err != nil {
			return nil, o, nil, err
		}
		plan, err := cfg.Plan()
		if err != nil {
			return nil, o, nil, fmt.Errorf("home: %w", err)
		}
		set, _, ps := compileRules(cfg, plan, a.host.ReadFile, time.Now(), nil)
		if set == nil {
			return nil, o, ps, nil
		}
		return set, trialOptions(cfg, set), ps, nil
	}
	if len(c.Files)+len(c.Use) == 0 {
		return nil, o, nil, usageError{errors.New("which files? Give rule files, --use PACK, or -c FILE")}
	}
	var sources []policy.Source
	for _, name := range c.Use {
		data, ok := rules.Pack(name)
		if !ok {
			return nil, o, nil, usageError{fmt.Errorf("--use: no pack %q; there are %s", name, strings.Join(rules.Names(), ", "))}
		}
		sources = append(sources, policy.Source{Name: name, Data: data, Pack: true})
	}
	for _, name := range c.Files {
		data, err := a.host.ReadFile(name)
		if err != nil {
			return nil, o, nil, fmt.Errorf("policy test: %w", err)
		}
		sources = append(sources, policy.Source{Name: shortPath(name), Data: data})
	}
	opts := policy.Options{Now: time.Now(), ReadFile: a.host.ReadFile}
	home := c.Home
	if home == "" && len(c.Files) == 0 {
		home = packHome
	}
	if home != "" {
		if opts.Plan, err = number.Compile(number.Home{Country: home}, number.Builtin()); err != nil {
			return nil, o, nil, usageError{fmt.Errorf("--home: %w", err)}
		}
	}
	set, ps = policy.Compile(sources, opts)
	return set, trial.Options{Set: set}, ps, nil
}

// packHome is where the tests of packs are at home, when nobody says where.
const packHome = "FR"

// trialOptions puts a policy on trial as the configuration would run it.
func trialOptions(cfg *config.Config, set *policy.Set) trial.Options {
	o := trial.Options{Set: set, Profile: string(cfg.Profile), Own: cfg.Home.Numbers, Domain: cfg.Domains[0], Tech: map[string][]string{}, Peers: []string{}, PBXs: []string{}}
	for _, p := range cfg.PBX {
		o.PBXs = append(o.PBXs, p.Name)
	}
	if len(o.PBXs) == 1 {
		o.Account = o.PBXs[0]
	}
	for _, p := range cfg.Peers {
		o.Peers = append(o.Peers, p.Name)
		o.Tech[p.Name] = p.TechPrefixes
		o.Limits = append(o.Limits, ratelimit.PeerLimits(p.Name, p.Limits.Calls, p.Limits.CPS)...)
	}
	return o
}

// shortPath is a path as people write it: relative, where it is below here.
func shortPath(path string) string {
	if dir, err := os.Getwd(); err == nil {
		if rest, ok := strings.CutPrefix(path, dir+string(os.PathSeparator)); ok {
			return rest
		}
	}
	return path
}

func (c *policyTestCmd) print(a *app, r *trial.Report) {
	for i := range r.Results {
		res := &r.Results[i]
		if res.Passed() {
			continue
		}
		fmt.Fprintf(a.stdout, "FAIL %s:%d: %s\n", res.Test.File, res.Test.Pos.Line, explain.Printable(res.Test.Name))
		for i := range res.Failures {
			fmt.Fprintf(a.stdout, "  %s\n\n", strings.ReplaceAll(strings.TrimSuffix(res.Failures[i].Text(), "\n"), "\n", "\n  "))
		}
	}
	if c.Coverage {
		entries := r.Coverage.Entries()
		missed := 0
		for _, e := range entries {
			if e.Hits == 0 {
				if missed++; missed == 1 {
					fmt.Fprintln(a.stdout, "No test reached:")
				}
				fmt.Fprintf(a.stdout, "  %s\n", e)
			}
		}
		fmt.Fprintf(a.stdout, "coverage: %d of %d entries\n", len(entries)-missed, len(entries))
	}
	if failed := r.Failed(); failed == 0 {
		fmt.Fprintf(a.stdout, "ok, %s, %s\n", count(len(r.Results), "test"), r.Took.Round(time.Millisecond))
	}
}

// testResult is a test in rampart policy test --json.
type testResult struct {
	Name     string   `json:"name"`
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Passed   bool     `json:"passed"`
	Requests int      `json:"requests"`
	Failures []string `json:"failures,omitempty"`
}

func (c *policyTestCmd) printJSON(a *app, r *trial.Report) error {
	out := struct {
		OK       bool          `json:"ok"`
		Tests    int           `json:"tests"`
		Failed   int           `json:"failed"`
		Took     string        `json:"took"`
		Results  []testResult  `json:"results"`
		Coverage []trial.Entry `json:"coverage,omitempty"`
	}{OK: r.Failed() == 0, Tests: len(r.Results), Failed: r.Failed(), Took: r.Took.String(), Results: []testResult{}}
	for i := range r.Results {
		res := &r.Results[i]
		t := testResult{Name: res.Test.Name, File: res.Test.File, Line: res.Test.Pos.Line, Passed: res.Passed(), Requests: res.Requests}
		for i := range res.Failures {
			t.Failures = append(t.Failures, res.Failures[i].Text())
		}
		out.Results = append(out.Results, t)
	}
	if c.Coverage {
		out.Coverage = r.Coverage.Entries()
	}
	return printJSON(a, out)
}

// maxShownFailures are told when a policy is refused for its tests.
const maxShownFailures = 20

// runTests runs the tests of the files: those of packs ran before the packs
// shipped, and a file may change what they say.
func runTests(cfg *config.Config, set *policy.Set) (ps strictyaml.Problems) {
	r := trial.RunAll(trialOptions(cfg, set), set.Tests(), func(t *policy.Test) bool { return !t.Pack })
	more := 0
	for i := range r.Results {
		switch res := &r.Results[i]; {
		case res.Passed():
		case len(ps) == maxShownFailures:
			more++
		default:
			ps = append(ps, res.Problem())
		}
	}
	if more > 0 {
		ps = append(ps, strictyaml.At(ps[0].File, strictyaml.Pos{}, "and %s more failed", count(more, "test")))
	}
	return ps
}
