package sipx

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/rampart-sbc/rampart/call"
)

// thinning says how many of the new calls the kernel lets in on a public UDP
// socket. Its zero value is of no use: see allIn.
type thinning struct {
	pass  uint32 // of 2^32, about; all of them: nothing is dropped
	short int    // a user of so many octets is never dropped
	seed  uint32 // of which ones
}

var allIn = thinning{pass: 1<<32 - 1}

// ContactUser is the user of our own Contact in dialogs.
const ContactUser = "rampart"

// dialogUser is how the Request-URI of what is in a dialog begins. The filter
// compares eight octets.
const dialogUser = ContactUser + "@"

// maxShort keeps the filter's program small. Telephone numbers of a country have
// 12 digits at most, mostly.
const maxShort = 40

// thinBytes is how long a message has to be for the filter to look at it.
const thinBytes = hashed

// hashed is how much of an INVITE is read whole to know which one it is: enough
// for its first Via, with the branch, if that stands in front. Of what follows some
// words are. What is repeated is the same to the octet (RFC 3261
// §17.1.1.2).
const hashed = 256

// sampled is up to where the rest is looked at, in groups of so many octets.
const (
	sampled     = hashed + 16*sampleGroup
	sampleGroup = 64
)

// Thinned reports whether an INVITE of so many octets for that Request-URI is
// among those that Thin drops a part of. It says what the filter does.
func Thinned(uri []byte, octets, short int) bool {
	if octets < thinBytes {
		return false
	}
	user, ok := bytes.CutPrefix(uri, []byte("sip:"))
	if !ok {
		if user, ok = bytes.CutPrefix(uri, []byte("sips:")); !ok {
			return false
		}
	}
	if bytes.HasPrefix(user, []byte(dialogUser)) || len(user) <= short {
		return false
	}
	for i, c := range user[:short+1] {
		if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || i == 0 && c == '+') {
			return false
		}
	}
	return true
}

// Thin has the kernel drop, on the public UDP sockets, a part of the INVITEs
// that begin a call, for they are so many that even to refuse them is too much.
// share is of how many are let in; 1 undoes it. As long as the seed is the same
// a call that was dropped is dropped when it comes again (RFC 3261 timer A):
// else most of what is let in would be calls that have waited for long. Users of
// up to short octets are let in always: one of them may be an emergency number.
// After an error nothing is dropped.
func (s *Stack) Thin(share float64, short int, seed uint32) error {
	t := allIn
	if share < 1 {
		if short > maxShort {
			return fmt.Errorf("users of up to %d octets have to be let in: a socket filter has room for %d", short, maxShort)
		}
		t = thinning{pass: uint32(max(share, 0) * (1<<32 - 2)), short: max(short, 1), seed: seed}
	}
	err := s.thin(t)
	if err != nil {
		s.thin(allIn) // some of the sockets may have taken it
	}
	return err
}

func (s *Stack) thin(t thinning) (err error) {
	for _, u := range s.udp {
		if u.l.Side != call.Public {
			continue
		}
		for _, c := range u.conns {
			err = errors.Join(err, c.thin(t))
		}
	}
	return err
}
