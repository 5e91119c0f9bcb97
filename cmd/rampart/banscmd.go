package main

import (
	"fmt"
	"slices"
	"text/tabwriter"
	"time"
)

// bansCmd is everything about bans and holds of a running gateway.
type bansCmd struct {
	List   bansListCmd   `cmd:"" help:"List the bans and holds in force."`
	Add    bansAddCmd    `cmd:"" help:"Ban an address or user, or hold somebody's costly calls."`
	Remove bansRemoveCmd `cmd:"" help:"Lift a ban or hold."`
}

// banSubject is whom a command is about.
type banSubject struct {
	Source       string `arg:"" optional:"" name:"ip" help:"Address or network."`
	User         string `help:"User."`
	RegisterUser string `name:"register-user" help:"User that registrations are for; with an address it bans the pair."`
	Domain       string `help:"Domain of --register-user, where there are several."`
	Account      string `help:"Name of a PBX entry, for a hold."`
	Peer         string `help:"Name of a peer, for a hold."`
	Hold         bool   `help:"A hold of costly calls instead of a ban."`
}

func (s banSubject) request() banRequest {
	q := banRequest{Source: s.Source, User: s.User, RegisterUser: s.RegisterUser, Domain: s.Domain, Account: s.Account, Peer: s.Peer}
	if s.Hold {
		q.Kind = "hold"
	}
	return q
}

// check says at once what the gateway would.
func (q banRequest) check() error {
	if _, _, err := q.read(); err != nil {
		return usageError{err}
	}
	return nil
}

// bansListCmd lists them.
type bansListCmd struct {
	adminFlags `embed:""`
	JSON       bool `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (bansListCmd) Help() string {
	return "Shows whom each ban or hold is about, who asked for it and why, and until when.\n\nExample:\n  rampart bans list"
}

// Run asks the gateway, page by page.
func (c *bansListCmd) Run(a *app) error {
	cl, err := c.client(a)
	if err != nil {
		return err
	}
	return listBans(a, cl, c.JSON, "nobody is banned or held", func(banView) bool { return true })
}

// listBans prints those that keep wants; none is said where there are none.
func listBans(a *app, cl *client, asJSON bool, none string, keep func(banView) bool) error {
	all := banList{Items: []banView{}}
	for {
		var page banList
		if err := cl.ask("GET", fmt.Sprintf("/api/v1/bans?limit=10000&offset=%d", len(all.Items)), nil, &page); err != nil {
			return err
		}
		all.Items, all.Total = append(all.Items, page.Items...), page.Total
		if len(page.Items) == 0 || len(all.Items) >= page.Total {
			break
		}
	}
	all.Items = slices.DeleteFunc(all.Items, func(b banView) bool { return !keep(b) })
	all.Total = len(all.Items)
	if asJSON {
		return printJSON(a, all)
	}
	if len(all.Items) == 0 {
		fmt.Fprintln(a.stdout, none)
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tWHO\tUNTIL\tTIMES\tRULE\tWHY")
	for _, b := range all.Items {
		fmt.Fprintf(w, "%s\t%q\t%s\t%d\t%s\t%q\n", b.Kind, b.Who, b.Until.Local().Format(time.DateTime), b.Times, b.Rule, b.Reason)
	}
	return w.Flush()
}

// bansAddCmd adds one.
type bansAddCmd struct {
	banSubject `embed:""`
	adminFlags `embed:""`
	For        string `help:"How long: 10m, 1h, 7d. Default: 1h." placeholder:"DURATION"`
	Why        string `help:"What it is for: it stands in the list and in the alert."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (bansAddCmd) Help() string {
	return "An address that belongs to a PBX, a peer or a registered phone is not banned.\n\nExample:\n  rampart bans add 192.0.2.66 --for 1d --why \"scans at night\"\n  rampart bans add --hold --user 1001 --for 2h"
}

// Run tells the gateway.
func (c *bansAddCmd) Run(a *app) error {
	q := c.request()
	q.For, q.Why = c.For, c.Why
	if err := q.check(); err != nil {
		return err
	}
	cl, err := c.client(a)
	if err != nil {
		return err
	}
	var b banView
	if err := cl.ask("POST", "/api/v1/bans", q, &b); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a, b)
	}
	fmt.Fprintf(a.stdout, "%s of %q until %s\n", b.Kind, b.Who, b.Until.Local().Format(time.DateTime))
	return nil
}

// bansRemoveCmd lifts one.
type bansRemoveCmd struct {
	banSubject `embed:""`
	adminFlags `embed:""`
	JSON       bool `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (bansRemoveCmd) Help() string {
	return "What led to the ban is forgotten with it.\n\nExample:\n  rampart bans remove 192.0.2.66"
}

// Run tells the gateway.
func (c *bansRemoveCmd) Run(a *app) error {
	q := c.request()
	if err := q.check(); err != nil {
		return err
	}
	cl, err := c.client(a)
	if err != nil {
		return err
	}
	var b banView
	if err := cl.ask("DELETE", "/api/v1/bans", q, &b); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a, b)
	}
	fmt.Fprintf(a.stdout, "lifted: %s of %q\n", b.Kind, b.Who)
	return nil
}
