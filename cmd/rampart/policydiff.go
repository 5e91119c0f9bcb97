package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/trial"
)

// policyDiffCmd compares two policies.
type policyDiffCmd struct {
	Old    string `arg:"" optional:"" help:"A revision of the history (four characters or more), a directory of policy files, or one file. Default: the policy in force."`
	New    string `arg:"" optional:"" help:"Likewise. Default: the policy of the configuration's files."`
	Config string `short:"c" help:"Configuration file. Default: ./rampart.yaml, then /etc/rampart/rampart.yaml." placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (policyDiffCmd) Help() string {
	return "Says what a change means: entries added, removed and changed by their id, entries that are asked in another order, countries and classes that open or close, lists by their size. " +
		"A directory or file takes the place of policy.files; the packs of the configuration are on both sides. The exit code is 0 when nothing differs and 1 when something does, as with diff.\n\n" +
		"Example:\n  rampart policy diff\n  rampart policy diff 4f1c33d2 policy-new/"
}

// Run compares.
func (c *policyDiffCmd) Run(a *app) error {
	cfg, ps := config.Inspect(a.configPath(c.Config), a.host)
	if cfg == nil {
		return listed("configuration", ps)
	}
	old, oldSet, err := c.side(a, cfg, c.Old, "active")
	if err != nil {
		return err
	}
	is, isSet, err := c.side(a, cfg, c.New, "files")
	if err != nil {
		return err
	}
	changes, ps := policy.Diff(old.sources, is.sources, oldSet, isSet)
	if ps.Err() != nil {
		return listed("rules", ps)
	}
	if c.JSON {
		if err := printJSON(a, struct {
			Old string `json:"old"`
			New string `json:"new"`
			policy.Changes
			Broken []string `json:"old_tests_failing"` // tests of the old files that the new policy fails
			Mended []string `json:"new_tests_failing"` // tests of the new files that the old policy fails
		}{oldSet.Revision(), isSet.Revision(), changes, failing(cfg, isSet, oldSet), failing(cfg, oldSet, isSet)}); err != nil {
			return err
		}
	} else {
		printChanges(a, oldSet.Revision(), isSet.Revision(), changes)
		for _, x := range []struct {
			what  string
			tests []string
		}{{"the new policy fails a test of the old files", failing(cfg, isSet, oldSet)}, {"the old policy fails a test of the new files", failing(cfg, oldSet, isSet)}} {
			for _, name := range x.tests {
				fmt.Fprintf(a.stdout, "  test     %s: %s\n", x.what, name)
			}
		}
	}
	if !changes.None() {
		return errors.New("") // the exit code says it
	}
	return nil
}

// side finds one of the two policies.
func (c *policyDiffCmd) side(a *app, cfg *config.Config, given, def string) (material, *policy.Set, error) {
	plan, err := cfg.Plan()
	if err != nil {
		return material{}, nil, fmt.Errorf("home: %w", err)
	}
	if given == "" {
		given = def
	}
	if given != "active" && given != "files" {
		st, err := os.Stat(given)
		if err == nil {
			files := []string{given}
			if st.IsDir() {
				if files, err = policyFilesIn(given); err != nil {
					return material{}, nil, err
				}
			}
			here := *cfg
			here.PolicyFiles = files
			cfg, given = &here, "files"
		} else if strings.ContainsAny(given, `/\.`) {
			return material{}, nil, err
		}
	}
	if given == "files" {
		set, m, ps := compileRules(cfg, plan, readBounded, time.Now(), nil)
		if set == nil {
			return m, nil, listed("rules", ps)
		}
		return m, set, nil
	}
	store, err := a.history(c.Config)
	if err != nil {
		return material{}, nil, err
	}
	if given == "active" {
		all, err := store.List()
		if err != nil {
			return material{}, nil, err
		}
		if len(all) == 0 {
			return material{}, nil, errors.New("the history is empty: this gateway has not run yet; give two policies to compare")
		}
		given = all[0].Revision
	}
	e, err := store.Load(given)
	if err != nil {
		return material{}, nil, err
	}
	m, read := kept(e)
	set, ps := m.compile(cfg, plan, read, time.Now(), nil)
	if set == nil {
		return m, nil, fmt.Errorf("policy %s: %w", e.Revision, listed("rules", ps))
	}
	return m, set, nil
}

// failing are the tests of one policy's files that another policy fails: what
// changes, in the words of those who wrote the tests.
func failing(cfg *config.Config, set, of *policy.Set) []string {
	out := []string{}
	r := trial.RunAll(trialOptions(cfg, set), of.Tests(), func(t *policy.Test) bool { return !t.Pack })
	for i := range r.Results {
		if !r.Results[i].Passed() {
			out = append(out, r.Results[i].Test.Name)
		}
	}
	return out
}

// policyFilesIn are the policy files of a directory.
func policyFilesIn(dir string) (out []string, err error) {
	for _, pattern := range []string{"*.yaml", "*.yml"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no policy file (*.yaml)", dir)
	}
	slices.Sort(out)
	return out, nil
}

func printChanges(a *app, old, is string, c policy.Changes) {
	p := func(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }
	if c.None() {
		p("policies %s and %s mean the same", old, is)
		return
	}
	p("policy %s -> %s", old, is)
	for _, x := range c.Countries {
		word := "closed"
		if x.New == "allow" {
			word = "OPENED"
		}
		p("  %s  %s: %s -> %s", word, x.Place, x.Old, x.New)
	}
	for _, e := range c.Added {
		p("  added    %s (%s of %s)", e.ID, e.Section, e.File)
	}
	for _, e := range c.Removed {
		p("  removed  %s (%s of %s)", e.ID, e.Section, e.File)
	}
	for _, e := range c.Changed {
		p("  changed  %s (%s of %s)", e.ID, e.Section, e.File)
		for _, k := range e.Keys {
			p("             %s: %s -> %s", k.Key, nothing(k.Old), nothing(k.New))
		}
	}
	for _, e := range c.Moved {
		p("  moved    %s (%s of %s)", e.ID, e.Section, e.File)
	}
	for _, l := range c.Lists {
		switch {
		case l.Old < 0:
			p("  list     %s: new, %s", l.Name, count(l.New, "value"))
		case l.New < 0:
			p("  list     %s: gone, had %s", l.Name, count(l.Old, "value"))
		case l.New == l.Old:
			p("  list     %s: other values, %d as before", l.Name, l.New)
		default:
			p("  list     %s: %d -> %s", l.Name, l.Old, count(l.New, "value"))
		}
	}
	for _, k := range c.Other {
		p("  %s: %s -> %s", k.Key, nothing(k.Old), nothing(k.New))
	}
	if c.Tests[0] != c.Tests[1] {
		p("  tests: %d -> %d", c.Tests[0], c.Tests[1])
	}
}

// nothing shows a value, or that there is none.
func nothing(s string) string {
	if s == "" {
		return "(not set)"
	}
	return s
}
