package main

import (
	"os"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/ratelimit"
	"github.com/rampart-sbc/rampart/sbc"
)

// loadRules compiles the packs and rule files of the configuration and runs
// the tests of the files. The error lists every problem, one a line; it is a
// testsFailed when nothing but tests failed.
func loadRules(cfg *config.Config) (*policy.Set, error) {
	plan, err := cfg.Plan()
	if err != nil {
		return nil, err
	}
	set, ps := compileRules(cfg, plan, os.ReadFile, time.Now())
	if set == nil {
		return nil, listed("rules", ps)
	}
	if failed := runTests(cfg, set); failed != nil {
		return nil, &testsFailed{set, failed}
	}
	return set, nil
}

// admission is what judges requests from one policy on: its limits, then its
// rules, as one thing that is put in force at once.
func admission(counts *ratelimit.Engine, set *policy.Set) sbc.Policy {
	return sbc.Policy{Revision: set.Revision(), Guards: []sbc.Guard{counts, set}, Plan: set.Plan()}
}

// limits are those of the rules and of the peers' entries.
func limits(cfg *config.Config, set *policy.Set) (out []ratelimit.Limit) {
	for _, l := range set.Limits() {
		out = append(out, ratelimit.Limit(l))
	}
	for _, p := range cfg.Peers {
		out = append(out, ratelimit.PeerLimits(p.Name, p.Limits.Calls, p.Limits.CPS)...)
	}
	return out
}
