package sdp

import (
	"slices"
	"strings"
)

// Fax over IP (T.38, RFC 3362): m=image over UDPTL, which nobody encrypts. It
// is carried between legs that may speak in the clear, and declined elsewhere.

// takesFax: the leg's media may go unencrypted.
func (l *Leg) takesFax() bool { return l.Policy == SRTPOff || l.Policy == SRTPOptional }

// relayed: kinds and profiles that go together and that we relay.
func relayed(kind string, p profile) bool {
	if p.udptl {
		return kind == "image"
	}
	return carriedKind(kind)
}

// faxAttrs are the attributes of T.38 Annex D, with the values that they may
// have; nil is a number.
var faxAttrs = []struct {
	name   string
	flag   bool // may stand alone
	values []string
}{
	{name: "T38FaxVersion"},
	{name: "T38MaxBitRate"},
	{name: "T38FaxFillBitRemoval", flag: true},
	{name: "T38FaxTranscodingMMR", flag: true},
	{name: "T38FaxTranscodingJBIG", flag: true},
	{name: "T38FaxRateManagement", values: []string{"localTCF", "transferredTCF"}},
	{name: "T38FaxMaxBuffer"},
	{name: "T38FaxMaxDatagram"},
	{name: "T38FaxMaxIFP"},
	{name: "T38FaxUdpEC", values: []string{"t38UDPFEC", "t38UDPRedundancy", "t38UDPNoEC"}},
}

// readFax reads what a T.38 line says beside its address; false when it is
// something else than T.38.
func (l *mline) readFax(m *Media) bool {
	if len(m.Formats) != 1 || !strings.EqualFold(m.Formats[0], "t38") {
		return false
	}
	seen := map[string]bool{}
	for _, a := range m.Attrs {
		for _, f := range faxAttrs {
			if !strings.EqualFold(a.Name, f.name) || seen[f.name] {
				continue
			}
			_, isNumber := number(a.Value, 1<<32-1)
			i := slices.IndexFunc(f.values, func(v string) bool { return strings.EqualFold(v, a.Value) })
			switch {
			case !a.Set && f.flag:
				l.attrs = append(l.attrs, kept{attr: flag(f.name), pt: anyPT})
			case a.Set && f.values == nil && isNumber:
				l.attrs = append(l.attrs, kept{attr: value(f.name, a.Value), pt: anyPT})
			case a.Set && i >= 0:
				l.attrs = append(l.attrs, kept{attr: value(f.name, f.values[i]), pt: anyPT})
			default:
				continue
			}
			seen[f.name] = true
		}
	}
	l.bw = bandwidth(m.Bandwidth)
	return true
}
