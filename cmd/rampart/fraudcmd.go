package main

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rampart-sbc/rampart/call"
)

// fraudCmd is everything about fraud in a running gateway.
type fraudCmd struct {
	List     fraudListCmd     `cmd:"" help:"List incidents."`
	Show     fraudShowCmd     `cmd:"" help:"Show one incident and what belongs to the same story."`
	Close    fraudCloseCmd    `cmd:"" help:"Close an incident: it was fraud, or a false alarm."`
	Release  fraudReleaseCmd  `cmd:"" help:"Lift what was done because of an incident, and close it."`
	Baseline fraudBaselineCmd `cmd:"" help:"Show what is usual, and what other thresholds would have found."`
	Holds    fraudHoldsCmd    `cmd:"" help:"List whose costly calls are held."`
}

// fraudListCmd lists them.
type fraudListCmd struct {
	adminFlags `embed:""`
	All        bool   `help:"Those that are over or closed, too."`
	User       string `help:"Only those about this user."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (fraudListCmd) Help() string {
	return "An incident is everything that one detector finds about one user, number or address until it is quiet for an hour. Times are those of this computer's zone.\n\nExample:\n  rampart fraud list --all"
}

// Run asks the gateway.
func (c *fraudListCmd) Run(a *app) error {
	cl, err := c.client(a)
	if err != nil {
		return err
	}
	q := url.Values{"limit": {"10000"}}
	if !c.All {
		q.Set("state", "open")
	}
	if c.User != "" {
		q.Set("user", c.User)
	}
	var all incidentList
	if err := cl.ask("GET", "/api/v1/incidents?"+q.Encode(), nil, &all); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a, all)
	}
	if len(all.Items) == 0 {
		fmt.Fprintln(a.stdout, "no incidents")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tSEVERITY\tWHAT\tABOUT\tSINCE\tLAST\tTIMES\tCOST\tDONE")
	for i := range all.Items {
		x := &all.Items[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s %q\t%s\t%s\t%d\t%s\t%s\n", x.ID, x.State, x.Severity, x.Action, x.Subject.Kind, x.Subject.Value,
			clock(x.First), clock(x.Last), x.Count, x.cost(), x.done())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, c := range all.Cost {
		fmt.Fprintf(a.stdout, "open incidents cost %s %.2f so far and %.2f a minute, as estimated\n", c.Currency, c.SoFar, c.PerMinute)
	}
	return nil
}

func clock(t call.Time) string { return t.Local().Format(time.DateTime) }

// cost is what it cost so far, in words.
func (x *incident) cost() string {
	l := x.Alert.Rampart.Loss
	if l == nil {
		return "-"
	}
	return fmt.Sprintf("%s %.2f", l.Currency, l.SoFar)
}

// done says what was done, or in shadow withheld.
func (x *incident) done() string {
	var out []string
	for _, a := range x.Acts {
		text := a.Act
		if a.Times > 1 {
			text = fmt.Sprintf("%s ×%d", a.Act, a.Times)
		}
		if a.Shadow {
			text += " (shadow)"
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, ", ")
}

// fraudShowCmd shows one.
type fraudShowCmd struct {
	ID         string `arg:"" help:"Id of the incident."`
	adminFlags `embed:""`
	JSON       bool `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (fraudShowCmd) Help() string {
	return "Shows what was compared, the numbers and calls, who missed a ping call and should not call back, and the incidents before and after it.\n\nExample:\n  rampart fraud show 1k2j3h4-mk0qz6dk"
}

// Run asks the gateway.
func (c *fraudShowCmd) Run(a *app) error {
	cl, err := c.client(a)
	if err != nil {
		return err
	}
	var v incidentView
	if err := cl.ask("GET", "/api/v1/incidents/"+url.PathEscape(c.ID), nil, &v); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a, v)
	}
	v.print(a.stdout)
	return nil
}

