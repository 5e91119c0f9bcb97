package policy_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

// No spelling of a denied number gets through the shipped packs, whoever spelt
// it, from any home.
func TestNoSpellingGetsThrough(t *testing.T) {
	denied := []string{"+18765230123", "+37167123456", "+447012345678", "+881612345678", "+979123456789", "+2521234567", "+5355123456",
		"+22460123456", "+35312345678", "+6799123456", "+99912345678", "+3545885522"}
	seps := []string{"-", ".", " ", "(", ")", "%20", "\u200d", "\u00a0", "‑"}
	rnd := rand.New(rand.NewPCG(17, 4))
	for _, home := range []string{"FR", "DE", "ES", "IT", "GB", "US", "JP", ""} {
		s := shipped(t, home)
		abroad := map[string]string{"US": "011", "JP": "010"}[home]
		if abroad == "" {
			abroad = "00"
		}
		for range 3_000 {
			digits := denied[rnd.IntN(len(denied))][1:]
			head := []string{"+", "%2B", "＋", abroad, abroad}[rnd.IntN(5)]
			tail := []string{"", "", ";isub=1", ";ext=9", "#", ",1", "p2", ";phone-context=x.example", ";phone-context=+33"}[rnd.IntN(9)]
			var b strings.Builder
			b.WriteString([]string{"", "tel:", "sip:"}[rnd.IntN(3)])
			scheme := b.Len() > 0 && b.String() == "sip:"
			b.WriteString(head)
			for _, d := range digits {
				switch rnd.IntN(12) {
				case 0:
					b.WriteString(seps[rnd.IntN(len(seps))])
					b.WriteRune(d)
				case 1:
					fmt.Fprintf(&b, "%%%02x", d)
				case 2:
					b.WriteRune('０' + d - '0')
				default:
					b.WriteRune(d)
				}
			}
			b.WriteString(tail)
			if scheme {
				b.WriteString("@pbx.example;user=phone")
			}
			a := invite(s, "1")
			a.To = call.Party{User: b.String()}
			s.Plan().Normalise(b.String(), number.Context(rnd.IntN(2))).Fill(&a.To)
			if d := s.Judge(a); d.Verdict != call.Reject {
				t.Fatalf("home %q: %q (+%s) got through as %s %s %s %s", home, b.String(), digits, a.To.Kind, a.To.Number, a.To.Country, a.To.Class)
			}
		}
	}
}
