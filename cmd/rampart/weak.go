package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rampart-sbc/rampart/internal/guess"
	"github.com/rampart-sbc/rampart/sbc/digest"
)

// weakPassword says why a password would be guessed, "" when it is not among
// the first that are tried.
func weakPassword(user, domain string, extensions []string, password string) string {
	is := func(p string) bool { return p == password }
	why, _ := firstOf(guess.About(user, domain, extensions), is, nil)
	if why == "" {
		why, _ = firstOf(guess.Common(), is, nil)
	}
	if why == "" {
		why, _ = firstOf(guess.PINs(), is, nil)
	}
	if why == "" {
		why, _ = firstOf(guess.Dates(), is, nil)
	}
	return why
}

// firstOf is why the first guess fits that does. late ends the search, which is
// then not whole.
func firstOf(guesses func(func(guess.Guess) bool), fits func(string) bool, late func() bool) (why string, whole bool) {
	n := 0
	for g := range guesses {
		if fits(g.Text) {
			return g.Why, true
		}
		if n++; n%256 == 0 && late != nil && late() {
			return "", false
		}
	}
	return "", true
}

// weakUser is one whose password was guessed.
type weakUser struct {
	User, Realm, Why string
	Line             int
}

// weakUsers guesses the passwords of a file, for so long: the likeliest of every
// user first, then the longer lists. untried are the users whose turn did not
// come for all of them.
func weakUsers(entries []digest.Entry, limit time.Duration) (weak []weakUser, untried int) {
	deadline := time.Now().Add(limit)
	late := func() bool { return time.Now().After(deadline) }
	open := onePerUser(entries)
	common := slices.Collect(guess.Common())
	for _, list := range []func(digest.Entry) func(func(guess.Guess) bool){
		func(e digest.Entry) func(func(guess.Guess) bool) { return guess.About(e.User, e.Realm, e.For) },
		func(digest.Entry) func(func(guess.Guess) bool) { return slices.Values(common) },
		func(digest.Entry) func(func(guess.Guess) bool) { return guess.PINs() },
		func(digest.Entry) func(func(guess.Guess) bool) { return guess.Dates() },
	} {
		var left []digest.Entry
		for _, e := range open {
			why, whole := firstOf(list(e), e.Matcher(), late)
			switch {
			case why != "":
				weak = append(weak, weakUser{e.User, e.Realm, why, e.Line})
			case !whole:
				untried++
			default:
				left = append(left, e)
			}
		}
		open = left
	}
	slices.SortFunc(weak, func(a, b weakUser) int { return a.Line - b.Line })
	return weak, untried
}

// onePerUser takes the line that is tried fastest of each user.
func onePerUser(entries []digest.Entry) []digest.Entry {
	out := slices.Clone(entries)
	slices.SortStableFunc(out, func(a, b digest.Entry) int {
		return cmp.Or(strings.Compare(a.Realm, b.Realm), strings.Compare(a.User, b.User), strings.Compare(a.Algorithm, b.Algorithm)) // MD5 before SHA-256
	})
	return slices.CompactFunc(out, func(a, b digest.Entry) bool { return a.Realm == b.Realm && a.User == b.User })
}

func (w weakUser) String() string {
	return fmt.Sprintf("user %s of realm %s (line %d): %s", w.User, w.Realm, w.Line, w.Why)
}
