package trial

import (
	"fmt"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/fraud/param"
	"github.com/rampart-sbc/rampart/policy"
)

// Coverage notes what tests reached: rules that matched, limits that refused,
// sections of `countries:` that decided, exceptions that opened something.
type Coverage struct {
	set  *policy.Set
	hits map[string]int
	more []*Coverage // of policies that were tried by themselves
}

// NewCoverage begins to note.
func NewCoverage(set *policy.Set) *Coverage { return &Coverage{set: set, hits: map[string]int{}} }

func (c *Coverage) reached(b *Bench, a *call.Attempt, d call.Decision) {
	if c == nil {
		return
	}
	for _, id := range Matched(d) {
		c.hits[id]++
	}
	for _, id := range d.Trace {
		if rule, ok := strings.CutPrefix(id, policy.TraceException); ok {
			if e, found := b.o.Set.Excepted(a, rule); found {
				c.hits[exceptionKey(e)]++
			}
		}
	}
	if !a.Emergency() {
		if section := b.o.Set.Place(a); section != "" {
			c.hits[section]++
		}
	}
}

// found notes which detectors found something.
func (c *Coverage) found(w *watching) {
	if c == nil {
		return
	}
	for _, id := range w.found {
		c.hits[id]++
	}
}

// Entry is one thing that tests can reach.
type Entry struct {
	ID   string `json:"id"`
	File string `json:"file"`
	Line int    `json:"line"`
	Hits int    `json:"hits"`
}

func (e Entry) String() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.ID) }

// Entries lists what there is to reach, in the order of the files. Entries
// that are off, or stand replaced in a pack, are left out.
func (c *Coverage) Entries() (out []Entry) {
	for _, r := range c.set.Reachable() {
		out = append(out, Entry{ID: r.ID, File: r.File, Line: r.Line, Hits: c.hits[r.ID]})
	}
	for _, e := range c.set.Exceptions() {
		out = append(out, Entry{ID: "exception to " + e.Rule, File: e.File, Line: e.Line, Hits: c.hits[exceptionKey(e)]})
	}
	for _, d := range c.set.Detectors() {
		if !d.Off && d.ID != param.Everywhere {
			out = append(out, Entry{ID: d.ID, File: d.File, Line: d.Line, Hits: c.hits[d.ID]})
		}
	}
	for _, m := range c.more {
		out = append(out, m.Entries()...)
	}
	return out
}

// exceptionKey tells exceptions apart: they have no id, only a place.
func exceptionKey(e policy.ExceptionInfo) string {
	return fmt.Sprintf("%s:%d %s", e.File, e.Line, e.Rule)
}
