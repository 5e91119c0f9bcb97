package main

import "github.com/rampart-sbc/rampart/admin"

// operations are what the admin listener offers beyond its own resources; each
// stands in the file of its subject.
func (g *gateway) operations() []admin.Operation {
	ops := append(g.policyOperations(), g.banOperations()...)
	ops = append(ops, g.incidentOperations()...)
	return append(ops, g.explainOperation(), g.baselineOperation())
}
