package policy

import "github.com/rampart-sbc/rampart/call"

// kinds reads `kind:` of a party: what its number resolved to. The bits are
// those of call.NumberKind.
func (c *compiler) kinds(at string, names []string) (bits uint8) {
	if names != nil && len(names) == 0 {
		c.problem(at, "leave the key out to match all", "the list is empty")
	}
	var known []string
	for k := call.Invalid; k <= call.International; k++ {
		known = append(known, k.String())
	}
	for i, name := range names {
		found := false
		for k := range known {
			if known[k] == name {
				bits |= 1 << k
				found = true
			}
		}
		if !found {
			c.unknown(at+item("", i), "kind of number", name, known)
		}
	}
	return bits
}
