package policy

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// A flag that one expression sets is that expression's own: the one behind it
// in the row still takes no notice of case.
func TestFlagsEndWithTheirExpression(t *testing.T) {
	m, err := compileAgents([]string{"(?-i)Fo+o", "(?-i)^Exact$", "sip.icious"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"SIPVICIOUS": true, "Fooo": true, "FOOO": false, "Exact": true, "exact": false, "SIPVICIOUS" + strings.Repeat("x", 300): true} {
		if m.match(text) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
}

// Words are found exactly where the one large expression finds something.
func TestAgentsAgainstExpression(t *testing.T) {
	m, err := compileAgents([]string{"ab", "^ba", "c.c", "ABC", "k$", "a|b", "^", `\.x`, "ſ", "-k"})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := compileAgents([]string{"aab", "^bb", "b-k", "CaC"})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	letters := []string{"a", "B", "b", "A", "c", "-", "k", ".", "x", "\u212a", "ſ", "\xff"} // Kelvin sign and long s fold into ASCII
	hits := 0
	for range 40_000 {
		var b strings.Builder
		for range rnd.IntN(7) {
			b.WriteString(letters[rnd.IntN(len(letters))])
		}
		for _, x := range []*agents{m, plain} {
			want := x.all.MatchString(b.String())
			if got := x.match(b.String()); got != want {
				t.Fatalf("%q: %v, want %v", b.String(), got, want)
			}
			if want && x == plain {
				hits++
			}
		}
	}
	if hits < 200 {
		t.Errorf("%d hits", hits)
	}
	if long := strings.Repeat("x", 5000) + "aab"; !plain.match(long) {
		t.Error("nothing is found in a long text")
	}
}
