package sbc

import (
	"strings"

	"github.com/rampart-sbc/rampart/sbc/b2bua"
)

// End ends the passes of a call because a rule asks for it: both ends are told
// so, and the record has the rule. False: there is no such call. Calls for help
// are left alone.
func (g *Gateway) End(id, rule string) bool {
	id, _, _ = strings.Cut(id, ".") // of a half that goes out again: of the call
	found := false
	for _, s := range g.calls.sessions() {
		if s.group.id != id || s.group.attempt.Emergency() {
			continue
		}
		found = true
		s.group.ended.CompareAndSwap(nil, &rule)
		go s.force(input{do: func() {
			s.pass.Rule, s.pass.Trace = rule, append(s.pass.Trace, rule)
			s.follow(b2bua.Event{Kind: b2bua.Hangup, Cause: causePolicy})
		}})
	}
	return found
}
