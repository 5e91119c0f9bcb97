package main

import (
	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/fraud"
)

// Incidents: what detectors find becomes alerts.

// reportFinding tells what a detector found. It never blocks.
func (g *gateway) reportFinding(f fraud.Finding) {
	g.rep.bus.Publish(alert.FromFinding(f, *g.rep.meta.Load()))
}
