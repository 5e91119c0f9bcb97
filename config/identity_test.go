package config

import (
	"strings"
	"testing"
)

func TestIdentity(t *testing.T) {
	peer := func(identity string) string {
		return base + "listen: {tls: [\"203.0.113.10:5061\"]}\ntls: {client_ca: carriers-ca.pem}\npeers: [{name: a, identify: {certificate: a.example}, identity: " + identity + "}]"
	}
	for _, c := range []struct{ name, src, want string }{
		{"all of it", peer(`{trust: true, present: pai, allowed: "+33199001", default: "+33199001000", stir: strip}`), ""},
		{"assertion to nobody", peer(`{present: pai}`), "peer a: asserted callers (pai) are for peers that are trusted"},
		{"unknown way", peer(`{present: form}`), `peers[0].identity.present: "form" is not one of pai, from, rpid; did you mean from?`},
		{"no prefix", peer(`{allowed: ["0199001", "+1", "+"]}`), "peer a: \"0199001\" is not a prefix of a number\npeer a: \"+\" is not a prefix of a number"},
		{"a number without quotes", peer(`{allowed: [+33199001]}`), "peers[0].identity.allowed[0]: +33199001 without quotes is a number in YAML, and text belongs here"},
		{"default for none", peer(`{default: "+33199001000"}`), "peer a: a default stands for callers that are not allowed, but every caller is"},
		{"default that is not allowed", peer(`{allowed: "+331", default: "+33299001000"}`), "peer a: its default caller +33299001000 is not allowed itself"},
		{"default that is no number", peer(`{allowed: "+331", default: "1000"}`), "peer a: \"1000\" is not a number"},
		{"phones", base + "phones: {identity: {present: rpid, stir: pass, allowed: {\"1042\": [\"+33199001042\"], \"1043\": [\"33\"]}}}", "phones: user 1043: \"33\" is not a prefix of a number"},
		{"own numbers", "domain: a.example\npbx: \"sip:10.0.0.5\"\nhome: {country: FR, numbers: [\"+33199001\", \"x\"]}", "home.numbers: \"x\" is not a prefix of a number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, ps := Parse("/etc/rampart/rampart.yaml", []byte(c.src), fakeHost(exampleFiles()))
			var got []string
			for _, p := range ps {
				if !strings.Contains(p.Message, "there are peers but no routes") {
					got = append(got, p.Message)
				}
				if p.Line == 0 {
					t.Errorf("no place: %s", p)
				}
			}
			if s := strings.Join(got, "\n"); s != c.want {
				t.Errorf("got\n%s\nwant\n%s", s, c.want)
			}
		})
	}
	c, _ := Parse("rampart.yaml", []byte(peer("{trust: true}")+"\nphones: {identity: {present: from}}"), fakeHost(exampleFiles()))
	if i := c.Peers[0].Identity; i.Present != PresentPAI || i.STIR != STIRPass || c.Phones.Identity.STIR != STIRStrip {
		t.Errorf("defaults %+v %+v", i, c.Phones)
	}
}
