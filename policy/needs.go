package policy

import "github.com/rampart-sbc/rampart/internal/strictyaml"

// Need is something that a rule, limit or exception asks for and that the
// gateway may not have: where a source address is registered.
type Need struct {
	ID, File string
	Pos      strictyaml.Pos
	Fact     string // "source.country" or "source.asn"
}

// Needs lists what the files ask for, in their order. What a shipped pack asks
// for, and what is switched off, is not among it: nobody has to do anything.
func (s *Set) Needs() []Need { return s.needs }

// need notes one; at is where it stands.
func (c *compiler) need(at, fact string) {
	if fact != "source.country" && fact != "source.asn" || c.cur.Pack {
		return
	}
	c.set.needs = append(c.set.needs, Need{File: c.cur.Name, Pos: c.cur.pos.At(at), Fact: fact})
}

// needed says of whom the needs since are, or that nobody has them.
func (c *compiler) needed(since int, id string, off bool) {
	if off {
		c.set.needs = c.set.needs[:since]
	}
	for i := since; i < len(c.set.needs); i++ {
		c.set.needs[i].ID = id
	}
}
