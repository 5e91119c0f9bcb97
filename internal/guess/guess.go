// Package guess answers: which passwords does an attacker try first?
//
// It knows no hash and tries nothing: it lists texts, the likeliest first, so
// that a check can stop when its time is over. The words are compiled by hand
// from what published counts of leaked passwords, and the default passwords of
// telephones and PBXs, have in common; with their endings they are some ten
// thousand. It has no state; nothing in it can fail.
//
// Start reading at [About], then [Common], [PINs] and [Dates].
package guess

import (
	_ "embed"
	"fmt"
	"iter"
	"slices"
	"strings"
)

//go:embed words.txt
var text string

// Guess is a password and why it is one of the first.
type Guess struct{ Text, Why string }

// About lists what somebody tries who knows the names: of the user, of his
// extensions, of the domain.
func About(user, domain string, extensions []string) iter.Seq[Guess] {
	company, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(domain, "sip."), "voip."), ".")
	names := slices.Compact(append([]string{user}, extensions...))
	return func(yield func(Guess) bool) {
		for _, n := range names {
			what := "the user's name or extension"
			for _, g := range []Guess{
				{n, what}, {reversed(n), what + " backwards"}, {n + n, what + " twice"}, {n + n + n, what + " three times"},
			} {
				if !yield(g) {
					return
				}
			}
			for _, x := range []string{domain, company, "sip", "voip", "pass", "password", "secret", "ext", "phone", "test", "pbx", "asterisk", "abc", "a", "x", "user", "tel"} {
				for _, t := range []string{n + x, x + n, n + "@" + x, n + "-" + x, x + "-" + n, n + "_" + x, x + "_" + n, capital(x) + n, n + capital(x)} {
					if !yield(Guess{t, what + " with a word"}) {
						return
					}
				}
			}
			for _, x := range endings {
				if !yield(Guess{n + x, what + " with an ending"}) || !yield(Guess{x + n, what + " with a beginning"}) {
					return
				}
			}
		}
		for _, x := range []string{domain, company} {
			for _, e := range append([]string{""}, endings...) {
				if !yield(Guess{x + e, "the domain"}) || !yield(Guess{capital(x) + e, "the domain"}) {
					return
				}
			}
		}
	}
}

// endings are what people put behind a word that must have a digit or a sign.
var endings = []string{"0", "1", "2", "3", "7", "01", "10", "11", "12", "21", "22", "23", "69", "77", "99", "00", "000", "007", "100", "111", "123", "321", "666", "777", "999",
	"1234", "4321", "12345", "123456", "!", "!!", "1!", "123!", "?", ".", "@", "#", "*", "$", "@123", "#123", "_123",
	"2015", "2016", "2017", "2018", "2019", "2020", "2021", "2022", "2023", "2024", "2025", "2026", "2027", "2024!", "2025!", "2026!"}

// Common lists what is tried with every user: words alone, rows of digits, then
// words with endings.
func Common() iter.Seq[Guess] {
	words := strings.Fields(text)
	return func(yield func(Guess) bool) {
		for _, w := range words {
			for _, t := range []string{w, capital(w), strings.ToUpper(w)} {
				if !yield(Guess{t, "a common password"}) {
					return
				}
			}
		}
		for _, t := range rows() {
			if !yield(Guess{t, "a row of digits"}) {
				return
			}
		}
		for _, e := range endings {
			for _, w := range words {
				if !yield(Guess{w + e, "a common password with an ending"}) || !yield(Guess{capital(w) + e, "a common password with an ending"}) {
					return
				}
			}
		}
	}
}

// rows are digits in a row, repeated, or as they lie on the keys.
func rows() (out []string) {
	up, down := "1234567890", "9876543210"
	for n := 3; n <= 10; n++ {
		out = append(out, up[:n], down[:n], ("0" + up)[:n])
		for d := '0'; d <= '9'; d++ {
			out = append(out, strings.Repeat(string(d), n))
		}
	}
	for _, x := range []string{"12", "21", "10", "123", "321", "1234", "11", "22", "13", "31", "69", "147", "159", "258", "369", "789", "456"} {
		for n := 2; n*len(x) <= 12; n++ {
			out = append(out, strings.Repeat(x, n))
		}
	}
	return append(out, "147258369", "159357", "1472583690", "741852963", "963852741", "112233", "11223344", "1122334455", "121212", "123123", "123321",
		"12344321", "1233210", "135790", "246810", "13579", "24680", "101010", "102030", "10203040", "098765", "0987654321", "9876543", "55555", "8675309", "314159", "31415926")
}

// PINs are all of four digits.
func PINs() iter.Seq[Guess] {
	return func(yield func(Guess) bool) {
		for i := range 10_000 {
			if !yield(Guess{fmt.Sprintf("%04d", i), "a PIN of four digits"}) {
				return
			}
		}
	}
}

// Dates are those of six digits: day, month and year in any of the usual orders.
func Dates() iter.Seq[Guess] {
	return func(yield func(Guess) bool) {
		for y := range 100 {
			for m := 1; m <= 12; m++ {
				for d := 1; d <= 31; d++ {
					for _, t := range []string{fmt.Sprintf("%02d%02d%02d", d, m, y), fmt.Sprintf("%02d%02d%02d", y, m, d), fmt.Sprintf("%02d%02d%02d", m, d, y)} {
						if !yield(Guess{t, "a date of six digits"}) {
							return
						}
					}
				}
			}
		}
	}
}

func capital(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func reversed(s string) string {
	r := []rune(s)
	slices.Reverse(r)
	return string(r)
}
