// Package rules answers: which rule packs ship with the gateway, and what do
// they say?
//
// The packs are policy files like any other; `policy: {use: […]}` names them
// and a file may override their entries by id. This package holds their text
// and nothing else: no logic, no state, no clock. Package policy compiles
// them; that they compile is tested there.
//
// Start reading at base.yaml.
package rules

import "embed"

//go:embed *.yaml profiles/*.yaml
var packs embed.FS

// Names lists the packs in the order in which they are best used.
func Names() []string {
	return []string{"base", "countries", "scanners", "toll-fraud", "ping-call", "messages", "callers"}
}

// Pack returns the text of a pack.
func Pack(name string) ([]byte, bool) {
	data, err := packs.ReadFile(name + ".yaml")
	return data, err == nil
}

// Profile returns the preset of a profile: entries that take the place of those
// of the packs in use.
func Profile(name string) ([]byte, bool) {
	data, err := packs.ReadFile("profiles/" + name + ".yaml")
	return data, err == nil
}
