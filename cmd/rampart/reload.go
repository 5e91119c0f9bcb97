package main

import (
	"errors"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// reload is SIGHUP: configuration, rules, certificates, GeoIP data, log files.
// A policy that somebody pinned stays: the signal is also what rotates logs.
func (g *gateway) reload() {
	out, err := g.reloadPolicy(bySignal, false)
	g.toldReload(out, err)
	if err == nil && out.Pinned {
		g.log.Warn("an old policy is pinned and stays in force; rampart policy reload ends that", "revision", out.Revision)
	}
	g.reloadCertificates()
	g.reloadGeo()
	g.reloadUsers()
	if err := errors.Join(g.bus.Reopen(), g.cdr.Reopen(), g.event.Reopen()); err != nil {
		g.failed(call.SinkDegraded, "sinks/not-reopened", "log files not opened again, the old ones stay in use", err)
	}
}

// toldReload tells the log and the alerts what a reload led to.
func (g *gateway) toldReload(out outcome, err error) {
	if err != nil {
		g.failed(call.PolicyReloaded, "policy/not-loaded", "policy not loaded, the old one stays in force", err)
	} else {
		g.log.Info("policy loaded", "revision", out.Revision)
		e := g.about(call.PolicyReloaded, call.Info, "policy/reloaded", "policy "+out.Revision)
		e.Evidence = []call.Evidence{{Name: "revision", Value: out.Revision}, {Name: "revision.before", Value: out.Before}, {Name: "by", Value: out.By}}
		g.rep.System(e)
	}
	if len(out.Needs) > 0 {
		g.failed(call.PolicyReloaded, "policy/needs-restart", "a changed configuration needs a restart, the old values stay in force", errors.New(strings.Join(out.Needs, ", ")))
	}
}

// about is an event about the gateway itself.
func (g *gateway) about(a call.Action, s call.Severity, rule, reason string) call.SystemEvent {
	return call.SystemEvent{At: time.Now(), Action: a, Severity: s, Rule: rule, Reason: reason,
		Subject: call.Subject{Kind: "node", Value: g.cfg.Node}}
}

// oneLine is an error for the reason of an alert: a line break is escaped there.
func oneLine(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}

// failed tells the log and the alerts that something did not come about.
func (g *gateway) failed(a call.Action, rule, what string, err error) {
	g.log.Error(what, "error", err)
	e := g.about(a, call.High, rule, what+": "+oneLine(err))
	e.Evidence = evidenceOf(err)
	g.rep.Failed(e)
}
