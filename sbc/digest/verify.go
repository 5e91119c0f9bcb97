package digest

import (
	"crypto/subtle"
	"strconv"
	"strings"
)

// Proof is what a client answered to a challenge: the values of its
// Authorization, without their quotes.
type Proof struct {
	User, Realm, Nonce, URI, Response string
	Algorithm, QOP, NC, CNonce        string
}

// Count is the nonce count; false when it is none (RFC 7616 §3.4).
func (p Proof) Count() (uint32, bool) {
	n, err := strconv.ParseUint(p.NC, 16, 32)
	return uint32(n), err == nil && len(p.NC) == 8 && n > 0
}

// maxProof bounds what is hashed of one proof.
const maxProof = 4096

// Check reports whether the proof was made with the password of its user, for
// that method. qop must be auth, as it is in all our challenges. The work is the
// same for a user that does not exist.
func (u *Users) Check(p Proof, method string, algorithms []string) bool {
	algorithm := canonical(p.Algorithm)
	offered := false
	for _, a := range algorithms {
		offered = offered || a == algorithm
	}
	if !offered || !strings.EqualFold(p.QOP, "auth") || p.CNonce == "" || len(p.URI)+len(p.CNonce)+len(p.Nonce) > maxProof {
		return false
	}
	ha1, known := u.dummy, 0
	if i, ok := u.by[lineKey{p.User, p.Realm, algorithm}]; ok {
		ha1, known = u.entries[i].ha1.hex, 1
	}
	want := digestOf(algorithm, ha1, p.Nonce, p.NC, p.CNonce, p.QOP, digestOf(algorithm, method, p.URI))
	return subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(p.Response)))&known == 1
}
