package trial

import (
	"fmt"
	"strings"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
)

// Trace tells how a decision came about, one step a line: what the numbers
// were read as, what matched, and with which values.
func Trace(set *policy.Set, a *call.Attempt, d call.Decision) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if a.Method != "REGISTER" {
		in := number.Dialled
		if a.PeerKind == call.PBX || a.PeerKind == call.Carrier {
			in = number.Trunk
		}
		for _, p := range []struct {
			who string
			p   call.Party
		}{{"from", a.From}, {"to", a.To}} {
			if p.p.User != "" && p.p.Kind != call.Extension {
				add("%s %q: %s", p.who, p.p.User, strings.Join(set.Plan().Explain(p.p.User, in).Steps, ", "))
			}
		}
	}
	say := func(d call.Decision) {
		text := Verdict(d)
		switch {
		case d.Shadow:
			text += " (shadow)"
		case d.Verdict == call.Abstain:
			text = "flag by " + d.Rule
		}
		if d.Reason != "" {
			text += ": " + d.Reason
		}
		add("%s", text)
		for _, e := range d.Evidence {
			if e.Threshold != nil {
				add("  %s = %v, compared with %v", e.Name, e.Value, e.Threshold)
			} else {
				add("  %s = %v", e.Name, e.Value)
			}
		}
	}
	if len(d.Trace) > 0 {
		add("matched: %s", list(d.Trace))
	} else {
		add("no rule and no limit matched")
	}
	for _, also := range d.Also {
		say(also)
	}
	if d.Rule != "" {
		say(d)
	}
	return lines
}
