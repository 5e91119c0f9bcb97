package trial

import (
	"slices"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/explain"
)

// trace tells how the decision came about, one step a line: what the numbers
// were read as and all that matched; of what did not match, why the rules that
// the test expected did not. The whole way is what `policy explain` tells.
func (f *Failure) trace() (lines []string) {
	t := explain.Of(explain.Input{Fact: explain.Fact{Attempt: *f.Attempt, Decision: f.Outcome.Decision}, Set: f.set, Then: true})
	missed := 0
	for _, s := range t.Steps {
		mark := "  "
		switch s.Outcome {
		case call.Skipped, call.Missed:
			if !f.expects(s.Rule) && !(s.Outcome == call.Missed && f.wanted(s.At, &missed)) {
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

// maxMissed rules that did not match are told of one request.
const maxMissed = 12

// wanted: the test wants a refusal of whatever rule and got none; then those of
// its own file say why they did not match.
func (f *Failure) wanted(at string, missed *int) bool {
	e := f.Expect
	if e == nil || e.Verdict <= call.Allow || e.Rule != "" || !f.Outcome.Permits() || !strings.HasPrefix(at, f.file+":") || *missed == maxMissed {
		return false
	}
	*missed++
	return true
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
