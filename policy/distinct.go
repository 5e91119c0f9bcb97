package policy

import "slices"

// distinctNames are what a limit can count by being different.
var distinctNames = []string{"to", "to.prefix", "to.country", "from", "from.prefix", "from.country", "user", "register.user", "source.ip"}

// maxDistinct is the most that is counted so: every request looks through the
// values of its key.
const maxDistinct = 10_000

// distinct reads `distinct: N, of: WHAT`.
func (c *compiler) distinct(at string, y *limitYAML, m *matcher, l *Limit) {
	if l.Distinct, l.Of = *y.Distinct, y.Of; l.Distinct < 1 || l.Distinct > maxDistinct {
		c.problem(at+".distinct", "", "distinct must be 1 to %d", maxDistinct)
	}
	switch {
	case y.Of == "":
		c.problem(at+".distinct", "add of: to", "distinct does not say of what")
	case !slices.Contains(distinctNames, y.Of):
		c.unknown(at+".of", "value to count", y.Of, distinctNames)
	case y.Of == "register.user" && m.on&^onRegister != 0:
		c.problem(at+".of", "write on: register", "register.user exists in REGISTER only")
	case slices.ContainsFunc(y.Key, func(k keyYAML) bool { return !k.cel && k.name == y.Of }):
		c.problem(at+".of", "count per something else", "there is one %s per %s", y.Of, y.Of)
	}
}
