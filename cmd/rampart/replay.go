package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/rampart-sbc/rampart/alert"
	"github.com/rampart-sbc/rampart/config"
	"github.com/rampart-sbc/rampart/fraud"
	"github.com/rampart-sbc/rampart/policy"
	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/replay"
	"github.com/rampart-sbc/rampart/rules"
	"github.com/rampart-sbc/rampart/trial"
)

// replayCmd runs recorded calls through a policy and the detectors.
type replayCmd struct {
	File      string   `arg:"" help:"Event stream or CDRs, JSON Lines; - for standard input."`
	Policy    string   `help:"Directory of policy files, or one file, instead of those of the configuration." placeholder:"DIR"`
	Config    string   `short:"c" help:"Configuration file. Default: the shipped packs with --profile and --home." placeholder:"FILE"`
	Profile   string   `help:"Profile, without a configuration: office or call-centre." enum:"office,call-centre" default:"office"`
	Home      string   `help:"Home country, without a configuration." placeholder:"CC" default:"FR"`
	Rates     string   `help:"Rate deck: prefix,code,usd_per_min,class,lat,lon. Default: the shipped classes." placeholder:"CSV" type:"path"`
	Alerts    string   `help:"Write what would have been alerted." placeholder:"OUT.jsonl" type:"path"`
	Strangers []string `help:"Names of peers in the recording that stand for nobody who was identified." default:"internet,public,anonymous,unknown"`
	JSON      bool     `name:"json" help:"Print JSON."`
}

// Help is shown under the flags.
func (replayCmd) Help() string {
	return "Judges recorded calls with the code of the gateway, in their own time and without a network: limits, policy and detectors of fraud. What happened stands; what would have been decided is told beside it.\n\n" +
		"Example:\n  rampart replay events.jsonl --profile office --home GB --rates rates.csv --alerts alerts.jsonl"
}

// Run replays.
func (c *replayCmd) Run(a *app) (err error) {
	side, err := c.side(a)
	if err != nil {
		return err
	}
	in := io.Reader(a.stdin)
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		defer f.Close()
		in = f
	}
	if c.Alerts != "" {
		out, err := os.Create(c.Alerts)
		if err != nil {
			return fmt.Errorf("alerts: %w", err)
		}
		w := bufio.NewWriterSize(out, 1<<16)
		var failed error
		side.Alerts = func(e alert.Event) {
			line, err := e.Line()
			if err == nil {
				_, err = w.Write(line)
			}
			failed = cmp.Or(failed, err)
		}
		defer func() {
			if bad := errors.Join(failed, w.Flush(), out.Close()); bad != nil && err == nil {
				err = fmt.Errorf("alerts: %w", bad)
			}
		}()
	}
	rep, err := replay.Run(in, replay.Options{New: side, Strangers: c.Strangers})
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if c.JSON {
		return printJSON(a, rep)
	}
	c.print(a, rep)
	return nil
}

// side makes the policy and the detectors.
func (c *replayCmd) side(a *app) (s replay.Side, err error) {
	profile, home := c.Profile, c.Home
	if c.Config != "" {
		cfg, err := a.load(c.Config)
		if err != nil {
			return s, err
		}
		profile, home = string(cfg.Profile), cfg.Home.Country
		plan, err := cfg.Plan()
		if err != nil {
			return s, fmt.Errorf("home: %w", err)
		}
		if cfg, err = c.withFiles(cfg); err != nil {
			return s, err
		}
		set, _, ps := compileRules(cfg, plan, readBounded, time.Now(), nil)
		if set == nil {
			return s, listed("rules", ps)
		}
		s.Trial = trialOptions(cfg, set)
	} else {
		plan, err := number.Compile(number.Home{Country: home}, number.Builtin())
		if err != nil {
			return s, usageError{fmt.Errorf("--home: %w", err)}
		}
		var sources []policy.Source
		for _, name := range []string{"base", "countries", "scanners", "toll-fraud", "ping-call", "messages"} {
			data, _ := rules.Pack(name)
			sources = append(sources, policy.Source{Name: name, Data: data, Pack: true})
		}
		data, _ := rules.Profile(profile)
		sources = append(sources, policy.Source{Name: "profile " + profile, Data: data, Pack: true, Profile: true})
		set, ps := policy.Compile(sources, policy.Options{Plan: plan, Now: time.Now()})
		if set == nil {
			return s, listed("rules", ps)
		}
		s.Trial = trial.Options{Set: set}
	}
	rates := fraud.DefaultRates(home, s.Trial.Set.Plan().Data())
	if c.Rates != "" {
		f, err := os.Open(c.Rates)
		if err != nil {
			return s, fmt.Errorf("--rates: %w", err)
		}
		defer f.Close()
		if rates, err = rates.ReadDeck(c.Rates, f); err != nil {
			return s, fmt.Errorf("--rates: %w", err)
		}
	}
	s.Name, s.Rates, s.Fraud = "new", rates, fraud.Defaults(profile)
	s.Meta = alert.Meta{Node: "replay", PolicyRevision: s.Trial.Set.Revision()}
	return s, nil
}

func (c *replayCmd) withFiles(cfg *config.Config) (*config.Config, error) {
	if c.Policy == "" {
		return cfg, nil
	}
	files, err := policyFilesIn(c.Policy)
	if err != nil {
		return nil, err
	}
	here := *cfg
	here.PolicyFiles = files
	return &here, nil
}

func (c *replayCmd) print(a *app, r *replay.Report) {
	p := func(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }
	p("%d events, %d calls (%d answered), %s to %s, in %s", r.Events, r.Calls, r.Answered, r.First.Format(time.RFC3339), r.Last.Format(time.RFC3339), r.Took.Round(time.Millisecond))
	for _, b := range r.Bad {
		p("%s:%d: %s", c.File, b.Line, b.Error)
	}
	if r.Malformed > 0 {
		p("%s left out", count(r.Malformed, "line"))
	}
	for _, k := range sortedKeys(r.NewlyRefused) {
		p("newly refused  %6d  %s", r.NewlyRefused[k], k)
	}
	for _, k := range sortedKeys(r.NewlyAllowed) {
		p("newly allowed  %6d  %s", r.NewlyAllowed[k], k)
	}
	for _, k := range sortedKeys(r.Findings) {
		p("found          %6d  %s", r.Findings[k], k)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Alerts)) {
		p("alerts         %6d  %s", r.Alerts[k], k)
	}
}
