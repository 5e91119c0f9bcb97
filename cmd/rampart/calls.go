package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rampart-sbc/rampart/admin"
	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/explain"
)

// callsCmd are the commands about calls.
type callsCmd struct {
	List    callsListCmd    `cmd:"" help:"List the calls that are up or being set up."`
	Show    callsShowCmd    `cmd:"" help:"Show one of them."`
	Explain callsExplainCmd `cmd:"" help:"Say why a call was let through or refused."`
}

type callsListCmd struct {
	adminFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (callsListCmd) Help() string {
	return "Lists the calls of a running gateway, oldest first.\n\nExample:\n  rampart calls list -c /etc/rampart/rampart.yaml"
}

// callPage is the answer of the API.
type callPage struct {
	Items []admin.CallView `json:"items"`
	Total int              `json:"total"`
}

func (c *callsListCmd) Run(a *app) error {
	page, err := liveCalls(a, c.adminFlags)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a, page)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tDIRECTION\tFROM\tTO\tUSER\tPEER\tSTATE\tTIME")
	for _, v := range page.Items {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.ID, v.Direction, printable(v.From), printable(v.To), dash(v.User), dash(v.Peer), v.State, seconds(v.Seconds))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if page.Total > len(page.Items) {
		fmt.Fprintf(a.stdout, "and %d more\n", page.Total-len(page.Items))
	}
	return nil
}

func liveCalls(a *app, f adminFlags) (page callPage, err error) {
	api, err := f.client(a)
	if err != nil {
		return page, err
	}
	err = api.ask(http.MethodGet, "/api/v1/calls?limit=10000", nil, &page)
	return page, err
}

// errNoName: an empty variable of a script must not find some other call.
var errNoName = usageError{errors.New("which call? The name is empty")}

