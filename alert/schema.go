package alert

import "embed"

//go:embed schema/alert.json schema/cdr.json schema/event.json
var schemas embed.FS

// Schema returns the JSON Schema (draft 2020-12) that every line of a kind
// validates against: "alert", "cdr" or "event". Any other name gives nil.
func Schema(kind string) []byte {
	b, err := schemas.ReadFile("schema/" + kind + ".json")
	if err != nil {
		return nil
	}
	return b
}
