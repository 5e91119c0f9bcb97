package main

import (
	"strings"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/policy"
)

// schemas are the JSON Schemas by name: of the files that people write, and of
// the lines that the gateway writes.
func schemas() map[string][]byte {
	return map[string][]byte{
		"rampart": config.Schema(), "policy": policy.Schema(),
		"alert": alert.Schema("alert"), "cdr": alert.Schema("cdr"), "event": alert.Schema("event"),
	}
}

// schemaCmd prints a JSON Schema.
type schemaCmd struct {
	Name string `arg:"" enum:"rampart,policy,alert,cdr,event" help:"rampart: the configuration. policy: rule files. alert, cdr, event: the lines that are written."`
}

// Help is shown under the flags.
func (schemaCmd) Help() string {
	return strings.TrimSpace(`
Example:
  rampart schema rampart > rampart.schema.json

An editor with a YAML language server checks and completes a file that begins with
  # yaml-language-server: $schema=rampart.schema.json`)
}

// Run prints the schema.
func (c schemaCmd) Run(a *app) error {
	_, err := a.stdout.Write(schemas()[c.Name])
	return err
}
