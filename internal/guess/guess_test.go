package guess_test

import (
	"iter"
	"testing"

	"github.com/rampart-sbc/rampart/internal/guess"
)

func holds(s iter.Seq[guess.Guess], text string) (why string, n int) {
	for g := range s {
		n++
		if g.Text == text && why == "" {
			why = g.Why
		}
	}
	return why, n
}

// What attackers try first is there, and each list ends.
func TestGuesses(t *testing.T) {
	about := guess.About("1001", "sip.acme.example", []string{"2001"})
	for list, texts := range map[string]struct {
		s   iter.Seq[guess.Guess]
		has []string
		no  []string
	}{
		"about":  {about, []string{"1001", "1001", "10011001", "2001", "1001sip", "sip1001", "Sip1001", "1001acme", "acme1001", "acme2026", "Acme2026!", "1001!", "2001pass"}, []string{"", "Tr0ub4dor&3"}},
		"common": {guess.Common(), []string{"123456", "password", "Password1", "qwerty123", "asterisk", "000000", "1111", "Summer2026", "P@ssw0rd", "changeme"}, []string{"", "correct horse"}},
		"pins":   {guess.PINs(), []string{"0000", "4711", "9999"}, []string{"10000"}},
		"dates":  {guess.Dates(), []string{"010170", "311299", "991231", "123199"}, []string{"999999"}},
	} {
		for _, x := range texts.has {
			if why, _ := holds(texts.s, x); why == "" {
				t.Errorf("%s: %q is not tried", list, x)
			}
		}
		for _, x := range texts.no {
			if why, _ := holds(texts.s, x); why != "" {
				t.Errorf("%s: %q is tried: %s", list, x, why)
			}
		}
		if _, n := holds(texts.s, ""); n > 120_000 {
			t.Errorf("%s: %d guesses", list, n)
		}
	}
	if _, n := holds(guess.Common(), ""); n < 5000 {
		t.Errorf("%d common passwords", n)
	}
	for range guess.About("", "", nil) {
		break // a list can be left
	}
}
