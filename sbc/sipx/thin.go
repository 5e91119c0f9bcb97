package sipx

import "github.com/rampart-sbc/rampart/call"

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

// maxShort keeps the filter's program small. Telephone numbers of a country are
// rarely shorter.
const maxShort = 12

// Thin has the kernel drop, on the public UDP sockets, a part of the INVITEs
// that begin a call, for they are so many that even to refuse them is too much.
// share is of how many are let in; 1 undoes it. As long as the seed is the same
// a call that was dropped is dropped when it comes again (RFC 3261 timer A):
// else most of what is let in would be calls that have waited for long. Users of
// up to short octets are let in always: one of them may be an emergency number.
func (s *Stack) Thin(share float64, short int, seed uint32) error {
	t := allIn
	if share < 1 {
		t = thinning{pass: uint32(max(share, 0) * (1<<32 - 2)), short: min(max(short, 1), maxShort), seed: seed}
	}
	for _, u := range s.udp {
		if u.l.Side != call.Public {
			continue
		}
		for _, c := range u.conns {
			if err := c.thin(t); err != nil {
				return err
			}
		}
	}
	return nil
}
