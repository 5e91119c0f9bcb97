package policy

import (
	"slices"

	"github.com/rampart-sbc/rampart/call"
)

// kinds reads `kind:` of a party: what its number resolved to.
func (c *compiler) kinds(at string, names []string) uint8 {
	return c.bits(at, "kind of number", names, named(call.Invalid, call.International))
}

// peerKinds reads `peer_kind:`: what identification made of the sender.
func (c *compiler) peerKinds(at string, names []string) uint8 {
	return c.bits(at, "kind of sender", names, named(call.Stranger, call.PBX))
}

func named[K interface {
	~uint8
	String() string
}](first, last K) (out []string) {
	for k := first; k <= last; k++ {
		out = append(out, k.String())
	}
	return out
}

// bits are the places of names among those that are known; 0 when nothing was
// written.
func (c *compiler) bits(at, what string, names, known []string) (bits uint8) {
	if names != nil && len(names) == 0 {
		c.problem(at, "leave the key out to match all", "the list is empty")
	}
	for i, name := range names {
		k := slices.Index(known, name)
		if k < 0 {
			c.unknown(at+item("", i), what, name, known)
			continue
		}
		bits |= 1 << k
	}
	return bits
}
