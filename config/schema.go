package config

import _ "embed"

//go:generate go test -run TestSchemaIsCurrent -update .

//go:embed schema/rampart.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of rampart.yaml, for editors.
// It says what may stand where; what fits together only [Load] knows.
func Schema() []byte { return schema }