func (v *incidentView) print(out io.Writer) {
	r := &v.Alert.Rampart
	fmt.Fprintf(out, "%s  %s, %s\n%s of %s %q, by %s\n%s\n", v.ID, v.State, v.Severity, v.Action, v.Subject.Kind, v.Subject.Value, v.Rule, plainText(v.Reason))
	fmt.Fprintf(out, "since %s, last %s, %s\n", clock(v.First), clock(v.Last), count(v.Count, "finding"))
	if r.Loss != nil {
		fmt.Fprintf(out, "cost %s %.2f so far, %.2f a minute, as estimated\n", r.Loss.Currency, r.Loss.SoFar, r.Loss.PerMinute)
	}
	for _, e := range r.Evidence {
		fmt.Fprintf(out, "  %s = %v", e.Name, e.Value)
		if e.Threshold != nil {
			fmt.Fprintf(out, " (threshold %v)", e.Threshold)
		}
		fmt.Fprintln(out)
	}
	if len(r.Numbers) > 0 {
		fmt.Fprintf(out, "numbers  %s\n", strings.Join(r.Numbers, " "))
	}
	if len(r.Calls) > 0 {
		fmt.Fprintf(out, "calls    %s\n", strings.Join(r.Calls, " "))
	}
	if done := v.done(); done != "-" {
		fmt.Fprintf(out, "done     %s\n", done)
	}
	if len(v.Warn) > 0 {
		fmt.Fprintln(out, "missed calls; nobody should call back:")
		for _, m := range v.Warn {
			fmt.Fprintf(out, "  %s  %s rang %s %s\n", clock(m.At), m.From, m.To, m.User)
		}
	}
	if c := v.Closed; c != nil {
		fmt.Fprintf(out, "closed   %s by %s %s %s\n", clock(c.At), c.By, c.Verdict, c.Note)
	}
	if len(v.Story) > 0 {
		fmt.Fprintln(out, "the same story:")
		for i := range v.Story {
			x := &v.Story[i]
			fmt.Fprintf(out, "  %s  %s  %s of %s %q\n", clock(x.First), x.ID, x.Action, x.Subject.Kind, x.Subject.Value)
		}
	}
}

func plainText(s string) string { return strings.ReplaceAll(s, "\n", " ") }

// fraudCloseCmd closes one.
type fraudCloseCmd struct {
	ID         string `arg:"" help:"Id of the incident."`
	adminFlags `embed:""`
	FalseAlarm bool   `name:"false-alarm" help:"It was none."`
	Fraud      bool   `help:"It was."`
	Note       string `help:"What you found: it stands in the book and in the alert."`
	JSON       bool   `name:"json" help:"Print JSON."`

	release bool
}

// Help is shown under the flags.
func (fraudCloseCmd) Help() string {
	return "What was done because of it stays; see release.\n\nExample:\n  rampart fraud close 1k2j3h4-mk0qz6dk --fraud --note \"password of 1001 changed\""
}

// Run tells the gateway.
func (c *fraudCloseCmd) Run(a *app) error {
	q := closeRequest{Note: c.Note, Release: c.release}
	switch {
	case c.FalseAlarm && c.Fraud:
		return usageError{fmt.Errorf("--false-alarm or --fraud, not both")}
	case c.FalseAlarm:
		q.Verdict = "false-alarm"
	case c.Fraud:
		q.Verdict = "fraud"
	}
	cl, err := c.client(a)
	if err != nil {
		return err
	}
	var v closed
	if err := cl.ask("POST", "/api/v1/incidents/"+url.PathEscape(c.ID)+"/close", q, &v); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a, v)
	}
	fmt.Fprintf(a.stdout, "closed: %s of %s %q\n", v.Action, v.Subject.Kind, v.Subject.Value)
	if c.release {
		for _, h := range v.Holds {
			fmt.Fprintf(a.stdout, "released: costly calls of %q\n", h.Who)
		}
		fmt.Fprintf(a.stdout, "%s may be called again\n", count(v.Numbers, "number or block"))
	}
	return nil
}

// fraudReleaseCmd closes one and lifts what it led to.
type fraudReleaseCmd struct {
	ID         string `arg:"" help:"Id of the incident."`
	adminFlags `embed:""`
	FalseAlarm bool   `name:"false-alarm" help:"It was none."`
	Fraud      bool   `help:"It was, and is dealt with."`
	Note       string `help:"What you found: it stands in the book and in the alert."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (fraudReleaseCmd) Help() string {
	return "Lifts the holds, lets the numbers be called that it guards, and forgets what whoever it is about had at risk. A hold that belongs to no incident is lifted with: rampart bans remove --hold --user 1001\n\nExample:\n  rampart fraud release 1k2j3h4-mk0qz6dk --false-alarm --note \"a new customer in Latvia\""
}

// Run tells the gateway.
func (c *fraudReleaseCmd) Run(a *app) error {
	return (&fraudCloseCmd{ID: c.ID, adminFlags: c.adminFlags, FalseAlarm: c.FalseAlarm, Fraud: c.Fraud, Note: c.Note, JSON: c.JSON, release: true}).Run(a)
}

// fraudHoldsCmd lists holds.
type fraudHoldsCmd struct {
	adminFlags `embed:""`
	JSON       bool `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (fraudHoldsCmd) Help() string {
	return "A hold stops somebody's international and premium calls, never those for help nor internal ones.\n\nExample:\n  rampart fraud holds"
}

// Run asks the gateway.
func (c *fraudHoldsCmd) Run(a *app) error {
	cl, err := c.client(a)
	if err != nil {
		return err
	}
	return listBans(a, cl, c.JSON, "nobody is held", func(b banView) bool { return b.Kind == call.ActHold.String() })
}
