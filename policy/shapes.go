package policy

import (
	"net/netip"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// The shapes, for the JSON Schema, of the types that read themselves.

type shape = strictyaml.Shape

func pattern(re string) shape { return shape{"type": "string", "pattern": re} }

// oneOrMore is a value or a list of such.
func oneOrMore(each shape) []any {
	return []any{each, shape{"type": "array", "items": each}}
}

func (thenYAML) YAMLShape() shape {
	return pattern(`^(allow|drop|challenge|hangup|flag|reject( +[4-6][0-9][0-9])?|ban( +[0-9].*)?|hold +[0-9].*)$`)
}

func (modeYAML) YAMLShape() shape    { return strictyaml.OneOf("enforce", "shadow", "off") }
func (verdictYAML) YAMLShape() shape { return strictyaml.OneOf("allow", "deny") }
func (rateYAML) YAMLShape() shape    { return pattern(`^[0-9.]+/[smhd]$`) }
func (sizeYAML) YAMLShape() shape    { return pattern(`^ *[<>]=? *[0-9]+ *(B|KiB|MiB)?$`) }
func (regexYAML) YAMLShape() shape   { return shape{"type": "string", "format": "regex"} }
func (placeYAML) YAMLShape() shape   { return pattern(`^([A-Z]{2}|\+[1-9][0-9]*)$`) }

func (severityYAML) YAMLShape() shape {
	return strictyaml.OneOf("info", "low", "medium", "high", "critical")
}

func (hoursYAML) YAMLShape() shape {
	return pattern(`^([A-Za-z,-]+ +)?([0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9] +)?[A-Za-z_/+0-9-]+$`)
}

func (keyYAML) YAMLShape() shape {
	return shape{"anyOf": []any{strictyaml.OneOf(keyNames...), strictyaml.Of(exprYAML{})}}
}

func (namesYAML) YAMLShape() shape {
	return shape{"anyOf": append(oneOrMore(shape{"type": "string"}), strictyaml.Of(listOfYAML{}))}
}

func (agentsYAML) YAMLShape() shape {
	return shape{"anyOf": append(oneOrMore(regexYAML{}.YAMLShape()), strictyaml.Of(listOfYAML{}))}
}

func (listYAML) YAMLShape() shape {
	return shape{"anyOf": []any{shape{"type": "array", "items": shape{"type": "string"}}, strictyaml.Of(listBodyYAML{})}}
}

func (testSourceYAML) YAMLShape() shape {
	return shape{"anyOf": []any{strictyaml.Of(netip.Addr{}), strictyaml.Of(sourceBodyYAML{})}}
}

func (whenYAML) YAMLShape() shape { return shape{"type": "string"} }

func (expectItem) YAMLShape() shape {
	return shape{"anyOf": []any{pattern(`^(allow|challenge|drop|reject)( [4-6][0-9][0-9])?$`), strictyaml.Of(expectYAML{})}}
}

func (expectsYAML) YAMLShape() shape {
	item := strictyaml.Of(expectItem{})
	return shape{"anyOf": oneOrMore(item)}
}
