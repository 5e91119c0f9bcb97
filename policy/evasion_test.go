package policy_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/rules"
)

// The homes that numbers are spelt from.
func spellers() map[string]*speller {
	return map[string]*speller{
		"none":    {home: "{international: [\"00\"]}", abroad: "00"},
		"FR":      {home: `{country: FR, tech_prefixes: ["99#", "7777"]}`, abroad: "00", carriers: []string{"16xx"}, tech: []string{"99#", "7777"}},
		"DE":      {home: `{country: DE, outside_prefix: "0"}`, abroad: "00", outside: "0", carriers: []string{"010xx", "0100xx"}},
		"US":      {home: `{country: US, outside_prefix: "9"}`, abroad: "011", outside: "9", carriers: []string{"101xxxx"}},
		"BR":      {home: `{country: BR}`, abroad: "0015"},
		"IT":      {home: `{country: IT}`, abroad: "00", carriers: []string{"10xx"}},
		"JP":      {home: `{country: JP}`, abroad: "010"},
		"GB":      {home: `{country: GB, outside_prefix: "9"}`, abroad: "00", outside: "9"},
		"none, 0": {home: `{tech_prefixes: ["*9*"]}`, abroad: "00", tech: []string{"*9*"}},
	}
}

// dialling is the shipped packs with two countries opened, from a home.
func dialling(t *testing.T, home string) *policy.Set {
	t.Helper()
	var files []policy.Source
	for _, name := range []string{"base", "countries"} {
		data, ok := rules.Pack(name)
		if !ok {
			t.Fatalf("no pack %s", name)
		}
		files = append(files, pack(name, string(data)))
	}
	return compile(t, append(files, file("p.yaml", "version: 1\nhome: "+home+"\ncountries: {allow: [NL, AU]}\n"))...)
}

// asked is an INVITE for a text, in the direction that the gateway finds: what
// a phone sends and is no public number is an affair of the PBX.
func asked(s *policy.Set, text string, in number.Context) *call.Attempt {
	a := invite(s, "1")
	a.To = call.Party{User: text}
	s.Plan().Normalise(text, in).Fill(&a.To)
	if in == number.Dialled && a.To.E164() == "" {
		a.Direction = call.Internal
	}
	return a
}

// No spelling of a denied number gets through the shipped packs, whoever spelt
// it, from any home: not as an allowed number, not as an extension, not as
// something unintelligible that the PBX understands after all.
func TestNoSpellingGetsThrough(t *testing.T) {
	denied := []string{"+18765230123", "+37167123456", "+447012345678", "+881612345678", "+979123456789", "+25261234567", "+5355123456",
		"+22460123456", "+35312345678", "+6795123456", "+3545885522", "+77710009998", "+6777412345", "+882165123456", "+870301234567",
		"+212528812345", "+262639012345", "+59995181234", "+441481256789", "+18095550100", "+14165550100", "+390669812345"}
	total := spellings(1_000_000)
	for name, sp := range spellers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := dialling(t, sp.home)
			sp.rnd, sp.contexts = rand.New(rand.NewPCG(17, uint64(len(name)))), true
			n, exact := total/len(spellers())+1, 0
			for range n {
				want := denied[sp.rnd.IntN(len(denied))]
				in := number.Context(sp.rnd.IntN(2))
				sp.dialed = in == number.Dialled
				text := sp.spell(want)
				a := asked(s, text, in)
				if d := s.Judge(a); d.Verdict != call.Reject {
					t.Fatalf("%q (%s, context %d) got through as %s %s %s %s", text, want, in, a.To.Kind, a.To.Number, a.To.Country, a.To.Class)
				}
				if a.To.Number == want || a.To.Other != nil && a.To.Other.Number == want {
					exact++
				}
			}
			// Refusing everything would be easy: nearly all are understood.
			if exact < n*95/100 {
				t.Errorf("%d of %d spellings were understood", exact, n)
			}
		})
	}
}

// An allowed number stays allowed, however it is spelt.
func TestEverySpellingOfAnAllowedNumberPasses(t *testing.T) {
	allowed := []string{"+31201234567", "+31612345678", "+61291234567", "+61412345678", "+31101234567"}
	total := spellings(100_000)
	for name, sp := range spellers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := dialling(t, sp.home)
			sp.rnd = rand.New(rand.NewPCG(3, uint64(len(name))))
			for range total/len(spellers()) + 1 {
				want := allowed[sp.rnd.IntN(len(allowed))]
				in := number.Context(sp.rnd.IntN(2))
				sp.dialed = in == number.Dialled
				text := sp.spell(want)
				a := asked(s, text, in)
				if d := s.Judge(a); d.Verdict > call.Allow || a.To.Number != want {
					t.Fatalf("%q (%s, context %d): %s as %s %s %s %s, other %v", text, want, in, show(d), a.To.Kind, a.To.Number, a.To.Country, a.To.Class, a.To.Other)
				}
			}
		})
	}
}

// spellings is how many are tried: the race detector is ten times slower and
// finds nothing more here.
func spellings(n int) int {
	if raceDetector || testing.Short() {
		return n / 40
	}
	return n
}

// Digits alone are read as the number abroad that they are, where they are
// nothing at home.
func TestDigitsAloneDoNotGetThrough(t *testing.T) {
	for _, home := range []string{"{country: FR}", "{country: DE}", "{country: IT}", "{country: GB}", "{country: JP}", "{}"} {
		s := dialling(t, home)
		for _, text := range []string{"18765230123", "447012345678", "881612345678", "979123456789", "6777412345"} {
			a := asked(s, text, number.Dialled)
			if d := s.Judge(a); d.Verdict != call.Reject {
				t.Errorf("%s from %s got through as %s %s", text, home, a.To.Kind, fmt.Sprint(a.To.Number))
			}
		}
	}
}
