package ratelimit

import (
	"math"
	"strings"

	"github.com/rampart-sbc/rampart/call"
)

// shown is how far a REGISTER shows that it is of the user it names. Each has
// counts of its own, so that nobody is locked out by what others, behind the
// same address perhaps, do in his name: a guesser uses up what guessers have.
// Who has learned how a user's device is named uses up what those have who name
// it, and the connection that the user has registered on is still left alone.
type shown uint64

const (
	shownNothing    shown = iota
	shownDevice           // it names a device that has registered the user
	shownConnection       // its connection has registered the user
)

func shownBy(a *call.Attempt) shown {
	switch {
	case a.RegisterUser == "":
		return shownNothing
	case a.User == a.RegisterUser && !a.First && sameDomain(a): // as it was when it was judged
		return shownConnection
	case a.Returning:
		return shownDevice
	}
	return shownNothing
}

// sameDomain: the user of From, who is registered, is the one of To and not of
// the same name in another domain.
func sameDomain(a *call.Attempt) bool {
	return a.RegisterDomain == "" || strings.EqualFold(strings.TrimSuffix(a.From.Host, "."), a.RegisterDomain)
}

// writeShown adds it to a key, as what no length of a text is. It is shown for
// the user of To: where another one, as, is counted, he does not share it with
// what To's user has.
func writeShown(h *hasher, a *call.Attempt, as string) {
	s := shownBy(a)
	if s == shownNothing {
		return
	}
	h.word(math.MaxUint64 - uint64(s))
	if as != "" {
		h.text(a.RegisterUser)
	}
}
