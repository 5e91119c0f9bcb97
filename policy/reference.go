package policy

import (
	"slices"
	"strings"
)

// Variables is the table of what conditions, `why:` and alerts can name.
func Variables() ([]Variable, []Family) {
	c := &compiler{set: &Set{asked: new(asked)}}
	vars, families := c.language().vars, c.lang.families
	slices.SortStableFunc(vars, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) })
	return vars, families
}

// connectReads finds conditions that ask a connection for what only a request
// has.
func (c *compiler) connectReads(at string, on methods, w *condition) {
	if on&onConnect == 0 || w == nil {
		return
	}
	for _, v := range w.prog.Reads() {
		group, _, _ := strings.Cut(v.Name, ".")
		if group == "request" || group == "call" || group == "register" {
			c.problem(at+".when", "source, peer, clock and lists are known", "when: %s is not known on: connect, where no request was sent yet", v.Name)
		}
	}
}

// ActionsPage is the reference page of `then:`.
func ActionsPage() string {
	var b strings.Builder
	b.WriteString("<!-- Made from the code by go generate ./policy; change it there. -->\n# Actions of rules and limits\n" +
		"`then:` says what happens when a rule matches or a limit is exceeded. The first rule of a file that matches decides for that file; " +
		"`flag` and rules in `mode: shadow` are told and never end the search. Across files the strictest verdict wins: drop, reject, challenge, allow. " +
		"Limits take reject, drop, challenge, ban and hold. `on: connect` takes allow, drop, ban and flag; `on: progress` allow, hangup, hold, ban and flag. [Bans, holds and challenges](../bans.md) has more.\n\n| then | does |\n|---|---|\n")
	for _, t := range thens {
		b.WriteString("| `" + t.form + "` | " + t.doc + " |\n")
	}
	return b.String()
}
