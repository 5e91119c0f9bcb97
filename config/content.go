package config

import (
	"fmt"
	"slices"
)

// Redirects says what becomes of the 3xx of a PBX, a peer or the phones. ""
// is refuse.
type Redirects string

const (
	RedirectsRefuse Redirects = "refuse"
	RedirectsRelay  Redirects = "relay"
	RedirectsFollow Redirects = "follow"
)

// UnmarshalScalar reads the word.
func (r *Redirects) UnmarshalScalar(text string, _ bool) error {
	return oneOf((*string)(r), text, string(RedirectsRelay), string(RedirectsFollow), string(RedirectsRefuse))
}

// bodyTypes may cross beside a session description between ends that are
// configured for them: the signalling of telephone networks (RFC 3204).
var bodyTypes = []string{"application/isup", "application/qsig"}

func (k *checker) bodies(path string, types []string) {
	for i, t := range types {
		at := fmt.Sprintf("%s.bodies[%d]", path, i)
		if !slices.Contains(bodyTypes, t) && !k.badAt(at) {
			k.problem(at, "application/isup or application/qsig", "%s.bodies: %q does not cross", path, clip(t))
		}
	}
}
