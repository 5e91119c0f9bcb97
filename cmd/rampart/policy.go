package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/policy/history"
)

// policyCmd is everything about the policy.
type policyCmd struct {
	Test     policyTestCmd     `cmd:"" help:"Run the tests of rule files, offline."`
	Explain  policyExplainCmd  `cmd:"" help:"Say what would become of a request, and why."`
	Status   policyStatusCmd   `cmd:"" help:"Show the policy that a running gateway has in force."`
	Reload   policyReloadCmd   `cmd:"" help:"Load the policy of the files into a running gateway."`
	History  policyHistoryCmd  `cmd:"" help:"List the policies that were in force."`
	Diff     policyDiffCmd     `cmd:"" help:"Say what differs between two policies, by its meaning."`
	Rollback policyRollbackCmd `cmd:"" help:"Put an old policy in force and pin it."`
}

// policyStatusCmd shows the policy in force.
type policyStatusCmd struct {
	adminFlags `embed:""`
	JSON       bool `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (policyStatusCmd) Help() string {
	return "Shows the revision in force, since when, who put it there, whether it is pinned, and entries that have expired.\n\nExample:\n  rampart policy status"
}

// Run asks the gateway.
func (c *policyStatusCmd) Run(a *app) error {
	cl, err := c.client(a)
	if err != nil {
		return err
	}
	var v policyView
	if err := cl.ask("GET", "/api/v1/policy", nil, &v); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a, v)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "revision\t%s\nin force since\t%s (%s)\n", v.Revision, v.Since.Format(time.RFC3339), v.By)
	if v.Pinned != nil {
		fmt.Fprintf(w, "pinned\tsince %s: the files do not count until rampart policy reload\n", v.Pinned.Format(time.RFC3339))
	}
	fmt.Fprintf(w, "rules\t%d, in shadow mode %d\nlimits\t%d\nlists\t%d\n", v.Rules, v.Shadow, v.Limits, v.Lists)
	fmt.Fprintf(w, "watched\t%v\n", v.Watch)
	for _, e := range v.Expired {
		fmt.Fprintf(w, "expired\t%s since %s (%s:%d)\n", e.ID, e.Expires.Format(time.RFC3339), e.File, e.Line)
	}
	return w.Flush()
}

// policyReloadCmd loads the files.
type policyReloadCmd struct {
	adminFlags `embed:""`
	JSON       bool `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (policyReloadCmd) Help() string {
	return "Loads the configuration's policy files into a running gateway. When they are wrong the old policy stays in force and the problems are printed. " +
		"A pinned policy gives way.\n\nExample:\n  rampart policy reload"
}

// Run asks the gateway.
func (c *policyReloadCmd) Run(a *app) error {
	return change(a, c.adminFlags, "/api/v1/policy/reload", map[string]string{}, c.JSON)
}

// policyRollbackCmd goes back.
type policyRollbackCmd struct {
	Revision   string `arg:"" optional:"" help:"Revision of the history, four characters or more. Default: the one before."`
	adminFlags `embed:""`
	JSON       bool `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (policyRollbackCmd) Help() string {
	return "Puts an old policy in force at once and pins it: changed files, SIGHUP and a restart do not undo it, rampart policy reload does.\n\n" +
		"Example:\n  rampart policy rollback\n  rampart policy rollback 4f1c33d2"
}

// Run asks the gateway.
func (c *policyRollbackCmd) Run(a *app) error {
	return change(a, c.adminFlags, "/api/v1/policy/rollback", map[string]string{"revision": c.Revision}, c.JSON)
}

// change asks for another policy and says what is in force then.
func change(a *app, f adminFlags, path string, in any, asJSON bool) error {
	cl, err := f.client(a)
	if err != nil {
		return err
	}
	var out outcome
	if err := cl.ask("POST", path, in, &out); err != nil {
		return err
	}
	if asJSON {
		return printJSON(a, out)
	}
	switch {
	case out.Changed:
		fmt.Fprintf(a.stdout, "policy %s is in force (before: %s)\n", out.Revision, out.Before)
	default:
		fmt.Fprintf(a.stdout, "policy %s stays in force, nothing differs\n", out.Revision)
	}
	if out.Pinned {
		fmt.Fprintln(a.stdout, "it is pinned until rampart policy reload")
	}
	for _, n := range out.Needs {
		fmt.Fprintf(a.stderr, "%s: needs a restart\n", n)
	}
	return nil
}

// policyHistoryCmd lists what was in force.
type policyHistoryCmd struct {
	Config string `short:"c" help:"Configuration file. Default: ./rampart.yaml, then /etc/rampart/rampart.yaml." placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (policyHistoryCmd) Help() string {
	return "Lists the policies that were in force, newest first, from the state directory of the gateway, which need not run.\n\nExample:\n  rampart policy history"
}

// Run reads the state directory.
func (c *policyHistoryCmd) Run(a *app) error {
	store, err := a.history(c.Config)
	if err != nil {
		return err
	}
	all, err := store.List()
	if err != nil {
		return err
	}
	pin, err := store.Pinned()
	if err != nil {
		return err
	}
	if c.JSON {
		if all == nil {
			all = []history.Entry{}
		}
		return printJSON(a, map[string]any{"items": all, "pinned": pin})
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REVISION\tIN FORCE FROM\tBY\tRULES\tLIMITS\tFILES\t")
	for _, e := range all {
		note := ""
		if pin != nil && pin.Revision == e.Revision {
			note, pin = "pinned", nil
		}
		if e.TooLarge {
			note = "too large to go back to"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\n", e.Revision, e.At.UTC().Format(time.RFC3339), e.By, e.Rules, e.Limits, len(e.Files), note)
	}
	return w.Flush()
}

// history is that of the gateway of a configuration.
func (a *app) history(given string) (*history.Store, error) {
	cfg, ps := config.Inspect(a.configPath(given), a.host)
	if cfg == nil {
		return nil, listed("configuration", ps)
	}
	return history.Open(history.Dir(cfg.State)), nil
}
