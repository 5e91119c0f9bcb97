package config

import (
	"fmt"
	"slices"
)

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
