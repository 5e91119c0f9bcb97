package config

import (
	"net/netip"

	"github.com/rampart-sbc/rampart/internal/strictyaml"
)

// The shapes, for the JSON Schema, of the types that read themselves.

func (Profile) YAMLShape() strictyaml.Shape {
	return strictyaml.OneOf(string(Office), string(CallCentre))
}

func (SRTPPolicy) YAMLShape() strictyaml.Shape {
	return strictyaml.OneOf(string(SRTPRequired), string(SRTPOptional), string(SRTPOff))
}

func (Redirects) YAMLShape() strictyaml.Shape {
	return strictyaml.OneOf(string(RedirectsRelay), string(RedirectsFollow), string(RedirectsRefuse))
}

func (Form) YAMLShape() strictyaml.Shape {
	return strictyaml.OneOf(string(Canonical), string(AsDialled))
}

func (Present) YAMLShape() strictyaml.Shape {
	return strictyaml.OneOf(string(PresentPAI), string(PresentFrom), string(PresentRPID))
}

func (STIR) YAMLShape() strictyaml.Shape {
	return strictyaml.OneOf(string(STIRPass), string(STIRStrip))
}

func (Switch) YAMLShape() strictyaml.Shape {
	return strictyaml.OneOf(string(SwitchAuto), string(SwitchOn), string(SwitchOff))
}

func (XDPMode) YAMLShape() strictyaml.Shape {
	return strictyaml.OneOf(string(XDPAuto), string(XDPNative), string(XDPGeneric))
}

func (Address) YAMLShape() strictyaml.Shape {
	type pair struct {
		Bind      netip.Addr `yaml:"bind,required"`
		Advertise netip.Addr `yaml:"advertise,required"`
	}
	return strictyaml.Shape{"anyOf": []any{strictyaml.Of(netip.Addr{}), strictyaml.Of(pair{})}}
}

func (Ports) YAMLShape() strictyaml.Shape {
	return strictyaml.Shape{"type": "string", "pattern": `^[0-9]+ *- *[0-9]+$`}
}

func (Rate) YAMLShape() strictyaml.Shape {
	return strictyaml.Shape{"type": "string", "pattern": `^[0-9.]+/[smh]$`}
}

func (Size) YAMLShape() strictyaml.Shape {
	return strictyaml.Shape{"anyOf": []any{
		strictyaml.Shape{"type": "integer", "minimum": 0},
		strictyaml.Shape{"type": "string", "pattern": `^[0-9]+(KiB|MiB|GiB|kB|MB|GB|B)?$`}}}
}

func (Optional) YAMLShape() strictyaml.Shape { return strictyaml.Shape{"type": "string"} }
func (Server) YAMLShape() strictyaml.Shape   { return strictyaml.Shape{"type": "string"} }
func (Secret) YAMLShape() strictyaml.Shape   { return strictyaml.Shape{"type": "string"} }

func (DTLS) YAMLShape() strictyaml.Shape {
	return strictyaml.Shape{"type": "boolean"}
}

func (URI) YAMLShape() strictyaml.Shape {
	return strictyaml.Shape{"type": "string", "pattern": `^[sS][iI][pP][sS]?:`}
}

func (PBX) YAMLShape() strictyaml.Shape {
	return strictyaml.Shape{"anyOf": []any{strictyaml.Of(URI{}), strictyaml.Of(pbxYAML{})}}
}

func (Sink) YAMLShape() strictyaml.Shape {
	return strictyaml.Of(sinkYAML{})
}