type callsShowCmd struct {
	ID string `arg:"" help:"Our id of the call, or the SIP Call-ID of one of its legs."`
	adminFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (callsShowCmd) Help() string {
	return "Shows one call that is up.\n\nExample:\n  rampart calls show 6d1f0c -c /etc/rampart/rampart.yaml"
}

func (c *callsShowCmd) Run(a *app) error {
	if c.ID == "" {
		return errNoName
	}
	page, err := liveCalls(a, c.adminFlags)
	if err != nil {
		return err
	}
	for _, v := range page.Items {
		if v.ID != c.ID && !slices.Contains(v.CallIDs, c.ID) {
			continue
		}
		if c.JSON {
			return printJSON(a, v)
		}
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		row := func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", name, printable(dash(value))) }
		row("call", v.ID)
		row("direction", v.Direction.String())
		row("from", v.From)
		row("to", v.To)
		row("user", v.User)
		row("account", v.Account)
		row("peer", v.Peer)
		row("source", v.Source)
		row("state", v.State)
		row("since", v.Since.UTC().Format(time.RFC3339)+", "+seconds(v.Seconds))
		if v.Answered != nil {
			row("answered", v.Answered.UTC().Format(time.RFC3339))
		}
		row("media", strings.Join(v.Media, ", "))
		row("passes", fmt.Sprint(v.Passes))
		row("SIP Call-IDs", strings.Join(v.CallIDs, ", "))
		return w.Flush()
	}
	return fmt.Errorf("no call %s is up; rampart calls explain says what became of it", c.ID)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func seconds(s float64) string {
	return (time.Duration(s) * time.Second).String()
}

// printable keeps what others wrote from moving the terminal.
func printable(s string) string { return explain.Printable(s) }

// callsExplainCmd tells how the decisions about a call came about.
type callsExplainCmd struct {
	ID string `arg:"" help:"Our id of the call, the id of its record, or the SIP Call-ID of one of its legs."`
	adminFlags
	CDR  string `name:"cdr" help:"Read the facts from a file of call detail records instead of asking a gateway; the rules are those of -c." type:"path" placeholder:"FILE"`
	All  bool   `help:"Tell of every rule and limit that did not match, however many."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (callsExplainCmd) Help() string {
	return "Tells all decisions about a call, refused or let through: how the numbers were read, what the limits compared, which entry of countries: decided, " +
		"which rules were asked and what did not match. A running gateway knows its latest decisions; older ones are explained from the call detail records.\n\n" +
		"Examples:\n  rampart calls explain 6d1f0c -c /etc/rampart/rampart.yaml\n" +
		"  rampart calls explain a84b4c76e66710@192.168.1.20 --cdr /var/log/rampart/cdr.jsonl -c /etc/rampart/rampart.yaml"
}

func (c *callsExplainCmd) Run(a *app) error {
	if c.ID == "" {
		return errNoName
	}
	var out explained
	var err error
	if c.CDR != "" {
		out, err = c.offline(a)
	} else {
		out, err = c.ask(a)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a, out)
	}
	if out.Omitted > 0 {
		fmt.Fprintf(a.stdout, "%s left out; these are the latest.\n\n", count(out.Omitted, "earlier decision"))
	}
	for i, t := range out.Decisions {
		if i > 0 {
			fmt.Fprintf(a.stdout, "\n%s\n\n", strings.Repeat("─", 60))
		}
		if err := t.Text(a.stdout); err != nil {
			return err
		}
	}
	return nil
}

func (c *callsExplainCmd) ask(a *app) (out explained, err error) {
	api, err := c.client(a)
	if err != nil {
		return out, err
	}
	path := "/api/v1/calls/" + url.PathEscape(c.ID) + "/explain"
	if c.All {
		path += "?all=true"
	}
	err = api.ask(http.MethodGet, path, nil, &out)
	return out, err
}

// offline finds the record and explains it with the rules of the configuration.
func (c *callsExplainCmd) offline(a *app) (out explained, err error) {
	if c.Admin != "" {
		return out, usageError{errors.New("--cdr asks no gateway; leave --admin out")}
	}
	rec, err := findRecord(c.CDR, c.ID)
	if err != nil {
		return out, err
	}
	facts := explain.FromRecord(rec)
	if len(facts) == 0 {
		return out, fmt.Errorf("the record of %s has no facts: an older version wrote it", c.ID)
	}
	l := policyTestCmd{Config: a.configPath(c.Config)}
	set, o, ps, err := l.load(a)
	if err != nil {
		return out, err
	}
	if set == nil {
		return out, listed("rules", ps)
	}
	out.CallID = rec.CallID
	for _, f := range facts {
		in := explain.Input{Fact: f, Set: set, Then: f.Attempt.Policy == set.Revision(), Tech: o.Tech, Most: mostMisses}
		if c.All {
			in.Most = 0
		}
		out.Decisions = append(out.Decisions, explain.Of(in))
	}
	return out, nil
}

// maxRecord is the longest line of a file of records.
const maxRecord = 1 << 20

// findRecord looks for the last record of a call by any of its names.
func findRecord(file, id string) (rec call.Record, err error) {
	f, err := os.Open(file)
	if err != nil {
		return rec, fmt.Errorf("call detail records: %w", err)
	}
	defer f.Close()
	found := false
	// Lines without the name are not parsed. It is looked for as records are
	// written: a < or & of a Call-ID stands there as it is.
	var quote bytes.Buffer
	enc := json.NewEncoder(&quote)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(id); err != nil {
		return rec, err
	}
	quoted := bytes.TrimSpace(quote.Bytes())
	r := bufio.NewReaderSize(f, maxRecord)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return rec, fmt.Errorf("call detail records: a line of %s is longer than %d bytes", file, maxRecord)
		}
		if bytes.Contains(line, quoted) {
			var x call.Record
			if json.Unmarshal(line, &x) == nil && named(&x, id) {
				rec, found = x, true
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return rec, fmt.Errorf("call detail records: %w", err)
		}
	}
	if !found {
		return rec, fmt.Errorf("no record of %s in %s", id, file)
	}
	return rec, nil
}

func named(x *call.Record, id string) bool {
	if x.ID == id || x.CallID == id {
		return true
	}
	for _, p := range x.Passes {
		if p.SIPCallID == id || p.SIPCallIDTo == id {
			return true
		}
	}
	return false
}
