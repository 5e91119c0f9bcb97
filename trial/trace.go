package trial

import (
	"slices"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/explain"
)

// trace tells how the decision came about, one step a line: what the numbers
// were read as and all that matched; of what did not match, why the rules that
// the test expected did not. The whole way is what `policy explain` tells.
func (f *Failure) trace() (lines []string) {
	t := explain.Of(explain.Input{Fact: explain.Fact{Attempt: *f.Attempt, Decision: f.Outcome.Decision}, Set: f.set, Then: true})
	for _, s := range t.Steps {
		mark := "  "
		switch s.Outcome {
		case call.Skipped, call.Missed:
			if !f.expects(s.Rule) {
				continue
			}
			mark = "- "
		case call.Passed:
			if s.Stage == call.StageLimit && !f.expects(s.Rule) {
				continue
			}
		case call.Matched, call.Flagged, call.Shadowed, call.Opened:
			mark = "> "
		}
		if s.Stage == call.StageVerdict || s.Stage == call.StageSender || s.Stage == call.StageCaller && f.Attempt.From.Kind == call.Extension {
			continue // stands above, or goes without saying
		}
		line := mark
		if s.Rule != "" {
			line += s.Rule + ": "
		} else {
			line += string(s.Stage) + ": "
		}
		line += s.Text
		if s.At != "" && mark != "  " {
			line += " [" + s.At + "]"
		}
		lines = append(lines, explain.Printable(line))
	}
	return lines
}

// expects: the test says something about the rule.
func (f *Failure) expects(rule string) bool {
	e := f.Expect
	if e == nil || rule == "" {
		return false
	}
	if e.Rule == rule {
		return true
	}
	return slices.ContainsFunc([][]string{e.Asked, e.NotRule, e.Except, e.Flags, e.Shadow}, func(ids []string) bool { return slices.Contains(ids, rule) })
}
