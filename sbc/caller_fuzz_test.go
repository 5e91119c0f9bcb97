package sbc_test

import (
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/sbc"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// FuzzAssertions: whatever stands in P-Asserted-Identity, what is written of it
// is at most one sip: and one tel: address of our side, and nothing else.
func FuzzAssertions(f *testing.F) {
	for _, s := range []string{`"Alice" <sip:+331@pbx.inside;x=y>;z`, `<tel:+33;verstat=A;phone-context=pbx.inside>, sip:2@pbx.inside`, `"a\"<b" <sip:1@x>`,
		`<sip:a%3e@x?Route=pbx.inside>`, `"`, `<sip:1@x>,<sip:2@x>,<tel:3>,<tel:4>`, `"x\` + "\x00" + `" <sip:1@x>`, `<sips:1;verstat=No@[::1]:5>`} {
		f.Add(s)
	}
	plan, err := number.Compile(number.Home{Country: "FR"}, number.Builtin())
	if err != nil {
		f.Fatal(err)
	}
	g, err := sbc.New(sbc.Config{Domains: []string{domain}, TokenKey: make([]byte, 32), PBXs: []sbc.PBX{{Name: "p", Host: "127.0.0.1", Port: 9, Transport: "udp"}}},
		sbc.Deps{Plan: plan, Reporter: &reports{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(g.Close)
	f.Fuzz(func(t *testing.T, v string) {
		if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return // Check has refused it
		}
		out := g.Assertions("here.test", v)
		kinds := map[bool]int{}
		for _, o := range out {
			n, err := sipx.ParseNameAddr(o)
			if err != nil {
				t.Fatalf("%q became %q: %v", v, o, err)
			}
			kinds[n.URI.Scheme == "tel"]++
			if n.URI.Scheme != "tel" && n.URI.Host != "here.test" && n.URI.Host != domain || len(n.Params) > 0 || n.URI.UriParams.Length() > 0 {
				t.Fatalf("%q became %q", v, o)
			}
			if again := g.Assertions("here.test", o); len(again) != 1 || again[0] != o {
				t.Fatalf("%q became %q, and that %q", v, o, again)
			}
		}
		if kinds[true] > 1 || kinds[false] > 1 {
			t.Fatalf("%q became %q", v, out)
		}
	})
}
