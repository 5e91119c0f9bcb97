package sbc_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/internal/siptest"
)

// TestAlerting: a PBX tells its telephones how to ring and when to answer by
// themselves; nobody else does, or a carrier could listen into a room.
func TestAlerting(t *testing.T) {
	t.Parallel()
	w := newRawWorld(t)
	p := w.desk("1001")
	inside := insideNet + "66"
	asked := []string{
		`<http://` + inside + `/tones/7.wav>;info=alert-autoanswer;delay=0`,
		`Bellcore-dr2`,
		`<Bellcore-dr3>`,
		`<urn:alert:service:normal>`,
		`<http://` + inside + `/tones/8.wav>`,
		`Ring ` + inside,
		`<http://x>;info=` + inside,
	}
	ask := []struct{ name, value string }{
		{"Alert-Info", strings.Join(asked[:2], ", ")}, {"Alert-Info", asked[2]}, {"Alert-Info", asked[3]}, {"Alert-Info", asked[4]},
		{"Alert-Info", asked[5]}, {"Alert-Info", asked[6]},
		{"Call-Info", `<sip:` + inside + `>;answer-after=0;appearance-index=1`}, {"Call-Info", `<http://` + inside + `/a.png>;purpose=icon`},
		{"Answer-Mode", "Auto;require"}, {"Priv-Answer-Mode", "Now"},
	}
	c := w.rung(p, func(m *siptest.Message) {
		for _, h := range ask {
			m.Add(h.name, h.value)
		}
	})
	for name, want := range map[string][]string{
		"Alert-Info":       {"<http://" + domain + ">;info=alert-autoanswer;delay=0", "Bellcore-dr2", "<Bellcore-dr3>", "<urn:alert:service:normal>"},
		"Call-Info":        {"<sip:" + domain + ">;answer-after=0"},
		"Answer-Mode":      {"Auto;require"},
		"Priv-Answer-Mode": nil,
	} {
		if got := c.in.All(name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	w.b.send(w.b.within("BYE", 2, c.inv, c.ok))
	p.reply(p.request("BYE"), 200, "", nil)
	w.b.answer("BYE", 200)
	w.secret(p)

	w.a.invite("+33123456789", func(m *siptest.Message) {
		for _, h := range ask {
			m.Add(h.name, h.value)
		}
	})
	in := w.b.request("INVITE")
	for _, name := range []string{"Alert-Info", "Call-Info", "Answer-Mode", "Priv-Answer-Mode"} {
		if got := in.All(name); len(got) > 0 {
			t.Errorf("of a carrier came %s: %q", name, got)
		}
	}
	w.b.reply(in, 486, "t", nil)
	w.a.code(486)
	w.quiet()
}
