package policy

import _ "embed"

//go:generate go test -run IsCurrent -update .

//go:embed schema/policy.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of policy files, for editors.
// It says what may stand where; what fits together only [Compile] knows.
func Schema() []byte { return schema }
