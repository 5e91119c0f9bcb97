package main

import (
	"sync/atomic"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud"
)

// fraudCounts is what detectors were told, found and did since the start. The
// set of detectors is closed; so is what they may do.
type fraudCounts struct {
	events, lost atomic.Uint64
	findings     [32]atomic.Uint64 // by the place in fraud.IDs
	acts         [2][2]atomic.Uint64
}

var fraudActNames = [2]string{call.ActHangup.String(), call.ActHold.String()}

// found counts a finding that is told.
func (c *fraudCounts) found(f *fraud.Finding) {
	if f.Quiet || f.Grown {
		return
	}
	for i, id := range fraud.IDs() {
		if id == f.Detector {
			c.findings[i].Add(1)
		}
	}
}

// act counts what was asked for: n calls ended, or one hold.
func (c *fraudCounts) act(a call.Act, shadow bool, n int) {
	for i, name := range fraudActNames {
		if name == a.String() {
			mode := 0
			if shadow {
				mode = 1
			}
			c.acts[i][mode].Add(uint64(n))
		}
	}
}

// fraudView is what monitoring sees of it.
func (g *gateway) fraudView() admin.Fraud {
	c, s := &g.fraudSeen, g.detectors.Stats()
	out := admin.Fraud{Events: c.events.Load(), Lost: c.lost.Load(), Failed: s.Failed, Costing: s.Costing, PerMinute: s.PerMinute}
	if g.fraudEvents != nil {
		out.Waiting = len(g.fraudEvents.C)
	}
	for i, id := range fraud.IDs() {
		out.Findings = append(out.Findings, admin.FraudCount{Detector: id, Count: c.findings[i].Load()})
	}
	for i, name := range fraudActNames {
		for j, mode := range []string{"enforce", "shadow"} {
			out.Acts = append(out.Acts, admin.FraudActs{Act: name, Mode: mode, Count: c.acts[i][j].Load()})
		}
	}
	return out
}
