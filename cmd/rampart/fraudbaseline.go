package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/fraud"
)

// What the detectors of fraud learned, for operators who set thresholds.

func (g *gateway) baselineOperation() admin.Operation {
	return admin.Operation{Method: "GET", Path: "/api/v1/fraud/baseline",
		Doc:   `{"summary": "What the detectors of fraud learned about accounts and users, and what other thresholds would have found", "parameters": [{"name": "account", "in": "query", "schema": {"type": "string"}}], "responses": {"200": {"description": "Usual calls by hour of the week, destinations, spending, countries; and each threshold with the alarms it would have had"}}}`,
		Serve: func(r *http.Request) (any, error) { return g.detectors.Baseline(r.URL.Query().Get("account")), nil }}
}

// fraudBaselineCmd shows it.
type fraudBaselineCmd struct {
	adminFlags `embed:""`
	Account    string `help:"Only this account."`
	Week       bool   `help:"The usual calls of each hour of the week, too."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (fraudBaselineCmd) Help() string {
	return "Shows where users usually call and from, what they spend, and for each threshold how many alarms it had in the last six weeks, how many others would have had, and one to be considered. " +
		"Attacks in these weeks count as alarms, too: look at who is named before you raise anything.\n\nExample:\n  rampart fraud baseline --week"
}

// Run asks the gateway.
func (c *fraudBaselineCmd) Run(a *app) error {
	cl, err := c.client(a)
	if err != nil {
		return err
	}
	var b fraud.Baseline
	if err := cl.ask("GET", "/api/v1/fraud/baseline?"+url.Values{"account": {c.Account}}.Encode(), nil, &b); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a, b)
	}
	return printBaseline(a.stdout, b, c.Week)
}

func printBaseline(out io.Writer, b fraud.Baseline, week bool) error {
	if len(b.Accounts) == 0 {
		fmt.Fprintln(out, "no call to outside was seen yet")
		return nil
	}
	fmt.Fprintf(out, "learned since %s", clock(b.Since))
	if b.WarmUp != "" {
		fmt.Fprintf(out, "; warming up for another %s", b.WarmUp)
	}
	fmt.Fprintln(out)
	for i := range b.Accounts {
		if err := printAccount(out, &b.Accounts[i], week); err != nil {
			return err
		}
	}
	return nil
}

func printAccount(out io.Writer, a *fraud.AccountBaseline, week bool) error {
	fmt.Fprintf(out, "\naccount %q: USD %.2f a day to dearer countries are usual\n", a.Account, a.UsualUSD)
	fmt.Fprintf(out, "destinations  %s\n", destinations(a.Destinations, 20))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tUSD A DAY\tDESTINATIONS (DAYS)\tFROM\t")
	for _, u := range a.Users[:min(len(a.Users), 20)] {
		note := ""
		if u.Suspected {
			note = "suspected: nothing is learned"
		}
		fmt.Fprintf(w, "%s\t%.2f\t%s\t%s\t%s\n", u.User, u.UsualUSD, destinations(u.Destinations, 6), strings.Join(u.Countries, " "), note)
	}
	fmt.Fprintln(w, "\nTHRESHOLD\tNOW\tALARMS\tWITH OTHERS\tCONSIDER\tHIGHEST")
	for _, t := range a.Thresholds {
		var other, high []string
		for _, o := range t.Other {
			other = append(other, fmt.Sprintf("%g:%d", o.Value, o.Alarms))
		}
		for _, p := range t.Highest[:min(len(t.Highest), 3)] {
			high = append(high, fmt.Sprintf("%g %s %s", p.Value, p.Who, p.Day))
		}
		fmt.Fprintf(w, "%s %s\t%g\t%d in %d days\t%s\t%g (%d)\t%s\n", t.Detector, t.Key, t.Value, t.Alarms, t.Days, strings.Join(other, " "), t.Propose, t.Proposed, strings.Join(high, ", "))
	}
	if err := w.Flush(); err != nil || !week {
		return err
	}
	fmt.Fprint(out, "\n     ")
	for h := range 24 {
		fmt.Fprintf(out, "%6d", h)
	}
	for d, hours := range a.Week {
		fmt.Fprintf(out, "\n%-5s", time.Weekday((d + 1) % 7).String()[:3])
		for _, n := range hours {
			fmt.Fprintf(out, "%6.1f", n)
		}
	}
	fmt.Fprintln(out)
	return nil
}

func destinations(d []fraud.DestinationHabit, most int) string {
	if len(d) == 0 {
		return "-"
	}
	var out []string
	for _, x := range d[:min(len(d), most)] {
		out = append(out, fmt.Sprintf("%s(%d)", x.Code, x.Days))
	}
	if len(d) > most {
		out = append(out, fmt.Sprintf("and %d more", len(d)-most))
	}
	return strings.Join(out, " ")
}
