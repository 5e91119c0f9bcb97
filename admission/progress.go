package admission

import "github.com/rampart-sbc/rampart/call"

// maxTold bounds the rules of one call that are remembered as told.
const maxTold = 64

// Told are the rules that have told of a call while it was up: each does once.
type Told map[string]bool

func (t *Told) fresh(rule string) bool {
	if (*t)[rule] || len(*t) >= maxTold {
		return false
	}
	if *t == nil {
		*t = Told{}
	}
	(*t)[rule] = true
	return true
}

// Progress judges a call that is up. Each rule tells, bans and holds once in a
// call; ending is the rule that hangs up, whose refusal stands then, and "" lets
// the call go on. Emergency calls are not to be asked about.
func Progress(guards []Guard, a *call.Attempt, told *Told) (d call.Decision, ending string) {
	d = Decide(guards, a)
	var also []call.Decision
	for _, x := range d.Also {
		if told.fresh(x.Rule) {
			also = append(also, x)
		}
	}
	var effects []call.Effect
	for _, e := range d.Effects {
		if e.Act == call.ActHangup {
			ending = e.Rule
		}
		if e.Act == call.ActHangup || told.fresh(e.Rule) {
			effects = append(effects, e)
		}
	}
	d.Also, d.Effects = also, effects
	if ending == "" {
		d.Verdict, d.Status, d.Rule, d.Action = call.Allow, 0, "", ""
	}
	return d, ending
}
