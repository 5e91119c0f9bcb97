package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// reload is SIGHUP: configuration, rules, certificates, GeoIP data, log files.
// One goroutine calls it at a time.
func (g *gateway) reload() {
	needs, err := g.reloadRules()
	if err != nil {
		g.failed(call.PolicyReloaded, "policy/not-loaded", "policy not loaded, the old one stays in force", err)
	} else {
		revision := g.rep.meta.Load().PolicyRevision
		g.log.Info("policy loaded", "revision", revision)
		g.rep.System(g.about(call.PolicyReloaded, call.Info, "policy/reloaded", "policy "+revision))
	}
	if len(needs) > 0 {
		g.failed(call.PolicyReloaded, "policy/needs-restart", "a changed configuration needs a restart, the old values stay in force", errors.New(strings.Join(needs, ", ")))
	}
	g.reloadCertificates()
	if g.geo != nil {
		if err := g.geo.Reload(); err != nil {
			g.failed(call.PolicyReloaded, "geoip/not-loaded", "geoip not loaded, the old data stays", err)
		}
	}
	if err := errors.Join(g.bus.Reopen(), g.cdr.Reopen(), g.event.Reopen()); err != nil {
		g.failed(call.SinkDegraded, "sinks/not-reopened", "log files not opened again, the old ones stay in use", err)
	}
}

// reloadRules reads the configuration, finds its rule files again and puts
// them and the peers' limits in force. On an error everything stays as it was.
// needs are changed keys that count after a restart only.
func (g *gateway) reloadRules() (needs []string, err error) {
	next, ps := config.Load(g.cfg.File, config.ThisHost())
	for _, p := range ps {
		if p.Warning {
			g.log.Warn("configuration", "warning", p.String())
		}
	}
	if next == nil {
		return nil, listed("configuration", ps)
	}
	now, needs := g.cfg.Reloaded(next)
	rules, err := g.rules(now)
	if err != nil {
		return needs, err
	}
	counts, err := g.counts.With(limits(now, rules))
	if err != nil {
		return needs, fmt.Errorf("limits: %w", err)
	}
	g.counts = counts
	g.sbc.SetPolicy(admission(counts, rules))
	m := *g.rep.meta.Load()
	m.PolicyRevision, m.NumberData = rules.Revision(), rules.Plan().Data().Version()
	g.rep.meta.Store(&m)
	g.drainFor = now.Drain
	g.tellUntested()
	return needs, nil
}

// tellUntested says that the rules in force failed their tests.
func (g *gateway) tellUntested() {
	if g.untested != nil {
		g.failed(call.PolicyReloaded, "policy/tests-failing", "the policy is in force although its tests fail (--allow-failing-tests)", g.untested)
	}
}

// listed makes one error of all errors among problems, one a line.
func listed(in string, ps strictyaml.Problems) error {
	errs := []error{fmt.Errorf("%s in the %s", count(len(ps.Errors()), "error"), in)}
	for _, p := range ps.Errors() {
		errs = append(errs, errors.New(p.String()))
	}
	return errors.Join(errs...)
}

// about is an event about the gateway itself.
func (g *gateway) about(a call.Action, s call.Severity, rule, reason string) call.SystemEvent {
	return call.SystemEvent{At: time.Now(), Action: a, Severity: s, Rule: rule, Reason: reason,
		Subject: call.Subject{Kind: "node", Value: g.cfg.Node}}
}

// failed tells the log and the alerts that something did not come about.
func (g *gateway) failed(a call.Action, rule, what string, err error) {
	g.log.Error(what, "error", err)
	g.rep.Failed(g.about(a, call.High, rule, what+": "+err.Error()))
}
