package replay

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"
)

// Text writes the report for people; name is that of the file.
func (r *Report) Text(w io.Writer, name string) {
	p := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	p("%s: %d events, %d calls, %d answered, %d registrations, %s to %s, in %s", name, r.Events, r.Calls, r.Answered, r.Registers,
		shownAt(r.First), shownAt(r.Last), r.Took.Round(time.Millisecond))
	for _, b := range r.Bad {
		p("%s:%d: %s", name, b.Line, b.Error)
	}
	if r.Malformed > 0 {
		p("lines that could not be read and are left out: %d", r.Malformed)
	}
	if r.Back > 0 {
		p("%d events are older than the one ahead, and were taken as of its time", r.Back)
	}
	if r.Failed > 0 {
		p("%d requests were not judged: %s", r.Failed, r.FirstFailure)
	}
	for _, text := range r.Blind() {
		p("note: %s", text)
	}
	p("policy %s against %s: refused %d, before %d", r.New, r.Old, r.Refused, r.RefusedOld)
	r.NewlyRefused.text(w, "newly refused")
	r.NewlyAllowed.text(w, "newly allowed")
	r.NewlyFlagged.text(w, "newly flagged")
	r.WouldRefuse.text(w, "would be refused, but for shadow")
	if len(r.Found) > 0 {
		p("\nfound:")
		incidents := 0
		for _, id := range sorted(r.Found) {
			f := r.Found[id]
			incidents += f.Incidents
			before := ""
			if r.FoundOld != nil {
				before = ", before none"
				if o := r.FoundOld[id]; o != nil {
					before = fmt.Sprintf(", before %d", o.Incidents)
				}
			}
			p("  %6d  %s (%s%s)", f.Incidents, id, counted(f.Findings, "finding"), before)
			for _, x := range f.Examples[:min(len(f.Examples), 2)] {
				p("          %s", x)
			}
		}
		if r.Calls > 0 {
			p("  %.2f incidents per 1000 calls", 1000*float64(incidents)/float64(r.Calls))
		}
	}
	m := r.Money
	p("\nmoney: %.2f spent; kept: %.2f by refusing calls, %.2f by ending them; shadow withholds what would keep %.2f more", m.Spent, m.Refused, m.Cut, m.Shadow)
	if l := r.Labelled; l != nil {
		p("labelled: %d of %d attacks found; %d of %d incidents are false alarms, %.2f per 1000 calls", l.Found, l.Attacks, l.False, l.Incidents, l.Per1000)
		for _, x := range l.Examples {
			p("  false: %s", x)
		}
	}
	lines := 0
	for _, n := range r.Alerts {
		lines += n
	}
	p("alerts: %d lines", lines)
	for _, a := range sortedActions(r.Alerts) {
		p("  %6d  %s", r.Alerts[a], a)
	}
}

// Blind is what the recording cannot show.
func (r *Report) Blind() (out []string) {
	if r.CDRs > 0 {
		out = append(out, "these are CDRs: they have no registrations, OPTIONS and messages, so that guessed passwords, scans and users who travel are not seen, "+
			"and calls that were refused for overload are not in them")
		if r.Folded > 0 {
			out = append(out, fmt.Sprintf("%d further attempts are folded into other CDRs and were not replayed", r.Folded))
		}
	}
	return out
}

func (t Tallies) text(w io.Writer, what string) {
	if len(t) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s: %d\n", what, t.Calls())
	rules := sorted(t)
	slices.SortStableFunc(rules, func(a, b string) int { return cmp.Compare(t[b].Calls, t[a].Calls) })
	for _, id := range rules {
		e := t[id]
		cost := ""
		if e.Money >= 0.005 {
			cost = fmt.Sprintf(" (%.2f)", e.Money)
		}
		fmt.Fprintf(w, "  %6d  %s%s\n", e.Calls, id, cost)
		for _, x := range e.Examples[:min(len(e.Examples), 2)] {
			fmt.Fprintf(w, "          %s\n", x)
		}
	}
}

func shownAt(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

func (x Example) String() string {
	text := shownAt(x.At) + " " + x.ID
	for _, f := range []struct{ name, v string }{{"user", x.User}, {"from", x.From}, {"to", x.To}, {"source", x.Source}} {
		if f.v != "" && (f.name != "from" || x.From != x.User) {
			text += " " + f.name + " " + f.v
		}
	}
	if x.Reason != "" {
		text += ": " + x.Reason
	}
	return text
}

// counted is a number of things.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
